//! Whole programs: bodies, calls, memory that is written where it was read, and any number of threads.

use std::sync::Arc;

use backprop_core::ops::{Binary, Unary};
use backprop_core::{Array, DType, Shape, Type};
use backprop_cpu::engine::{Choice, Compiled, Sharing};
#[cfg(all(unix, not(miri)))]
use backprop_cpu::guard::Side;
use backprop_opt::loops::{
    Access, Buffer, BufferId, Call, Code, Cond, Fold, Home, Instr, Kind, Local, Nest, Outcome, Place,
    Program, Reduce, Reg, Scan, Stage, Step, Store,
};
use smallvec::{SmallVec, smallvec};

/// A program in the making.
#[derive(Default)]
struct Draft(Program);

impl Draft {
    fn buffer(&mut self, dtype: DType, len: usize, home: Home) -> BufferId {
        let id = self.0.buffers.len() as BufferId;
        self.0.buffers.push(Buffer { dtype, len, home, label: format!("b{id}") });
        id
    }

    fn input(&mut self, dtype: DType, len: usize) -> BufferId {
        let id = self.buffer(dtype, len, Home::Input(self.0.inputs.len()));
        self.0.inputs.push(id);
        id
    }

    fn output(&mut self, dtype: DType, len: usize) -> BufferId {
        let id = self.buffer(dtype, len, Home::Output(self.0.outputs.len()));
        self.0.outputs.push(id);
        id
    }

    /// A part of the arena that no other buffer has.
    fn inner(&mut self, dtype: DType, len: usize) -> BufferId {
        let at = self.0.arena_bytes;
        self.0.arena_bytes += (len * dtype.size()).next_multiple_of(64);
        self.buffer(dtype, len, Home::Arena(at))
    }

    fn step(&mut self, kind: Kind) {
        self.0.steps.push(Step { kind, nodes: Vec::new(), begins: Vec::new() });
    }

    /// to = code, element by element; it reads with [`line`].
    fn map(&mut self, to: BufferId, write: impl FnOnce(&mut Code) -> Reg) {
        let mut code = Code::default();
        let value = write(&mut code);
        let stores = vec![Store { value, to: line(to), watched: false }];
        let columns = smallvec![self.0.buffer(to).len];
        let stage = Stage { columns, code, stores, reduces: Vec::new() };
        self.step(Kind::Nest(Nest { stages: vec![stage], ..Nest::default() }));
    }
}

fn line(id: BufferId) -> Access {
    Access { place: Place::Buffer(id), offset: 0, rows: smallvec![], columns: smallvec![1] }
}

fn load(code: &mut Code, access: Access, dtype: DType) -> Reg {
    let access = code.access(access);
    code.push(Instr::Load(access), dtype)
}

fn f32s(code: &mut Code, id: BufferId) -> Reg {
    load(code, line(id), DType::F32)
}

fn binary(code: &mut Code, op: Binary, a: Reg, b: Reg) -> Reg {
    let dtype = code.dtype(a);
    code.push(Instr::Binary(op, a, b), dtype)
}

fn run(draft: Draft, inputs: &[Array], n_threads: usize) -> (Vec<Array>, Outcome) {
    let program = Arc::new(draft.0);
    let choice = Choice { sharing: Sharing::All, ..Choice::default() };
    let compiled = Compiled::new(program.clone(), choice).unwrap();
    let mut arena = compiled.arena(n_threads).unwrap();
    let output = |&id: &BufferId| Array::zeros(program.buffer(id).dtype, &[program.buffer(id).len]).unwrap();
    let mut outputs: Vec<Array> = program.outputs.iter().map(output).collect();
    let mut outcome = Outcome::default();
    // Twice: an arena is used again and again.
    for _ in 0..2 {
        outcome = compiled.run(&mut arena, inputs, &mut outputs).unwrap();
    }
    #[cfg(all(unix, not(miri)))]
    for side in [Side::Before, Side::After] {
        let mut apart: Vec<Array> = program.outputs.iter().map(output).collect();
        let told = compiled.run_guarded(n_threads, side, inputs, &mut apart).unwrap();
        assert_eq!((told, format!("{apart:?}")), (outcome, format!("{outputs:?}")), "{side:?}");
    }
    (outputs, outcome)
}

fn check(draft: Draft, inputs: &[Array], expect: &[Vec<f32>]) {
    let (outputs, outcome) = run(draft, inputs, 2);
    assert_eq!(outcome, Outcome::default());
    let outputs: Vec<&[f32]> = outputs.iter().map(|output| output.slice().unwrap()).collect();
    assert_eq!(outputs, expect);
}

fn vector(values: &[f32]) -> Array {
    Array::vector(values.to_vec())
}

/// c' = c·w + x + k; y = c' − x, on three elements.
fn recurrence(length: usize, reverse: bool) -> Draft {
    let mut body = Draft::default();
    let k = body.input(DType::I64, 1);
    let (c, x, w) = (body.input(DType::F32, 3), body.input(DType::F32, 3), body.input(DType::F32, 3));
    let (next, y) = (body.output(DType::F32, 3), body.output(DType::F32, 3));
    let sum = body.inner(DType::F32, 3);
    body.map(sum, |code| {
        let k = load(code, Access { columns: smallvec![0], ..line(k) }, DType::I64);
        let k = code.push(Instr::Cast(k), DType::F32);
        let (c, x, w) = (f32s(code, c), f32s(code, x), f32s(code, w));
        let scaled = binary(code, Binary::Mul, c, w);
        let moved = binary(code, Binary::Add, scaled, x);
        binary(code, Binary::Add, moved, k)
    });
    body.map(next, |code| f32s(code, sum));
    body.map(y, |code| {
        let (sum, x) = (f32s(code, sum), f32s(code, x));
        binary(code, Binary::Sub, sum, x)
    });
    let mut draft = Draft::default();
    let (c, xs, w) =
        (draft.input(DType::F32, 3), draft.input(DType::F32, 3 * length), draft.input(DType::F32, 3));
    let (last, ys) = (draft.output(DType::F32, 3), draft.output(DType::F32, 3 * length));
    let room = [draft.inner(DType::F32, 3), draft.inner(DType::F32, 3)];
    let counter = draft.inner(DType::I64, 1);
    let arena = draft.0.arena_bytes;
    draft.0.arena_bytes += body.0.arena_bytes;
    draft.step(Kind::Scan(Scan {
        body: Box::new(body.0),
        length,
        reverse,
        carries: vec![c],
        xs: vec![xs],
        captures: vec![w],
        last: vec![last],
        ys: vec![ys],
        room: vec![room],
        counter,
        arena,
    }));
    draft
}

#[test]
fn a_scan_carries_slices_and_stacks_either_way() {
    let (c, w) = ([1.0f32, -2.0, 0.5], [2.0f32, 0.5, -1.0]);
    for (length, reverse) in [(5, false), (5, true), (1, false), (0, false), (0, true)] {
        let xs: Vec<f32> = (0..3 * length).map(|i| i as f32 * 0.5 - 3.0).collect();
        let (mut carry, mut ys) = (c.to_vec(), vec![0f32; 3 * length]);
        for round in 0..length {
            let k = if reverse { length - 1 - round } else { round };
            for i in 0..3 {
                carry[i] = carry[i] * w[i] + xs[3 * k + i] + k as f32;
                ys[3 * k + i] = carry[i] - xs[3 * k + i];
            }
        }
        check(recurrence(length, reverse), &[vector(&c), vector(&xs), vector(&w)], &[carry, ys]);
    }
}

#[test]
fn a_scan_without_carries_is_a_map() {
    let mut body = Draft::default();
    let (_k, x) = (body.input(DType::I64, 1), body.input(DType::F32, 2));
    let y = body.output(DType::F32, 2);
    body.map(y, |code| {
        let x = f32s(code, x);
        binary(code, Binary::Mul, x, x)
    });
    let mut draft = Draft::default();
    let (xs, ys) = (draft.input(DType::F32, 6), draft.output(DType::F32, 6));
    let counter = draft.inner(DType::I64, 1);
    draft.step(Kind::Scan(Scan {
        body: Box::new(body.0),
        length: 3,
        reverse: false,
        carries: vec![],
        xs: vec![xs],
        captures: vec![],
        last: vec![],
        ys: vec![ys],
        room: vec![],
        counter,
        arena: 0,
    }));
    check(draft, &[vector(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])], &[vec![1.0, 4.0, 9.0, 16.0, 25.0, 36.0]]);
}

#[test]
fn a_cond_runs_the_branch_that_is_taken() {
    let branch = |op: Binary| {
        let mut body = Draft::default();
        let (x, y) = (body.input(DType::F32, 3), body.output(DType::F32, 3));
        body.map(y, |code| {
            let x = f32s(code, x);
            binary(code, op, x, x)
        });
        Box::new(body.0)
    };
    for (condition, expect) in [(true, vec![2.0, 4.0, 6.0]), (false, vec![1.0, 4.0, 9.0])] {
        let mut draft = Draft::default();
        let (c, x) = (draft.input(DType::Bool, 1), draft.input(DType::F32, 3));
        let y = draft.output(DType::F32, 3);
        draft.step(Kind::Cond(Cond {
            condition: c,
            inputs: vec![x],
            outputs: vec![y],
            then: branch(Binary::Add),
            otherwise: branch(Binary::Mul),
            arena: 0,
        }));
        check(draft, &[Array::vector(vec![condition]), vector(&[1.0, 2.0, 3.0])], &[expect]);
    }
}

fn calls(op: Binary) -> Draft {
    let mut draft = Draft::default();
    let (a, b) = (draft.input(DType::I32, 5), draft.input(DType::I32, 5));
    let y = draft.output(DType::I32, 5);
    let ty = Type { dtype: DType::I32, shape: Shape::of_sizes(&[5]) };
    draft.step(Kind::Call(Call {
        op: op.into(),
        inputs: vec![(a, ty), (b, ty)],
        outputs: vec![(Some(y), ty)],
    }));
    draft
}

#[test]
fn a_call_runs_the_ops_own_definition() {
    let inputs = [Array::vector(vec![7i32, -7, 6, 0, 5]), Array::vector(vec![2i32, 2, -3, 4, 5])];
    let (outputs, _) = run(calls(Binary::Div), &inputs, 1);
    assert_eq!(outputs[0].slice::<i32>().unwrap(), [3, -3, -2, 0, 1]);
}

#[test]
fn a_fault_in_a_call_ends_the_run_and_names_the_step() {
    let compiled = Compiled::new(Arc::new(calls(Binary::Div).0), Choice::default()).unwrap();
    let mut arena = compiled.arena(1).unwrap();
    let (a, b) = (Array::vector(vec![1i32; 5]), Array::vector(vec![1i32, 1, 0, 1, 1]));
    let mut outputs = [Array::zeros(DType::I32, &[5]).unwrap()];
    let failure = compiled.run(&mut arena, &[&a, &b], &mut outputs).unwrap_err();
    assert_eq!((failure.step, failure.ill.rule.as_str()), (Some(0), "integer division by zero at element 2"));
}

#[test]
fn what_does_not_fit_is_refused() {
    let compiled = Compiled::new(Arc::new(calls(Binary::Add).0), Choice::default()).unwrap();
    let mut arena = compiled.arena(1).unwrap();
    let (fits, short) = (Array::vector(vec![1i32; 5]), Array::vector(vec![1i32; 3]));
    let other = Array::vector(vec![1f32; 5]);
    let mut outputs = [Array::zeros(DType::I32, &[5]).unwrap()];
    for inputs in [&[&fits][..], &[&fits, &short], &[&other, &fits]] {
        let failure = compiled.run(&mut arena, inputs, &mut outputs).unwrap_err();
        assert_eq!(failure.step, None, "{}", failure.ill.rule);
    }
    let failure = compiled.run(&mut arena, &[&fits, &fits], &mut []).unwrap_err();
    assert_eq!(failure.ill.rule, "1 outputs are wanted, not 0");
}

#[test]
fn an_element_may_be_written_where_it_was_read() {
    // a = x + 1; then in one nest, in place: a = a·a and b = a, of an overlapping buffer's old numbers.
    for n in [0, 1, 7, 300, if cfg!(miri) { 1_001 } else { 70_001 }] {
        let mut draft = Draft::default();
        let x = draft.input(DType::F32, n);
        let (first, second) = (draft.output(DType::F32, n), draft.output(DType::F32, n));
        let a = draft.inner(DType::F32, n);
        let Home::Arena(at) = draft.0.buffer(a).home else { unreachable!() };
        let same = draft.buffer(DType::F32, n, Home::Arena(at));
        draft.map(a, |code| {
            let x = f32s(code, x);
            let one = code.push(Instr::Literal(1f32.to_bits().into()), DType::F32);
            binary(code, Binary::Add, x, one)
        });
        let mut code = Code::default();
        let old = f32s(&mut code, a);
        let squared = binary(&mut code, Binary::Mul, old, old);
        let stores = [(squared, same), (old, second)];
        let stores = stores.map(|(value, to)| Store { value, to: line(to), watched: false }).to_vec();
        let stage = Stage { columns: smallvec![n], code, stores, reduces: vec![] };
        draft.step(Kind::Nest(Nest { stages: vec![stage], ..Nest::default() }));
        draft.map(first, |code| f32s(code, same));
        let x: Vec<f32> = (0..n).map(|i| i as f32 / 16.0 - 3.0).collect();
        let old: Vec<f32> = x.iter().map(|x| x + 1.0).collect();
        check(draft, &[vector(&x)], &[old.iter().map(|x| x * x).collect(), old]);
    }
}

/// softmax of x [rows, columns]: max · Σ exp(x − max) · the quotients.
fn softmax(rows: usize, columns: usize, lanes: usize) -> Draft {
    let mut draft = Draft::default();
    let x = draft.input(DType::F32, rows * columns);
    let y = draft.output(DType::F32, rows * columns);
    let matrix = |id| Access { rows: smallvec![columns as isize], ..line(id) };
    let local = |number: u32, stride: isize| Access {
        place: Place::Local(number),
        offset: 0,
        rows: smallvec![0],
        columns: smallvec![stride],
    };
    let stage = |write: &dyn Fn(&mut Code) -> Reg, to: Option<Access>, fold: Option<(Fold, u32)>| {
        let mut code = Code::default();
        let value = write(&mut code);
        let stores = to.map(|to| Store { value, to, watched: true }).into_iter().collect();
        let reduce = |(fold, number)| Reduce { fold, value, into: local(number, 0), lanes };
        Stage { columns: smallvec![columns], code, stores, reduces: fold.map(reduce).into_iter().collect() }
    };
    let difference = |code: &mut Code| {
        let (x, max) = (load(code, matrix(x), DType::F32), load(code, local(0, 0), DType::F32));
        let difference = binary(code, Binary::Sub, x, max);
        code.push(Instr::Unary(Unary::Exp, difference), DType::F32)
    };
    let quotient = |code: &mut Code| {
        let (e, sum) = (load(code, local(2, 1), DType::F32), load(code, local(1, 0), DType::F32));
        binary(code, Binary::Div, e, sum)
    };
    let sizes: SmallVec<[usize; 3]> = smallvec![1, 1, columns];
    draft.step(Kind::Nest(Nest {
        rows: smallvec![rows],
        locals: sizes.iter().map(|&len| Local { dtype: DType::F32, len }).collect(),
        accumulators: vec![(Place::Local(0), Fold::Max), (Place::Local(1), Fold::Sum)],
        stages: vec![
            stage(&|code| load(code, matrix(x), DType::F32), None, Some((Fold::Max, 0))),
            stage(&difference, Some(local(2, 1)), Some((Fold::Sum, 1))),
            stage(&quotient, Some(matrix(y)), None),
        ],
    }));
    draft
}

#[test]
fn softmax_in_one_nest_is_softmax_on_any_number_of_threads() {
    let [many, wide] = if cfg!(miri) { [(61, 5, 16), (7, 67, 16)] } else { [(3001, 5, 16), (211, 331, 16)] };
    for (rows, columns, lanes) in [(0, 3, 16), (5, 7, 16), many, wide, (2, 1, 1)] {
        let x: Vec<f32> = (0..rows * columns).map(|i| ((i * 37 % 101) as f32 - 50.0) / 8.0).collect();
        let inputs = [vector(&x)];
        let (one, outcome) = run(softmax(rows, columns, lanes), &inputs, 1);
        assert_eq!(outcome, Outcome::default());
        for n_threads in [2, 7] {
            let (many, _) = run(softmax(rows, columns, lanes), &inputs, n_threads);
            let pairs = many[0].slice::<f32>().unwrap().iter().zip(one[0].slice::<f32>().unwrap());
            let differs = pairs.enumerate().find(|(_, (x, y))| x.to_bits() != y.to_bits());
            assert_eq!(differs, None, "{rows} × {columns} on {n_threads} threads");
        }
        let y = one[0].slice::<f32>().unwrap();
        for (x, y) in x.chunks(columns).zip(y.chunks(columns)) {
            let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max) as f64;
            let exps: Vec<f64> = x.iter().map(|&x| (x as f64 - max).exp()).collect();
            let sum: f64 = exps.iter().sum();
            for (&y, e) in y.iter().zip(exps) {
                assert!((y as f64 - e / sum).abs() <= 2e-6 * e / sum, "{y}, not {}", e / sum);
            }
        }
    }
}

/// y[j] = Σᵢ a[i, j] + Σᵢ b[i, j], or where `is_of_rows`, y[i] = Σⱼ: two sums of one stage into one accumulator.
fn two_sums(rows: usize, columns: usize, is_of_rows: bool) -> Draft {
    let mut draft = Draft::default();
    let factors = [0; 2].map(|_| draft.input(DType::F32, rows * columns));
    let y = draft.output(DType::F32, if is_of_rows { rows } else { columns });
    let mut code = Code::default();
    let reduces = factors.map(|id| {
        let value =
            load(&mut code, Access { columns: smallvec![columns as isize, 1], ..line(id) }, DType::F32);
        let strides = if is_of_rows { smallvec![1, 0] } else { smallvec![0, 1] };
        Reduce { fold: Fold::Sum, value, into: Access { columns: strides, ..line(y) }, lanes: 16 }
    });
    let stage = Stage { columns: smallvec![rows, columns], code, stores: vec![], reduces: reduces.to_vec() };
    let accumulators = vec![(Place::Buffer(y), Fold::Sum)];
    draft.step(Kind::Nest(Nest { accumulators, stages: vec![stage], ..Nest::default() }));
    draft
}

#[test]
fn two_sums_of_one_stage_may_share_an_accumulator() {
    let large = if cfg!(miri) { (11, 31) } else { (50, 301) };
    for (rows, columns) in [(3, 5), (2, 67), (7, 16), large] {
        let n = rows * columns;
        let (a, b) = (
            (0..n).map(|i| i as f32).collect::<Vec<_>>(),
            (0..n).map(|i| 0.5 * i as f32).collect::<Vec<_>>(),
        );
        for is_of_rows in [false, true] {
            let sum = |at: usize| -> f32 {
                let of = (0..n).filter(|i| at == if is_of_rows { i / columns } else { i % columns });
                of.map(|i| a[i] + b[i]).sum()
            };
            let expect = (0..if is_of_rows { rows } else { columns }).map(sum).collect();
            check(two_sums(rows, columns, is_of_rows), &[vector(&a), vector(&b)], &[expect]);
        }
    }
}

#[test]
fn accumulators_start_where_nothing_is_folded_into_them_on_any_number_of_threads() {
    // Every other element is a row's maximum; of a second accumulator, none is.
    let [rows, columns] = [64, 8];
    let mut draft = Draft::default();
    let x = draft.input(DType::F32, rows * columns);
    let [y, none] = [2 * rows, 5].map(|len| draft.output(DType::F32, len));
    let mut code = Code::default();
    let from = Access { rows: smallvec![columns as isize], ..line(x) };
    let value = load(&mut code, from, DType::F32);
    let into = Access { rows: smallvec![2], columns: smallvec![0], ..line(y) };
    let reduces = vec![Reduce { fold: Fold::Max, value, into, lanes: 16 }];
    let stage = Stage { columns: smallvec![columns], code, stores: Vec::new(), reduces };
    draft.step(Kind::Nest(Nest {
        rows: smallvec![rows],
        accumulators: [y, none].map(|id| (Place::Buffer(id), Fold::Max)).to_vec(),
        stages: vec![stage],
        ..Nest::default()
    }));
    let numbers: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
    let most = |row: usize| (row * columns + columns - 1) as f32;
    let expect = (0..rows).flat_map(|row| [most(row), f32::NEG_INFINITY]).collect();
    check(draft, &[vector(&numbers)], &[expect, vec![f32::NEG_INFINITY; 5]]);
}

#[test]
fn a_watched_number_that_is_not_finite_is_told() {
    let (_, outcome) = run(softmax(2, 3, 4), &[vector(&[1.0, 2.0, f32::NAN, 0.0, 1.0, 2.0])], 1);
    assert_eq!(outcome, Outcome { is_faulty: false, is_not_finite: true });
}

#[test]
fn a_long_scalar_chain_runs_in_little_memory() {
    const N: usize = if cfg!(miri) { 300 } else { 200_000 };
    let mut draft = Draft::default();
    let (x, y) = (draft.input(DType::F64, 1), draft.output(DType::F64, 1));
    let scalar = |id| Access { columns: smallvec![], ..line(id) };
    let mut code = Code::default();
    let mut value = load(&mut code, scalar(x), DType::F64);
    for i in 0..N {
        let literal = code.push(Instr::Literal((0.5 / (1 + i) as f64).to_bits()), DType::F64);
        value = binary(&mut code, if i % 2 == 0 { Binary::Add } else { Binary::Sub }, value, literal);
    }
    let stores = vec![Store { value, to: scalar(y), watched: false }];
    let stage = Stage { columns: smallvec![], code, stores, reduces: vec![] };
    draft.step(Kind::Nest(Nest { stages: vec![stage], ..Nest::default() }));
    let expect = (0..N).fold(3.0f64, |x, i| {
        let literal = 0.5 / (1 + i) as f64;
        if i % 2 == 0 { x + literal } else { x - literal }
    });
    let compiled = Compiled::new(Arc::new(draft.0.clone()), Choice::default()).unwrap();
    assert!(compiled.arena_bytes(1) < 4096, "{} bytes", compiled.arena_bytes(1));
    let (outputs, _) = run(draft, &[Array::vector(vec![3.0f64])], 1);
    assert_eq!(outputs[0].slice::<f64>().unwrap(), [expect]);
}

#[test]
fn an_arena_of_another_program_is_refused() {
    let compile = || Compiled::new(Arc::new(calls(Binary::Add).0), Choice::default()).unwrap();
    let (one, other) = (compile(), compile());
    let mut arena = other.arena(1).unwrap();
    let array = Array::vector(vec![1i32; 5]);
    let run = std::panic::AssertUnwindSafe(|| {
        let _ = one.run(&mut arena, &[&array, &array], &mut [array.clone()]);
    });
    assert!(std::panic::catch_unwind(run).is_err());
}

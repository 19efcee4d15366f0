//! Random nests and contractions: every instruction set, every cut into units, every number of threads gives
//! the bits of the naive machine.

mod naive;

use std::sync::Arc;

use backprop_core::DType;
use backprop_core::ops::{Binary, Compare, Logic, Unary};
use backprop_cpu::engine::{Choice, Compiled, Engine};
use backprop_cpu::isa::Isa;
use backprop_cpu::{native, portable};
use backprop_opt::loops::{
    Access, Buffer, Code, Contraction, Factor, Fold, Home, Instr, Kind, Local, Nest, Outcome, Place, Program,
    Reduce, Stage, Step, Store, Strides,
};
use naive::{Machine, Value};

/// xorshift64*
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

const NUMBERS: [DType; 6] = [DType::F32, DType::F64, DType::I32, DType::I64, DType::U32, DType::U8];

/// A program in the making; it has one step.
#[derive(Default)]
struct Draft {
    program: Program,
}

impl Draft {
    fn input(&mut self, dtype: DType, len: usize) -> u32 {
        let home = Home::Input(self.program.inputs.len());
        let id = self.buffer(dtype, len, home);
        self.program.inputs.push(id);
        id
    }

    fn output(&mut self, dtype: DType, len: usize) -> u32 {
        let home = Home::Output(self.program.outputs.len());
        let id = self.buffer(dtype, len, home);
        self.program.outputs.push(id);
        id
    }

    fn buffer(&mut self, dtype: DType, len: usize, home: Home) -> u32 {
        let label = format!("buffer {}", self.program.buffers.len());
        self.program.buffers.push(Buffer { dtype, len, home, label });
        self.program.buffers.len() as u32 - 1
    }

    /// An access to a new input that is just large enough.
    fn read(&mut self, random: &mut Random, dtype: DType, rows: &[usize], columns: &[usize]) -> Access {
        let sizes: Vec<usize> = rows.iter().chain(columns).copied().collect();
        let mut strides: Vec<isize> = vec![0; sizes.len()];
        let kind = random.below(4);
        let mut next = 1;
        for at in order(random, sizes.len(), kind == 0) {
            let is_fixed = random.chance(20);
            strides[at] = match kind {
                _ if is_fixed => 0,
                1 => random.below(7) as isize - 3,
                2 => -next,
                _ => next,
            };
            if !is_fixed {
                next *= sizes[at].max(1) as isize;
            }
        }
        let reach = |sign: isize| -> isize {
            let steps = strides.iter().zip(&sizes).map(|(stride, &size)| stride * (size.max(1) as isize - 1));
            steps.map(|step| step.max(0) * (sign > 0) as isize + step.min(0) * (sign < 0) as isize).sum()
        };
        let offset = -reach(-1) + random.below(3) as isize;
        let id = self.input(dtype, (offset + reach(1) + 1) as usize);
        let (rows, columns) = strides.split_at(rows.len());
        Access { place: Place::Buffer(id), offset, rows: rows.into(), columns: columns.into() }
    }

    /// An access to a new output, each element once.
    fn written(&mut self, random: &mut Random, dtype: DType, rows: &[usize], columns: &[usize]) -> Access {
        let sizes: Vec<usize> = rows.iter().chain(columns).copied().collect();
        let is_shuffled = random.chance(30);
        let strides = packed(random, &sizes, is_shuffled);
        let id = self.output(dtype, sizes.iter().product());
        let (rows, columns) = strides.split_at(rows.len());
        Access { place: Place::Buffer(id), offset: 0, rows: rows.into(), columns: columns.into() }
    }
}

/// Axes, innermost first, or in any order.
fn order(random: &mut Random, n: usize, is_shuffled: bool) -> Vec<usize> {
    let mut axes: Vec<usize> = (0..n).rev().collect();
    if is_shuffled {
        (1..n).for_each(|i| axes.swap(i, random.below(i + 1)));
    }
    axes
}

fn packed(random: &mut Random, sizes: &[usize], is_shuffled: bool) -> Strides {
    let mut strides: Strides = sizes.iter().map(|_| 0).collect();
    let mut next = 1;
    for at in order(random, sizes.len(), is_shuffled) {
        strides[at] = next as isize;
        next *= sizes[at];
    }
    strides
}

/// At most `most` sizes, of at most `room` iterations together.
fn sizes(random: &mut Random, of: &[usize], most: usize, room: usize) -> Vec<usize> {
    let mut sizes: Vec<usize> = (0..random.below(most + 1)).map(|_| random.one(of)).collect();
    while sizes.iter().product::<usize>() > room {
        sizes.pop();
    }
    sizes
}

/// Random instructions on top of loads.
fn code(
    draft: &mut Draft,
    random: &mut Random,
    rows: &[usize],
    columns: &[usize],
    locals: &[(u32, Local)],
    first: Code,
) -> Code {
    let mut code = first;
    for &(number, local) in locals {
        let n_columns: usize = columns.iter().product();
        let strides = match local.len {
            1 => columns.iter().map(|_| 0).collect(),
            len if len == n_columns => packed(random, columns, false),
            _ => continue,
        };
        let rows = rows.iter().map(|_| 0).collect();
        let access = code.access(Access { place: Place::Local(number), offset: 0, rows, columns: strides });
        code.push(Instr::Load(access), local.dtype);
    }
    for _ in 0..1 + random.below(3) {
        let dtype = random.one(&DType::ALL);
        let access = draft.read(random, dtype, rows, columns);
        let access = code.access(access);
        code.push(Instr::Load(access), dtype);
    }
    for _ in 0..random.below(14) {
        let reg = random.below(code.instrs.len()) as u32;
        let dtype = code.dtype(reg);
        let alike: Vec<u32> = (0..code.instrs.len() as u32).filter(|&x| code.dtype(x) == dtype).collect();
        let other = random.one(&alike);
        let bools: Vec<u32> =
            (0..code.instrs.len() as u32).filter(|&x| code.dtype(x) == DType::Bool).collect();
        let (instr, dtype) = match random.below(11) {
            0 => (Instr::Literal(literal(random, dtype)), dtype),
            1 => {
                let loops = rows.len() + columns.len();
                let strides: Vec<isize> = (0..loops).map(|_| random.below(9) as isize - 4).collect();
                let access = code.access(Access {
                    place: Place::Buffer(0),
                    offset: random.below(5) as isize,
                    rows: strides[..rows.len()].into(),
                    columns: strides[rows.len()..].into(),
                });
                (Instr::Count(access), DType::I64)
            }
            2 if dtype.is_int() => {
                let of = random.one(&DType::ALL);
                let bound = random.below(9) as u64;
                let mut access = draft.read(random, of, rows, columns);
                let Place::Buffer(id) = access.place else { unreachable!() };
                let stride = random.below(5) as i64 - 2;
                let more = stride.unsigned_abs() as usize * bound as usize;
                draft.program.buffers[id as usize].len += more;
                access.offset += if stride < 0 { more as isize } else { 0 };
                let access = code.access(access);
                (Instr::Gather { access, index: reg, stride, bound }, of)
            }
            3 if dtype.is_float() => {
                let exact = [
                    Unary::Neg,
                    Unary::Abs,
                    Unary::Sqrt,
                    Unary::Square,
                    Unary::Reciprocal,
                    Unary::Floor,
                    Unary::Ceil,
                    Unary::Round,
                    Unary::Sign,
                ];
                (Instr::Unary(random.one(&exact), reg), dtype)
            }
            3 if dtype.is_int() => {
                (Instr::Unary(random.one(&[Unary::Neg, Unary::Abs, Unary::Square, Unary::Sign]), reg), dtype)
            }
            4 | 5 if dtype.is_number() => {
                let op = random.one(Binary::ALL);
                let op = if op == Binary::Pow && dtype.is_float() { Binary::Add } else { op };
                (Instr::Binary(op, reg, other), dtype)
            }
            6 if dtype.is_float() => (Instr::Fma(reg, other, random.one(&alike)), dtype),
            7 => {
                let all = [Compare::Eq, Compare::Ne, Compare::Lt, Compare::Le, Compare::Gt, Compare::Ge];
                (Instr::Compare(random.one(&all), reg, other), DType::Bool)
            }
            8 if dtype == DType::Bool => {
                (Instr::Logic(random.one(&[Logic::And, Logic::Or, Logic::Not]), reg, other), dtype)
            }
            9 if !bools.is_empty() => (Instr::Select(random.one(&bools), reg, other), dtype),
            _ => (Instr::Cast(reg), random.one(&DType::ALL)),
        };
        code.push(instr, dtype);
    }
    code
}

fn literal(random: &mut Random, dtype: DType) -> u64 {
    let x = random.below(41) as f64 / 4.0 - 5.0;
    match dtype {
        DType::F32 => (x as f32).to_bits().into(),
        DType::F64 => x.to_bits(),
        DType::I32 | DType::I64 => x as i64 as u64,
        DType::U32 | DType::U8 => x.abs() as u64,
        DType::Bool => random.below(2) as u64,
    }
}

fn nest(random: &mut Random) -> Program {
    let mut draft = Draft::default();
    draft.input(DType::F32, 1);
    // Now and then so much that it is cut into units.
    let room = random.one(if cfg!(miri) { &[200, 200, 200, 2000] } else { &[4000, 4000, 4000, 50_000] });
    let rows = sizes(random, &[1, 2, 3, 5, 41, 131, 701], 2, room / 2);
    let room = room / rows.iter().product::<usize>().max(1);
    let mut nest = Nest { rows: rows.clone().into(), ..Nest::default() };
    let n_stages = random.one(&[1, 1, 2, 3]);
    let of_columns = sizes(random, &[1, 2, 7, 11, 37, 317], 2, room);
    let mut known: Vec<(u32, Local)> = Vec::new();
    for _ in 0..n_stages {
        let columns =
            if random.chance(70) { of_columns.clone() } else { sizes(random, &[1, 3, 5, 300], 2, room) };
        let columns = if random.chance(3) { vec![0] } else { columns };
        let code = code(&mut draft, random, &rows, &columns, &known, Code::default());
        let mut stage = Stage { columns: columns.clone().into(), code, ..Stage::default() };
        let n = stage.code.instrs.len();
        let n_columns: usize = columns.iter().product();
        let in_local = |number: u32, strides: Strides| Access {
            place: Place::Local(number),
            offset: 0,
            rows: rows.iter().map(|_| 0).collect(),
            columns: strides,
        };
        let mut added = Vec::new();
        for _ in 0..random.below(3) {
            let value = random.below(n) as u32;
            let dtype = stage.code.dtype(value);
            let to = if random.chance(70) || n_columns == 0 {
                draft.written(random, dtype, &rows, &columns)
            } else {
                let local = Local { dtype, len: n_columns };
                nest.locals.push(local);
                added.push((nest.locals.len() as u32 - 1, local));
                in_local(nest.locals.len() as u32 - 1, packed(random, &columns, false))
            };
            stage.stores.push(Store { value, to, watched: random.chance(30) });
        }
        for _ in 0..random.below(3) {
            let value = random.below(n) as u32;
            let dtype = stage.code.dtype(value);
            let fold = match dtype {
                DType::Bool => Fold::Any,
                _ => random.one(&[Fold::Sum, Fold::Max]),
            };
            // None of the column loops, all of them, or some.
            let (none, all) = (random.chance(50), random.chance(50));
            let is_moved: Vec<bool> = columns.iter().map(|_| !none && (all || random.chance(50))).collect();
            let own: Vec<usize> =
                columns.iter().zip(&is_moved).map(|(&size, &moved)| if moved { size } else { 1 }).collect();
            let mut into = if random.chance(40) && n_columns > 0 {
                let local = Local { dtype, len: own.iter().product() };
                nest.locals.push(local);
                added.push((nest.locals.len() as u32 - 1, local));
                in_local(nest.locals.len() as u32 - 1, packed(random, &own, false))
            } else {
                let kept: Vec<bool> = rows.iter().map(|_| random.chance(60)).collect();
                let sizes: Vec<usize> =
                    rows.iter().zip(&kept).map(|(&size, &kept)| if kept { size } else { 1 }).collect();
                let mut into = draft.written(random, dtype, &sizes, &own);
                into.rows.iter_mut().zip(&kept).for_each(|(stride, &kept)| *stride *= kept as isize);
                into
            };
            into.columns.iter_mut().zip(&is_moved).for_each(|(stride, &moved)| *stride *= moved as isize);
            nest.accumulators.push((into.place, fold));
            // Now and then several values are folded into one accumulator.
            let alike: Vec<u32> = (0..n as u32).filter(|&x| stage.code.dtype(x) == dtype).collect();
            let mut values = vec![value];
            (0..random.one(&[0, 0, 0, 1, 2])).for_each(|_| values.push(random.one(&alike)));
            for value in values {
                let lanes = random.one(&[1, 2, 4, 8, 16, 32, 64]);
                stage.reduces.push(Reduce { fold, value, into: into.clone(), lanes });
            }
        }
        known.extend(added);
        nest.stages.push(stage);
    }
    draft.program.steps.push(Step { kind: Kind::Nest(nest), nodes: Vec::new(), begins: Vec::new() });
    draft.program
}

fn contraction(random: &mut Random) -> Program {
    let mut draft = Draft::default();
    draft.input(DType::F32, 1);
    let dtype = random.one(&NUMBERS);
    let batch = sizes(random, &[1, 2, 3], 2, 9);
    let of = [0, 1, 2, 3, 5, 7, 13, 17, 31, 37, 67, 131];
    let of = if cfg!(miri) { &of[..7] } else { &of[..] };
    let (m, n, k) = (random.one(of), random.one(of), random.one(of));
    let m = m.min(8000 / (n * k).max(1));
    let k_block = random.one(&[1, 3, 16, 31, 64, 1000]);
    let factor = |draft: &mut Draft, random: &mut Random, rows: usize, columns: usize| {
        let access = draft.read(random, dtype, &batch, &[rows, columns]);
        let Place::Buffer(buffer) = access.place else { unreachable!() };
        let (row_stride, column_stride) = (access.columns[0], access.columns[1]);
        Factor { buffer, offset: access.offset, batch_strides: access.rows, row_stride, column_stride }
    };
    let a = factor(&mut draft, random, m, k);
    let b = factor(&mut draft, random, k, n);
    let rows: Vec<usize> = batch.iter().copied().chain([m]).collect();
    let mut first = Code::default();
    let product = first.push(Instr::Product, dtype);
    let code = code(&mut draft, random, &rows, &[n], &[], first);
    let last = code.instrs.len() as u32 - 1;
    let mut stage = Stage { columns: [n].into_iter().collect(), code, ..Stage::default() };
    for value in [product, last] {
        let to = draft.written(random, stage.code.dtype(value), &rows, &[n]);
        stage.stores.push(Store { value, to, watched: random.chance(30) });
    }
    let kind = Contraction { dtype, batch: batch.into(), m, n, k, k_block, a, b, stage };
    draft.program.steps.push(Step {
        kind: Kind::Contraction(Box::new(kind)),
        nodes: Vec::new(),
        begins: Vec::new(),
    });
    draft.program
}

/// Numbers of moderate size, now and then none.
fn fill(random: &mut Random, dtype: DType, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len * dtype.size()];
    for at in 0..len {
        let rare = random.chance(2);
        let x = match random.below(6) {
            0 if rare => f64::NAN,
            1 if rare => f64::INFINITY,
            2 if rare => -0.0,
            3 if rare => -1e30,
            _ => random.below(4001) as f64 / 128.0 - 15.0,
        };
        let value = match dtype {
            DType::F32 => Value::F32(x as f32),
            DType::F64 => Value::F64(x),
            DType::Bool => Value::Int(random.below(2) as i64),
            DType::U8 | DType::U32 => Value::Int(x.abs() as i64 & 0xFF),
            _ => Value::Int(x as i64),
        };
        value.write(&mut bytes, dtype, at);
    }
    bytes
}

/// Elements of 8 bytes, so that every type is aligned.
fn aligned(bytes: &[u8]) -> Vec<u64> {
    let mut words = vec![0u64; bytes.len().div_ceil(8) + 1];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks(8)) {
        let mut all = [0; 8];
        all[..chunk.len()].copy_from_slice(chunk);
        *word = u64::from_ne_bytes(all);
    }
    words
}

/// The same numbers, any NaN for any NaN.
fn same(dtype: DType, len: usize, a: &[u8], b: &[u8]) -> Option<usize> {
    (0..len).find(|&at| {
        let (x, y) = (Value::read(a, dtype, at), Value::read(b, dtype, at));
        let size = dtype.size();
        a[at * size..][..size] != b[at * size..][..size] && !(x.is_nan() && y.is_nan())
    })
}

fn bytes_of(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn check(program: Program, seed: u64, random: &mut Random) {
    let of = |&id: &u32| program.buffer(id);
    let inputs: Vec<Vec<u8>> = program.inputs.iter().map(of).map(|b| fill(random, b.dtype, b.len)).collect();
    let mut machine = Machine::new(&program, &inputs);
    machine.run();
    let compare = |outputs: &[Vec<u64>], outcome: Outcome, how: &str| {
        assert_eq!(outcome, machine.outcome, "seed {seed}, {how}");
        for (&id, output) in program.outputs.iter().zip(outputs) {
            let buffer = program.buffer(id);
            let (found, wanted) = (bytes_of(output), &machine.pieces[1 + id as usize]);
            if let Some(at) = same(buffer.dtype, buffer.len, &found, wanted) {
                let found = Value::read(&found, buffer.dtype, at);
                let wanted = Value::read(wanted, buffer.dtype, at);
                panic!(
                    "seed {seed}, {how}: {}[{at}] = {found:?}, not {wanted:?}\n{:#?}",
                    buffer.label, program.steps
                );
            }
        }
    };
    let words: Vec<Vec<u64>> = inputs.iter().map(|input| aligned(input)).collect();
    let from: Vec<*const u8> = words.iter().map(|words| words.as_ptr().cast()).collect();
    let fresh = || -> Vec<Vec<u64>> {
        let output = |b: &Buffer| vec![0xAAAA_AAAA_AAAA_AAAAu64; b.bytes().div_ceil(8) + 1];
        program.outputs.iter().map(of).map(output).collect()
    };
    program.verify().unwrap();
    let kind = &program.steps[0].kind;
    let portable = |isa: Isa| match kind {
        Kind::Nest(nest) => portable::nest(&program, nest, isa),
        Kind::Contraction(contraction) => portable::contraction(&program, contraction, isa),
        _ => unreachable!(),
    };
    // Not every stage has machine code.
    let machine_code = |isa: native::Isa| match kind {
        Kind::Contraction(contraction) => native::contraction(&program, contraction, isa),
        _ => None,
    };
    let isas = Isa::ALL.into_iter().filter(|isa| isa.is_available());
    let kernels = isas.map(|isa| (format!("portable {isa:?}"), portable(isa)));
    let isas = native::Isa::available().into_iter();
    let kernels =
        kernels.chain(isas.filter_map(|isa| Some((format!("machine code {isa:?}"), machine_code(isa)?))));
    for (name, kernel) in kernels {
        // Units in any order, cut anywhere.
        let mut outputs = fresh();
        let bases: Vec<*mut u8> = (program.buffers.iter())
            .map(|buffer| match buffer.home {
                Home::Input(at) => from[at].cast_mut(),
                Home::Output(at) => outputs[at].as_mut_ptr().cast(),
                _ => unreachable!(),
            })
            .collect();
        let mut outcome = Outcome::default();
        let mut cuts = vec![0, kernel.n_units()];
        (0..random.below(4)).for_each(|_| cuts.push(random.below(kernel.n_units() + 1)));
        cuts.sort_unstable();
        for cut in cuts.windows(2).rev() {
            let n_lines = kernel.scratch_bytes().div_ceil(64);
            let mut scratch = vec![Line([0xAA; 64]); n_lines + GUARD];
            // SAFETY: the program was verified, and every buffer is as large as it says.
            let met = unsafe { kernel.run(&bases, scratch.as_mut_ptr().cast(), cut[0]..cut[1]) };
            outcome.is_faulty |= met.is_faulty;
            outcome.is_not_finite |= met.is_not_finite;
            let is_kept = scratch[n_lines..].iter().all(|line| line.0 == [0xAA; 64]);
            assert!(is_kept, "seed {seed}, {name}: the kernel leaves its scratch");
        }
        compare(&outputs, outcome, &format!("{name}, cut at {cuts:?}"));
    }
    let compiled =
        Compiled::new(Arc::new(program.clone()), Choice { engine: Engine::Portable, ..Choice::default() });
    let compiled = compiled.unwrap();
    let n_threads = random.one(&[1, 2, 7]);
    let mut arena = compiled.arena(n_threads).unwrap();
    let mut outputs = fresh();
    let to: Vec<*mut u8> = outputs.iter_mut().map(|words| words.as_mut_ptr().cast()).collect();
    // SAFETY: inputs and outputs are as the program says.
    let outcome = unsafe { compiled.run_at(&mut arena, &from, &to) }.unwrap();
    compare(&outputs, outcome, &format!("{n_threads} threads"));
}

/// Lines after the scratch that a kernel must leave alone.
const GUARD: usize = 500;

#[repr(align(64))]
#[derive(Clone)]
struct Line([u8; 64]);

const SEEDS: u64 = if cfg!(miri) { 20 } else { 1000 };

#[test]
fn random_nests_give_the_bits_of_the_naive_machine() {
    for seed in 1..=SEEDS {
        let mut random = Random::new(seed);
        let program = nest(&mut random);
        check(program, seed, &mut random);
    }
}

#[test]
fn random_contractions_give_the_bits_of_the_naive_machine() {
    for seed in 1..=SEEDS / 2 {
        let mut random = Random::new(seed);
        let program = contraction(&mut random);
        check(program, seed, &mut random);
    }
}

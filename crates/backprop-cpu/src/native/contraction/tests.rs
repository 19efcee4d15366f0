//! Contractions against a naive reference, bit for bit, between guard pages. (The assembler decodes every
//! instruction back in tests.)

mod naive;

use backprop_core::DType;
use backprop_core::ops::{Binary, Compare, Logic, Unary};
use backprop_opt::loops::{
    Access, Buffer, Code, Contraction, Factor, Home, Instr, Kind, Outcome, Place, Program, Stage, Step,
    Store, Strides,
};

use self::naive::{read, reference, write};
use super::plan::{Handover, Packing, Plan};
use super::roles::Orientation;
use super::stage::Axis;
use crate::guard::{Guarded, Side};
use crate::native::Isa;

/// Pseudo-random numbers, the same in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    fn bytes(&mut self, dtype: DType, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..len {
            let number = self.next() as f64 / (1u64 << 30) as f64 - 1.0;
            match dtype {
                DType::F32 => bytes.extend((number as f32).to_ne_bytes()),
                DType::F64 => bytes.extend(number.to_ne_bytes()),
                _ => bytes.push((self.next() % 2) as u8),
            }
        }
        bytes
    }
}

/// How a factor lies in memory.
#[derive(Clone, Copy, Debug)]
enum Lie {
    RowMajor,
    Transposed,
    /// Each batch, row and column further apart than need be.
    Loose,
    /// From its last element to its first.
    Backward,
    /// One matrix for all batches.
    Shared,
    /// One row for all rows.
    OneRow,
}

const LIES: [Lie; 6] = [Lie::RowMajor, Lie::Transposed, Lie::Loose, Lie::Backward, Lie::Shared, Lie::OneRow];

/// What is done with each product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Store,
    StoreTransposed,
    BiasRelu,
    BiasReluMask,
    Update,
    Masked,
    Everything,
    /// Rows and columns far apart: the stage runs elsewhere.
    Strided,
}

const WORKS: [Work; 8] = [
    Work::Strided,
    Work::Store,
    Work::StoreTransposed,
    Work::BiasRelu,
    Work::BiasReluMask,
    Work::Update,
    Work::Masked,
    Work::Everything,
];

#[derive(Clone, Debug)]
struct Case {
    dtype: DType,
    batch: Vec<usize>,
    m: usize,
    n: usize,
    k: usize,
    k_block: usize,
    a: Lie,
    b: Lie,
    work: Work,
}

/// A program of one contraction. Buffers are outputs if written, else inputs.
struct Building {
    program: Program,
}

impl Building {
    /// A new buffer for an access that has yet no buffer; it is made just large enough.
    fn buffer(
        &mut self,
        dtype: DType,
        access: &mut Access,
        sizes: (&[usize], &[usize]),
        is_output: bool,
    ) -> u32 {
        let (low, high) = access.range(sizes.0, sizes.1).unwrap_or((0, -1));
        access.offset -= low;
        let len = (high - low + 1) as usize;
        let id = self.program.buffers.len() as u32;
        let list = if is_output { &mut self.program.outputs } else { &mut self.program.inputs };
        let home = if is_output { Home::Output(list.len()) } else { Home::Input(list.len()) };
        list.push(id);
        self.program.buffers.push(Buffer { dtype, len, home, label: String::new() });
        access.place = Place::Buffer(id);
        id
    }
}

fn row_major(sizes: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; sizes.len()];
    for axis in (1..sizes.len()).rev() {
        strides[axis - 1] = strides[axis] * sizes[axis].max(1) as isize;
    }
    strides
}

impl Case {
    fn factor(&self, building: &mut Building, lie: Lie, rows: usize, columns: usize) -> Factor {
        let sizes: Vec<usize> = self.batch.iter().copied().chain([rows, columns]).collect();
        let n_batch = self.batch.len();
        let mut strides = match lie {
            Lie::Transposed => {
                let mut turned = sizes.clone();
                turned.swap(n_batch, n_batch + 1);
                let mut strides = row_major(&turned);
                strides.swap(n_batch, n_batch + 1);
                strides
            }
            _ => row_major(&sizes),
        };
        match lie {
            Lie::Loose => strides.iter_mut().for_each(|stride| *stride *= 3),
            Lie::Backward => strides.iter_mut().for_each(|stride| *stride = -*stride),
            Lie::Shared => strides[..n_batch].fill(0),
            Lie::OneRow => strides[n_batch] = 0,
            _ => {}
        }
        let mut access = Access {
            place: Place::Local(0),
            offset: 0,
            rows: strides[..n_batch].into(),
            columns: strides[n_batch..].into(),
        };
        let buffer = building.buffer(self.dtype, &mut access, (&self.batch, &[rows, columns]), false);
        Factor {
            buffer,
            offset: access.offset,
            batch_strides: access.rows,
            row_stride: strides[n_batch],
            column_stride: strides[n_batch + 1],
        }
    }

    fn program(&self) -> Program {
        let mut building = Building { program: Program::default() };
        let a = self.factor(&mut building, self.a, self.m, self.k);
        let b = self.factor(&mut building, self.b, self.k, self.n);
        let rows: Vec<usize> = self.batch.iter().copied().chain([self.m]).collect();
        let columns = [self.n];
        let mut code = Code::default();
        let mut stores = Vec::new();
        let full: Vec<usize> = rows.iter().copied().chain([self.n]).collect();
        let plain = row_major(&full);
        let mut turned = full.clone();
        turned.swap(rows.len() - 1, rows.len());
        let mut across = row_major(&turned);
        across.swap(rows.len() - 1, rows.len());
        let access = |building: &mut Building, strides: &[isize], dtype: DType, is_output: bool| {
            let mut access = Access {
                place: Place::Local(0),
                offset: 0,
                rows: Strides::from(&strides[..rows.len()]),
                columns: Strides::from(&strides[rows.len()..]),
            };
            building.buffer(dtype, &mut access, (&rows, &columns), is_output);
            access
        };
        let d = self.dtype;
        let lit = |x: f64| if d == DType::F32 { u64::from((x as f32).to_bits()) } else { x.to_bits() };
        let mut bias_strides = vec![0; plain.len()];
        bias_strides[rows.len()] = 1;
        let p = code.push(Instr::Product, d);
        let load = |building: &mut Building, code: &mut Code, strides: &[isize], dtype: DType| {
            let number = code.access(access(building, strides, dtype, false));
            code.push(Instr::Load(number), dtype)
        };
        let mut store = |value, to: Access, watched| stores.push(Store { value, to, watched });
        match self.work {
            Work::Store => store(p, access(&mut building, &plain, d, true), true),
            Work::StoreTransposed => store(p, access(&mut building, &across, d, true), true),
            Work::Strided => {
                let far: Vec<isize> = plain.iter().map(|stride| 3 * stride).collect();
                let x = load(&mut building, &mut code, &far, d);
                let sum = code.push(Instr::Binary(Binary::Sub, p, x), d);
                store(sum, access(&mut building, &far, d, true), true);
                store(p, access(&mut building, &plain, d, true), false);
            }
            Work::BiasRelu | Work::BiasReluMask => {
                let bias = load(&mut building, &mut code, &bias_strides, d);
                let sum = code.push(Instr::Binary(Binary::Add, p, bias), d);
                let zero = code.push(Instr::Literal(0), d);
                let y = code.push(Instr::Binary(Binary::Maximum, sum, zero), d);
                store(y, access(&mut building, &plain, d, true), false);
                if self.work == Work::BiasReluMask {
                    let mask = code.push(Instr::Compare(Compare::Gt, sum, zero), DType::Bool);
                    store(mask, access(&mut building, &plain, DType::Bool, true), false);
                }
            }
            Work::Update => {
                let w = access(&mut building, &plain, d, true);
                let number = code.access(w.clone());
                let old = code.push(Instr::Load(number), d);
                let rate = code.push(Instr::Literal(lit(-0.37)), d);
                let new = code.push(Instr::Fma(p, rate, old), d);
                store(new, w, true);
            }
            Work::Masked => {
                let h = load(&mut building, &mut code, &plain, d);
                let scale = load(&mut building, &mut code, &vec![0; plain.len()], d);
                let zero = code.push(Instr::Literal(0), d);
                let mask = code.push(Instr::Compare(Compare::Gt, h, zero), DType::Bool);
                let kept = code.push(Instr::Select(mask, p, zero), d);
                let y = code.push(Instr::Binary(Binary::Mul, kept, scale), d);
                store(y, access(&mut building, &plain, d, true), true);
            }
            Work::Everything => {
                let x = load(&mut building, &mut code, &plain, d);
                let per_row = {
                    let mut strides = row_major(&rows);
                    strides.push(0);
                    load(&mut building, &mut code, &strides, d)
                };
                let larger = code.push(Instr::Binary(Binary::Maximum, p, x), d);
                let smaller = code.push(Instr::Binary(Binary::Minimum, x, p), d);
                let difference = code.push(Instr::Binary(Binary::Sub, larger, smaller), d);
                let square = code.push(Instr::Unary(Unary::Square, difference), d);
                let root = code.push(Instr::Unary(Unary::Sqrt, square), d);
                let absolute = code.push(Instr::Unary(Unary::Abs, p), d);
                let quotient = code.push(Instr::Binary(Binary::Div, root, absolute), d);
                let negative = code.push(Instr::Unary(Unary::Neg, per_row), d);
                let reciprocal = code.push(Instr::Unary(Unary::Reciprocal, negative), d);
                let sum = code.push(Instr::Fma(reciprocal, p, p), d);
                let ge = code.push(Instr::Compare(Compare::Ge, p, x), DType::Bool);
                let ne = code.push(Instr::Compare(Compare::Ne, x, per_row), DType::Bool);
                let not = code.push(Instr::Logic(Logic::Not, ge, ge), DType::Bool);
                let both = code.push(Instr::Logic(Logic::Or, not, ne), DType::Bool);
                let y = code.push(Instr::Select(both, sum, quotient), d);
                store(y, access(&mut building, &plain, d, true), false);
                store(difference, access(&mut building, &plain, d, true), true);
            }
        }
        let stage = Stage { columns: columns.into_iter().collect(), code, stores, reduces: Vec::new() };
        let contraction = Contraction {
            dtype: d,
            batch: self.batch.iter().copied().collect(),
            m: self.m,
            n: self.n,
            k: self.k,
            k_block: self.k_block,
            a,
            b,
            stage,
        };
        let kind = Kind::Contraction(Box::new(contraction));
        building.program.steps.push(Step { kind, nodes: Vec::new(), begins: Vec::new() });
        building.program.verify_accesses().expect("the program is sound");
        building.program
    }
}

fn contraction_of(program: &Program) -> &Contraction {
    match &program.steps[0].kind {
        Kind::Contraction(contraction) => contraction,
        other => panic!("{other:?} is no contraction"),
    }
}

/// Runs a case both ways round, through registers and through memory, with several partitions of its units, and
/// compares every byte; the number of plans that there is code for.
fn check(case: &Case, isa: Isa, spoil: Option<f64>) -> usize {
    let program = case.program();
    let contraction = contraction_of(&program);
    let mut random = Random(case.m as u64 * 31 + case.n as u64);
    let mut buffers: Vec<(DType, Vec<u8>)> =
        program.buffers.iter().map(|b| (b.dtype, random.bytes(b.dtype, b.len))).collect();
    if let Some(spoil) = spoil {
        // The last element of the left factor.
        let len = program.buffers[0].len;
        write(&mut buffers[0].1, case.dtype, len - 1, spoil);
    }
    let given = buffers.clone();
    let outcome = reference(contraction, &mut buffers);
    let mut n_plans = 0;
    for orientation in [Orientation::Straight, Orientation::Swapped] {
        let handovers = [Handover::Registers, Handover::Memory];
        for (handover, is_packed) in handovers.into_iter().flat_map(|h| [(h, false), (h, true)]) {
            let Some(mut plan) = Plan::new(&program, contraction, isa, orientation) else { continue };
            if is_packed {
                // Small factors are left where they are.
                plan.packing = Packing::Copied;
                plan.packs_rows |= plan.roles.rows.along == 1;
            }
            let fits = plan.stage.axis == Axis::Lanes && plan.stage.elsewhere.is_none();
            if handover == Handover::Registers && !(fits && case.k <= case.k_block) {
                continue;
            }
            plan.handover = handover;
            n_plans += 1;
            let kernel = super::kernel(plan);
            let kernel =
                kernel.unwrap_or_else(|| panic!("no code: {case:?} {isa:?} {orientation:?} {handover:?}"));
            let n = kernel.n_units();
            let parts = |part| kernel.part_start(part, 3)..kernel.part_start(part + 1, 3);
            assert_eq!((parts(0).start, parts(2).end), (0, n), "{case:?} {isa:?} {orientation:?}");
            #[allow(clippy::single_range_in_vec_init)]
            let partitions: [Vec<std::ops::Range<usize>>; 3] = [
                vec![0..n],
                vec![parts(1), parts(2), parts(0)],
                (0..n).rev().map(|unit| unit..unit + 1).collect(),
            ];
            for (turn, partition) in partitions.iter().enumerate() {
                let side = if turn == 1 { Side::Before } else { Side::After };
                let memory: Vec<Guarded> =
                    given.iter().map(|(dtype, bytes)| Guarded::new(bytes, dtype.size(), side)).collect();
                let bases: Vec<*mut u8> = memory.iter().map(Guarded::base).collect();
                let scratch = Guarded::new(&vec![0xff; kernel.scratch_bytes()], 64, side);
                let mut found = Outcome::default();
                for units in partition {
                    // SAFETY: the program was verified; the buffers and the scratch memory are ours.
                    let told = unsafe { kernel.run(&bases, scratch.base(), units.clone()) };
                    found.is_not_finite |= told.is_not_finite;
                }
                assert_eq!(found, outcome, "{case:?} {isa:?} {orientation:?} {handover:?}");
                for (id, guarded) in memory.iter().enumerate() {
                    let (dtype, expect) = &buffers[id];
                    let bytes = guarded.bytes();
                    for at in 0..program.buffers[id].len {
                        let (x, y) = (read(bytes, *dtype, at), read(expect, *dtype, at));
                        let same = x.to_bits() == y.to_bits() || x.is_nan() && y.is_nan();
                        assert!(
                            same,
                            "{case:?} {isa:?} {orientation:?} {handover:?} {partition:?}: element {at} of {} in \
                             buffer {id} is {x:e}, not {y:e}",
                            program.buffers[id].len
                        );
                    }
                }
            }
        }
    }
    n_plans
}

fn plain(m: usize, n: usize, k: usize, work: Work) -> Case {
    let (a, b) = (Lie::RowMajor, Lie::RowMajor);
    Case { dtype: DType::F32, batch: vec![], m, n, k, k_block: k.max(1), a, b, work }
}

#[test]
fn sizes_of_all_kinds_agree_with_the_reference() {
    let sizes = [
        (1, 1, 1),
        (0, 3, 5),
        (3, 0, 5),
        (3, 5, 0),
        (1, 131, 17),
        (131, 1, 17),
        (2, 37, 3),
        (53, 10, 7),
        (10, 53, 13),
        (7, 67, 1),
        (61, 83, 19),
        (5, 16, 31),
        (29, 149, 11),
        (103, 23, 2),
    ];
    for isa in Isa::available() {
        for dtype in [DType::F32, DType::F64] {
            for (m, n, k) in sizes {
                for work in [Work::Store, Work::Update] {
                    let n_plans = check(&Case { dtype, ..plain(m, n, k, work) }, isa, None);
                    assert!(n_plans >= 3, "{n_plans} plans of {m} × {n}");
                }
            }
        }
    }
}

#[test]
fn factors_may_lie_anyhow() {
    for isa in Isa::available() {
        for dtype in [DType::F32, DType::F64] {
            for a in LIES {
                for b in LIES {
                    let case = Case { dtype, batch: vec![2, 3], a, b, ..plain(13, 37, 11, Work::Store) };
                    check(&case, isa, None);
                }
            }
        }
    }
}

#[test]
fn panels_are_packed_whatever_the_strides() {
    for isa in Isa::available() {
        for dtype in [DType::F32, DType::F64] {
            for b in LIES {
                // Many tiles below each other, and lanes far apart: worth a copy.
                let case = Case { dtype, b, ..plain(67, 83, 101, Work::BiasRelu) };
                check(&case, isa, None);
            }
        }
    }
}

#[test]
fn rows_are_packed_where_their_products_are_far_apart() {
    for isa in Isa::available() {
        for (dtype, m, n) in [(DType::F32, 307, 263), (DType::F64, 139, 257)] {
            let case = Case { dtype, a: Lie::Transposed, ..plain(m, n, 17, Work::Update) };
            check(&case, isa, None);
        }
    }
}

#[test]
fn factors_are_packed_if_the_l2_cache_does_not_hold_them() {
    for isa in Isa::available() {
        for (m, n, k, is_packed) in [(307, 263, 17, false), (7717, 18_443, 19, true)] {
            let program = Case { a: Lie::Transposed, ..plain(m, n, k, Work::Update) }.program();
            let plan = Plan::new(&program, contraction_of(&program), isa, Orientation::Straight);
            let plan = plan.expect("a plan");
            assert_eq!(plan.packs_rows, is_packed, "{isa:?} {m} {n} {k}");
            assert_eq!(plan.packing == Packing::Copied, is_packed, "{isa:?} {m} {n} {k}");
        }
    }
}

#[test]
fn every_stage_agrees_with_the_reference() {
    for isa in Isa::available() {
        for dtype in [DType::F32, DType::F64] {
            for work in WORKS {
                for (m, n) in [(61, 43), (7, 5), (1, 19), (19, 1), (0, 7)] {
                    let case = Case { dtype, batch: vec![2], ..plain(m, n, 5, work) };
                    let n_plans = check(&case, isa, None);
                    assert!(n_plans > 0, "{case:?} {isa:?}");
                }
            }
        }
    }
}

#[test]
fn blocks_of_products_are_added_in_order() {
    for isa in Isa::available() {
        for dtype in [DType::F32, DType::F64] {
            for (k, k_block) in [(23, 7), (21, 7), (8, 1), (64, 31)] {
                for work in [Work::StoreTransposed, Work::Update] {
                    check(&Case { dtype, k_block, ..plain(17, 29, k, work) }, isa, None);
                }
            }
        }
    }
}

#[test]
fn what_is_not_finite_is_told() {
    for isa in Isa::available() {
        for dtype in [DType::F32, DType::F64] {
            for spoil in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                for work in [Work::Store, Work::Update, Work::Everything, Work::BiasRelu] {
                    check(&Case { dtype, ..plain(13, 37, 5, work) }, isa, Some(spoil));
                }
            }
        }
    }
}

/// What lies beyond the lanes is no lane: ∞·0 there is nobody's NaN.
#[test]
fn padding_is_not_watched() {
    for isa in Isa::available() {
        let mut case = plain(61, 17, 101, Work::Masked);
        case.b = Lie::Transposed;
        check(&case, isa, Some(f64::MAX.sqrt()));
    }
}

#[test]
fn a_stage_without_inline_code_runs_as_a_nest() {
    let mut program = plain(61, 37, 3, Work::Store).program();
    let Kind::Contraction(contraction) = &mut program.steps[0].kind else { panic!("no contraction") };
    let code = &mut contraction.stage.code;
    let y = code.push(Instr::Unary(Unary::Tanh, 0), DType::F32);
    contraction.stage.stores[0].value = y;
    let contraction = contraction_of(&program);
    let numbers = |len: usize| (0..len).map(|at| (at % 7) as f32 / 8.0 - 0.3).collect::<Vec<f32>>();
    let (mut a, mut b, mut y) = (numbers(61 * 3), numbers(3 * 37), vec![0f32; 61 * 37]);
    let bases = [a.as_mut_ptr().cast(), b.as_mut_ptr().cast(), y.as_mut_ptr().cast()];
    for isa in Isa::available() {
        let kernel = super::contraction(&program, contraction, isa).expect("there is code for tanh");
        let scratch = Guarded::new(&vec![0xff; kernel.scratch_bytes()], 64, Side::After);
        y.fill(f32::NAN);
        // SAFETY: the program was verified, and the vectors are as long as its buffers.
        unsafe { kernel.run(&bases, scratch.base(), 0..kernel.n_units()) };
        for (at, y) in y.iter().enumerate() {
            let (i, j) = (at / 37, at % 37);
            let expect = (0..3).map(|k| a[3 * i + k] * b[37 * k + j]).sum::<f32>().tanh();
            assert!((y - expect).abs() < 1e-6, "{isa:?}: tanh at {i}, {j} is {y}, not {expect}");
        }
    }
}

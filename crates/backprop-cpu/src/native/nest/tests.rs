//! Random nests: machine code, and the portable kernels, against an interpreter that follows the loop IR word
//! by word.

mod generate;
mod interpret;

use std::collections::BTreeMap;

use backprop_core::DType;
use backprop_core::ops::{Binary, Compare, Logic, Unary};
use backprop_opt::loops::{
    Access, Buffer, Code, Fold, Home, Instr, Kind, Nest, Outcome, Place, Program, Reduce, Stage, Step, Store,
};

use self::generate::{Random, random_program};
use self::interpret::interpret;
use super::{NestKernel, traffic};
use crate::guard::{Guarded, Side};
use crate::kernel::Kernel;
use crate::native::Isa;

/// The nest of a program of one step.
fn nest_of(program: &Program) -> &Nest {
    match &program.steps[0].kind {
        Kind::Nest(nest) => nest,
        other => panic!("not a nest: {other:?}"),
    }
}

/// Runs a kernel on copies of buffers, between guard pages; the ranges of units in the given order.
fn run(
    kernel: &dyn Kernel,
    given: &[Vec<u8>],
    sizes: &[usize],
    side: Side,
    cuts: &[std::ops::Range<usize>],
) -> (Vec<Vec<u8>>, Outcome) {
    let buffers: Vec<Guarded> =
        given.iter().zip(sizes).map(|(bytes, &size)| Guarded::new(bytes, size, side)).collect();
    let bases: Vec<*mut u8> = buffers.iter().map(Guarded::base).collect();
    let scratch = Guarded::new(&vec![0xa5; kernel.scratch_bytes().next_multiple_of(64)], 64, side);
    let mut told = Outcome::default();
    for units in cuts {
        // SAFETY: the program is verified, the buffers are as it says, and one call runs at a time.
        let outcome = unsafe { kernel.run(&bases, scratch.base(), units.clone()) };
        told.is_faulty |= outcome.is_faulty;
        told.is_not_finite |= outcome.is_not_finite;
    }
    (buffers.iter().map(|buffer| buffer.bytes().to_vec()).collect(), told)
}

/// Equal bits; of a NaN, only that it is one.
fn same(dtype: DType, a: &[u8], b: &[u8]) -> bool {
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("4 bytes"));
    let double = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
    a.chunks(dtype.size()).zip(b.chunks(dtype.size())).all(|(a, b)| match dtype {
        DType::F32 => a == b || f32::from_bits(word(a)).is_nan() && f32::from_bits(word(b)).is_nan(),
        DType::F64 => a == b || f64::from_bits(double(a)).is_nan() && f64::from_bits(double(b)).is_nan(),
        _ => a == b,
    })
}

/// What kernels were made of.
#[derive(Debug, Default)]
struct Made {
    kernels: usize,
    /// Kernels that call functions for rare lanes.
    calling: usize,
    /// Kernels that write past the caches.
    streaming: usize,
    /// Kernels that fetch the next row.
    fetching: usize,
}

impl Made {
    /// Every byte of the code belongs to an instruction.
    fn count(&mut self, kernel: &NestKernel) {
        self.kernels += 1;
        let code = kernel.machine_code()[0].code;
        let mut decoder = iced_x86::Decoder::new(64, code, iced_x86::DecoderOptions::NONE);
        let all: Vec<_> = decoder.iter().collect();
        assert!(all.iter().all(|instruction| !instruction.is_invalid()));
        assert_eq!(all.iter().map(|instruction| instruction.len()).sum::<usize>(), code.len());
        let has = |mnemonic| usize::from(all.iter().any(|instruction| instruction.mnemonic() == mnemonic));
        self.calling += has(iced_x86::Mnemonic::Call);
        self.streaming += has(iced_x86::Mnemonic::Vmovntps);
        self.fetching += has(iced_x86::Mnemonic::Prefetcht0);
    }
}

/// Checks a nest on every instruction set of this machine.
fn check(program: &Program, given: &[Vec<u8>], seed: u64, made: &mut Made) {
    program.verify_accesses().unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    let nest = nest_of(program);
    let mut expected = given.to_vec();
    let outcome = interpret(program, nest, &mut expected);
    let sizes: Vec<usize> = program.buffers.iter().map(|buffer| buffer.dtype.size()).collect();
    for isa in crate::isa::Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let kernel = crate::portable::nest(program, nest, isa);
        let all: Vec<_> = std::iter::once(0..kernel.n_units()).collect();
        let (found, told) = run(&*kernel, given, &sizes, Side::After, &all);
        let dtypes = program.buffers.iter().map(|buffer| buffer.dtype);
        let agree = dtypes.zip(found.iter().zip(&expected)).all(|(dtype, (a, b))| same(dtype, a, b));
        assert!(agree && told == outcome, "seed {seed}: portable, {isa:?}\n{nest:#?}");
    }
    let how = Isa::available().into_iter().flat_map(|isa| [(isa, traffic::LARGE), (isa, 1)]);
    for (isa, large) in how {
        let Some(kernel) = NestKernel::with_large(program, nest, isa, large) else { continue };
        made.count(&kernel);
        let n = kernel.n_units();
        let mut apart: Vec<_> = (0..n).map(|unit| unit..unit + 1).collect();
        apart.reverse();
        for (side, cuts) in [(Side::Before, std::iter::once(0..n).collect()), (Side::After, apart)] {
            let (found, told) = run(&kernel, given, &sizes, side, &cuts);
            for (id, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let dtype = program.buffers[id].dtype;
                assert!(
                    same(dtype, found, expected),
                    "seed {seed} {isa:?} {cuts:?}: buffer {id} ({dtype})\n found {}\nwanted {}\n{nest:#?}",
                    interpret::shown(dtype, found),
                    interpret::shown(dtype, expected),
                );
            }
            assert_eq!(told, outcome, "seed {seed} {isa:?} {cuts:?}\n{nest:#?}");
        }
    }
}

/// `NESTS=100000 cargo test -p backprop-cpu --lib native::nest -- --nocapture` tries more, and counts instructions.
#[test]
fn random_nests_agree_with_the_interpreter_bit_for_bit() {
    let (mut made, mut n_wanted) = (Made::default(), 0);
    let mut occurs: BTreeMap<String, usize> = BTreeMap::new();
    let n = std::env::var("NESTS").ok().and_then(|n| n.parse().ok()).unwrap_or(400);
    for seed in 0..n {
        let (program, given) = random_program(&mut Random(seed));
        for stage in &nest_of(&program).stages {
            for (instr, dtype) in stage.code.instrs.iter().zip(&stage.code.dtypes) {
                let name = format!("{instr:?}");
                let name =
                    name.split(|c: char| !c.is_alphanumeric()).filter(|part| part.parse::<u64>().is_err());
                *occurs
                    .entry(format!("{} {dtype}", name.take(2).collect::<Vec<_>>().join(" ")))
                    .or_default() += 1;
            }
        }
        check(&program, &given, seed, &mut made);
        n_wanted += 2 * Isa::available().len();
    }
    if std::env::var_os("NESTS").is_some() {
        println!("{occurs:#?}");
    }
    println!("{made:?} of {n_wanted} kernels");
    assert!(made.kernels * 10 >= n_wanted * 9, "{made:?} of {n_wanted} kernels");
    let Made { calling, streaming, fetching, .. } = made;
    let is_covered = [calling, streaming, fetching].iter().all(|&kernels| kernels > 0);
    assert!(n < 400 || is_covered || Isa::available().is_empty(), "{made:?}");
}

/// A nest of one stage: y = code(operands), element by element.
fn elementwise(
    dtype: DType,
    operands: &[Vec<u8>],
    instrs: impl IntoIterator<Item = Instr>,
) -> (Program, Vec<Vec<u8>>) {
    let len = operands[0].len() / dtype.size();
    let buffer = |home| Buffer { dtype, len, home, label: String::new() };
    let n = operands.len() as u32;
    let homes = (0..operands.len()).map(Home::Input).chain([Home::Output(0)]);
    let access =
        |id| Access { place: Place::Buffer(id), offset: 0, rows: [][..].into(), columns: [1][..].into() };
    let mut code = Code { accesses: (0..n).map(access).collect(), ..Code::default() };
    for instr in instrs {
        code.push(instr, dtype);
    }
    let value = code.instrs.len() as u32 - 1;
    let stores = vec![Store { value, to: access(n), watched: false }];
    let stage = Stage { columns: [len][..].into(), code, stores, reduces: Vec::new() };
    let nest = Nest { stages: vec![stage], ..Nest::default() };
    let steps = vec![Step { kind: Kind::Nest(nest), nodes: Vec::new(), begins: Vec::new() }];
    let buffers = homes.map(buffer).collect();
    let program = Program { buffers, steps, inputs: (0..n).collect(), outputs: vec![n], arena_bytes: 0 };
    let given = operands.iter().cloned().chain([vec![0; len * dtype.size()]]).collect();
    (program, given)
}

/// [`elementwise`] on 17 elements.
fn pointwise(dtype: DType, instrs: impl IntoIterator<Item = Instr>) -> (Program, Vec<Vec<u8>>) {
    elementwise(dtype, &[(0..17 * dtype.size()).map(|byte| byte as u8).collect()], instrs)
}

/// Numbers whose signs, sums and products are easily wrong.
const HARD: [f64; 14] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    3.25,
    -0.3,
    1e-40,
    -1e-310,
    1.17549435e-38,
    3e38,
    -1.7e308,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];

/// Three operands in which each three of the [`HARD`] numbers meet.
fn hard(dtype: DType) -> [Vec<u8>; 3] {
    let n = HARD.len();
    let bytes = |x: f64| match dtype {
        DType::F32 => (x as f32).to_le_bytes().to_vec(),
        _ => x.to_le_bytes().to_vec(),
    };
    [1, n, n * n].map(|stride| (0..n * n * n).flat_map(|at| bytes(HARD[at / stride % n])).collect())
}

#[test]
fn powers_of_integers_and_endless_code_are_left_to_others() {
    let power = [Instr::Load(0), Instr::Binary(Binary::Pow, 0, 0)];
    let endless = (0..6_000).map(|at: u32| Instr::Binary(Binary::Add, at, at));
    let endless: Vec<Instr> = std::iter::once(Instr::Load(0)).chain(endless).collect();
    for (program, _) in [pointwise(DType::I32, power), pointwise(DType::F32, endless)] {
        for isa in Isa::available() {
            assert!(NestKernel::new(&program, nest_of(&program), isa).is_none());
        }
    }
}

#[test]
fn more_values_than_registers_go_to_the_frame() {
    // 100 sums that are all alive, then all added up.
    let sums = (0..100).map(|at| Instr::Binary(Binary::Add, at, 0));
    let folded = (0..99).map(|at| Instr::Binary(Binary::Mul, if at == 0 { 1 } else { 100 + at }, 2 + at));
    let instrs = std::iter::once(Instr::Load(0)).chain(sums).chain(folded);
    let mut made = Made::default();
    for dtype in [DType::F32, DType::F64, DType::I32, DType::U8] {
        let (program, given) = pointwise(dtype, instrs.clone());
        check(&program, &given, 0, &mut made);
    }
    assert_eq!(made.kernels, 2 * 4 * Isa::available().len());
}

/// Whether code, checked on the [`HARD`] numbers, has such an instruction: of each instruction set.
fn has(mnemonics: &[iced_x86::Mnemonic], dtype: DType, instrs: &[Instr]) -> Vec<bool> {
    let (program, given) = elementwise(dtype, &hard(dtype), instrs.iter().copied());
    check(&program, &given, 0, &mut Made::default());
    let found = Isa::available().into_iter().map(|isa| {
        let kernel = NestKernel::new(&program, nest_of(&program), isa).expect("it has code");
        let code = kernel.machine_code()[0].code.to_vec();
        let decoder = iced_x86::Decoder::new(64, &code, iced_x86::DecoderOptions::NONE);
        decoder.into_iter().any(|instruction| mnemonics.contains(&instruction.mnemonic()))
    });
    found.collect()
}

/// A literal of a type.
fn literal(dtype: DType, x: f64) -> Instr {
    Instr::Literal(if dtype == DType::F32 { u64::from((x as f32).to_bits()) } else { x.to_bits() })
}

#[test]
fn a_table_is_looked_into_by_permutations_beside_lanes_of_any_size() {
    let permutations = [iced_x86::Mnemonic::Vpermd];
    for op in [Unary::Exp, Unary::Sigmoid] {
        let found = has(&permutations, DType::F32, &[Instr::Load(0), Instr::Unary(op, 0)]);
        assert!(!found.contains(&false), "{op:?}");
        // Beside f64, there are half as many lanes.
        let instrs = [Instr::Load(0), Instr::Cast(0), Instr::Unary(op, 1), Instr::Cast(2)];
        let (mut program, _) = pointwise(DType::F64, instrs);
        let Kind::Nest(nest) = &mut program.steps[0].kind else { unreachable!("it is one") };
        nest.stages[0].code.dtypes[1..3].fill(DType::F32);
        let given: Vec<u8> = (0..17).flat_map(|at| (f64::from(at) * 0.73 - 6.0).to_le_bytes()).collect();
        check(&program, &[given, vec![0; 17 * 8]], 0, &mut Made::default());
    }
}

#[test]
fn the_larger_of_an_element_and_a_number_takes_one_instruction() {
    let compares = [iced_x86::Mnemonic::Vcmpps, iced_x86::Mnemonic::Vblendvps];
    for number in HARD {
        let code = [Instr::Load(0), literal(DType::F32, number), Instr::Binary(Binary::Maximum, 0, 1)];
        assert!(!has(&compares, DType::F32, &code).contains(&true), "{number:?}");
    }
}

#[test]
fn a_change_of_sign_is_part_of_the_sum_that_reads_it() {
    use iced_x86::Mnemonic::{Vpxor, Vpxord, Vpxorq};
    let loads = [Instr::Load(0), Instr::Load(1), Instr::Load(2)];
    let changed = [0, 1, 2].map(|x| Instr::Unary(Unary::Neg, x));
    let signs = || (0..8u32).map(|bits| [0, 1, 2].map(|at| at + 3 * (bits >> at & 1)));
    let sums = signs().flat_map(|[a, b, _]| [Binary::Add, Binary::Sub].map(|op| Instr::Binary(op, a, b)));
    let fused = signs().map(|[a, b, c]| Instr::Fma(a, b, c));
    // The first two are one element, changed or not.
    let twice = signs().map(|[a, b, c]| Instr::Fma(a, if b < 3 { 0 } else { 3 }, c));
    for dtype in [DType::F32, DType::F64] {
        for reader in sums.clone().chain(fused.clone()).chain(twice.clone()) {
            let code: Vec<Instr> = loads.iter().chain(&changed).copied().chain([reader]).collect();
            // −a − b is no one instruction.
            let is_kept =
                matches!(reader, Instr::Binary(Binary::Add, 3.., 3..) | Instr::Binary(Binary::Sub, 3.., ..3));
            let found = has(&[Vpxord, Vpxorq, Vpxor], dtype, &code);
            assert!(found.iter().all(|&found| found == is_kept), "{reader:?}");
        }
    }
}

#[test]
fn what_is_known_of_literals_is_what_machine_code_finds() {
    let compares = [Compare::Eq, Compare::Ne, Compare::Lt, Compare::Le, Compare::Gt, Compare::Ge];
    for (dtype, number) in [DType::F32, DType::F64].into_iter().flat_map(|dtype| HARD.map(|x| (dtype, x))) {
        let number = literal(dtype, number);
        for &op in Unary::ALL {
            let (program, given) = elementwise(dtype, &hard(dtype)[..1], [number, Instr::Unary(op, 0)]);
            check(&program, &given, 0, &mut Made::default());
        }
        for op in [Binary::Maximum, Binary::Minimum, Binary::Pow, Binary::Div] {
            for [a, b] in [[0, 1], [1, 0], [1, 1]] {
                let code = [Instr::Load(0), number, Instr::Binary(op, a, b)];
                let (program, given) = elementwise(dtype, &hard(dtype)[..1], code);
                check(&program, &given, 0, &mut Made::default());
            }
        }
        for op in compares {
            let (mut program, given) = elementwise(dtype, &hard(dtype)[..1], [number, Instr::Load(0)]);
            let Kind::Nest(nest) = &mut program.steps[0].kind else { unreachable!() };
            let code = &mut nest.stages[0].code;
            let truth = code.push(Instr::Compare(op, 0, 0), DType::Bool);
            let other = code.push(Instr::Compare(op, 0, 1), DType::Bool);
            let not = code.push(Instr::Logic(Logic::Not, truth, truth), DType::Bool);
            let both = code.push(Instr::Logic(Logic::And, not, other), DType::Bool);
            let either = code.push(Instr::Logic(Logic::Or, truth, both), DType::Bool);
            let chosen = code.push(Instr::Select(either, 0, 1), dtype);
            let cast = code.push(Instr::Cast(truth), dtype);
            let value = code.push(Instr::Binary(Binary::Add, chosen, cast), dtype);
            nest.stages[0].stores[0].value = value;
            check(&program, &given, 0, &mut Made::default());
        }
    }
}

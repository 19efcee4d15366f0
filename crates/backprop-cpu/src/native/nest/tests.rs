//! Random nests: machine code against an interpreter that follows the loop IR word by word.

mod generate;
mod interpret;
mod memory;

use std::collections::BTreeMap;

use backprop_core::DType;
use backprop_core::ops::{Binary, Compare, Logic, Unary};
use backprop_opt::loops::{
    Access, Buffer, Code, Fold, Home, Instr, Kind, Nest, Outcome, Place, Program, Reduce, Stage, Step, Store,
};

use self::generate::{Random, random_program};
use self::interpret::interpret;
use self::memory::{Guarded, Side};
use super::NestKernel;
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
    kernel: &NestKernel,
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

/// Checks a nest on every instruction set of this machine; how many kernels were made.
fn check(program: &Program, given: &[Vec<u8>], seed: u64) -> usize {
    program.verify().unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    let nest = nest_of(program);
    let mut expected = given.to_vec();
    let outcome = interpret(program, nest, &mut expected);
    let sizes: Vec<usize> = program.buffers.iter().map(|buffer| buffer.dtype.size()).collect();
    let mut n_made = 0;
    for isa in Isa::available() {
        let Some(kernel) = NestKernel::new(program, nest, isa) else { continue };
        n_made += 1;
        let n = kernel.n_units();
        let mut apart: Vec<_> = (0..n).map(|unit| unit..unit + 1).collect();
        apart.reverse();
        for (side, cuts) in [(Side::Before, vec![0..n]), (Side::After, apart)] {
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
    n_made
}

#[test]
fn random_nests_agree_with_the_interpreter_bit_for_bit() {
    let (mut n_made, mut n_wanted) = (0, 0);
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
        n_made += check(&program, &given, seed);
        n_wanted += Isa::available().len();
    }
    if std::env::var_os("NESTS").is_some() {
        println!("{occurs:#?}");
    }
    println!("{n_made} of {n_wanted} kernels were made");
    assert!(n_made * 10 >= n_wanted * 6, "{n_made} of {n_wanted} kernels were made");
}

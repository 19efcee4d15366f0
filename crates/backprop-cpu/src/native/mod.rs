//! Machine code for steps of a program, assembled when the program is made.
//!
//! ```text
//! Nest        ─► nest        ─► assembler ─► memory (code pages) ─► Kernel
//! Contraction ─► contraction ─►     ″
//! ```
//!
//! What is not done here (an instruction set that is missing, code pages that the system refuses, an
//! instruction that no line of the code covers) is `None`, and the portable engine takes the step.

pub mod assembler;
#[cfg(target_arch = "x86_64")]
mod contraction;
pub mod memory;
#[cfg(target_arch = "x86_64")]
mod nest;

use backprop_opt::loops::{Contraction, Nest, Program};

use crate::kernel::Kernel;

/// An instruction set that code is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Isa {
    /// AVX2 and FMA: 16 registers of 256 bits.
    Avx2,
    /// AVX-512 F, DQ, BW and VL: 32 registers of 512 bits, and masks.
    Avx512,
}

impl Isa {
    /// The instruction sets of this machine, the best one first.
    pub fn available() -> Vec<Isa> {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            let has_avx2 = has!("avx2") && has!("fma") && has!("bmi1") && has!("bmi2");
            let has_avx512 =
                has!("avx512f") && has!("avx512dq") && has!("avx512bw") && has!("avx512vl") && has_avx2;
            let sets = [(Isa::Avx512, has_avx512), (Isa::Avx2, has_avx2)];
            sets.into_iter().filter_map(|(isa, is_there)| is_there.then_some(isa)).collect()
        }
        #[cfg(not(target_arch = "x86_64"))]
        Vec::new()
    }

    /// The bytes of a vector register.
    pub fn register_bytes(self) -> usize {
        match self {
            Isa::Avx2 => 32,
            Isa::Avx512 => 64,
        }
    }

    /// The best instruction set of this machine.
    pub fn best() -> Option<Isa> {
        Isa::available().first().copied()
    }
}

/// Machine code for a nest.
///
/// `None` for: `Pow` and division of integers; a float made an `i64`, or an `i64` an `f32`, on AVX2; a gather
/// by far strides; vectors of more than 2³¹ elements; thousands of instructions; no code pages.
pub fn nest(program: &Program, nest: &Nest, isa: Isa) -> Option<Box<dyn Kernel>> {
    #[cfg(target_arch = "x86_64")]
    return Some(Box::new(nest::NestKernel::new(program, nest, isa)?));
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (program, nest, isa);
        None
    }
}

/// Machine code for a contraction of floats, made for its sizes and strides.
///
/// `None` where there is none for its stage, or no code pages.
pub fn contraction(program: &Program, contraction: &Contraction, isa: Isa) -> Option<Box<dyn Kernel>> {
    #[cfg(target_arch = "x86_64")]
    return contraction::contraction(program, contraction, isa);
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (program, contraction, isa);
        None
    }
}

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
pub(crate) mod listing;
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
    /// The one for code of this instruction set; there is none for the least one.
    pub fn of(isa: crate::isa::Isa) -> Option<Isa> {
        match isa {
            crate::isa::Isa::Baseline => None,
            crate::isa::Isa::Avx2 => Some(Isa::Avx2),
            crate::isa::Isa::Avx512 => Some(Isa::Avx512),
        }
    }

    /// The instruction sets of this machine, the best one first.
    pub fn available() -> Vec<Isa> {
        let available = crate::isa::Isa::ALL.into_iter().rev().filter(|isa| isa.is_available());
        available.filter_map(Isa::of).collect()
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
/// `None` for: powers and quotients of integers; on AVX2, floats made `i64` and `i64` made `f32`; a gather from
/// 2³¹ elements or more; loops and distances from 2³¹ on; a stage of 5,000 instructions or more; more than 16 row
/// loops; no code pages.
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
/// `None` for: integers; a stage that counts (`Instr::Count`), that [`nest`] has no code for, or with more than 11
/// accesses; neighbours more than 2³¹ bytes apart; no code pages.
pub fn contraction(program: &Program, contraction: &Contraction, isa: Isa) -> Option<Box<dyn Kernel>> {
    #[cfg(target_arch = "x86_64")]
    return contraction::contraction(program, contraction, isa);
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (program, contraction, isa);
        None
    }
}

//! The functions of the tables on floats, each written once over [`lane::Float`].
//!
//! ```text
//!                  ┌ scalar   f32, f64: one element                    unary, pow
//! exp.rs log.rs … ─┼ block    loops that the compiler makes vectors of unary_block, pow_block
//!                  └ record   straight-line code for an assembler      unary_code, pow_code
//! ```
//!
//! The three give the same bits for each input, on each machine (of a NaN, only that it is one).

mod exact;
mod exp;
pub mod lane;
pub mod record;
mod scalar;

use std::sync::OnceLock;

use backprop_core::DType;
use backprop_core::ops::{Binary, Unary};

use lane::{Float, Width};
use record::{LaneCode, MaskReg, RareFunction, Recorder, Reg};

/// f32 or f64.
pub trait Scalar: Float<Width = Self, Mask = bool> + Width {
    /// What computes the lanes that [`is_rare`] names.
    fn rare(op: Unary) -> Option<RareFunction>;
}

impl Scalar for f32 {
    fn rare(_op: Unary) -> Option<RareFunction> {
        None
    }
}

impl Scalar for f64 {
    fn rare(_op: Unary) -> Option<RareFunction> {
        None
    }
}

/// The function, in the lanes that [`is_rare`] does not name.
#[inline(always)]
fn usual<F: Float>(op: Unary, x: F) -> F {
    match op {
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Sign => exact::sign(x),
        Unary::Exp => exp::exp(x),
        Unary::Sqrt => x.sqrt(),
        Unary::Reciprocal => x.lit(1.0) / x,
        Unary::Square => x * x,
        Unary::Floor => x.floor(),
        Unary::Ceil => x.ceil(),
        Unary::Round => x.round_ties_even(),
        _ => x,
    }
}

/// Lanes that a scalar function computes, where the op has any.
#[inline(always)]
fn is_rare<F: Float>(op: Unary, _x: F) -> Option<F::Mask> {
    match op {
        _ => None,
    }
}

/// The code of a function of one operand; `None` unless `dtype` is a float.
pub fn unary_code(op: Unary, dtype: DType) -> Option<&'static LaneCode> {
    static CODES: [[OnceLock<LaneCode>; Unary::ALL.len()]; 2] =
        [const { [const { OnceLock::new() }; Unary::ALL.len()] }; 2];
    fn record<T: Scalar>(op: Unary) -> LaneCode {
        LaneCode::record(|recorder: &Recorder<T>| {
            let x = recorder.input(0);
            (usual(op, x), is_rare(op, x).zip(T::rare(op)))
        })
    }
    match dtype {
        DType::F32 => Some(CODES[0][op as usize].get_or_init(|| record::<f32>(op))),
        DType::F64 => Some(CODES[1][op as usize].get_or_init(|| record::<f64>(op))),
        _ => None,
    }
}

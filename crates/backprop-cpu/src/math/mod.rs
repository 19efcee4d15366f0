//! The functions of the tables on floats, each written once over [`lane::Float`].
//!
//! ```text
//!                  ┌ scalar   f32, f64: one element                      unary, binary
//! exp.rs log.rs … ─┼ block    loops that the compiler makes vectors of   unary_block, binary_block
//!                  │ wide     vectors, where they look into tables       unary_block
//!                  └ record   straight-line code for an assembler        unary_code, binary_code
//! ```
//!
//! All give the same bits for each input, on each machine (of a NaN, only that it is one).

mod block;
mod bounds;
mod erf;
mod exact;
mod exp;
pub mod lane;
mod large;
mod log;
mod polynomial;
mod pow;
pub mod record;
mod scalar;
mod trigonometric;
#[cfg(target_arch = "x86_64")]
mod wide;

use std::sync::OnceLock;

use backprop_core::DType;
use backprop_core::ops::{Binary, Unary};

pub use block::{Block, binary_block, fma_block, unary_block};
pub use bounds::{binary_ulp, unary_ulp};
use lane::{Float, Width};
use record::{LaneCode, RareFunction, Recorder};

/// The function; in lanes that [`is_rare`] names, some number.
#[inline(always)]
fn usual<F: Float>(op: Unary, x: F) -> F {
    match op {
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Sign => exact::sign(x),
        Unary::Exp => exp::exp(x),
        Unary::Log => log::log(x),
        Unary::Sqrt => x.sqrt(),
        Unary::Sin => trigonometric::sin(x),
        Unary::Cos => trigonometric::cos(x),
        Unary::Tanh => exp::tanh(x),
        Unary::Sigmoid => exp::sigmoid(x),
        Unary::Softplus => log::softplus(x),
        Unary::Erf => erf::erf(x),
        Unary::Erfc => erf::erfc(x),
        Unary::Log1p => log::log1p(x),
        Unary::Expm1 => exp::expm1(x),
        Unary::Reciprocal => x.lit(1.0) / x,
        Unary::Square => x * x,
        Unary::Floor => x.floor(),
        Unary::Ceil => x.ceil(),
        Unary::Round => x.round_ties_even(),
    }
}

/// The function of two operands.
#[inline(always)]
fn binary_usual<F: Float>(op: Binary, a: F, b: F) -> F {
    match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Pow => pow::pow(a, b),
        Binary::Maximum => exact::maximum(a, b),
        Binary::Minimum => exact::minimum(a, b),
    }
}

/// Lanes that a scalar function computes, of ops that have one.
#[inline(always)]
fn is_rare<F: Float>(op: Unary, x: F) -> Option<F::Mask> {
    match op {
        Unary::Sin | Unary::Cos => Some(trigonometric::is_large(x)),
        _ => None,
    }
}

/// f32 or f64.
pub trait Scalar: Float<Width = Self, Mask = bool> + Width + Block + Default {
    /// The function of lanes that `usual` leaves out, for the ops that have such.
    fn rare(op: Unary) -> Option<RareFunction>;
    /// Its value.
    fn rarely(op: Unary, x: Self) -> Self;
}

macro_rules! rare_functions {
    ($T:ident $variant:ident) => {
        impl Scalar for $T {
            fn rare(op: Unary) -> Option<RareFunction> {
                extern "C" fn sin(x: $T) -> $T {
                    large::sin(f64::from(x)) as $T
                }
                extern "C" fn cos(x: $T) -> $T {
                    large::cos(f64::from(x)) as $T
                }
                match op {
                    Unary::Sin => Some(RareFunction::$variant(sin)),
                    Unary::Cos => Some(RareFunction::$variant(cos)),
                    _ => None,
                }
            }

            fn rarely(op: Unary, x: $T) -> $T {
                match Self::rare(op) {
                    Some(RareFunction::$variant(function)) => function(x),
                    _ => x,
                }
            }
        }
    };
}

rare_functions!(f32 F32);
rare_functions!(f64 F64);

/// op(x)
pub fn unary<T: Scalar>(op: Unary, x: T) -> T {
    if is_rare(op, x) == Some(true) { T::rarely(op, x) } else { usual(op, x) }
}

/// op(a, b)
pub fn binary<T: Scalar>(op: Binary, a: T, b: T) -> T {
    binary_usual(op, a, b)
}

/// The codes of some ops, for f32 and f64, each written when it is first asked for.
struct Codes<const N: usize>([[OnceLock<LaneCode>; N]; 2]);

impl<const N: usize> Codes<N> {
    const fn new() -> Self {
        Codes([const { [const { OnceLock::new() }; N] }; 2])
    }

    fn get(
        &self,
        op: usize,
        dtype: DType,
        f32: impl FnOnce() -> LaneCode,
        f64: impl FnOnce() -> LaneCode,
    ) -> Option<&LaneCode> {
        match dtype {
            DType::F32 => Some(self.0[0][op].get_or_init(f32)),
            DType::F64 => Some(self.0[1][op].get_or_init(f64)),
            _ => None,
        }
    }
}

/// The code of a function of one operand; `None` unless `dtype` is a float.
pub fn unary_code(op: Unary, dtype: DType) -> Option<&'static LaneCode> {
    static CODES: Codes<{ Unary::ALL.len() }> = Codes::new();
    fn record<T: Scalar>(op: Unary) -> LaneCode {
        LaneCode::record(|recorder: &Recorder<T>| {
            let x = recorder.input(0);
            (usual(op, x), is_rare(op, x).zip(T::rare(op)))
        })
    }
    CODES.get(op as usize, dtype, || record::<f32>(op), || record::<f64>(op))
}

/// The code of a function of two operands; `None` unless `dtype` is a float.
pub fn binary_code(op: Binary, dtype: DType) -> Option<&'static LaneCode> {
    static CODES: Codes<{ Binary::ALL.len() }> = Codes::new();
    fn record<T: Scalar>(op: Binary) -> LaneCode {
        LaneCode::record(|recorder: &Recorder<T>| {
            (binary_usual(op, recorder.input(0), recorder.input(1)), None)
        })
    }
    CODES.get(op as usize, dtype, || record::<f32>(op), || record::<f64>(op))
}

//! How far results are from the truth, at most.

use backprop_core::DType;
use backprop_core::ops::{Binary, Unary};

/// The greatest error of a function of floats, in ULP of the result: ½ is as good as can be. One ULP is the
/// distance of the two numbers that the truth lies between.
///
/// For f32: over all 2³² inputs (`examples/ulp.rs`), rounded up. For f64: over samples against digits of
/// mpmath (`tests/math_f64.txt`, and more by the same script), rounded up with a margin.
///
/// | function | f32 | f64 | | function | f32 | f64 |
/// |---|---|---|---|---|---|---|
pub fn unary_ulp(op: Unary, dtype: DType) -> f64 {
    let (f32, f64) = match op {
        Unary::Neg | Unary::Abs | Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Round => (0.0, 0.0),
        Unary::Sqrt | Unary::Reciprocal | Unary::Square => (0.5, 0.5),
        Unary::Exp => (0.8, 0.8),
        Unary::Log => (0.85, 0.85),
        Unary::Sin | Unary::Cos => (0.8, 0.8),
        Unary::Tanh => (1.0, 1.0),
        Unary::Sigmoid => (0.8, 0.8),
        Unary::Softplus => (1.2, 1.2),
        Unary::Erf => (1.3, 1.3),
        Unary::Erfc => (1.5, 1.5),
        Unary::Log1p => (1.0, 1.0),
        Unary::Expm1 => (1.1, 1.1),
    };
    if dtype == DType::F32 { f32 } else { f64 }
}

/// As [`unary_ulp`], for functions of two operands.
pub fn binary_ulp(op: Binary, dtype: DType) -> f64 {
    match op {
        Binary::Maximum | Binary::Minimum => 0.0,
        Binary::Add | Binary::Sub | Binary::Mul | Binary::Div => 0.5,
        Binary::Pow if dtype == DType::F32 => 0.8,
        Binary::Pow => 0.8,
    }
}

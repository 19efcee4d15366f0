//! How far results are from the truth, at most.

use backprop_core::DType;
use backprop_core::ops::{Binary, Unary};

/// The greatest error of a function of floats, in ULP of the result: ½ is as good as can be. One ULP is the
/// distance of the two numbers that the truth lies between, subnormal ones too; ∞ counts as the number after
/// the last.
///
/// Measured, then rounded up: of f32 against f64 (`examples/ulp.rs`; over all inputs for `exp`, `log`, `tanh`,
/// `sigmoid`, `erf`, each 101st for the others, `pow` over 10⁷ random pairs), of f64 against mpmath
/// (6,000 random points for each, by `math-script/goldens.py`, and 10⁴ to 10⁵ where these were worst).
///
/// | | f32 measured | f64 measured | where |
/// |---|---|---|---|
/// | `exp` | 0.86 | 0.84 | subnormal results; just above an odd multiple of ½·ln 2 |
/// | `sigmoid` | 0.89 | 0.81 | subnormal results |
/// | `log` | 0.66 | 0.62 | near √2 and √½ |
/// | `tanh` | 0.67 | 0.76 | near 0.17, half of ½·ln 2 |
/// | `sin`, `cos` | 0.77 | 0.75 | large arguments too |
/// | `expm1` | 0.75 | 0.93 | just above ½·ln 2 |
/// | `log1p` | 0.67 | 0.67 | |
/// | `pow` | 0.77 | 0.68 | subnormal results |
/// | `softplus` | 1.13 | 1.01 | |
/// | `erf` | 1.16 | 1.27 | near 1, where its pieces meet |
/// | `erfc` | 1.12 | 1.64 | near ½, where its pieces meet |
pub fn unary_ulp(op: Unary, dtype: DType) -> f64 {
    match op {
        Unary::Neg | Unary::Abs | Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Round => 0.0,
        Unary::Sqrt | Unary::Reciprocal | Unary::Square => 0.5,
        Unary::Log => 0.67,
        Unary::Tanh if dtype == DType::F32 => 0.67,
        Unary::Exp => 0.87,
        Unary::Tanh => 0.8,
        Unary::Sigmoid => 0.9,
        Unary::Expm1 if dtype == DType::F64 => 1.0,
        Unary::Erfc if dtype == DType::F64 => 1.8,
        Unary::Sin | Unary::Cos | Unary::Expm1 | Unary::Log1p => 0.85,
        Unary::Softplus | Unary::Erf | Unary::Erfc => 1.4,
    }
}

/// As [`unary_ulp`], for functions of two operands.
pub fn binary_ulp(op: Binary, _dtype: DType) -> f64 {
    match op {
        Binary::Maximum | Binary::Minimum => 0.0,
        Binary::Add | Binary::Sub | Binary::Mul | Binary::Div => 0.5,
        Binary::Pow => 0.85,
    }
}

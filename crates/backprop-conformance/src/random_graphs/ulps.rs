//! What the engines promise: units in the last place of each op's own rounding, in one table.

use backprop_core::DType;
use backprop_core::ops::Unary;

/// Engines that share their promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Promise {
    /// The interpreter: `std` and `libm`.
    System,
    /// The tape, and compiled loops, portable or machine code: our own polynomials.
    Compiled,
}

/// + − × ÷ √ as IEEE 754 rounds them.
pub const ROUNDED: f64 = 0.5;

impl Promise {
    /// Units in the last place between a pointwise op's result and the true value for the same operands.
    pub fn unary(self, op: Unary, dtype: DType) -> f64 {
        let is_f32 = dtype == DType::F32;
        match (op, self) {
            // Exact.
            (Unary::Neg | Unary::Abs | Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Round, _) => 0.0,
            (Unary::Sqrt | Unary::Reciprocal | Unary::Square, _) => ROUNDED,
            // The table of known errors of the GNU C library's manual, x86_64, and one half for other libms.
            (Unary::Exp | Unary::Log | Unary::Sin | Unary::Cos, Promise::System) => 1.5,
            (Unary::Tanh | Unary::Log1p | Unary::Expm1, Promise::System) => 2.5,
            // FreeBSD's msun, of which the libm crate is a port, says below 1; its f32 forms are less exact.
            (Unary::Erf | Unary::Erfc, Promise::System) => {
                if is_f32 {
                    2.0
                } else {
                    1.5
                }
            }
            // Of issue 3, bar 8: 1 over all f32, 1.5 for f64, 2 for sin, cos and erf.
            (Unary::Exp | Unary::Log | Unary::Tanh | Unary::Log1p | Unary::Expm1, Promise::Compiled) => {
                if is_f32 {
                    1.0
                } else {
                    1.5
                }
            }
            (Unary::Sin | Unary::Cos | Unary::Erf | Unary::Erfc, Promise::Compiled) => 2.0,
            // e^(−|x|), of 1.5; 1 + e, one half and of e at most; the quotient, one half, and e twice above.
            (Unary::Sigmoid, Promise::System) => 4.0,
            (Unary::Sigmoid, Promise::Compiled) => {
                if is_f32 {
                    1.0
                } else {
                    1.5
                }
            }
            // e, of 1.5, whose slope in ln(1 + e) is below 1; its own 2.5; the sum.
            (Unary::Softplus, _) => 4.5,
        }
    }

    /// As [`Promise::unary`], of aᵇ.
    pub fn pow(self, _dtype: DType) -> f64 {
        match self {
            Promise::System => 1.5,
            Promise::Compiled => 2.0,
        }
    }

    /// As [`Promise::unary`], of the exponentials and the logarithm inside `logsumexp` and `log_softmax`.
    pub fn exponential(self, dtype: DType) -> f64 {
        self.unary(Unary::Exp, dtype)
    }
}

//! The functions of floats, from one table: the only place where this engine asks for them.

use backprop_core::ops::{Binary, Unary};

use super::block::{Run, map1, map2};
use crate::isa::Isa;

/// f32 and f64.
pub(super) trait Float: Copy + 'static {
    /// A function of one operand, on blocks.
    fn unary(op: Unary, isa: Isa) -> Run;
    /// aᵇ, on blocks.
    fn pow(isa: Isa) -> Run;
    /// The larger or the smaller, on blocks.
    fn extremum(op: Binary, isa: Isa) -> Run;
}

macro_rules! floats {
    ($($T:ident erf $erf:path, erfc $erfc:path;)*) => {$(
        impl Float for $T {
            fn unary(op: Unary, isa: Isa) -> Run {
                type T = $T;
                match op {
                    Unary::Neg => map1(isa, |x: T| -x),
                    Unary::Abs => map1(isa, |x: T| x.abs()),
                    Unary::Sign => map1(isa, |x: T| if x == 0.0 || x.is_nan() { x } else { x.signum() }),
                    Unary::Exp => map1(isa, |x: T| x.exp()),
                    Unary::Log => map1(isa, |x: T| x.ln()),
                    Unary::Sqrt => map1(isa, |x: T| x.sqrt()),
                    Unary::Sin => map1(isa, |x: T| x.sin()),
                    Unary::Cos => map1(isa, |x: T| x.cos()),
                    Unary::Tanh => map1(isa, |x: T| x.tanh()),
                    Unary::Sigmoid => map1(isa, |x: T| {
                        let e = (-x.abs()).exp();
                        if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
                    }),
                    Unary::Softplus => map1(isa, |x: T| {
                        if x.is_nan() { x } else { x.max(0.0) + (-x.abs()).exp().ln_1p() }
                    }),
                    Unary::Erf => map1(isa, |x: T| $erf(x)),
                    Unary::Erfc => map1(isa, |x: T| $erfc(x)),
                    Unary::Log1p => map1(isa, |x: T| x.ln_1p()),
                    Unary::Expm1 => map1(isa, |x: T| x.exp_m1()),
                    Unary::Reciprocal => map1(isa, |x: T| 1.0 / x),
                    Unary::Square => map1(isa, |x: T| x * x),
                    Unary::Floor => map1(isa, |x: T| x.floor()),
                    Unary::Ceil => map1(isa, |x: T| x.ceil()),
                    Unary::Round => map1(isa, |x: T| x.round_ties_even()),
                }
            }

            fn pow(isa: Isa) -> Run {
                map2(isa, |a: $T, b: $T| a.powf(b))
            }

            // Of equal ones (0 and −0 too) a; NaN where either is.
            fn extremum(op: Binary, isa: Isa) -> Run {
                match op {
                    Binary::Maximum => map2(isa, |a: $T, b: $T| if b > a || b.is_nan() { b } else { a }),
                    _ => map2(isa, |a: $T, b: $T| if b < a || b.is_nan() { b } else { a }),
                }
            }
        }
    )*};
}

floats! {
    f32 erf libm::erff, erfc libm::erfcf;
    f64 erf libm::erf, erfc libm::erfc;
}

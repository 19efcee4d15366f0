//! aᵇ

use super::exp::{Exponential, clamped};
use super::lane::Float;
use super::log::log_pair;
use super::polynomial::Pair;

/// aᵇ = e^(b·ln|a|), and the sign: as IEEE 754's `pow`.
#[inline(always)]
pub fn pow<F: Float>(a: F, b: F) -> F {
    let lit = |value: f64| a.lit(value);
    let (zero, one, infinity) = (lit(0.0), lit(1.0), lit(f64::INFINITY));
    let size = a.abs();
    // ln 0 = −∞, ln ∞ = ∞, ln NaN = NaN.
    let log = log_pair(size);
    let high = F::select(size.below(infinity), log.high, size);
    let high = F::select(size.equals(zero), lit(f64::NEG_INFINITY), high);
    let exponent = Pair::product(b, high);
    let low = b.mul_add(log.low, exponent.low);
    // Beyond the bounds `low` means nothing, and may be NaN.
    let x = clamped(exponent.high);
    let low = F::select(x.equals(exponent.high), low, zero);
    let y = Exponential::of(x, Some(low)).rounded();

    let is_integer = b.floor().equals(b);
    let half = b * lit(0.5);
    let is_odd = is_integer & !half.floor().equals(half);
    let y = F::select(is_odd, y.copysign(a), y);
    let has_none = a.below(zero) & !is_integer & lit(f64::NEG_INFINITY).below(a);
    let y = F::select(has_none, lit(f64::NAN), y);
    let is_one = a.equals(one) | b.equals(zero) | (size.equals(one) & b.abs().equals(infinity));
    F::select(is_one, one, y)
}

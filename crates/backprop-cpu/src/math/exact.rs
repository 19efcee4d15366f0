//! Functions that are exact, or rounded once.

use super::lane::Float;

/// −1, 0 or 1; a zero and a NaN stay.
#[inline(always)]
pub fn sign<F: Float>(x: F) -> F {
    let stays = x.equals(x.lit(0.0)) | x.is_nan();
    F::select(stays, x, x.lit(1.0).copysign(x))
}

/// The larger; of equal ones (0 and −0 too) `a`; NaN where either is.
#[inline(always)]
pub fn maximum<F: Float>(a: F, b: F) -> F {
    F::select(b.is_nan(), b, b.larger(a))
}

/// The smaller; of equal ones (0 and −0 too) `a`; NaN where either is.
#[inline(always)]
pub fn minimum<F: Float>(a: F, b: F) -> F {
    F::select(b.is_nan(), b, b.smaller(a))
}

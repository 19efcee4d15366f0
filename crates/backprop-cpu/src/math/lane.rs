//! What a lane is: the few instructions, each exact or rounded once, that functions are written in.
//!
//! A function over [`Float`] runs on `f32` and `f64` (it computes; in a loop, the compiler makes vector code
//! of it) and on [`Reg`](super::record::Reg) (it writes code for an assembler). Nothing here depends on the
//! machine, so each gives the same bits everywhere; of a NaN, only that it is one.

use std::ops::{Add, BitAnd, BitOr, BitXor, Div, Mul, Neg, Not, Shl, Shr, Sub};

use backprop_core::DType;

/// The parameters of a format.
pub trait Width: Copy + 'static {
    /// f32 or f64.
    const DTYPE: DType;
    /// The bits of a fraction, without the leading one.
    const FRACTION_BITS: usize;
    /// The exponent's bits are the exponent plus this.
    const BIAS: i64;
    /// The sign bit.
    const SIGN: i64;
    /// 1.5·2^`FRACTION_BITS`: added to a number below a quarter of it, it rounds to the nearest integer, and
    /// the low bits of the sum are that integer's.
    const ROUNDER: f64;
    /// Exponents that [`Float::scale`] takes are multiples of 2 to the power of minus this.
    const STEP_BITS: usize;
    /// The bits of `value`, rounded to this format.
    fn bits(value: f64) -> u64;
}

impl Width for f32 {
    const DTYPE: DType = DType::F32;
    const FRACTION_BITS: usize = 23;
    const BIAS: i64 = 127;
    const SIGN: i64 = 1 << 31;
    const ROUNDER: f64 = 12_582_912.0;
    const STEP_BITS: usize = 4;
    fn bits(value: f64) -> u64 {
        u64::from((value as f32).to_bits())
    }
}

impl Width for f64 {
    const DTYPE: DType = DType::F64;
    const FRACTION_BITS: usize = 52;
    const BIAS: i64 = 1023;
    const SIGN: i64 = 1 << 63;
    const ROUNDER: f64 = 6_755_399_441_055_744.0;
    const STEP_BITS: usize = 0;
    fn bits(value: f64) -> u64 {
        value.to_bits()
    }
}

/// A float in a lane.
pub trait Float:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self>
{
    /// Its format.
    type Width: Width;
    /// An integer of as many bits.
    type Int: Int<Float = Self, Mask = Self::Mask>;
    /// A truth value.
    type Mask: Mask;

    /// The constant `value`.
    fn lit(self, value: f64) -> Self;
    /// self·a + b, rounded once.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// self·a − b, rounded once.
    fn mul_sub(self, a: Self, b: Self) -> Self;
    /// b − self·a, rounded once.
    fn neg_mul_add(self, a: Self, b: Self) -> Self;
    /// √self
    fn sqrt(self) -> Self;
    /// |self|
    fn abs(self) -> Self;
    /// The nearest integer; halves go to the even one.
    fn round_ties_even(self) -> Self;
    /// The largest integer not above.
    fn floor(self) -> Self;
    /// The smallest integer not below.
    fn ceil(self) -> Self;
    /// self where self < other; other elsewhere, and where either is NaN.
    fn smaller(self, other: Self) -> Self;
    /// self where self > other; other elsewhere, and where either is NaN.
    fn larger(self, other: Self) -> Self;
    /// self < other
    fn below(self, other: Self) -> Self::Mask;
    /// self ≤ other
    fn at_most(self, other: Self) -> Self::Mask;
    /// self = other
    fn equals(self, other: Self) -> Self::Mask;
    /// `a` where the mask holds, else `b`.
    fn select(mask: Self::Mask, a: Self, b: Self) -> Self;
    /// Its bits.
    fn to_bits(self) -> Self::Int;
    /// self·2^⌊n⌋, rounded once, for 2⁻²⁰ ≤ |self| ≤ 2²⁰ and n from −bias − fraction bits − 3 to bias + 1, a multiple of
    /// a step ([`Width::STEP_BITS`]). NaN where self is.
    fn scale(self, n: Self) -> Self;

    /// Whether it is NaN.
    #[inline(always)]
    fn is_nan(self) -> Self::Mask {
        !self.equals(self)
    }

    /// |self| with the sign of `sign`.
    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        let sign = sign.to_bits();
        (self.abs().to_bits() | (sign & sign.lit(Self::Width::SIGN))).to_float()
    }

    /// [`Float::scale`] where no instruction does it: two factors, about √2ⁿ each, the first product exact.
    #[inline(always)]
    fn scale_in_two(self, n: Self) -> Self {
        let steps = (n + step_rounder(self)).to_bits();
        let n = if Self::Width::STEP_BITS == 0 { steps } else { steps >> Self::Width::STEP_BITS };
        let half = n >> 1;
        self * power_of_two(half.to_float()) * power_of_two((n - half).to_float())
    }
}

/// [`Width::ROUNDER`] in steps: added to a number, it rounds to the nearest multiple of a step, and the low bits of the sum
/// count the steps.
#[inline(always)]
pub fn step_rounder<F: Float>(of_this_kind: F) -> F {
    of_this_kind.lit(F::Width::ROUNDER / (1 << F::Width::STEP_BITS) as f64)
}

/// 2ⁿ, for n within the normal exponents, of a number whose low bits are n: [`Width::ROUNDER`] + n is one.
#[inline(always)]
pub fn power_of_two<F: Float>(n_in_bits: F) -> F {
    let n = n_in_bits.to_bits() << F::Width::FRACTION_BITS;
    (n + n.lit(F::Width::BIAS << F::Width::FRACTION_BITS)).to_float()
}

/// 2ⁿ, −1022 ≤ n ≤ 1023, exactly: of `powi`, the standard library promises no digits (and under Miri it gives others
/// each time).
pub const fn exact_power_of_two(n: i32) -> f64 {
    f64::from_bits(((1023 + n) as u64) << 52)
}

/// An integer in a lane: as many bits as its float; wraps.
pub trait Int:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + BitAnd<Output = Self>
    + BitOr<Output = Self>
    + BitXor<Output = Self>
    + Shl<usize, Output = Self>
    + Shr<usize, Output = Self>
{
    /// The float of as many bits.
    type Float: Float;
    /// A truth value.
    type Mask: Mask;

    /// The low bits of `value`. (`<<` and `>>` shift in zeros.)
    fn lit(self, value: i64) -> Self;
    /// The float with these bits.
    fn to_float(self) -> Self::Float;
    /// self = other
    fn equals(self, other: Self) -> Self::Mask;
    /// What stands in the table at the place that the low four bits of self count.
    fn entry(self, table: &'static Sixteen) -> Self;
}

/// A table for 32-bit lanes: as many as one vector instruction can choose from.
pub type Sixteen = [u32; 16];

/// A truth value in a lane.
pub trait Mask: Copy + BitAnd<Output = Self> + BitOr<Output = Self> + Not<Output = Self> {}

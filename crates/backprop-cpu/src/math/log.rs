//! ln x and what is made of it.

use super::exp::{Exponential, clamped};
use super::lane::{Float, Int, Width, exact_power_of_two};
use super::polynomial::{Pair, Table, by_width, polynomial};

/// (ln(1 + f) − f + f²/2)/f³, √½ − 1 ≤ f ≤ √2 − 1. Error relative to ln(1 + f): 2^−28.1; 2^−58.7.
const TAIL: Table = (
    &[
        0.3333331346511841,
        -0.25000008940696716,
        0.20002122223377228,
        -0.1666799634695053,
        0.14219465851783752,
        -0.12405451387166977,
        0.11888734996318817,
        -0.11677053570747375,
        0.0674717128276825,
    ],
    &[
        0.33333333333333454,
        -0.24999999999998918,
        0.19999999999945803,
        -0.16666666666914806,
        0.14285714293884746,
        -0.12499999982027021,
        0.11111110513346885,
        -0.10000000379999917,
        0.09090933596558297,
        -0.08333345947395279,
        0.07691712767478413,
        -0.07141995106551711,
        0.06675164937118536,
        -0.06269870135122886,
        0.058177248058831114,
        -0.05326298653761027,
        0.05415679634504406,
        -0.06276263874038199,
        0.056989143027282294,
        -0.024285151657964694,
    ],
);
/// (atanh s/s − 1 − z/3)/z², z = s², |s| ≤ (√2 − 1)/(√2 + 1). Error relative to atanh s/s: 2^−36.7; 2^−66.2.
const ATANH_TAIL: Table = (
    &[0.20000076293945312, 0.14273540675640106, 0.11709942668676376],
    &[
        0.1999999999999999,
        0.1428571428572261,
        0.1111111110875541,
        0.09090909436735255,
        0.07692278327544712,
        0.06668162873819002,
        0.0583732451139515,
        0.05995213973172961,
    ],
);
/// ⅓, rounded, and the rest.
const THIRD: (f64, f64) = (0.3333333432674408, 1.0 / 3.0);
const THIRD_REST: (f64, f64) = (-9.934107758624577e-09, 1.850371707708594e-17);
/// ln 2 with so few digits that n·ln 2 is exact for each exponent n, and the rest.
const LN_2: (f64, f64) = (0.693145751953125, 0.6931471805598903);
const LN_2_REST: (f64, f64) = (1.428606765330187e-06, 5.497923018708371e-14);
/// The bits of √½.
const SQRT_HALF: (i64, i64) = (0x3f35_04f3, 0x3fe6_a09e_667f_3bcd);
/// The least normal number; and what makes subnormal numbers normal, a power of 2.
const LEAST_NORMAL: (f64, f64) = (f32::MIN_POSITIVE as f64, f64::MIN_POSITIVE);
const LIFT: (i32, i32) = (24, 53);

/// n and m such that x = 2ⁿ·m, √½ ≤ m < √2, for positive finite x; of others, some numbers.
#[inline(always)]
fn split<F: Float>(x: F) -> (F, F) {
    let is_small = x.below(x.lit(by_width::<F, _>(LEAST_NORMAL)));
    let lift = by_width::<F, _>(LIFT);
    let lifted = F::select(is_small, x * x.lit(exact_power_of_two(lift)), x).to_bits();
    let bias = F::Width::BIAS << F::Width::FRACTION_BITS;
    let offset = lifted + lifted.lit(bias - by_width::<F, _>(SQRT_HALF));
    // The biased exponent, in the fraction of 2^FRACTION_BITS.
    let unit = exact_power_of_two(F::Width::FRACTION_BITS as i32);
    let exponent = offset >> F::Width::FRACTION_BITS;
    let exponent = (exponent | exponent.lit(F::Width::bits(unit) as i64)).to_float();
    let bias_and_unit = unit + F::Width::BIAS as f64;
    let n = exponent - F::select(is_small, x.lit(bias_and_unit + f64::from(lift)), x.lit(bias_and_unit));
    let fraction = (1i64 << F::Width::FRACTION_BITS) - 1;
    let m = lifted - (offset & offset.lit(!fraction)) + lifted.lit(bias);
    (n, m.to_float())
}

/// ln x + low, for positive finite x; of others, some number.
#[inline(always)]
fn log_of<F: Float>(x: F, low: Option<F>) -> F {
    let lit = |value: (f64, f64)| x.lit(by_width::<F, _>(value));
    let (n, m) = split(x);
    let f = m - x.lit(1.0);
    let square = f * f;
    let tail = polynomial(TAIL, f, square);
    // f − f²/2 + f³·tail, its second term exact: it is up to a sixth of the result.
    let half_square = Pair::product(f * x.lit(0.5), f);
    let rest = match low {
        None => n.mul_sub(lit(LN_2_REST), half_square.low),
        Some(low) => n.mul_add(lit(LN_2_REST), low - half_square.low),
    };
    let cube = (square * f).mul_add(tail, rest);
    let first = Pair::sum(n * lit(LN_2), f);
    let sum = Pair::sum(first.high, -half_square.high);
    sum.high + (sum.low + (first.low + cube))
}

/// `y` where x is positive and finite, else what ln x is there.
#[inline(always)]
fn log_or<F: Float>(x: F, y: F) -> F {
    let zero = x.lit(0.0);
    let at_most_zero = F::select(x.equals(zero), x.lit(f64::NEG_INFINITY), x.lit(f64::NAN));
    let y = F::select(x.below(x.lit(f64::INFINITY)), y, x);
    F::select(x.at_most(zero), at_most_zero, y)
}

/// ln x
#[inline(always)]
pub fn log<F: Float>(x: F) -> F {
    log_or(x, log_of(x, None))
}

/// ln(1 + x), exact for small x.
#[inline(always)]
pub fn log1p<F: Float>(x: F) -> F {
    let one = x.lit(1.0);
    // In this order, a NaN stays.
    let sum = Pair::sum(one.larger(x), one.smaller(x));
    let y = log_or(sum.high, log_of(sum.high, Some(sum.low / sum.high)));
    F::select(x.equals(x.lit(0.0)), x, y)
}

/// ln(1 + eˣ) = max(x, 0) + ln(1 + e⁻|x|)
#[inline(always)]
pub fn softplus<F: Float>(x: F) -> F {
    let exponential = Exponential::of(clamped(-x.abs()), None);
    let sum = exponential.and_one();
    let y = log_of(sum.high, Some(sum.low / sum.high));
    // Below, ln(1 + eˣ) is eˣ to all digits, and may be subnormal.
    let is_small = x.below(x.lit(by_width::<F, _>((-20.0, -40.0))));
    F::select(is_small, exponential.rounded(), x.lit(0.0).larger(x) + y)
}

/// ln x to about twice the digits, for positive finite x.
///
/// ln m = 2·atanh s, s = (m − 1)/(m + 1); atanh s = s + s·z·(⅓ + z·tail), z = s². All but the tail is in pairs:
/// the tail weighs z² < 2⁻¹⁰.
#[inline(always)]
pub fn log_pair<F: Float>(x: F) -> Pair<F> {
    let lit = |value: (f64, f64)| x.lit(by_width::<F, _>(value));
    let (n, m) = split(x);
    let zero = x.lit(0.0);
    let f = m - x.lit(1.0);
    let s = Pair { high: f, low: zero }.over(Pair::sum(x.lit(2.0), f));
    let z = s.times(s);
    let tail = polynomial(ATANH_TAIL, z.high, z.high * z.high);
    let factor = Pair::sum(lit(THIRD), z.high * tail);
    let factor = Pair { low: factor.low + lit(THIRD_REST), ..factor };
    let term = s.times(z.times(factor));
    let sum = Pair::sum(s.high, term.high);
    let low = sum.low + (s.low + term.low);
    let log = Pair::sum(n * lit(LN_2), sum.high + sum.high);
    Pair::sum(log.high, n.mul_add(lit(LN_2_REST), log.low + (low + low)))
}

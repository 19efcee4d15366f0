//! sin x and cos x.

use super::lane::{Float, Int, Width};
use super::polynomial::{Pair, Table, by_width, polynomial};

/// (sin r − r)/r³ in r², r² ≤ 0.64. Error relative to sin r/r: 2^−27.5; 2^−56.8.
const SIN_TAIL: Table = (
    &[-0.16666653752326965, 0.008332090452313423, -0.00019505246018525213],
    &[
        -0.16666666666666624,
        0.008333333333320234,
        -0.00019841269828010748,
        2.7557313053086343e-06,
        -2.5050656073104072e-08,
        1.589078284298574e-10,
    ],
);
/// (cos r − 1 + r²/2)/r⁴ in r², r² ≤ 0.64. Error in cos r: 2^−30.8; 2^−60.0.
const COS_TAIL: Table = (
    &[0.04166664555668831, -0.0013887251261621714, 2.4424909497611225e-05],
    &[
        0.04166666666666658,
        -0.001388888888887117,
        2.480158728758079e-05,
        -2.7557313789170305e-07,
        2.0875645118182412e-09,
        -1.1355530398463443e-11,
    ],
);
/// 2/π, rounded.
const TWO_OVER_PI: (f64, f64) = (0.6366197466850281, std::f64::consts::FRAC_2_PI);
/// π/2 as a sum of three.
const HALF_PI: [(f64, f64); 3] = [
    (1.5707963705062866, std::f64::consts::FRAC_PI_2),
    (-4.371138828673793e-08, 6.123233995736766e-17),
    (-1.7151245100058819e-15, -1.4973849048591698e-33),
];
/// Up to here the reduction below holds all digits: n < 2¹⁶; 2³⁰.
pub const GREATEST: (f64, f64) = (1e5, 1e9);

/// Which of the two.
#[derive(Clone, Copy)]
enum Function {
    Sin,
    Cos,
}

/// sin x for |x| up to [`GREATEST`].
#[inline(always)]
pub fn sin<F: Float>(x: F) -> F {
    of(Function::Sin, x)
}

/// cos x for |x| up to [`GREATEST`].
#[inline(always)]
pub fn cos<F: Float>(x: F) -> F {
    of(Function::Cos, x)
}

/// Where the argument is too large.
#[inline(always)]
pub fn is_large<F: Float>(x: F) -> F::Mask {
    x.lit(by_width::<F, _>(GREATEST)).below(x.abs())
}

/// |x| = n·π/2 + r, |r| ≤ π/4: one of ± sin r, ± cos r.
#[inline(always)]
fn of<F: Float>(function: Function, x: F) -> F {
    let lit = |value: (f64, f64)| x.lit(by_width::<F, _>(value));
    let size = x.abs();
    let rounder = x.lit(F::Width::ROUNDER);
    let n_and_rounder = size.mul_add(lit(TWO_OVER_PI), rounder);
    let n = n_and_rounder - rounder;
    // Exact: a multiple of one ULP of π/2, or of x, and below 1.
    let near = n.neg_mul_add(lit(HALF_PI[0]), size);
    let step = Pair::product(n, lit(HALF_PI[1]));
    let r = near - step.high;
    let low = n.neg_mul_add(lit(HALF_PI[2]), ((near - r) - step.high) - step.low);
    let r = Pair { high: r, low };

    let quadrant = n_and_rounder.to_bits();
    let zero = quadrant.lit(0);
    let (quadrant, sign) = match function {
        Function::Sin => (quadrant, x.to_bits() & quadrant.lit(F::Width::SIGN)),
        Function::Cos => (quadrant + quadrant.lit(1), zero),
    };
    let is_sin = (quadrant & quadrant.lit(1)).equals(zero);
    let y = F::select(is_sin, sin_near(r), cos_near(r));
    // Bit 1 of the quadrant, as a sign.
    let top = F::Width::SIGN.trailing_zeros() as usize;
    let turned = (quadrant & quadrant.lit(2)) << (top - 1);
    (y.to_bits() ^ turned ^ sign).to_float()
}

/// sin(r.high + r.low) = r + r³·tail + low·cos r
#[inline(always)]
pub fn sin_near<F: Float>(r: Pair<F>) -> F {
    let square = r.high * r.high;
    let tail = polynomial(SIN_TAIL, square, square * square);
    let low = (r.low * r.high.lit(0.5)).neg_mul_add(square, r.low);
    r.high + (square * r.high).mul_add(tail, low)
}

/// cos(r.high + r.low) = 1 − r²/2 + r⁴·tail − low·r
#[inline(always)]
pub fn cos_near<F: Float>(r: Pair<F>) -> F {
    let one = r.high.lit(1.0);
    let square = r.high * r.high;
    let tail = polynomial(COS_TAIL, square, square * square);
    let half = square * r.high.lit(0.5);
    let first = one - half;
    let lost = (one - first) - half;
    let rest = (square * square).mul_add(tail, r.high.neg_mul_add(r.low, lost));
    first + rest
}

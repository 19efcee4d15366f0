//! eˣ and what is made of it.

use super::lane::{Float, Int, Sixteen, Width, exact_power_of_two, power_of_two, step_rounder};
use super::polynomial::{Pair, Table, by_width, polynomial};

/// (eʳ − 1 − r − r²/2)/r³, |r| ≤ ½·ln 2. Error in eʳ: 2^−30.9; 2^−60.6.
const TAIL: Table = (
    &[
        0.16666647791862488,
        0.041666481643915176,
        0.008337816223502159,
        0.001393327140249312,
        0.00017366278916597366,
    ],
    &[
        0.16666666666666688,
        0.04166666666666684,
        0.008333333333312971,
        0.0013888888888757358,
        0.00019841269906221114,
        2.4801587629383377e-05,
        2.7557225278077503e-06,
        2.7556979262467797e-07,
        2.5115289240597435e-08,
        2.101414405519078e-09,
    ],
);
/// For f64: (eʳ − 1 − r)/r² = ½ + r·[`TAIL`].
const SLOPE: [f64; 11] = {
    let mut all = [0.5; 11];
    let (_, rest) = all.split_at_mut(1);
    rest.copy_from_slice(TAIL.1);
    all
};
/// For f32: e^(r − shift) − 1, |r| ≤ ln 2/32, by the powers of r. Error in it: 2^−29.0.
const CELL: [f64; 4] = [0.011534546501934528, 1.011534571647644, 0.5057870745658875, 0.1685851365327835];
/// For f32: 2^(k/16)·e^shift, nearly, to the bit. `shift` is chosen so that no power is further than 0.19 ULP from its entry.
const SIXTEENTHS: Sixteen = [
    0x3f7d14b1, 0x3f842491, 0x3f89fe49, 0x3f901a50, 0x3f967b96, 0x3f9d252c, 0x3fa41a45, 0x3fab5e39,
    0x3fb2f486, 0x3fbae0d1, 0x3fc326e9, 0x3fcbcac8, 0x3fd4d094, 0x3fde3ca4, 0x3fe8137e, 0x3ff259dd,
];
/// log₂ e, rounded.
const LOG2_E: (f64, f64) = (1.4426950216293335, std::f64::consts::LOG2_E);
/// ln 2, rounded, and the rest.
const LN_2: (f64, f64) = (0.6931471824645996, std::f64::consts::LN_2);
const LN_2_REST: (f64, f64) = (-1.9046542121259336e-09, 2.3190468138462996e-17);
/// From the first to the second, results are neither 0 nor ∞: ln of half the least subnormal, a little lower,
/// and of 2·(1 − 2⁻ᵖ)·2^bias, a little higher.
const LEAST: (f64, f64) = (-104.0, -745.25);
const GREATEST: (f64, f64) = (89.0, 710.0);

/// eˣ = 2ⁿ·eʳ, n an integer, |r| ≤ ½·ln 2.
#[derive(Clone, Copy)]
pub struct Exponential<F> {
    n: F,
    /// [`Width::ROUNDER`] + n
    n_and_rounder: F,
    r: Pair<F>,
    /// r²
    square: F,
    /// [`TAIL`] of r.
    tail: F,
}

impl<F: Float> Exponential<F> {
    /// Of x in [`LEAST`] ..= [`GREATEST`], and a `low` of up to some ULP of x that is added to it.
    #[inline(always)]
    pub fn of(x: F, low: Option<F>) -> Self {
        let lit = |value: (f64, f64)| x.lit(by_width::<F, _>(value));
        let rounder = x.lit(F::Width::ROUNDER);
        let n_and_rounder = x.mul_add(lit(LOG2_E), rounder);
        let n = n_and_rounder - rounder;
        // Exact: both are multiples of one ULP of ln 2 (or n = 0), and their difference is below ½.
        let near = n.neg_mul_add(lit(LN_2), x);
        let (r, low) = match low {
            None => {
                let r = n.neg_mul_add(lit(LN_2_REST), near);
                (r, n.neg_mul_add(lit(LN_2_REST), near - r))
            }
            Some(low) => {
                let rest = n.neg_mul_add(lit(LN_2_REST), low);
                let r = near + rest;
                (r, (near - r) + rest)
            }
        };
        let square = r * r;
        let tail = polynomial(TAIL, r, square);
        Exponential { n, n_and_rounder, r: Pair { high: r, low }, square, tail }
    }

    /// eʳ = 1 + r + r²·(½ + r·tail), its first two terms, rounded, and the rest.
    #[inline(always)]
    fn terms(self) -> (F, F) {
        let r = self.r.high;
        let first = Pair::sum(r.lit(1.0), r);
        let slope = self.tail.mul_add(r, r.lit(0.5));
        (first.high, first.low + self.square.mul_add(slope, self.r.low))
    }

    /// eˣ, rounded once.
    #[inline(always)]
    pub fn rounded(self) -> F {
        let (high, rest) = self.terms();
        (high + rest).scale(self.n)
    }

    /// eˣ·factor, for a factor in 2⁻¹⁹ ..= 2¹⁹.
    #[inline(always)]
    pub fn times(self, factor: Pair<F>) -> F {
        self.power().times(factor).rounded().scale(self.n)
    }

    /// eʳ, in 0.7 ..= 1.42.
    #[inline(always)]
    fn power(self) -> Pair<F> {
        let (high, rest) = self.terms();
        Pair::sum(high, rest)
    }

    /// 1 + eˣ, x ≤ 0, as a pair.
    #[inline(always)]
    pub fn and_one(self) -> Pair<F> {
        let (power, factor) = (self.power(), normal_power_of_two(self.n_and_rounder));
        let sum = Pair::sum(factor.lit(1.0), power.high * factor);
        Pair { low: power.low.mul_add(factor, sum.low), ..sum }
    }

    /// (eˣ − 1)/2, as a pair: half of it, because it may overflow.
    #[inline(always)]
    fn half_of_rest(self) -> Pair<F> {
        // As in `terms`, but with r²/2 exact: where eˣ is near 1, the difference is no larger than it.
        let r = self.r.high;
        let half = r.lit(0.5);
        let half_square = Pair::product(r * half, r);
        let cube = (self.square * r).mul_add(self.tail, half_square.low + self.r.low);
        let first = Pair::sum(r.lit(1.0), r);
        let rest = half_square.high + (first.low + cube);

        let factor = normal_power_of_two(self.n_and_rounder - r.lit(1.0));
        let high = first.high * factor;
        let difference = high - half;
        // What that lost: the sum of Knuth 1997, §4.2.2, for operands of any sizes.
        let taken = difference - high;
        let lost = (high - (difference - taken)) - (half + taken);
        Pair::sum(difference, rest.mul_add(factor, lost))
    }
}

/// eˣ = 2ⁿ·(1 + p), p rounded a few times: some of an ULP more than [`Exponential::rounded`], in less time.
///
/// n is a multiple of a step. In f64, steps are integers. In f32 they are sixteenths, so that r is small and a short
/// polynomial does; a power of 2 is then one of integers times an entry of [`SIXTEENTHS`].
#[derive(Clone, Copy)]
struct Nearly<F: Float> {
    n: F,
    /// Their low bits count the steps of n.
    steps: F::Int,
    p: F,
}

impl<F: Float> Nearly<F> {
    /// Of x in [`LEAST`] ..= [`GREATEST`].
    #[inline(always)]
    fn of(x: F) -> Self {
        let lit = |value: (f64, f64)| x.lit(by_width::<F, _>(value));
        let rounder = step_rounder(x);
        let rounded = x.mul_add(lit(LOG2_E), rounder);
        let n = rounded - rounder;
        // Exact, as in `Exponential`, or near enough: beside p it is small.
        let near = n.neg_mul_add(lit(LN_2), x);
        let p = if has_sixteenths::<F>() {
            let r = n.neg_mul_add(lit(LN_2_REST), near);
            let [constant, first, second, third] = CELL.map(|c| x.lit(c));
            r.mul_add(r.mul_add(r.mul_add(third, second), first), constant)
        } else {
            // What is left of n·ln 2 is small, and belongs to the small part of p; only powers of r take it rounded
            // together with r.
            let rest = n * lit(LN_2_REST);
            let r = near - rest;
            let square = r * r;
            near + square.mul_sub(polynomial((&[], &SLOPE), r, square), rest)
        };
        Nearly { n, steps: rounded.to_bits(), p }
    }
}

/// Whether steps are sixteenths.
#[inline(always)]
fn has_sixteenths<F: Float>() -> bool {
    F::Width::STEP_BITS == 4
}

/// 2ⁿ, or the least normal number where that is more.
#[inline(always)]
fn normal_power_of_two<F: Float>(n_and_rounder: F) -> F {
    let least = n_and_rounder.lit(F::Width::ROUNDER - (F::Width::BIAS - 1) as f64);
    power_of_two(least.larger(n_and_rounder))
}

/// x where eˣ is neither 0 nor ∞, else a bound beyond which it is; NaN stays.
#[inline(always)]
pub fn clamped<F: Float>(x: F) -> F {
    let lit = |value: (f64, f64)| x.lit(by_width::<F, _>(value));
    lit(LEAST).larger(lit(GREATEST).smaller(x))
}

/// eˣ
#[inline(always)]
pub fn exp<F: Float>(x: F) -> F {
    let Nearly { n, steps, p } = Nearly::of(clamped(x));
    let power = if has_sixteenths::<F>() {
        let power = steps.entry(&SIXTEENTHS).to_float();
        power.mul_add(p, power)
    } else {
        x.lit(1.0) + p
    };
    power.scale(n)
}

/// eˣ − 1, exact for small x.
#[inline(always)]
pub fn expm1<F: Float>(x: F) -> F {
    let half = Exponential::of(clamped(x), None).half_of_rest().rounded();
    // Below half an ULP of 1, x²/2 is nothing beside x; and half of x may not be a number.
    let small = x.lit(by_width::<F, _>((exact_power_of_two(-25), exact_power_of_two(-54))));
    F::select(x.abs().below(small), x, half + half)
}

/// tanh x = ½(e²ˣ − 1)/(½(e²ˣ − 1) + 1), x ≥ 0, then its sign.
#[inline(always)]
pub fn tanh<F: Float>(x: F) -> F {
    // 1 − tanh x < 2e⁻²ˣ, less than half an ULP of 1 from here on.
    let one_from = x.lit(by_width::<F, _>((9.5, 19.5)));
    let size = one_from.smaller(x.abs());
    let over = Exponential::of(size + size, None).half_of_rest();
    let one = x.lit(1.0);
    let under = Pair::sum(over.high.larger(one), over.high.smaller(one));
    over.over(Pair { low: under.low + over.low, ..under }).rounded().copysign(x)
}

/// From the first to the second, sigmoid x is neither 0 nor 1.
const SIGMOID: [(f64, f64); 2] = [LEAST, (20.0, 40.0)];
/// [`sigmoid`]'s unit is 2 to the power of minus this.
const UNIT: (i64, i64) = (64, 512);

/// For f32: [`SIXTEENTHS`] times the unit, and what has to be added to the bits of each for 2ⁿ of it already taken from
/// them: the low four bits of n's steps, where the bits of an exponent follow.
const UNITS: Sixteen = {
    let mut table = SIXTEENTHS;
    let mut k = 0;
    while k < 16 {
        table[k] -= ((UNIT.0 as u32) << 23) + ((k as u32) << 19);
        k += 1;
    }
    table
};

/// 1/(1 + e⁻ˣ) = unit/(unit + unit·2ⁿ·(1 + p)), e⁻ˣ = 2ⁿ·(1 + p).
///
/// `unit` is a power of 2 for which no sum is ∞, nor any quotient subnormal; it is the last factor of all.
#[inline(always)]
pub fn sigmoid<F: Float>(x: F) -> F {
    let lit = |value: (f64, f64)| x.lit(by_width::<F, _>(value));
    let x = lit(SIGMOID[0]).larger(lit(SIGMOID[1]).smaller(x));
    let Nearly { steps, p, .. } = Nearly::of(-x);

    let unit = steps.lit((F::Width::BIAS - by_width::<F, _>(UNIT)) << F::Width::FRACTION_BITS);
    let units = if has_sixteenths::<F>() { steps.entry(&UNITS) } else { unit };
    let power = (units + (steps << (F::Width::FRACTION_BITS - F::Width::STEP_BITS))).to_float();
    let (one, unit) = (x.lit(1.0), unit.to_float());
    // unit + power + power·p, and what its rounding lost, but for rounding the last, which is small.
    let sum = Pair::sum(unit.larger(power), unit.smaller(power));
    let Pair { high, low } = Pair::sum(sum.high, power.mul_add(p, sum.low));
    // One step of Newton's from the rounded quotient.
    let y = one / high;
    let rest = y.neg_mul_add(low, y.neg_mul_add(high, one));
    rest.mul_add(y, y) * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_powers_of_two_to_a_fifth_of_an_ulp() {
        let shift = -0.011468532216f64;
        for (k, bits) in SIXTEENTHS.into_iter().enumerate() {
            let entry = f32::from_bits(bits);
            let power = (k as f64 / 16.0 * std::f64::consts::LN_2 + shift).exp();
            let ulp = f64::from(entry.next_up()) - f64::from(entry);
            assert!((f64::from(entry) - power).abs() < 0.19 * ulp, "{k}: {entry}, {power}");
        }
    }
}

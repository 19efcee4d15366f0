//! Polynomials, and sums that keep their rounding errors.

use super::lane::{Float, Width};

/// Coefficients, lowest power first: of f32, of f64. Made by `math-script/polynomials.py`.
pub type Table = (&'static [f64], &'static [f64]);

/// Σ cₖ·xᵏ, with `square` = x²: pairs cₖ + cₖ₊₁·x, and by Horner in x² their sum, which halves the wait of one fma
/// for another.
#[inline(always)]
pub fn polynomial<F: Float>(table: Table, x: F, square: F) -> F {
    let pairs = by_width::<F, _>(table).chunks(2).map(|pair| match *pair {
        [first, second] => x.mul_add(x.lit(second), x.lit(first)),
        _ => x.lit(pair[0]),
    });
    pairs.rev().reduce(|sum, pair| sum.mul_add(square, pair)).unwrap_or(x.lit(0.0))
}

/// The first for f32, the second for f64.
#[inline(always)]
pub fn by_width<F: Float, C>(choices: (C, C)) -> C {
    if F::Width::FRACTION_BITS == 23 { choices.0 } else { choices.1 }
}

/// A number as a sum of two, the second about the size of the first's rounding error.
#[derive(Clone, Copy)]
pub struct Pair<F> {
    /// The number, rounded.
    pub high: F,
    /// The rest.
    pub low: F,
}

impl<F: Float> Pair<F> {
    /// a + b, exactly, where |a| ≥ |b| or a = 0.
    #[inline(always)]
    pub fn sum(a: F, b: F) -> Self {
        let high = a + b;
        Pair { high, low: b - (high - a) }
    }

    /// a·b, exactly where nothing underflows.
    #[inline(always)]
    pub fn product(a: F, b: F) -> Self {
        let high = a * b;
        Pair { high, low: a.mul_sub(b, high) }
    }

    /// The product, to about twice the digits.
    #[inline(always)]
    pub fn times(self, other: Self) -> Self {
        let product = Pair::product(self.high, other.high);
        let low = self.high.mul_add(other.low, product.low);
        Pair { low: self.low.mul_add(other.high, low), ..product }
    }

    /// The quotient, to about twice the digits, with one division.
    #[inline(always)]
    pub fn over(self, other: Self) -> Self {
        let inverse = other.high.lit(1.0) / other.high;
        let high = self.high * inverse;
        let rest = high.neg_mul_add(other.high, self.high) + high.neg_mul_add(other.low, self.low);
        Pair { high, low: rest * inverse }
    }

    /// Rounded to one number.
    #[inline(always)]
    pub fn rounded(self) -> F {
        self.high + self.low
    }
}

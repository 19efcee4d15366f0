//! A number with a running error bound: what an engine may compute lies within it.

use std::cmp::Ordering;

use backprop_core::DType;
use backprop_core::ops::Compare;

use super::double::Double;

/// The number format of a float type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Format {
    /// The element type.
    pub dtype: DType,
    /// The unit roundoff: half the distance from 1 to the next number.
    pub u: f64,
    /// The smallest positive number: what rounding loses at least near 0.
    pub tiny: f64,
    /// The largest finite number.
    pub max: f64,
}

impl Format {
    /// The format of `f32` or `f64`.
    pub fn of(dtype: DType) -> Format {
        match dtype {
            DType::F32 => Format { dtype, u: 2f64.powi(-24), tiny: 2f64.powi(-149), max: f32::MAX.into() },
            DType::F64 => Format { dtype, u: f64::EPSILON / 2.0, tiny: f64::from_bits(1), max: f64::MAX },
            other => unreachable!("{other} is no float type"),
        }
    }

    /// What one rounding to nearest may change of a number of this size.
    pub fn rounding(self, size: f64) -> f64 {
        // Half of the smallest f64 would be 0.
        self.u * size + self.tiny
    }

    /// Whether the format holds `x` exactly.
    fn holds(self, x: Double) -> bool {
        // What is left of a small f64 may have vanished.
        let is_whole = x.lo == 0.0 && (x.hi == 0.0 || x.hi.abs() > 1e-250);
        is_whole && (self.dtype == DType::F64 || f64::from(x.hi as f32) == x.hi)
    }

    /// The exact value of an operation whose result an engine may miss by `spread`, from its operands' bounds,
    /// and by `ulps` units in the last place, from its own rounding.
    pub fn real(self, x: Double, spread: f64, ulps: f64) -> Real {
        if !x.is_finite() {
            return Real::exact(x);
        }
        let size = x.hi.abs();
        let bound = spread + 2.0 * ulps * self.rounding(size + spread);
        if !bound.is_finite() {
            return Real::LEFT_OUT;
        }
        // Overflow is certain, possible, or impossible.
        let limit = self.max * (1.0 + self.u / 2.0);
        if size - bound > limit {
            return Real::exact(Double::from(x.hi.signum() * f64::INFINITY));
        }
        if size + bound >= self.max {
            return Real::LEFT_OUT;
        }
        Real { x, bound, token: 0 }
    }

    /// As [`Format::real`] for + − × and sums of exact operands: a result that the format holds is exact.
    pub fn exact_or(self, x: Double, spread: f64, ulps: f64) -> Real {
        if spread == 0.0 && self.holds(x) { Real::exact(x) } else { self.real(x, spread, ulps) }
    }
}

/// What is known of one element of a float result.
#[derive(Clone, Copy, Debug)]
pub struct Real {
    /// The value in exact arithmetic.
    pub x: Double,
    /// How far an engine may be from it; infinite where it may be anything: then it is left out.
    pub bound: f64,
    /// Elements with the same token other than 0 are copies of one element: whatever an engine makes of
    /// it, they are equal. So x = max x holds for certain at the largest element.
    pub token: u64,
}

/// How two elements relate in every engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Both are numbers, in this order.
    Ordered(Ordering),
    /// One of them is NaN.
    Unordered,
    /// It depends on rounding.
    Unknown,
}

impl Real {
    /// An element that depends on rounding: a comparison or a jump within the bound.
    pub const LEFT_OUT: Real = Real { x: Double::ZERO, bound: f64::INFINITY, token: 0 };
    /// Exactly 0.
    pub const ZERO: Real = Real { x: Double::ZERO, bound: 0.0, token: 0 };

    /// A number that every engine has exactly.
    pub fn exact(x: impl Into<Double>) -> Real {
        Real { x: x.into(), bound: 0.0, token: 0 }
    }

    /// Whether it may be anything.
    pub fn is_left_out(self) -> bool {
        self.bound.is_infinite()
    }

    /// Whether every engine has exactly this.
    pub fn is_exact(self) -> bool {
        self.bound == 0.0
    }

    /// Whether exactly this f64.
    pub fn is(self, x: f64) -> bool {
        self.bound == 0.0 && self.x == Double::from(x)
    }

    /// |x| at most.
    pub fn size(self) -> f64 {
        self.x.hi.abs() + self.bound
    }

    /// The smallest and the largest value that an engine may have.
    pub fn ends(self) -> (f64, f64) {
        match self.is_exact() {
            true => (self.x.hi, self.x.hi),
            // The f64 nearest to x may be off by an ulp of f64: as much again.
            false => {
                let margin = self.bound + self.x.lo.abs();
                (self.x.hi - margin, self.x.hi + margin)
            }
        }
    }

    /// How it relates to `other`.
    pub fn relation(self, other: Real) -> Relation {
        if self.is_left_out() || other.is_left_out() {
            return Relation::Unknown;
        }
        if self.x.is_nan() || other.x.is_nan() {
            return Relation::Unordered;
        }
        if self.token != 0 && self.token == other.token {
            return Relation::Ordered(Ordering::Equal);
        }
        if !self.x.is_finite() || !other.x.is_finite() {
            return Relation::Ordered(self.x.hi.total_cmp(&other.x.hi));
        }
        let apart = (self.x - other.x).hi;
        let margin = self.bound + other.bound;
        match () {
            () if margin == 0.0 => Relation::Ordered(apart.partial_cmp(&0.0).expect("both are numbers")),
            () if apart.abs() <= margin => Relation::Unknown,
            () => Relation::Ordered(if apart > 0.0 { Ordering::Greater } else { Ordering::Less }),
        }
    }

    /// Whether some number lies within both bounds, or either is left out.
    pub fn may_equal(self, other: Real) -> bool {
        match self.relation(other) {
            Relation::Unknown | Relation::Ordered(Ordering::Equal) => true,
            Relation::Unordered => self.x.is_nan() && other.x.is_nan(),
            Relation::Ordered(_) => false,
        }
    }

    /// Whether both are certain to be equal numbers.
    pub fn equals(self, other: Real) -> bool {
        self.relation(other) == Relation::Ordered(Ordering::Equal)
    }

    /// The larger, or the smaller, of several elements: a continuous function, so its bound is the largest
    /// of those that may be chosen; a NaN wins.
    pub fn extreme(elements: &[Real], largest: bool) -> Real {
        if elements.iter().any(|e| e.is_left_out()) {
            return Real::LEFT_OUT;
        }
        if let Some(nan) = elements.iter().find(|e| e.x.is_nan()) {
            return *nan;
        }
        let wins = if largest { Ordering::Greater } else { Ordering::Less };
        let beats = |a: Real, b: Real| b.x.is_below(a.x) == largest && a.x != b.x;
        let best = elements.iter().copied().reduce(|best, e| if beats(e, best) { e } else { best });
        let best = best.unwrap_or(Real::ZERO);
        let rivals = elements.iter().filter(|e| {
            !matches!(best.relation(**e), Relation::Ordered(order) if order == wins || order == Ordering::Equal)
        });
        match rivals.map(|e| e.bound).reduce(f64::max) {
            None => best,
            Some(bound) => Real { bound: bound.max(best.bound), token: 0, ..best },
        }
    }
}

/// The result of a comparison; `None` where it depends on rounding.
pub fn compared(op: Compare, relation: Relation) -> Option<bool> {
    match relation {
        Relation::Unknown => None,
        Relation::Unordered => Some(op == Compare::Ne),
        Relation::Ordered(order) => Some(op.reference(order as i8, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(x: f64, bound: f64) -> Real {
        Real { x: Double::from(x), bound, token: 0 }
    }

    #[test]
    fn a_comparison_within_the_bounds_is_unknown() {
        let check = |a: Real, b: Real, expect: Relation| assert_eq!(a.relation(b), expect, "{a:?} {b:?}");
        check(near(1.0, 0.25), near(1.5, 0.25), Relation::Unknown);
        check(near(1.0, 0.25), near(1.5, 0.125), Relation::Ordered(Ordering::Less));
        check(Real::exact(2.0), Real::exact(2.0), Relation::Ordered(Ordering::Equal));
        check(near(f64::NAN, 0.0), near(1.0, 0.5), Relation::Unordered);
        check(Real::LEFT_OUT, Real::exact(f64::NAN), Relation::Unknown);
        let copy = Real { token: 7, ..near(1.0, 0.25) };
        check(copy, copy, Relation::Ordered(Ordering::Equal));
    }

    #[test]
    fn an_extreme_is_as_uncertain_as_its_rivals() {
        let of = |elements: &[Real]| Real::extreme(elements, true);
        let copy = Real { token: 7, ..near(3.0, 0.25) };
        assert_eq!(of(&[near(1.0, 0.5), copy, copy]).token, 7);
        let tied = of(&[copy, near(2.75, 0.5)]);
        assert_eq!((tied.x.hi, tied.bound, tied.token), (3.0, 0.5, 0));
        assert!(of(&[copy, near(f64::NAN, 0.0)]).x.is_nan() && of(&[copy, Real::LEFT_OUT]).is_left_out());
    }

    #[test]
    fn overflow_is_certain_possible_or_impossible() {
        let f32s = Format::of(DType::F32);
        assert_eq!(f32s.real(Double::from(1e39), 0.0, 0.5).x.hi, f64::INFINITY);
        assert!(f32s.real(Double::from(f64::from(f32::MAX)), 1e30, 0.5).is_left_out());
        assert!(f32s.real(Double::from(1e38), 1e30, 0.5).bound < 1.1e31);
        // Below the smallest number a rounding may lose all of it.
        assert!(f32s.real(Double::from(1e-50), 0.0, 0.5).bound >= 1e-50);
    }
}

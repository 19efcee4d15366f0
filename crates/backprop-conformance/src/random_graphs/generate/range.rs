//! Intervals that hold every element of a value: they keep operands in an op's domain, and numbers finite.

use backprop_core::{DType, Element, with_dtype};

/// Every element lies between `low` and `high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The least.
    pub low: f64,
    /// The greatest.
    pub high: f64,
}

impl Range {
    /// From `low` to `high`.
    pub fn new(low: f64, high: f64) -> Range {
        Range { low, high }
    }

    /// From −size to size.
    pub fn within(size: f64) -> Range {
        Range::new(-size, size)
    }

    /// The largest |x|.
    pub fn size(self) -> f64 {
        self.low.abs().max(self.high.abs())
    }

    /// Of both.
    pub fn hull(self, other: Range) -> Range {
        Range::new(self.low.min(other.low), self.high.max(other.high))
    }

    /// Of it and 0.
    pub fn with_zero(self) -> Range {
        self.hull(Range::new(0.0, 0.0))
    }

    /// Of f(x), f monotone.
    pub fn monotone(self, f: impl Fn(f64) -> f64) -> Range {
        let (a, b) = (f(self.low), f(self.high));
        Range::new(a.min(b), a.max(b))
    }

    /// Of f(x, y), f monotone in each.
    pub fn corners(self, other: Range, f: impl Fn(f64, f64) -> f64) -> Range {
        let corners =
            [(self.low, other.low), (self.low, other.high), (self.high, other.low), (self.high, other.high)];
        let values = corners.map(|(a, b)| f(a, b));
        Range::new(
            values.into_iter().fold(f64::INFINITY, f64::min),
            values.into_iter().fold(f64::NEG_INFINITY, f64::max),
        )
    }

    /// Of |x|.
    pub fn abs(self) -> Range {
        match self {
            Range { low, high } if low <= 0.0 && high >= 0.0 => Range::new(0.0, self.size()),
            Range { low, high } => Range::new(low.abs().min(high.abs()), self.size()),
        }
    }

    /// As elements of `dtype`: where integers may wrap, all that the type holds.
    pub fn held(self, dtype: DType) -> Range {
        if !dtype.is_int() {
            return self;
        }
        let (least, greatest) = match dtype {
            DType::I64 => (-9e15, 9e15),
            _ => with_dtype!(dtype, |T| (T::from_f64(f64::MIN).to_f64(), T::from_f64(f64::MAX).to_f64())),
        };
        if self.low >= least && self.high <= greatest { self } else { Range::new(least, greatest) }
    }
}

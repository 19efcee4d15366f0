//! Double-double numbers: unevaluated sums of two f64, which hold 106 bits.
//!
//! Written here, and not taken from a crate, because the reference needs little of it: + − × ÷ √, about
//! as much as a crate's glue would cost, and every function that an op has (`functions`),
//! which the pure-Rust crates of this kind lack or do not bound.
//! Algorithms: Dekker 1971; Hida, Li, Bailey, "Library for double-double and quad-double arithmetic", 2008.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// `hi + lo` with |lo| ≤ ulp(hi)/2. Where `hi` is not finite, it stands alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Double {
    /// The number, rounded to f64.
    pub hi: f64,
    /// What is left of it.
    pub lo: f64,
}

/// Below it the error of a product of f64 may vanish: operands are lifted by 2^[`LIFT`] first.
const SMALL: f64 = 1e-250;
const LIFT: i32 = 600;

/// a + b exactly.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let from_b = sum - a;
    (sum, (a - (sum - from_b)) + (b - from_b))
}

/// a + b exactly, where |a| ≥ |b|.
fn quick_two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    (sum, b - (sum - a))
}

/// a·b exactly, but for underflow.
fn two_product(a: f64, b: f64) -> (f64, f64) {
    let product = a * b;
    (product, a.mul_add(b, -product))
}

impl Double {
    /// 0
    pub const ZERO: Double = Double { hi: 0.0, lo: 0.0 };
    /// 1
    pub const ONE: Double = Double { hi: 1.0, lo: 0.0 };
    /// NaN
    pub const NAN: Double = Double { hi: f64::NAN, lo: 0.0 };

    /// The sum of two parts of which the second is small.
    pub fn of_parts(hi: f64, lo: f64) -> Double {
        let (hi, lo) = quick_two_sum(hi, lo);
        Double::normal(hi, lo)
    }

    /// As computed, unless it left the finite numbers on the way: then `hi` alone says what it is.
    fn normal(hi: f64, lo: f64) -> Double {
        if hi.is_finite() { Double { hi, lo } } else { Double::from(hi) }
    }

    /// Whether it is a plain f64: then IEEE says what an operation on it gives at zeros and infinities.
    fn is_plain(self) -> bool {
        self.lo == 0.0
    }

    /// Whether neither infinite nor NaN.
    pub fn is_finite(self) -> bool {
        self.hi.is_finite()
    }

    /// Whether NaN.
    pub fn is_nan(self) -> bool {
        self.hi.is_nan()
    }

    /// |x|
    pub fn abs(self) -> Double {
        if self.hi.is_sign_negative() { -self } else { self }
    }

    /// x·2ᵏ
    pub fn scaled(self, k: i32) -> Double {
        // Two steps: 2ᵏ itself may be out of range.
        let (half, rest) = (2f64.powi(k / 2), 2f64.powi(k - k / 2));
        Double::normal(self.hi * half * rest, self.lo * half * rest)
    }

    /// x²
    pub fn square(self) -> Double {
        self * self
    }

    /// √x (Karp, Markstein 1997: one Newton step from the f64 root).
    pub fn sqrt(self) -> Double {
        if self.hi <= 0.0 || !self.is_finite() {
            return Double::from(self.hi.sqrt());
        }
        let root = Double::from(self.hi.sqrt());
        root + (self - root * root) / (root + root)
    }

    /// The largest integer not above x.
    pub fn floor(self) -> Double {
        let hi = self.hi.floor();
        if hi != self.hi { Double::from(hi) } else { Double::of_parts(hi, self.lo.floor()) }
    }

    /// Whether x < y.
    pub fn is_below(self, other: Double) -> bool {
        self.hi < other.hi || self.hi == other.hi && self.lo < other.lo
    }
}

impl From<f64> for Double {
    fn from(x: f64) -> Double {
        Double { hi: x, lo: 0.0 }
    }
}

impl Neg for Double {
    type Output = Double;
    fn neg(self) -> Double {
        Double { hi: -self.hi, lo: if self.is_plain() { 0.0 } else { -self.lo } }
    }
}

impl Add for Double {
    type Output = Double;
    fn add(self, other: Double) -> Double {
        let plain = self.hi + other.hi;
        if !plain.is_finite() || (plain == 0.0 && self.is_plain() && other.is_plain()) {
            return Double::from(plain);
        }
        let (high, high_rest) = two_sum(self.hi, other.hi);
        let (low, low_rest) = two_sum(self.lo, other.lo);
        let (high, high_rest) = quick_two_sum(high, high_rest + low);
        let (hi, lo) = quick_two_sum(high, high_rest + low_rest);
        Double::normal(hi, lo)
    }
}

impl Sub for Double {
    type Output = Double;
    fn sub(self, other: Double) -> Double {
        self + -other
    }
}

impl Mul for Double {
    type Output = Double;
    fn mul(self, other: Double) -> Double {
        let plain = self.hi * other.hi;
        if !plain.is_finite() || plain == 0.0 {
            return Double::from(plain);
        }
        if plain.abs() < SMALL {
            let (small, other) = if self.hi.abs() < other.hi.abs() { (self, other) } else { (other, self) };
            return (small.scaled(LIFT) * other).scaled(-LIFT);
        }
        let (high, rest) = two_product(self.hi, other.hi);
        let (hi, lo) = quick_two_sum(high, rest + (self.hi * other.lo + self.lo * other.hi));
        Double::normal(hi, lo)
    }
}

impl Div for Double {
    type Output = Double;
    fn div(self, other: Double) -> Double {
        let first = self.hi / other.hi;
        if !first.is_finite() || first == 0.0 || !other.is_finite() {
            return Double::from(first);
        }
        if self.hi.abs() < SMALL {
            return (self.scaled(LIFT) / other).scaled(-LIFT);
        }
        if other.hi.abs() < SMALL {
            return (self / other.scaled(LIFT)).scaled(LIFT);
        }
        let rest = self - other * Double::from(first);
        let second = rest.hi / other.hi;
        let rest = rest - other * Double::from(second);
        let (hi, lo) = quick_two_sum(first, second);
        Double { hi, lo } + Double::from(rest.hi / other.hi)
    }
}

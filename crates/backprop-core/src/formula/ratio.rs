//! Coefficients: fractions that stay exact.

/// A rational coefficient: two numbers that are exact.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Ratio {
    pub num: f64,
    pub den: f64,
}

impl Ratio {
    pub const ONE: Ratio = Ratio { num: 1.0, den: 1.0 };

    pub fn of(num: f64) -> Ratio {
        Ratio { num, den: 1.0 }
    }

    /// The product, if it is exact.
    pub fn times(self, other: Ratio) -> Option<Ratio> {
        let exact = |a: f64, b: f64| {
            let product = a * b;
            (a.abs() == 1.0 || b.abs() == 1.0 || product == 0.0 || f64::mul_add(a, b, -product) == 0.0)
                .then_some(product)
        };
        Some(Ratio { num: exact(self.num, other.num)?, den: exact(self.den, other.den)? }.reduced())
    }

    /// The sum, if it is one of whole numbers and so exact.
    pub fn plus(self, other: Ratio) -> Option<Ratio> {
        let sum = self.num + other.num;
        let exact = sum - self.num == other.num && sum - other.num == self.num;
        (self.den == other.den && exact).then_some(Ratio { num: sum, den: self.den }.reduced())
    }

    pub fn reduced(self) -> Ratio {
        let Ratio { mut num, mut den } = self;
        let whole = |x: f64| x == x.trunc() && x.abs() < 9e15;
        if whole(num) && whole(den) && den != 0.0 {
            let (mut a, mut b) = (num.abs() as u64, den.abs() as u64);
            while b != 0 {
                (a, b) = (b, a % b);
            }
            if a > 1 {
                (num, den) = (num / a as f64, den / a as f64);
            }
        }
        if den < 0.0 {
            (num, den) = (-num, -den);
        }
        Ratio { num, den }
    }

    pub fn abs(self) -> Ratio {
        Ratio { num: self.num.abs(), den: self.den }
    }

    pub fn negated(self) -> Ratio {
        Ratio { num: -self.num, den: self.den }
    }

    pub fn key(self) -> String {
        format!("{:x}/{:x}", self.num.to_bits(), self.den.to_bits())
    }
}

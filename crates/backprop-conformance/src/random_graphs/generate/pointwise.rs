//! Steps of pointwise ops.

use backprop_core::ops::{Binary, Compare, Logic, Unary, broadcast_binary};
use backprop_core::{DType, emit};

use super::super::cube::cube;
use super::builder::{Builder, Made};
use super::range::Range;

impl Builder {
    /// An op of one operand, on floats or integers.
    pub fn unary(&mut self) -> Option<Made> {
        let op = self.dice.pick(Unary::ALL);
        let a = match op {
            Unary::Neg | Unary::Abs | Unary::Sign | Unary::Square if self.dice.chance(25) => self.int(),
            _ => self.float(),
        };
        Some(self.unary_on(op, a))
    }

    /// `op` on `a`, which is brought into its domain before.
    pub fn unary_on(&mut self, op: Unary, a: Made) -> Made {
        let a = match op {
            Unary::Exp | Unary::Expm1 => self.tame(a, 3.0),
            Unary::Log | Unary::Sqrt | Unary::Reciprocal | Unary::Log1p => self.positive(a, 0.25),
            Unary::Erfc | Unary::Square => self.tame(a, 5.0),
            _ => self.tame(a, 50.0),
        };
        let range = match op {
            Unary::Abs => a.range.abs(),
            Unary::Square => a.range.abs().monotone(|x| x * x),
            Unary::Sin | Unary::Cos => Range::within(1.0),
            _ => a.range.monotone(|x| op.reference(x)),
        };
        self.add(emit(op, &[a.tensor]).one(), range)
    }

    /// An op of two operands, on floats or integers.
    pub fn binary(&mut self) -> Option<Made> {
        let op = self.dice.pick(Binary::ALL);
        let a = if self.dice.chance(12) { self.int() } else { self.float() };
        let b = self.partner(a);
        Some(match a.ty.dtype.is_float() {
            true => self.binary_on(op, a, b),
            false => self.binary_of_ints(op, a, b),
        })
    }

    /// `op` on floats, which are brought into its domain before.
    pub fn binary_on(&mut self, op: Binary, a: Made, b: Made) -> Made {
        let (a, b) = match op {
            Binary::Div => (self.tame(a, 30.0), self.positive(b, 0.25)),
            Binary::Pow => (self.tame(a, 4.0), self.tame(b, 2.0)),
            Binary::Mul => (self.tame(a, 8.0), self.tame(b, 8.0)),
            _ => (self.tame(a, 30.0), self.tame(b, 30.0)),
        };
        if op == Binary::Pow {
            return self.pow(a, b);
        }
        let range = a.range.corners(b.range, |a, b| op.reference(a, b));
        self.add(broadcast_binary(op, a.tensor, b.tensor), range)
    }

    /// A product and a sum that round once.
    pub fn fma(&mut self) -> Option<Made> {
        let a = self.float();
        let b = self.partner(a);
        let (a, b) = (self.tame(a, 8.0), self.tame(b, 8.0));
        let (x, y) = a.tensor.broadcast_with(b.tensor);
        let (c, added) = if self.dice.chance(50) { (x, a.range) } else { (y, b.range) };
        let product = a.range.corners(b.range, |a, b| a * b);
        Some(self.add(x.fma(y, c), product.corners(added, |p, c| p + c)))
    }

    fn pow(&mut self, a: Made, b: Made) -> Made {
        if self.dice.chance(35) {
            // A literal exponent, and a base of any sign.
            let exponent = self.dice.pick(&[0.0, 1.0, 2.0, 3.0]);
            let size = a.range.size().powf(exponent).max(1.0);
            return self.add(a.tensor.pow(exponent), Range::within(size));
        }
        let a = self.positive(a, 0.25);
        let a = if a.range.high > 5.0 {
            self.add(a.tensor.minimum(5.0), Range::new(a.range.low, 5.0))
        } else {
            a
        };
        let range = a.range.corners(b.range, f64::powf);
        self.add(a.tensor.pow(b.tensor), range.hull(Range::new(1.0, 1.0)))
    }

    fn binary_of_ints(&mut self, op: Binary, a: Made, b: Made) -> Made {
        let is_unsigned = matches!(a.ty.dtype, DType::U32 | DType::U8);
        let (a, b) = match op {
            Binary::Pow => {
                let (a, b) = (self.tame(a, 3.0), self.tame(b, 4.0));
                let range = Range::within(81.0);
                let range = if is_unsigned { Range::new(0.0, 81.0) } else { range };
                return self.add(broadcast_binary(op, a.tensor, b.tensor), range);
            }
            Binary::Div => {
                let b = self.tame(b, 100.0);
                let divisor = b.tensor.square() + 1i64;
                let range = b.range.abs().monotone(|x| x * x + 1.0);
                (
                    self.tame(a, 1000.0),
                    self.add(divisor.minimum(100i64).maximum(1i64), Range::new(1.0, range.high.min(100.0))),
                )
            }
            _ => (self.tame(a, 200.0), self.tame(b, 200.0)),
        };
        let range = a
            .range
            .corners(b.range, |a, b| if op == Binary::Div { (a / b).trunc() } else { op.reference(a, b) });
        self.add(broadcast_binary(op, a.tensor, b.tensor), range)
    }

    /// A comparison, of any type.
    pub fn compare(&mut self) -> Option<Made> {
        let a = match self.dice.below(10) {
            0 => self.truth(),
            1 | 2 => self.int(),
            _ => self.float(),
        };
        let op = self.dice.pick(Compare::ALL);
        let b = self.partner(a);
        Some(self.add(broadcast_binary(op, a.tensor, b.tensor), Range::new(0.0, 1.0)))
    }

    /// An operation on truth values.
    pub fn logic(&mut self) -> Option<Made> {
        let a = self.truth();
        let result = match self.dice.pick(Logic::ALL) {
            Logic::Not => a.tensor.not(),
            op => {
                let b = self.partner(a);
                broadcast_binary(op, a.tensor, b.tensor)
            }
        };
        Some(self.add(result, Range::new(0.0, 1.0)))
    }

    /// A choice between two values, element by element.
    pub fn select(&mut self) -> Option<Made> {
        let a = if self.dice.chance(20) { self.int() } else { self.float() };
        let b = self.partner(a);
        let other = self.partner(a);
        let condition = broadcast_binary(self.dice.pick(Compare::ALL), a.tensor, other.tensor);
        let (Some(own), Some(chosen)) = (condition.shape(), a.tensor.broadcast_with(b.tensor).0.shape())
        else {
            return None;
        };
        let shape = backprop_core::ops::broadcast_shapes(own, chosen).ok()?;
        if !self.fits(shape) {
            return None;
        }
        Some(self.add(condition.select(a.tensor, b.tensor), a.range.hull(b.range)))
    }

    /// A cast from and to any type.
    pub fn cast(&mut self) -> Option<Made> {
        let a = match self.dice.below(6) {
            0 => self.truth(),
            1 | 2 => self.int(),
            _ => self.float(),
        };
        let a = self.tame(a, 200.0);
        let dtype = match self.dice.chance(60) {
            true => self.dice.pick(&[DType::F32, DType::F64]),
            false => self.dice.pick(&DType::ALL),
        };
        let range = match dtype {
            _ if self.is_wild && dtype.is_int() => Range::within(f64::INFINITY).held(dtype),
            DType::Bool => Range::new(0.0, 1.0),
            DType::U8 | DType::U32 if a.ty.dtype.is_int() && a.range.low < 0.0 => {
                Range::new(-1.0, 1e10).held(dtype)
            }
            DType::U8 | DType::U32 => a.range.monotone(|x| x.max(0.0).trunc()),
            _ if dtype.is_int() => a.range.monotone(f64::trunc),
            _ => a.range,
        };
        Some(self.add(a.tensor.cast(dtype), range))
    }

    /// An op that hands a value on.
    pub fn handed_on(&mut self) -> Option<Made> {
        let a = self.float();
        let result = if self.dice.chance(50) { a.tensor.stop_gradient() } else { a.tensor.identity() };
        Some(self.add(result, a.range))
    }

    /// The custom op.
    pub fn custom(&mut self) -> Option<Made> {
        let a = self.float();
        let a = self.tame(a, 3.0);
        Some(self.add(cube(a.tensor), a.range.monotone(|x| x * x * x)))
    }

    /// `n` pointwise steps on `a` that keep its type.
    pub fn chain(&mut self, a: Made, n: usize) -> Made {
        let mut x = a;
        for _ in 0..n {
            x = match self.dice.below(3) {
                0 => {
                    let b = self.partner(x);
                    let op = self.dice.pick(Binary::ALL);
                    self.binary_on(op, x, b)
                }
                _ => {
                    let op = self.dice.pick(Unary::ALL);
                    self.unary_on(op, x)
                }
            };
            if x.ty != a.ty {
                // A partner of a larger shape stretched it.
                x = a;
            }
        }
        x
    }
}

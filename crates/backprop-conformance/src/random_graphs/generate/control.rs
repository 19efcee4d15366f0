//! Steps with bodies: branches and loops, which capture values of their surroundings.

use std::cell::RefCell;

use backprop_core::{DType, Dim, Shape, Type, cond, scan, scan_indexed, scan_n, scan_reverse};

use super::builder::{Builder, Made};
use super::range::Range;

/// Bodies within bodies within bodies would take most of the time.
const MOST_NESTED: usize = 2;

impl Builder {
    /// One of two branches, each of which gives a value of the type of `a`.
    pub fn branches(&mut self) -> Option<Made> {
        if self.depth >= MOST_NESTED {
            return None;
        }
        let a = self.float();
        let a = self.tame(a, 20.0);
        let pred = match self.find(|made| made.ty == Type::scalar(DType::Bool)) {
            Some(pred) => pred,
            None => {
                let value = self.float();
                let mean = self.tame(value, 8.0).tensor.sum(());
                self.add(mean.gt(0.25), Range::new(0.0, 1.0))
            }
        };
        let ranges = RefCell::new(Vec::new());
        let n = [self.dice.below(4), self.dice.below(4)];
        let builder = RefCell::new(self);
        let branch = |n: usize| {
            let made = Builder::within(&builder, |builder| {
                let result = builder.chain(a, n);
                let nested = if builder.dice.chance(20) {
                    builder.looped()
                } else {
                    builder.dice.chance(20).then(|| builder.branches()).flatten()
                };
                match nested.filter(|nested| nested.ty == result.ty) {
                    Some(nested) => {
                        let nested = builder.tame(nested, 50.0);
                        builder.add(result.tensor + nested.tensor, Range::within(result.range.size() + 50.0))
                    }
                    None => result,
                }
            });
            ranges.borrow_mut().push(made.range);
            made.tensor
        };
        let result = cond(pred.tensor, || branch(n[0]), || branch(n[1]));
        let range = ranges.borrow()[0].hull(ranges.borrow()[1]);
        Some(builder.into_inner().add(result, range))
    }

    /// A loop whose carry stays between −1 and 1: over slices of a value, or so many times.
    pub fn looped(&mut self) -> Option<Made> {
        if self.depth >= MOST_NESTED {
            return None;
        }
        let xs = self.float_where(|a| a.rank() > 0);
        let xs = self.tame(xs, 4.0);
        if xs.rank() == 0 || self.size(xs.ty.shape[0]) > 13 {
            return None;
        }
        let row = Type { shape: Shape::new(&xs.ty.shape[1..]), ..xs.ty };
        let init = match self.find(|made| made.ty == row) {
            Some(init) => self.tame(init, 1.0),
            None => self.fresh(row, Range::within(1.0)),
        };
        let length = self.dice.pick(&[Dim::Size(0), Dim::Size(2), Dim::Size(3), xs.ty.shape[0]]);
        let (which, n) = (self.dice.below(4), self.dice.below(3));
        let weights = self.weights(row);
        let key = self.find(|made| made.ty == Type::new(DType::U32, [4])).filter(|_| self.dice.chance(50));
        let y_range = RefCell::new(Range::within(1.0));
        let builder = RefCell::new(self);
        // The next carry, and what is stacked.
        let step =
            |k: Option<backprop_core::Tensor>, c: backprop_core::Tensor, x: Option<backprop_core::Tensor>| {
                Builder::within(&builder, |builder| {
                    let carry = builder.add(c, Range::within(1.0));
                    let x = x.map(|x| builder.add(x, xs.range));
                    let mut sum = match weights {
                        Some(weights) => weights.tensor.matmul(c),
                        None => c,
                    };
                    if let Some(x) = x {
                        sum = sum + x.tensor;
                    }
                    if let Some(k) = k {
                        sum = sum + k.cast(row.dtype) * 0.25;
                        if let Some(key) = key {
                            sum = sum + key.tensor.fold_in(k).uniform(row.dtype, row.shape);
                        }
                    }
                    let next = if builder.dice.chance(50) { sum.tanh() } else { sum.sin() };
                    let y = builder.chain(x.unwrap_or(carry), n);
                    *y_range.borrow_mut() = y.range;
                    (next, y.tensor)
                })
            };
        let (carry, ys) = match which {
            0 => scan(init.tensor, xs.tensor, |c, x| step(None, c, Some(x))),
            1 => scan_reverse(init.tensor, xs.tensor, |c, x| step(None, c, Some(x))),
            2 => scan_indexed(init.tensor, xs.tensor, |k, c, x| step(Some(k), c, Some(x))),
            _ => scan_n(length, init.tensor, |k, c| step(Some(k), c, None)),
        };
        let range = *y_range.borrow();
        let builder = builder.into_inner();
        builder.add(ys, range);
        Some(builder.add(carry, Range::within(1.0)))
    }

    /// A matrix for rows of this type, at times.
    fn weights(&mut self, row: Type) -> Option<Made> {
        let &n = row.shape.first().filter(|_| row.shape.rank() == 1)?;
        let ty = Type { shape: Shape::new(&[n, n]), ..row };
        (self.fits(ty.shape) && self.dice.chance(60)).then(|| self.fresh(ty, Range::within(1.0)))
    }
}

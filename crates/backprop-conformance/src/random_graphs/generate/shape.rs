//! Steps that move elements.

use backprop_core::ops::Pad;
use backprop_core::{Dim, Dims, Shape, Type, concat, emit};

use super::builder::{Builder, Made};
use super::range::Range;

impl Builder {
    /// A value of any type, mostly a float.
    pub fn any(&mut self) -> Made {
        match self.dice.below(10) {
            0 => self.truth(),
            1 => self.int(),
            _ => self.float(),
        }
    }

    /// The same elements in another shape.
    pub fn reshape(&mut self) -> Option<Made> {
        let a = self.any();
        let (x, rank) = (a.tensor, a.rank());
        let result = match self.dice.below(4) {
            0 => x.flatten(),
            1 if rank < 5 => x.unsqueeze(self.dice.below(rank + 1)),
            2 if rank >= 2 => {
                // Two neighbouring axes become one.
                let at = self.dice.below(rank - 1);
                let mut dims = a.ty.shape.to_vec();
                let joined = dims[at] * dims[at + 1];
                dims.splice(at..at + 2, [joined]);
                emit(backprop_core::ops::Reshape { shape: Shape::new(&dims) }, &[x]).one()
            }
            _ => {
                let n = a.ty.shape.n_elements()?;
                let factor = [2, 3, 5, 7].into_iter().find(|f| n % f == 0).unwrap_or(1);
                x.reshape([factor as i64, (n / factor) as i64])
            }
        };
        Some(self.add(result, a.range))
    }

    /// The axes in another order.
    pub fn transpose(&mut self) -> Option<Made> {
        let a = self.float_where(|a| a.rank() >= 2);
        let perm = self.dice.shuffled((0..a.rank()).collect::<Vec<usize>>());
        Some(self.add(a.tensor.transpose(&perm), a.range))
    }

    /// Repeated along new axes, or axes of size 1.
    pub fn broadcast(&mut self) -> Option<Made> {
        let a = self.any();
        let mut dims = a.ty.shape.to_vec();
        for dim in dims.iter_mut().filter(|dim| **dim == Dim::Size(1)) {
            *dim = self.dice.pick(&self.dims.clone());
        }
        if self.dice.chance(60) {
            dims.insert(0, self.dice.pick(&self.dims.clone()));
        }
        let shape = Shape::new(&dims);
        self.fits(shape).then(|| self.add(a.tensor.broadcast_to(shape), a.range))
    }

    /// Every so-many-th element between two places of each axis.
    pub fn slice(&mut self) -> Option<Made> {
        let a = self.float_where(|a| a.rank() >= 1);
        let (mut start, mut stop, mut step) = (Vec::new(), Vec::new(), Vec::new());
        for &dim in a.ty.shape.iter() {
            let least = self.least(dim);
            let first = self.dice.below(least.min(3) + 1).min(least.saturating_sub(1));
            start.push(Dim::Size(first));
            stop.push(match dim.size() {
                Some(n) if self.dice.chance(50) => Dim::Size(first + self.dice.below(n - first + 1)),
                _ => dim,
            });
            step.push(Dim::Size(self.dice.pick(&[1, 1, 2, 3])));
        }
        let [start, stop, step] = [start, stop, step].map(|dims| dims.into_iter().collect::<Dims>());
        Some(self.add(a.tensor.slice(start, stop, step), a.range))
    }

    /// Zeros around and between the elements.
    pub fn pad(&mut self) -> Option<Made> {
        let a = self.any();
        let counts = |builder: &mut Builder, most: usize| -> Dims {
            (0..a.rank()).map(|_| Dim::Size(builder.dice.below(most + 1))).collect()
        };
        let (low, high) = (counts(self, 2), counts(self, 2));
        let interior: Dims = match self.dice.chance(50) && !a.ty.shape.iter().any(|&dim| self.least(dim) == 0)
        {
            true => counts(self, 2),
            false => (0..a.rank()).map(|_| Dim::Size(0)).collect(),
        };
        let op = Pad { low, high, interior };
        let result = emit(op, &[a.tensor]).one();
        self.fits(result.shape()?).then(|| self.add(result, a.range.with_zero()))
    }

    /// Several values one after another.
    pub fn concat(&mut self) -> Option<Made> {
        let a = self.float_where(|a| a.rank() >= 1);
        if a.rank() == 0 {
            return None;
        }
        let axis = self.dice.below(a.rank());
        let mut parts = vec![a];
        for _ in 0..self.dice.below(3) {
            let fits = |b: &Made| {
                b.ty.dtype == a.ty.dtype
                    && b.rank() == a.rank()
                    && b.ty.shape.with(axis, Dim::Size(0)) == a.ty.shape.with(axis, Dim::Size(0))
            };
            let part = match self.find(fits) {
                Some(part) if self.dice.chance(70) => part,
                _ => {
                    let size = Dim::Size(self.dice.pick(&[0, 1, 2, 3]));
                    self.fresh(Type { shape: a.ty.shape.with(axis, size), ..a.ty }, Range::within(2.0))
                }
            };
            parts.insert(self.dice.below(parts.len() + 1), part);
        }
        let tensors: Vec<_> = parts.iter().map(|part| part.tensor).collect();
        let result = concat(&tensors, axis);
        let range = parts.iter().fold(a.range, |range, part| range.hull(part.range));
        self.fits(result.shape()?).then(|| self.add(result, range))
    }
}

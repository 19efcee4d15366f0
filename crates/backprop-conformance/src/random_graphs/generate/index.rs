//! Steps by index, leaves, and random numbers.

use backprop_core::{DType, Dim, Shape, Type};

use super::builder::{Builder, LONG, Made};
use super::range::Range;

impl Builder {
    /// Integers below `size`, of which every run has at least one: from the pool, or squeezed, or new.
    fn indices(&mut self, size: usize) -> Made {
        let most = size as f64 - 1.0;
        let fits = |made: &Made| made.ty.dtype.is_int() && made.rank() <= 2;
        match self.find(fits) {
            Some(made) if made.range.low >= 0.0 && made.range.high <= most && !self.is_wild => made,
            Some(made) if self.dice.chance(60) => {
                let most = if made.ty.dtype == DType::U8 { most.min(255.0) } else { most };
                let inside = made.tensor.maximum(0i64).minimum(most as i64);
                self.add(inside, Range::new(0.0, most))
            }
            _ => {
                let rank = self.dice.below(3);
                let dims: Vec<Dim> = (0..rank).map(|_| self.dice.pick(&self.dims.clone())).collect();
                let dtype = self.dice.pick(&[DType::I64, DType::I32, DType::U32]);
                self.fresh(Type { dtype, shape: Shape::new(&dims) }, Range::new(0.0, most))
            }
        }
    }

    /// A value with an axis along which every run has an element, and that axis.
    fn indexed(&mut self) -> Option<(Made, usize)> {
        let a = self.float_where(|a| a.rank() > 0);
        let axis = self.dice.below(a.rank().max(1));
        (a.rank() > 0 && self.least(a.ty.shape[axis]) > 0).then_some((a, axis))
    }

    /// Slices at indices.
    pub fn gather(&mut self) -> Option<Made> {
        let (a, axis) = self.indexed()?;
        let indices = self.indices(self.least(a.ty.shape[axis]));
        let result = a.tensor.gather(axis, indices.tensor);
        self.fits(result.shape()?).then(|| self.add(result, a.range))
    }

    /// Slices added at indices.
    pub fn scatter_add(&mut self) -> Option<Made> {
        let (a, axis) = self.indexed()?;
        let a = self.tame(a, 8.0);
        let indices = self.indices(self.least(a.ty.shape[axis]));
        let mut dims = a.ty.shape.to_vec();
        dims.splice(axis..=axis, indices.ty.shape.iter().copied());
        let ty = Type { shape: Shape::new(&dims), ..a.ty };
        if !self.fits(ty.shape) {
            return None;
        }
        let updates = match self.find(|made| made.ty == ty) {
            Some(updates) => self.tame(updates, 8.0),
            None => self.fresh(ty, Range::within(2.0)),
        };
        let n = self.n_elements(indices.ty.shape) as f64 + 1.0;
        let result = a.tensor.scatter_add(axis, indices.tensor, updates.tensor);
        Some(self.add(result, Range::within(n * a.range.size().max(updates.range.size()))))
    }

    /// 1 at an index, 0 elsewhere.
    pub fn one_hot(&mut self) -> Option<Made> {
        let depth = self.dice.pick(&[2usize, 3, 5]);
        let indices = self.indices(depth);
        let dtype = if self.dice.chance(70) { self.float } else { self.dice.pick(&DType::ALL) };
        let result = indices.tensor.one_hot(depth, dtype);
        self.fits(result.shape()?).then(|| self.add(result, Range::new(0.0, 1.0)))
    }

    /// A sum in which an index chooses: over the elements whose number, counted in one type or another, equals it. It
    /// may be the number of none; in u8 counts start anew at 256, and it may be that of several.
    pub fn chosen(&mut self) -> Option<Made> {
        let is_long = |dim: &Dim| dim.size().is_some_and(|size| size >= LONG[0]);
        let a = self.float_where(|a| a.ty.shape.iter().any(is_long));
        let axis = a.ty.shape.iter().position(is_long)?;
        let a = self.tame(a, 50.0);
        let (dim, rows) = (a.ty.shape[axis], a.ty.shape.without(&[axis]));
        let dtype = self.dice.pick(&[DType::I64, DType::I32, DType::I32, DType::U8, DType::U8, self.float]);
        let most = self.least(dim) as f64 - 1.0;
        let fits = |made: &Made| made.ty.dtype.is_int() && made.ty.shape == rows && made.range.size() <= 1e4;
        let index = match self.find(fits) {
            Some(index) => index,
            None => {
                let dtype = self.dice.pick(&[DType::I64, DType::I32, DType::U8]);
                let beyond = if self.dice.chance(30) { most } else { 0.0 };
                self.fresh(Type { dtype, shape: rows }, Range::new(-beyond, most + beyond).held(dtype))
            }
        };
        let is_within = index.range.low >= 0.0 && index.range.high <= most && !self.is_wild;
        let number = match is_within && self.dice.chance(50) {
            // As the derivative of a row that was looked up writes it.
            true => self.graph.iota(Type::new(dtype, [dim]), 0).gather(0, index.tensor),
            false => index.tensor.cast(dtype),
        };
        let counts = self.graph.iota(Type { dtype, shape: a.ty.shape }, axis);
        let number = number.unsqueeze(axis);
        let is_chosen = if self.dice.chance(50) { number.eq(counts) } else { counts.eq(number) };
        let value = if self.dice.chance(60) { a.tensor } else { self.graph.full(a.ty, 5.0) };
        let value = is_chosen.select(value, 0.0);
        let n_equal = self.size(dim).div_ceil(256) as f64;
        let range = Range::within(n_equal * a.range.size().max(5.0));
        Some(self.add(value.sum(axis as i64), range))
    }

    /// A value that depends on nothing: counting, all equal, a constant, the size of a dimension.
    pub fn leaf(&mut self) -> Option<Made> {
        let shape = self.shape();
        match self.dice.below(5) {
            0 | 1 if shape.rank() > 0 => {
                let axis = self.dice.below(shape.rank());
                let dtype = self.dice.pick(&[self.float, DType::I64, DType::I32, DType::U8]);
                let result = self.graph.iota(Type { dtype, shape }, axis);
                let most = self.size(shape[axis]).saturating_sub(1) as f64;
                Some(self.add(result, Range::new(0.0, most)))
            }
            2 => {
                let (dtype, value) =
                    self.dice.pick(&[(self.float, 0.75), (self.float, -1.5), (self.float, 0.1)]);
                let result = self.graph.full(Type { dtype, shape }, value);
                Some(self.add(result, Range::new(value, value)))
            }
            3 => {
                // A constant: inside bodies all new leaves are.
                self.depth += 1;
                let made = self.fresh(Type { dtype: self.float, shape }, Range::within(2.0));
                self.depth -= 1;
                Some(made)
            }
            _ => {
                let a = self.float_where(|a| a.rank() > 0);
                let axis = self.dice.below(a.rank().max(1));
                let most = self.size(*a.ty.shape.get(axis)?) as f64;
                let size = self.add(a.tensor.dim_value(axis), Range::new(0.0, most));
                let size = if self.dice.chance(70) {
                    self.add(size.tensor.cast(self.float), size.range)
                } else {
                    size
                };
                Some(size)
            }
        }
    }

    /// Random numbers under a key that is given or known.
    pub fn random(&mut self) -> Option<Made> {
        let key = match self.find(|made| made.ty == Type::new(DType::U32, [4])) {
            Some(key) => key,
            None => self.fresh(Type::new(DType::U32, [4]), Range::new(0.0, 1e6)),
        };
        let key = match self.dice.chance(20) {
            true => {
                let k = self.find(|made| made.ty == Type::scalar(DType::I64));
                k.map_or(key.tensor, |k| key.tensor.fold_in(k.tensor))
            }
            false => key.tensor,
        };
        let (shape, dtype) = (self.shape(), self.float);
        Some(match self.dice.chance(50) {
            true => self.add(key.uniform(dtype, shape), Range::new(0.0, 1.0)),
            // √(−2 ln 2⁻⁵³)
            false => self.add(key.normal(dtype, shape), Range::within(8.6)),
        })
    }
}

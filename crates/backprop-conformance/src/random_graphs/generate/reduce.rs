//! Steps that reduce, contract, and what is made of both.

use backprop_core::ops::{Any, Axes, Contract, LogSoftmax, LogSumExp, Max, Sum};
use backprop_core::{DType, Dim, Shape, Type, emit};

use super::builder::{Builder, Made};
use super::range::Range;

impl Builder {
    /// Some axes of `a`, increasing; at times all, at times none.
    fn axes(&mut self, a: Made) -> Axes {
        let all: Vec<usize> = (0..a.rank()).collect();
        let percent = self.dice.pick(&[100, 50, 50, 30]);
        Axes::new(&self.dice.some_of(&all, percent))
    }

    /// The largest number of elements that a group over the axes has.
    fn n_in_group(&self, a: Made, axes: Axes) -> usize {
        axes.iter().map(|axis| self.size(a.ty.shape[axis])).product()
    }

    fn is_empty_along(&self, a: Made, axes: Axes) -> bool {
        axes.iter().any(|axis| self.least(a.ty.shape[axis]) == 0)
    }

    /// A sum, a maximum, whether any holds, logsumexp, log_softmax or a norm.
    pub fn reduce(&mut self) -> Option<Made> {
        let which = self.dice.below(6);
        let a = match which {
            2 => self.truth(),
            0 | 1 if self.dice.chance(20) => self.int(),
            _ => self.float(),
        };
        let a = self.tame(a, 50.0);
        let axes = self.axes(a);
        let n = self.n_in_group(a, axes) as f64;
        let x = a.tensor;
        let (result, range) = match which {
            0 => (
                emit(Sum { axes }, &[x]).one(),
                Range::new(n * a.range.low.min(0.0), n * a.range.high.max(0.0)),
            ),
            2 => (emit(Any { axes }, &[x]).one(), Range::new(0.0, 1.0)),
            // There is no largest of no elements, and the logarithm of their sum is −∞.
            1 | 3 | 4 if self.is_empty_along(a, axes) => return None,
            1 => (emit(Max { axes }, &[x]).one(), a.range),
            3 => (emit(LogSumExp { axes }, &[x]).one(), Range::new(a.range.low, a.range.high + n.ln())),
            4 => {
                let width = a.range.high - a.range.low;
                (emit(LogSoftmax { axes }, &[x]).one(), Range::new(-width - n.ln(), 0.0))
            }
            _ => {
                let n = self.n_elements(a.ty.shape) as f64;
                (x.norm(), Range::new(0.0, n.sqrt() * a.range.size()))
            }
        };
        Some(self.add(result, range))
    }

    /// Where the largest element stands.
    pub fn argmax(&mut self) -> Option<Made> {
        let a = if self.dice.chance(20) { self.int() } else { self.float_where(|a| a.rank() > 0) };
        let axis = self.dice.below(a.rank().max(1));
        if a.rank() == 0 || self.least(a.ty.shape[axis]) == 0 {
            return None;
        }
        let places = Range::new(0.0, self.size(a.ty.shape[axis]) as f64 - 1.0);
        if self.dice.chance(50) {
            return Some(self.add(a.tensor.argmax(axis), places));
        }
        let (largest, at) = a.tensor.max_with_index(axis);
        self.add(at, places);
        Some(self.add(largest, a.range))
    }

    /// A contraction over random axes: with an operand from the pool, or a new one that fits.
    pub fn contract(&mut self) -> Option<Made> {
        let a = if self.dice.chance(8) { self.int() } else { self.float() };
        let a = self.tame(a, 8.0);
        let mut axes = self.dice.shuffled((0..a.rank()).collect::<Vec<usize>>());
        axes.truncate(self.dice.below(3).max(usize::from(a.rank() > 0)));
        let n_batch = if self.dice.chance(30) { self.dice.below(axes.len() + 1) } else { 0 };
        let (b, pairs) = match self.dice.chance(40) {
            true => self.paired(a, &axes)?,
            false => self.matching(a, &axes),
        };
        let b = self.tame(b, 8.0);
        let side = |pick: fn(&(usize, usize)) -> usize, from: usize, to: usize| {
            Axes::new(&pairs[from..to].iter().map(pick).collect::<Vec<_>>())
        };
        let n_batch = n_batch.min(pairs.len());
        let op = Contract {
            lhs_contract: side(|p| p.0, n_batch, pairs.len()),
            rhs_contract: side(|p| p.1, n_batch, pairs.len()),
            lhs_batch: side(|p| p.0, 0, n_batch),
            rhs_batch: side(|p| p.1, 0, n_batch),
        };
        let free = op.lhs_free(a.rank()).len() + op.rhs_free(b.rank()).len();
        if free + n_batch > 5 {
            return None;
        }
        let n = self.n_in_group(a, op.lhs_contract) as f64;
        let result = emit(op, &[a.tensor, b.tensor]).one();
        let size = n * a.range.size() * b.range.size();
        let range =
            if a.ty.dtype.is_float() { Range::within(size) } else { Range::within(1e18).held(a.ty.dtype) };
        self.fits(result.shape()?).then(|| self.add(result, range))
    }

    /// An operand from the pool, and pairs of axes of equal size.
    fn paired(&mut self, a: Made, axes: &[usize]) -> Option<(Made, Vec<(usize, usize)>)> {
        let b = self.find(|b| b.ty.dtype == a.ty.dtype)?;
        let mut free: Vec<usize> = (0..b.rank()).collect();
        let mut pairs = Vec::new();
        for &axis in axes {
            if let Some(at) = free.iter().position(|&other| b.ty.shape[other] == a.ty.shape[axis]) {
                pairs.push((axis, free.remove(at)));
            }
        }
        Some((b, pairs))
    }

    /// A new operand that has these axes of `a`, in any order, and others.
    fn matching(&mut self, a: Made, axes: &[usize]) -> (Made, Vec<(usize, usize)>) {
        let mut dims: Vec<(Dim, Option<usize>)> =
            axes.iter().map(|&axis| (a.ty.shape[axis], Some(axis))).collect();
        for _ in 0..self.dice.below(3) {
            dims.push((self.dice.pick(&self.dims.clone()), None));
        }
        let mut dims = self.dice.shuffled(dims);
        while !self.fits(Shape::new(&dims.iter().map(|(dim, _)| *dim).collect::<Vec<_>>())) {
            let Some(at) = dims.iter().position(|(_, axis)| axis.is_none()) else { break };
            dims.remove(at);
        }
        let shape = Shape::new(&dims.iter().map(|(dim, _)| *dim).collect::<Vec<_>>());
        let low = if matches!(a.ty.dtype, DType::U32 | DType::U8) { 0.0 } else { -2.0 };
        let b = self.fresh(Type { shape, ..a.ty }, Range::new(low, 2.0));
        let place =
            |axis: usize| dims.iter().position(|(_, own)| *own == Some(axis)).expect("it was put there");
        (b, axes.iter().map(|&axis| (axis, place(axis))).collect())
    }

    /// A composite: an activation, a normalisation, a loss.
    pub fn composite(&mut self) -> Option<Made> {
        let a = self.float_where(|a| a.rank() > 0);
        let a = self.tame(a, 20.0);
        let (x, size) = (a.tensor, a.range.size());
        let last = a.rank().checked_sub(1).map(|axis| self.least(a.ty.shape[axis]));
        let (result, range) = match self.dice.below(9) {
            0 => (x.relu(), Range::new(0.0, size)),
            1 => (x.gelu(), Range::within(size)),
            2 => (x.silu(), Range::within(size)),
            3 if last? > 0 => (x.softmax(-1), Range::new(0.0, 1.0)),
            4 if last? > 0 => {
                let n = self.size(a.ty.shape[a.rank() - 1]) as f64;
                (x.layer_norm(None, None, 0.1), Range::within(n.sqrt()))
            }
            5 if self.n_least(a.ty.shape) > 0 => (x.mean(()), a.range),
            6 if self.n_least(a.ty.shape) > 0 => {
                let b = self.fresh(a.ty, Range::within(2.0));
                (x.mse_loss(b.tensor), Range::new(0.0, (size + 2.0).powi(2)))
            }
            7 if self.n_least(a.ty.shape) > 0 => {
                let b = self.fresh(a.ty, Range::new(0.0, 1.0));
                (x.binary_cross_entropy_with_logits(b.tensor), Range::new(0.0, size + 1.0))
            }
            _ if self.n_least(a.ty.shape) > 0 && a.rank() > 0 => {
                let classes = a.ty.shape[a.rank() - 1];
                let ty = Type { dtype: DType::I64, shape: a.ty.shape.without(&[a.rank() - 1]) };
                let target = self.fresh(ty, Range::new(0.0, self.least(classes) as f64 - 1.0));
                (x.cross_entropy(target.tensor), Range::new(0.0, 2.0 * size + 8.0))
            }
            _ => return None,
        };
        Some(self.add(result, range))
    }

    /// The smallest number of elements in any run.
    pub fn n_least(&self, shape: Shape) -> usize {
        shape.iter().map(|&dim| self.least(dim)).product()
    }
}

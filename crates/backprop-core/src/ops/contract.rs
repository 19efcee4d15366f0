//! The general contraction, of which the matrix product is the everyday case.

use super::binary::broadcast_pair;
use super::family::{BilinearRule, Family};
use super::sample::{self, Registered, Sample};
use super::{Arrays, Attributes, Axes, Op, Rule, Transpose, Types, one, want, want_axis, want_inputs};
use crate::array::{Array, Element, Sizes, strides};
use crate::graph::fault::Ill;
use crate::tensor::{Tensor, emit};
use crate::text::Given;
use crate::types::{Dim, Shape, Type};
use crate::with_dtype;

/// y[batch, i, j] = Σₖ a[batch, i, k]·b[batch, j, k], for any places of those axes in a and b.
///
/// The result has the batch axes first, then what is left of a, then what is left of b.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Contract {
    /// The axes of a that are summed, paired with `rhs_contract`.
    pub lhs_contract: Axes,
    /// The axes of b that are summed.
    pub rhs_contract: Axes,
    /// The axes of a that are kept one by one, paired with `rhs_batch`.
    pub lhs_batch: Axes,
    /// The axes of b that are kept one by one.
    pub rhs_batch: Axes,
}

/// The axes below `rank` that are in neither list.
fn free(rank: usize, contract: Axes, batch: Axes) -> Vec<usize> {
    (0..rank).filter(|&axis| !contract.contains(axis) && !batch.contains(axis)).collect()
}

impl Contract {
    /// The axes of a that are neither summed nor batch axes.
    pub fn lhs_free(&self, rank: usize) -> Vec<usize> {
        free(rank, self.lhs_contract, self.lhs_batch)
    }

    /// The axes of b that are neither summed nor batch axes.
    pub fn rhs_free(&self, rank: usize) -> Vec<usize> {
        free(rank, self.rhs_contract, self.rhs_batch)
    }

    /// The same contraction with its operands swapped; its result has their free axes swapped.
    fn swapped(&self) -> Contract {
        Contract {
            lhs_contract: self.rhs_contract,
            rhs_contract: self.lhs_contract,
            lhs_batch: self.rhs_batch,
            rhs_batch: self.lhs_batch,
        }
    }

    /// da for y = contract(a, b): d contracted with b over b's free axes, its axes put in a's order.
    ///
    /// `d_free_at` is where b's free axes start in d.
    fn transpose_one(&self, a: Shape, b: Tensor, d: Tensor, d_free_at: usize) -> Tensor {
        let Some(b_shape) = b.shape() else { return d };
        let n_batch = self.lhs_batch.len();
        let b_free = self.rhs_free(b_shape.rank());
        let a_free = self.lhs_free(a.rank());
        let product = Contract {
            lhs_contract: Axes::new(&(d_free_at..d_free_at + b_free.len()).collect::<Vec<_>>()),
            rhs_contract: Axes::new(&b_free),
            lhs_batch: Axes::new(&(0..n_batch).collect::<Vec<_>>()),
            rhs_batch: self.rhs_batch,
        };
        let dx = emit(product, &[d, b]).one();
        // The result has: batch, a's free axes, and a's contracted axes in the order of b's.
        let mut summed: Vec<usize> = (0..self.lhs_contract.len()).collect();
        summed.sort_by_key(|&pair| self.rhs_contract.get(pair));
        let mut perm = vec![0; a.rank()];
        for (position, axis) in self.lhs_batch.iter().enumerate() {
            perm[axis] = position;
        }
        for (position, &axis) in a_free.iter().enumerate() {
            perm[axis] = n_batch + position;
        }
        for (position, &pair) in summed.iter().enumerate() {
            perm[self.lhs_contract.get(pair)] = n_batch + a_free.len() + position;
        }
        if perm.iter().enumerate().all(|(to, &from)| to == from) {
            return dx;
        }
        emit(Transpose { perm: Axes::new(&perm) }, &[dx]).one()
    }
}

impl Registered for Contract {
    fn names() -> Vec<&'static str> {
        vec!["contract"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        Ok(Contract {
            lhs_contract: given.axes_or_none("lhs_contract", 0)?,
            rhs_contract: given.axes_or_none("rhs_contract", 1)?,
            lhs_batch: given.axes_or_none("lhs_batch", 0)?,
            rhs_batch: given.axes_or_none("rhs_batch", 1)?,
        }
        .into())
    }

    fn samples() -> Vec<Sample> {
        let row = |a: &[usize], b: &[usize], contract: [&[usize]; 2], batch: [&[usize]; 2]| -> Sample {
            let [lhs_contract, rhs_contract] = contract.map(Axes::new);
            let [lhs_batch, rhs_batch] = batch.map(Axes::new);
            let op = Contract { lhs_contract, rhs_contract, lhs_batch, rhs_batch };
            (op.into(), vec![sample::wave(a, 0), sample::wave(b, 1)])
        };
        sample::shown(vec![
            row(&[2, 3], &[3, 1], [&[1], &[0]], [&[], &[]]),
            row(&[], &[], [&[], &[]], [&[], &[]]),
            row(&[3, 2], &[2, 5], [&[1], &[0]], [&[], &[]]),
            row(&[3, 2, 4], &[4, 5, 3], [&[2], &[0]], [&[0], &[2]]),
            row(&[2, 3], &[3, 2, 5], [&[1, 0], &[0, 1]], [&[], &[]]),
            row(&[0, 3], &[3, 2], [&[1], &[0]], [&[], &[]]),
            row(&[2, 0], &[0, 3], [&[1], &[0]], [&[], &[]]),
            row(&[3, 600], &[600, 5], [&[1], &[0]], [&[], &[]]),
        ])
    }
}

impl Rule for Contract {
    fn name(&self) -> &str {
        "contract"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("C = A·B, summed over the paired axes", "dA = D·Bᵀ, dB = Aᵀ·D")
    }

    fn attributes(&self) -> Attributes {
        vec![
            ("lhs_contract", self.lhs_contract.attribute()),
            ("rhs_contract", self.rhs_contract.attribute()),
            ("lhs_batch", self.lhs_batch.attribute()),
            ("rhs_batch", self.rhs_batch.attribute()),
        ]
    }

    fn roles(&self) -> &'static [&'static str] {
        &["lhs", "rhs"]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        want_inputs(inputs, 2)?;
        let (a, b) = (inputs[0], inputs[1]);
        if a.dtype != b.dtype {
            return Err(Ill::new("element types differ")
                .note(0, format!("is {}", a.dtype))
                .note(1, format!("is {}", b.dtype))
                .hint("cast one of them: nothing is converted unasked"));
        }
        want(a.dtype.is_number(), 0, a, "numbers")?;
        for (left, right, what) in
            [(self.lhs_contract, self.rhs_contract, "inner"), (self.lhs_batch, self.rhs_batch, "batch")]
        {
            if left.len() != right.len() {
                return Err(Ill::new(format!("{what} axes come in pairs: {left:?} and {right:?}")));
            }
            for (i, j) in left.iter().zip(right.iter()) {
                want_axis(i, a)?;
                want_axis(j, b)?;
                if a.shape[i] != b.shape[j] {
                    return Err(self.dimensions_differ(a, b, i, j, what));
                }
            }
        }
        for (contract, batch) in [(self.lhs_contract, self.lhs_batch), (self.rhs_contract, self.rhs_batch)] {
            let mut axes: Vec<usize> = contract.iter().chain(batch.iter()).collect();
            axes.sort_unstable();
            if let Some(pair) = axes.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(Ill::new(format!("axis {} is named twice", pair[0])));
            }
        }
        let dims: Vec<Dim> = (self.lhs_batch.iter().map(|axis| a.shape[axis]))
            .chain(self.lhs_free(a.shape.rank()).into_iter().map(|axis| a.shape[axis]))
            .chain(self.rhs_free(b.shape.rank()).into_iter().map(|axis| b.shape[axis]))
            .collect();
        if dims.len() > crate::array::MAX_RANK {
            return Err(Ill::new(format!("the result would have {} axes", dims.len())));
        }
        Ok(one(Type { dtype: a.dtype, shape: Shape::new(&dims) }))
    }

    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        let sizes = outputs[0].shape.sizes().expect("sizes are numbers when an op is evaluated");
        Ok(smallvec::smallvec![
            with_dtype!(outputs[0].dtype, |T| self.naive::<T>(inputs[0], inputs[1], sizes))
        ])
    }

    fn family(&self) -> Family<'_> {
        Family::Bilinear(self)
    }
}

impl Contract {
    fn dimensions_differ(&self, a: Type, b: Type, i: usize, j: usize, what: &str) -> Ill {
        let ill = Ill::new(format!("{what} dimensions differ"))
            .note(0, format!("axis {i} = {}", a.shape[i]))
            .note(1, format!("axis {j} = {}", b.shape[j]));
        let is_matmul = what == "inner" && i + 1 == a.shape.rank() && j == b.shape.rank().saturating_sub(2);
        let ill = if is_matmul { ill.called("matmul") } else { ill };
        match (a.shape[i], b.shape[j]) {
            (x, _) if is_matmul && b.shape.rank() == 2 && b.shape[1] == x => {
                ill.hint("matmul(lhs, rhs.t()) has matching dimensions")
            }
            (x, y) => match [(x, y), (y, x)].into_iter().find_map(|(x, y)| Some((x.as_name()?, y))) {
                Some((name, y)) => {
                    ill.hint(format!("if they are always equal, say so: assume(\"{name}\", \"{y}\")"))
                }
                None => ill,
            },
        }
    }

    /// The definition: every product, summed in the order of the contracted axes, floats in f64.
    fn naive<T: Element>(&self, a: &Array, b: &Array, sizes: &[usize]) -> Array {
        let (sa, sb) = (strides(a.sizes()), strides(b.sizes()));
        let (fa, fb) = (self.lhs_free(a.rank()), self.rhs_free(b.rank()));
        let inner: Sizes = self.lhs_contract.iter().map(|axis| a.sizes()[axis]).collect();
        let pick = |axes: Axes, strides: &Sizes| -> Sizes { axes.iter().map(|axis| strides[axis]).collect() };
        let (ka, kb) = (pick(self.lhs_contract, &sa), pick(self.rhs_contract, &sb));
        let mut oa: Sizes = pick(self.lhs_batch, &sa);
        let mut ob: Sizes = pick(self.rhs_batch, &sb);
        oa.extend(fa.iter().map(|&axis| sa[axis]).chain(fb.iter().map(|_| 0)));
        ob.extend(fa.iter().map(|_| 0).chain(fb.iter().map(|&axis| sb[axis])));
        let n_inner: usize = inner.iter().product();
        let (at_a, at_b) = (super::shape::walk(sizes, &oa), super::shape::walk(sizes, &ob));
        let (in_a, in_b) = (super::shape::walk(&inner, &ka), super::shape::walk(&inner, &kb));
        let count: usize = sizes.iter().product();
        let values: Vec<T> = if T::DTYPE.is_float() {
            let (a, b) = (a.to_f64s(), b.to_f64s());
            let term = |i: usize, k: usize| a[at_a(i) + in_a(k)] * b[at_b(i) + in_b(k)];
            (0..count).map(|i| T::from_f64((0..n_inner).map(|k| term(i, k)).sum())).collect()
        } else {
            let (a, b) = (a.to_i64s(), b.to_i64s());
            let term = |i: usize, k: usize| a[at_a(i) + in_a(k)].wrapping_mul(b[at_b(i) + in_b(k)]);
            (0..count)
                .map(|i| T::from_i64_wrapping((0..n_inner).fold(0i64, |sum, k| sum.wrapping_add(term(i, k)))))
                .collect()
        };
        Array::new(sizes, values).expect("one result for each element")
    }
}

/// C = A·B      dA = D·Bᵀ      dB = Aᵀ·D      (Goodfellow, Bengio, Courville 2016, §6.5)
impl BilinearRule for Contract {
    fn transpose_lhs(&self, a: Tensor, b: Tensor, d: Tensor) -> Tensor {
        let Some(shape) = a.shape() else { return d };
        let at = self.lhs_batch.len() + self.lhs_free(shape.rank()).len();
        self.transpose_one(shape, b, d, at)
    }

    fn transpose_rhs(&self, a: Tensor, b: Tensor, d: Tensor) -> Tensor {
        let Some(shape) = b.shape() else { return d };
        self.swapped().transpose_one(shape, a, d, self.lhs_batch.len())
    }
}

impl Tensor {
    /// Σ over pairs of axes: `self` axis `lhs[k]` with `other` axis `rhs[k]`. The result has what is
    /// left of `self`, then what is left of `other`.
    #[track_caller]
    pub fn contract(self, other: Tensor, lhs: &[usize], rhs: &[usize]) -> Tensor {
        if lhs.iter().chain(rhs).any(|&axis| axis >= crate::array::MAX_RANK) || lhs.len().max(rhs.len()) > 8 {
            return self.ill("contract", Ill::new(format!("{lhs:?} or {rhs:?} is out of range")));
        }
        let op =
            Contract { lhs_contract: Axes::new(lhs), rhs_contract: Axes::new(rhs), ..Contract::default() };
        emit(op, &[self, other]).one()
    }

    /// The matrix product, as NumPy's and PyTorch's `matmul`: [.., n, k] × [.., k, m] → [.., n, m].
    /// An operand of rank 1 is a row on the left and a column on the right; leading axes broadcast.
    #[track_caller]
    pub fn matmul(self, other: Tensor) -> Tensor {
        let (Some(a), Some(b)) = (self.shape(), other.shape()) else {
            return emit(Contract::default(), &[self, other]).one();
        };
        if a.rank() == 0 || b.rank() == 0 {
            return self.ill("matmul", Ill::new(format!("needs at least one axis each, not {a} and {b}")));
        }
        if b.rank() <= 2 {
            let inner = b.rank().saturating_sub(2);
            return self.contract(other, &[a.rank() - 1], &[inner]);
        }
        if a.rank() == 1 {
            let row = self.unsqueeze(0).matmul(other);
            let Some(shape) = row.shape() else { return row };
            return emit(super::Reshape { shape: shape.without(&[shape.rank() - 2]) }, &[row]).one();
        }
        // Leading axes broadcast; the two matrix axes of each operand stay as they are.
        let lead = |shape: Shape| Shape::new(&shape[..shape.rank() - 2]);
        let batch = match super::broadcast_shapes(lead(a), lead(b)) {
            Ok(batch) => batch,
            Err(ill) => return self.ill("matmul", ill),
        };
        let stretched =
            |shape: Shape| -> Vec<Dim> { batch.iter().chain(&shape[shape.rank() - 2..]).copied().collect() };
        let n_batch = batch.rank();
        let axes = Axes::new(&(0..n_batch).collect::<Vec<_>>());
        let op = Contract {
            lhs_contract: Axes::new(&[n_batch + 1]),
            rhs_contract: Axes::new(&[n_batch]),
            lhs_batch: axes,
            rhs_batch: axes,
        };
        let a = self.stretched_to(Shape::new(&stretched(a)));
        let b = other.stretched_to(Shape::new(&stretched(b)));
        emit(op, &[a, b]).one()
    }

    /// Both operands broadcast to their common shape.
    #[track_caller]
    pub fn broadcast_with(self, other: Tensor) -> (Tensor, Tensor) {
        broadcast_pair(self, other)
    }
}

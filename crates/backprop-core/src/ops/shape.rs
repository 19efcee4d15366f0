//! Ops that move elements to another shape: reshape, transpose, broadcast. All linear, all exact.

use super::axis::IntoAxis;
use super::family::{Family, Linear};
use super::sample::{self, Registered, Sample};
use super::{Arrays, Attribute, Attributes, Axes, Op, Rule, Types, map_shape, one, want_inputs};
use crate::array::{Array, Sizes, strides};
use crate::graph::fault::Ill;
use crate::tensor::{Tensor, emit};
use crate::text::Given;
use crate::types::{Dim, MapDim, Shape, Type};

/// The same elements, in row-major order, under another shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reshape {
    /// The new shape.
    pub shape: Shape,
}

/// Axes in another order: axis i of the result is axis `perm[i]` of x.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transpose {
    /// A permutation of the axes.
    pub perm: Axes,
}

/// x repeated along new leading axes and along axes of size 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Broadcast {
    /// The shape of the result.
    pub shape: Shape,
}

pub(super) fn picked(array: Array) -> Result<Arrays, Ill> {
    Ok(smallvec::smallvec![array])
}

pub(super) fn sizes_of(ty: Type) -> &'static [usize] {
    ty.shape.sizes().expect("sizes are numbers when an op is evaluated")
}

/// For each axis of the result: its size, and how far apart its neighbours are in the source; the
/// source index of a result index.
pub(crate) fn walk<'a>(sizes: &'a [usize], source_strides: &'a [usize]) -> impl Fn(usize) -> usize + 'a {
    let own = strides(sizes);
    move |i| (0..sizes.len()).map(|axis| (i / own[axis]) % sizes[axis] * source_strides[axis]).sum()
}

impl Registered for Reshape {
    fn names() -> Vec<&'static str> {
        vec!["reshape"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        Ok(Reshape { shape: given.shape("shape")? }.into())
    }

    fn samples() -> Vec<Sample> {
        let rows: [(&[usize], &[usize]); 6] = [
            (&[2, 3], &[3, 2]),
            (&[], &[1, 1]),
            (&[1], &[]),
            (&[6], &[2, 3]),
            (&[2, 3, 5], &[5, 6]),
            (&[0, 3], &[2, 0]),
        ];
        let row = |&(from, to): &(&[usize], &[usize])| {
            (Reshape { shape: sample::shape(to) }.into(), vec![sample::wave(from, 0)])
        };
        sample::shown(rows.iter().map(row).collect())
    }
}

impl Rule for Reshape {
    fn name(&self) -> &str {
        "reshape"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("y = x under another shape", "dx = d under the shape of x")
    }

    fn attributes(&self) -> Attributes {
        vec![("shape", Attribute::Shape(self.shape))]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        want_inputs(inputs, 1)?;
        let (old, new) = (inputs[0].shape.count(), self.shape.count());
        if old != new {
            return Err(Ill::new(format!(
                "cannot reshape {old} elements to {} ({new} elements)",
                self.shape
            )));
        }
        Ok(one(Type { dtype: inputs[0].dtype, shape: self.shape }))
    }

    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        picked(inputs[0].reshape(sizes_of(outputs[0])).map_err(|e| Ill::new(e.to_string()))?)
    }

    fn with_dims(&self, map: &MapDim) -> Result<Option<Op>, String> {
        map_shape(self.shape, map, |shape| Reshape { shape })
    }

    fn family(&self) -> Family<'_> {
        Family::Linear(self)
    }
}

impl Linear for Reshape {
    fn transpose(&self, _slot: usize, x: &[Tensor], d: Tensor) -> Tensor {
        d.fitted_to(x[0])
    }
}

impl Registered for Transpose {
    fn names() -> Vec<&'static str> {
        vec!["transpose"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        Ok(Transpose { perm: given.axes("perm")? }.into())
    }

    fn samples() -> Vec<Sample> {
        let rows: [(&[usize], &[usize]); 5] = [
            (&[3, 2], &[1, 0]),
            (&[], &[]),
            (&[2, 3, 5], &[1, 2, 0]),
            (&[0, 3], &[1, 0]),
            (&[71, 45], &[1, 0]),
        ];
        let row = |&(sizes, perm): &(&[usize], &[usize])| {
            (Transpose { perm: Axes::new(perm) }.into(), vec![sample::wave(sizes, 0)])
        };
        sample::shown(rows.iter().map(row).collect())
    }
}

impl Rule for Transpose {
    fn name(&self) -> &str {
        "transpose"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("y[i₀, i₁, ...] = x with axis perm[k] in place k", "dx = d with the inverse permutation")
    }

    fn attributes(&self) -> Attributes {
        vec![("perm", self.perm.attribute())]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        want_inputs(inputs, 1)?;
        let shape = inputs[0].shape;
        let mut seen = self.perm.to_vec();
        seen.sort_unstable();
        if seen != (0..shape.rank()).collect::<Vec<_>>() {
            return Err(Ill::new(format!("{:?} is no permutation of the {} axes", self.perm, shape.rank())));
        }
        let dims: Vec<Dim> = self.perm.iter().map(|axis| shape[axis]).collect();
        Ok(one(Type { dtype: inputs[0].dtype, shape: Shape::new(&dims) }))
    }

    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        let sizes = sizes_of(outputs[0]);
        let from = strides(inputs[0].sizes());
        let moved: Sizes = self.perm.iter().map(|axis| from[axis]).collect();
        picked(inputs[0].pick(sizes, walk(sizes, &moved)))
    }

    fn family(&self) -> Family<'_> {
        Family::Linear(self)
    }
}

impl Linear for Transpose {
    fn transpose(&self, _slot: usize, _x: &[Tensor], d: Tensor) -> Tensor {
        let mut inverse = vec![0; self.perm.len()];
        for (to, from) in self.perm.iter().enumerate() {
            inverse[from] = to;
        }
        emit(Transpose { perm: Axes::new(&inverse) }, &[d]).one()
    }
}

/// The common shape of two operands, aligned at the last axis; a literal 1 stretches.
///
/// # Errors
/// Two sizes differ and neither is 1.
pub fn broadcast_shapes(a: Shape, b: Shape) -> Result<Shape, Ill> {
    let rank = a.rank().max(b.rank());
    let at = |shape: Shape, axis: usize| match (axis + shape.rank()).checked_sub(rank) {
        Some(own) => shape[own],
        None => Dim::Size(1),
    };
    let dims: Result<Vec<Dim>, Ill> = (0..rank)
        .map(|axis| match (at(a, axis), at(b, axis)) {
            (x, y) if x == y => Ok(x),
            (Dim::Size(1), y) => Ok(y),
            (x, Dim::Size(1)) => Ok(x),
            (x, y) => Err(Ill::new(format!("{a} and {b} do not broadcast: {x} against {y}"))),
        })
        .collect();
    Ok(Shape::new(&dims?))
}

impl Broadcast {
    /// The axes of the result that repeat elements of x.
    pub fn repeated_axes(&self, x: Shape) -> Vec<usize> {
        let lead = self.shape.rank() - x.rank();
        (0..self.shape.rank()).filter(|&axis| axis < lead || x[axis - lead] != self.shape[axis]).collect()
    }
}

impl Registered for Broadcast {
    fn names() -> Vec<&'static str> {
        vec!["broadcast"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        Ok(Broadcast { shape: given.shape("shape")? }.into())
    }

    fn samples() -> Vec<Sample> {
        let rows: [(&[usize], &[usize]); 7] = [
            (&[1, 3], &[2, 3]),
            (&[], &[]),
            (&[], &[2, 3]),
            (&[3, 1], &[2, 3, 5]),
            (&[1, 3], &[0, 3]),
            (&[0, 3], &[2, 0, 3]),
            (&[2, 3], &[2, 3]),
        ];
        let row = |&(from, to): &(&[usize], &[usize])| {
            (Broadcast { shape: sample::shape(to) }.into(), vec![sample::wave(from, 0)])
        };
        sample::shown(rows.iter().map(row).collect())
    }
}

impl Rule for Broadcast {
    fn name(&self) -> &str {
        "broadcast"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("y = x repeated to a shape", "dx = d summed over the repetitions")
    }

    fn attributes(&self) -> Attributes {
        vec![("shape", Attribute::Shape(self.shape))]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        want_inputs(inputs, 1)?;
        let x = inputs[0].shape;
        let fits = x.rank() <= self.shape.rank() && {
            let lead = self.shape.rank() - x.rank();
            x.iter().enumerate().all(|(axis, &dim)| dim == Dim::Size(1) || dim == self.shape[axis + lead])
        };
        if !fits {
            return Err(Ill::new(format!("cannot broadcast {x} to {}", self.shape)));
        }
        Ok(one(Type { dtype: inputs[0].dtype, shape: self.shape }))
    }

    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        let sizes = sizes_of(outputs[0]);
        let x = inputs[0];
        let (own, lead) = (strides(x.sizes()), sizes.len() - x.rank());
        let repeated: Sizes = (0..sizes.len())
            .map(|axis| if axis < lead || x.sizes()[axis - lead] == 1 { 0 } else { own[axis - lead] })
            .collect();
        picked(x.pick(sizes, walk(sizes, &repeated)))
    }

    fn with_dims(&self, map: &MapDim) -> Result<Option<Op>, String> {
        map_shape(self.shape, map, |shape| Broadcast { shape })
    }

    fn family(&self) -> Family<'_> {
        Family::Linear(self)
    }
}

impl Linear for Broadcast {
    fn transpose(&self, _slot: usize, x: &[Tensor], d: Tensor) -> Tensor {
        let Some(shape) = x[0].shape() else { return d };
        d.accumulate(&self.repeated_axes(shape)).fitted_to(x[0])
    }
}

/// Sizes of a reshape, as a user writes them.
pub trait IntoSizes {
    /// The shape for `count` elements; at most one size may be −1, "whatever is left".
    ///
    /// # Errors
    /// Says what is wrong with the sizes.
    fn into_sizes(self, count: Dim) -> Result<Shape, Ill>;
}

impl IntoSizes for Shape {
    fn into_sizes(self, _count: Dim) -> Result<Shape, Ill> {
        Ok(self)
    }
}

impl<const N: usize> IntoSizes for [Dim; N] {
    fn into_sizes(self, _count: Dim) -> Result<Shape, Ill> {
        checked_shape(&self)
    }
}

impl<const N: usize> IntoSizes for [i64; N] {
    fn into_sizes(self, count: Dim) -> Result<Shape, Ill> {
        let known = self.iter().filter(|&&n| n >= 0).fold(Dim::Size(1), |product, &n| product * n as usize);
        let mut open = self.iter().filter(|&&n| n < 0);
        if open.next().is_some_and(|&n| n != -1) || open.next().is_some() {
            return Err(Ill::new(format!("{self:?}: only one size may be -1")));
        }
        let dims: Result<Vec<Dim>, Ill> = self
            .iter()
            .map(|&n| match usize::try_from(n) {
                Ok(size) => Ok(Dim::Size(size)),
                Err(_) => count
                    .div_floor(known)
                    .filter(|&rest| rest * known == count)
                    .ok_or_else(|| Ill::new(format!("{count} elements do not divide by {known}"))),
            })
            .collect();
        checked_shape(&dims?)
    }
}

fn checked_shape(dims: &[Dim]) -> Result<Shape, Ill> {
    if dims.len() > crate::array::MAX_RANK {
        return Err(Ill::new(format!("at most {} axes are possible", crate::array::MAX_RANK)));
    }
    Ok(Shape::new(dims))
}

impl Tensor {
    /// The same elements in another shape: `[64, 10]`, `[-1, 10]` or a [`Shape`].
    #[track_caller]
    pub fn reshape(self, sizes: impl IntoSizes) -> Tensor {
        let Some(own) = self.shape() else { return self.identity() };
        match sizes.into_sizes(own.count()) {
            Ok(shape) => emit(Reshape { shape }, &[self]).one(),
            Err(ill) => self.ill("reshape", ill),
        }
    }

    /// The same elements in the shape of `like`.
    #[track_caller]
    pub fn reshaped_as(self, like: Tensor) -> Tensor {
        match like.shape() {
            Some(shape) => emit(Reshape { shape }, &[self]).one(),
            None => like.identity(),
        }
    }

    /// As [`Tensor::reshaped_as`], for rules: `self` where the shapes agree already.
    #[track_caller]
    pub(super) fn fitted_to(self, like: Tensor) -> Tensor {
        match (self.shape(), like.shape()) {
            (Some(own), Some(shape)) if own != shape => emit(Reshape { shape }, &[self]).one(),
            _ => self,
        }
    }

    /// Axes in the order `perm` (−1: the last).
    #[track_caller]
    pub fn transpose(self, perm: &[impl IntoAxis]) -> Tensor {
        let Some(shape) = self.shape() else { return self.identity() };
        let counted: Result<Vec<usize>, Ill> = perm.iter().map(|axis| axis.counted(shape)).collect();
        match counted {
            Ok(perm) if perm.len() <= shape.rank() => {
                emit(Transpose { perm: Axes::new(&perm) }, &[self]).one()
            }
            Ok(perm) => self.ill("transpose", Ill::new(format!("{perm:?} is no permutation of axes"))),
            Err(ill) => self.ill("transpose", ill),
        }
    }

    /// The last two axes swapped: the matrix transpose.
    #[track_caller]
    pub fn t(self) -> Tensor {
        let Some(shape) = self.shape() else { return self.identity() };
        let rank = shape.rank();
        if rank < 2 {
            return self.ill("t", Ill::new(format!("needs two axes, but {shape} has {rank}")));
        }
        let mut perm: Vec<usize> = (0..rank).collect();
        perm.swap(rank - 1, rank - 2);
        self.transpose(&perm)
    }

    /// x repeated to `shape`; only new leading axes and axes of size 1 are repeated.
    #[track_caller]
    pub fn broadcast_to(self, shape: impl Into<Shape>) -> Tensor {
        emit(Broadcast { shape: shape.into() }, &[self]).one()
    }

    /// As [`Tensor::broadcast_to`], for operands and rules: `self` where it has the shape already.
    #[track_caller]
    pub(super) fn stretched_to(self, shape: Shape) -> Tensor {
        if self.shape() == Some(shape) { self } else { emit(Broadcast { shape }, &[self]).one() }
    }

    /// A new axis of size 1 at `axis` (−1: behind the last).
    #[track_caller]
    pub fn unsqueeze(self, axis: impl IntoAxis) -> Tensor {
        let Some(shape) = self.shape() else { return self.identity() };
        let (axis, rank) = (axis.number(), shape.rank());
        let place = usize::try_from(if axis < 0 { axis.saturating_add(rank as i64 + 1) } else { axis });
        let Some(place) = place.ok().filter(|&place| place <= rank && rank < crate::array::MAX_RANK) else {
            return self.ill("unsqueeze", Ill::new(format!("no place for a new axis {axis} in {shape}")));
        };
        let mut dims = shape.to_vec();
        dims.insert(place, Dim::Size(1));
        emit(Reshape { shape: Shape::new(&dims) }, &[self]).one()
    }

    /// All elements along one axis.
    #[track_caller]
    pub fn flatten(self) -> Tensor {
        let Some(shape) = self.shape() else { return self.identity() };
        emit(Reshape { shape: Shape::new(&[shape.count()]) }, &[self]).one()
    }
}

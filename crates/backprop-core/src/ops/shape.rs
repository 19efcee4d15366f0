//! Ops that move elements without computing: all linear, all exact.

use std::panic::Location;

use super::family::{Family, Linear};
use super::reduce::IntoAxis;
use super::{Arrays, Attribute, Attributes, Axes, Op, Rule, Types, map_shape, one, want_axis, want_inputs};
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

/// Every `step`-th element from `start` up to, not including, `stop`, along each axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// First index, for each axis.
    pub start: Shape,
    /// One past the last index, for each axis.
    pub stop: Shape,
    /// Distance between elements, for each axis.
    pub step: Shape,
}

/// Zeros (`false`) around and between the elements. Without elements there are `low` + `high` −
/// `interior`: then the gaps between them are one less than none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pad {
    /// How many before, for each axis.
    pub low: Shape,
    /// How many after, for each axis.
    pub high: Shape,
    /// How many between neighbours, for each axis.
    pub interior: Shape,
}

/// The operands one after another along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Concat {
    /// The axis.
    pub axis: usize,
}

fn picked(array: Array) -> Result<Arrays, Ill> {
    Ok(smallvec::smallvec![array])
}

fn sizes_of(ty: Type) -> &'static [usize] {
    ty.shape.sizes().expect("sizes are numbers when an op is evaluated")
}

/// For each axis of the result: its size, and how far apart its neighbours are in the source; the
/// source index of a result index.
pub(crate) fn walk<'a>(sizes: &'a [usize], source_strides: &'a [usize]) -> impl Fn(usize) -> usize + 'a {
    let own = strides(sizes);
    move |i| (0..sizes.len()).map(|axis| (i / own[axis]) % sizes[axis] * source_strides[axis]).sum()
}

impl Reshape {
    /// The op as a text gives it.
    pub(crate) fn from_attributes(given: &Given) -> Result<Op, String> {
        Ok(Reshape { shape: given.shape("shape")? }.into())
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
        d.reshaped_as(x[0])
    }
}

impl Transpose {
    /// The op as a text gives it.
    pub(crate) fn from_attributes(given: &Given) -> Result<Op, String> {
        Ok(Transpose { perm: given.axes("perm")? }.into())
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

impl Broadcast {
    /// The op as a text gives it.
    pub(crate) fn from_attributes(given: &Given) -> Result<Op, String> {
        Ok(Broadcast { shape: given.shape("shape")? }.into())
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
        d.accumulate(&self.repeated_axes(shape)).reshaped_as(x[0])
    }
}

impl Slice {
    /// The op as a text gives it.
    pub(crate) fn from_attributes(given: &Given) -> Result<Op, String> {
        let (start, stop) = (given.shape("start")?, given.shape("stop")?);
        let step = given.has("step").then(|| given.shape("step")).transpose()?;
        let ones = Shape::new(&vec![Dim::Size(1); start.rank()]);
        Ok(Slice { start, stop, step: step.unwrap_or(ones) }.into())
    }
}

impl Rule for Slice {
    fn name(&self) -> &str {
        "slice"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("yᵢ = x[start + i·step]", "dx = d in its place, zeros elsewhere")
    }

    fn attributes(&self) -> Attributes {
        vec![
            ("start", Attribute::Shape(self.start)),
            ("stop", Attribute::Shape(self.stop)),
            ("step", Attribute::Shape(self.step)),
        ]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        want_inputs(inputs, 1)?;
        let x = inputs[0].shape;
        let lists = [self.start, self.stop, self.step];
        if lists.iter().any(|list| list.rank() != x.rank()) {
            return Err(Ill::new(format!("needs start, stop and step for each of the {} axes", x.rank())));
        }
        let mut dims = Vec::with_capacity(x.rank());
        for axis in 0..x.rank() {
            let (start, stop, step) = (self.start[axis], self.stop[axis], self.step[axis]);
            if let (Some(a), Some(b)) = (start.size(), stop.size())
                && (a > b || x[axis].size().is_some_and(|n| b > n))
            {
                return Err(Ill::new(format!(
                    "{a}..{b} is out of range for axis {axis} of size {}",
                    x[axis]
                )));
            }
            if let (Some(a), Some(n)) = (start.size(), x[axis].size())
                && a > n
            {
                return Err(Ill::new(format!("start {a} is out of range for axis {axis} of size {n}")));
            }
            let length = (stop - start + step - 1).div_floor(step);
            dims.push(length.ok_or_else(|| Ill::new(format!("the step of axis {axis} is 0")))?);
        }
        Ok(one(Type { dtype: inputs[0].dtype, shape: Shape::new(&dims) }))
    }

    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        let (sizes, own) = (sizes_of(outputs[0]), strides(inputs[0].sizes()));
        let (start, step) = (numbers(self.start)?, numbers(self.step)?);
        let moved: Sizes = own.iter().zip(step).map(|(stride, step)| stride * step).collect();
        let origin: usize = own.iter().zip(start).map(|(stride, start)| stride * start).sum();
        let at = walk(sizes, &moved);
        picked(inputs[0].pick(sizes, |i| origin + at(i)))
    }

    fn with_dims(&self, map: &MapDim) -> Result<Option<Op>, String> {
        let mapped = |list: Shape| Ok::<_, String>(list.with_dims(map)?.unwrap_or(list));
        let op = Slice { start: mapped(self.start)?, stop: mapped(self.stop)?, step: mapped(self.step)? };
        Ok(Some(op).filter(|op| op != self).map(Op::from))
    }

    fn family(&self) -> Family<'_> {
        Family::Linear(self)
    }
}

fn numbers(dims: Shape) -> Result<&'static [usize], Ill> {
    dims.sizes().ok_or_else(|| Ill::new(format!("{dims} has a dimension without a size")))
}

impl Linear for Slice {
    fn transpose(&self, _slot: usize, x: &[Tensor], d: Tensor) -> Tensor {
        let (Some(whole), Some(part)) = (x[0].shape(), d.shape()) else { return d };
        let (mut high, mut interior) = (Vec::new(), Vec::new());
        for axis in 0..whole.rank() {
            let (start, stop, step) = (self.start[axis], self.stop[axis], self.step[axis]);
            let used = match step {
                Dim::Size(1) => stop - start,
                _ => (part[axis] - 1) * step + 1,
            };
            high.push(whole[axis] - start - used);
            interior.push(step - 1);
        }
        emit(Pad { low: self.start, high: Shape::new(&high), interior: Shape::new(&interior) }, &[d]).one()
    }
}

impl Pad {
    /// The op as a text gives it.
    pub(crate) fn from_attributes(given: &Given) -> Result<Op, String> {
        let (low, high) = (given.shape("low")?, given.shape("high")?);
        let interior = given.has("interior").then(|| given.shape("interior")).transpose()?;
        let zeros = Shape::new(&vec![Dim::Size(0); low.rank()]);
        Ok(Pad { low, high, interior: interior.unwrap_or(zeros) }.into())
    }
}

impl Rule for Pad {
    fn name(&self) -> &str {
        "pad"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("y = x between zeros", "dx = d at the places of x")
    }

    fn attributes(&self) -> Attributes {
        vec![
            ("low", Attribute::Shape(self.low)),
            ("high", Attribute::Shape(self.high)),
            ("interior", Attribute::Shape(self.interior)),
        ]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        want_inputs(inputs, 1)?;
        let x = inputs[0].shape;
        if [self.low, self.high, self.interior].iter().any(|list| list.rank() != x.rank()) {
            return Err(Ill::new(format!("needs low, high and interior for each of the {} axes", x.rank())));
        }
        let dims: Vec<Dim> = (0..x.rank())
            .map(|axis| {
                // Of 0 elements too: a size that is only a name may turn out to be 0.
                let inner = x[axis] + (x[axis] - 1) * self.interior[axis];
                self.low[axis] + inner + self.high[axis]
            })
            .collect();
        Ok(one(Type { dtype: inputs[0].dtype, shape: Shape::new(&dims) }))
    }

    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        let (sizes, x) = (sizes_of(outputs[0]), inputs[0]);
        let (low, gap) = (numbers(self.low)?, numbers(self.interior)?);
        let (own, out) = (strides(x.sizes()), strides(sizes));
        // One more element, a zero, is what the padding reads.
        let source = |i: usize| -> Option<usize> {
            let mut from = 0;
            for axis in 0..sizes.len() {
                let at = ((i / out[axis]) % sizes[axis]).checked_sub(low[axis])?;
                let (at, rest) = (at / (gap[axis] + 1), at % (gap[axis] + 1));
                if rest != 0 || at >= x.sizes()[axis] {
                    return None;
                }
                from += at * own[axis];
            }
            Some(from)
        };
        let with_zero = append_zero(x);
        picked(with_zero.pick(sizes, |i| source(i).unwrap_or(x.len())))
    }

    fn with_dims(&self, map: &MapDim) -> Result<Option<Op>, String> {
        let mapped = |list: Shape| Ok::<_, String>(list.with_dims(map)?.unwrap_or(list));
        let op = Pad { low: mapped(self.low)?, high: mapped(self.high)?, interior: mapped(self.interior)? };
        Ok(Some(op).filter(|op| op != self).map(Op::from))
    }

    fn family(&self) -> Family<'_> {
        Family::Linear(self)
    }
}

fn append_zero(x: &Array) -> Array {
    crate::with_data!(x.data(), |values| {
        let mut values = values.to_vec();
        values.push(Default::default());
        Array::vector(values)
    })
}

impl Linear for Pad {
    fn transpose(&self, _slot: usize, x: &[Tensor], d: Tensor) -> Tensor {
        let Some(inner) = x[0].shape() else { return d };
        let (mut stop, mut step) = (Vec::new(), Vec::new());
        for axis in 0..inner.rank() {
            let used = match inner[axis] {
                Dim::Size(0) => Dim::Size(0),
                n => n + (n - 1) * self.interior[axis],
            };
            stop.push(self.low[axis] + used);
            step.push(self.interior[axis] + 1);
        }
        emit(Slice { start: self.low, stop: Shape::new(&stop), step: Shape::new(&step) }, &[d]).one()
    }
}

impl Concat {
    /// The op as a text gives it.
    pub(crate) fn from_attributes(given: &Given) -> Result<Op, String> {
        Ok(Concat { axis: given.axis("axis", given.rank(0))? }.into())
    }
}

impl Rule for Concat {
    fn name(&self) -> &str {
        "concat"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("y = x₀, x₁, ... along an axis", "dxₖ = its part of d")
    }

    fn attributes(&self) -> Attributes {
        vec![("axis", Attribute::Int(self.axis as i64))]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        let first = *inputs.first().ok_or_else(|| Ill::new("needs at least one operand"))?;
        want_axis(self.axis, first)?;
        let mut total = Dim::Size(0);
        for (idx, ty) in inputs.iter().enumerate() {
            if ty.dtype != first.dtype {
                return Err(Ill::new("element types differ").note(idx, format!("is {}", ty.dtype)));
            }
            if ty.shape.rank() != first.shape.rank()
                || ty.shape.with(self.axis, Dim::Size(0)) != first.shape.with(self.axis, Dim::Size(0))
            {
                return Err(Ill::new(format!("shapes differ apart from axis {}", self.axis))
                    .note(idx, format!("is {}", ty.shape)));
            }
            total = total + ty.shape[self.axis];
        }
        Ok(one(Type { dtype: first.dtype, shape: first.shape.with(self.axis, total) }))
    }

    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        let sizes = sizes_of(outputs[0]);
        let inner: usize = sizes[self.axis + 1..].iter().product();
        let outer: usize = sizes[..self.axis].iter().product();
        let joined = crate::with_dtype!(outputs[0].dtype, |T| {
            let mut values: Vec<T> = Vec::with_capacity(sizes.iter().product());
            for row in 0..outer {
                for x in inputs {
                    let part = x.sizes()[self.axis] * inner;
                    let from = x.slice::<T>().map_err(|e| Ill::new(e.to_string()))?;
                    values.extend_from_slice(&from[row * part..(row + 1) * part]);
                }
            }
            Array::new(sizes, values).map_err(|e| Ill::new(e.to_string()))?
        });
        picked(joined)
    }

    fn family(&self) -> Family<'_> {
        Family::Linear(self)
    }
}

impl Linear for Concat {
    fn is_linear_in(&self, _slot: usize) -> bool {
        true
    }

    fn transpose(&self, slot: usize, x: &[Tensor], d: Tensor) -> Tensor {
        let Some(shapes) = x[..=slot].iter().map(|x| x.shape()).collect::<Option<Vec<_>>>() else { return d };
        let start = shapes[..slot].iter().fold(Dim::Size(0), |sum, shape| sum + shape[self.axis]);
        d.slice_axis(self.axis, start, start + shapes[slot][self.axis])
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

    /// The same elements in the shape of `like`; `self` where they agree already.
    #[track_caller]
    pub fn reshaped_as(self, like: Tensor) -> Tensor {
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
        let shape = shape.into();
        if self.shape() == Some(shape) { self } else { emit(Broadcast { shape }, &[self]).one() }
    }

    /// Elements `start..stop` along one axis (−1: the last), everything along the others.
    #[track_caller]
    pub fn slice_axis(self, axis: impl IntoAxis, start: impl Into<Dim>, stop: impl Into<Dim>) -> Tensor {
        let Some(shape) = self.shape() else { return self.identity() };
        let axis = match self.axis("slice", axis) {
            Ok(axis) => axis,
            Err(ill) => return ill,
        };
        let ones = vec![Dim::Size(1); shape.rank()];
        let zeros = Shape::new(&vec![Dim::Size(0); shape.rank()]);
        let (start, stop) = (zeros.with(axis, start.into()), shape.with(axis, stop.into()));
        emit(Slice { start, stop, step: Shape::new(&ones) }, &[self]).one()
    }

    /// Every `step`-th element of `start..stop` along each axis.
    #[track_caller]
    pub fn slice(self, start: impl Into<Shape>, stop: impl Into<Shape>, step: impl Into<Shape>) -> Tensor {
        emit(Slice { start: start.into(), stop: stop.into(), step: step.into() }, &[self]).one()
    }

    /// `low` zeros before and `high` zeros after the elements of each axis.
    #[track_caller]
    pub fn pad(self, low: impl Into<Shape>, high: impl Into<Shape>) -> Tensor {
        let low = low.into();
        let interior = Shape::new(&vec![Dim::Size(0); low.rank()]);
        emit(Pad { low, high: high.into(), interior }, &[self]).one()
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

/// The operands one after another along `axis` (−1: the last).
///
/// # Panics
/// There is no operand.
#[track_caller]
pub fn concat(operands: &[Tensor], axis: impl IntoAxis) -> Tensor {
    assert!(!operands.is_empty(), "concat of nothing, called at {}", Location::caller());
    match operands[0].axis("concat", axis) {
        Ok(axis) => emit(Concat { axis }, operands).one(),
        Err(ill) => ill,
    }
}

//! Ops with indices: `gather`, `scatter_add`, `one_hot`, `argmax`, `max_with_index`.
//!
//! An index that is out of range is a fault in the data, never clamped.

use super::family::{Bprop, Family, General, Gradient, Linear};
use super::reduce::IntoAxis;
use super::reduce::groups;
use super::sample::{self, Registered, Sample};
use super::{
    Arrays, Attribute, Attributes, Axes, Op, Rule, Select, Types, map_dim, one, want, want_axis, want_inputs,
};
use crate::array::{Array, DType, Element};
use crate::graph::fault::Ill;
use crate::tensor::{Tensor, emit};
use crate::text::Given;
use crate::types::{Dim, MapDim, Shape, Type};
use crate::with_dtype;

/// The slices of x at indices along an axis, as `numpy.take`:
/// y has the shape of x with the axis replaced by the shape of the indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gather {
    /// The axis that the indices count along.
    pub axis: usize,
}

/// x with slices added at indices along an axis; equal indices add up, in index order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ScatterAdd {
    /// The axis that the indices count along.
    pub axis: usize,
}

/// 1 at the index, 0 elsewhere, along a new last axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OneHot {
    /// The size of the new axis.
    pub depth: Dim,
    /// The element type of the result.
    pub dtype: DType,
}

/// The index of the first largest element along an axis, as i64; a NaN is largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArgMax {
    /// The axis, which is left out.
    pub axis: usize,
}

/// The largest element along an axis and its index (the first one's), as two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MaxWithIndex {
    /// The axis, which is left out.
    pub axis: usize,
}

/// x with dimension `axis` replaced by the dimensions of the indices.
fn gathered(x: Shape, indices: Shape, axis: usize) -> Result<Shape, Ill> {
    let mut dims = x.to_vec();
    dims.splice(axis..=axis, indices.iter().copied());
    if dims.len() > crate::array::MAX_RANK {
        return Err(Ill::new(format!("the result would have {} axes", dims.len())));
    }
    Ok(Shape::new(&dims))
}

/// Calls `visit(x element, y element)` for each element of the slices.
///
/// # Errors
/// An index is out of range.
pub(crate) fn each_pair(
    x_sizes: &[usize],
    indices: &[i64],
    axis: usize,
    mut visit: impl FnMut(usize, usize),
) -> Result<(), Ill> {
    check_indices(indices, x_sizes[axis])?;
    let inner: usize = x_sizes[axis + 1..].iter().product();
    let outer: usize = x_sizes[..axis].iter().product();
    for row in 0..outer {
        for (position, &index) in indices.iter().enumerate() {
            let from = (row * x_sizes[axis] + index as usize) * inner;
            let to = (row * indices.len() + position) * inner;
            for i in 0..inner {
                visit(from + i, to + i);
            }
        }
    }
    Ok(())
}

/// Refuses indices outside `0..size`, naming the first.
///
/// # Errors
/// There is one.
pub fn check_indices(indices: &[i64], size: usize) -> Result<(), Ill> {
    match indices.iter().position(|&index| index < 0 || index as u64 >= size as u64) {
        None => Ok(()),
        Some(at) => Err(Ill::new(format!(
            "index {} (element {at} of the indices) is out of range 0..{size}",
            indices[at]
        ))),
    }
}

impl Registered for Gather {
    fn names() -> Vec<&'static str> {
        vec!["gather"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        Ok(Gather { axis: given.axis("axis", given.rank(0))? }.into())
    }

    fn samples() -> Vec<Sample> {
        let row = |axis, sizes: &[usize], at: &[usize]| -> Sample {
            let operands = vec![sample::wave(sizes, 0), sample::indices(at, sizes[axis])];
            (Gather { axis }.into(), operands)
        };
        sample::shown(vec![
            row(0, &[3], &[2]),
            row(0, &[5, 2], &[3]),
            row(0, &[5], &[]),
            row(1, &[2, 3, 5], &[7]),
            row(0, &[3, 2], &[0]),
        ])
    }
}

impl Rule for Gather {
    fn name(&self) -> &str {
        "gather"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("y = x[.., indices, ..]", "dx = scatter_add(0, indices, d)")
    }

    fn attributes(&self) -> Attributes {
        vec![("axis", Attribute::Int(self.axis as i64))]
    }

    fn roles(&self) -> &'static [&'static str] {
        &["x", "indices"]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        want_inputs(inputs, 2)?;
        want_axis(self.axis, inputs[0])?;
        want(inputs[1].dtype.is_int(), 1, inputs[1], "integer indices")?;
        let shape = gathered(inputs[0].shape, inputs[1].shape, self.axis)?;
        Ok(one(Type { dtype: inputs[0].dtype, shape }))
    }

    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        let x = inputs[0];
        let sizes = outputs[0].shape.sizes().expect("sizes are numbers when an op is evaluated");
        let mut from = vec![0; sizes.iter().product()];
        each_pair(x.sizes(), &inputs[1].to_i64s(), self.axis, |source, to| from[to] = source)?;
        Ok(smallvec::smallvec![x.pick(sizes, |i| from[i])])
    }

    fn family(&self) -> Family<'_> {
        Family::Linear(self)
    }
}

impl Linear for Gather {
    fn transpose(&self, _slot: usize, x: &[Tensor], d: Tensor) -> Tensor {
        let (Some(ty), Some(dtype)) = (x[0].ty(), d.dtype()) else { return d };
        let zeros = super::full(d.context(), Type { dtype, ..ty }, 0);
        emit(ScatterAdd { axis: self.axis }, &[zeros, x[1], d]).one()
    }
}

impl Registered for ScatterAdd {
    fn names() -> Vec<&'static str> {
        vec!["scatter_add"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        Ok(ScatterAdd { axis: given.axis("axis", given.rank(0))? }.into())
    }

    fn samples() -> Vec<Sample> {
        let row = |axis, sizes: &[usize], at: &[usize], updates: &[usize]| -> Sample {
            let at = sample::indices(at, sizes[axis]);
            (ScatterAdd { axis }.into(), vec![sample::wave(sizes, 0), at, sample::wave(updates, 1)])
        };
        sample::shown(vec![
            row(0, &[3], &[2], &[2]),
            row(0, &[5], &[], &[]),
            row(0, &[3, 2], &[5], &[5, 2]),
            row(1, &[2, 3, 5], &[7], &[2, 7, 5]),
            row(0, &[3, 2], &[0], &[0, 2]),
        ])
    }
}

impl Rule for ScatterAdd {
    fn name(&self) -> &str {
        "scatter_add"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("y = x; y[.., indices, ..] += updates", "dx = d, d(updates) = gather(d, indices)")
    }

    fn attributes(&self) -> Attributes {
        vec![("axis", Attribute::Int(self.axis as i64))]
    }

    fn roles(&self) -> &'static [&'static str] {
        &["x", "indices", "updates"]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        want_inputs(inputs, 3)?;
        want_axis(self.axis, inputs[0])?;
        want(inputs[1].dtype.is_int(), 1, inputs[1], "integer indices")?;
        let wanted = Type { shape: gathered(inputs[0].shape, inputs[1].shape, self.axis)?, ..inputs[0] };
        if inputs[2] != wanted {
            return Err(
                Ill::new(format!("the updates must be {wanted}")).note(2, format!("is {}", inputs[2]))
            );
        }
        Ok(one(inputs[0]))
    }

    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        let indices = inputs[1].to_i64s();
        let added = with_dtype!(outputs[0].dtype, |T| {
            let mut y: Vec<T> = inputs[0].slice::<T>().map_err(|e| Ill::new(e.to_string()))?.to_vec();
            let updates = inputs[2].slice::<T>().map_err(|e| Ill::new(e.to_string()))?;
            each_pair(inputs[0].sizes(), &indices, self.axis, |to, from| {
                y[to] = match T::DTYPE.is_float() {
                    true => T::from_f64(y[to].to_f64() + updates[from].to_f64()),
                    false => T::from_i64_wrapping(y[to].to_i64().wrapping_add(updates[from].to_i64())),
                }
            })?;
            Array::new(inputs[0].sizes(), y).expect("as many elements as x")
        });
        Ok(smallvec::smallvec![added])
    }

    fn family(&self) -> Family<'_> {
        Family::Linear(self)
    }
}

impl Linear for ScatterAdd {
    fn is_linear_in(&self, slot: usize) -> bool {
        slot != 1
    }

    fn transpose(&self, slot: usize, x: &[Tensor], d: Tensor) -> Tensor {
        if slot == 0 { d } else { emit(Gather { axis: self.axis }, &[d, x[1]]).one() }
    }
}

impl Registered for OneHot {
    fn names() -> Vec<&'static str> {
        vec!["one_hot"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        Ok(OneHot { depth: given.dim("depth")?, dtype: given.dtype("dtype")? }.into())
    }

    fn samples() -> Vec<Sample> {
        let op = Op::from(OneHot { depth: Dim::Size(4), dtype: DType::F64 });
        let shapes: [&[usize]; 5] = [&[2], &[], &[3, 2], &[2, 3, 5], &[0, 3]];
        shapes.iter().map(|sizes| (op.clone(), vec![sample::indices(sizes, 4)])).collect()
    }
}

impl Rule for OneHot {
    fn name(&self) -> &str {
        "one_hot"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("yᵢₖ = 1 where k = xᵢ, else 0", "none: integer indices")
    }

    fn attributes(&self) -> Attributes {
        vec![("depth", Attribute::Dim(self.depth)), ("dtype", Attribute::DType(self.dtype))]
    }

    fn roles(&self) -> &'static [&'static str] {
        &["indices"]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        want_inputs(inputs, 1)?;
        want(inputs[0].dtype.is_int(), 0, inputs[0], "integer indices")?;
        let mut dims = inputs[0].shape.to_vec();
        dims.push(self.depth);
        if dims.len() > crate::array::MAX_RANK {
            return Err(Ill::new(format!("the result would have {} axes", dims.len())));
        }
        Ok(one(Type { dtype: self.dtype, shape: Shape::new(&dims) }))
    }

    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        let sizes = outputs[0].shape.sizes().expect("sizes are numbers when an op is evaluated");
        let depth = sizes[sizes.len() - 1];
        let indices = inputs[0].to_i64s();
        check_indices(&indices, depth)?;
        let hot = with_dtype!(self.dtype, |T| {
            let mut values = vec![T::default(); indices.len() * depth];
            for (row, &index) in indices.iter().enumerate() {
                values[row * depth + index as usize] = T::from_f64(1.0);
            }
            Array::new(sizes, values).expect("one row for each index")
        });
        Ok(smallvec::smallvec![hot])
    }

    fn with_dims(&self, map: &MapDim) -> Result<Option<Op>, String> {
        map_dim(self.depth, map, |depth| OneHot { depth, ..*self })
    }

    fn family(&self) -> Family<'_> {
        Family::None("integer indices")
    }
}

/// For each group along `axis`: the position of the first largest element, or of the first NaN.
fn first_largest(x: &Array, axis: usize) -> (crate::array::Sizes, Vec<usize>, Vec<i64>) {
    let (sizes, groups) = groups(x, Axes::new(&[axis]));
    // i64 beyond 2⁵³ would collide in f64, so integers compare as integers.
    let (floats, ints) = match x.dtype().is_float() {
        true => (x.to_f64s(), Vec::new()),
        false => (Vec::new(), x.to_i64s()),
    };
    let larger = |a: usize, b: usize| match x.dtype().is_float() {
        true => !floats[b].is_nan() && (floats[a].is_nan() || floats[a] > floats[b]),
        false => ints[a] > ints[b],
    };
    let positions: Vec<i64> = groups
        .iter()
        .map(|group| {
            (0..group.len()).fold(0, |best, i| if larger(group[i], group[best]) { i } else { best }) as i64
        })
        .collect();
    let elements = groups.iter().zip(&positions).map(|(group, &at)| group[at as usize]).collect();
    (sizes, elements, positions)
}

fn infer_along(axis: usize, inputs: &[Type]) -> Result<Type, Ill> {
    want_inputs(inputs, 1)?;
    want_axis(axis, inputs[0])?;
    want(inputs[0].dtype.is_number(), 0, inputs[0], "numbers")?;
    if inputs[0].shape[axis] == Dim::Size(0) {
        return Err(Ill::new(format!("axis {axis} is empty: there is no largest element")));
    }
    Ok(Type { dtype: inputs[0].dtype, shape: inputs[0].shape.without(&[axis]) })
}

impl Registered for ArgMax {
    fn names() -> Vec<&'static str> {
        vec!["argmax"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        Ok(ArgMax { axis: given.axis("axis", given.rank(0))? }.into())
    }

    fn samples() -> Vec<Sample> {
        along_axis(|axis| ArgMax { axis })
    }
}

impl Rule for ArgMax {
    fn name(&self) -> &str {
        "argmax"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("y = the first i with xᵢ largest", "none: an index is piecewise constant")
    }

    fn attributes(&self) -> Attributes {
        vec![("axis", Attribute::Int(self.axis as i64))]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        Ok(one(Type { dtype: DType::I64, ..infer_along(self.axis, inputs)? }))
    }

    fn eval(&self, inputs: &[&Array], _outputs: &[Type]) -> Result<Arrays, Ill> {
        let (sizes, _, positions) = first_largest(inputs[0], self.axis);
        Ok(smallvec::smallvec![Array::new(&sizes[..], positions).expect("one position for each group")])
    }

    fn family(&self) -> Family<'_> {
        Family::None("an index is piecewise constant")
    }
}

impl Registered for MaxWithIndex {
    fn names() -> Vec<&'static str> {
        vec!["max_with_index"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        Ok(MaxWithIndex { axis: given.axis("axis", given.rank(0))? }.into())
    }

    fn samples() -> Vec<Sample> {
        along_axis(|axis| MaxWithIndex { axis })
    }
}

impl Rule for MaxWithIndex {
    fn name(&self) -> &str {
        "max_with_index"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("y, i = the largest x and its first index", "dx = d at i, 0 elsewhere")
    }

    fn attributes(&self) -> Attributes {
        vec![("axis", Attribute::Int(self.axis as i64))]
    }

    fn n_outputs(&self) -> usize {
        2
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        let value = infer_along(self.axis, inputs)?;
        Ok(smallvec::smallvec![value, Type { dtype: DType::I64, ..value }])
    }

    fn eval(&self, inputs: &[&Array], _outputs: &[Type]) -> Result<Arrays, Ill> {
        let (sizes, elements, positions) = first_largest(inputs[0], self.axis);
        let values = inputs[0].pick(&sizes, |i| elements[i]);
        let indices = Array::new(&sizes[..], positions).expect("one position for each group");
        Ok(smallvec::smallvec![values, indices])
    }

    fn family(&self) -> Family<'_> {
        Family::General(self)
    }
}

impl General for MaxWithIndex {
    fn bprop(&self, at: &Bprop) -> Vec<Gradient> {
        let (x, d) = (at.x[0], at.d_or_zeros(0));
        let axes = Axes::new(&[self.axis]);
        let chosen = x.iota_like(self.axis, DType::I64).eq(at.y[1].spread_as(x, axes));
        let spread = d.spread_as(x, axes);
        vec![Gradient::Masked(emit(Select, &[chosen, spread, spread.zeros_like()]).one(), chosen)]
    }
}

impl Tensor {
    /// The slices of `self` at `indices` along `axis` (−1: the last), as `numpy.take`.
    #[track_caller]
    pub fn gather(self, axis: impl IntoAxis, indices: Tensor) -> Tensor {
        match self.axis("gather", axis) {
            Ok(axis) => emit(Gather { axis }, &[self, indices]).one(),
            Err(ill) => ill,
        }
    }

    /// `self` with `updates` added at `indices` along `axis` (−1: the last); equal indices add up.
    #[track_caller]
    pub fn scatter_add(self, axis: impl IntoAxis, indices: Tensor, updates: Tensor) -> Tensor {
        match self.axis("scatter_add", axis) {
            Ok(axis) => emit(ScatterAdd { axis }, &[self, indices, updates]).one(),
            Err(ill) => ill,
        }
    }

    /// 1 at the index, 0 elsewhere, along a new last axis of size `depth`.
    #[track_caller]
    pub fn one_hot(self, depth: impl Into<Dim>, dtype: DType) -> Tensor {
        emit(OneHot { depth: depth.into(), dtype }, &[self]).one()
    }

    /// The index of the first largest element along `axis` (−1: the last).
    #[track_caller]
    pub fn argmax(self, axis: impl IntoAxis) -> Tensor {
        match self.axis("argmax", axis) {
            Ok(axis) => emit(ArgMax { axis }, &[self]).one(),
            Err(ill) => ill,
        }
    }

    /// The largest element along `axis` (−1: the last) and its index.
    #[track_caller]
    pub fn max_with_index(self, axis: impl IntoAxis) -> (Tensor, Tensor) {
        match self.axis("max_with_index", axis) {
            Ok(axis) => {
                let outputs = emit(MaxWithIndex { axis }, &[self]);
                (outputs.get(0), outputs.get(1))
            }
            Err(ill) => (ill, ill),
        }
    }

    /// `axis` counted from the front, or the ill result of the call `name`. An operand without a type
    /// has no axes to count: the op is called all the same, so that the other operands' faults tell.
    ///
    /// No closure takes the axis: what is called in a closure stands at a line of this crate.
    #[track_caller]
    pub(crate) fn axis(self, name: &str, axis: impl IntoAxis) -> Result<usize, Tensor> {
        let Some(shape) = self.shape() else { return Ok(0) };
        match axis.counted(shape) {
            Ok(axis) => Ok(axis),
            Err(ill) => Err(self.ill(name, ill)),
        }
    }
}

/// Samples along an axis of several ranks; there is none of rank 0.
fn along_axis<T: Into<Op>>(make: impl Fn(usize) -> T) -> Vec<Sample> {
    let rows: [(&[usize], usize); 4] = [(&[5], 0), (&[3, 2], 1), (&[2, 3, 5], 1), (&[0, 3], 1)];
    let call = |axis, x: Array| (make(axis).into(), vec![x]);
    let shown = [call(1, sample::matrix())];
    shown.into_iter().chain(rows.map(|(sizes, axis)| call(axis, sample::wave(sizes, 0)))).collect()
}

//! `gather` and `scatter_add`: slices at indices, and slices added at indices.
//!
//! An index that is out of range is a fault in the data, never clamped.

use super::axis::IntoAxis;
use super::family::{Family, Linear};
use super::sample::{self, Registered, Sample};
use super::{Arrays, Attribute, Attributes, Op, Rule, Types, one, want, want_axis, want_inputs};
use crate::array::{Array, Element};
use crate::graph::fault::Ill;
use crate::tensor::{Tensor, emit};
use crate::text::Given;
use crate::types::{Shape, Type};
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
}

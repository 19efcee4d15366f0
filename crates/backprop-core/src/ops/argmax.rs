//! `argmax` and `max_with_index`: where the largest element along an axis stands.

use super::axis::IntoAxis;
use super::family::{Bprop, Family, General, Gradient};
use super::reduce::groups;
use super::sample::{self, Registered, Sample};
use super::{
    Arrays, Attribute, Attributes, Axes, Op, Rule, Select, Types, one, want, want_axis, want_inputs,
};
use crate::array::{Array, DType};
use crate::graph::fault::Ill;
use crate::tensor::{Tensor, emit};
use crate::text::Given;
use crate::types::{Dim, Type};

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
}

/// Samples along an axis of several ranks; there is none of rank 0.
fn along_axis<T: Into<Op>>(make: impl Fn(usize) -> T) -> Vec<Sample> {
    let rows: [(&[usize], usize); 4] = [(&[5], 0), (&[3, 2], 1), (&[2, 3, 5], 1), (&[0, 3], 1)];
    let call = |axis, x: Array| (make(axis).into(), vec![x]);
    let shown = [call(1, sample::matrix())];
    shown.into_iter().chain(rows.map(|(sizes, axis)| call(axis, sample::wave(sizes, 0)))).collect()
}

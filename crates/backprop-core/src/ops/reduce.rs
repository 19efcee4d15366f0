//! Reductions over axes: `sum`, `max`, `any`, `logsumexp`. The axes reduced are left out.

use super::axis::IntoAxes;
use super::family::{Bprop, Differentiate, Family, General, Gradient, Linear};
use super::sample::{self, Registered, Sample};
use super::{
    Arrays, Attributes, Axes, LogSoftmax, Op, Rule, Select, Types, one, want, want_axis, want_inputs,
};
use crate::array::{Array, DType, Element, Sizes, strides};
use crate::graph::fault::Ill;
use crate::tensor::{Tensor, emit};
use crate::text::Given;
use crate::types::{Dim, Shape, Type};
use crate::with_dtype;

/// y = Σ x over the axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sum {
    /// The axes, increasing.
    pub axes: Axes,
}

/// The largest element over the axes; NaN if there is one. Equal largest elements share the
/// gradient; where the largest is NaN, all elements do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Max {
    /// The axes, increasing.
    pub axes: Axes,
}

/// Whether any element over the axes holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Any {
    /// The axes, increasing.
    pub axes: Axes,
}

/// y = ln Σ eˣ over the axes, computed as m + ln Σ e^(x−m) with m = max x.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogSumExp {
    /// The axes, increasing.
    pub axes: Axes,
}

pub(super) fn infer(axes: Axes, inputs: &[Type]) -> Result<Shape, Ill> {
    want_inputs(inputs, 1)?;
    let list = axes.to_vec();
    for (position, &axis) in list.iter().enumerate() {
        want_axis(axis, inputs[0])?;
        if list[..position].contains(&axis) {
            return Err(Ill::new(format!("axis {axis} is named twice")));
        }
    }
    // In another order a kernel would add in another order: other bits for the same sum.
    if !list.is_sorted() {
        return Err(Ill::new(format!("the axes {list:?} do not increase")));
    }
    Ok(inputs[0].shape.without(&list))
}

fn not_empty(axes: Axes, ty: Type) -> Result<(), Ill> {
    match axes.iter().find(|&axis| ty.shape[axis] == Dim::Size(0)) {
        None => Ok(()),
        Some(axis) => Err(Ill::new(format!("axis {axis} is empty: there is no largest element"))),
    }
}

/// Samples over no axis of rank 0, one axis, several axes, and nothing left; and more elements than a
/// kernel takes at a time.
pub(super) fn over_axes<T: Into<Op>>(
    make: impl Fn(Axes) -> T,
    shown: Array,
    operand: fn(&[usize], usize) -> Array,
) -> Vec<Sample> {
    let rows: [(&[usize], &[usize]); 8] = [
        (&[], &[]),
        (&[5], &[0]),
        (&[3, 2], &[1]),
        (&[2, 3, 5], &[0, 2]),
        (&[3, 2], &[0, 1]),
        (&[0, 3], &[1]),
        (&[2037], &[0]),
        (&[131, 7], &[0]),
    ];
    let call = |axes: &[usize], x: Array| (make(Axes::new(axes)).into(), vec![x]);
    [call(&[1], shown)].into_iter().chain(rows.map(|(sizes, axes)| call(axes, operand(sizes, 0)))).collect()
}

/// The sizes of the result and, for each of its elements, the elements of x that belong to it, in order.
pub(crate) fn groups(x: &Array, axes: Axes) -> (Sizes, Vec<Vec<usize>>) {
    let kept: Vec<usize> = (0..x.rank()).filter(|&axis| !axes.contains(axis)).collect();
    let sizes: Sizes = kept.iter().map(|&axis| x.sizes()[axis]).collect();
    let (own, out) = (strides(x.sizes()), strides(&sizes));
    let mut groups = vec![Vec::new(); sizes.iter().product()];
    for i in 0..x.len() {
        let to: usize =
            kept.iter().zip(&out).map(|(&axis, stride)| (i / own[axis]) % x.sizes()[axis] * stride).sum();
        groups[to].push(i);
    }
    (sizes, groups)
}

fn reduce<T: Element>(x: &Array, axes: Axes, value: impl Fn(&[T]) -> T) -> Result<Arrays, Ill> {
    let from = x.slice::<T>().map_err(|e| Ill::new(e.to_string()))?;
    let (sizes, groups) = groups(x, axes);
    let values: Vec<T> =
        groups.iter().map(|group| value(&group.iter().map(|&i| from[i]).collect::<Vec<T>>())).collect();
    Ok(smallvec::smallvec![Array::new(&sizes[..], values).expect("one result for each group")])
}

fn largest<T: Element>(values: &[T]) -> T {
    let first = values.first().copied().unwrap_or_default();
    // A NaN is not equal to itself; once found, it stays.
    #[allow(clippy::eq_op)]
    values.iter().fold(first, |best, &x| if x != x || (best == best && x > best) { x } else { best })
}

impl Registered for Sum {
    fn names() -> Vec<&'static str> {
        vec!["sum"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        Ok(Sum { axes: given.axes_or_all("axes")? }.into())
    }

    fn samples() -> Vec<Sample> {
        over_axes(|axes| Sum { axes }, sample::matrix(), sample::wave)
    }
}

impl Rule for Sum {
    fn name(&self) -> &str {
        "sum"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("y = Σ x over the axes", "dx = d, repeated over the axes")
    }

    fn attributes(&self) -> Attributes {
        vec![("axes", self.axes.attribute())]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        let shape = infer(self.axes, inputs)?;
        want(inputs[0].dtype.is_number(), 0, inputs[0], "numbers")
            .map_err(|ill| ill.hint("any() of bool, or cast(I64) to count"))?;
        Ok(one(Type { dtype: inputs[0].dtype, shape }))
    }

    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        with_dtype!(outputs[0].dtype, |T| reduce::<T>(inputs[0], self.axes, |values| {
            if T::DTYPE.is_float() {
                match values {
                    // Moved, not added to: −0 stays.
                    &[x] => x,
                    // Not `sum()`, which begins with −0: the sum of nothing is 0, whose reciprocal is +∞.
                    _ => T::from_f64(values.iter().fold(0.0, |sum, x| sum + x.to_f64())),
                }
            } else {
                T::from_i64_wrapping(values.iter().fold(0i64, |sum, x| sum.wrapping_add(x.to_i64())))
            }
        }))
    }

    fn family(&self) -> Family<'_> {
        Family::Linear(self)
    }
}

impl Linear for Sum {
    fn transpose(&self, _slot: usize, x: &[Tensor], d: Tensor) -> Tensor {
        d.spread_as(x[0], self.axes)
    }
}

impl Registered for Any {
    fn names() -> Vec<&'static str> {
        vec!["any"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        Ok(Any { axes: given.axes_or_all("axes")? }.into())
    }

    fn samples() -> Vec<Sample> {
        over_axes(|axes| Any { axes }, sample::truths(&[2, 3], 0), sample::truths)
    }
}

impl Rule for Any {
    fn name(&self) -> &str {
        "any"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("y = whether any x holds over the axes", "none: truth values")
    }

    fn attributes(&self) -> Attributes {
        vec![("axes", self.axes.attribute())]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        let shape = infer(self.axes, inputs)?;
        want(inputs[0].dtype == DType::Bool, 0, inputs[0], "bool")?;
        Ok(one(Type { dtype: DType::Bool, shape }))
    }

    fn eval(&self, inputs: &[&Array], _outputs: &[Type]) -> Result<Arrays, Ill> {
        reduce::<bool>(inputs[0], self.axes, |values| values.contains(&true))
    }

    fn family(&self) -> Family<'_> {
        Family::None("truth values")
    }
}

impl Registered for Max {
    fn names() -> Vec<&'static str> {
        vec!["max"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        Ok(Max { axes: given.axes_or_all("axes")? }.into())
    }

    fn samples() -> Vec<Sample> {
        over_axes(|axes| Max { axes }, sample::matrix(), sample::wave)
    }
}

impl Rule for Max {
    fn name(&self) -> &str {
        "max"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("y = max x over the axes", "dx = d/n at each of the n largest elements, 0 elsewhere")
    }

    fn attributes(&self) -> Attributes {
        vec![("axes", self.axes.attribute())]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        let shape = infer(self.axes, inputs).map_err(|ill| match inputs.len() {
            2 => ill.hint("the larger of two values is maximum"),
            _ => ill,
        })?;
        want(inputs[0].dtype.is_number(), 0, inputs[0], "numbers")?;
        not_empty(self.axes, inputs[0])?;
        Ok(one(Type { dtype: inputs[0].dtype, shape }))
    }

    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        with_dtype!(outputs[0].dtype, |T| reduce::<T>(inputs[0], self.axes, largest))
    }

    fn family(&self) -> Family<'_> {
        Family::General(self)
    }
}

impl General for Max {
    fn bprop(&self, at: &Bprop) -> Vec<Gradient> {
        let (x, y, d) = (at.x[0], at.y[0], at.d_or_zeros(0));
        let Some(dtype) = x.dtype() else { return vec![Gradient::Value(d)] };
        // Not `x.eq(y)`: where y is NaN that holds nowhere, and a finite gradient of 0 would hide it.
        let is_largest = x.lt(y.spread_as(x, self.axes)).not();
        let n_largest = is_largest.cast(dtype).sum_axes(self.axes);
        let share = (d / n_largest).spread_as(x, self.axes);
        vec![Gradient::Masked(emit(Select, &[is_largest, share, share.zeros_like()]).one(), is_largest)]
    }
}

impl Registered for LogSumExp {
    fn names() -> Vec<&'static str> {
        vec!["logsumexp"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        Ok(LogSumExp { axes: given.axes_or_all("axes")? }.into())
    }

    fn samples() -> Vec<Sample> {
        over_axes(|axes| LogSumExp { axes }, sample::matrix(), sample::wave)
    }
}

impl Rule for LogSumExp {
    fn name(&self) -> &str {
        "logsumexp"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("y = ln Σ eˣ over the axes", "dx = d·eˣ/Σ eˣ")
    }

    fn attributes(&self) -> Attributes {
        vec![("axes", self.axes.attribute())]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        let shape = infer(self.axes, inputs)?;
        want(inputs[0].dtype.is_float(), 0, inputs[0], "floats (f32 or f64)")?;
        Ok(one(Type { dtype: inputs[0].dtype, shape }))
    }

    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        with_dtype!(outputs[0].dtype, |T| reduce::<T>(inputs[0], self.axes, |values| {
            let values: Vec<f64> = values.iter().map(|x| x.to_f64()).collect();
            let m = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let m = if m.is_finite() { m } else { 0.0 };
            T::from_f64(m + values.iter().map(|x| (x - m).exp()).sum::<f64>().ln())
        }))
    }

    fn family(&self) -> Family<'_> {
        Family::General(self)
    }
}

impl General for LogSumExp {
    fn bprop(&self, at: &Bprop) -> Vec<Gradient> {
        let (x, d) = (at.x[0], at.d_or_zeros(0));
        vec![Gradient::Value(d.spread_as(x, self.axes) * self.weights(x))]
    }

    fn jvp(
        &self,
        x: &[Tensor],
        _y: &[Tensor],
        tx: &[Option<Tensor>],
        _engine: &dyn Differentiate,
    ) -> Option<Vec<Option<Tensor>>> {
        let tangent = tx[0].map(|tx| (tx * self.weights(x[0])).sum_axes(self.axes));
        Some(vec![tangent])
    }
}

impl LogSumExp {
    /// ∂y/∂x: the softmax. Not e^(x−y): far from 0 the rounding of y would be a factor on all of them.
    #[track_caller]
    fn weights(&self, x: Tensor) -> Tensor {
        emit(LogSoftmax { axes: self.axes }, &[x]).one().exp()
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident $op:ident;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(self, axes: impl IntoAxes) -> Tensor {
                let Some(shape) = self.shape() else { return self.identity() };
                match axes.into_axes(shape) {
                    Ok(axes) => emit($op { axes }, &[self]).one(),
                    Err(ill) => self.ill(stringify!($name), ill),
                }
            }
        )*}
    };
}

methods! {
    /// Σ over the axes: `()` for all, `1`, `-1`, `[0, 2]`.
    sum Sum;
    /// The largest element over the axes: `()` for all, `1`, `-1`, `[0, 2]`.
    max Max;
    /// Whether any element holds over the axes: `()` for all, `1`, `-1`, `[0, 2]`.
    any Any;
    /// ln Σ eˣ over the axes: `()` for all, `1`, `-1`, `[0, 2]`.
    logsumexp LogSumExp;
}

impl Tensor {
    /// Σ over normalised axes; `self` where there is none.
    #[track_caller]
    pub(crate) fn sum_axes(self, axes: Axes) -> Tensor {
        if axes.is_empty() { self } else { emit(Sum { axes }, &[self]).one() }
    }

    /// Where numbers add up, truth values `or`: what a mask does where its cotangent is summed.
    #[track_caller]
    pub fn accumulate(self, axes: &[usize]) -> Tensor {
        let axes = Axes::new(axes);
        match self.dtype() {
            _ if axes.is_empty() => self,
            Some(DType::Bool) => emit(Any { axes }, &[self]).one(),
            _ => emit(Sum { axes }, &[self]).one(),
        }
    }

    /// The inverse of leaving out `axes`: repeated over them to the shape of `like`.
    #[track_caller]
    pub fn spread_as(self, like: Tensor, axes: Axes) -> Tensor {
        let (Some(own), Some(shape)) = (self.shape(), like.shape()) else { return self };
        let kept = shape.with_ones(&axes.to_vec());
        let column = if own == kept { self } else { emit(super::Reshape { shape: kept }, &[self]).one() };
        column.stretched_to(shape)
    }

    /// The mean over the axes: `()` for all, `1`, `-1`, `[0, 2]`. A composite: Σx/n.
    #[track_caller]
    pub fn mean(self, axes: impl IntoAxes) -> Tensor {
        let Some(ty) = self.ty() else { return self.identity() };
        let axes = match axes.into_axes(ty.shape) {
            Ok(axes) => axes,
            Err(ill) => return self.ill("mean", ill),
        };
        if !ty.dtype.is_float() {
            return self.ill("mean", Ill::new(format!("needs floats, not {}", ty.dtype)));
        }
        let total = self.sum_axes(axes);
        let count = axes.iter().fold(Dim::Size(1), |product, axis| product * ty.shape[axis]);
        match count {
            Dim::Size(n) => total / n as f64,
            Dim::Poly(_) => {
                let line = crate::graph::place::Line::Code(std::panic::Location::caller());
                let n = self.context().emit(super::DimValue { dim: count }.into(), &[], line).one();
                total / n.cast(ty.dtype)
            }
        }
    }
}

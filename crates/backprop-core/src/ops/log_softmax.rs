//! `log_softmax`: an op of its own, since x − ln Σ eˣ from `logsumexp` loses digits far from 0.

use super::axis::IntoAxis;
use super::family::{Bprop, Differentiate, Family, General, Gradient};
use super::reduce::{groups, infer, over_axes};
use super::sample::{self, Registered, Sample};
use super::{Arrays, Attributes, Axes, Op, Rule, Types, one, want};
use crate::array::Array;
use crate::graph::fault::Ill;
use crate::tensor::{Tensor, emit};
use crate::text::Given;
use crate::types::Type;
use crate::with_dtype;

/// y = x − ln Σ eˣ over the axes, computed as (x − m) − ln Σ e^(x−m) with m = max x.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogSoftmax {
    /// The axes, increasing.
    pub axes: Axes,
}

impl Registered for LogSoftmax {
    fn names() -> Vec<&'static str> {
        vec!["log_softmax"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        let axes = match given.has("axis") {
            true => Axes::new(&[given.axis("axis", given.rank(0))?]),
            false => given.axes_or_all("axes")?,
        };
        Ok(LogSoftmax { axes }.into())
    }

    fn samples() -> Vec<Sample> {
        over_axes(|axes| LogSoftmax { axes }, sample::matrix(), sample::wave)
    }
}

impl Rule for LogSoftmax {
    fn name(&self) -> &str {
        "log_softmax"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("y = x − ln Σ eˣ over the axes", "dx = d − eʸ·Σ d")
    }

    fn attributes(&self) -> Attributes {
        vec![("axes", self.axes.attribute())]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        infer(self.axes, inputs)?;
        want(inputs[0].dtype.is_float(), 0, inputs[0], "floats (f32 or f64)")?;
        Ok(one(inputs[0]))
    }

    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        let x = inputs[0].to_f64s();
        let mut y = vec![0.0; x.len()];
        for group in groups(inputs[0], self.axes).1 {
            let m = group.iter().map(|&i| x[i]).fold(f64::NEG_INFINITY, f64::max);
            let ln_sum = group.iter().map(|&i| (x[i] - m).exp()).sum::<f64>().ln();
            group.iter().for_each(|&i| y[i] = (x[i] - m) - ln_sum);
        }
        let y = with_dtype!(outputs[0].dtype, |T| {
            use crate::array::Element;
            Array::new(inputs[0].sizes(), y.into_iter().map(T::from_f64).collect())
        });
        Ok(smallvec::smallvec![y.map_err(|e| Ill::new(e.to_string()))?])
    }

    fn family(&self) -> Family<'_> {
        Family::General(self)
    }
}

impl General for LogSoftmax {
    fn bprop(&self, at: &Bprop) -> Vec<Gradient> {
        let (x, d) = (at.x[0], at.d_or_zeros(0));
        vec![Gradient::Value(d - at.y[0].exp() * d.sum_axes(self.axes).spread_as(x, self.axes))]
    }

    fn jvp(
        &self,
        x: &[Tensor],
        y: &[Tensor],
        tx: &[Option<Tensor>],
        _engine: &dyn Differentiate,
    ) -> Option<Vec<Option<Tensor>>> {
        let along = |tx: Tensor| tx - (tx * y[0].exp()).sum_axes(self.axes).spread_as(x[0], self.axes);
        Some(vec![tx[0].map(along)])
    }
}

impl Tensor {
    /// ln of the softmax along `axis` (−1: the last): x − ln Σ eˣ.
    #[track_caller]
    pub fn log_softmax(self, axis: impl IntoAxis) -> Tensor {
        match self.axis("log_softmax", axis) {
            Ok(axis) => emit(LogSoftmax { axes: Axes::new(&[axis]) }, &[self]).one(),
            Err(ill) => ill,
        }
    }
}

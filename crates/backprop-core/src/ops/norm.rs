//! `norm`: an op of its own, since the squares of √Σx² leave the range long before the norm does.

use super::family::{Bprop, Family, General, Gradient};
use super::sample::{self, Registered, Sample};
use super::{Arrays, Op, Rule, Select, Types, one, want, want_inputs};
use crate::array::Array;
use crate::graph::fault::Ill;
use crate::tensor::{Tensor, emit};
use crate::text::Given;
use crate::types::{Shape, Type};

/// y = √Σx² over all elements.
///
/// At 0 it has no derivative; the gradient there is 0, as the subgradient of least norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Norm;

impl Registered for Norm {
    fn names() -> Vec<&'static str> {
        vec!["norm"]
    }

    fn from_text(_name: &str, _given: &Given) -> Result<Op, String> {
        Ok(Norm.into())
    }

    fn samples() -> Vec<Sample> {
        let shown = (Norm.into(), vec![sample::matrix()]);
        [vec![shown], sample::over_shapes(Norm, 1, sample::wave)].concat()
    }
}

impl Rule for Norm {
    fn name(&self) -> &str {
        "norm"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("y = √Σx²", "dx = d·x/y, 0 where y = 0")
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        want_inputs(inputs, 1)?;
        want(inputs[0].dtype.is_float(), 0, inputs[0], "floats (f32 or f64)")?;
        Ok(one(Type { dtype: inputs[0].dtype, shape: Shape::SCALAR }))
    }

    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        let x = inputs[0].to_f64s();
        let largest = x.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        let m = if largest > 0.0 && largest.is_finite() { largest } else { 1.0 };
        let squares = x.iter().map(|x| (x / m) * (x / m));
        // Not `sum()`, which begins with −0: the norm of nothing is 0.
        let y = m * squares.fold(0.0, |sum, square| sum + square).sqrt();
        Ok(smallvec::smallvec![Array::scalar(y).cast(outputs[0].dtype)])
    }

    fn family(&self) -> Family<'_> {
        Family::General(self)
    }
}

impl General for Norm {
    fn bprop(&self, at: &Bprop) -> Vec<Gradient> {
        let (x, y, d) = (at.x[0], at.y[0], at.d_or_zeros(0));
        let Some(shape) = x.shape() else { return vec![Gradient::Value(d)] };
        // Not `y > 0`: a norm that is NaN must not pass for a zero. And it is the slope that is 0 at 0, not
        // dx: 0·∞ stays NaN.
        let smooth = y.ne(0.0).broadcast_to(shape);
        let slope = emit(Select, &[smooth, x / y.broadcast_to(shape), x.zeros_like()]).one();
        vec![Gradient::Value(d.broadcast_to(shape) * slope)]
    }
}

impl Tensor {
    /// √Σx² over all elements. At 0 the norm has no derivative; the gradient there is 0 by
    /// convention, as the subgradient of least norm. NaN stays NaN.
    #[track_caller]
    pub fn norm(self) -> Tensor {
        emit(Norm, &[self]).one()
    }
}

//! `hypot`: an op with its own kernel, bprop and jvp, in a crate of its own.

use backprop::core::ops::{Arrays, Bprop, Differentiate, Family, General, Gradient, Rule, Types};
use backprop::core::text::Registry;
use backprop::core::{Element, Ill, with_dtype};
use backprop::prelude::*;

/// y = √(a² + b²) without overflow.      da = d·a/y      db = d·b/y
#[derive(Debug)]
pub struct Hypot;

impl Rule for Hypot {
    fn name(&self) -> &str {
        "hypot"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("y = √(a² + b²)", "da = d·a/y, db = d·b/y")
    }

    fn roles(&self) -> &'static [&'static str] {
        &["a", "b"]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        match inputs {
            [a, b] if a == b && a.dtype.is_float() => Ok([*a].into_iter().collect()),
            _ => Err(Ill::new("needs two floats of one type")),
        }
    }

    /// The kernel.
    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        let (a, b) = (inputs[0].to_f64s(), inputs[1].to_f64s());
        let y = with_dtype!(outputs[0].dtype, |T| {
            let y: Vec<T> = a.iter().zip(&b).map(|(a, b)| T::from_f64(a.hypot(*b))).collect();
            Array::new(inputs[0].sizes(), y).map_err(|e| Ill::new(e.to_string()))?
        });
        Ok([y].into_iter().collect())
    }

    fn family(&self) -> Family<'_> {
        Family::General(self)
    }
}

impl General for Hypot {
    fn bprop(&self, at: &Bprop) -> Vec<Gradient> {
        let (x, y, d) = (at.x, at.y[0], at.d_or_zeros(0));
        vec![Gradient::Value(d * x[0] / y), Gradient::Value(d * x[1] / y)]
    }

    fn jvp(
        &self,
        x: &[Tensor],
        y: &[Tensor],
        tx: &[Option<Tensor>],
        _engine: &dyn Differentiate,
    ) -> Option<Vec<Option<Tensor>>> {
        let terms = x.iter().zip(tx).filter_map(|(&x, &tx)| Some(tx? * x / y[0]));
        Some(vec![terms.reduce(|a, b| a + b)])
    }
}

/// Lets graph files name the op: `y = hypot(a, b)`.
///
/// # Errors
/// There is an op called `hypot` already.
pub fn register(registry: &mut Registry) -> Result<(), String> {
    registry.add("hypot", |_| Ok(Custom::new(Hypot).into()))
}

/// √(a² + b²), element by element.
#[track_caller]
pub fn hypot(a: Tensor, b: Tensor) -> Tensor {
    Custom::new(Hypot).call(&[a, b])
}

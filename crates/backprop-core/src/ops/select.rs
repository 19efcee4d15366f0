//! `select`, and the ops that hand a value on: `cast`, `stop_gradient`, `identity`.

use super::binary::{broadcast_three, same_types};
use super::family::{Family, Linear, Pointwise, Pull};
use super::sample::{self, Registered, Sample};
use super::{Arrays, Attribute, Attributes, Op, Rule, Types, one, want, want_inputs};
use crate::array::{Array, DType};
use crate::graph::fault::Ill;
use crate::tensor::{IntoOperand, Tensor, emit};
use crate::text::Given;
use crate::types::Type;
use crate::with_both;

/// y = a where c holds, otherwise b. Both are evaluated.
///
/// The branch that is not taken contributes an exact zero: its cotangent carries the condition as a
/// mask (DESIGN.md, law 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Select;

impl Registered for Select {
    fn names() -> Vec<&'static str> {
        vec!["select"]
    }

    fn from_text(_name: &str, _given: &Given) -> Result<Op, String> {
        Ok(Select.into())
    }

    fn samples() -> Vec<Sample> {
        let shapes = [&[3usize] as &[usize]].into_iter().chain(sample::SHAPES);
        let operands = |sizes| vec![sample::truths(sizes, 2), sample::wave(sizes, 0), sample::wave(sizes, 1)];
        shapes.map(|sizes| (Select.into(), operands(sizes))).collect()
    }
}

impl Rule for Select {
    fn name(&self) -> &str {
        "select"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("y = a where c, else b", "da = d where c, else 0; db = 0 where c, else d; each masked")
    }

    fn roles(&self) -> &'static [&'static str] {
        &["condition", "a", "b"]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        want_inputs(inputs, 3)?;
        want(inputs[0].dtype == DType::Bool, 0, inputs[0], "a condition of bool")?;
        same_types(inputs, 1, 2)?;
        if inputs[0].shape != inputs[1].shape {
            return Err(Ill::new("the condition has another shape"));
        }
        Ok(one(inputs[1]))
    }

    fn eval(&self, inputs: &[&Array], _outputs: &[Type]) -> Result<Arrays, Ill> {
        let condition = inputs[0].slice::<bool>().expect("the type rule wants bool");
        let chosen = with_both!(inputs[1], inputs[2], |a, b| {
            let values: Vec<_> = condition
                .iter()
                .zip(a.iter().zip(b.iter()))
                .map(|(&c, (&a, &b))| if c { a } else { b })
                .collect();
            Array::new(inputs[1].sizes(), values).expect("one result for each element")
        });
        Ok(smallvec::smallvec![chosen])
    }

    fn family(&self) -> Family<'_> {
        Family::Pointwise(self)
    }
}

impl Pointwise for Select {
    fn pull(&self, slot: usize, d: Tensor, x: &[Tensor], _y: Tensor) -> Pull {
        let (condition, zero) = (x[0], d.zeros_like());
        match slot {
            0 => Pull::None("a condition is piecewise constant"),
            1 => Pull::Masked(emit(Select, &[condition, d, zero]).one(), condition),
            _ => Pull::Masked(emit(Select, &[condition, zero, d]).one(), condition.not()),
        }
    }
}

/// y = x in another element type, as Rust's `as` converts. Between floats it is linear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cast {
    /// The element type of the result.
    pub dtype: DType,
}

impl Registered for Cast {
    fn names() -> Vec<&'static str> {
        vec!["cast"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        Ok(Cast { dtype: given.dtype("dtype")? }.into())
    }

    fn samples() -> Vec<Sample> {
        let shown = (Cast { dtype: DType::I64 }.into(), vec![sample::vector(&[1.5, 2.75])]);
        [vec![shown], sample::over_shapes(Cast { dtype: DType::F64 }, 1, sample::wave)].concat()
    }
}

impl Rule for Cast {
    fn name(&self) -> &str {
        "cast"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("y = x as dtype", "dx = d as the type of x; none through integers")
    }

    fn attributes(&self) -> Attributes {
        vec![("dtype", Attribute::DType(self.dtype))]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        want_inputs(inputs, 1)?;
        Ok(one(Type { dtype: self.dtype, ..inputs[0] }))
    }

    fn eval(&self, inputs: &[&Array], _outputs: &[Type]) -> Result<Arrays, Ill> {
        Ok(smallvec::smallvec![inputs[0].cast(self.dtype)])
    }

    fn family(&self) -> Family<'_> {
        Family::Linear(self)
    }
}

impl Linear for Cast {
    fn transpose(&self, _slot: usize, x: &[Tensor], d: Tensor) -> Tensor {
        match (d.dtype(), x[0].dtype()) {
            (Some(DType::Bool), _) | (_, None) => d,
            (_, Some(dtype)) => d.cast(dtype),
        }
    }
}

/// y = x, and no gradient passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StopGradient;

/// y = x: another node for the same value, so that it can be a target of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity;

impl Registered for StopGradient {
    fn names() -> Vec<&'static str> {
        vec!["stop_gradient"]
    }

    fn from_text(_name: &str, _given: &Given) -> Result<Op, String> {
        Ok(StopGradient.into())
    }

    fn samples() -> Vec<Sample> {
        let shown = (StopGradient.into(), vec![sample::vector(&[1.0, 2.0, 3.0])]);
        [vec![shown], sample::over_shapes(StopGradient, 1, sample::wave)].concat()
    }
}

impl Rule for StopGradient {
    fn name(&self) -> &str {
        "stop_gradient"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("y = x", "none: stopped")
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        want_inputs(inputs, 1)?;
        Ok(one(inputs[0]))
    }

    fn eval(&self, inputs: &[&Array], _outputs: &[Type]) -> Result<Arrays, Ill> {
        Ok(smallvec::smallvec![inputs[0].clone()])
    }

    fn family(&self) -> Family<'_> {
        Family::None("passes no gradient")
    }
}

impl Registered for Identity {
    fn names() -> Vec<&'static str> {
        vec!["identity"]
    }

    fn from_text(_name: &str, _given: &Given) -> Result<Op, String> {
        Ok(Identity.into())
    }

    fn samples() -> Vec<Sample> {
        let shown = (Identity.into(), vec![sample::vector(&[1.0, 2.0, 3.0])]);
        [vec![shown], sample::over_shapes(Identity, 1, sample::wave)].concat()
    }
}

impl Rule for Identity {
    fn name(&self) -> &str {
        "identity"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("y = x", "dx = d")
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        want_inputs(inputs, 1)?;
        Ok(one(inputs[0]))
    }

    fn eval(&self, inputs: &[&Array], _outputs: &[Type]) -> Result<Arrays, Ill> {
        Ok(smallvec::smallvec![inputs[0].clone()])
    }

    fn family(&self) -> Family<'_> {
        Family::Linear(self)
    }
}

impl Linear for Identity {
    fn transpose(&self, _slot: usize, _x: &[Tensor], d: Tensor) -> Tensor {
        d
    }
}

impl Tensor {
    /// `a` where `self` (of `bool`) holds, otherwise `b`; all broadcast to one shape.
    #[track_caller]
    pub fn select(self, a: impl IntoOperand, b: impl IntoOperand) -> Tensor {
        // Two numbers take the type of neither branch: they become f32, as PyTorch's default.
        let (a, b) = pair_of_operands(self, a, b);
        emit(Select, &broadcast_three(self, a, b)).one()
    }

    /// The elements converted as Rust's `as` does.
    #[track_caller]
    pub fn cast(self, dtype: DType) -> Tensor {
        emit(Cast { dtype }, &[self]).one()
    }

    /// The same value, through which no gradient passes.
    #[track_caller]
    pub fn stop_gradient(self) -> Tensor {
        emit(StopGradient, &[self]).one()
    }

    /// The same value as a node of its own.
    #[track_caller]
    pub fn identity(self) -> Tensor {
        emit(Identity, &[self]).one()
    }
}

#[track_caller]
fn pair_of_operands(condition: Tensor, a: impl IntoOperand, b: impl IntoOperand) -> (Tensor, Tensor) {
    match (a.is_tensor(), b.is_tensor()) {
        (Some(x), _) => (x, b.into_operand(x)),
        (None, Some(x)) => (a.into_operand(x), x),
        (None, None) => {
            let like = condition.cast(DType::F32);
            (a.into_operand(like), b.into_operand(like))
        }
    }
}

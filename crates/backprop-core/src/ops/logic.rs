//! Comparisons and truth values; none has a derivative.

use super::binary::{broadcast_binary, same_types};
use super::family::Family;
use super::sample::{self, Registered, Sample};
use super::{Arrays, Op, Rule, Types, one, want, want_inputs};
use crate::array::{Array, DType};
use crate::graph::fault::Ill;
use crate::tensor::{IntoOperand, Tensor, emit};
use crate::text::Given;
use crate::types::Type;

/// A comparison, element by element. Anything compared with NaN is false, but for `ne`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compare {
    /// a = b
    Eq,
    /// a ≠ b
    Ne,
    /// a < b
    Lt,
    /// a ≤ b
    Le,
    /// a > b
    Gt,
    /// a ≥ b
    Ge,
}

impl Compare {
    /// Every comparison.
    pub const ALL: &'static [Compare] =
        &[Compare::Eq, Compare::Ne, Compare::Lt, Compare::Le, Compare::Gt, Compare::Ge];

    /// The name in text.
    pub fn name(self) -> &'static str {
        match self {
            Compare::Eq => "eq",
            Compare::Ne => "ne",
            Compare::Lt => "lt",
            Compare::Le => "le",
            Compare::Gt => "gt",
            Compare::Ge => "ge",
        }
    }

    /// The reference value.
    pub fn reference<T: PartialOrd>(self, a: T, b: T) -> bool {
        match self {
            Compare::Eq => a == b,
            Compare::Ne => a != b,
            Compare::Lt => a < b,
            Compare::Le => a <= b,
            Compare::Gt => a > b,
            Compare::Ge => a >= b,
        }
    }
}

impl Registered for Compare {
    fn names() -> Vec<&'static str> {
        Compare::ALL.iter().map(|op| op.name()).collect()
    }

    fn from_text(name: &str, _given: &Given) -> Result<Op, String> {
        sample::find(Compare::ALL, name)
    }

    fn samples() -> Vec<Sample> {
        let shown = vec![sample::vector(&[1.0, 2.0, 3.0]), sample::vector(&[2.0; 3])];
        let of = |&op: &Compare| {
            [vec![(op.into(), shown.clone())], sample::over_shapes(op, 2, sample::wave)].concat()
        };
        Compare::ALL.iter().flat_map(of).collect()
    }
}

impl Rule for Compare {
    fn name(&self) -> &str {
        Compare::name(*self)
    }

    fn equation(&self) -> (&'static str, &'static str) {
        let equation = match self {
            Compare::Eq => "y = (a = b)",
            Compare::Ne => "y = (a ≠ b)",
            Compare::Lt => "y = (a < b)",
            Compare::Le => "y = (a ≤ b)",
            Compare::Gt => "y = (a > b)",
            Compare::Ge => "y = (a ≥ b)",
        };
        (equation, "none: piecewise constant")
    }

    fn roles(&self) -> &'static [&'static str] {
        &["lhs", "rhs"]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        want_inputs(inputs, 2)?;
        same_types(inputs, 0, 1)?;
        Ok(one(Type::new(DType::Bool, inputs[0].shape)))
    }

    fn eval(&self, inputs: &[&Array], _outputs: &[Type]) -> Result<Arrays, Ill> {
        let (a, b) = (inputs[0], inputs[1]);
        let values: Vec<bool> = if a.dtype().is_float() {
            a.to_f64s().iter().zip(b.to_f64s()).map(|(&a, b)| self.reference(a, b)).collect()
        } else {
            a.to_i64s().iter().zip(b.to_i64s()).map(|(&a, b)| self.reference(a, b)).collect()
        };
        Ok(smallvec::smallvec![Array::new(a.sizes(), values).expect("one result for each element")])
    }

    fn family(&self) -> Family<'_> {
        Family::None("piecewise constant")
    }
}

/// An operation on truth values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Logic {
    /// Both hold.
    And,
    /// At least one holds.
    Or,
    /// It does not hold.
    Not,
}

impl Logic {
    /// Every operation.
    pub const ALL: &'static [Logic] = &[Logic::And, Logic::Or, Logic::Not];

    fn n_inputs(self) -> usize {
        if self == Logic::Not { 1 } else { 2 }
    }
}

impl Registered for Logic {
    fn names() -> Vec<&'static str> {
        Logic::ALL.iter().map(|op| op.name()).collect()
    }

    fn from_text(name: &str, _given: &Given) -> Result<Op, String> {
        sample::find(Logic::ALL, name)
    }

    fn samples() -> Vec<Sample> {
        let of = |&op: &Logic| {
            let n_inputs = if op == Logic::Not { 1 } else { 2 };
            let shown = (0..n_inputs).map(|seed| sample::truths(&[4], seed)).collect();
            [vec![(op.into(), shown)], sample::over_shapes(op, n_inputs, sample::truths)].concat()
        };
        Logic::ALL.iter().flat_map(of).collect()
    }
}

impl Rule for Logic {
    fn name(&self) -> &str {
        match self {
            Logic::And => "and",
            Logic::Or => "or",
            Logic::Not => "not",
        }
    }

    fn equation(&self) -> (&'static str, &'static str) {
        let equation = match self {
            Logic::And => "y = a ∧ b",
            Logic::Or => "y = a ∨ b",
            Logic::Not => "y = ¬x",
        };
        (equation, "none: truth values")
    }

    fn roles(&self) -> &'static [&'static str] {
        if *self == Logic::Not { &["x"] } else { &["lhs", "rhs"] }
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        want_inputs(inputs, self.n_inputs())?;
        for (idx, &ty) in inputs.iter().enumerate() {
            want(ty.dtype == DType::Bool, idx, ty, "bool")?;
        }
        if inputs.len() == 2 {
            same_types(inputs, 0, 1)?;
        }
        Ok(one(inputs[0]))
    }

    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        let truth = |x: &[i64]| match self {
            Logic::And => x[0] & x[1],
            Logic::Or => x[0] | x[1],
            Logic::Not => 1 - x[0],
        };
        Ok(smallvec::smallvec![super::unary::map_reference(outputs[0].dtype, inputs, |_| 0.0, truth)])
    }

    fn family(&self) -> Family<'_> {
        Family::None("truth values")
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident $op:expr;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(self, other: impl IntoOperand) -> Tensor {
                broadcast_binary($op, self, other.into_operand(self))
            }
        )*}
    };
}

methods! {
    /// Where both are equal.
    eq Compare::Eq;
    /// Where they differ.
    ne Compare::Ne;
    /// Where `self` is smaller.
    lt Compare::Lt;
    /// Where `self` is not larger.
    le Compare::Le;
    /// Where `self` is larger.
    gt Compare::Gt;
    /// Where `self` is not smaller.
    ge Compare::Ge;
    /// Where both hold.
    and Logic::And;
    /// Where at least one holds.
    or Logic::Or;
}

impl Tensor {
    /// Where it does not hold.
    #[track_caller]
    #[allow(clippy::should_implement_trait)]
    pub fn not(self) -> Tensor {
        emit(Logic::Not, &[self]).one()
    }
}

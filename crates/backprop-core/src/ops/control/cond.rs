//! `cond`: one of two bodies is run.

use std::panic::Location;
use std::sync::Arc;

use super::differentiate;
use super::tree::Tree;
use super::{called, home_of, told, want_parameter};
use crate::array::{Array, DType};
use crate::graph::Graph;
use crate::graph::body::Body;
use crate::graph::context::ContextId;
use crate::graph::draft::{Draft, OpenBody};
use crate::graph::fault::Ill;
use crate::graph::place::Line;
use crate::ops::sample::{self, Registered, Sample};
use crate::ops::{
    Arrays, Attribute, Attributes, Bprop, Differentiate, Family, General, Gradient, IllCall, Op, Rule, Types,
    want_inputs,
};
use crate::tensor::{Outputs, Tensor};
use crate::text::Given;
use crate::types::{MapDim, Type};

/// y = then(x) where the condition holds, otherwise(x) where it does not. Operands: the condition
/// (a bool scalar), then x: what both bodies take. Only the branch that is taken is run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cond {
    /// Run where the condition holds.
    pub then: Arc<Body>,
    /// Run where it does not.
    pub otherwise: Arc<Body>,
}

/// `then()` where `pred` (a bool scalar) holds, otherwise `otherwise()`.
///
/// Both closures are called once, to build the branches; running evaluates one of them, so a fault
/// in the data of the other does not count, and its cost neither. The branches may use any tensor of
/// the surroundings, and give results of equal types.
///
/// ```
/// use backprop_core::{Graph, cond};
/// let g = Graph::new();
/// let x = g.input("x", "f32[]");
/// let y = cond(x.gt(0.0), || x.sqrt(), || -x);
/// assert!(g.check(&[y]).is_ok());
/// ```
#[track_caller]
pub fn cond<T: Tree>(pred: Tensor, then: impl FnOnce() -> T, otherwise: impl FnOnce() -> T) -> T {
    let line = Line::Code(Location::caller());
    let home = home_of(&[pred]);
    let (structure, then) = branch(home, line, then);
    let (other_structure, otherwise) = branch(home, line, otherwise);
    let (n, n_other) = (structure.leaves().len(), other_structure.leaves().len());
    let home = home.unwrap_or(pred.context());
    if n != n_other {
        let rule = format!("the branches give {n} and {n_other} tensors");
        let ill = home.emit(IllCall::new("cond", Ill::new(rule)).into(), &[pred], line).one();
        return structure.rebuild(&mut std::iter::repeat(ill));
    }
    structure.rebuild(&mut call(home, pred, &[], [then, otherwise], line).iter())
}

fn branch<T: Tree>(home: Option<ContextId>, line: Line, build: impl FnOnce() -> T) -> (T, Draft) {
    let body = OpenBody::new(home);
    let tree = build();
    let draft = body.close(&tree.leaves(), line);
    (tree, draft)
}

/// Calls `cond` with branches whose parameters are for `operands`.
pub(super) fn call(
    home: ContextId,
    pred: Tensor,
    operands: &[Tensor],
    [then, otherwise]: [Draft; 2],
    line: Line,
) -> Outputs {
    let others = otherwise.captures().filter(|&outer| !then.has_captured(outer));
    let captures: Vec<Tensor> = then.captures().chain(others).collect();
    let inputs: Vec<Tensor> =
        std::iter::once(pred).chain(operands.iter().copied()).chain(captures.iter().copied()).collect();
    let [then, otherwise] = [then, otherwise].map(|draft| Arc::new(draft.finish(&captures, 0)));
    home.emit(Cond { then, otherwise }.into(), &inputs, line)
}

impl Registered for Cond {
    fn names() -> Vec<&'static str> {
        vec!["cond"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        Ok(Cond { then: given.body("then")?, otherwise: given.body("otherwise")? }.into())
    }

    fn samples() -> Vec<Sample> {
        let g = Graph::new();
        let (p, x, w) = (g.input("p", "bool[]"), g.input("x", "f64[]"), g.input("w", "f64[2, 3]"));
        let root = cond(p, || x.sqrt(), || -x);
        let both = cond(p, || (w * x).sin(), || w * w * w + x);
        let e = g.input("e", "f64[0, 3]");
        let empty = cond(p, || e.exp(), || e * e);
        let (start, other) = (Array::scalar(4.0), sample::wave(&[2, 3], 0));
        let operands = |holds: bool| {
            [(p, Array::scalar(holds)), (x, start.clone()), (w, other.clone()), (e, sample::wave(&[0, 3], 0))]
        };
        let calls = [(root, true), (root, false), (both, true), (both, false), (empty, true)];
        calls.iter().filter_map(|&(y, holds)| called(y, &operands(holds))).collect()
    }
}

impl Rule for Cond {
    fn name(&self) -> &str {
        "cond"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("y = then(x) if c, else otherwise(x)", "dx = then's vjp if c, else otherwise's")
    }

    fn attributes(&self) -> Attributes {
        vec![
            ("then", Attribute::Body(self.then.clone())),
            ("otherwise", Attribute::Body(self.otherwise.clone())),
        ]
    }

    fn roles(&self) -> &'static [&'static str] {
        &["condition", "x"]
    }

    fn n_outputs(&self) -> usize {
        self.then.outputs().len()
    }

    fn bodies(&self) -> Vec<&Arc<Body>> {
        vec![&self.then, &self.otherwise]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        let [then, otherwise] = [&self.then, &self.otherwise];
        want_inputs(inputs, 1 + then.parameters().len())?;
        if inputs[0] != Type::scalar(DType::Bool) {
            return Err(Ill::new(format!("the condition must be a bool scalar, not {}", inputs[0]))
                .hint("for a choice in each element: condition.select(a, b)"));
        }
        let counts = |body: &Body| (body.parameters().len(), body.outputs().len());
        if counts(then) != counts(otherwise) {
            return Err(Ill::new("the branches have different numbers of parameters or outputs"));
        }
        for (body, what) in [(then, "branch `then`"), (otherwise, "branch `otherwise`")] {
            if !body.faults().is_empty() {
                return Err(Ill::new(format!("{what} is ill")));
            }
            for (idx, &input) in inputs[1..].iter().enumerate() {
                want_parameter(what, input, body.parameter_type(idx), idx + 1)?;
            }
        }
        let mut types = Types::new();
        for idx in 0..then.outputs().len() {
            match (then.output_type(idx), otherwise.output_type(idx)) {
                (Some(a), Some(b)) if a == b => types.push(a),
                (a, b) => {
                    let (a, b) = (told(a), told(b));
                    return Err(Ill::new(format!("the branches differ: output {idx} is {a} or {b}")));
                }
            }
        }
        Ok(types)
    }

    fn eval(&self, inputs: &[&Array], _outputs: &[Type]) -> Result<Arrays, Ill> {
        let taken = self.taken(inputs)?;
        let arguments: Vec<Array> = inputs[1..].iter().map(|&array| array.clone()).collect();
        Ok(taken.eval(&arguments)?.into())
    }

    fn with_dims(&self, map: &MapDim) -> Result<Option<Op>, String> {
        let (then, otherwise) = (self.then.with_dims(map)?, self.otherwise.with_dims(map)?);
        if then.is_none() && otherwise.is_none() {
            return Ok(None);
        }
        let arc = |bound: Option<Body>, own: &Arc<Body>| bound.map_or_else(|| own.clone(), Arc::new);
        let bound = Cond { then: arc(then, &self.then), otherwise: arc(otherwise, &self.otherwise) };
        Ok(Some(bound.into()))
    }

    fn family(&self) -> Family<'_> {
        Family::General(self)
    }
}

impl Cond {
    /// The branch to run on these operands.
    ///
    /// # Errors
    /// There is no condition.
    pub fn taken(&self, inputs: &[&Array]) -> Result<&Body, Ill> {
        let condition = inputs.first().and_then(|condition| condition.slice::<bool>().ok()?.first());
        match condition {
            Some(true) => Ok(&self.then),
            Some(false) => Ok(&self.otherwise),
            None => Err(Ill::new("the condition must be a bool scalar")),
        }
    }
}

impl General for Cond {
    fn no_derivative(&self, slot: usize) -> Option<&'static str> {
        match slot.checked_sub(1) {
            None => Some("a condition is piecewise constant"),
            Some(idx) if self.then.is_smooth_in(idx) || self.otherwise.is_smooth_in(idx) => None,
            Some(_) => Some("no branch depends smoothly on it"),
        }
    }

    fn bprop(&self, at: &Bprop) -> Vec<Gradient> {
        differentiate::cond_bprop(self, at)
    }

    fn jvp(
        &self,
        x: &[Tensor],
        y: &[Tensor],
        tx: &[Option<Tensor>],
        engine: &dyn Differentiate,
    ) -> Option<Vec<Option<Tensor>>> {
        Some(differentiate::cond_jvp(self, x, y, tx, engine))
    }
}

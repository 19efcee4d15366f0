//! Bodies: functions that operations run, as plain data.
//!
//! ```text
//! closure ──► OpenBody ──► Draft ──► Body: records, parameters (the captures last), outputs
//!             (`draft`)              one operand of the operation for each parameter
//! ```
//!
//! A body is immutable and `Send + Sync`. Its parameters are inputs of its records.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::OnceLock;

use smallvec::SmallVec;

use super::context::ContextId;
use super::fault::{Fault, Ill};
use super::records::{NodeId, Part, Records, ValueId};
use super::replay::replay;
use super::smooth::Dependence;
use crate::array::Array;
use crate::ops::Op;
use crate::tensor::Tensor;
use crate::types::{MapDim, Type};

/// A step of a body's plan: a node, and the values that nobody reads after it.
pub type Step = (NodeId, SmallVec<[ValueId; 2]>);

/// A function: parameters, operations, outputs.
///
/// Two bodies are equal when they do the same; names and places do not count.
#[derive(Clone)]
pub struct Body {
    records: Records,
    parameters: Vec<ValueId>,
    outputs: Vec<ValueId>,
    n_captures: usize,
    plan: Vec<Step>,
    hash: u64,
    dependence: OnceLock<Dependence>,
}

const _: () = {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<Body>();
};

impl Body {
    /// The body of these records; the last `n_captures` parameters are captures.
    ///
    /// # Errors
    /// A value that is none; a parameter that is no input, or comes twice; an input that the
    /// outputs need and that is no parameter.
    pub fn new(
        records: Records,
        parameters: Vec<ValueId>,
        outputs: Vec<ValueId>,
        n_captures: usize,
    ) -> Result<Body, Ill> {
        let mut is_parameter = vec![false; records.n_values()];
        if let Some(value) =
            parameters.iter().chain(&outputs).find(|&&value| value as usize >= is_parameter.len())
        {
            return Err(Ill::new(format!("the body has no value %{value}")));
        }
        if n_captures > parameters.len() {
            let rule = format!("{n_captures} captures, but {} parameters", parameters.len());
            return Err(Ill::new(rule));
        }
        for &value in &parameters {
            let op = &records.node(records.producer(value)).op;
            if !matches!(op, Op::Input(_) | Op::Missing(_)) {
                let rule = format!("parameter {} is a result of {}", records.label(value), op.name());
                return Err(Ill::new(rule));
            }
            if std::mem::replace(&mut is_parameter[value as usize], true) {
                return Err(Ill::new(format!("parameter {} comes twice", records.label(value))));
            }
        }
        let plan = plan(&records, &is_parameter, &outputs);
        let unknown = plan
            .iter()
            .map(|(id, _)| records.node(*id))
            .find(|node| matches!(node.op, Op::Input(_)) && records.ty(node.first).is_some());
        if let Some(node) = unknown {
            let rule = format!("input {} of the body is no parameter", records.label(node.first));
            return Err(Ill::new(rule));
        }
        Ok(Body::of_parts(records, parameters, outputs, n_captures, plan))
    }

    /// As [`Body::new`], for parts that are known to fit.
    pub(super) fn built(
        records: Records,
        parameters: Vec<ValueId>,
        outputs: Vec<ValueId>,
        n_captures: usize,
    ) -> Body {
        let mut is_parameter = vec![false; records.n_values()];
        parameters.iter().for_each(|&value| is_parameter[value as usize] = true);
        let plan = plan(&records, &is_parameter, &outputs);
        Body::of_parts(records, parameters, outputs, n_captures, plan)
    }

    fn of_parts(
        records: Records,
        parameters: Vec<ValueId>,
        outputs: Vec<ValueId>,
        n_captures: usize,
        plan: Vec<Step>,
    ) -> Body {
        let mut hasher = DefaultHasher::new();
        (&parameters, &outputs, n_captures).hash(&mut hasher);
        for node in records.nodes() {
            (&node.op, &node.inputs).hash(&mut hasher);
        }
        let hash = hasher.finish();
        Body { records, parameters, outputs, n_captures, plan, hash, dependence: OnceLock::new() }
    }

    /// The operations.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// The parameters, captures last.
    pub fn parameters(&self) -> &[ValueId] {
        &self.parameters
    }

    /// The outputs.
    pub fn outputs(&self) -> &[ValueId] {
        &self.outputs
    }

    /// How many of the last parameters stand for values of the surroundings.
    pub fn n_captures(&self) -> usize {
        self.n_captures
    }

    /// The type of parameter `idx`; `None` when it is ill.
    pub fn parameter_type(&self, idx: usize) -> Option<Type> {
        self.records.ty(self.parameters[idx])
    }

    /// The type of output `idx`; `None` when it is ill.
    pub fn output_type(&self, idx: usize) -> Option<Type> {
        self.records.ty(self.outputs[idx])
    }

    /// Every fault that the outputs depend on.
    pub fn faults(&self) -> Vec<Fault> {
        self.records.faults_of(self.outputs.iter().copied())
    }

    /// The nodes that the outputs need, parameters aside, in order; after each, the values that
    /// were read for the last time (never an output).
    pub fn plan(&self) -> &[Step] {
        &self.plan
    }

    /// Whether output `output_idx` depends smoothly on parameter `parameter_idx`.
    pub fn depends(&self, parameter_idx: usize, output_idx: usize) -> bool {
        let new = || Dependence::new(&self.records, &self.parameters, &self.outputs);
        self.dependence.get_or_init(new).holds(parameter_idx, output_idx)
    }

    /// Whether any output depends smoothly on parameter `parameter_idx`.
    pub fn is_smooth_in(&self, parameter_idx: usize) -> bool {
        (0..self.outputs.len()).any(|output_idx| self.depends(parameter_idx, output_idx))
    }

    /// Calls the body's operations on `arguments`, in the innermost open context below `into`.
    pub fn replay(&self, arguments: &[Tensor], into: ContextId) -> Vec<Tensor> {
        let map: HashMap<ValueId, Tensor> =
            self.parameters.iter().copied().zip(arguments.iter().copied()).collect();
        let mapping = replay(&self.records, &self.outputs, &map, into);
        // Only a context that is no more leaves an output out.
        let stale = Tensor::new(into, 0);
        self.outputs.iter().map(|output| mapping.get(output).copied().unwrap_or(stale)).collect()
    }

    /// The body with the dimensions that its ops name replaced; `None` where that changes nothing.
    ///
    /// # Errors
    /// Those of `map`.
    pub fn with_dims(&self, map: &MapDim) -> Result<Option<Body>, String> {
        let nodes = self.records.nodes();
        let mut bound: Vec<Option<Op>> = vec![None; nodes.len()];
        let producers = self.parameters.iter().map(|&value| self.records.producer(value));
        for id in producers.chain(self.plan.iter().map(|step| step.0)) {
            bound[id as usize] = nodes[id as usize].op.rule().with_dims(map)?;
        }
        if bound.iter().all(Option::is_none) {
            return Ok(None);
        }
        let mut records = self.records.within();
        for (node, op) in nodes.iter().zip(bound) {
            let op = op.unwrap_or_else(|| node.op.clone());
            let id = records.push(op, node.inputs.clone(), node.place, node.part);
            assert_eq!(records.node(id).first, node.first, "binding keeps the numbers of the values");
        }
        for (value, name) in self.records.names() {
            records.set_name(value, name)?;
        }
        let parts = (self.parameters.clone(), self.outputs.clone(), self.plan.clone());
        Ok(Some(Body::of_parts(records, parts.0, parts.1, self.n_captures, parts.2)))
    }

    /// The reference evaluation: each op by its own definition.
    ///
    /// # Errors
    /// A fault in the data, with its place in the body.
    pub fn eval(&self, arguments: &[Array]) -> Result<Vec<Array>, Ill> {
        let mut values: Vec<Option<Array>> = vec![None; self.records.n_values()];
        for (&parameter, argument) in self.parameters.iter().zip(arguments) {
            values[parameter as usize] = Some(argument.clone());
        }
        let computed = "earlier nodes are computed";
        for &(id, _) in &self.plan {
            let node = self.records.node(id);
            let outputs = {
                let inputs: Vec<&Array> =
                    node.inputs.iter().map(|&x| values[x as usize].as_ref().expect(computed)).collect();
                let types: Vec<Type> =
                    inputs.iter().map(|array| Type::new(array.dtype(), array.sizes())).collect();
                let outputs = node.op.infer(&types).map_err(|ill| self.located(id, ill))?;
                node.op.rule().eval(&inputs, &outputs).map_err(|ill| self.located(id, ill))?
            };
            for (value, array) in node.outputs().zip(outputs) {
                values[value as usize] = Some(array);
            }
        }
        Ok(self.outputs.iter().map(|&y| values[y as usize].clone().expect(computed)).collect())
    }

    /// A fault in the data of a node, told where it cannot have a place of its own: in one line.
    pub fn located(&self, node: NodeId, ill: Ill) -> Ill {
        let node = self.records.node(node);
        let name = ill.called.unwrap_or(node.op.name());
        let rule = format!("{name}: {} ({})", ill.rule, self.records.place(node.place));
        Ill { rule, hint: ill.hint, ..Ill::default() }
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Body) -> bool {
        let (own, others) = (self.records.nodes(), other.records.nodes());
        self.hash == other.hash
            && (&self.parameters, &self.outputs, self.n_captures)
                == (&other.parameters, &other.outputs, other.n_captures)
            && own.len() == others.len()
            && own.iter().zip(others).all(|(a, b)| {
                (&a.op, &a.inputs, a.part == Part::NoGrad) == (&b.op, &b.inputs, b.part == Part::NoGrad)
            })
    }
}

impl Eq for Body {}

impl Hash for Body {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n_nodes, n_captures) = (self.records.n_nodes(), self.n_captures);
        write!(f, "Body({} parameters, {n_captures} captured; {n_nodes} nodes; ", self.parameters.len())?;
        write!(f, "{} outputs)", self.outputs.len())
    }
}

fn plan(records: &Records, is_parameter: &[bool], outputs: &[ValueId]) -> Vec<Step> {
    let mut kept = vec![false; records.n_values()];
    let mut needed = vec![false; records.n_nodes()];
    for &output in outputs {
        kept[output as usize] = true;
        needed[records.producer(output) as usize] = true;
    }
    let mut plan = Vec::new();
    for id in (0..records.n_nodes() as NodeId).rev().filter(|&id| !is_given(records, id, is_parameter)) {
        if !needed[id as usize] {
            continue;
        }
        let node = records.node(id);
        let mut free = SmallVec::new();
        for value in node.outputs().chain(node.inputs.iter().copied()) {
            needed[records.producer(value) as usize] = true;
            if !std::mem::replace(&mut kept[value as usize], true) {
                free.push(value);
            }
        }
        plan.push((id, free));
    }
    plan.reverse();
    plan
}

fn is_given(records: &Records, id: NodeId, is_parameter: &[bool]) -> bool {
    let node = records.node(id);
    node.n_outputs == 1 && is_parameter[node.first as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;

    #[test]
    fn a_body_from_outside_is_checked() {
        let graph = Graph::new();
        let (x, w) = (graph.input("x", "f32[3]"), graph.input("w", "f32[3]"));
        let y = x * w;
        let body = |parameters: &[ValueId], outputs: &[ValueId], n_captures| {
            let told =
                Body::new((*graph.records()).clone(), parameters.to_vec(), outputs.to_vec(), n_captures);
            told.map_err(|ill| ill.rule)
        };
        let (x, w, y) = (x.id(), w.id(), y.id());
        assert!(body(&[x, w], &[y], 1).is_ok());
        let refused = |parameters: &[ValueId], outputs: &[ValueId], n_captures, rule: &str| {
            assert_eq!(body(parameters, outputs, n_captures), Err(rule.to_string()));
        };
        refused(&[x, w], &[y], 3, "3 captures, but 2 parameters");
        refused(&[x], &[y], 0, "input w of the body is no parameter");
        refused(&[x, y], &[y], 0, "parameter %2 is a result of mul");
        refused(&[x, x], &[x], 0, "parameter x comes twice");
        refused(&[x, w], &[9], 0, "the body has no value %9");
    }
}

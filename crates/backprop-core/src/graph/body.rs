//! Bodies: functions that operations run, as plain data.
//!
//! ```text
//! closure ──► OpenBody (a context; values of the surroundings become captures)
//!                 │ close
//!                 ▼
//!              Draft ──► Body: records, parameters (the captures last), outputs
//! ```
//!
//! A body is immutable and `Send + Sync`. Its parameters are inputs of its records; an operation
//! that runs it gives each of them one operand.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::OnceLock;

use smallvec::SmallVec;

use super::GraphContext;
use super::context::{self, Closed, ContextId, Emit};
use super::fault::{Fault, Ill};
use super::place::{Line, Place};
use super::records::{Inputs, NodeId, Part, Records, ValueId};
use super::replay::replay;
use super::smooth::Dependence;
use crate::array::Array;
use crate::ops::{Identity, Input, Op};
use crate::random::Streams;
use crate::tensor::Tensor;
use crate::types::{Bindings, Type};

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
        self.outputs.iter().map(|&output| mapping.get(output).unwrap_or(stale)).collect()
    }

    /// The body with the names of dimensions replaced by their sizes; `None` where it names none.
    ///
    /// # Errors
    /// A name without a size, or a size that comes out negative.
    pub fn bind(&self, sizes: &Bindings) -> Result<Option<Body>, String> {
        let nodes = self.records.nodes();
        let mut bound: Vec<Option<Op>> = vec![None; nodes.len()];
        let producers = self.parameters.iter().map(|&value| self.records.producer(value));
        for id in producers.chain(self.plan.iter().map(|step| step.0)) {
            bound[id as usize] = nodes[id as usize].op.bind(sizes)?;
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
        let rule = format!("{}: {} ({})", node.op.name(), ill.rule, self.records.place(node.place));
        Ill { rule, notes: Vec::new(), hint: ill.hint }
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

/// A body that is being built: while it is open, operations on values of its surroundings land in
/// it. Dropping it closes its context, so a closure that panics leaves nothing open.
pub struct OpenBody {
    context: Rc<GraphContext>,
    parameters: Vec<ValueId>,
}

impl Drop for OpenBody {
    fn drop(&mut self) {
        context::close(self.context.id);
    }
}

impl OpenBody {
    /// Opens a body in the innermost open context below `home`. Without a home it is built all the
    /// same, for its faults.
    pub fn new(home: Option<ContextId>) -> OpenBody {
        let parent = home.map(ContextId::innermost);
        let outer = parent.and_then(ContextId::get);
        let (records, cursor, streams) = match &outer {
            Some(outer) => {
                let cursor = outer.cursor().get();
                // Two bodies of one module draw different numbers; a derivative draws none.
                let streams = match cursor.origin {
                    None => Streams::within(outer.streams().borrow_mut().next("body")),
                    Some(_) => Streams::default(),
                };
                (outer.records().borrow().within(), cursor, streams)
            }
            None => Default::default(),
        };
        let kind = if outer.is_some() { Closed::Body } else { Closed::Homeless };
        let context = context::open(parent, kind, |id| {
            let streams = std::cell::RefCell::new(streams);
            Rc::new(GraphContext { parent, kind, streams, ..GraphContext::new(id, records, cursor) })
        });
        OpenBody { context, parameters: Vec::new() }
    }

    /// The number of its context.
    pub fn id(&self) -> ContextId {
        self.context.id
    }

    /// The next parameter, made at `line`; without a type it is ill.
    pub fn parameter(&mut self, ty: Option<Type>, line: Line) -> Tensor {
        let cursor = self.context.cursor.get();
        let place = cursor.origin.unwrap_or(Place { line, module: cursor.module });
        let value = push_parameter(&mut self.context.records.borrow_mut(), ty, place);
        self.parameters.push(value);
        Tensor::new(self.id(), value)
    }

    /// Closes the body. Outputs may be values of the surroundings; a value that cannot be used here
    /// makes its output ill.
    pub fn close(self, outputs: &[Tensor], line: Line) -> Draft {
        let outputs = outputs
            .iter()
            .map(|&output| {
                if output.context == self.id() {
                    output.value
                } else if output.context.encloses(self.id()) {
                    self.context.capture(output)
                } else {
                    self.id().emit(Identity.into(), &[output], line).one().value
                }
            })
            .collect();
        Draft {
            records: self.context.records.take(),
            parameters: self.parameters.clone(),
            outputs,
            captures: self.context.captures.take(),
        }
    }
}

/// A parameter for `outer`, under its name where that is free and at its place.
pub(super) fn parameter(context: &GraphContext, outer: Tensor) -> ValueId {
    let mut records = context.records.borrow_mut();
    let known = outer.with_records(|outside| {
        let node = outside.node(outside.producer(outer.value));
        (
            outside.ty(outer.value),
            records.import_place(outside, node.place),
            outside.name(outer.value).cloned(),
        )
    });
    let Some((ty, place, name)) = known else { return records.push_missing() };
    let value = push_parameter(&mut records, ty, place);
    if let Some(name) = name {
        // A name that is taken stays with its owner.
        let _ = records.set_name(value, &name);
    }
    value
}

fn push_parameter(records: &mut Records, ty: Option<Type>, place: Place) -> ValueId {
    let Some(ty) = ty else { return records.push_missing() };
    let ty = records.assumed_type(ty);
    let node = records.push(Input { ty }.into(), Inputs::new(), place, Part::Forward);
    records.node(node).first
}

/// A body whose context is closed, before the order of its captures is fixed.
pub struct Draft {
    records: Records,
    parameters: Vec<ValueId>,
    outputs: Vec<ValueId>,
    captures: Vec<(Tensor, ValueId)>,
}

impl Draft {
    /// The values of the surroundings that it uses.
    pub fn captures(&self) -> Vec<Tensor> {
        self.captures.iter().map(|&(outer, _)| outer).collect()
    }

    /// The number of outputs.
    pub fn n_outputs(&self) -> usize {
        self.outputs.len()
    }

    /// Which of its explicit parameters the outputs need.
    pub fn used(&self) -> Vec<bool> {
        let mut needed = vec![false; self.records.n_values()];
        self.outputs.iter().for_each(|&output| needed[output as usize] = true);
        for node in self.records.nodes().iter().rev() {
            if node.outputs().any(|output| needed[output as usize]) {
                node.inputs.iter().for_each(|&input| needed[input as usize] = true);
            }
        }
        self.parameters.iter().map(|&parameter| needed[parameter as usize]).collect()
    }

    /// Leaves out the explicit parameters for which `keep` says no; the outputs must not need them.
    pub fn retain(&mut self, keep: &[bool]) {
        let mut keep = keep.iter();
        self.parameters.retain(|_| *keep.next().unwrap_or(&true));
    }

    /// Leaves out what the outputs do not need. A body that a derivative builds holds much of that.
    pub fn compact(mut self) -> Draft {
        let given: Vec<ValueId> =
            self.parameters.iter().copied().chain(self.captures.iter().map(|&(_, own)| own)).collect();
        let mut needed = vec![false; self.records.n_values()];
        given.iter().chain(&self.outputs).for_each(|&value| needed[value as usize] = true);
        for node in self.records.nodes().iter().rev() {
            if node.outputs().any(|output| needed[output as usize]) {
                node.inputs.iter().for_each(|&input| needed[input as usize] = true);
            }
        }
        if self.records.faults().next().is_some() {
            return self;
        }
        let mut records = self.records.within();
        let mut moved = vec![ValueId::MAX; needed.len()];
        for node in self.records.nodes() {
            if !node.outputs().any(|output| needed[output as usize]) {
                continue;
            }
            let inputs = node.inputs.iter().map(|&input| moved[input as usize]).collect();
            let first = match node.op {
                Op::Missing(_) => records.push_missing(),
                _ => {
                    let id = records.push(node.op.clone(), inputs, node.place, node.part);
                    records.node(id).first
                }
            };
            for (idx, output) in node.outputs().enumerate() {
                moved[output as usize] = first + idx as u32;
                if let Some(name) = self.records.name(output) {
                    let _ = records.set_name(moved[output as usize], name);
                }
            }
        }
        self.parameters.iter_mut().for_each(|value| *value = moved[*value as usize]);
        self.outputs.iter_mut().for_each(|value| *value = moved[*value as usize]);
        self.captures.iter_mut().for_each(|(_, value)| *value = moved[*value as usize]);
        Draft { records, ..self }
    }

    /// The body: its explicit parameters, then one for each of `captures`, of which those that this
    /// body does not use are new. The last of the parameters, after the first `n_own`, are captures.
    pub fn finish(mut self, captures: &[Tensor], n_own: usize) -> Body {
        for &outer in captures {
            let known = self.captures.iter().find(|(own, _)| own.is(outer)).map(|&(_, value)| value);
            let value = known.unwrap_or_else(|| {
                let place = Place { line: Line::Code(std::panic::Location::caller()), module: 0 };
                push_parameter(&mut self.records, outer.ty(), place)
            });
            self.parameters.push(value);
        }
        let n_captures = self.parameters.len() - n_own;
        let mut is_parameter = vec![false; self.records.n_values()];
        self.parameters.iter().for_each(|&value| is_parameter[value as usize] = true);
        let plan = plan(&self.records, &is_parameter, &self.outputs);
        Body::of_parts(self.records, self.parameters, self.outputs, n_captures, plan)
    }
}

/// Runs `build` in a body within `home`, with parameters of these types; `line` is the caller's.
pub fn draft(
    home: Option<ContextId>,
    line: Line,
    parameters: impl IntoIterator<Item = Option<Type>>,
    build: impl FnOnce(&[Tensor]) -> Vec<Tensor>,
) -> Draft {
    let mut body = OpenBody::new(home);
    let parameters: Vec<Tensor> = parameters.into_iter().map(|ty| body.parameter(ty, line)).collect();
    let outputs = build(&parameters);
    body.close(&outputs, line)
}

//! Building a body: the context that a closure runs in, and what is left when it has run.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::GraphContext;
use super::body::Body;
use super::context::{self, Closed, ContextId, Emit};
use super::place::{Line, Place};
use super::records::{Inputs, Part, Records, ValueId};
use crate::array::DType;
use crate::ops::{Identity, Input, Op};
use crate::random::Streams;
use crate::tensor::Tensor;
use crate::types::Type;

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
                    None => outer.streams().borrow_mut().of_body(),
                    Some(_) => Streams::default(),
                };
                (outer.records().borrow().within(), cursor, streams)
            }
            None => Default::default(),
        };
        let kind = if outer.is_some() { Closed::Body } else { Closed::Homeless };
        let context = context::open(parent, kind, |id| {
            let streams = RefCell::new(streams);
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

    /// The first parameter of a loop's body: the number of the iteration, an i64 scalar.
    pub fn iteration(&mut self, line: Line) -> Tensor {
        let k = self.parameter(Some(Type::scalar(DType::I64)), line);
        self.context.iteration.set(Some(k.value));
        k
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
            records: std::mem::take(&mut *self.context.records.borrow_mut()),
            parameters: self.parameters.clone(),
            outputs,
            captures: self.context.captures.take(),
        }
    }
}

/// Values of the surroundings, each once, in the order of their first use, with what stands for them.
#[derive(Default)]
pub(super) struct Captures {
    list: Vec<(Tensor, ValueId)>,
    places: HashMap<(ContextId, ValueId), usize>,
}

impl Captures {
    pub fn get(&self, outer: Tensor) -> Option<ValueId> {
        self.places.get(&(outer.context, outer.value)).map(|&at| self.list[at].1)
    }

    pub fn insert(&mut self, outer: Tensor, value: ValueId) {
        self.places.insert((outer.context, outer.value), self.list.len());
        self.list.push((outer, value));
    }
}

/// A parameter for `outer`, at its place and under its name, which it gives up to whoever takes it.
pub(super) fn parameter(records: &mut Records, outer: Tensor) -> ValueId {
    let known = outer.with_records(|outside| {
        let place = outside.node(outside.producer(outer.value)).place;
        let name = outside.name(outer.value).cloned();
        (outside.ty(outer.value), records.import_place(outside, place), name)
    });
    let Some((ty, place, name)) = known else { return records.push_missing() };
    let value = push_parameter(records, ty, place);
    if let Some(name) = name {
        records.lend_name(value, &name);
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
    captures: Captures,
}

impl Draft {
    /// The values of the surroundings that it uses.
    pub fn captures(&self) -> impl Iterator<Item = Tensor> {
        self.captures.list.iter().map(|&(outer, _)| outer)
    }

    /// Whether it uses `outer`, a value of the surroundings.
    pub fn has_captured(&self, outer: Tensor) -> bool {
        self.captures.get(outer).is_some()
    }

    /// The number of outputs.
    pub fn n_outputs(&self) -> usize {
        self.outputs.len()
    }

    /// Which of its explicit parameters the outputs need.
    pub fn used(&self) -> Vec<bool> {
        let needed = self.needed_for(&self.outputs);
        self.parameters.iter().map(|&parameter| needed[parameter as usize]).collect()
    }

    /// Of each value, whether `values` need it.
    fn needed_for(&self, values: &[ValueId]) -> Vec<bool> {
        let mut needed = vec![false; self.records.n_values()];
        values.iter().for_each(|&value| needed[value as usize] = true);
        for node in self.records.nodes().iter().rev() {
            if node.outputs().any(|output| needed[output as usize]) {
                node.inputs.iter().for_each(|&input| needed[input as usize] = true);
            }
        }
        needed
    }

    /// Leaves out the explicit parameters for which `keep` says no; the outputs must not need them.
    pub fn retain(&mut self, keep: &[bool]) {
        let mut keep = keep.iter();
        self.parameters.retain(|_| *keep.next().unwrap_or(&true));
    }

    /// Leaves out what the outputs do not need. A body that a derivative builds holds much of that.
    pub fn compact(mut self) -> Draft {
        if self.records.faults().next().is_some() {
            // A fault is told at its node: nothing is moved.
            return self;
        }
        let mut kept = [&self.parameters[..], &self.outputs[..]].concat();
        kept.extend(self.captures.list.iter().map(|&(_, own)| own));
        let needed = self.needed_for(&kept);
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
                    records.lend_name(moved[output as usize], name);
                }
            }
        }
        self.parameters.iter_mut().for_each(|value| *value = moved[*value as usize]);
        self.outputs.iter_mut().for_each(|value| *value = moved[*value as usize]);
        self.captures.list.iter_mut().for_each(|(_, value)| *value = moved[*value as usize]);
        Draft { records, ..self }
    }

    /// The body: its explicit parameters, then one for each of `captures`, of which those that this
    /// body does not use are new. The last of the parameters, after the first `n_own`, are captures.
    pub fn finish(mut self, captures: &[Tensor], n_own: usize) -> Body {
        for &outer in captures {
            let known = self.captures.get(outer);
            let value = known.unwrap_or_else(|| parameter(&mut self.records, outer));
            self.parameters.push(value);
        }
        let n_captures = self.parameters.len() - n_own;
        Body::built(self.records, self.parameters, self.outputs, n_captures)
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

//! Replaying: the nodes that some values need, called again, with other values put in their place.
//!
//! ```text
//! y = tanh(w·x),  given {w: v}   ──►   y' = tanh(v·x')
//! ```
//!
//! Copies, substitution, bodies put in line and recomputation are all this. A random op replays its
//! key, so it draws the same numbers again.

use std::collections::{HashMap, HashSet};
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use super::Graph;
use super::context::{ContextId, Emit};
use super::fault::{Fault, Ill};
use super::place::{Line, Module, Place};
use super::records::{Inputs, NodeId, Part, Records, ValueId};
use crate::ops::{Identity, Op};
use crate::tensor::Tensor;
use crate::types::{Bindings, Dim, Type};

/// Calls the operations that `outputs` need again, in `into`, with the values of `given` in place of
/// those of the same number. The result says what stands for each value: the given ones, and every
/// value that was computed anew.
///
/// Each new node keeps the place and part of the old one, and its name where that is free. A name of
/// a dimension that a given value fixes (`B` where f32[B, 3] becomes f32[5, 3]) is replaced by the
/// size. An input that is not given becomes an input of its own. Nothing is recursive: the depth of
/// the graph does not matter.
///
/// `records` must not be borrowed from `into`; a [`Cutting`] needs no borrow while it is replayed.
#[track_caller]
pub fn replay(
    records: &Records,
    outputs: &[ValueId],
    given: &HashMap<ValueId, Tensor>,
    into: ContextId,
) -> HashMap<ValueId, Tensor> {
    Cutting::new(records, outputs, given).replay(given, into)
}

/// The nodes that some values need, taken out of their records.
pub struct Cutting {
    nodes: Vec<Piece>,
    outputs: Vec<ValueId>,
    /// The types that the given values have in the records.
    given: HashMap<ValueId, Type>,
    modules: HashMap<u32, Module>,
    files: HashMap<u32, String>,
    assumptions: Vec<(String, Dim)>,
}

/// One node with what the records know of it.
struct Piece {
    op: Op,
    inputs: Inputs,
    first: ValueId,
    names: Vec<(ValueId, Arc<str>)>,
    place: Place,
    part: Part,
    fault: Option<Fault>,
}

impl Cutting {
    /// The nodes that `outputs` need when the values of `given` need not be computed.
    pub fn new(records: &Records, outputs: &[ValueId], given: &HashMap<ValueId, Tensor>) -> Cutting {
        let mut cutting = Cutting {
            nodes: Vec::new(),
            outputs: outputs.to_vec(),
            given: given.keys().filter_map(|&value| Some((value, records.ty(value)?))).collect(),
            modules: HashMap::new(),
            files: HashMap::new(),
            assumptions: records.assumptions().to_vec(),
        };
        for id in needed(records, outputs, |value| given.contains_key(&value)) {
            cutting.take(records, id);
        }
        cutting
    }

    fn take(&mut self, records: &Records, id: NodeId) {
        let node = records.node(id);
        if let Some(module) = records.module(node.place.module) {
            self.modules.entry(node.place.module).or_insert_with(|| module.clone());
        }
        if let Line::File { file, .. } = node.place.line
            && let Some(name) = records.file(file)
        {
            self.files.entry(file).or_insert_with(|| name.to_string());
        }
        let named = node.outputs().filter_map(|value| Some((value, records.name(value)?.clone())));
        self.nodes.push(Piece {
            op: node.op.clone(),
            inputs: node.inputs.clone(),
            first: node.first,
            names: named.collect(),
            place: node.place,
            part: node.part,
            fault: records.fault_of(id).cloned(),
        });
    }

    /// Calls the operations in `into`; see [`replay`].
    #[track_caller]
    pub fn replay(self, given: &HashMap<ValueId, Tensor>, into: ContextId) -> HashMap<ValueId, Tensor> {
        let mut map = given.clone();
        let Some(home) = into.innermost().get() else {
            // Handles of a context that is no more: whoever reads them is told.
            map.extend(self.outputs.iter().map(|&output| (output, Tensor::new(into, output))));
            return map;
        };
        let line = Line::Code(Location::caller());
        let mut local: HashMap<ValueId, ValueId> =
            given.iter().map(|(&value, &tensor)| (value, bring(&home, tensor, line))).collect();
        let sizes = self.sizes(given);
        let places = self.places(&home);
        for piece in self.nodes {
            let inputs: Inputs = piece.inputs.iter().map(|input| local[input]).collect();
            let op = match sizes.is_empty() {
                true => piece.op,
                // A name that nothing fixes stays a name.
                false => piece.op.bind(&sizes).ok().flatten().unwrap_or(piece.op),
            };
            let first = match op {
                Op::Missing(_) => home.missing(),
                op => {
                    let part = match home.cursor().get().origin {
                        Some(_) if piece.part == Part::Forward => Part::Gradient,
                        _ => piece.part,
                    };
                    let first = home.emit(op, inputs, &places.of(piece.place), part).first;
                    let mut records = home.records().borrow_mut();
                    let node = records.last_node();
                    if records.ty(first).is_none()
                        && records.fault_of(node).is_none()
                        && let Some(fault) = piece.fault
                    {
                        records.poison(node, fault);
                    }
                    first
                }
            };
            let mut records = home.records().borrow_mut();
            let n_outputs = records.node(records.producer(first)).n_outputs;
            for idx in 0..n_outputs {
                // A given output of a node that is needed for another output stays the given one.
                local.entry(piece.first + idx).or_insert(first + idx);
                map.entry(piece.first + idx).or_insert(Tensor::new(home.id(), first + idx));
            }
            for (value, name) in piece.names {
                if records.by_name(&name).is_none() {
                    records.set_name(first + (value - piece.first), &name).expect("the name is free");
                }
            }
        }
        map
    }

    /// The sizes that the given values fix.
    fn sizes(&self, given: &HashMap<ValueId, Tensor>) -> Bindings {
        let mut sizes = Bindings::new();
        for (value, before) in &self.given {
            let Some(after) = given.get(value).and_then(|tensor| tensor.shape()) else { continue };
            for (before, after) in before.shape.iter().zip(after.iter()) {
                if let (Some(name), Some(size)) = (before.as_name(), after.size()) {
                    sizes.insert(name.to_string(), size);
                }
            }
        }
        sizes
    }

    /// The modules, files and assumptions, written into the records of `home`.
    fn places(&self, home: &Rc<dyn Emit>) -> Places {
        let mut records = home.records().borrow_mut();
        for (name, dim) in &self.assumptions {
            if !records.assumptions().iter().any(|(known, by)| known == name && by == dim) {
                records.assume(name, *dim);
            }
        }
        let modules =
            self.modules.iter().map(|(&id, module)| (id, records.add_module(module.clone()))).collect();
        let files = self.files.iter().map(|(&id, name)| (id, records.add_file(name))).collect();
        Places { modules, files }
    }
}

/// Modules and files: their numbers in the old records and in the new.
struct Places {
    modules: HashMap<u32, u32>,
    files: HashMap<u32, u32>,
}

impl Places {
    fn of(&self, place: Place) -> Place {
        let line = match place.line {
            Line::File { file, line } => {
                Line::File { file: self.files.get(&file).copied().unwrap_or(file), line }
            }
            code => code,
        };
        Place { line, module: self.modules.get(&place.module).copied().unwrap_or(0) }
    }
}

/// The number of `tensor` in the records of `home`.
fn bring(home: &Rc<dyn Emit>, tensor: Tensor, line: Line) -> ValueId {
    if tensor.context() == home.id() {
        tensor.id()
    } else if tensor.context().encloses(home.id()) {
        home.capture(tensor)
    } else {
        // Stale or foreign: the call writes the fault that says so.
        home.id().emit(Identity.into(), &[tensor], line).one().id()
    }
}

/// The nodes that `outputs` need, in order, where values for which `is_given` holds need nothing.
pub fn needed(records: &Records, outputs: &[ValueId], is_given: impl Fn(ValueId) -> bool) -> Vec<NodeId> {
    let mut seen = HashSet::new();
    let mut stack: Vec<ValueId> = outputs.to_vec();
    while let Some(value) = stack.pop() {
        if !is_given(value) && seen.insert(records.producer(value)) {
            stack.extend(&records.node(records.producer(value)).inputs);
        }
    }
    let mut nodes: Vec<NodeId> = seen.into_iter().collect();
    nodes.sort_unstable();
    nodes
}

/// `outputs` with every `old` value replaced by its `new` one: what Theano calls `clone(replace=...)`.
///
/// Only what depends on an old value is computed anew, beside the original, which stays as it is. The
/// types of `old` and `new` must agree: where they do not, the results are ill.
///
/// ```
/// use backprop_core::Graph;
/// use backprop_core::graph::replay::substitute;
/// let g = Graph::new();
/// let (x, w) = (g.input("x", "f64[]"), g.input("w", "f64[]"));
/// let y = (w * x).tanh();
/// let at_square = substitute(&[y], &[(x, x * x)])[0];
/// assert!(g.check(&[at_square]).is_ok() && !at_square.is(y));
/// ```
#[track_caller]
pub fn substitute(outputs: &[Tensor], replacements: &[(Tensor, Tensor)]) -> Vec<Tensor> {
    let Some(&first) = outputs.first() else { return Vec::new() };
    let home = first.context();
    let mut given = match replaced(home, outputs, replacements) {
        Ok(given) => given,
        Err(rule) => return vec![first.ill("substitute", Ill::new(rule)); outputs.len()],
    };
    let Some(cutting) = first.with_records(|records| {
        let ids: Vec<ValueId> = outputs.iter().map(|output| output.id()).collect();
        // What does not depend on an old value stands for itself.
        keep_independent(records, &ids, home, &mut given);
        Cutting::new(records, &ids, &given)
    }) else {
        return outputs.to_vec();
    };
    let map = cutting.replay(&given, home);
    outputs.iter().map(|output| map[&output.id()]).collect()
}

/// The new value of each old one, or why they cannot be replaced.
fn replaced(
    home: ContextId,
    outputs: &[Tensor],
    replacements: &[(Tensor, Tensor)],
) -> Result<HashMap<ValueId, Tensor>, String> {
    if outputs.iter().any(|output| output.context() != home) {
        return Err("the outputs belong to different graphs or tapes".to_string());
    }
    let mut given = HashMap::new();
    for &(old, new) in replacements {
        if old.context() != home {
            return Err("a value to replace belongs to another graph or tape".to_string());
        }
        if let (Some(was), Some(is)) = (old.ty(), new.ty())
            && was != is
        {
            return Err(format!("{old:?} cannot be replaced by {new:?}: the types differ"));
        }
        if given.insert(old.id(), new).is_some() {
            return Err(format!("{old:?} is replaced twice"));
        }
    }
    Ok(given)
}

/// Adds every value that does not depend on a given one, with itself.
fn keep_independent(
    records: &Records,
    outputs: &[ValueId],
    home: ContextId,
    given: &mut HashMap<ValueId, Tensor>,
) {
    let replaced: HashSet<ValueId> = given.keys().copied().collect();
    let mut depends = HashSet::new();
    for id in needed(records, outputs, |value| replaced.contains(&value)) {
        let node = records.node(id);
        if node.inputs.iter().any(|input| replaced.contains(input) || depends.contains(input)) {
            depends.extend(node.outputs());
        } else {
            for output in node.outputs() {
                given.entry(output).or_insert(Tensor::new(home, output));
            }
        }
    }
}

impl Graph {
    /// A copy of the whole graph, and where each handle of this graph is in the copy. Nodes, names,
    /// places and faults are the same; what is called on one afterwards does not touch the other.
    ///
    /// ```
    /// use backprop_core::Graph;
    /// let g = Graph::new();
    /// let y = g.input("x", "f64[]").tanh();
    /// let (copy, in_copy) = g.duplicate();
    /// let z = in_copy(y) + 1.0;
    /// assert_eq!((g.records().n_nodes(), copy.records().n_nodes()), (2, 4));
    /// # let _ = z;
    /// ```
    pub fn duplicate(&self) -> (Graph, impl Fn(Tensor) -> Tensor + use<>) {
        let copy = Graph::from_records((*self.records()).clone());
        copy.context.streams.replace(self.context.streams.borrow().clone());
        let (old, new) = (self.id(), copy.id());
        let in_copy = move |tensor: Tensor| match tensor.context() == old {
            true => Tensor::new(new, tensor.id()),
            // Used in the copy, a handle from elsewhere is a fault there.
            false => tensor,
        };
        (copy, in_copy)
    }
}

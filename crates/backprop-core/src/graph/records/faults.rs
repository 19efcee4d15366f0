//! What is wrong with nodes, in words.

use std::collections::{BTreeMap, HashSet};

use super::{Node, NodeId, Records, ValueId};
use crate::graph::fault::{Error, Fault, Ill, Operand};
use crate::graph::place::Place;
use crate::ops::Op;

impl Records {
    /// Marks a node's outputs as ill because of `fault` (a fault in data, or in a handle).
    pub fn poison(&mut self, node: NodeId, fault: Fault) {
        for output in self.nodes[node as usize].outputs() {
            self.values[output as usize].set_ty(None);
        }
        self.faults.insert(node, fault);
    }

    /// Marks a node's outputs as ill: its data break a rule.
    pub fn fault(&mut self, node: NodeId, ill: Ill) {
        let fault = self.describe_node(node, ill);
        self.poison(node, fault);
    }

    /// The error of a node whose data break a rule.
    pub fn faulted(&self, node: NodeId, ill: Ill) -> Error {
        self.describe_node(node, ill).into()
    }

    /// The fault of a node that breaks a rule.
    pub(crate) fn describe_node(&self, node: NodeId, ill: Ill) -> Fault {
        let Node { op, inputs, place, .. } = self.node(node);
        self.describe(op, inputs, *place, ill)
    }

    /// Every fault that `values` depend on.
    ///
    /// # Errors
    /// There is one.
    pub fn check(&self, values: impl IntoIterator<Item = ValueId>) -> Result<(), Error> {
        let ill: Vec<ValueId> = values.into_iter().filter(|&value| self.ty(value).is_none()).collect();
        if ill.is_empty() {
            return Ok(());
        }
        let mut faults = self.faults_of(ill);
        if faults.is_empty() {
            faults.push(Fault::new("check", "the value depends on an ill operand of a surrounding context"));
        }
        Err(Error::new(faults))
    }

    /// Every fault that `values` depend on, those inside bodies included, in the order of the calls.
    pub fn faults_of(&self, values: impl IntoIterator<Item = ValueId>) -> Vec<Fault> {
        let mut stack: Vec<ValueId> = values.into_iter().filter(|&value| self.ty(value).is_none()).collect();
        let mut seen = HashSet::new();
        let mut found: BTreeMap<NodeId, Vec<Fault>> = BTreeMap::new();
        while let Some(value) = stack.pop() {
            let id = self.producer(value);
            if !seen.insert(id) {
                continue;
            }
            let node = self.node(id);
            let inner = node.op.rule().bodies().into_iter().flat_map(|body| body.faults());
            found.insert(id, self.faults.get(&id).cloned().into_iter().chain(inner).collect());
            stack.extend(node.inputs.iter().filter(|&&input| self.ty(input).is_none()));
        }
        found.into_values().flatten().collect()
    }

    /// Every fault with its node, reachable or not.
    pub fn faults(&self) -> impl Iterator<Item = (NodeId, &Fault)> {
        self.faults.iter().map(|(&node, fault)| (node, fault))
    }

    /// What is wrong with this node itself.
    pub fn fault_of(&self, node: NodeId) -> Option<&Fault> {
        self.faults.get(&node)
    }

    pub(super) fn describe(&self, op: &Op, inputs: &[ValueId], place: Place, ill: Ill) -> Fault {
        let operands = inputs
            .iter()
            .enumerate()
            .map(|(idx, &input)| {
                let notes: Vec<&str> =
                    ill.notes.iter().filter(|(at, _)| *at == idx).map(|(_, note)| note.as_str()).collect();
                Operand {
                    role: op.role(idx, inputs.len()),
                    name: self.label(input),
                    ty: self.ty(input).map_or_else(|| "?".to_string(), |ty| ty.to_string()),
                    note: notes.join("; "),
                    made_at: Some(self.place(self.node(self.producer(input)).place)),
                }
            })
            .collect();
        Fault {
            op: ill.called.unwrap_or(op.name()).to_string(),
            rule: ill.rule,
            operands,
            place: Some(self.place(place)),
            hint: ill.hint,
        }
    }
}

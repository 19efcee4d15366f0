//! The records of a context: every operation that was called, in order.
//!
//! Graphs, bodies and tapes all keep their operations here, so differentiation, printing, checking
//! and execution read one structure. Records are plain data: `Send + Sync`, without handles.

mod cell;
mod faults;
mod names;
mod node;
mod pending;
mod places;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::fault::Fault;
use super::place::Module;
use crate::types::{Dim, Type};

pub use cell::RecordsCell;
pub(crate) use node::Value;
pub use node::{Inputs, Node, NodeId, Part, ValueId};
pub use pending::Pending;

/// Operations in the order of their calls, which is a topological order, and what is known of them.
///
/// [`verify`](crate::verify) numbers and checks what must hold between the fields; it and the text
/// form read them directly.
#[derive(Clone, Debug, Default)]
pub struct Records {
    pub(crate) nodes: Vec<Node>,
    pub(crate) values: Vec<Value>,
    pub(crate) names: BTreeMap<ValueId, Arc<str>>,
    pub(crate) by_name: HashMap<Arc<str>, ValueId>,
    pub(crate) faults: BTreeMap<NodeId, Fault>,
    pub(crate) modules: Vec<Module>,
    pub(crate) files: Vec<Arc<str>>,
    pub(crate) assumptions: Vec<(String, Dim)>,
    /// For each assumption, the first node that it holds for.
    pub(crate) assumed_from: Vec<NodeId>,
    /// Values whose names are lent.
    pub(crate) lent: BTreeSet<ValueId>,
}

impl Records {
    /// Empty records for a body within these: the same layers, files and assumptions.
    pub fn within(&self) -> Records {
        Records {
            modules: self.modules.clone(),
            files: self.files.clone(),
            assumptions: self.assumptions.clone(),
            assumed_from: vec![0; self.assumptions.len()],
            ..Records::default()
        }
    }

    /// The number of nodes.
    pub fn n_nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The number of values.
    pub fn n_values(&self) -> usize {
        self.values.len()
    }

    /// A node.
    #[inline]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    /// The node that was recorded last.
    ///
    /// # Panics
    /// There is none.
    pub fn last_node(&self) -> NodeId {
        self.nodes.len().checked_sub(1).expect("an operation was recorded") as NodeId
    }

    /// All nodes, in topological order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node that computes `value`.
    pub fn producer(&self, value: ValueId) -> NodeId {
        self.values[value as usize].node
    }

    /// The type of `value`; `None` when it is ill.
    #[inline]
    pub fn ty(&self, value: ValueId) -> Option<Type> {
        self.values[value as usize].ty()
    }

    /// Forgets every node from `n_nodes` on.
    pub fn truncate(&mut self, n_nodes: usize) {
        let Some(first) = self.nodes.get(n_nodes).map(|node| node.first) else { return };
        self.nodes.truncate(n_nodes);
        self.values.truncate(first as usize);
        if !self.faults.is_empty() {
            self.faults.split_off(&(n_nodes as NodeId));
        }
        if !self.names.is_empty() {
            for name in self.names.split_off(&first).values() {
                self.by_name.remove(name);
            }
        }
    }

    /// Keeps the nodes for which `kept` holds, in their order, and says where each value went:
    /// [`ValueId::MAX`] for one that is gone. Works in place, for graphs that fill the memory.
    ///
    /// # Panics
    /// A node that is kept reads a value of one that is not.
    pub fn retain(&mut self, kept: &[bool]) -> Vec<ValueId> {
        const GONE: ValueId = ValueId::MAX;
        let mut moved = vec![GONE; self.values.len()];
        let mut nodes: Vec<NodeId> = vec![NodeId::MAX; self.nodes.len()];
        let (mut id, mut n_nodes, mut n_values) = (0, 0, 0);
        self.nodes.retain_mut(|node| {
            let is_kept = kept[id];
            if is_kept {
                nodes[id] = n_nodes;
                for (at, value) in node.outputs().enumerate() {
                    moved[value as usize] = n_values + at as ValueId;
                }
                for input in &mut node.inputs {
                    *input = moved[*input as usize];
                    assert_ne!(*input, GONE, "{} reads a value that is not kept", node.op.name());
                }
                node.first = n_values;
                n_nodes += 1;
                n_values += node.n_outputs;
            }
            id += 1;
            is_kept
        });
        self.values.retain_mut(|value| {
            value.node = nodes[value.node as usize];
            value.node != NodeId::MAX
        });
        self.nodes.shrink_to_fit();
        self.values.shrink_to_fit();
        // The first node that is kept from there on.
        for from in &mut self.assumed_from {
            *from = kept[..(*from as usize).min(kept.len())].iter().filter(|&&kept| kept).count() as NodeId;
        }
        let to = |value: ValueId| Some(moved[value as usize]).filter(|&value| value != GONE);
        self.names = std::mem::take(&mut self.names)
            .into_iter()
            .filter_map(|(v, name)| Some((to(v)?, name)))
            .collect();
        self.by_name.retain(|_, value| match to(*value) {
            Some(new) => {
                *value = new;
                true
            }
            None => false,
        });
        self.lent = std::mem::take(&mut self.lent).into_iter().filter_map(to).collect();
        let faults = std::mem::take(&mut self.faults).into_iter();
        self.faults = faults
            .map(|(node, fault)| (nodes[node as usize], fault))
            .filter(|&(node, _)| node != NodeId::MAX)
            .collect();
        moved
    }
}

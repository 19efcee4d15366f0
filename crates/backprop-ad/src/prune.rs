//! G': the nodes that are ancestors of z and depend smoothly on a target.

use backprop_core::graph::records::{NodeId, Records, ValueId};
pub(crate) use backprop_core::graph::smooth::{cut, flat};

/// The pruned graph between targets and outputs.
///
/// Finding it costs a visit for each ancestor of the outputs, back to the first target; what else
/// stands in the records costs nothing, so many gradients on one tape cost no more each.
#[derive(Default)]
pub(crate) struct Pruned {
    /// The ancestors of the outputs, the first target's node and later ones, in order.
    nodes: Vec<NodeId>,
    positions: Positions,
    /// By position: depends smoothly on a target.
    active: Vec<bool>,
    /// By position: is an output or an ancestor of one.
    ancestor: Vec<bool>,
    /// How often a node was looked at.
    pub visits: usize,
}

impl Pruned {
    /// G' for these outputs and targets.
    pub fn new(records: &Records, outputs: &[ValueId], targets: &[ValueId]) -> Pruned {
        let mut pruned = Pruned::default();
        let Some(first) = targets.iter().map(|&value| records.producer(value)).min() else { return pruned };
        pruned.positions.base = records.node(first).first;
        let mut stack = outputs.to_vec();
        while let Some(value) = stack.pop() {
            let id = records.producer(value);
            if id < first {
                continue;
            }
            if pruned.positions.get(value).is_none() {
                let node = records.node(id);
                for output in node.outputs() {
                    pruned.positions.set(output, pruned.ancestor.len());
                    pruned.ancestor.push(false);
                }
                pruned.nodes.push(id);
                pruned.visits += 1;
                stack.extend(&node.inputs);
            }
            if let Some(at) = pruned.index(value) {
                pruned.ancestor[at] = true;
            }
        }
        pruned.nodes.sort_unstable();
        pruned.active = vec![false; pruned.ancestor.len()];
        for &target in targets {
            if records.ty(target).is_none_or(|ty| ty.dtype.is_float()) {
                pruned.mark_active(target);
            }
        }
        for position in 0..pruned.nodes.len() {
            pruned.visits += 1;
            let id = pruned.nodes[position];
            let node = records.node(id);
            let passes = |(slot, &input): (usize, &ValueId)| {
                pruned.is_active(input) && cut(records, id, slot).is_none()
            };
            if node.inputs.iter().enumerate().any(passes) {
                node.outputs().for_each(|output| pruned.mark_active(output));
            }
        }
        pruned
    }

    /// The nodes to walk, in order: every ancestor of the outputs from the first target on.
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// Whether a cotangent of `value` is worth computing.
    pub fn contains(&self, value: ValueId) -> bool {
        self.index(value).is_some_and(|at| self.active[at] && self.ancestor[at])
    }

    /// Whether `value` is an output or an ancestor of one.
    pub fn is_ancestor(&self, value: ValueId) -> bool {
        self.index(value).is_some_and(|at| self.ancestor[at])
    }

    /// The position of `value` in tables over G'.
    pub fn index(&self, value: ValueId) -> Option<usize> {
        self.positions.get(value)
    }

    /// The number of values that a table over G' needs.
    pub fn n_values(&self) -> usize {
        self.active.len()
    }

    fn is_active(&self, value: ValueId) -> bool {
        self.index(value).is_some_and(|at| self.active[at])
    }

    fn mark_active(&mut self, value: ValueId) {
        if let Some(at) = self.index(value) {
            self.active[at] = true;
        }
    }
}

/// A table from values to positions, whose pages are made where something stands: as quick as a list
/// over all values, without the cost of one.
#[derive(Default)]
struct Positions {
    /// The first value that may stand here.
    base: ValueId,
    /// For each run of [`PAGE`] values, the number of its page and one; 0 for none.
    pages: Vec<u32>,
    /// Positions and one; 0 for none.
    entries: Vec<[u32; PAGE]>,
}

const PAGE: usize = 64;

impl Positions {
    fn get(&self, value: ValueId) -> Option<usize> {
        let at = value.checked_sub(self.base)? as usize;
        let page = self.pages.get(at / PAGE)?.checked_sub(1)?;
        Some(self.entries[page as usize][at % PAGE].checked_sub(1)? as usize)
    }

    fn set(&mut self, value: ValueId, position: usize) {
        let at = (value - self.base) as usize;
        if at / PAGE >= self.pages.len() {
            self.pages.resize(at / PAGE + 1, 0);
        }
        let page = &mut self.pages[at / PAGE];
        if *page == 0 {
            self.entries.push([0; PAGE]);
            *page = self.entries.len() as u32;
        }
        self.entries[*page as usize - 1][at % PAGE] = position as u32 + 1;
    }
}

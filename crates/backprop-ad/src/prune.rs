//! G': the nodes that are ancestors of z and depend smoothly on a target.

use backprop_core::graph::records::{NodeId, Records, ValueId};
pub(crate) use backprop_core::graph::smooth::{cut, flat};

/// The pruned graph between targets and outputs.
pub(crate) struct Pruned {
    /// The first node that can matter.
    pub first: NodeId,
    /// One past the last node that can matter.
    pub end: NodeId,
    base: ValueId,
    /// Depends smoothly on a target.
    active: Vec<bool>,
    /// Is an output or an ancestor of one.
    ancestor: Vec<bool>,
    /// How often a node was looked at.
    pub visits: usize,
}

impl Pruned {
    /// G' for these outputs and targets. Visits each node between them twice.
    pub fn new(records: &Records, outputs: &[ValueId], targets: &[ValueId]) -> Pruned {
        let first = targets.iter().map(|&value| records.producer(value)).min().unwrap_or(0);
        let end = outputs.iter().map(|&value| records.producer(value) + 1).max().unwrap_or(first).max(first);
        let base = if first < end { records.node(first).first } else { 0 };
        let top = if first < end { records.node(end - 1).outputs().end } else { 0 };
        let n = (top - base) as usize;
        let mut pruned =
            Pruned { first, end, base, active: vec![false; n], ancestor: vec![false; n], visits: 0 };
        for &target in targets {
            if records.ty(target).is_none_or(|ty| ty.dtype.is_float()) {
                pruned.mark_active(target);
            }
        }
        for id in first..end {
            pruned.visits += 1;
            let node = records.node(id);
            let passes = |(slot, &input): (usize, &ValueId)| {
                pruned.is_active(input) && cut(records, id, slot).is_none()
            };
            if node.inputs.iter().enumerate().any(passes) {
                node.outputs().for_each(|output| pruned.mark_active(output));
            }
        }
        for &output in outputs {
            pruned.mark_ancestor(output);
        }
        for id in (first..end).rev() {
            pruned.visits += 1;
            let node = records.node(id);
            if node.outputs().any(|output| pruned.is_ancestor(output)) {
                node.inputs.iter().for_each(|&input| pruned.mark_ancestor(input));
            }
        }
        pruned
    }

    /// Whether a cotangent of `value` is worth computing.
    pub fn contains(&self, value: ValueId) -> bool {
        self.is_active(value) && self.is_ancestor(value)
    }

    /// Whether `value` is an output or an ancestor of one.
    pub fn is_ancestor(&self, value: ValueId) -> bool {
        self.index(value).is_some_and(|at| self.ancestor[at])
    }

    /// The position of `value` in tables over G'.
    pub fn index(&self, value: ValueId) -> Option<usize> {
        let at = value.checked_sub(self.base)? as usize;
        (at < self.active.len()).then_some(at)
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

    fn mark_ancestor(&mut self, value: ValueId) {
        if let Some(at) = self.index(value) {
            self.ancestor[at] = true;
        }
    }
}

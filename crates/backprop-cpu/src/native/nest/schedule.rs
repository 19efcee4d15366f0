//! The order of nodes, and when each value is needed next.

use smallvec::SmallVec;

use super::registers::{LATER, NEVER};
use super::vector::{Kind, Node, Value, VectorCode};

/// Nodes in order, and when each operand is needed again.
pub struct Schedule {
    pub(super) nodes: Vec<Value>,
    /// For each node and operand, the node that needs the operand next.
    pub(super) after: Vec<SmallVec<[u32; 3]>>,
    /// For each value, the first node that needs it.
    pub(super) first: Vec<u32>,
    /// How many copies of the code stand side by side.
    pub(super) n_copies: usize,
    /// For each node in order, of which copy it is.
    pub(super) copies: Vec<u8>,
}

impl Schedule {
    /// Of nodes; `is_kept` says whether a value is needed afterwards.
    pub fn new(code: &VectorCode, nodes: Vec<Value>, is_kept: impl Fn(Value) -> bool) -> Schedule {
        let copies = vec![0; nodes.len()];
        Schedule::of_copies(code, nodes, copies, is_kept)
    }

    /// The same of copies of code; `copies` says of which copy each node is.
    pub fn of_copies(
        code: &VectorCode,
        nodes: Vec<Value>,
        copies: Vec<u8>,
        is_kept: impl Fn(Value) -> bool,
    ) -> Schedule {
        let n_copies = copies.iter().max().map_or(1, |&last| usize::from(last) + 1);
        let n_values = code.nodes.len() as Value;
        let mut first: Vec<u32> =
            (0..n_values).map(|value| if is_kept(value) { LATER } else { NEVER }).collect();
        let mut after = vec![SmallVec::new(); nodes.len()];
        for (position, &node) in nodes.iter().enumerate().rev() {
            let operands = &code.nodes[node as usize].operands;
            after[position] = operands.iter().map(|&operand| first[operand as usize]).collect();
            operands.iter().for_each(|&operand| first[operand as usize] = position as u32);
        }
        Schedule { nodes, after, first, n_copies, copies }
    }

    /// How many values of vectors, and of masks, lie in registers at once; those from outside not counted.
    pub fn pressure(&self, code: &VectorCode) -> [usize; 2] {
        let mut last = vec![0; code.nodes.len()];
        for (position, &node) in self.nodes.iter().enumerate() {
            code.nodes[node as usize].operands.iter().for_each(|&operand| last[operand as usize] = position);
        }
        let (mut live, mut most) = ([0usize; 2], [0; 2]);
        let mut is_inside = vec![false; code.nodes.len()];
        for (position, &node) in self.nodes.iter().enumerate() {
            is_inside[node as usize] = true;
            let Node { kind, operands, .. } = &code.nodes[node as usize];
            live[usize::from(*kind == Kind::Mask)] += 1;
            most = [most[0].max(live[0]), most[1].max(live[1])];
            let mut dying: SmallVec<[Value; 4]> = operands.iter().copied().collect();
            dying.sort_unstable();
            dying.dedup();
            for operand in dying {
                if is_inside[operand as usize] && last[operand as usize] == position {
                    live[usize::from(code.kind(operand) == Kind::Mask)] -= 1;
                }
            }
            if self.first[node as usize] == NEVER {
                live[usize::from(*kind == Kind::Mask)] -= 1;
            }
        }
        most
    }
}

//! Seeded bugs: what a compiler, a kernel or a rule could get wrong, built into the graph that is run.
//! The comparison must find each of them; that it finds nothing else says something only then.

mod list;

use backprop_core::graph::records::{Inputs, ValueId};
use backprop_core::graph::replay::needed;
use backprop_core::ops::{Concat, Full, Reshape, Slice};
use backprop_core::{Dim, Dims, Node, NodeId, Op, Records, Shape, Type};

use super::case::Case;
use super::dice::Dice;

pub use list::{BUGS, HARMLESS};

/// A bug: a node that has it is computed by other nodes.
pub struct Bug {
    /// What is wrong.
    pub name: &'static str,
    /// Whether a node can have it.
    applies: fn(&Records, &Node) -> bool,
    /// Writes the wrong nodes; what stands for the node's first output.
    write: fn(&mut Copy, &At) -> ValueId,
}

/// A node to be written anew.
struct At<'a> {
    records: &'a Records,
    node: &'a Node,
    /// Its operands in the copy.
    x: &'a [ValueId],
}

impl Bug {
    /// The case with the bug in one of the nodes that its outputs need; `None` where none can have it.
    pub fn seeded(&self, case: &Case) -> Option<Case> {
        let records = &case.records;
        let mut able = needed(records, &case.outputs, |_| false);
        able.retain(|&id| (self.applies)(records, records.node(id)));
        if able.is_empty() {
            return None;
        }
        let chosen = able[Dice::new(case.seed).below(able.len())];
        let mut copy = Copy { records: records.within(), map: Vec::new() };
        for (id, node) in records.nodes().iter().enumerate() {
            let x: Vec<ValueId> = node.inputs.iter().map(|&input| copy.map[input as usize]).collect();
            let first = match id as NodeId == chosen {
                true => (self.write)(&mut copy, &At { records, node, x: &x }),
                false => copy.push(node, node.op.clone(), &x),
            };
            copy.map.extend((0..node.n_outputs).map(|at| first + at));
        }
        let moved = |value: ValueId| copy.map[value as usize];
        Some(Case {
            outputs: case.outputs.iter().map(|&output| moved(output)).collect(),
            runs: case
                .runs
                .iter()
                .map(|run| run.iter().map(|(x, array)| (moved(*x), array.clone())).collect())
                .collect(),
            records: copy.records,
            ..*case
        })
    }
}

/// Records that are copied node by node.
struct Copy {
    records: Records,
    /// For each value of the original, what stands for it.
    map: Vec<ValueId>,
}

impl Copy {
    /// One more node, where `node` was called; its first output.
    fn push(&mut self, node: &Node, op: impl Into<Op>, x: &[ValueId]) -> ValueId {
        let id = self.records.push(op.into(), Inputs::from_slice(x), node.place, node.part);
        self.records.node(id).first
    }

    fn ty(&self, value: ValueId) -> Type {
        self.records.ty(value).expect("a seeded bug is well-typed")
    }

    /// All elements equal, of the type of `like`.
    fn full(&mut self, node: &Node, like: ValueId, value: i64) -> ValueId {
        let full = Full::new(self.ty(like), value).expect("the type holds it");
        self.push(node, full, &[])
    }

    fn reshaped(&mut self, node: &Node, x: ValueId, shape: Shape) -> ValueId {
        self.push(node, Reshape { shape }, &[x])
    }

    /// Elements `start..stop` along one axis.
    fn part(&mut self, node: &Node, x: ValueId, axis: usize, start: Dim, stop: Dim) -> ValueId {
        let shape = self.ty(x).shape;
        let on = |own: usize, chosen: Dim, other: Dim| if own == axis { chosen } else { other };
        let axes = 0..shape.rank();
        let first: Dims = axes.clone().map(|own| on(own, start, Dim::Size(0))).collect();
        let last: Dims = axes.clone().map(|own| on(own, stop, shape[own])).collect();
        let step = axes.map(|_| Dim::Size(1)).collect();
        self.push(node, Slice { start: first, stop: last, step }, &[x])
    }

    /// Axis `axis`, of n elements, in reverse order.
    fn reversed(&mut self, node: &Node, x: ValueId, axis: usize, n: usize) -> ValueId {
        let row = |copy: &mut Copy, at: usize| copy.part(node, x, axis, Dim::Size(at), Dim::Size(at + 1));
        let rows: Vec<ValueId> = (0..n).rev().map(|at| row(self, at)).collect();
        self.push(node, Concat { axis }, &rows)
    }
}

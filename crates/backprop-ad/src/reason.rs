//! Why a gradient is zero: said with the op and the line, never silent.

use std::collections::HashSet;
use std::fmt;

use backprop_core::graph::place::PlaceText;
use backprop_core::graph::records::{Records, ValueId};

use crate::prune::{Pruned, cut};

/// Why the gradient of a target is zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The result does not depend on the target at all.
    NotAncestor {
        /// What the target is called.
        target: String,
        /// Where it was made.
        place: PlaceText,
    },
    /// Every path from the target ends at an op that passes no derivative; the first such op.
    Cut {
        /// The name of the op.
        op: String,
        /// Why it passes none: `passes no gradient`, `piecewise constant`, ...
        why: String,
        /// Where it was called.
        place: PlaceText,
    },
    /// The target itself is of integers or truth values.
    NotFloat {
        /// What the target is called.
        target: String,
        /// Where it was made.
        place: PlaceText,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NotAncestor { target, place } => {
                write!(f, "the result does not depend on {target} ({place})")
            }
            Reason::Cut { op, why, place } => write!(f, "every path is cut; first by {op}: {why} ({place})"),
            Reason::NotFloat { target, place } => {
                write!(f, "{target} holds integers or truth values ({place})")
            }
        }
    }
}

impl std::error::Error for Reason {}

impl Reason {
    /// The result does not depend on `target`.
    pub(crate) fn not_ancestor(records: &Records, target: ValueId) -> Reason {
        let place = records.place(records.node(records.producer(target)).place);
        Reason::NotAncestor { target: records.label(target), place }
    }
}

/// Why `target` has no gradient.
pub(crate) fn find(records: &Records, pruned: &Pruned, target: ValueId) -> Reason {
    if records.ty(target).is_some_and(|ty| !ty.dtype.is_float()) {
        let place = records.place(records.node(records.producer(target)).place);
        return Reason::NotFloat { target: records.label(target), place };
    }
    if !pruned.is_ancestor(target) {
        return Reason::not_ancestor(records, target);
    }
    // Follow the smooth edges from the target; the first edge towards z that is cut is the reason.
    let mut reached = HashSet::from([target]);
    let from = pruned.nodes().partition_point(|&id| id < records.producer(target));
    for &id in &pruned.nodes()[from..] {
        let node = records.node(id);
        for slot in
            (0..node.inputs.len()).filter(|&slot| reached.contains(&node.inputs[slot])).collect::<Vec<_>>()
        {
            match cut(records, id, slot) {
                None => reached.extend(node.outputs()),
                Some(why) => {
                    let (op, place) = (node.op.name().to_string(), records.place(node.place));
                    return Reason::Cut { op, why: why.to_string(), place };
                }
            }
        }
    }
    Reason::not_ancestor(records, target)
}

//! Why a step begins where it does: for people (`backprop show --plan`).

use backprop_core::{NodeId, Shape};

/// A node that could not join the loops before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begins {
    /// The node.
    pub node: NodeId,
    /// A node of the loops that it could not join.
    pub beside: NodeId,
    /// Why not.
    pub why: Why,
}

/// Why a node could not join loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is a contraction, which heads a step.
    Contraction,
    /// It is a step by itself.
    Alone,
    /// What it would join is a step by itself.
    BesideAlone,
    /// There is no more room.
    Full,
    /// Its loops, and theirs.
    Loops(Shape, Shape),
    /// It folds, and they are those of a contraction, where nothing is folded.
    Folds,
    /// It folds axes across their rows and columns.
    Axes,
    /// It reads what a node of theirs has folded only when they have run.
    Unfinished(NodeId),
    /// It reads what a node of theirs computes in other iterations.
    Elsewhere(NodeId),
    /// It reads what a node of theirs computes once, for all that read it.
    Beforehand(NodeId),
    /// It looks up what they compute.
    LooksUp,
    /// It reads data whose axes do not follow one another as the rows and columns of theirs do.
    Strides,
}

impl Why {
    /// The reason; `step` is the one with the other loops, `label` names a node's values.
    pub fn words(self, step: &str, label: impl Fn(NodeId) -> String) -> String {
        match self {
            Why::Contraction => "a contraction heads a step".to_string(),
            Why::Alone => "it is a step by itself".to_string(),
            Why::BesideAlone => format!("{step} takes nothing along"),
            Why::Full => format!("{step} has no more room"),
            Why::Loops(own, other) => format!("its loops {own} differ from {other} of {step}"),
            Why::Folds => format!("it folds, and {step} is a contraction"),
            Why::Axes => format!("it folds axes across the rows and columns of {step}"),
            Why::Unfinished(node) => format!("it reads {}, which {step} has only when it ends", label(node)),
            Why::Elsewhere(node) => {
                format!("it reads {}, which {step} computes in other iterations", label(node))
            }
            Why::Beforehand(node) => {
                format!("it reads {}, which {step} computes once for all that read it", label(node))
            }
            Why::LooksUp => format!("it looks up what {step} computes"),
            Why::Strides => format!("it reads data that do not lie as the rows and columns of {step}"),
        }
    }
}

//! Leaves for what a program keeps between runs: the same call in both modes.

use std::panic::Location;

use backprop_core::graph::context::ContextId;
use backprop_core::graph::place::Line;
use backprop_core::ops::Input;
use backprop_core::{Array, Graph, Op, Tensor, Type};

use crate::Tape;

/// Where parameters can be bound: a graph, or a tape.
pub trait Bind {
    /// The number of its context.
    fn context(&self) -> ContextId;

    /// Whether values are computed at once.
    fn is_eager(&self) -> bool;

    /// A value that stands for `array`: on a tape the array itself, in a graph an input called
    /// `name` of the array's type, given anew in each run. A graph that has that input already
    /// hands it out again.
    fn leaf(&self, name: &str, array: &Array) -> Tensor;
}

impl Bind for Tape {
    fn context(&self) -> ContextId {
        self.id().innermost()
    }

    fn is_eager(&self) -> bool {
        true
    }

    #[track_caller]
    fn leaf(&self, _name: &str, array: &Array) -> Tensor {
        // Names cost more than the leaf, and a tape binds in every step.
        self.value(array.clone())
    }
}

impl Bind for Graph {
    fn context(&self) -> ContextId {
        self.id()
    }

    fn is_eager(&self) -> bool {
        false
    }

    #[track_caller]
    fn leaf(&self, name: &str, array: &Array) -> Tensor {
        let ty = Type::new(array.dtype(), array.sizes());
        let known = self
            .get(name)
            .filter(|known| known.ty() == Some(ty) && matches!(known.get_operation(), Some(Op::Input(_))));
        // A closure would hide the caller's line.
        match known {
            Some(known) => known,
            None => {
                self.id().emit(Input { ty }.into(), &[], Line::Code(Location::caller())).one().named(name)
            }
        }
    }
}

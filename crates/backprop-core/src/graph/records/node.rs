//! A node and its values: what a record holds.

use smallvec::SmallVec;

use crate::array::DType;
use crate::graph::context::Emitted;
use crate::graph::place::Place;
use crate::ops::Op;
use crate::types::{Shape, Type};

/// A value's number in its records.
pub type ValueId = u32;

/// A node's number in its records.
pub type NodeId = u32;

/// The values that an operation reads.
pub type Inputs = SmallVec<[ValueId; 4]>;

/// The part of a computation that a node belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Written by the user.
    Forward,
    /// Emitted by a derivative.
    Gradient,
    /// Computed under `no_grad`: a constant to derivatives.
    NoGrad,
}

/// One operation: what it computes, from what, where it was called.
#[derive(Clone, Debug)]
pub struct Node {
    /// The operation.
    pub op: Op,
    /// The values it reads; always made by earlier nodes.
    pub inputs: Inputs,
    /// Its first output; the others follow.
    pub first: ValueId,
    /// The number of outputs.
    pub n_outputs: u32,
    /// Where it was called.
    pub place: Place,
    /// Whether the user or a derivative called it.
    pub part: Part,
}

impl Node {
    /// The values that this operation computes.
    pub fn outputs(&self) -> std::ops::Range<ValueId> {
        self.first..self.first + self.n_outputs
    }

    pub(crate) fn emitted(&self) -> Emitted {
        Emitted { first: self.first, n: self.n_outputs }
    }
}

/// Of a value: the node that computes it and its type; `None` for a value that is ill. The parts of the type
/// stand by themselves, so that a value takes 16 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value {
    shape: Option<Shape>,
    pub node: NodeId,
    dtype: DType,
}

impl Value {
    #[inline(always)]
    pub fn new(node: NodeId, ty: Option<Type>) -> Value {
        let (shape, dtype) = ty.map_or((None, DType::F32), |ty| (Some(ty.shape), ty.dtype));
        Value { shape, node, dtype }
    }

    pub fn ty(self) -> Option<Type> {
        self.shape.map(|shape| Type { dtype: self.dtype, shape })
    }

    pub fn set_ty(&mut self, ty: Option<Type>) {
        *self = Value::new(self.node, ty);
    }
}

// A graph may have millions of each.
const _: () = assert!(size_of::<Value>() == 16 && size_of::<Node>() <= 96);

//! An operation on its way into the records: its rules say the types of its outputs, or what is wrong.

use std::iter::once_with;

use super::node::Value;
use super::{Inputs, Node, NodeId, Part, Records, ValueId};
use crate::graph::fault::{Fault, Ill};
use crate::graph::place::{Line, Place};
use crate::ops::{Op, Types};
use crate::types::Type;

/// An operation that is about to be recorded, and what its rules say of it.
///
/// The rules may be a user's ([`Op::Custom`]), and a user's code may panic or call operations. So they
/// are asked before the records are borrowed to be changed.
pub struct Pending {
    op: Op,
    inputs: Inputs,
    place: Place,
    part: Part,
    n_outputs: usize,
    types: Option<Inferred>,
    fault: Option<Box<Fault>>,
}

impl Pending {
    /// The operation.
    pub fn op(&self) -> &Op {
        &self.op
    }

    /// The values that it reads.
    pub fn inputs(&self) -> &[ValueId] {
        &self.inputs
    }

    /// The types of its outputs; `None` where it is ill.
    pub fn types(&self) -> Option<&[Type]> {
        self.types.as_ref().map(Inferred::types)
    }
}

/// The types of an operation's outputs.
pub(crate) enum Inferred {
    One(Type),
    Several(Types),
}

impl Inferred {
    pub(crate) fn types(&self) -> &[Type] {
        match self {
            Inferred::One(ty) => std::slice::from_ref(ty),
            Inferred::Several(types) => types,
        }
    }
}

impl Records {
    /// Records one operation with one output, whose type is known to be `ty`.
    #[inline]
    pub fn push_typed(&mut self, op: Op, inputs: Inputs, ty: Type, place: &Place, part: Part) -> ValueId {
        let (node, first) = (self.nodes.len() as NodeId, self.values.len() as ValueId);
        // Written where they stay: on the way over the stack, small stores would be read back as a large one, which
        // waits for all of them.
        self.values.extend(once_with(|| Value::new(node, Some(ty))));
        self.nodes.extend(once_with(|| Node { op, inputs, first, n_outputs: 1, place: *place, part }));
        first
    }

    /// Records one operation. An ill-typed one is recorded as well, with ill outputs and its fault.
    pub fn push(&mut self, op: Op, inputs: Inputs, place: Place, part: Part) -> NodeId {
        let pending = self.consider(op, inputs, place, part);
        self.record(pending)
    }

    /// Asks an operation's rules what would be recorded of it.
    pub fn consider(&self, op: Op, inputs: Inputs, place: Place, part: Part) -> Pending {
        let op = if self.assumptions.is_empty() { op } else { self.assumed_op(op) };
        let (types, fault) = match self.infer(&op, &inputs) {
            None => (None, None),
            Some(Ok(types)) => (Some(types), None),
            Some(Err(ill)) => (None, Some(Box::new(self.describe(&op, &inputs, place, ill)))),
        };
        let n_outputs = types.as_ref().map_or_else(|| op.n_outputs(), |types| types.types().len());
        Pending { op, inputs, place, part, n_outputs, types, fault }
    }

    /// Records an operation whose rules were asked. What was recorded meanwhile stands before it.
    pub fn record(&mut self, pending: Pending) -> NodeId {
        let Pending { op, inputs, place, part, n_outputs, types, fault } = pending;
        let (node, first) = (self.nodes.len() as NodeId, self.values.len() as ValueId);
        match types {
            Some(types) => {
                self.values.extend(types.types().iter().map(|&ty| Value::new(node, Some(ty))));
            }
            None => self.values.extend((0..n_outputs).map(|_| Value::new(node, None))),
        }
        if let Some(fault) = fault {
            self.faults.insert(node, *fault);
        }
        self.nodes.push(Node { op, inputs, first, n_outputs: n_outputs as u32, place, part });
        node
    }

    /// The fault of an operation that breaks a rule, before it is recorded.
    pub fn describe_pending(&self, pending: &Pending, ill: Ill) -> Fault {
        self.describe(&pending.op, &pending.inputs, pending.place, ill)
    }

    /// The type of an operation's only output; `None` when there is not exactly one, or it is ill.
    #[inline]
    pub fn infer_one(&self, op: &Op, inputs: &[ValueId]) -> Option<Type> {
        match self.infer(op, inputs)?.ok()? {
            Inferred::One(ty) => Some(ty),
            Inferred::Several(types) => (types.len() == 1).then(|| types[0]),
        }
    }

    /// The types of an operation's outputs; `None` when an operand is ill itself.
    #[inline]
    pub(crate) fn infer(&self, op: &Op, inputs: &[ValueId]) -> Option<Result<Inferred, Ill>> {
        // The usual numbers of operands need no list.
        Some(match *inputs {
            [a] => self.infer_on(op, [self.ty(a)?]),
            [a, b] => self.infer_on(op, [self.ty(a)?, self.ty(b)?]),
            _ => {
                let types: Option<Vec<Type>> = inputs.iter().map(|&input| self.ty(input)).collect();
                self.infer_on(op, types?)
            }
        })
    }

    #[inline]
    fn infer_on(&self, op: &Op, mut types: impl AsMut<[Type]>) -> Result<Inferred, Ill> {
        let types = types.as_mut();
        if let Some(ty) = op.infer_pointwise(types) {
            return Ok(Inferred::One(ty));
        }
        if !self.assumptions.is_empty() {
            types.iter_mut().for_each(|ty| *ty = self.assumed_type(*ty));
        }
        let outputs = op.infer(types)?;
        for ty in outputs.iter().filter(|ty| ty.shape.sizes().is_none()) {
            if let Some(dim) = ty.shape.dims().iter().find(|dim| dim.is_negative()) {
                return Err(Ill::new(format!("a size comes out as {dim}")));
            }
            if ty.shape.dims().iter().any(|dim| dim.is_overlong()) {
                return Err(Ill::new("a size has too many terms"));
            }
        }
        Ok(Inferred::Several(outputs))
    }

    /// Records a value that stands for an operand that cannot be used here.
    pub fn push_missing(&mut self) -> ValueId {
        let (node, value) = (self.nodes.len() as NodeId, self.values.len() as ValueId);
        let place = Place { line: Line::Code(std::panic::Location::caller()), module: 0 };
        let op = Op::from(crate::ops::Missing);
        self.values.push(Value::new(node, None));
        self.nodes.push(Node {
            op,
            inputs: Inputs::new(),
            first: value,
            n_outputs: 1,
            place,
            part: Part::Forward,
        });
        value
    }
}

//! The handle: a small `Copy` name of a value in a graph, a body or on a tape.

use std::marker::PhantomData;
use std::ops::{Add, Div, Mul, Neg, Sub};
use std::panic::Location;

use crate::array::{Array, DType};
use crate::graph::context::{self, ContextId};
use crate::graph::fault::Error;
use crate::graph::place::Line;
use crate::graph::records::{NodeId, ValueId};
use crate::ops::{self, Op};
use crate::types::{Shape, Type};

/// A value of a graph, a body or a tape.
///
/// Operations on handles read as mathematics and never fail: one that is ill-typed gives an ill
/// value, and running or reading anything that depends on it reports what was wrong and where.
/// A handle belongs to its thread, and outliving its graph makes it stale, not dangerous.
#[derive(Clone, Copy)]
pub struct Tensor {
    pub(crate) context: ContextId,
    pub(crate) value: ValueId,
    /// The table of contexts is the thread's own.
    pub(crate) _thread: PhantomData<*const ()>,
}

const _: () = assert!(size_of::<Tensor>() <= 16);
const _: () = assert!(size_of::<Op>() <= 32);

/// The outputs of one operation.
#[derive(Clone, Copy)]
pub struct Outputs {
    pub(crate) context: ContextId,
    pub(crate) first: ValueId,
    pub(crate) n: u32,
}

impl Outputs {
    /// The only output, or the first.
    pub fn one(self) -> Tensor {
        self.get(0)
    }

    /// Output `idx`.
    ///
    /// # Panics
    /// There are not that many.
    pub fn get(self, idx: usize) -> Tensor {
        assert!(idx < self.len(), "output {idx} of {}", self.n);
        Tensor::new(self.context, self.first + idx as u32)
    }

    /// The number of outputs.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(self) -> usize {
        self.n as usize
    }

    /// All outputs.
    pub fn iter(self) -> impl Iterator<Item = Tensor> {
        (0..self.len()).map(move |idx| self.get(idx))
    }
}

/// Calls `op` on `inputs`, where the first one lives. Without any the result belongs nowhere, and says
/// so when it is read; an op that has no operands is called on a context ([`ContextId::emit`]).
#[track_caller]
#[inline]
pub fn emit(op: impl Into<Op>, inputs: &[Tensor]) -> Outputs {
    let home = inputs.first().map_or_else(context::nowhere, |input| input.context);
    home.emit(op.into(), inputs, Line::Code(Location::caller()))
}

impl Tensor {
    /// The handle of value `value` of `context`.
    #[inline]
    pub fn new(context: ContextId, value: ValueId) -> Tensor {
        Tensor { context, value, _thread: PhantomData }
    }

    /// The context that the value belongs to.
    pub fn context(self) -> ContextId {
        self.context
    }

    /// The value's number in the records of its context.
    pub fn id(self) -> ValueId {
        self.value
    }

    /// Whether both handles name one value.
    pub fn is(self, other: Tensor) -> bool {
        (self.context, self.value) == (other.context, other.value)
    }

    /// Reads the records that the value belongs to.
    #[inline]
    pub fn with_records<R>(self, read: impl FnOnce(&crate::graph::records::Records) -> R) -> Option<R> {
        self.context.get().map(|emit| read(&emit.records().snapshot()))
    }

    /// The type, if the value is well-typed and its context lives.
    #[inline]
    pub fn ty(self) -> Option<Type> {
        self.context.read(|records| Some(records.assumed_type(records.ty(self.value)?))).flatten()
    }

    /// The element type; see [`Tensor::ty`].
    pub fn dtype(self) -> Option<DType> {
        self.ty().map(|ty| ty.dtype)
    }

    /// The shape; see [`Tensor::ty`].
    #[inline]
    pub fn shape(self) -> Option<Shape> {
        self.ty().map(|ty| ty.shape)
    }

    /// The numbers. On a tape every value has them; in a graph only constants do.
    ///
    /// # Errors
    /// Every fault that the value depends on; a stale handle; a value of a graph, which has no
    /// numbers until it is run.
    pub fn value(self) -> Result<Array, Error> {
        match self.context.get() {
            Some(emit) => emit.value(self.value),
            None => Err(context::stale(self.context)),
        }
    }

    /// The only element, as `f64`; see [`Tensor::value`].
    ///
    /// # Errors
    /// As [`Tensor::value`], and when there is not exactly one element.
    pub fn item(self) -> Result<f64, Error> {
        let array = self.value()?;
        array.item().map_err(|_| {
            crate::graph::fault::Fault::new(
                "item",
                format!("the value has sizes {:?}, not one element", array.sizes()),
            )
            .into()
        })
    }

    /// Gives the value a name; a name that is taken makes the result ill.
    #[track_caller]
    pub fn named(self, name: &str) -> Tensor {
        let Some(emit) = self.context.get() else { return self };
        let named = emit.records().borrow_mut().set_name(self.value, name);
        match named {
            Ok(()) => self,
            Err(rule) => self.ill("named", crate::graph::fault::Ill::new(rule)),
        }
    }

    /// The operation that computes this value: the lecture's `get_operation(V)`.
    pub fn get_operation(self) -> Option<Op> {
        self.with_records(|records| records.node(records.producer(self.value)).op.clone())
    }

    /// The values that this value is computed from: the lecture's `get_inputs(V, G)`.
    pub fn get_inputs(self) -> Vec<Tensor> {
        self.with_records(|records| {
            let inputs = &records.node(records.producer(self.value)).inputs;
            inputs.iter().map(|&input| Tensor::new(self.context, input)).collect()
        })
        .unwrap_or_default()
    }

    /// The values computed directly from this one, each once, in the order of their calls: the
    /// lecture's `get_consumers(V, G)`. Costs one pass over the records after this value.
    pub fn get_consumers(self) -> Vec<Tensor> {
        self.with_records(|records| {
            let from = records.producer(self.value) as usize;
            records.nodes()[from..]
                .iter()
                .filter(|node| node.inputs.contains(&self.value))
                .flat_map(|node| node.outputs())
                .map(|value| Tensor::new(self.context, value))
                .collect()
        })
        .unwrap_or_default()
    }

    /// The number of the node that computes this value.
    pub fn node(self) -> Option<NodeId> {
        self.with_records(|records| records.producer(self.value))
    }

    /// An ill value that stands for a call on `self` that broke a rule.
    #[track_caller]
    pub fn ill(self, op: &str, ill: crate::graph::fault::Ill) -> Tensor {
        emit(ops::IllCall::new(op, ill), &[self]).one()
    }

    /// A value of this type and shape whose elements are all `value`.
    #[track_caller]
    pub fn full_like(self, value: impl Into<ops::Literal>) -> Tensor {
        match self.ty() {
            Some(ty) => ops::full(self.context, ty, value),
            None => emit(ops::Identity, &[self]).one(),
        }
    }

    /// Zeros of this type and shape (`false` for `bool`).
    #[track_caller]
    pub fn zeros_like(self) -> Tensor {
        self.full_like(0.0)
    }

    /// Ones of this type and shape.
    #[track_caller]
    pub fn ones_like(self) -> Tensor {
        self.full_like(1.0)
    }
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let label = self.with_records(|records| records.label(self.value));
        match (label, self.ty()) {
            (Some(label), Some(ty)) => write!(f, "{label}: {ty}"),
            (Some(label), None) => write!(f, "{label}: ill"),
            (None, _) => write!(f, "stale"),
        }
    }
}

/// What can stand beside a tensor in arithmetic: a tensor, or a Rust number, which takes the
/// tensor's element type.
pub trait IntoOperand {
    /// The operand, with the element type and, for a number, the shape of `beside`.
    fn into_operand(self, beside: Tensor) -> Tensor;

    /// The tensor, when it is one.
    fn is_tensor(&self) -> Option<Tensor> {
        None
    }
}

impl IntoOperand for Tensor {
    fn into_operand(self, _beside: Tensor) -> Tensor {
        self
    }

    fn is_tensor(&self) -> Option<Tensor> {
        Some(*self)
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident)*) => {$(
        impl<T: IntoOperand> $trait<T> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: T) -> Tensor {
                let other = other.into_operand(self);
                ops::broadcast_binary(ops::Binary::$trait, self, other)
            }
        }
    )*};
}

operators! { Add add Sub sub Mul mul Div div }

macro_rules! literals {
    ($($number:ty)*) => {$(
        impl IntoOperand for $number {
            #[track_caller]
            fn into_operand(self, beside: Tensor) -> Tensor {
                beside.full_like(self)
            }
        }
        literals! { @operators $number; Add add Sub sub Mul mul Div div }
    )*};
    (@operators $number:ty; $($trait:ident $method:ident)*) => {$(
        impl $trait<Tensor> for $number {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                ops::broadcast_binary(ops::Binary::$trait, self.into_operand(other), other)
            }
        }
    )*};
}

literals! { f64 f32 i64 i32 }

impl Neg for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        emit(ops::Unary::Neg, &[self]).one()
    }
}

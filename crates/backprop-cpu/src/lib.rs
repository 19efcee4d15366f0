//! Kernels for the CPU: contiguous loops, chosen once per operation, never per element.
//!
//! ```text
//! eval(op, operands) ─► pointwise · reduce · movement · index · contract ─► arrays
//!                                         ├ control: the same on the ops of a body
//!                                         └ anything else: the op's own definition
//! ```
//!
//! A result's bits depend on the op, the sizes, the instruction set and the system's libm (`exp`, `ln`,
//! `tanh`, ... are its), never on timing.

mod contract;
mod control;
pub mod engine;
#[cfg(unix)]
pub mod guard;
mod index;
pub mod isa;
pub mod kernel;
pub mod limits;
pub mod math;
mod movement;
pub mod native;
mod pointwise;
pub mod portable;
mod reduce;

use backprop_core::ops::{Arrays, Op};
use backprop_core::{Array, Ill, Type};

/// Evaluates `op` on `inputs`; `outputs` are the types of the results, all sizes numbers.
///
/// # Errors
/// A fault in the data: an index out of range, an integer division by zero, sizes that do not fit
/// into memory.
pub fn eval(op: &Op, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
    match op {
        Op::Cond(op) => return control::cond(op, inputs),
        Op::Scan(op) => return control::scan(op, inputs, outputs),
        Op::MaxWithIndex(op) => {
            if let Some((largest, places)) = index::first_largest(inputs[0], op.axis) {
                return Ok(smallvec::smallvec![largest, places]);
            }
        }
        _ => {}
    }
    match eval_one(op, inputs, outputs)? {
        Some(array) => Ok(smallvec::smallvec![array]),
        None => op.rule().eval(inputs, outputs),
    }
}

/// The kernel of an op with one output; `None` where only its definition exists.
///
/// # Errors
/// As [`eval`].
#[inline]
pub fn eval_one(op: &Op, inputs: &[&Array], outputs: &[Type]) -> Result<Option<Array>, Ill> {
    for ty in outputs {
        match ty.shape.n_elements() {
            Some(n) if n < LARGE => {}
            n => want_memory(*ty, n)?,
        }
    }
    Ok(match op {
        Op::Unary(op) => pointwise::unary(*op, inputs[0]),
        Op::Binary(op) => pointwise::binary(*op, inputs[0], inputs[1])?,
        Op::Compare(op) => Some(pointwise::compare(*op, inputs[0], inputs[1])),
        Op::Logic(op) => pointwise::logic(*op, inputs),
        Op::Full(op) => Some(movement::full(*op, outputs[0])),
        Op::Select(_) => Some(pointwise::select(inputs[0], inputs[1], inputs[2])),
        Op::Cast(op) => Some(inputs[0].cast(op.dtype)),
        Op::Broadcast(_) => Some(movement::broadcast(inputs[0], outputs[0])),
        Op::Transpose(op) => Some(movement::transpose(inputs[0], op.perm)),
        Op::Slice(op) => movement::slice(inputs[0], op, outputs[0]),
        Op::Pad(op) => movement::pad(inputs[0], op, outputs[0]),
        Op::Gather(op) => Some(index::gather(inputs[0], inputs[1], op.axis, outputs[0])?),
        Op::ScatterAdd(op) => index::scatter_add(inputs[0], inputs[1], inputs[2], op.axis)?,
        Op::ArgMax(op) => index::first_largest(inputs[0], op.axis).map(|(_, places)| places),
        Op::Sum(op) => reduce::sum(inputs[0], op.axes),
        Op::Any(op) => reduce::any(inputs[0], op.axes),
        Op::Max(op) => reduce::max(inputs[0], op.axes),
        Op::LogSumExp(op) => reduce::logsumexp(inputs[0], op.axes),
        Op::LogSoftmax(op) => reduce::log_softmax(inputs[0], op.axes),
        Op::Norm(_) => reduce::norm(inputs[0]),
        Op::Contract(op) => contract::contract(op, inputs[0], inputs[1]),
        _ => None,
    })
}

/// From this number of elements on, it is asked first whether there is memory.
const LARGE: usize = 1 << 22;

/// Refuses a result that there is no memory for, instead of ending the process.
///
/// # Errors
/// There is none, or a size is only a name.
#[cold]
pub fn want_memory(ty: Type, n_elements: Option<usize>) -> Result<(), Ill> {
    if ty.shape.sizes().is_none() {
        return Err(Ill::new(format!(
            "{ty} has a size that is only a name: where numbers are computed, every size is a number"
        )));
    }
    // A kernel takes a buffer of the pool, whose sizes are powers of two.
    let room = n_elements.and_then(|n| n.max(1).checked_next_power_of_two());
    let bytes = room.and_then(|n| n.checked_mul(ty.dtype.size()));
    let fits = bytes.is_some_and(|bytes| Vec::<u8>::new().try_reserve_exact(bytes).is_ok());
    if fits { Ok(()) } else { Err(Ill::new(format!("a result of type {ty} does not fit into memory"))) }
}

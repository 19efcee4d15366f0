//! Kernels for the CPU: contiguous loops, chosen once per operation, never per element.
//!
//! ```text
//! eval(op, operands) ─► pointwise · reduce · movement · contract ─► arrays
//!                                         ├ control: the same on the ops of a body
//!                                         └ anything else: the op's own definition
//! ```
//!
//! A result's bits depend on the op, the sizes and the instruction set, never on timing.

mod contract;
mod control;
mod movement;
mod pointwise;
mod reduce;

use backprop_core::ops::{Arrays, Op};
use backprop_core::{Array, Ill, Type};

/// Evaluates `op` on `inputs`; `outputs` are the types of the results, all sizes numbers.
///
/// # Errors
/// A fault in the data: an index out of range, an integer division by zero, sizes that do not fit
/// into memory.
pub fn eval(op: &Op, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
    let fast = match op {
        Op::Cond(op) => return control::cond(op, inputs),
        Op::Scan(op) => return control::scan(op, inputs, outputs),
        Op::Unary(op) => pointwise::unary(*op, inputs[0]),
        Op::Binary(op) => pointwise::binary(*op, inputs[0], inputs[1])?,
        Op::Compare(op) => Some(pointwise::compare(*op, inputs[0], inputs[1])),
        Op::Logic(op) => pointwise::logic(*op, inputs),
        Op::Select(_) => Some(pointwise::select(inputs[0], inputs[1], inputs[2])),
        Op::Cast(op) => Some(inputs[0].cast(op.dtype)),
        Op::Broadcast(_) => Some(movement::broadcast(inputs[0], outputs[0])),
        Op::Transpose(op) => Some(movement::transpose(inputs[0], op.perm)),
        Op::Sum(op) => reduce::sum(inputs[0], op.axes),
        Op::Max(op) => reduce::max(inputs[0], op.axes),
        Op::LogSumExp(op) => reduce::logsumexp(inputs[0], op.axes),
        Op::Contract(op) => contract::contract(op, inputs[0], inputs[1]),
        _ => None,
    };
    match fast {
        Some(array) => Ok(smallvec::smallvec![array]),
        None => op.rule().eval(inputs, outputs),
    }
}

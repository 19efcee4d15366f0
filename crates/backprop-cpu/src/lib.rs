//! Kernels for the CPU: contiguous loops, chosen once per operation, never per element.
//!
//! ```text
//! eval(op, operands) ─► contractions, large arrays: alone, a program that the engine runs ─► arrays
//!                    ├ pointwise · reduce · movement · index: loops for small ones
//!                    ├ control: the same on the ops of a body
//!                    └ anything else: the op's own definition
//! ```
//!
//! A result's bits depend on the op, the sizes and the instruction set, never on timing.

mod alone;
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

/// The kernel of an op with one output; `None` where only its definition exists. Where [`repeats`] says so, operands
/// may have a smaller shape than the result: they are repeated, as by `broadcast`.
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
    if is_for_program(op, inputs, outputs) {
        if let Some(array) = alone::run(op, inputs, outputs[0]) {
            return Ok(Some(array));
        }
        if repeats(op, outputs[0]) && inputs.iter().any(|x| x.shape() != outputs[0].shape) {
            let whole = |x: &&Array| movement::broadcast(x, Type::new(x.dtype(), outputs[0].shape));
            let whole: Vec<Array> = inputs.iter().map(whole).collect();
            return eval_one(op, &whole.iter().collect::<Vec<_>>(), outputs);
        }
    }
    Ok(match op {
        // Returned as it is: to take it apart and to wrap it again costs as much as the sums of a small array.
        Op::Binary(op) => return pointwise::binary(*op, inputs[0], inputs[1]),
        Op::Unary(op) => pointwise::unary(*op, inputs[0]),
        Op::Compare(op) => Some(pointwise::compare(*op, inputs[0], inputs[1])),
        Op::Logic(op) => pointwise::logic(*op, inputs),
        Op::Full(op) => Some(movement::full(*op, outputs[0])),
        Op::Select(_) => Some(pointwise::select(inputs[0], inputs[1], inputs[2])),
        Op::Fma(_) => pointwise::fma(inputs[0], inputs[1], inputs[2]),
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
        _ => None,
    })
}

/// From this number of elements on, pointwise ops are programs of their own: calling the engine takes less then.
const MANY: usize = 4096;

/// Whether an op is a program of its own, here: all whose bits depend on an order of sums, and what is large.
#[inline]
fn is_for_program(op: &Op, inputs: &[&Array], outputs: &[Type]) -> bool {
    match op {
        Op::Contract(_) => true,
        Op::Sum(_) | Op::LogSumExp(_) | Op::LogSoftmax(_) | Op::Norm(_) => inputs[0].dtype().is_float(),
        Op::Max(_) | Op::Any(_) => inputs[0].len() >= MANY,
        _ => repeats(op, outputs[0]),
    }
}

/// Whether an op with a result of this type takes operands that are smaller: large pointwise ones do.
#[inline]
pub fn repeats(op: &Op, output: Type) -> bool {
    op.is_elementwise() && output.shape.n_elements() >= Some(MANY)
}

/// What may stand for the result of an op, since every op that [`repeats`] takes it and the others can be given
/// [`whole`] numbers: its operand, for `broadcast`, or one number. `None` where the result is small.
///
/// # Errors
/// There would be no memory for the whole of it.
#[inline]
pub fn stands_for(op: &Op, inputs: &[&Array], output: Type) -> Result<Option<Array>, Ill> {
    if !matches!(op, Op::Broadcast(_) | Op::Full(_)) || output.shape.n_elements() < Some(MANY) {
        return Ok(None);
    }
    if output.shape.n_elements() >= Some(LARGE) {
        want_memory(output, output.shape.n_elements())?;
    }
    Ok(match op {
        Op::Full(op) => Some(movement::full(*op, Type::scalar(output.dtype))),
        _ => Some(inputs[0].clone()),
    })
}

/// Numbers that stand for a value of this type, repeated to its shape.
pub fn whole(x: &Array, ty: Type) -> Array {
    movement::broadcast(x, ty)
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

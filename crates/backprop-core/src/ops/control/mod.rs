//! Control flow: ops that run bodies.
//!
//! Their derivatives are again ops that run bodies: the vjp of a branch is a branch of vjps, the vjp
//! of a loop is a loop that runs backwards. Masks of cotangents end here: what comes out of `cond`
//! and `scan` is unmasked.

mod cond;
mod differentiate;
mod scan;
mod tree;

pub use cond::{Cond, cond};
pub use scan::{Scan, scan, scan_indexed, scan_n, scan_reverse};
pub use tree::Tree;

use super::sample::Sample;
use crate::array::Array;
use crate::graph::context::ContextId;
use crate::graph::fault::Ill;
use crate::tensor::Tensor;
use crate::types::Type;

/// The innermost open context below the first of these tensors that is alive.
fn home_of(tensors: &[Tensor]) -> Option<ContextId> {
    let alive = tensors.iter().find(|tensor| tensor.context().get().is_some());
    alive.map(|tensor| tensor.context().innermost())
}

/// The call that gave `y`, on the arrays that are given for its operands.
fn called(y: Tensor, given: &[(Tensor, Array)]) -> Option<Sample> {
    let array = |x: Tensor| given.iter().find(|(own, _)| own.is(x)).map(|(_, array)| array.clone());
    let operands: Option<Vec<Array>> = y.get_inputs().into_iter().map(array).collect();
    Some((y.get_operation()?, operands?))
}

/// How a type that may be missing is called.
fn told(ty: Option<Type>) -> String {
    ty.map_or_else(|| "an ill value".to_string(), |ty| ty.to_string())
}

/// Refuses an operand of another type than the body's parameter for it.
fn want_parameter(what: &str, operand: Type, parameter: Option<Type>, idx: usize) -> Result<(), Ill> {
    match parameter {
        Some(parameter) if parameter == operand => Ok(()),
        _ => Err(Ill::new(format!("{what} takes {}, not {operand}", told(parameter))).note(idx, "given")),
    }
}

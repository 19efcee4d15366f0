//! Derivatives, exact and of any order, by the backpropagation algorithm.
//!
//! ```text
//! records ──► G' (pruned) ──► sweep, last node first ──► grad_table
//!                                  │ op.bprop(inputs, X, D)
//!                                  ▼
//!                        ops, emitted where z lives: into a graph, or onto a tape
//! ```
//!
//! Nothing here knows a gradient rule or a number: rules stand with their ops, and a derivative is
//! more ops. So the same code serves both modes, and a derivative can be differentiated again.

mod bprop;
mod explain;
mod jacobian;
mod jvp;
mod prune;
mod reason;
mod rule;
mod sweep;

pub use bprop::bprop;
pub use jacobian::{hessian, jacobian};
pub use jvp::{Tangents, jvp};
pub use reason::Reason;
pub use sweep::{GradTable, Step, grad, grad_table, vjp};

use backprop_core::Tensor;
use backprop_core::ops::Differentiate;

/// The engine that control flow uses for its bodies.
pub(crate) struct Engine;

impl Differentiate for Engine {
    fn vjp(&self, outputs: &[Tensor], d: &[Option<Tensor>], targets: &[Tensor]) -> Vec<Tensor> {
        let seeds: Vec<(Tensor, Tensor)> =
            outputs.iter().zip(d).filter_map(|(&output, &d)| Some((output, d?))).collect();
        if seeds.is_empty() {
            return targets.iter().map(|target| target.zeros_like()).collect();
        }
        vjp(&seeds, targets).gradients().to_vec()
    }

    fn jvp(&self, outputs: &[Tensor], targets: &[Tensor], tangents: &[Tensor]) -> Vec<Tensor> {
        let pairs: Vec<(Tensor, Tensor)> = targets.iter().copied().zip(tangents.iter().copied()).collect();
        jvp(outputs, &pairs).tangents().to_vec()
    }
}

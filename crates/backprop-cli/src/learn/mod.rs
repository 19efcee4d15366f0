//! What `train` trains: a feedforward network of linear layers with ReLU between them.
//!
//! ```text
//!   Network (sizes) ─ init ─▶ parameters ─ Learner::step, batch by batch ─▶ parameters
//! ```
//!
//! Forward pass, loss, gradient and update are written once, as functions of tensors; the engine decides
//! whether they run on a tape or become a graph.

mod network;
mod order;
mod step;
mod update;

pub use network::{Evaluation, Network, batch, grouped};
pub use order::order;
pub use step::{Learner, StepFault};

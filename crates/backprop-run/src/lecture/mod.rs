//! The lecture: its algorithms in its own notation, small enough to read in one sitting, each held
//! by tests against the general engine.
//!
//! "Feedforward Neural Networks and Backpropagation" (Changyou Chen, University at Buffalo, 2019),
//! which follows Goodfellow, Bengio, Courville, *Deep Learning* (2016), §6.5. Nothing else in
//! `backprop` uses this module: it is for reading. In the order of the lecture:
//!
//! | file | what it shows |
//! |---|---|
//! | `chain_rule` | the chain rule for scalars, vectors, tensors |
//! | `chain` | z = f(f(f(w))): store (1) or recompute (2), work and memory counted |
//! | `scalar` | Algorithms 1 and 2: u_1..u_n, Pa(u_j), f^(j), grad_table |
//! | `naive` | the recursion without a table: exponential against linear, counted |
//! | `layers`, `mlp`, `matrix` | Algorithms 3 and 4: an MLP with regularization |
//! | `modes` | symbol-to-number and symbol-to-symbol, written once |
//! | `build_grad` | the formal algorithm: 𝒢', build_grad, grad_table |
//! | `jacobian` | the Jacobian that `bprop` never writes out |
//! | `cost` | each edge of 𝒢' once, counted on random graphs |
//! | `millions` | n + 1 forward passes against one forward and one backward |

mod build_grad;
mod chain;
mod chain_rule;
mod cost;
mod jacobian;
mod layers;
mod matrix;
mod millions;
mod mlp;
mod modes;
mod naive;
mod scalar;

pub use build_grad::{Formal, formal_backprop, g_prime};
pub use chain::{Chain, checkpointed, recomputed, stored, through_the_engine};
pub use chain_rule::{BothWays, scalars, tensors, vectors};
pub use cost::{Cost, cost, random_dag};
pub use jacobian::jacobian_by_differences;
pub use layers::{Activation, Loss, Penalty};
pub use matrix::Matrix;
pub use millions::{Passes, network, passes, work};
pub use mlp::{Forward, Gradients, Mlp};
pub use modes::{LogisticRegression, ReluLayer, logistic_regression, relu_layer};
pub use naive::{Counted, diamond_ladder, naive, with_grad_table};
pub use scalar::{ADD, Backpropagation, Function, MUL, SIN, ScalarGraph, TANH};

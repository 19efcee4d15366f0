//! The lecture: its algorithms in its own notation, small enough to read in one sitting, each held
//! by tests against the general engine.
//!
//! "Feedforward Neural Networks and Backpropagation" (Changyou Chen, University at Buffalo, 2019),
//! which follows Goodfellow, Bengio, Courville, *Deep Learning* (2016), §6.5. Nothing else in
//! `backprop` uses this module: it is for reading. In the order of the lecture:
//!
//! | read | for |
//! |---|---|
//! | [`scalars`], [`vectors`], [`tensors`] | the chain rule, by hand beside the engine |
//! | [`stored`], [`recomputed`], [`checkpointed`] | z = f(f(f(w))): work and memory counted |
//! | [`ScalarGraph`] | Algorithms 1 and 2: u_1..u_n, Pa(u_j), f^(j), grad_table |
//! | [`naive`], [`with_grad_table`] | the recursion without a table, counted: exponential against linear |
//! | [`Mlp`] | Algorithms 3 and 4: forward and backward propagation, with regularization |
//! | [`logistic_regression`], [`relu_layer`] | symbol-to-number and symbol-to-symbol, written once |
//! | [`formal_backprop`], [`g_prime`] | the formal algorithm: 𝒢', build_grad, grad_table |
//! | [`jacobian_by_differences`] | the Jacobian that `bprop` never writes out |
//! | [`cost`] | each edge of 𝒢' once, counted on random graphs |
//! | [`passes`] | n + 1 forward passes against one forward and one backward: "10 million times" |
//!
//! `docs/lecture.md` has the whole list: each concept of the lecture, where it is, the test that holds
//! it, and the traps of its pseudo-code. The example `lecture` prints a tour.

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

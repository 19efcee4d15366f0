//! Random graphs, and a reference that says of every element how wrong it may be.
//!
//! ```text
//! seed ─► generate ─► Case ─┬─► reference: double-double with a running error bound ─┐
//!                           └─► subjects: every way of running a graph ──────────────┴─► compare
//! ```
//!
//! Bounds are those of Higham, "Accuracy and stability of numerical algorithms", 2002, §3.3: for each op
//! |slope| × the operands' bounds + what the op itself promises ([`ulps`]); n·u·Σ|x| for sums. An element
//! that depends on rounding (a comparison, tie, cast or jump within its bound) is left out and counted.
//! `cargo run --release -p backprop-conformance --example random_graphs -- 100000`

pub mod bugs;
pub mod case;
pub mod compare;
mod cube;
mod dice;
pub mod double;
mod functions;
pub mod generate;
pub mod real;
pub mod reference;
pub mod run;
mod shrink;
pub mod statistics;
pub mod subjects;
pub mod ulps;

//! From a graph to loops: what a backend needs to know, and nothing of ops.
//!
//! ```text
//! Records ──► simplify: fewer and cheaper nodes ──► lower: which share loops ──► loops: Program of nests,
//!                                                                               contractions, calls
//! ```

pub mod loops;
pub mod lower;
pub mod simplify;

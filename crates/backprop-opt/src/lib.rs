//! From a graph to loops: what a backend needs to know, and nothing of ops.
//!
//! ```text
//! Records ──► loops: Program of nests, contractions, calls
//! ```

pub mod loops;
pub mod simplify;

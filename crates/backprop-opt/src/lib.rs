//! From a graph to loops: what a backend needs to know, and nothing of ops.
//!
//! ```text
//! Records ──► simplify: Records ──► loops: Program of nests, contractions, calls
//! ```

mod bodies;
mod flops;
pub mod loops;
pub mod simplify;

pub use flops::flops;

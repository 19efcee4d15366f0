//! Every op held to every check.
//!
//! ```text
//!            dtypes  value  gradient  order 2  special  modes  jvp  differences  ...
//! neg             7     89        89       89       11     18   ..
//! sum             7     14        14       13        4     15   ..
//! argmax          7     14         a        a        4     10   ..    a: has no derivative
//! ```
//!
//! A cell counts what was compared; a cell without a count or a reason from a closed list is a
//! failure. The golden values come from outside this project (`goldens/README.md`).
//! `cargo test -p backprop-conformance` prints the matrix.

mod bodies;
pub mod checks;
pub mod compare;
pub mod dtypes;
pub mod functions;
pub mod golden;
pub mod golden_checks;
mod masks;
pub mod matrix;
mod modes;
pub mod narrow;
pub mod random;
pub mod rows;

//! Every op held to every check.
//!
//! ```text
//!          dtypes   value    grad  order2     f32 special   modes     jvp    diff  ...
//! neg          25      89      89      89     300      11      18       5    1942
//! sum         101      78      77      76     456      10      27       6    1166
//! argmax       37      78       a       a     152       6       5       a       a   a: has no derivative
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
pub mod random_graphs;
pub mod rows;

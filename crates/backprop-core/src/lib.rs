//! The floor that everything stands on: arrays, types, graphs, ops.
//!
//! ```text
//! user code, layers, gradient rules          (all speak only of Tensor)
//!                 |
//!            Emit::emit(op, inputs)
//!            /                    \
//!   Graph: symbol-to-symbol    Tape: symbol-to-number   (backprop-run)
//! ```

pub mod array;
mod composite;
mod formula;
pub mod graph;
mod interpret;
pub mod number;
pub mod ops;
pub mod random;
pub mod tensor;
pub mod text;
pub mod types;
pub mod verify;

pub use array::{Array, ArrayError, DType, Data, Element, Sizes};
pub use graph::Graph;
pub use graph::body::Body;
pub use graph::context::{ContextId, Emit};
pub use graph::fault::{Error, Fault, Ill};
pub use graph::records::{Node, NodeId, Part, Records, ValueId};
pub use graph::replay::{replay, substitute};
pub use interpret::interpret;
pub use ops::{Op, Tree, concat, cond, scan, scan_indexed, scan_n, scan_reverse};
pub use random::Seed;
pub use tensor::{IntoOperand, Outputs, Tensor, emit};
pub use types::{Bindings, Dim, Dims, IntoType, MapDim, Shape, Type};

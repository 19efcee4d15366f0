//! The floor that everything stands on: arrays, types, graphs, ops.

pub mod array;

pub use array::{Array, ArrayError, DType, Data, Element, Sizes};

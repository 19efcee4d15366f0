//! backprop-train.

pub mod data;

//! backprop.

pub mod picture;

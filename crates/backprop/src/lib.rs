//! backprop.

//! backprop-core.

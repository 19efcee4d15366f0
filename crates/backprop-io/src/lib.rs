//! backprop-io.

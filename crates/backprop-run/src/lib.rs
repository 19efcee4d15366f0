//! backprop-run.

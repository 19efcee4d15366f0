//! backprop-train.

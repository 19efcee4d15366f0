//! backprop-conformance.

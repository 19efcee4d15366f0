//! backprop-cpu.

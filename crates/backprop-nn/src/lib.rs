//! backprop-nn.

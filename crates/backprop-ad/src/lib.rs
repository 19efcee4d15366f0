//! backprop-ad.

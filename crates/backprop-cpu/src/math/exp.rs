//! eˣ and what is made of it.

use super::lane::{Float, Width};

/// eˣ
#[inline(always)]
pub fn exp<F: Float>(x: F) -> F {
    x
}

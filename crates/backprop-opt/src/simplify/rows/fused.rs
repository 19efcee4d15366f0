//! Products and sums that round once. In a sweep of their own, the last one.

use crate::simplify::row::Row;

pub(crate) const FUSED: &[Row] = &[];

//! The rows: tables of rewrites, in the order in which they are tried.

mod arithmetic;
mod contract;
mod control;
mod decomposed;
mod fused;
mod logic;
mod movement;
mod one_hot;
mod part;
mod reduction;
mod sink;
mod softmax;
mod stabilise;

pub(super) use decomposed::DECOMPOSED;

use super::row::Row;

/// The rows of `simplify`.
pub(super) const MAIN: &[&[Row]] = &[
    stabilise::STABILISE,
    softmax::SOFTMAX,
    arithmetic::ARITHMETIC,
    logic::LOGIC,
    movement::MOVEMENT,
    part::PART,
    sink::SINK,
    one_hot::ONE_HOT,
    reduction::REDUCTION,
    contract::CONTRACT,
    control::CONTROL,
    fused::FUSED,
];

/// Every row, of every pass.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    MAIN.iter().copied().chain([DECOMPOSED]).flatten()
}

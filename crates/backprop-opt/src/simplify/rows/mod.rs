//! The rows: tables of rewrites, in the order in which they are tried.

mod arithmetic;
mod contract;
mod control;
mod decomposed;
mod fused;
mod logic;
mod movement;
mod part;
mod reduction;
mod sink;
mod stabilise;

pub(super) use decomposed::DECOMPOSED;
pub(super) use fused::FUSED;

use super::row::Row;

/// The rows of `simplify`'s first sweep.
pub(super) const MAIN: &[&[Row]] = &[
    stabilise::STABILISE,
    arithmetic::ARITHMETIC,
    logic::LOGIC,
    movement::MOVEMENT,
    part::PART,
    sink::SINK,
    reduction::REDUCTION,
    contract::CONTRACT,
    control::CONTROL,
];

/// Every row, of every pass.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    MAIN.iter().copied().chain([FUSED, DECOMPOSED]).flatten()
}

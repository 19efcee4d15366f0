//! Runs the matrix and prints it; red cells fail.

use std::process::ExitCode;

use backprop_conformance::golden_checks::{Golden, case, pointwise};
use backprop_conformance::matrix::{Cell, Column, Matrix};
use backprop_conformance::rows::{Row, ops, rows};
use backprop_conformance::{checks, golden, random};
use backprop_core::Op;

/// Ops without a row yet: `Custom` is held by the checker's tests, control flow by
/// `crates/backprop-run/tests/control.rs`.
const HELD_ELSEWHERE: [&str; 3] = ["Custom", "Cond", "Scan"];

fn main() -> ExitCode {
    let (cases, points) = (golden::cases(), golden::pointwise());
    let mut matrix = Matrix::default();
    for row in rows(&cases, &points) {
        let mut golden = Golden::default();
        points.iter().filter(|op| op.name == row.name).for_each(|op| pointwise(op, &mut golden));
        cases.iter().filter(|own| own.op == row.name).for_each(|own| case(own, &mut golden));
        matrix.add(&row.name, Column::ALL.map(|column| (column, cell(&row, column, &golden))).to_vec());
    }
    let mut red = matrix.red();
    red.extend(without_a_row());
    println!("{matrix}\n{} comparisons", matrix.total());
    red.iter().for_each(|line| println!("RED {line}"));
    if red.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn cell(row: &Row, column: Column, golden: &Golden) -> Cell {
    if column == Column::DTypes && row.op.is_none() && golden.narrow != Cell::new() {
        return golden.narrow.clone();
    }
    if let Some(reason) = row.not_applicable(column) {
        return Cell::NotApplicable(reason);
    }
    match (column, &row.op) {
        (Column::Value, Some(op @ (Op::Uniform(_) | Op::Normal(_)))) => random::value(op),
        (Column::Value, _) => golden.value.clone(),
        (Column::Gradient, _) => golden.gradient.clone(),
        (Column::Order2, _) => golden.order2.clone(),
        (Column::DTypes, _) => golden.narrow.clone().join(checks::cell(row, column)),
        (Column::Special, _) => golden.special.clone().join(checks::cell(row, column)),
        _ => checks::cell(row, column),
    }
}

/// Every variant of the registry has a row; `Custom` is the door for others' ops.
fn without_a_row() -> Vec<String> {
    let variant = |op: &Op| format!("{op:?}").split('(').next().unwrap_or_default().to_string();
    let own: Vec<String> = ops().iter().map(variant).collect();
    let missing = Op::VARIANTS
        .iter()
        .filter(|name| !HELD_ELSEWHERE.contains(name) && !own.iter().any(|own| own == *name));
    missing.map(|name| format!("{name} has no row")).collect()
}

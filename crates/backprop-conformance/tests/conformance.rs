//! Runs the matrix and prints it; red cells fail.

use std::process::ExitCode;

use backprop_conformance::dtypes::dtypes;
use backprop_conformance::golden::Case;
use backprop_conformance::golden_checks::{Golden, case, pointwise};
use backprop_conformance::matrix::{Cell, Column, Matrix};
use backprop_conformance::rows::{Row, rows, without_a_row};
use backprop_conformance::{checks, golden, random};
use backprop_core::{DType, Op};

fn main() -> ExitCode {
    let (cases, typed, points) = (golden::cases(), golden::typed_cases(), golden::pointwise());
    let mut matrix = Matrix::default();
    let rows = rows(&cases, &points);
    for row in &rows {
        let mut golden = Golden::default();
        points.iter().filter(|op| op.name == row.name).for_each(|op| pointwise(op, &mut golden));
        cases.iter().filter(|own| own.op == row.name).for_each(|own| case(own, &mut golden));
        // What reads no operand has a value in each type.
        let leaves = typed.iter().filter(|own| own.op == row.name && own.inputs.is_empty());
        leaves.for_each(|own| case(own, &mut golden));
        matrix
            .add(&row.name, Column::ALL.map(|column| (column, cell(row, column, &golden, &typed))).to_vec());
        matrix.measured(&row.name, golden.narrow.measured);
    }
    let mut red = matrix.red();
    red.extend(without_a_row(&rows));
    println!("{matrix}\n{} comparisons", matrix.total());
    red.iter().for_each(|line| println!("RED {line}"));
    if red.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn cell(row: &Row, column: Column, golden: &Golden, typed: &[Case]) -> Cell {
    if let Some(reason) = row.not_applicable(column) {
        return Cell::NotApplicable(reason);
    }
    match (column, &row.op) {
        (Column::Value, Some(op @ (Op::Uniform(_) | Op::Normal(_)))) => random::value(op),
        (Column::Value, _) => golden.value.clone(),
        (Column::Gradient, _) => golden.gradient.clone(),
        (Column::Order2, _) => golden.order2.clone(),
        (Column::F32, _) => golden.narrow.cell.clone(),
        // A key is u32; pointwise ops of floats have golden values of their own.
        (Column::DTypes, Some(Op::Uniform(_) | Op::Normal(_))) => dtypes(row, typed, &[DType::U32]),
        (Column::DTypes, Some(Op::Unary(_) | Op::Binary(_))) => dtypes(row, typed, &[DType::F32, DType::F64]),
        (Column::DTypes, _) => dtypes(row, typed, &[]),
        (Column::Special, _) => golden.special.clone().join(checks::cell(row, column)),
        _ => checks::cell(row, column),
    }
}

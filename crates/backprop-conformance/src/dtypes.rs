//! Every element type: golden values where the op takes it, a refusal elsewhere.

use backprop_core::ops::{Iota, Types};
use backprop_core::{Array, DType, Ill, Op, Type};
use backprop_run::Tape;

use crate::checks::{on_tape, read};
use crate::compare::{F32_SUM, F64_SUM};
use crate::functions::named;
use crate::golden::Case;
use crate::golden_checks::same_values;
use crate::matrix::Cell;
use crate::modes::{modes, round_trip};
use crate::rows::{Row, Sample};

/// The golden cases of `dtypes.json`; refusal of every type that neither they nor `others` name.
pub fn dtypes(row: &Row, cases: &[Case], others: &[DType]) -> Cell {
    let mut cell = Cell::new();
    let own: Vec<&Case> = cases.iter().filter(|case| case.op == row.name).collect();
    own.iter().for_each(|case| cell.record(typed(case)));
    let taken = |dtype: DType| others.contains(&dtype) || own.iter().any(|case| case.dtype == Some(dtype));
    DType::ALL.into_iter().filter(|&dtype| !taken(dtype)).for_each(|dtype| {
        cell.note(1, refused(row, dtype));
    });
    cell
}

/// The golden values, in every way of computing them.
fn typed(case: &Case) -> Result<usize, String> {
    let f = named(&case.op, &case.params, case.outputs.len())
        .ok_or("the golden file knows an op that is not here")?;
    let tape = Tape::new();
    let got = read(&on_tape(&tape, &f, &case.inputs).1)?;
    let is_narrow = case.outputs.iter().any(|y| y.dtype() == DType::F32);
    if !same_values(&got, &case.outputs, if is_narrow { F32_SUM.into() } else { F64_SUM }) {
        let dtype = case.dtype.map_or(String::new(), |dtype| dtype.to_string());
        return Err(format!("{dtype} {}: {got:?} is not {:?}", case.params, case.outputs));
    }
    let sample = Sample { f, op: None, inputs: case.inputs.clone() };
    Ok(1 + modes(&sample, 0)? + round_trip(&sample)?)
}

/// The type rule says no, and why.
fn refused(row: &Row, dtype: DType) -> Result<(), String> {
    if let Some(Op::Iota(iota)) = &row.op {
        let ty = Type { dtype, ..iota.ty };
        return said(dtype, Op::from(Iota { ty, ..*iota }).infer(&[]));
    }
    let sample = row.samples.iter().find(|sample| sample.inputs.iter().any(|x| x.len() > 1));
    let Some((sample, op)) = sample.and_then(|sample| Some((sample, sample.op.as_ref()?))) else {
        return Err(format!("no golden value in {dtype}"));
    };
    // Indices and conditions stay what they are where there are numbers beside them.
    let any_f64 = sample.inputs.iter().any(|x| x.dtype() == DType::F64);
    let varied = |x: &Array| if any_f64 && x.dtype() != DType::F64 { x.clone() } else { x.cast(dtype) };
    let inputs: Vec<Array> = sample.inputs.iter().map(varied).collect();
    let types: Vec<Type> = inputs.iter().map(|x| Type::new(x.dtype(), x.sizes())).collect();
    said(dtype, op.infer(&types))
}

fn said(dtype: DType, inferred: Result<Types, Ill>) -> Result<(), String> {
    match inferred {
        Err(ill) if !ill.rule.is_empty() => Ok(()),
        Err(_) => Err(format!("refuses {dtype} without a word")),
        Ok(_) => Err(format!("accepts {dtype}, but has no golden value in it")),
    }
}

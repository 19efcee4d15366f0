//! The rows of the matrix: every op of the registry, and every composite that has golden values.

use std::rc::Rc;

use backprop_core::ops::Family;
use backprop_core::{Array, DType, Op, Type};

use crate::functions::{Function, named, of_op};
use crate::golden::{Case, Pointwise};
use crate::matrix::{Column, Reason};
use backprop_core::ops::sample::wave;

/// A function at a point.
pub struct Sample {
    /// The function.
    pub f: Function,
    /// The op, where it is one.
    pub op: Option<Op>,
    /// The operands.
    pub inputs: Vec<Array>,
}

/// A row.
pub struct Row {
    /// The op's name.
    pub name: String,
    /// An op; `None` for a composite.
    pub op: Option<Op>,
    /// Points at which it is smooth.
    pub samples: Vec<Sample>,
}

/// Every row: the ops, then the composites of the golden files.
pub fn rows(cases: &[Case], pointwise: &[Pointwise]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for (op, inputs) in Op::samples() {
        let name = op.name().to_string();
        let sample = Sample { f: of_op(&op), op: Some(op.clone()), inputs };
        match rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.samples.push(sample),
            None => rows.push(Row { name, op: Some(op), samples: vec![sample] }),
        }
    }
    // Through an integer there is no derivative, forwards or backwards: that of y = ⌊x⌋·x is ⌊x⌋.
    if let Some(row) = rows.iter_mut().find(|row| row.name == "cast") {
        let f: Function = Rc::new(|_, x| vec![x[0].cast(DType::I64).cast(DType::F64) * x[0]]);
        row.samples.push(Sample { f, op: None, inputs: vec![Array::vector(vec![1.5, 2.75, 3.25])] });
    }
    // Bodies differ more than operands do.
    for case in cases.iter().filter(|case| case.params["body"].is_string()) {
        let f = named(&case.op, &case.params, case.outputs.len());
        if let (Some(f), Some(row)) = (f, rows.iter_mut().find(|row| row.name == case.op)) {
            row.samples.push(Sample { f, op: None, inputs: case.inputs.clone() });
        }
    }
    for Pointwise { name, .. } in pointwise {
        if rows.iter().all(|row| row.name != *name) {
            let shapes: [&[usize]; 4] = [&[], &[5], &[3, 2], &[0, 3]];
            let samples = shapes.iter().filter_map(|sizes| {
                let f = named(name, &serde_json::Value::Null, 1)?;
                Some(Sample { f, op: None, inputs: vec![wave(sizes, 0)] })
            });
            rows.push(Row { name: name.clone(), op: None, samples: samples.collect() });
        }
    }
    for Case { op, .. } in cases {
        if rows.iter().all(|row| row.name != *op) {
            // A note marks a point that is special: a tie, a zero norm.
            let own = cases.iter().filter(|case| case.op == *op && case.d.is_some() && is_plain(&case.note));
            let samples = own.filter_map(|case| {
                let f = named(op, &case.params, case.outputs.len())?;
                Some(Sample { f, op: None, inputs: case.inputs.clone() })
            });
            rows.push(Row { name: op.clone(), op: None, samples: samples.collect() });
        }
    }
    rows
}

fn is_plain(note: &str) -> bool {
    matches!(
        note,
        "" | "rank 0"
            | "no axis: the identity"
            | "no output"
            | "over an axis of size 0"
            | "norm of nothing is 0"
    )
}

impl Row {
    /// Why a check does not apply to this row, if it does not.
    pub fn not_applicable(&self, column: Column) -> Option<Reason> {
        use Column::*;
        let Some(op) = &self.op else {
            return match (self.name.as_str(), column) {
                (_, DTypes) => Some(Reason::ItsOps),
                ("matmul" | "softmax" | "layer_norm" | "linear" | "cross_entropy", Rank0) => {
                    Some(Reason::NeedsAxis)
                }
                // A mean over nothing is 0/0.
                ("mse_loss" | "bce_with_logits" | "cross_entropy" | "layer_norm", Empty) => {
                    Some(Reason::NotOfNothing)
                }
                _ => None,
            };
        };
        let has_derivative = !matches!(op.family(), Family::None(_));
        match op {
            // On a tape an input is a value, which every sample is.
            Op::Input(_) => return Some(Reason::Leaf),
            Op::Constant(_) | Op::Full(_) | Op::Iota(_) | Op::DimValue(_) => {
                let applies = matches!(column, Value | DTypes | Empty | Rank0 | NonSquare | Modes | Text);
                let is_one = matches!(op, Op::DimValue(_)) && matches!(column, DTypes | Empty | NonSquare);
                let is_along = matches!(op, Op::Iota(_)) && column == Rank0;
                return (!applies || is_one || is_along).then_some(Reason::Leaf);
            }
            _ => {}
        }
        match column {
            Gradient | Order2 | Jvp | Differences | JacobianTimesD | Flatten | Masks if !has_derivative => {
                Some(Reason::NoDerivative)
            }
            Value | Gradient | Order2 | F32 if matches!(op, Op::Identity(_)) => Some(Reason::Identity),
            Special | F32 if matches!(op, Op::Logic(_) | Op::Any(_) | Op::OneHot(_)) => {
                Some(Reason::NoFloats)
            }
            Special | F32 if matches!(op, Op::Uniform(_) | Op::Normal(_)) => Some(Reason::FixedOperand),
            Rank0 if self.needs_axis(op) => Some(Reason::NeedsAxis),
            _ => None,
        }
    }

    /// No operand of a sample has rank 0, and the type rule refuses that all have.
    fn needs_axis(&self, op: &Op) -> bool {
        let scalars = |sample: &Sample| -> Vec<Type> {
            sample.inputs.iter().map(|x| Type::scalar(x.dtype())).collect()
        };
        let has_scalar = |sample: &Sample| sample.inputs.iter().any(|x| x.rank() == 0);
        !self.samples.iter().any(has_scalar)
            && self.samples.first().is_some_and(|sample| op.infer(&scalars(sample)).is_err())
    }
}

/// Ops that need no row: what stands for a broken call and is always ill, and the door for ops of other
/// crates, which `examples/custom-op` goes through.
const NO_ROW: [&str; 3] = ["Missing", "IllCall", "Custom"];

/// The ops of the registry without samples: each is a fault.
pub fn without_a_row(rows: &[Row]) -> Vec<String> {
    let variant = |op: &Op| format!("{op:?}").split('(').next().unwrap_or_default().to_string();
    let own: Vec<String> = rows.iter().filter_map(|row| row.op.as_ref()).map(variant).collect();
    let missing =
        Op::VARIANTS.iter().filter(|name| !NO_ROW.contains(name) && !own.iter().any(|own| own == *name));
    missing.map(|name| format!("{name} has no samples")).collect()
}

//! The rows of the matrix: every op of the registry, and every composite that has golden values.

use backprop_core::ops::*;
use backprop_core::{Array, DType, Dim, Ill, Op, Shape, Type};

use crate::functions::{Function, named, of_op};
use crate::golden::{Case, Pointwise};
use crate::matrix::{Column, Reason};
use crate::samples::{samples, wave};

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

/// One op of each variant, and each op of the tables.
pub fn ops() -> Vec<Op> {
    let scalar = Type::scalar(DType::F64);
    let (none, shape, axis) = (Axes::default(), Shape::SCALAR, 0);
    let full = Full::new(scalar, 0.0).expect("f64 holds 0");
    let mut ops: Vec<Op> = Vec::new();
    ops.extend(Unary::ALL.iter().map(|&op| Op::from(op)));
    ops.extend(Binary::ALL.iter().map(|&op| Op::from(op)));
    ops.extend(Compare::ALL.iter().map(|&op| Op::from(op)));
    ops.extend(Logic::ALL.iter().map(|&op| Op::from(op)));
    ops.extend([
        Op::from(Select),
        Cast { dtype: DType::F64 }.into(),
        StopGradient.into(),
        Identity.into(),
        Reshape { shape }.into(),
        Transpose { perm: none }.into(),
        Broadcast { shape }.into(),
        Slice { start: shape.into(), stop: shape.into(), step: shape.into() }.into(),
        Pad { low: shape.into(), high: shape.into(), interior: shape.into() }.into(),
        Concat { axis }.into(),
        Gather { axis }.into(),
        ScatterAdd { axis }.into(),
        OneHot { depth: Dim::Size(1), dtype: DType::F64 }.into(),
        ArgMax { axis }.into(),
        MaxWithIndex { axis }.into(),
        Sum { axes: none }.into(),
        Max { axes: none }.into(),
        Any { axes: none }.into(),
        LogSumExp { axes: none }.into(),
        Contract::default().into(),
        Uniform { ty: scalar }.into(),
        Normal { ty: scalar }.into(),
        Input { ty: scalar }.into(),
        Constant { array: Array::scalar(0.0).into() }.into(),
        full.into(),
        Iota { ty: scalar, axis }.into(),
        DimValue { dim: Dim::Size(1) }.into(),
        Missing.into(),
        IllCall::new("ill", Ill::new("an ill call")).into(),
    ]);
    ops
}

/// Every row: the ops, then the composites of the golden files.
pub fn rows(cases: &[Case], pointwise: &[Pointwise]) -> Vec<Row> {
    let row = |op: Op| {
        let sample = |(op, inputs)| Sample { f: of_op(&op), op: Some(op), inputs };
        Row {
            name: op.name().to_string(),
            samples: samples(&op).into_iter().map(sample).collect(),
            op: Some(op),
        }
    };
    let mut rows: Vec<Row> = ops().into_iter().map(row).collect();
    for Pointwise { name, .. } in pointwise {
        if rows.iter().all(|row| row.name != *name) {
            let shapes: [&[usize]; 4] = [&[], &[5], &[3, 2], &[0, 3]];
            let samples = shapes.iter().filter_map(|sizes| {
                let f = named(name, &serde_json::Value::Null)?;
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
                let f = named(op, &case.params)?;
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
        if column == Text {
            return Some(Reason::TextNotMerged);
        }
        let Some(op) = &self.op else {
            return match (self.name.as_str(), column) {
                (_, DTypes) => Some(Reason::ItsOps),
                (_, Masks) => Some(Reason::ItsOps),
                ("matmul" | "softmax" | "log_softmax" | "layer_norm" | "linear" | "cross_entropy", Rank0) => {
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
            Op::Missing(_) | Op::IllCall(_) => return Some(Reason::AlwaysIll),
            // On a tape an input is a value, which every sample is.
            Op::Input(_) => return Some(Reason::Leaf),
            Op::Constant(_) | Op::Full(_) | Op::Iota(_) | Op::DimValue(_) => {
                let is_golden = matches!(op, Op::Iota(_)) && column == Value;
                let applies = is_golden || matches!(column, Empty | Rank0 | NonSquare | Modes);
                let is_one = matches!(op, Op::DimValue(_)) && matches!(column, Empty | NonSquare);
                let is_along = matches!(op, Op::Iota(_)) && column == Rank0;
                return (!applies || is_one || is_along).then_some(Reason::Leaf);
            }
            _ => {}
        }
        let needs_axis = matches!(
            op,
            Op::Concat(_) | Op::Gather(_) | Op::ScatterAdd(_) | Op::ArgMax(_) | Op::MaxWithIndex(_)
        );
        match column {
            Gradient | Order2 | Jvp | Differences | JacobianTimesD | Flatten | Masks if !has_derivative => {
                Some(Reason::NoDerivative)
            }
            Value | Gradient | Order2 if matches!(op, Op::Identity(_)) => Some(Reason::Identity),
            Special if matches!(op, Op::Logic(_) | Op::Any(_) | Op::OneHot(_)) => Some(Reason::NoSpecial),
            Special if matches!(op, Op::Uniform(_) | Op::Normal(_)) => Some(Reason::FixedOperand),
            // A gather of rank 0 indices is there, but x itself has the axis.
            Rank0 if needs_axis => Some(Reason::NeedsAxis),
            _ => None,
        }
    }

    /// Whether the type rule is to accept `dtype` for the operands that share one type.
    pub fn accepts(&self, dtype: DType) -> bool {
        match &self.op {
            Some(Op::Unary(op)) if op.reference_int().is_none() => dtype.is_float(),
            Some(Op::Unary(_) | Op::Binary(_) | Op::Contract(_) | Op::Sum(_) | Op::Max(_)) => {
                dtype.is_number()
            }
            Some(Op::ArgMax(_) | Op::MaxWithIndex(_)) => dtype.is_number(),
            Some(Op::LogSumExp(_)) => dtype.is_float(),
            Some(Op::Logic(_) | Op::Any(_)) => dtype == DType::Bool,
            Some(Op::OneHot(_)) => dtype.is_int(),
            Some(Op::Uniform(_) | Op::Normal(_)) => dtype == DType::U32,
            _ => true,
        }
    }
}

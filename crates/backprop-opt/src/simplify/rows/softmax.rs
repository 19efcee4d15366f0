//! What a softmax shares with its logarithm.

use backprop_core::ops::{Axes, Binary, Broadcast, Max, Reshape, Sum, Unary};
use backprop_core::{Op, ValueId};

use crate::simplify::build::Build;
use crate::simplify::row::{Apply, Kind, Licence, Row};

/// The operands of a − b.
fn difference(b: &Build, value: ValueId) -> Option<[ValueId; 2]> {
    let is_difference = *b.op(value) == Binary::Sub.into();
    is_difference.then(|| b.inputs(value)).map(|x| [x[0], x[1]])
}

/// The reduced value that stands beside what it was reduced from.
fn reduced(b: &Build, value: ValueId) -> Option<ValueId> {
    let column = b.through(value, |op| matches!(op, Op::Broadcast(_)))?;
    Some(b.through(column, |op| matches!(op, Op::Reshape(_))).unwrap_or(column))
}

/// Whether t is x − max x over these axes: then no element of it is above 0, and one is 0, or all are NaN.
fn is_shifted(b: &Build, t: ValueId, axes: Axes) -> bool {
    let max_of = |m: ValueId| b.through(m, |op| *op == Max { axes }.into());
    difference(b, t).is_some_and(|[x, m]| reduced(b, m).and_then(max_of) == Some(x))
}

/// e^(t − ln Σ eᵗ) as eᵗ·(1/Σ eᵗ).
fn from_parts(b: &mut Build, op: &Op, x: &[ValueId]) -> Option<ValueId> {
    if *op != Unary::Exp.into() {
        return None;
    }
    let [t, log] = difference(b, x[0])?;
    let sum = b.through(reduced(b, log)?, |op| *op == Unary::Log.into())?;
    let Op::Sum(Sum { axes }) = *b.op(sum) else { return None };
    let e = b.inputs(sum)[0];
    if b.through(e, |op| *op == Unary::Exp.into()) != Some(t) || !is_shifted(b, t, axes) {
        return None;
    }
    let shape = b.ty(t).shape;
    let inverse = b.emit(Unary::Reciprocal, &[sum])?;
    let column = b.emit(Reshape { shape: shape.with_ones(&axes.to_vec()) }, &[inverse])?;
    let everywhere = b.emit(Broadcast { shape }, &[column])?;
    b.emit(Binary::Mul, &[e, everywhere])
}

pub(crate) const SOFTMAX: &[Row] = &[Row {
    name: "softmax from its parts",
    equation: "e^(t − ln Σ eᵗ) = eᵗ·(1/Σ eᵗ) where t = x − max x, so that 1 ≤ Σ eᵗ ≤ n",
    licence: Licence::Reassociate,
    before: "x = input : f32[2, 3]; m = max(x) {axes: [1]}; c = reshape(m) {shape: [2, 1]}; \
             b = broadcast(c) {shape: [2, 3]}; t = sub(x, b); e = exp(t); s = sum(e) {axes: [1]}; l = log(s); \
             r = reshape(l) {shape: [2, 1]}; a = broadcast(r) {shape: [2, 3]}; d = sub(t, a); y = exp(d); return y",
    after: "x = input : f32[2, 3]; m = max(x) {axes: [1]}; c = reshape(m) {shape: [2, 1]}; \
            b = broadcast(c) {shape: [2, 3]}; t = sub(x, b); e = exp(t); s = sum(e) {axes: [1]}; \
            %7 = reciprocal(s); %8 = reshape(%7) {shape: [2, 1]}; %9 = broadcast(%8) {shape: [2, 3]}; \
            y = mul(e, %9); return y",
    at: &[Kind::Unary],
    apply: Apply::One(from_parts),
}];

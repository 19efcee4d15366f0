//! Sums in which an index chooses one element.

use backprop_core::ops::{Axes, Compare, Gather, Literal, Sum};
use backprop_core::{DType, Op, Type, ValueId};

use crate::simplify::build::Build;
use crate::simplify::row::{Apply, Kind, Licence, Row};

/// So many numbers 0, 1, 2, … of a type differ: then they round, or start anew.
fn n_told_apart(dtype: DType) -> usize {
    match dtype {
        DType::Bool => 2,
        DType::U8 => 1 << 8,
        DType::F32 => 1 << 24,
        DType::I32 => 1 << 31,
        DType::F64 | DType::U32 | DType::I64 => u32::MAX as usize,
    }
}

/// The indices whose one-hot rows along `axis` a condition is. They were looked up among 0, 1, 2, …, so one
/// place of each row holds.
fn hot_indices(b: &Build, condition: ValueId, axis: usize) -> Option<ValueId> {
    let shape = b.ty(condition).shape;
    if *b.op(condition) != Compare::Eq.into() {
        return None;
    }
    let counted = b.ty(b.inputs(condition)[0]).dtype;
    if shape[axis].size().is_none_or(|size| size > n_told_apart(counted)) {
        return None;
    }
    let is_count = |value: ValueId, along: usize| matches!(b.op(value), Op::Iota(op) if op.axis == along);
    let sides = b.inputs(condition);
    let found = match (is_count(sides[0], axis), is_count(sides[1], axis)) {
        (false, true) => sides[0],
        (true, false) => sides[1],
        _ => return None,
    };
    let column = b.through(found, |op| matches!(op, Op::Broadcast(_)))?;
    let rows = b.through(column, |op| matches!(op, Op::Reshape(_)))?;
    let is_row = b.ty(column).shape == shape.with_ones(&[axis]) && b.ty(rows).shape == shape.without(&[axis]);
    if !is_row || *b.op(rows) != (Gather { axis: 0 }).into() {
        return None;
    }
    let lookup = b.inputs(rows);
    let counts_all = is_count(lookup[0], 0) && b.ty(lookup[0]).shape[..] == [shape[axis]];
    counts_all.then_some(lookup[1])
}

/// Σₖ (c where k = xᵢ, else 0), as c looked up at xᵢ.
fn sum_of_one_hot(b: &mut Build, op: &Op, x: &[ValueId]) -> Option<ValueId> {
    let Op::Sum(Sum { axes }) = *op else { return None };
    let &[condition, taken, other] = &b.inputs(x[0])[..] else { return None };
    if !matches!(b.op(x[0]), Op::Select(_)) || !b.is(other, 0.0) {
        return None;
    }
    let number = match b.uniform(taken)? {
        Literal::Float(number) if number != 0.0 => number,
        _ => return None,
    };
    let ty = b.ty(x[0]);
    let (axis, indices) = axes.iter().find_map(|axis| Some((axis, hot_indices(b, condition, axis)?)))?;
    let numbers = b.full(Type::new(ty.dtype, [ty.shape[axis]]), number)?;
    let each = b.emit(Gather { axis: 0 }, &[numbers, indices])?;
    let rest: Vec<usize> =
        axes.iter().filter(|&other| other != axis).map(|other| other - usize::from(other > axis)).collect();
    if rest.is_empty() { Some(each) } else { b.emit(Sum { axes: Axes::new(&rest) }, &[each]) }
}

pub(crate) const ONE_HOT: &[Row] = &[Row {
    name: "sum of one hot",
    equation: "Σₖ (c where k = xᵢ, else 0) = c, for a number c ≠ 0; looked up at xᵢ, for the fault of one out of range",
    licence: Licence::Exact,
    before: "x = input : i64[2]; n = iota {axis: 0} : i32[3]; f = gather(n, x) {axis: 0}; \
             r = reshape(f) {shape: [2, 1]}; b = broadcast(r) {shape: [2, 3]}; \
             k = iota {axis: 1} : i32[2, 3]; h = eq(b, k); c = full {value: 5.0} : f32[2, 3]; \
             z = full {value: 0.0} : f32[2, 3]; s = select(h, c, z); y = sum(s) {axes: [1]}; return y",
    after: "x = input : i64[2]; %1 = full {value: 5.0} : f32[3]; y = gather(%1, x) {axis: 0}; return y",
    at: &[Kind::Reduction],
    apply: Apply::One(sum_of_one_hot),
}];

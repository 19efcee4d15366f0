//! Contractions: a movement of an operand is a matter of which axis is which.

use backprop_core::ops::{Axes, Contract, Reshape, Transpose};
use backprop_core::{Dim, Op, Shape, ValueId};

use super::movement::is_identity;
use crate::simplify::build::Build;
use crate::simplify::row::{Apply, Kind, Licence, Row};

const CONTRACTION: &[Kind] = &[Kind::Contract];

/// One operand of a contraction: which one, and its axes that are summed and kept one by one.
#[derive(Clone, Copy)]
enum Side {
    Lhs,
    Rhs,
}

impl Side {
    fn slot(self) -> usize {
        self as usize
    }

    fn axes(self, op: &Contract) -> [Axes; 2] {
        match self {
            Side::Lhs => [op.lhs_contract, op.lhs_batch],
            Side::Rhs => [op.rhs_contract, op.rhs_batch],
        }
    }

    fn with_axes(self, op: &Contract, [contract, batch]: [Axes; 2]) -> Contract {
        match self {
            Side::Lhs => Contract { lhs_contract: contract, lhs_batch: batch, ..*op },
            Side::Rhs => Contract { rhs_contract: contract, rhs_batch: batch, ..*op },
        }
    }

    fn free(self, op: &Contract, rank: usize) -> Vec<usize> {
        match self {
            Side::Lhs => op.lhs_free(rank),
            Side::Rhs => op.rhs_free(rank),
        }
    }
}

/// Reads through a transpose: its axes are named anew, and those of the result put in order.
fn through_transpose(b: &mut Build, op: &Op, x: &[ValueId], side: Side) -> Option<ValueId> {
    let Op::Contract(own) = *op else { return None };
    let Op::Transpose(Transpose { perm }) = *b.op(x[side.slot()]) else { return None };
    let source = b.inputs(x[side.slot()])[0];
    let named = |axes: Axes| Axes::new(&axes.iter().map(|axis| perm.get(axis)).collect::<Vec<_>>());
    let new = side.with_axes(&own, side.axes(&own).map(named));
    let rank = perm.len();
    // The free axes come out in the order of the source; the result wants that of the transpose.
    let (was, is) = (side.free(&own, rank), side.free(&new, rank));
    let n_batch = own.lhs_batch.len();
    let n_lhs = own.lhs_free(b.ty(x[0]).shape.rank()).len();
    let n_out = n_batch + n_lhs + own.rhs_free(b.ty(x[1]).shape.rank()).len();
    let from = n_batch + if side.slot() == 0 { 0 } else { n_lhs };
    let mut order: Vec<usize> = (0..n_out).collect();
    for (position, &axis) in was.iter().enumerate() {
        let at = is.iter().position(|&own| own == perm.get(axis))?;
        order[from + position] = from + at;
    }
    let mut operands = [x[0], x[1]];
    operands[side.slot()] = source;
    let y = b.emit(new, &operands)?;
    let order = Axes::new(&order);
    if is_identity(order) { Some(y) } else { b.emit(Transpose { perm: order }, &[y]) }
}

/// Reads through a reshape that only adds or drops axes of size 1 which are neither summed nor batch axes.
fn through_ones(b: &mut Build, op: &Op, x: &[ValueId], side: Side) -> Option<ValueId> {
    let Op::Contract(own) = *op else { return None };
    let Op::Reshape(_) = *b.op(x[side.slot()]) else { return None };
    let source = b.inputs(x[side.slot()])[0];
    let (was, is) = (b.ty(x[side.slot()]).shape, b.ty(source).shape);
    let long = |shape: Shape| -> Vec<usize> {
        (0..shape.rank()).filter(|&axis| shape[axis] != Dim::Size(1)).collect()
    };
    let (was_long, is_long) = (long(was), long(is));
    let same = was_long.len() == is_long.len()
        && was_long.iter().zip(&is_long).all(|(&old, &new)| was[old] == is[new]);
    if !same {
        return None;
    }
    let named = |axes: Axes| -> Option<Axes> {
        let of = |axis: usize| was_long.iter().position(|&long| long == axis).map(|at| is_long[at]);
        Some(Axes::new(&axes.iter().map(of).collect::<Option<Vec<_>>>()?))
    };
    let [contract, batch] = side.axes(&own);
    let new = side.with_axes(&own, [named(contract)?, named(batch)?]);
    let shape = op.infer(&[b.ty(x[0]), b.ty(x[1])]).ok()?[0].shape;
    let mut operands = [x[0], x[1]];
    operands[side.slot()] = source;
    let y = b.emit(new, &operands)?;
    if b.ty(y).shape == shape { Some(y) } else { b.emit(Reshape { shape }, &[y]) }
}

pub(crate) const CONTRACT: &[Row] = &[
    Row {
        name: "contraction of a transpose",
        equation: "Aᵀ·B names the axes of A anew; each element is the same sum",
        licence: Licence::Exact,
        before: "a = input : f32[2, 3, 5]; b = input : f32[2, 7]; t = transpose(a) {perm: [2, 1, 0]}; \
                 y = contract(t, b) {lhs_contract: [2], rhs_contract: [0]}; return y",
        after: "a = input : f32[2, 3, 5]; b = input : f32[2, 7]; \
                %2 = contract(a, b) {lhs_contract: [0], rhs_contract: [0]}; \
                y = transpose(%2) {perm: [1, 0, 2]}; return y",
        at: CONTRACTION,
        apply: Apply::One(|b, op, x| {
            through_transpose(b, op, x, Side::Lhs).or_else(|| through_transpose(b, op, x, Side::Rhs))
        }),
    },
    Row {
        name: "contraction of a reshape",
        equation: "axes of size 1 of an operand are put into the result instead",
        licence: Licence::Exact,
        before: "a = input : f32[3]; b = input : f32[3, 5]; r = reshape(a) {shape: [1, 3]}; \
                 y = contract(r, b) {lhs_contract: [1], rhs_contract: [0]}; return y",
        after: "a = input : f32[3]; b = input : f32[3, 5]; \
                %2 = contract(a, b) {lhs_contract: [0], rhs_contract: [0]}; \
                y = reshape(%2) {shape: [1, 5]}; return y",
        at: CONTRACTION,
        apply: Apply::One(|b, op, x| {
            through_ones(b, op, x, Side::Lhs).or_else(|| through_ones(b, op, x, Side::Rhs))
        }),
    },
];

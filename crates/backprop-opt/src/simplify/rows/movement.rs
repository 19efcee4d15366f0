//! Reshape, transpose, broadcast: movements that undo, join, or are one another.

use backprop_core::ops::{Axes, Broadcast, Contract, Iota, Reshape, Transpose};
use backprop_core::{Dim, Op, Shape, Type, ValueId};

use crate::simplify::build::Build;
use crate::simplify::row::{Apply, Kind, Licence, Row};

const ONE: Dim = Dim::Size(1);

pub(super) fn is_identity(perm: Axes) -> bool {
    perm.iter().enumerate().all(|(to, from)| to == from)
}

/// Whether `long` is `short` behind axes of size 1.
fn only_leads(short: Shape, long: Shape) -> bool {
    long.rank()
        .checked_sub(short.rank())
        .is_some_and(|lead| long[lead..] == short[..] && long[..lead].iter().all(|&dim| dim == ONE))
}

/// `perm` after `first`: axis k of the result is axis `first[perm[k]]`.
pub(super) fn after(perm: Axes, first: Axes) -> Axes {
    Axes::new(&perm.iter().map(|axis| first.get(axis)).collect::<Vec<_>>())
}

/// Swaps the operands of a contraction whose free axes `perm` swaps.
fn swapped(b: &Build, perm: Axes, value: ValueId) -> Option<(Contract, [ValueId; 2])> {
    let Op::Contract(own) = *b.op(value) else { return None };
    let x = b.inputs(value);
    let (n_batch, n_lhs) = (own.lhs_batch.len(), own.lhs_free(b.ty(x[0]).shape.rank()).len());
    let rank = perm.len();
    let wanted = (0..n_batch).chain(n_batch + n_lhs..rank).chain(n_batch..n_batch + n_lhs);
    let op = Contract {
        lhs_contract: own.rhs_contract,
        rhs_contract: own.lhs_contract,
        lhs_batch: own.rhs_batch,
        rhs_batch: own.lhs_batch,
    };
    perm.iter().eq(wanted).then_some((op, [x[1], x[0]]))
}

const RESHAPE: &[Kind] = &[Kind::Reshape];
const TRANSPOSE: &[Kind] = &[Kind::Transpose];
const BROADCAST: &[Kind] = &[Kind::Broadcast];

pub(crate) const MOVEMENT: &[Row] = &[
    Row {
        name: "movement of nothing",
        equation: "reshape, transpose or broadcast to what x is already = x",
        licence: Licence::Exact,
        before: "x = input : f32[2, 3]; r = reshape(x) {shape: [2, 3]}; t = transpose(r) {perm: [0, 1]}; \
                 y = broadcast(t) {shape: [2, 3]}; return y",
        after: "x = input : f32[2, 3]; return y: x",
        at: &[Kind::Reshape, Kind::Transpose, Kind::Broadcast],
        apply: Apply::One(|b, op, x| {
            let own = b.ty(x[0]).shape;
            let stays = match op {
                Op::Reshape(reshape) => reshape.shape == own,
                Op::Transpose(transpose) => is_identity(transpose.perm),
                Op::Broadcast(broadcast) => broadcast.shape == own,
                _ => false,
            };
            stays.then_some(x[0])
        }),
    },
    Row {
        name: "movement of one number",
        equation: "the shape of a uniform value is the one that is wanted",
        licence: Licence::Exact,
        before: "c = full {value: 2.0} : f32[]; y = broadcast(c) {shape: [2, 3]}; return y",
        after: "y = full {value: 2.0} : f32[2, 3]; return y",
        at: &[Kind::Reshape, Kind::Transpose, Kind::Broadcast],
        apply: Apply::One(|b, op, x| {
            b.uniform(x[0])?;
            let ty = op.infer(&[b.ty(x[0])]).ok()?[0];
            b.refilled(x[0], ty.shape)
        }),
    },
    Row {
        name: "reshaped twice",
        equation: "reshape(reshape x) = reshape x",
        licence: Licence::Exact,
        before: "x = input : f32[2, 3]; r = reshape(x) {shape: [6]}; y = reshape(r) {shape: [3, 2]}; return y",
        after: "x = input : f32[2, 3]; y = reshape(x) {shape: [3, 2]}; return y",
        at: RESHAPE,
        apply: Apply::One(|b, op, x| {
            let source = b.through(x[0], |op| matches!(op, Op::Reshape(_)))?;
            b.emit(op.clone(), &[source])
        }),
    },
    Row {
        name: "transposed twice",
        equation: "transpose(transpose x) = transpose x",
        licence: Licence::Exact,
        before: "x = input : f32[2, 3, 5]; t = transpose(x) {perm: [2, 0, 1]}; \
                 y = transpose(t) {perm: [1, 0, 2]}; return y",
        after: "x = input : f32[2, 3, 5]; y = transpose(x) {perm: [0, 2, 1]}; return y",
        at: TRANSPOSE,
        apply: Apply::One(|b, op, x| match (op, b.op(x[0])) {
            (Op::Transpose(outer), Op::Transpose(inner)) => {
                let perm = after(outer.perm, inner.perm);
                let source = b.inputs(x[0])[0];
                b.emit(Transpose { perm }, &[source])
            }
            _ => None,
        }),
    },
    Row {
        name: "transposed ones",
        equation: "a transpose that only moves axes of size 1 = reshape",
        licence: Licence::Exact,
        before: "x = input : f32[2, 1, 3]; y = transpose(x) {perm: [1, 0, 2]}; return y",
        after: "x = input : f32[2, 1, 3]; y = reshape(x) {shape: [1, 2, 3]}; return y",
        at: TRANSPOSE,
        apply: Apply::One(|b, op, x| {
            let Op::Transpose(transpose) = op else { return None };
            let own = b.ty(x[0]).shape;
            let moved: Vec<usize> = transpose.perm.iter().filter(|&axis| own[axis] != ONE).collect();
            let shape = Shape::new(&transpose.perm.iter().map(|axis| own[axis]).collect::<Vec<_>>());
            if moved.is_sorted() { b.emit(Reshape { shape }, &[x[0]]) } else { None }
        }),
    },
    Row {
        name: "transposed contraction",
        equation: "(A·B)ᵀ = Bᵀ·Aᵀ, with the axes named anew; each element is the same sum",
        licence: Licence::Exact,
        before: "a = input : f32[2, 3]; b = input : f32[3, 5]; \
                 p = contract(a, b) {lhs_contract: [1], rhs_contract: [0]}; \
                 y = transpose(p) {perm: [1, 0]}; return y",
        after: "a = input : f32[2, 3]; b = input : f32[3, 5]; \
                y = contract(b, a) {lhs_contract: [0], rhs_contract: [1]}; return y",
        at: TRANSPOSE,
        apply: Apply::One(|b, op, x| {
            let Op::Transpose(transpose) = op else { return None };
            let (op, operands) = swapped(b, transpose.perm, x[0])?;
            b.emit(op, &operands)
        }),
    },
    Row {
        name: "broadcast twice",
        equation: "broadcast(broadcast x) = broadcast x",
        licence: Licence::Exact,
        before: "x = input : f32[3]; r = broadcast(x) {shape: [1, 3]}; \
                 s = broadcast(r) {shape: [2, 3]}; y = broadcast(s) {shape: [5, 2, 3]}; return y",
        after: "x = input : f32[3]; y = broadcast(x) {shape: [5, 2, 3]}; return y",
        at: BROADCAST,
        apply: Apply::One(|b, op, x| {
            let source = b.through(x[0], |op| matches!(op, Op::Broadcast(_)))?;
            b.emit(op.clone(), &[source])
        }),
    },
    Row {
        name: "broadcast of leading ones",
        equation: "broadcast(x under leading axes of size 1) = broadcast x",
        licence: Licence::Exact,
        before: "x = input : f32[3]; r = reshape(x) {shape: [1, 3]}; \
                 y = broadcast(r) {shape: [2, 3]}; return y",
        after: "x = input : f32[3]; y = broadcast(x) {shape: [2, 3]}; return y",
        at: BROADCAST,
        apply: Apply::One(|b, op, x| {
            let source = b.through(x[0], |op| matches!(op, Op::Reshape(_)))?;
            let leads = only_leads(b.ty(source).shape, b.ty(x[0]).shape);
            if leads { b.emit(op.clone(), &[source]) } else { None }
        }),
    },
    Row {
        name: "broadcast to leading ones",
        equation: "a broadcast that repeats nothing = reshape",
        licence: Licence::Exact,
        before: "x = input : f32[3]; y = broadcast(x) {shape: [1, 3]}; return y",
        after: "x = input : f32[3]; y = reshape(x) {shape: [1, 3]}; return y",
        at: BROADCAST,
        apply: Apply::One(|b, op, x| {
            let Op::Broadcast(Broadcast { shape }) = *op else { return None };
            if only_leads(b.ty(x[0]).shape, shape) { b.emit(Reshape { shape }, &[x[0]]) } else { None }
        }),
    },
    Row {
        name: "counting under another shape",
        equation: "broadcast or transpose of 0, 1, 2, … = counting along where that axis went",
        licence: Licence::Exact,
        before: "i = iota {axis: 0} : i64[3]; y = broadcast(i) {shape: [2, 3]}; return y",
        after: "y = iota {axis: 1} : i64[2, 3]; return y",
        at: &[Kind::Broadcast, Kind::Transpose],
        apply: Apply::One(|b, op, x| {
            let Op::Iota(iota) = *b.op(x[0]) else { return None };
            let shape = op.infer(&[b.ty(x[0])]).ok()?[0].shape;
            let axis = match op {
                // An axis of size 1 that is repeated counts 0, 0, ...
                Op::Broadcast(_) => {
                    let axis = iota.axis + shape.rank() - iota.ty.shape.rank();
                    Some(axis).filter(|&axis| shape[axis] == b.ty(x[0]).shape[iota.axis])?
                }
                Op::Transpose(transpose) => transpose.perm.iter().position(|axis| axis == iota.axis)?,
                _ => return None,
            };
            b.emit(Iota { ty: Type { shape, ..iota.ty }, axis }, &[])
        }),
    },
];

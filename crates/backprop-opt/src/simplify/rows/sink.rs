//! Movements after pointwise ops: there they meet their inverses, contractions, and fewer elements.

use backprop_core::ops::{Binary, Broadcast, broadcast_shapes};
use backprop_core::{Op, ValueId};
use smallvec::SmallVec;

use crate::simplify::build::Build;
use crate::simplify::row::{Apply, Kind, Licence, Row};

type Operands = SmallVec<[ValueId; 3]>;

/// f(move a, move b) as move f(a, b), where all operands are moved alike or uniform.
fn moved_alike(b: &mut Build, op: &Op, x: &[ValueId]) -> Option<ValueId> {
    let is_movement = |op: &Op| matches!(op, Op::Reshape(_) | Op::Transpose(_));
    let moved = x.iter().copied().find(|&value| is_movement(b.op(value)))?;
    let (movement, source) = (b.op(moved).clone(), b.inputs(moved)[0]);
    let shape = b.ty(source).shape;
    let mut operands = Operands::new();
    for &value in x {
        if *b.op(value) == movement && b.ty(b.inputs(value)[0]).shape == shape {
            operands.push(b.inputs(value)[0]);
        } else {
            operands.push(b.refilled(value, shape)?);
        }
    }
    let y = b.emit(op.clone(), &operands)?;
    b.emit(movement, &[y])
}

/// f(broadcast a, broadcast b) as broadcast f(a, b), over what a and b have in common.
fn broadcast_alike(b: &mut Build, op: &Op, x: &[ValueId]) -> Option<ValueId> {
    // Of nothing there is no fault, of the one element that becomes nothing there may be.
    if *op == Binary::Div.into() && b.ty(x[0]).dtype.is_int() {
        return None;
    }
    let shape = b.ty(x[0]).shape;
    let mut common = None;
    for &value in x.iter().filter(|&&value| b.uniform(value).is_none()) {
        let source = b.through(value, |op| matches!(op, Op::Broadcast(_)))?;
        let own = b.ty(source).shape;
        common = Some(match common {
            None => own,
            Some(common) => broadcast_shapes(common, own).ok()?,
        });
    }
    let common = common.filter(|&common| common != shape)?;
    let mut operands = Operands::new();
    for &value in x {
        operands.push(match b.uniform(value) {
            Some(_) => b.refilled(value, common)?,
            None => {
                let source = b.inputs(value)[0];
                b.emit(Broadcast { shape: common }, &[source])?
            }
        });
    }
    let y = b.emit(op.clone(), &operands)?;
    b.emit(Broadcast { shape }, &[y])
}

pub(crate) const SINK: &[Row] = &[
    Row {
        name: "broadcast after",
        equation: "f(broadcast a, broadcast b) = broadcast f(a, b)",
        licence: Licence::Exact,
        before: "a = input : f32[3]; b = input : f32[]; p = broadcast(a) {shape: [2, 3]}; \
                 q = broadcast(b) {shape: [2, 3]}; y = mul(p, q); return y",
        after: "a = input : f32[3]; b = input : f32[]; %2 = broadcast(b) {shape: [3]}; \
                %3 = mul(a, %2); y = broadcast(%3) {shape: [2, 3]}; return y",
        at: Kind::POINTWISE,
        apply: Apply::One(broadcast_alike),
    },
    Row {
        name: "movement after",
        equation: "f(move a, move b) = move f(a, b), for reshape and transpose",
        licence: Licence::Exact,
        before: "a = input : f32[2, 3]; b = input : f32[2, 3]; p = transpose(a) {perm: [1, 0]}; \
                 q = transpose(b) {perm: [1, 0]}; y = mul(p, q); return y",
        after: "a = input : f32[2, 3]; b = input : f32[2, 3]; %2 = mul(a, b); \
                y = transpose(%2) {perm: [1, 0]}; return y",
        at: Kind::POINTWISE,
        apply: Apply::One(moved_alike),
    },
];

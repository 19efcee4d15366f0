//! Slice, pad, concat.

use backprop_core::ops::{Pad, Slice};
use backprop_core::{Dim, Dims, Op, Shape, Type, ValueId};

use crate::simplify::build::Build;
use crate::simplify::row::{Apply, Kind, Licence, Row};

const PARTS: &[Kind] = &[Kind::Part];

fn all(dims: &Dims, wanted: usize) -> bool {
    dims.iter().all(|&dim| dim == Dim::Size(wanted))
}

/// The slice of a slice as one, where all its numbers are known.
fn joined(outer: &Slice, inner: &Slice, inner_shape: Shape) -> Option<Slice> {
    let (mut start, mut stop, mut step) = (Vec::new(), Vec::new(), Vec::new());
    for axis in 0..inner_shape.rank() {
        let of = |dims: &Dims| dims[axis].size();
        let (first, by) = (of(&inner.start)?, of(&inner.step)?);
        let (outer_first, outer_stop, outer_by) = (of(&outer.start)?, of(&outer.stop)?, of(&outer.step)?);
        let count = (outer_stop - outer_first).div_ceil(outer_by);
        let begin = first.checked_add(outer_first.checked_mul(by)?)?;
        let stride = by.checked_mul(outer_by)?;
        start.push(Dim::Size(begin));
        stop.push(Dim::Size(if count == 0 { begin } else { begin + (count - 1) * stride + 1 }));
        step.push(Dim::Size(stride));
    }
    let [start, stop, step] = [start, stop, step].map(|list| list.into_iter().collect::<Dims>());
    Some(Slice { start, stop, step })
}

/// The operand of a concatenation that a slice lies in, and the slice of it; the others cannot fault.
fn within_one(b: &Build, slice: &Slice, x: ValueId) -> Option<(Slice, ValueId)> {
    let Op::Concat(concat) = *b.op(x) else { return None };
    let (start, stop) = (slice.start[concat.axis].size()?, slice.stop[concat.axis].size()?);
    let operands = b.inputs(x);
    let mut begin = 0;
    for &operand in &operands {
        let end = begin + b.ty(operand).shape[concat.axis].size()?;
        if begin <= start && stop <= end && start < stop {
            if operands.iter().any(|&other| other != operand && b.may_fault(other)) {
                return None;
            }
            let moved = |dims: &Dims| -> Dims {
                let at = |(axis, &dim)| if axis == concat.axis { dim - Dim::Size(begin) } else { dim };
                dims.iter().enumerate().map(at).collect()
            };
            let own =
                Slice { start: moved(&slice.start), stop: moved(&slice.stop), step: slice.step.clone() };
            return Some((own, operand));
        }
        begin = end;
    }
    None
}

/// Whether a slice takes just what a padding was put around.
fn undoes(slice: &Slice, pad: &Pad, x: Type, y: Type) -> bool {
    let is_next = |(&gap, &step): (&Dim, &Dim)| gap + Dim::Size(1) == step;
    x == y && slice.start == pad.low && pad.interior.iter().zip(slice.step.iter()).all(is_next)
}

pub(crate) const PART: &[Row] = &[
    Row {
        name: "slice of everything",
        equation: "x[0..n] = x",
        licence: Licence::Exact,
        before: "x = input : f32[3, B]; y = slice(x) {start: [0, 0], stop: [3, B]}; return y",
        after: "x = input : f32[3, B]; return y: x",
        at: PARTS,
        apply: Apply::One(|b, op, x| {
            let Op::Slice(slice) = op else { return None };
            let whole = slice.stop[..] == b.ty(x[0]).shape[..];
            (whole && all(&slice.start, 0) && all(&slice.step, 1)).then_some(x[0])
        }),
    },
    Row {
        name: "slice of a slice",
        equation: "x[a.., by s][c.., by t] = x[a + c·s.., by s·t]",
        licence: Licence::Exact,
        before: "x = input : f32[11]; s = slice(x) {start: [1], stop: [10], step: [2]}; \
                 y = slice(s) {start: [1], stop: [5], step: [3]}; return y",
        after: "x = input : f32[11]; y = slice(x) {start: [3], stop: [10], step: [6]}; return y",
        at: PARTS,
        apply: Apply::One(|b, op, x| match (op, b.op(x[0])) {
            (Op::Slice(outer), Op::Slice(inner)) => {
                let (slice, source) = (joined(outer, inner, b.ty(x[0]).shape)?, b.inputs(x[0])[0]);
                b.emit(slice, &[source])
            }
            _ => None,
        }),
    },
    Row {
        name: "slice of one number",
        equation: "a part of a uniform value is uniform",
        licence: Licence::Exact,
        before: "c = full {value: 2.0} : f32[2000]; y = slice(c) {start: [1], stop: [1500]}; return y",
        after: "y = full {value: 2.0} : f32[1499]; return y",
        at: PARTS,
        apply: Apply::One(|b, op, x| {
            let Op::Slice(_) = op else { return None };
            b.uniform(x[0])?;
            // With names among the sizes a range may turn out to be wrong.
            b.ty(x[0]).shape.sizes()?;
            let ty = op.infer(&[b.ty(x[0])]).ok()?[0];
            ty.shape.sizes()?;
            b.refilled(x[0], ty.shape)
        }),
    },
    Row {
        name: "slice of one operand",
        equation: "a part of (x₀, x₁, …) that lies in xₖ = a part of xₖ",
        licence: Licence::Exact,
        before: "a = input : f32[2]; b = input : f32[3]; c = concat(a, b) {axis: 0}; \
                 y = slice(c) {start: [3], stop: [5]}; return y",
        after: "a = input : f32[2]; b = input : f32[3]; y = slice(b) {start: [1], stop: [3]}; return y",
        at: PARTS,
        apply: Apply::One(|b, op, x| {
            let Op::Slice(slice) = op else { return None };
            let (slice, operand) = within_one(b, slice, x[0])?;
            b.emit(slice, &[operand])
        }),
    },
    Row {
        name: "slice of a padding",
        equation: "the part of a padded x that is x = x",
        licence: Licence::Exact,
        before: "x = input : f32[3]; p = pad(x) {low: [1], high: [2], interior: [1]}; \
                 y = slice(p) {start: [1], stop: [6], step: [2]}; return y",
        after: "x = input : f32[3]; return y: x",
        at: PARTS,
        apply: Apply::One(|b, op, x| match (op, b.op(x[0])) {
            (Op::Slice(slice), Op::Pad(pad)) => {
                let source = b.inputs(x[0])[0];
                let y = op.infer(&[b.ty(x[0])]).ok()?[0];
                y.shape.sizes()?;
                undoes(slice, pad, b.ty(source), y).then_some(source)
            }
            _ => None,
        }),
    },
    Row {
        name: "padding of nothing",
        equation: "x between no zeros = x",
        licence: Licence::Exact,
        before: "x = input : f32[3]; y = pad(x) {low: [0], high: [0]}; return y",
        after: "x = input : f32[3]; return y: x",
        at: PARTS,
        apply: Apply::One(|_, op, x| {
            let Op::Pad(pad) = op else { return None };
            [&pad.low, &pad.high, &pad.interior].iter().all(|list| all(list, 0)).then_some(x[0])
        }),
    },
    Row {
        name: "padding of zeros",
        equation: "zeros between zeros = zeros",
        licence: Licence::Exact,
        before: "c = full {value: 0.0} : f32[3]; y = pad(c) {low: [1], high: [2]}; return y",
        after: "y = full {value: 0.0} : f32[6]; return y",
        at: PARTS,
        apply: Apply::One(|b, op, x| {
            let (Op::Pad(_), true) = (op, b.is(x[0], 0.0)) else { return None };
            let ty = op.infer(&[b.ty(x[0])]).ok()?[0];
            ty.shape.sizes()?;
            b.refilled(x[0], ty.shape)
        }),
    },
    Row {
        name: "concatenation of one",
        equation: "concat(x) = x",
        licence: Licence::Exact,
        before: "x = input : f32[3]; y = concat(x) {axis: 0}; return y",
        after: "x = input : f32[3]; return y: x",
        at: PARTS,
        apply: Apply::One(|_, op, x| (matches!(op, Op::Concat(_)) && x.len() == 1).then_some(x[0])),
    },
];

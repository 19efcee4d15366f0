//! Sum, max, any over axes.

use backprop_core::ops::{
    Any, Axes, Binary, Broadcast, Contract, DimValue, Literal, Max, Reshape, Sum, Transpose, Unary,
};
use backprop_core::{Dim, Op, Shape, Type, ValueId};

use super::arithmetic::{negated, product};
use super::movement::is_identity;
use crate::simplify::build::Build;
use crate::simplify::row::{Apply, Kind, Licence, Row};

const REDUCE: &[Kind] = &[Kind::Reduction];

/// The axes of a reduction.
fn axes_of(op: &Op) -> Option<Axes> {
    match op {
        Op::Sum(Sum { axes }) | Op::Max(Max { axes }) | Op::Any(Any { axes }) => Some(*axes),
        _ => None,
    }
}

/// The same reduction over other axes.
fn over(op: &Op, axes: &[usize]) -> Op {
    let axes = Axes::new(axes);
    match op {
        Op::Max(_) => Max { axes }.into(),
        Op::Any(_) => Any { axes }.into(),
        _ => Sum { axes }.into(),
    }
}

/// The axes below `rank` that are not in the list.
fn others(rank: usize, axes: Axes) -> Vec<usize> {
    (0..rank).filter(|&axis| !axes.contains(axis)).collect()
}

/// Where each of `axes` stands among the axes that are left when `gone` are left out.
fn among(axes: impl Iterator<Item = usize>, gone: &[usize]) -> Vec<usize> {
    axes.map(|axis| axis - gone.iter().filter(|&&other| other < axis).count()).collect()
}

/// x under the shape without its axes of size 1 among those that are reduced, and reduced over the others.
fn without_ones(b: &mut Build, op: &Op, x: &[ValueId]) -> Option<ValueId> {
    let (axes, shape) = (axes_of(op)?, b.ty(x[0]).shape);
    if axes.is_empty() {
        return Some(x[0]);
    }
    let ones: Vec<usize> = axes.iter().filter(|&axis| shape[axis] == Dim::Size(1)).collect();
    if ones.is_empty() {
        return None;
    }
    let fewer = b.emit(Reshape { shape: shape.without(&ones) }, &[x[0]])?;
    let rest = among(axes.iter().filter(|axis| !ones.contains(axis)), &ones);
    if rest.is_empty() { Some(fewer) } else { b.emit(over(op, &rest), &[fewer]) }
}

/// Of a reduced broadcast: its source under the shape without the axes that only repeat it and are reduced;
/// those axes; and what is left to reduce.
struct Repeated {
    source: ValueId,
    axes: Vec<usize>,
    rest: Vec<usize>,
    shape: Shape,
}

fn repeated(b: &mut Build, op: &Op, x: ValueId) -> Option<Repeated> {
    let Op::Broadcast(broadcast) = *b.op(x) else { return None };
    let source = b.inputs(x)[0];
    let (own, reduced) = (b.ty(source).shape, axes_of(op)?);
    let axes: Vec<usize> =
        broadcast.repeated_axes(own).into_iter().filter(|&axis| reduced.contains(axis)).collect();
    if axes.is_empty() {
        return None;
    }
    let lead = broadcast.shape.rank() - own.rank();
    let ones: Vec<usize> = axes.iter().filter_map(|axis| axis.checked_sub(lead)).collect();
    let fewer = own.without(&ones);
    let source = if ones.is_empty() { source } else { b.emit(Reshape { shape: fewer }, &[source])? };
    let shape = broadcast.shape.without(&axes);
    let source = if shape == fewer { source } else { b.emit(Broadcast { shape }, &[source])? };
    let rest = among(reduced.iter().filter(|axis| !axes.contains(axis)), &axes);
    Some(Repeated { source, axes, rest, shape: broadcast.shape })
}

/// The number of elements along these axes, as a value of this type. Of floats only where it is known not to be
/// 0: the sum of nothing is 0, and 0·∞ is not.
fn count(b: &mut Build, shape: Shape, axes: &[usize], ty: Type) -> Option<ValueId> {
    let n = axes.iter().fold(Dim::Size(1), |n, &axis| n * shape[axis]);
    match n {
        Dim::Size(n) if ty.dtype.is_float() => (n > 0).then(|| b.full(ty, n as f64))?,
        Dim::Size(n) => b.full(ty, i64::try_from(n).ok()?),
        Dim::Poly(_) if ty.dtype.is_float() => None,
        Dim::Poly(_) => {
            let n = b.emit(DimValue { dim: n }, &[])?;
            let n = b.emit(backprop_core::ops::Cast { dtype: ty.dtype }, &[n])?;
            if ty.shape == Shape::SCALAR { Some(n) } else { b.emit(Broadcast { shape: ty.shape }, &[n]) }
        }
    }
}

/// Σ of n times the same = n·x.
fn sum_of_repeated(b: &mut Build, op: &Op, x: &[ValueId]) -> Option<ValueId> {
    let Op::Sum(_) = op else { return None };
    let Repeated { source, axes, rest, shape } = repeated(b, op, x[0])?;
    let sum = if rest.is_empty() { source } else { b.emit(over(op, &rest), &[source])? };
    let ty = b.ty(sum);
    let n = count(b, shape, &axes, ty)?;
    b.emit(Binary::Mul, &[sum, n])
}

/// Σ of a uniform value; exact where no partial sum rounds.
fn sum_of_uniform(b: &mut Build, op: &Op, x: &[ValueId]) -> Option<ValueId> {
    // Every integer up to here is a number of f32.
    const HELD: f64 = 16_777_216.0;
    let Op::Sum(sum) = op else { return None };
    let (ty, value) = (b.ty(x[0]), b.uniform(x[0])?);
    let n: usize = sum.axes.iter().map(|axis| ty.shape[axis].size()).product::<Option<usize>>()?;
    let out = Type { shape: ty.shape.without(&sum.axes.to_vec()), ..ty };
    match value {
        Literal::Int(_) => None,
        Literal::Float(_) if n == 0 => b.full(out, 0.0),
        Literal::Float(c) => {
            let total = c * n as f64;
            (c == c.trunc() && c != 0.0 && total.abs() <= HELD).then(|| b.full(out, total))?
        }
    }
}

/// Which axes of the whole a factor has, and the factor under a shape of these alone.
fn factor(b: &mut Build, x: ValueId) -> Option<(Vec<usize>, ValueId)> {
    let shape = b.ty(x).shape;
    let Op::Broadcast(broadcast) = *b.op(x) else { return Some(((0..shape.rank()).collect(), x)) };
    let source = b.inputs(x)[0];
    let own = b.ty(source).shape;
    let gone = broadcast.repeated_axes(own);
    let lead = shape.rank() - own.rank();
    let ones: Vec<usize> = gone.iter().filter_map(|axis| axis.checked_sub(lead)).collect();
    let axes = (0..shape.rank()).filter(|axis| !gone.contains(axis)).collect();
    let source =
        if ones.is_empty() { Some(source) } else { b.emit(Reshape { shape: own.without(&ones) }, &[source]) };
    Some((axes, source?))
}

/// Σₖ a[.., i, k]·b[.., k, j] written with broadcasts, as a contraction.
fn sum_of_products(b: &mut Build, op: &Op, x: &[ValueId]) -> Option<ValueId> {
    let Op::Sum(Sum { axes: summed }) = *op else { return None };
    let rank = b.ty(x[0]).shape.rank();
    let [p, q] = product(b, x[0])?;
    if !matches!(b.op(p), Op::Broadcast(_)) && !matches!(b.op(q), Op::Broadcast(_)) {
        return None;
    }
    let ((in_p, p), (in_q, q)) = (factor(b, p)?, factor(b, q)?);
    let has = |axes: &[usize], axis: usize| axes.contains(&axis);
    let both = |axis: usize| has(&in_p, axis) && has(&in_q, axis);
    // Each summed axis in both factors, each other one in at least one, and something of each alone: else it
    // is a sum like others, which is fused with what it reads.
    let fits = (0..rank)
        .all(|axis| if summed.contains(axis) { both(axis) } else { has(&in_p, axis) || has(&in_q, axis) });
    let (alone_p, alone_q): (Vec<usize>, Vec<usize>) = (
        in_p.iter().copied().filter(|&axis| !has(&in_q, axis)).collect(),
        in_q.iter().copied().filter(|&axis| !has(&in_p, axis)).collect(),
    );
    if !fits || alone_p.is_empty() || alone_q.is_empty() {
        return None;
    }
    let batch: Vec<usize> = (0..rank).filter(|&axis| both(axis) && !summed.contains(axis)).collect();
    let place = |axes: &[usize], list: &[usize]| -> Option<Axes> {
        let places: Option<Vec<usize>> =
            list.iter().map(|axis| axes.iter().position(|own| own == axis)).collect();
        Some(Axes::new(&places?))
    };
    let summed = summed.to_vec();
    let op = Contract {
        lhs_contract: place(&in_p, &summed)?,
        rhs_contract: place(&in_q, &summed)?,
        lhs_batch: place(&in_p, &batch)?,
        rhs_batch: place(&in_q, &batch)?,
    };
    let y = b.emit(op, &[p, q])?;
    // The contraction's axes in the order of the sum's.
    let own: Vec<usize> = batch.into_iter().chain(alone_p).chain(alone_q).collect();
    let perm = place(&own, &others(rank, Axes::new(&summed)))?;
    if is_identity(perm) { Some(y) } else { b.emit(Transpose { perm }, &[y]) }
}

pub(crate) const REDUCTION: &[Row] = &[
    Row {
        name: "reduction over ones",
        equation: "the sum, largest, any of one element = the element",
        licence: Licence::Exact,
        before: "x = input : f32[2, 1, 3]; y = sum(x) {axes: [1, 2]}; return y",
        after: "x = input : f32[2, 1, 3]; %1 = reshape(x) {shape: [2, 3]}; y = sum(%1) {axes: [1]}; return y",
        at: REDUCE,
        apply: Apply::One(without_ones),
    },
    Row {
        name: "sum of one number",
        equation: "Σ c = n·c where c is an integer and no partial sum rounds",
        licence: Licence::Exact,
        before: "c = full {value: 3.0} : f32[5000]; y = sum(c) {axes: [0]}; return y",
        after: "y = full {value: 15000.0} : f32[]; return y",
        at: REDUCE,
        apply: Apply::One(sum_of_uniform),
    },
    Row {
        name: "largest of one number",
        equation: "max c = any c = c, of at least one",
        licence: Licence::Exact,
        before: "c = full {value: 3.0} : f32[5000]; y = max(c) {axes: [0]}; return y",
        after: "y = full {value: 3.0} : f32[]; return y",
        at: REDUCE,
        apply: Apply::One(|b, op, x| {
            b.uniform(x[0])?;
            let (axes, shape) = (axes_of(op)?, b.ty(x[0]).shape);
            let n: usize = axes.iter().map(|axis| shape[axis].size()).product::<Option<usize>>()?;
            if n == 0 || matches!(op, Op::Sum(_)) {
                return None;
            }
            b.refilled(x[0], shape.without(&axes.to_vec()))
        }),
    },
    Row {
        name: "largest of a repetition",
        equation: "max, any over the axes of a broadcast that only repeat = that of its source",
        licence: Licence::Exact,
        before: "x = input : f32[3]; r = broadcast(x) {shape: [2, 3]}; y = max(r) {axes: [0, 1]}; return y",
        after: "x = input : f32[3]; y = max(x) {axes: [0]}; return y",
        at: REDUCE,
        apply: Apply::One(|b, op, x| {
            if matches!(op, Op::Sum(_)) {
                return None;
            }
            let Repeated { source, axes, rest, shape } = repeated(b, op, x[0])?;
            let some = axes.iter().all(|&axis| shape[axis].size().is_some_and(|n| n > 0));
            match (some, rest.is_empty()) {
                (false, _) => None,
                (true, true) => Some(source),
                (true, false) => b.emit(over(op, &rest), &[source]),
            }
        }),
    },
    Row {
        name: "integer sum of a repetition",
        equation: "Σ over axes of a broadcast that only repeat = n·Σ of its source, of integers",
        licence: Licence::Exact,
        before: "x = input : i32[3]; r = broadcast(x) {shape: [5, 3]}; y = sum(r) {axes: [0]}; return y",
        after: "x = input : i32[3]; %1 = full {value: 5} : i32[3]; y = mul(x, %1); return y",
        at: REDUCE,
        apply: Apply::One(
            |b, op, x| {
                if b.ty(x[0]).dtype.is_int() { sum_of_repeated(b, op, x) } else { None }
            },
        ),
    },
    Row {
        name: "sum of a repetition",
        equation: "Σ over axes of a broadcast that only repeat = n·Σ of its source where n > 0; two roundings more",
        licence: Licence::Reassociate,
        before: "x = input : f32[3]; r = broadcast(x) {shape: [5, 3]}; y = sum(r) {axes: [0]}; return y",
        after: "x = input : f32[3]; %1 = full {value: 5.0} : f32[3]; y = mul(x, %1); return y",
        at: REDUCE,
        apply: Apply::One(sum_of_repeated),
    },
    Row {
        name: "sum of a sum",
        equation: "Σ Σ x = Σ x over the axes of both",
        licence: Licence::Reassociate,
        before: "x = input : f32[2, 3, 5]; s = sum(x) {axes: [1]}; y = sum(s) {axes: [1]}; return y",
        after: "x = input : f32[2, 3, 5]; y = sum(x) {axes: [1, 2]}; return y",
        at: REDUCE,
        apply: Apply::One(|b, op, x| match (op, b.op(x[0])) {
            (Op::Sum(outer), Op::Sum(inner)) => joined(b, op, outer.axes, inner.axes, x[0]),
            _ => None,
        }),
    },
    Row {
        name: "any of any",
        equation: "any any x = any x over the axes of both",
        licence: Licence::Exact,
        before: "x = input : bool[2, 3, 5]; s = any(x) {axes: [1]}; y = any(s) {axes: [1]}; return y",
        after: "x = input : bool[2, 3, 5]; y = any(x) {axes: [1, 2]}; return y",
        at: REDUCE,
        apply: Apply::One(|b, op, x| match (op, b.op(x[0])) {
            (Op::Any(outer), Op::Any(inner)) => joined(b, op, outer.axes, inner.axes, x[0]),
            _ => None,
        }),
    },
    Row {
        name: "reduction of a transpose",
        equation: "Σ xᵀ = (Σ x)ᵀ over the axes named anew, where they keep their order",
        licence: Licence::Exact,
        before: "x = input : f32[2, 3]; t = transpose(x) {perm: [1, 0]}; y = sum(t) {axes: [0]}; return y",
        after: "x = input : f32[2, 3]; y = sum(x) {axes: [1]}; return y",
        at: REDUCE,
        apply: Apply::One(|b, op, x| {
            let axes = axes_of(op)?;
            let Op::Transpose(transpose) = *b.op(x[0]) else { return None };
            let source = b.inputs(x[0])[0];
            let from: Vec<usize> = axes.iter().map(|axis| transpose.perm.get(axis)).collect();
            if !from.is_sorted() {
                return None;
            }
            let y = b.emit(over(op, &from), &[source])?;
            let kept = others(transpose.perm.len(), axes).into_iter().map(|axis| transpose.perm.get(axis));
            let perm = Axes::new(&among(kept, &from));
            if is_identity(perm) { Some(y) } else { b.emit(Transpose { perm }, &[y]) }
        }),
    },
    Row {
        name: "sum of negatives",
        equation: "Σ −x = −Σ x, where a sum of 0 may change its sign",
        licence: Licence::Reassociate,
        before: "x = input : f32[2, 3]; m = neg(x); y = sum(m) {axes: [1]}; return y",
        after: "x = input : f32[2, 3]; %1 = sum(x) {axes: [1]}; y = neg(%1); return y",
        at: REDUCE,
        apply: Apply::One(|b, op, x| {
            let (Op::Sum(_), Some(positive)) = (op, negated(b, x[0])) else { return None };
            let sum = b.emit(op.clone(), &[positive])?;
            b.emit(Unary::Neg, &[sum])
        }),
    },
    Row {
        name: "sum of products as contraction",
        equation: "Σₖ a[i, k]·b[k, j], with a and b broadcast to [i, k, j], = a·b",
        licence: Licence::Reassociate,
        before: "a = input : f32[2, 1, 3]; b = input : f32[5, 3]; p = broadcast(a) {shape: [2, 5, 3]}; \
                 q = broadcast(b) {shape: [2, 5, 3]}; m = mul(p, q); y = sum(m) {axes: [2]}; return y",
        after: "a = input : f32[2, 1, 3]; b = input : f32[5, 3]; \
                %2 = contract(a, b) {lhs_contract: [2], rhs_contract: [1]}; \
                y = reshape(%2) {shape: [2, 5]}; return y",
        at: REDUCE,
        apply: Apply::One(sum_of_products),
    },
];

/// A reduction of a reduction as one.
fn joined(b: &mut Build, op: &Op, outer: Axes, inner: Axes, x: ValueId) -> Option<ValueId> {
    let source = b.inputs(x)[0];
    let kept = others(b.ty(source).shape.rank(), inner);
    let mut axes: Vec<usize> = outer.iter().map(|axis| kept[axis]).chain(inner.iter()).collect();
    axes.sort_unstable();
    b.emit(over(op, &axes), &[source])
}

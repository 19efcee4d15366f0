//! Ops with a definition of their own as reductions and pointwise ops, with the same special cases.
//!
//! The definitions compute in f64 and round once; here each op rounds. With u half a unit in the last place
//! and n elements in a group, e^(x−m) has an error of (|x − m| + 2)·u and their sum one of n·u more, so
//! - `logsumexp` and `log_softmax` differ by at most (n + max |x − m| + 4)·u, and as much of the result;
//! - `norm` by at most (n/2 + 4)·u of itself.

use backprop_core::ops::{
    Axes, Binary, Broadcast, Cast, Compare, Gather, Iota, Logic, Max, Reshape, Select, Sum, Unary,
};
use backprop_core::{DType, Dim, Op, Shape, Type, ValueId};

use crate::simplify::build::Build;
use crate::simplify::row::{Apply, Kind, Licence, Row};

const COMPOSITE: &[Kind] = &[Kind::Composite];

/// The number of elements in a group, where it is known.
fn group(b: &Build, x: ValueId, axes: Axes) -> Option<usize> {
    let shape = b.ty(x).shape;
    axes.iter().map(|axis| shape[axis].size()).product()
}

/// A reduced value beside what it was reduced from.
fn beside(b: &mut Build, y: ValueId, x: ValueId, axes: Axes) -> Option<ValueId> {
    let shape = b.ty(x).shape;
    let column = b.emit(Reshape { shape: shape.with_ones(&axes.to_vec()) }, &[y])?;
    b.emit(Broadcast { shape }, &[column])
}

/// m where it is finite (and, for a scale, not 0), else `other`.
fn finite_or(b: &mut Build, m: ValueId, other: f64) -> Option<ValueId> {
    let ty = b.ty(m);
    let (infinity, other) = (b.full(ty, f64::INFINITY)?, b.full(ty, other)?);
    let size = b.emit(Unary::Abs, &[m])?;
    let is_finite = b.emit(Compare::Lt, &[size, infinity])?;
    b.emit(Select, &[is_finite, m, other])
}

/// x − m beside, and ln Σ of its exponentials.
fn shifted(b: &mut Build, x: ValueId, m: ValueId, axes: Axes) -> Option<(ValueId, ValueId)> {
    let m = beside(b, m, x, axes)?;
    let t = b.emit(Binary::Sub, &[x, m])?;
    let e = b.emit(Unary::Exp, &[t])?;
    let sum = b.emit(Sum { axes }, &[e])?;
    Some((t, b.emit(Unary::Log, &[sum])?))
}

/// m + ln Σ e^(x−m), where m = max x, or 0 where that is not finite.
fn logsumexp(b: &mut Build, x: ValueId, axes: Axes) -> Option<ValueId> {
    if group(b, x, axes)? == 0 {
        let ty = b.ty(x);
        let shape = ty.shape.without(&axes.to_vec());
        return if b.may_fault(x) { None } else { b.full(Type { shape, ..ty }, f64::NEG_INFINITY) };
    }
    let m = b.emit(Max { axes }, &[x])?;
    let m = finite_or(b, m, 0.0)?;
    let (_, log) = shifted(b, x, m, axes)?;
    b.emit(Binary::Add, &[m, log])
}

/// (x − m) − ln Σ e^(x−m), where m = max x.
fn log_softmax(b: &mut Build, x: ValueId, axes: Axes) -> Option<ValueId> {
    if group(b, x, axes)? == 0 {
        return if b.may_fault(x) { None } else { b.full(b.ty(x), 0.0) };
    }
    let m = b.emit(Max { axes }, &[x])?;
    let (t, log) = shifted(b, x, m, axes)?;
    let log = beside(b, log, x, axes)?;
    b.emit(Binary::Sub, &[t, log])
}

/// m·√Σ (x/m)², where m = max |x|, or 1 where that is 0 or not finite.
fn norm(b: &mut Build, x: ValueId) -> Option<ValueId> {
    let ty = b.ty(x);
    let axes = Axes::new(&(0..ty.shape.rank()).collect::<Vec<_>>());
    if group(b, x, axes)? == 0 {
        return if b.may_fault(x) { None } else { b.full(Type::scalar(ty.dtype), 0.0) };
    }
    let size = b.emit(Unary::Abs, &[x])?;
    let largest = b.emit(Max { axes }, &[size])?;
    let scalar = Type::scalar(ty.dtype);
    let (zero, one, infinity) = (b.full(scalar, 0.0)?, b.full(scalar, 1.0)?, b.full(scalar, f64::INFINITY)?);
    let above = b.emit(Compare::Gt, &[largest, zero])?;
    let below = b.emit(Compare::Lt, &[largest, infinity])?;
    let is_scale = b.emit(Logic::And, &[above, below])?;
    let m = b.emit(Select, &[is_scale, largest, one])?;
    let everywhere = beside(b, m, x, axes)?;
    let scaled = b.emit(Binary::Div, &[x, everywhere])?;
    let squares = b.emit(Binary::Mul, &[scaled, scaled])?;
    let sum = b.emit(Sum { axes }, &[squares])?;
    let root = b.emit(Unary::Sqrt, &[sum])?;
    b.emit(Binary::Mul, &[m, root])
}

/// Whether the index, found in 0, 1, 2, …, is that of the column. Finding it is what reports one out of range.
fn one_hot(b: &mut Build, indices: ValueId, depth: Dim, dtype: DType) -> Option<ValueId> {
    let own = b.ty(indices);
    let dims: Vec<Dim> = own.shape.iter().copied().chain([depth]).collect();
    let shape = Shape::new(&dims);
    // Narrow numbers: a vector holds twice as many.
    let is_narrow = depth.size()? <= i32::MAX as usize;
    let counted = if is_narrow { DType::I32 } else { DType::I64 };
    let counts = b.emit(Iota { ty: Type::new(counted, [depth]), axis: 0 }, &[])?;
    let found = b.emit(Gather { axis: 0 }, &[counts, indices])?;
    let column = Shape::new(&own.shape.iter().copied().chain([Dim::Size(1)]).collect::<Vec<_>>());
    let found = b.emit(Reshape { shape: column }, &[found])?;
    let found = b.emit(Broadcast { shape }, &[found])?;
    let columns = b.emit(Iota { ty: Type { dtype: counted, shape }, axis: own.shape.rank() }, &[])?;
    let is_hot = b.emit(Compare::Eq, &[found, columns])?;
    if dtype == DType::Bool { Some(is_hot) } else { b.emit(Cast { dtype }, &[is_hot]) }
}

pub(crate) const DECOMPOSED: &[Row] = &[
    Row {
        name: "logsumexp spelt out",
        equation: "ln Σ eˣ = m + ln Σ e^(x−m), m = max x, or 0 where that is not finite",
        licence: Licence::Reassociate,
        before: "x = input : f32[2, 3]; y = logsumexp(x) {axes: [1]}; return y",
        after: "x = input : f32[2, 3]; %1 = max(x) {axes: [1]}; %2 = full {value: inf} : f32[2]; \
                %3 = full {value: 0.0} : f32[2]; %4 = abs(%1); %5 = lt(%4, %2); %6 = select(%5, %1, %3); \
                %7 = reshape(%6) {shape: [2, 1]}; %8 = broadcast(%7) {shape: [2, 3]}; %9 = sub(x, %8); \
                %10 = exp(%9); %11 = sum(%10) {axes: [1]}; %12 = log(%11); y = add(%6, %12); return y",
        at: COMPOSITE,
        apply: Apply::One(|b, op, x| match op {
            Op::LogSumExp(op) => logsumexp(b, x[0], op.axes),
            _ => None,
        }),
    },
    Row {
        name: "log_softmax spelt out",
        equation: "x − ln Σ eˣ = (x − m) − ln Σ e^(x−m), m = max x",
        licence: Licence::Reassociate,
        before: "x = input : f32[2, 3]; y = log_softmax(x) {axes: [1]}; return y",
        after: "x = input : f32[2, 3]; %1 = max(x) {axes: [1]}; %2 = reshape(%1) {shape: [2, 1]}; \
                %3 = broadcast(%2) {shape: [2, 3]}; %4 = sub(x, %3); %5 = exp(%4); %6 = sum(%5) {axes: [1]}; \
                %7 = log(%6); %8 = reshape(%7) {shape: [2, 1]}; %9 = broadcast(%8) {shape: [2, 3]}; \
                y = sub(%4, %9); return y",
        at: COMPOSITE,
        apply: Apply::One(|b, op, x| match op {
            Op::LogSoftmax(op) => log_softmax(b, x[0], op.axes),
            _ => None,
        }),
    },
    Row {
        name: "norm spelt out",
        equation: "√Σ x² = m·√Σ (x/m)², m = max |x|, or 1 where that is 0 or not finite",
        licence: Licence::Reassociate,
        before: "x = input : f32[3]; y = norm(x); return y",
        after: "x = input : f32[3]; %1 = abs(x); %2 = max(%1) {axes: [0]}; %3 = full {value: 0.0} : f32[]; \
                %4 = full {value: 1.0} : f32[]; %5 = full {value: inf} : f32[]; %6 = gt(%2, %3); \
                %7 = lt(%2, %5); %8 = and(%6, %7); %9 = select(%8, %2, %4); %10 = reshape(%9) {shape: [1]}; \
                %11 = broadcast(%10) {shape: [3]}; %12 = div(x, %11); %13 = mul(%12, %12); \
                %14 = sum(%13) {axes: [0]}; %15 = sqrt(%14); y = mul(%9, %15); return y",
        at: COMPOSITE,
        apply: Apply::One(|b, op, x| match op {
            Op::Norm(_) => norm(b, x[0]),
            _ => None,
        }),
    },
    Row {
        name: "one_hot spelt out",
        equation: "yᵢₖ = 1 where k = xᵢ: the index is looked up among 0, 1, 2, …, for the fault of one out of range",
        licence: Licence::Exact,
        before: "x = input : i64[2]; y = one_hot(x) {depth: 3, dtype: f32}; return y",
        after: "x = input : i64[2]; %1 = iota {axis: 0} : i32[3]; %2 = gather(%1, x) {axis: 0}; \
                %3 = reshape(%2) {shape: [2, 1]}; %4 = broadcast(%3) {shape: [2, 3]}; \
                %5 = iota {axis: 1} : i32[2, 3]; %6 = eq(%4, %5); y = cast(%6) {dtype: f32}; return y",
        at: COMPOSITE,
        apply: Apply::One(|b, op, x| match *op {
            Op::OneHot(op) => one_hot(b, x[0], op.depth, op.dtype),
            _ => None,
        }),
    },
];

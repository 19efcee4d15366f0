//! What loses digits or leaves the range as it is written, as the functions that do not. Used only where the
//! caller asks for it: PyTorch and JAX have these functions, and leave their use to the user.
//!
//! Not among them is softmax itself: eˣ/Σ eˣ at x = (∞, 0) has a 0, and the stable one only NaNs.

use backprop_core::ops::{Axes, Binary, LogSoftmax, LogSumExp, Norm, Sum, Unary};
use backprop_core::{Op, Shape, ValueId};

use super::arithmetic::{negated, product};
use crate::simplify::build::Build;
use crate::simplify::row::{Apply, Kind, Licence, Row};

const UNARY: &[Kind] = &[Kind::Unary];

/// x of f(x).
fn of(b: &Build, f: Unary, value: ValueId) -> Option<ValueId> {
    b.through(value, |op| *op == f.into())
}

/// x of 1 + x.
fn above_one(b: &Build, value: ValueId) -> Option<ValueId> {
    if *b.op(value) != Binary::Add.into() {
        return None;
    }
    let x = b.inputs(value);
    match (b.is(x[0], 1.0), b.is(x[1], 1.0)) {
        (true, _) => Some(x[1]),
        (_, true) => Some(x[0]),
        _ => None,
    }
}

/// x and the axes of Σ eˣ.
fn sum_of_exp(b: &Build, value: ValueId) -> Option<(ValueId, Axes)> {
    let Op::Sum(Sum { axes }) = *b.op(value) else { return None };
    Some((of(b, Unary::Exp, b.inputs(value)[0])?, axes))
}

/// x and the axes of eˣ/Σ eˣ.
fn softmax(b: &Build, [above, below]: [ValueId; 2]) -> Option<(ValueId, Axes)> {
    let x = of(b, Unary::Exp, above)?;
    let sum = b.through(below, |op| matches!(op, Op::Broadcast(_)))?;
    let shape = b.ty(sum).shape;
    let sum = b.through(sum, |op| matches!(op, Op::Reshape(_))).unwrap_or(sum);
    let (other, axes) = sum_of_exp(b, sum)?;
    let (own, list) = (b.ty(x).shape, axes.to_vec());
    // The sum stands as a column beside x, or is what is left without leading axes.
    let is_column = shape == own.with_ones(&list);
    let leads = list.iter().enumerate().all(|(at, &axis)| at == axis) && shape == own.without(&list);
    (other == x && (is_column || leads)).then_some((x, axes))
}

/// Whether the axes are all that x has.
fn is_all(axes: Axes, shape: Shape) -> bool {
    axes.len() == shape.rank()
}

pub(crate) const STABILISE: &[Row] = &[
    Row {
        name: "log of softmax",
        equation: "ln(eˣ/Σ eˣ) = log_softmax x",
        licence: Licence::Stabilise,
        before: "x = input : f32[2, 3]; e = exp(x); s = sum(e) {axes: [1]}; c = reshape(s) {shape: [2, 1]}; \
                 b = broadcast(c) {shape: [2, 3]}; p = div(e, b); y = log(p); return y",
        after: "x = input : f32[2, 3]; y = log_softmax(x) {axes: [1]}; return y",
        at: UNARY,
        apply: Apply::One(|b, op, x| {
            let is_log_of_quotient = *op == Unary::Log.into() && *b.op(x[0]) == Binary::Div.into();
            if !is_log_of_quotient {
                return None;
            }
            let operands = b.inputs(x[0]);
            let (x, axes) = softmax(b, [operands[0], operands[1]])?;
            b.emit(LogSoftmax { axes }, &[x])
        }),
    },
    Row {
        name: "log of exp",
        equation: "ln eˣ = x",
        licence: Licence::Stabilise,
        before: "x = input : f32[3]; e = exp(x); y = log(e); return y",
        after: "x = input : f32[3]; return y: x",
        at: UNARY,
        apply: Apply::One(|b, op, x| if *op == Unary::Log.into() { of(b, Unary::Exp, x[0]) } else { None }),
    },
    Row {
        name: "log of a sum of exponentials",
        equation: "ln Σ eˣ = logsumexp x",
        licence: Licence::Stabilise,
        before: "x = input : f32[2, 3]; e = exp(x); s = sum(e) {axes: [1]}; y = log(s); return y",
        after: "x = input : f32[2, 3]; y = logsumexp(x) {axes: [1]}; return y",
        at: UNARY,
        apply: Apply::One(|b, op, x| {
            let (x, axes) = if *op == Unary::Log.into() { sum_of_exp(b, x[0])? } else { return None };
            b.emit(LogSumExp { axes }, &[x])
        }),
    },
    Row {
        name: "log of sigmoid",
        equation: "ln sigmoid x = −softplus(−x)",
        licence: Licence::Stabilise,
        before: "x = input : f32[3]; s = sigmoid(x); y = log(s); return y",
        after: "x = input : f32[3]; %1 = neg(x); %2 = softplus(%1); y = neg(%2); return y",
        at: UNARY,
        apply: Apply::One(|b, op, x| {
            let x = if *op == Unary::Log.into() { of(b, Unary::Sigmoid, x[0])? } else { return None };
            let m = b.emit(Unary::Neg, &[x])?;
            let s = b.emit(Unary::Softplus, &[m])?;
            b.emit(Unary::Neg, &[s])
        }),
    },
    Row {
        name: "softplus",
        equation: "ln(1 + eˣ) = log1p eˣ = softplus x",
        licence: Licence::Stabilise,
        before: "x = input : f32[3]; e = exp(x); c = full {value: 1.0} : f32[3]; a = add(c, e); \
                 y = log(a); return y",
        after: "x = input : f32[3]; y = softplus(x); return y",
        at: UNARY,
        apply: Apply::One(|b, op, x| {
            let inner = match op {
                Op::Unary(Unary::Log) => above_one(b, x[0])?,
                Op::Unary(Unary::Log1p) => x[0],
                _ => return None,
            };
            let x = of(b, Unary::Exp, inner)?;
            b.emit(Unary::Softplus, &[x])
        }),
    },
    Row {
        name: "log1p",
        equation: "ln(1 + x) = log1p x",
        licence: Licence::Stabilise,
        before: "x = input : f32[3]; c = full {value: 1.0} : f32[3]; a = add(x, c); y = log(a); return y",
        after: "x = input : f32[3]; y = log1p(x); return y",
        at: UNARY,
        apply: Apply::One(|b, op, x| {
            let x = if *op == Unary::Log.into() { above_one(b, x[0])? } else { return None };
            b.emit(Unary::Log1p, &[x])
        }),
    },
    Row {
        name: "expm1",
        equation: "eˣ − 1 = expm1 x",
        licence: Licence::Stabilise,
        before: "x = input : f32[3]; e = exp(x); c = full {value: 1.0} : f32[3]; y = sub(e, c); return y",
        after: "x = input : f32[3]; y = expm1(x); return y",
        at: &[Kind::Sub],
        apply: Apply::One(|b, _, x| {
            let inner = of(b, Unary::Exp, x[0])?;
            if b.is(x[1], 1.0) { b.emit(Unary::Expm1, &[inner]) } else { None }
        }),
    },
    Row {
        name: "sigmoid",
        equation: "1/(1 + e⁻ˣ) = sigmoid x",
        licence: Licence::Stabilise,
        before: "x = input : f32[3]; m = neg(x); e = exp(m); c = full {value: 1.0} : f32[3]; \
                 a = add(c, e); y = div(c, a); return y",
        after: "x = input : f32[3]; y = sigmoid(x); return y",
        at: &[Kind::Unary, Kind::Div],
        apply: Apply::One(|b, op, x| {
            let below = match op {
                Op::Unary(Unary::Reciprocal) => x[0],
                Op::Binary(Binary::Div) if b.is(x[0], 1.0) => x[1],
                _ => return None,
            };
            let m = of(b, Unary::Exp, above_one(b, below)?)?;
            let x = match negated(b, m) {
                Some(x) => x,
                None => b.emit(Unary::Neg, &[m])?,
            };
            b.emit(Unary::Sigmoid, &[x])
        }),
    },
    Row {
        name: "sigmoid of a quotient",
        equation: "eˣ/(1 + eˣ) = sigmoid x",
        licence: Licence::Stabilise,
        before: "x = input : f32[3]; e = exp(x); c = full {value: 1.0} : f32[3]; a = add(c, e); \
                 y = div(e, a); return y",
        after: "x = input : f32[3]; y = sigmoid(x); return y",
        at: &[Kind::Div],
        apply: Apply::One(|b, _, x| {
            let inner = of(b, Unary::Exp, x[0])?;
            if above_one(b, x[1])? == x[0] { b.emit(Unary::Sigmoid, &[inner]) } else { None }
        }),
    },
    Row {
        name: "one minus sigmoid",
        equation: "1 − sigmoid x = sigmoid(−x)",
        licence: Licence::Stabilise,
        before: "x = input : f32[3]; s = sigmoid(x); c = full {value: 1.0} : f32[3]; y = sub(c, s); return y",
        after: "x = input : f32[3]; %1 = neg(x); y = sigmoid(%1); return y",
        at: &[Kind::Sub],
        apply: Apply::One(|b, _, x| {
            let inner = of(b, Unary::Sigmoid, x[1])?;
            if !b.is(x[0], 1.0) {
                return None;
            }
            let m = b.emit(Unary::Neg, &[inner])?;
            b.emit(Unary::Sigmoid, &[m])
        }),
    },
    Row {
        name: "erfc",
        equation: "1 − erf x = erfc x",
        licence: Licence::Stabilise,
        before: "x = input : f32[3]; s = erf(x); c = full {value: 1.0} : f32[3]; y = sub(c, s); return y",
        after: "x = input : f32[3]; y = erfc(x); return y",
        at: &[Kind::Sub],
        apply: Apply::One(|b, _, x| {
            let inner = of(b, Unary::Erf, x[1])?;
            if b.is(x[0], 1.0) { b.emit(Unary::Erfc, &[inner]) } else { None }
        }),
    },
    Row {
        name: "norm",
        equation: "√Σ x² = norm x over all elements",
        licence: Licence::Stabilise,
        before: "x = input : f32[2, 3]; p = mul(x, x); s = sum(p) {axes: [0, 1]}; y = sqrt(s); return y",
        after: "x = input : f32[2, 3]; y = norm(x); return y",
        at: UNARY,
        apply: Apply::One(|b, op, x| {
            let Op::Unary(Unary::Sqrt) = op else { return None };
            let Op::Sum(Sum { axes }) = *b.op(x[0]) else { return None };
            let squares = b.inputs(x[0])[0];
            let [p, q] = product(b, squares)?;
            if p == q && is_all(axes, b.ty(p).shape) { b.emit(Norm, &[p]) } else { None }
        }),
    },
];

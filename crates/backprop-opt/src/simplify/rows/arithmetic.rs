//! Arithmetic, element by element.

use backprop_core::ops::{Binary, Literal, Unary};
use backprop_core::{DType, Op, ValueId};

use crate::simplify::build::Build;
use crate::simplify::row::{Apply, Kind, Licence, Row};

/// Of two operands, the one for which `holds` and the other one.
fn either(x: &[ValueId], holds: impl Fn(ValueId) -> bool) -> Option<(ValueId, ValueId)> {
    match *x {
        [a, b] if holds(b) => Some((b, a)),
        [a, b] if holds(a) => Some((a, b)),
        _ => None,
    }
}

/// x of −x.
pub(super) fn negated(b: &Build, value: ValueId) -> Option<ValueId> {
    b.through(value, |op| *op == Unary::Neg.into())
}

/// The operands of a product.
pub(super) fn product(b: &Build, value: ValueId) -> Option<[ValueId; 2]> {
    let is_product = *b.op(value) == Binary::Mul.into();
    is_product.then(|| b.inputs(value)).map(|x| [x[0], x[1]])
}

/// Whether no element can be −0: then adding +0 changes nothing.
fn is_never_minus_zero(b: &Build, value: ValueId) -> bool {
    match b.op(value) {
        Op::Unary(Unary::Exp | Unary::Abs | Unary::Sigmoid | Unary::Softplus) => true,
        Op::Cast(_) => !b.ty(b.inputs(value)[0]).dtype.is_float(),
        Op::Full(_) => !b.is(value, -0.0),
        Op::Iota(_) | Op::OneHot(_) => true,
        Op::Binary(Binary::Mul) => b.inputs(value)[0] == b.inputs(value)[1],
        _ => !b.ty(value).dtype.is_float(),
    }
}

/// Whether no element is below 0; NaN may be among them.
fn is_never_negative(b: &Build, value: ValueId) -> bool {
    b.ty(value).dtype.is_float()
        && match b.op(value) {
            Op::Unary(Unary::Exp | Unary::Abs | Unary::Sigmoid | Unary::Softplus | Unary::Erfc) => true,
            Op::Binary(Binary::Mul) => b.inputs(value)[0] == b.inputs(value)[1],
            _ => false,
        }
}

/// The number that all elements are, of floats.
fn float(b: &Build, value: ValueId) -> Option<f64> {
    match b.uniform(value)? {
        Literal::Float(x) if b.ty(value).dtype == DType::F32 => Some((x as f32).into()),
        Literal::Float(x) => Some(x),
        Literal::Int(_) => None,
    }
}

/// Whether a number is neither zero, subnormal, infinite nor NaN in this type.
fn is_normal(x: f64, dtype: DType) -> bool {
    if dtype == DType::F32 { (x as f32).is_normal() } else { x.is_normal() }
}

/// 1/c, where c is a power of two whose reciprocal is one as well.
fn exact_reciprocal(c: f64, dtype: DType) -> Option<f64> {
    const MANTISSA: u64 = (1 << 52) - 1;
    let is_power = c.to_bits() & MANTISSA == 0 && is_normal(c, dtype);
    Some(1.0 / c).filter(|&r| is_power && is_normal(r, dtype))
}

/// x·x·…, `n` times.
fn repeated(b: &mut Build, x: ValueId, n: usize) -> Option<ValueId> {
    (1..n).try_fold(x, |product, _| b.emit(Binary::Mul, &[product, x]))
}

const ADD: &[Kind] = &[Kind::Add];
const SUB: &[Kind] = &[Kind::Sub];
const MUL: &[Kind] = &[Kind::Mul];
const DIV: &[Kind] = &[Kind::Div];
const POW: &[Kind] = &[Kind::Pow];
const UNARY: &[Kind] = &[Kind::Unary];

pub(crate) const ARITHMETIC: &[Row] = &[
    Row {
        name: "times one",
        equation: "x·1 = x",
        licence: Licence::Exact,
        before: "x = input : f32[3]; c = full {value: 1.0} : f32[3]; y = mul(x, c); return y",
        after: "x = input : f32[3]; return y: x",
        at: MUL,
        apply: Apply::One(|b, _, x| either(x, |x| b.is(x, 1.0)).map(|(_, x)| x)),
    },
    Row {
        name: "over one",
        equation: "x/1 = x",
        licence: Licence::Exact,
        before: "x = input : i32[3]; c = full {value: 1} : i32[3]; y = div(x, c); return y",
        after: "x = input : i32[3]; return y: x",
        at: DIV,
        apply: Apply::One(|b, _, x| b.is(x[1], 1.0).then_some(x[0])),
    },
    Row {
        name: "minus zero",
        equation: "x − 0 = x, also of x = −0",
        licence: Licence::Exact,
        before: "x = input : f32[3]; c = full {value: 0.0} : f32[3]; y = sub(x, c); return y",
        after: "x = input : f32[3]; return y: x",
        at: SUB,
        apply: Apply::One(|b, _, x| b.is(x[1], 0.0).then_some(x[0])),
    },
    Row {
        name: "plus minus zero",
        equation: "x + (−0) = x",
        licence: Licence::Exact,
        before: "x = input : f32[3]; c = full {value: -0.0} : f32[3]; y = add(c, x); return y",
        after: "x = input : f32[3]; return y: x",
        at: ADD,
        apply: Apply::One(|b, _, x| either(x, |x| b.is(x, -0.0)).map(|(_, x)| x)),
    },
    Row {
        name: "plus zero",
        equation: "x + 0 = x where x is never −0",
        licence: Licence::Exact,
        before: "x = input : f32[3]; e = exp(x); c = full {value: 0.0} : f32[3]; y = add(e, c); return y",
        after: "x = input : f32[3]; e = exp(x); return y: e",
        at: ADD,
        apply: Apply::One(|b, _, x| {
            let (_, x) = either(x, |x| b.is(x, 0.0))?;
            is_never_minus_zero(b, x).then_some(x)
        }),
    },
    Row {
        name: "plus any zero",
        equation: "x + 0 = x, where −0 becomes 0",
        licence: Licence::Reassociate,
        before: "x = input : f32[3]; c = full {value: 0.0} : f32[3]; y = add(x, c); return y",
        after: "x = input : f32[3]; return y: x",
        at: ADD,
        apply: Apply::One(|b, _, x| either(x, |x| b.is(x, 0.0)).map(|(_, x)| x)),
    },
    Row {
        name: "negated twice",
        equation: "−(−x) = x",
        licence: Licence::Exact,
        before: "x = input : f32[3]; m = neg(x); y = neg(m); return y",
        after: "x = input : f32[3]; return y: x",
        at: UNARY,
        apply: Apply::One(|b, op, x| if *op == Unary::Neg.into() { negated(b, x[0]) } else { None }),
    },
    Row {
        name: "plus a negative",
        equation: "a + (−b) = a − b",
        licence: Licence::Exact,
        before: "a = input : f32[3]; b = input : f32[3]; m = neg(b); y = add(a, m); return y",
        after: "a = input : f32[3]; b = input : f32[3]; y = sub(a, b); return y",
        at: ADD,
        apply: Apply::One(|b, _, x| {
            let (m, a) = either(x, |x| negated(b, x).is_some())?;
            let positive = negated(b, m)?;
            b.emit(Binary::Sub, &[a, positive])
        }),
    },
    Row {
        name: "minus a negative",
        equation: "a − (−b) = a + b",
        licence: Licence::Exact,
        before: "a = input : f32[3]; b = input : f32[3]; m = neg(b); y = sub(a, m); return y",
        after: "a = input : f32[3]; b = input : f32[3]; y = add(a, b); return y",
        at: SUB,
        apply: Apply::One(|b, _, x| {
            let positive = negated(b, x[1])?;
            b.emit(Binary::Add, &[x[0], positive])
        }),
    },
    Row {
        name: "plus a negated product",
        equation: "a + (−b)·c = a − b·c",
        licence: Licence::Exact,
        before: "a = input : f32[3]; b = input : f32[3]; c = input : f32[3]; m = neg(b); \
                 p = mul(m, c); y = add(p, a); return y",
        after: "a = input : f32[3]; b = input : f32[3]; c = input : f32[3]; %3 = mul(b, c); \
                y = sub(a, %3); return y",
        at: ADD,
        apply: Apply::One(|b, _, x| {
            let has_negative =
                |v: ValueId| product(b, v).and_then(|p| either(&p, |f| negated(b, f).is_some()));
            let (p, a) = either(x, |v| has_negative(v).is_some())?;
            let (m, c) = has_negative(p)?;
            let m = negated(b, m)?;
            let positive = b.emit(Binary::Mul, &[m, c])?;
            b.emit(Binary::Sub, &[a, positive])
        }),
    },
    Row {
        name: "product of negatives",
        equation: "(−a)·(−b) = a·b",
        licence: Licence::Exact,
        before: "a = input : f32[3]; b = input : f32[3]; m = neg(a); n = neg(b); y = mul(m, n); return y",
        after: "a = input : f32[3]; b = input : f32[3]; y = mul(a, b); return y",
        at: MUL,
        apply: Apply::One(|b, _, x| {
            let (m, n) = (negated(b, x[0])?, negated(b, x[1])?);
            b.emit(Binary::Mul, &[m, n])
        }),
    },
    Row {
        name: "quotient of negatives",
        equation: "(−a)/(−b) = a/b, of floats",
        licence: Licence::Exact,
        before: "a = input : f32[3]; b = input : f32[3]; m = neg(a); n = neg(b); y = div(m, n); return y",
        after: "a = input : f32[3]; b = input : f32[3]; y = div(a, b); return y",
        at: DIV,
        apply: Apply::One(|b, _, x| {
            let (m, n) = (negated(b, x[0])?, negated(b, x[1])?);
            // Of integers −MIN is MIN.
            if b.ty(m).dtype.is_float() { b.emit(Binary::Div, &[m, n]) } else { None }
        }),
    },
    Row {
        name: "sign before abs",
        equation: "|−x| = |x|",
        licence: Licence::Exact,
        before: "x = input : f32[3]; m = neg(x); y = abs(m); return y",
        after: "x = input : f32[3]; y = abs(x); return y",
        at: UNARY,
        apply: Apply::One(|b, op, x| {
            let plain = if *op == Unary::Abs.into() { negated(b, x[0])? } else { return None };
            b.emit(Unary::Abs, &[plain])
        }),
    },
    Row {
        name: "abs of what is not negative",
        equation: "|x| = x where x ≥ 0",
        licence: Licence::Exact,
        before: "x = input : f32[3]; e = exp(x); y = abs(e); return y",
        after: "x = input : f32[3]; e = exp(x); return y: e",
        at: UNARY,
        apply: Apply::One(|b, op, x| {
            (*op == Unary::Abs.into() && is_never_negative(b, x[0])).then_some(x[0])
        }),
    },
    Row {
        name: "square as product",
        equation: "x² = x·x",
        licence: Licence::Exact,
        before: "x = input : f32[3]; y = square(x); return y",
        after: "x = input : f32[3]; y = mul(x, x); return y",
        at: UNARY,
        apply: Apply::One(|b, op, x| {
            if *op == Unary::Square.into() { b.emit(Binary::Mul, &[x[0], x[0]]) } else { None }
        }),
    },
    Row {
        name: "power one",
        equation: "x¹ = x",
        licence: Licence::Exact,
        before: "x = input : f32[3]; c = full {value: 1.0} : f32[3]; y = pow(x, c); return y",
        after: "x = input : f32[3]; return y: x",
        at: POW,
        apply: Apply::One(|b, _, x| b.is(x[1], 1.0).then_some(x[0])),
    },
    Row {
        name: "power zero",
        equation: "x⁰ = 1, also of NaN",
        licence: Licence::Exact,
        before: "x = input : f32[3]; c = full {value: 0.0} : f32[3]; y = pow(x, c); return y",
        after: "x = input : f32[3]; y = full {value: 1.0} : f32[3]; return y",
        at: POW,
        apply: Apply::One(|b, _, x| {
            let is_zero = b.is(x[1], 0.0) || b.is(x[1], -0.0);
            if is_zero && !b.may_fault(x[0]) { b.full(b.ty(x[0]), 1) } else { None }
        }),
    },
    Row {
        name: "integer power",
        equation: "xⁿ = x·…·x for n = 2, 3, 4 of integers",
        licence: Licence::Exact,
        before: "x = input : i32[3]; c = full {value: 3} : i32[3]; y = pow(x, c); return y",
        after: "x = input : i32[3]; %1 = mul(x, x); y = mul(%1, x); return y",
        at: POW,
        apply: Apply::One(|b, _, x| match b.uniform(x[1])? {
            Literal::Int(n @ 2..=4) => repeated(b, x[0], n as usize),
            _ => None,
        }),
    },
    Row {
        name: "small power",
        equation: "xⁿ = x·…·x for n = 2, 3, 4; n − 1 roundings",
        licence: Licence::Reassociate,
        before: "x = input : f32[3]; c = full {value: 2.0} : f32[3]; y = pow(x, c); return y",
        after: "x = input : f32[3]; y = mul(x, x); return y",
        at: POW,
        apply: Apply::One(|b, _, x| {
            let n = [2.0, 3.0, 4.0].into_iter().find(|&n| b.is(x[1], n))?;
            repeated(b, x[0], n as usize)
        }),
    },
    Row {
        name: "power minus one",
        equation: "x⁻¹ = 1/x",
        licence: Licence::Reassociate,
        before: "x = input : f32[3]; c = full {value: -1.0} : f32[3]; y = pow(x, c); return y",
        after: "x = input : f32[3]; y = reciprocal(x); return y",
        at: POW,
        apply: Apply::One(|b, _, x| {
            let is_inverse = float(b, x[1]) == Some(-1.0);
            if is_inverse { b.emit(Unary::Reciprocal, &[x[0]]) } else { None }
        }),
    },
    Row {
        name: "over a power of two",
        equation: "x/2ⁿ = x·2⁻ⁿ: both are one number, rounded once",
        licence: Licence::Exact,
        before: "x = input : f32[3]; c = full {value: -8.0} : f32[3]; y = div(x, c); return y",
        after: "x = input : f32[3]; %1 = full {value: -0.125} : f32[3]; y = mul(x, %1); return y",
        at: DIV,
        apply: Apply::One(|b, _, x| {
            let ty = b.ty(x[1]);
            let inverse = exact_reciprocal(float(b, x[1])?, ty.dtype)?;
            let inverse = b.full(ty, inverse)?;
            b.emit(Binary::Mul, &[x[0], inverse])
        }),
    },
    Row {
        name: "factors joined",
        equation: "(x·c)·e = x·(c·e), where c·e is a normal number",
        licence: Licence::Reassociate,
        before: "x = input : f64[3]; c = full {value: 3.0} : f64[3]; e = full {value: 0.5} : f64[3]; \
                 p = mul(x, c); y = mul(e, p); return y",
        after: "x = input : f64[3]; %1 = full {value: 1.5} : f64[3]; y = mul(x, %1); return y",
        at: MUL,
        apply: Apply::One(|b, _, x| {
            let (outer, p) = either(x, |x| float(b, x).is_some())?;
            let (inner, x) = either(&product(b, p)?, |x| float(b, x).is_some())?;
            let (ty, c) = (b.ty(x), float(b, outer)? * float(b, inner)?);
            // A constant out of range would lose what x·c still holds.
            let is_safe = [float(b, outer)?, float(b, inner)?, c].iter().all(|&c| is_normal(c, ty.dtype));
            if !is_safe {
                return None;
            }
            let factor = b.full(ty, c)?;
            b.emit(Binary::Mul, &[x, factor])
        }),
    },
    Row {
        name: "larger of one",
        equation: "max(x, x) = min(x, x) = x",
        licence: Licence::Exact,
        before: "x = input : f32[3]; y = maximum(x, x); return y",
        after: "x = input : f32[3]; return y: x",
        at: &[Kind::Extremum],
        apply: Apply::One(|_, _, x| (x[0] == x[1]).then_some(x[0])),
    },
    Row {
        name: "handed on",
        equation: "identity x = stop_gradient x = x, after differentiation",
        licence: Licence::Exact,
        before: "x = input : f32[3]; s = stop_gradient(x); y = identity(s); return y",
        after: "x = input : f32[3]; return y: x",
        at: &[Kind::Hand],
        apply: Apply::One(|_, _, x| Some(x[0])),
    },
    Row {
        name: "cast to its own type",
        equation: "cast x = x",
        licence: Licence::Exact,
        before: "x = input : f32[3]; y = cast(x) {dtype: f32}; return y",
        after: "x = input : f32[3]; return y: x",
        at: &[Kind::Cast],
        apply: Apply::One(|b, op, x| match op {
            Op::Cast(cast) => (cast.dtype == b.ty(x[0]).dtype).then_some(x[0]),
            _ => None,
        }),
    },
    Row {
        name: "cast of a wider cast",
        equation: "cast(cast x) = cast x where the inner one loses nothing",
        licence: Licence::Exact,
        before: "x = input : f32[3]; w = cast(x) {dtype: f64}; y = cast(w) {dtype: f32}; return y",
        after: "x = input : f32[3]; return y: x",
        at: &[Kind::Cast],
        apply: Apply::One(|b, op, x| {
            let narrow = b.through(x[0], |op| matches!(op, Op::Cast(_)))?;
            let (from, over) = (b.ty(narrow).dtype, b.ty(x[0]).dtype);
            if is_widening(from, over) { b.emit(op.clone(), &[narrow]) } else { None }
        }),
    },
];

/// Whether converting by `over` on the way from `from` to any type changes nothing. Not from integers by
/// floats: they saturate where integers wrap.
fn is_widening(from: DType, over: DType) -> bool {
    use DType::{Bool, F32, F64, I32, I64, U8, U32};
    matches!(
        (from, over),
        (F32, F64) | (I32 | U32, I64) | (U8, I32 | U32 | I64) | (Bool, F32 | F64 | I32 | I64 | U32 | U8)
    )
}

//! Products and sums that round once. The last rows to be tried: to other rows a fused product is no product.

use backprop_core::ops::{Fma, Unary};
use backprop_core::{Op, ValueId};

use super::arithmetic::product;
use crate::simplify::build::Build;
use crate::simplify::row::{Apply, Kind, Licence, Row};

/// The factors of operand `slot`, a product of floats that nothing else reads: were it read elsewhere as well, it
/// would be computed twice, and rounded once: p − p would not be 0. The factor comes first whose sign costs least
/// to change: a constant, or what is repeated. (Products that were written twice are one by now, though each is read
/// once: they are the other operand.)
fn factors(b: &Build, x: &[ValueId], slot: usize) -> Option<[ValueId; 2]> {
    let value = Some(x[slot]).filter(|_| x[0] != x[1] && b.is_own_operand(slot))?;
    let [p, q] = product(b, value).filter(|_| b.ty(value).dtype.is_float())?;
    let cost = |x: ValueId| match b.op(x) {
        Op::Full(_) => 0,
        Op::Broadcast(_) => 1,
        _ => 2,
    };
    Some(if cost(q) < cost(p) { [q, p] } else { [p, q] })
}

pub(crate) const FUSED: &[Row] = &[
    Row {
        name: "sum with a product",
        equation: "a·b + c = fma(a, b, c): one rounding less",
        licence: Licence::Reassociate,
        before: "a = input : f32[3]; b = input : f32[3]; c = input : f32[3]; p = mul(a, b); \
                 y = add(c, p); return y",
        after: "a = input : f32[3]; b = input : f32[3]; c = input : f32[3]; y = fma(a, b, c); return y",
        at: &[Kind::Add],
        apply: Apply::One(|b, _, x| {
            let (own, c) = match (factors(b, x, 0), factors(b, x, 1)) {
                (Some(own), _) => (own, x[1]),
                (_, Some(own)) => (own, x[0]),
                _ => return None,
            };
            b.emit(Fma, &[own[0], own[1], c])
        }),
    },
    Row {
        name: "difference to a product",
        equation: "c − a·b = fma(−a, b, c): one rounding less",
        licence: Licence::Reassociate,
        before: "b = input : f32[3]; c = input : f32[3]; a = full {value: 0.1} : f32[3]; p = mul(b, a); \
                 y = sub(c, p); return y",
        after: "b = input : f32[3]; c = input : f32[3]; %2 = full {value: -0.10000000149011612} : f32[3]; \
                y = fma(%2, b, c); return y",
        at: &[Kind::Sub],
        apply: Apply::One(|b, _, x| {
            let [p, q] = factors(b, x, 1)?;
            let m = b.emit(Unary::Neg, &[p])?;
            b.emit(Fma, &[m, q, x[0]])
        }),
    },
    Row {
        name: "difference of a product",
        equation: "a·b − c = fma(a, b, −c): one rounding less",
        licence: Licence::Reassociate,
        before: "a = input : f32[3]; b = input : f32[3]; c = input : f32[3]; p = mul(a, b); \
                 y = sub(p, c); return y",
        after: "a = input : f32[3]; b = input : f32[3]; c = input : f32[3]; %3 = neg(c); \
                y = fma(a, b, %3); return y",
        at: &[Kind::Sub],
        apply: Apply::One(|b, _, x| {
            let [p, q] = factors(b, x, 0)?;
            let m = b.emit(Unary::Neg, &[x[1]])?;
            b.emit(Fma, &[p, q, m])
        }),
    },
];

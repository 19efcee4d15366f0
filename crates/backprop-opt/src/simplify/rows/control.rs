//! Control flow of which more is known.

use backprop_core::{Dim, Op};

use crate::simplify::row::{Apply, Kind, Licence, Row};

pub(crate) const CONTROL: &[Row] = &[
    Row {
        name: "branch that is known",
        equation: "cond(true, f, g) = f, cond(false, f, g) = g",
        licence: Licence::Exact,
        before: "x = input : f32[3]; c = full {value: 1} : bool[]; \
                 y = cond(c, x) {then: body(x) {; x = input : f32[3]; z = exp(x); return z; }, \
                 otherwise: body(x) {; x = input : f32[3]; z = neg(x); return z; }}; return y",
        after: "x = input : f32[3]; y = exp(x); return y",
        at: &[Kind::Control],
        apply: Apply::All(|b, op, x| {
            let Op::Cond(cond) = op else { return None };
            let taken = match (b.is(x[0], 1.0), b.is(x[0], 0.0)) {
                (true, _) => &cond.then,
                (_, true) => &cond.otherwise,
                _ => return None,
            };
            b.inline(taken, &x[1..])
        }),
    },
    Row {
        name: "branches that are one",
        equation: "cond(c, f, f) = f",
        licence: Licence::Exact,
        before: "x = input : f32[3]; c = input : bool[]; \
                 y = cond(c, x) {then: body(x) {; x = input : f32[3]; z = exp(x); return z; }, \
                 otherwise: body(x) {; x = input : f32[3]; z = exp(x); return z; }}; return y",
        after: "x = input : f32[3]; c = input : bool[]; y = exp(x); return y",
        at: &[Kind::Control],
        apply: Apply::All(|b, op, x| {
            let Op::Cond(cond) = op else { return None };
            if cond.then != cond.otherwise || b.may_fault(x[0]) {
                return None;
            }
            b.inline(&cond.then, &x[1..])
        }),
    },
    Row {
        name: "loop of no iteration",
        equation: "scan over nothing = its carries",
        licence: Licence::Exact,
        before: "c = input : f32[3]; y = scan(c) {n_carry: 1, n_xs: 0, length: 0, \
                 body: body(k, c) {; k = input : i64[]; c = input : f32[3]; z = exp(c); return z; }}; return y",
        after: "c = input : f32[3]; return y: c",
        at: &[Kind::Control],
        apply: Apply::All(|b, op, x| {
            let Op::Scan(scan) = op else { return None };
            // The ys are stacks of nothing; a fault of what is not read any more would be lost.
            let only_carries = scan.body.outputs().len() == scan.n_carry;
            let lost = x[scan.n_carry..].iter().any(|&x| b.may_fault(x));
            (scan.length == Dim::Size(0) && only_carries && !lost)
                .then(|| x[..scan.n_carry].iter().copied().collect())
        }),
    },
];

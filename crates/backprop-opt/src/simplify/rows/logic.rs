//! Truth values and choices.

use backprop_core::ops::{Compare, Logic, Select};
use backprop_core::{Op, ValueId};

use crate::simplify::build::Build;
use crate::simplify::row::{Apply, Kind, Licence, Row};

/// x of ¬x.
fn denied(b: &Build, value: ValueId) -> Option<ValueId> {
    b.through(value, |op| *op == Logic::Not.into())
}

/// The known truth value of a condition.
fn known(b: &Build, value: ValueId) -> Option<bool> {
    match (b.is(value, 1.0), b.is(value, 0.0)) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

/// The operands of a choice by `condition`.
fn choice(b: &Build, value: ValueId, condition: ValueId) -> Option<[ValueId; 2]> {
    let is_choice = matches!(b.op(value), Op::Select(_)) && b.inputs(value)[0] == condition;
    is_choice.then(|| b.inputs(value)).map(|x| [x[1], x[2]])
}

const LOGICAL: &[Kind] = &[Kind::Logic];
const SELECT: &[Kind] = &[Kind::Select];

pub(crate) const LOGIC: &[Row] = &[
    Row {
        name: "denied twice",
        equation: "¬¬x = x",
        licence: Licence::Exact,
        before: "x = input : bool[3]; n = not(x); y = not(n); return y",
        after: "x = input : bool[3]; return y: x",
        at: LOGICAL,
        apply: Apply::One(|b, op, x| if *op == Logic::Not.into() { denied(b, x[0]) } else { None }),
    },
    Row {
        name: "denied equality",
        equation: "¬(a = b) is a ≠ b, and ¬(a ≠ b) is a = b, of NaN too",
        licence: Licence::Exact,
        before: "a = input : f32[3]; b = input : f32[3]; c = eq(a, b); y = not(c); return y",
        after: "a = input : f32[3]; b = input : f32[3]; y = ne(a, b); return y",
        at: LOGICAL,
        apply: Apply::One(|b, op, x| {
            let opposite = match b.op(x[0]) {
                Op::Compare(Compare::Eq) if *op == Logic::Not.into() => Compare::Ne,
                Op::Compare(Compare::Ne) if *op == Logic::Not.into() => Compare::Eq,
                _ => return None,
            };
            let operands = b.inputs(x[0]);
            b.emit(opposite, &operands)
        }),
    },
    Row {
        name: "denied order",
        equation: "¬(a < b) is a ≥ b, and so on, of integers",
        licence: Licence::Exact,
        before: "a = input : i32[3]; b = input : i32[3]; c = lt(a, b); y = not(c); return y",
        after: "a = input : i32[3]; b = input : i32[3]; y = ge(a, b); return y",
        at: LOGICAL,
        apply: Apply::One(|b, op, x| {
            let opposite = match b.op(x[0]) {
                _ if *op != Logic::Not.into() => return None,
                Op::Compare(Compare::Lt) => Compare::Ge,
                Op::Compare(Compare::Le) => Compare::Gt,
                Op::Compare(Compare::Gt) => Compare::Le,
                Op::Compare(Compare::Ge) => Compare::Lt,
                _ => return None,
            };
            let operands = b.inputs(x[0]);
            // With a NaN among them both are false.
            if b.ty(operands[0]).dtype.is_float() { None } else { b.emit(opposite, &operands) }
        }),
    },
    Row {
        name: "twice the same",
        equation: "x ∧ x = x ∨ x = x",
        licence: Licence::Exact,
        before: "x = input : bool[3]; y = and(x, x); return y",
        after: "x = input : bool[3]; return y: x",
        at: LOGICAL,
        apply: Apply::One(|_, op, x| {
            let is_join = matches!(op, Op::Logic(Logic::And | Logic::Or));
            (is_join && x[0] == x[1]).then_some(x[0])
        }),
    },
    Row {
        name: "and or with a constant",
        equation: "x ∧ true = x, x ∨ false = x, x ∧ false = false, x ∨ true = true",
        licence: Licence::Exact,
        before: "x = input : bool[3]; t = full {value: 1} : bool[3]; y = and(t, x); return y",
        after: "x = input : bool[3]; return y: x",
        at: LOGICAL,
        apply: Apply::One(|b, op, x| {
            let [a, c] = *x else { return None };
            let (constant, x, holds) = match (known(b, c), known(b, a)) {
                (Some(holds), _) => (c, a, holds),
                (_, Some(holds)) => (a, c, holds),
                _ => return None,
            };
            match (holds, *op == Logic::And.into()) {
                (true, true) | (false, false) => Some(x),
                // The constant alone would forget a fault of x.
                _ if b.may_fault(x) => None,
                _ => Some(constant),
            }
        }),
    },
    Row {
        name: "choice of one",
        equation: "select(c, x, x) = x",
        licence: Licence::Exact,
        before: "c = input : bool[3]; x = input : f32[3]; y = select(c, x, x); return y",
        after: "c = input : bool[3]; x = input : f32[3]; return y: x",
        at: SELECT,
        apply: Apply::One(|b, _, x| (x[1] == x[2] && !b.may_fault(x[0])).then_some(x[1])),
    },
    Row {
        name: "choice that is known",
        equation: "select(true, a, b) = a, select(false, a, b) = b",
        licence: Licence::Exact,
        before: "a = input : f32[3]; b = input : f32[3]; t = full {value: 1} : bool[3]; \
                 y = select(t, a, b); return y",
        after: "a = input : f32[3]; b = input : f32[3]; return y: a",
        at: SELECT,
        apply: Apply::One(|b, _, x| {
            let (taken, lost) = if known(b, x[0])? { (x[1], x[2]) } else { (x[2], x[1]) };
            (!b.may_fault(lost)).then_some(taken)
        }),
    },
    Row {
        name: "choice by a denial",
        equation: "select(¬c, a, b) = select(c, b, a)",
        licence: Licence::Exact,
        before: "c = input : bool[3]; a = input : f32[3]; b = input : f32[3]; n = not(c); \
                 y = select(n, a, b); return y",
        after: "c = input : bool[3]; a = input : f32[3]; b = input : f32[3]; y = select(c, b, a); return y",
        at: SELECT,
        apply: Apply::One(|b, _, x| {
            let condition = denied(b, x[0])?;
            b.emit(Select, &[condition, x[2], x[1]])
        }),
    },
    Row {
        name: "choice of truth",
        equation: "select(c, true, false) = c, select(c, false, true) = ¬c",
        licence: Licence::Exact,
        before: "c = input : bool[3]; t = full {value: 1} : bool[3]; f = full {value: 0} : bool[3]; \
                 y = select(c, f, t); return y",
        after: "c = input : bool[3]; y = not(c); return y",
        at: SELECT,
        apply: Apply::One(|b, _, x| {
            if !matches!(b.ty(x[1]).dtype, backprop_core::DType::Bool) {
                return None;
            }
            match (known(b, x[1])?, known(b, x[2])?) {
                (true, false) => Some(x[0]),
                (false, true) => b.emit(Logic::Not, &[x[0]]),
                _ => None,
            }
        }),
    },
    Row {
        name: "choice made before",
        equation: "select(c, select(c, a, b), d) = select(c, a, d), and so in the other branch",
        licence: Licence::Exact,
        before: "c = input : bool[3]; a = input : f32[3]; b = input : f32[3]; d = input : f32[3]; \
                 s = select(c, a, b); y = select(c, s, d); return y",
        after: "c = input : bool[3]; a = input : f32[3]; b = input : f32[3]; d = input : f32[3]; \
                y = select(c, a, d); return y",
        at: SELECT,
        apply: Apply::One(|b, _, x| {
            if let Some([kept, lost]) = choice(b, x[1], x[0])
                && !b.may_fault(lost)
            {
                return b.emit(Select, &[x[0], kept, x[2]]);
            }
            let [lost, kept] = choice(b, x[2], x[0])?;
            if b.may_fault(lost) { None } else { b.emit(Select, &[x[0], x[1], kept]) }
        }),
    },
];

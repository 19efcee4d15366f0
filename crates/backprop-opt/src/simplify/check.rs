//! Check mode: every rewrite replayed by itself, against the reference interpreter.
//!
//! A rewrite put some results in the place of a call. Both are computed from the same operands, which are as
//! the rewrites before left them: so the first one that differs is the one that is wrong. A rewrite whose right
//! side was itself rewritten answers for the widest licence of both.
//!
//! | licence | what must hold of left l and right r, for each element |
//! |---|---|
//! | exact | the same bits, any NaN for any other |
//! | reassociate | where l is finite: \|l − r\| ≤ 2·(n + 8)·u·M |
//! | stabilise | where l is finite: \|l − r\| ≤ M/256, as l may have lost its digits |
//!
//! u: half a unit in the last place of 1. n: the elements that one result is computed from. M: the largest
//! element of results, operands, and what these were computed from; with stabilise at least 1.

use std::fmt;

use backprop_core::ops::Types;
use backprop_core::{Array, DType, Error, Op, Records, Type, ValueId, interpret};

use super::build::{Rewrite, Rules};
use super::row::Licence;
use super::{Options, rows, sweep};

/// What replaying found.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// How many rewrites were replayed.
    pub n_rewrites: usize,
    /// The first one that breaks its licence.
    pub broken: Option<Broken>,
}

/// A rewrite that broke its licence.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The name of the row.
    pub row: &'static str,
    /// The licence that it had, with those of the rewrites of its right side.
    pub licence: Licence,
    /// The op on the left.
    pub op: Op,
    /// Where that was called, in words.
    pub place: String,
    /// The result of the left side.
    pub left: Array,
    /// What took its place.
    pub right: Array,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Broken { row, licence, op, place, left, right } = self;
        write!(
            f,
            "row `{row}` ({licence:?}) breaks its licence at {} ({place})\n{left:?}\nbecame\n{right:?}",
            op.name()
        )
    }
}

/// Replays every rewrite that [`simplify`](super::simplify) does to this graph, where its inputs are `given`.
/// Rewrites inside bodies are not among them.
///
/// # Errors
/// A root is ill; given arrays that do not fit; a fault in the data.
pub fn check(
    records: &Records,
    roots: &[ValueId],
    options: Options,
    given: &[(ValueId, Array)],
) -> Result<Replayed, Error> {
    replay(records, roots, &Rules::new(rows::MAIN, options), given)
}

fn replay(
    records: &Records,
    roots: &[ValueId],
    rules: &Rules,
    given: &[(ValueId, Array)],
) -> Result<Replayed, Error> {
    let by_ref: Vec<(ValueId, &Array)> = given.iter().map(|(value, array)| (*value, array)).collect();
    let bound = super::bind(records, roots, &records.sizes(&by_ref, "check")?)?;
    let (written, rewrites) = sweep::traced(&bound, roots, rules)?;
    let inputs = given.iter().filter_map(|(value, array)| Some((written.value(*value)?, array.clone())));
    let inputs: Vec<(ValueId, Array)> = inputs.collect();
    let operands_of = |value: ValueId| &written.records.node(written.records.producer(value)).inputs;
    let mut wanted: Vec<ValueId> = Vec::new();
    for rewrite in &rewrites {
        wanted.extend(rewrite.inputs.iter().chain(&rewrite.outputs));
        wanted.extend(rewrite.inputs.iter().flat_map(|&input| operands_of(input)));
    }
    wanted.sort_unstable();
    wanted.dedup();
    let arrays = interpret(&written.records, &inputs, &wanted)?;
    let array = |value: &ValueId| &arrays[wanted.binary_search(value).expect("it is among those wanted")];
    let mut n_rewrites = 0;
    for rewrite in &rewrites {
        let inputs: Vec<&Array> = rewrite.inputs.iter().map(array).collect();
        let at_fault = |ill| bound.faulted(rewrite.node, ill);
        let types: Vec<Type> = inputs.iter().map(|x| Type::new(x.dtype(), x.shape())).collect();
        let outputs: Types = rewrite.op.infer(&types).map_err(at_fault)?;
        let left = rewrite.op.rule().eval(&inputs, &outputs).map_err(at_fault)?;
        let below = rewrite.inputs.iter().flat_map(|&input| operands_of(input)).map(array);
        let largest = inputs.iter().copied().chain(below).map(largest).fold(0.0, f64::max);
        for (left, right) in left.into_iter().zip(rewrite.outputs.iter().map(array)) {
            let n = inputs.iter().map(|x| x.len()).max().unwrap_or(1).max(1) / left.len().max(1) + 1;
            if !holds(rewrite.licence, &left, right, n, largest) {
                let broken = broken(&bound, rewrite, left, right.clone());
                return Ok(Replayed { n_rewrites, broken: Some(broken) });
            }
        }
        n_rewrites += 1;
    }
    Ok(Replayed { n_rewrites, broken: None })
}

fn broken(records: &Records, rewrite: &Rewrite, left: Array, right: Array) -> Broken {
    let place = records.place(records.node(rewrite.node).place).to_string();
    let (row, licence) = (rewrite.row.name, rewrite.licence);
    Broken { row, licence, op: rewrite.op.clone(), place, left, right }
}

/// The largest finite element.
fn largest(x: &Array) -> f64 {
    x.to_f64s().into_iter().filter(|x| x.is_finite()).fold(0.0, |m, x| m.max(x.abs()))
}

/// Whether the right side is what the licence says; see the table above.
fn holds(licence: Licence, left: &Array, right: &Array, n: usize, operands: f64) -> bool {
    if (left.dtype(), left.sizes()) != (right.dtype(), right.sizes()) {
        return false;
    }
    if !left.dtype().is_float() {
        return left.same_bits(right);
    }
    let (u, tiny) = match left.dtype() {
        DType::F32 => (f64::from(f32::EPSILON) / 2.0, f64::from(f32::MIN_POSITIVE)),
        _ => (f64::EPSILON / 2.0, f64::MIN_POSITIVE),
    };
    let m = operands.max(largest(left)).max(largest(right));
    let bound = match licence {
        Licence::Exact => 0.0,
        Licence::Reassociate => 2.0 * (n as f64 + 8.0) * u * m + tiny,
        Licence::Stabilise => m.max(1.0) / 256.0,
    };
    left.to_f64s().iter().zip(right.to_f64s()).all(|(&l, r)| match licence {
        Licence::Exact => l.to_bits() == r.to_bits() || (l.is_nan() && r.is_nan()),
        _ => !l.is_finite() || (l - r).abs() <= bound,
    })
}

#[cfg(test)]
mod tests {
    use backprop_core::ops::{Binary, Unary};
    use backprop_core::{Graph, Tensor};

    use super::*;
    use crate::simplify::row::{Apply, Kind, Row};

    /// Rows that are wrong: one in a sign, two in the licence that they claim.
    const WRONG: &[Row] = &[
        Row {
            name: "wrong sign",
            equation: "a − (−b) = a − b",
            licence: Licence::Reassociate,
            before: "",
            after: "",
            at: &[Kind::Sub],
            apply: Apply::One(|b, _, x| {
                let positive = b.through(x[1], |op| *op == Unary::Neg.into())?;
                b.emit(Binary::Sub, &[x[0], positive])
            }),
        },
        Row {
            name: "x + 0 as if exact",
            equation: "x + 0 = x",
            licence: Licence::Exact,
            before: "",
            after: "",
            at: &[Kind::Add],
            apply: Apply::One(|b, _, x| b.is(x[1], 0.0).then_some(x[0])),
        },
        Row {
            name: "x·0 as if it were 0",
            equation: "x·0 = 0",
            licence: Licence::Stabilise,
            before: "",
            after: "",
            at: &[Kind::Mul],
            apply: Apply::One(|b, _, x| b.is(x[1], 0.0).then_some(x[1])),
        },
    ];

    fn found(y: impl Fn(Tensor) -> Tensor, x: &[f64]) -> Option<&'static str> {
        let g = Graph::new();
        let own = g.input("x", "f64[B]");
        let (y, given) = (y(own.tanh()), [(own.id(), Array::vector(x))]);
        let all = Options { stability: super::super::Stability::Improved, ..Options::FAST };
        let rules = Rules::new(&[WRONG, rows::MAIN[2]], all);
        let replayed = replay(&g.records(), &[y.id()], &rules, &given).expect("no fault");
        replayed.broken.map(|broken| broken.row)
    }

    #[test]
    fn the_first_wrong_row_is_named() {
        assert_eq!(found(|x| (x * 1.0) - (-x), &[0.5, 1.0]), Some("wrong sign"));
        assert_eq!(found(|x| (x + 0.0) - (-x), &[0.5, -0.0]), Some("x + 0 as if exact"));
        // On these numbers nothing is wrong with it.
        assert_eq!(found(|x| x + 0.0, &[0.5, 1.0]), None);
        assert_eq!(found(|x| x * 1.0 + 0.25, &[0.5, -0.0]), None);
    }

    #[test]
    fn what_was_not_finite_may_become_anything() {
        let (nan, one) = (Array::from([f64::NAN, 1.0]), Array::from([0.0, 1.0]));
        assert!(holds(Licence::Stabilise, &nan, &one, 1, 1.0));
        assert!(!holds(Licence::Stabilise, &one, &nan, 1, 1.0));
        assert!(!holds(Licence::Exact, &nan, &one, 1, 1.0));
        assert!(holds(Licence::Exact, &nan, &Array::from([-f64::NAN, 1.0]), 1, 1.0));
        let next = Array::from([0.0, 1.0 + f64::EPSILON]);
        assert!(holds(Licence::Reassociate, &one, &next, 1, 1.0));
        assert!(!holds(Licence::Reassociate, &one, &Array::from([0.0, 1.0 + 1e-14]), 1, 1.0));
    }
}

//! Each row: its text before becomes its text after, and both have the same values.

use backprop_core::text::Document;
use backprop_core::verify::verify;
use backprop_core::{Array, ValueId, interpret};
use backprop_opt::simplify::{
    Licence, Options, Rounding, Row, Simplified, Stability, decompose, rows, simplify,
};

use crate::common::{distance, graph, plain_inputs, same, special_inputs};

fn outputs(document: &Document) -> Vec<ValueId> {
    document.outputs.iter().map(|&(_, value)| value).collect()
}

/// The pass that the row belongs to, with no more licence than the row needs.
fn pass(row: &Row, before: &Document) -> Simplified {
    let options = match row.licence {
        Licence::Exact => Options::EXACT,
        Licence::Reassociate => Options::FAST,
        Licence::Stabilise => Options { rounding: Rounding::Kept, stability: Stability::Improved },
    };
    let roots = outputs(before);
    let result = match row.name.ends_with("spelt out") {
        true => decompose(&before.records, &roots),
        false => simplify(&before.records, &roots, options),
    };
    result.unwrap_or_else(|error| panic!("{}: {error}", row.name))
}

#[test]
fn each_row_does_what_it_shows() {
    let mut wrong = Vec::new();
    for row in rows() {
        let (before, after) = (graph(row.before), graph(row.after));
        let simplified = pass(row, &before);
        assert_eq!(verify(&simplified.records), Ok(()), "{}", row.name);
        let names = before.outputs.iter().map(|(name, _)| name.clone());
        let outputs = names.zip(simplified.roots.iter().copied()).collect();
        let found = Document { records: simplified.records.clone(), outputs }.print().text;
        if found != after.print().text {
            wrong.push(format!("{}:\n{found}is not\n{}", row.name, after.print().text));
        }
        if !simplified.applied.iter().any(|&(name, _)| name == row.name) {
            wrong.push(format!("{} was not used, but {:?}", row.name, simplified.applied));
        }
    }
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), rows().count(), wrong.join("\n"));
}

#[test]
fn rows_have_names_of_their_own() {
    let mut names: Vec<&str> = rows().map(|row| row.name).collect();
    let n = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), n);
}

fn values(document: &Document, given: &[(ValueId, Array)]) -> Result<Vec<Array>, String> {
    interpret(&document.records, given, &outputs(document)).map_err(|error| error.faults()[0].rule.clone())
}

#[test]
fn exact_rows_keep_every_bit() {
    let mut n_compared = 0;
    for row in rows().filter(|row| row.licence == Licence::Exact) {
        let (before, after) = (graph(row.before), graph(row.after));
        for seed in 0..40 {
            let left = values(&before, &special_inputs(&before.records, seed));
            let right = values(&after, &special_inputs(&after.records, seed));
            match (&left, &right) {
                (Ok(left), Ok(right)) => {
                    let equal = left.iter().zip(right).all(|(a, b)| same(a, b));
                    assert!(equal, "{} (seed {seed}): {left:?} is not {right:?}", row.name);
                }
                (left, right) => assert_eq!(left.as_ref().err(), right.as_ref().err(), "{}", row.name),
            }
            n_compared += 1;
        }
    }
    println!("{n_compared} comparisons");
}

#[test]
fn other_rows_stay_close() {
    // f32 has 2⁻²⁴ = 6·10⁻⁸ for half a unit; the texts sum at most six elements.
    const CLOSE: f64 = 1e-6;
    for row in rows().filter(|row| row.licence != Licence::Exact) {
        let (before, after) = (graph(row.before), graph(row.after));
        for seed in 0..10 {
            let left = values(&before, &plain_inputs(&before.records, seed)).expect("no fault");
            let right = values(&after, &plain_inputs(&after.records, seed)).expect("no fault");
            let apart = left.iter().zip(&right).map(|(a, b)| distance(a, b)).fold(0.0, f64::max);
            assert!(apart <= CLOSE, "{} (seed {seed}): {left:?} is {apart:e} from {right:?}", row.name);
        }
    }
}

#[test]
fn spelt_out_ops_keep_their_special_cases() {
    for row in rows().filter(|row| row.name.ends_with("spelt out")) {
        let (before, after) = (graph(row.before), graph(row.after));
        for seed in 0..60 {
            let left = values(&before, &special_inputs(&before.records, seed));
            let right = values(&after, &special_inputs(&after.records, seed));
            match (&left, &right) {
                (Ok(left), Ok(right)) => {
                    let apart = left.iter().zip(right).map(|(a, b)| distance(a, b)).fold(0.0, f64::max);
                    assert!(apart <= 1e-6, "{} (seed {seed}): {left:?} is not {right:?}", row.name);
                }
                (left, right) => assert_eq!(left.as_ref().err(), right.as_ref().err(), "{}", row.name),
            }
        }
    }
}

#[test]
fn stable_rows_are_never_the_worse_ones() {
    for row in rows().filter(|row| row.licence == Licence::Stabilise) {
        let (before, after) = (graph(row.before), graph(row.after));
        for seed in 0..60 {
            let left = values(&before, &special_inputs(&before.records, seed)).expect("no fault");
            let right = values(&after, &special_inputs(&after.records, seed)).expect("no fault");
            for (left, right) in left.iter().zip(&right) {
                let lost =
                    left.to_f64s().iter().zip(right.to_f64s()).any(|(l, r)| l.is_finite() && !r.is_finite());
                assert!(!lost, "{} (seed {seed}): {left:?} became {right:?}", row.name);
            }
        }
    }
}

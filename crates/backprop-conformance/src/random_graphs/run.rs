//! Many graphs, one after another: what CI and the command do.

use super::case::Case;
use super::compare::{Failure, caught, hold, references};
use super::generate::case;
use super::shrink::shrunk;
use super::statistics::Statistics;
use super::subjects::Subject;
use super::ulps::Promise;

/// Who is wrong where no graph could be made.
const GENERATOR: &str = "generator";

/// Makes the graph of a seed, runs it on every subject, and counts; what is wrong.
pub fn try_seed(seed: u64, subjects: &[Box<dyn Subject>], statistics: &mut Statistics) -> Vec<Failure> {
    let case = match caught(|| case(seed)) {
        Ok(case) => case,
        Err(what) => return vec![Failure { seed, subject: GENERATOR, run: 0, output: None, what }],
    };
    let mut failures = Vec::new();
    let mut is_counted = false;
    for promise in [Promise::System, Promise::Compiled] {
        let own: Vec<&dyn Subject> =
            subjects.iter().map(Box::as_ref).filter(|s| s.promise() == promise).collect();
        if own.is_empty() {
            continue;
        }
        let references = match references(&case, promise) {
            Ok(references) => references,
            Err(what) => {
                failures.push(Failure { seed, subject: "reference", run: 0, output: None, what });
                continue;
            }
        };
        if !is_counted {
            statistics.count(&case, &references);
            is_counted = true;
        }
        for subject in own {
            match hold(&case, subject, &references) {
                Ok(compared) => statistics.compared.entry(subject.name()).or_default().add(compared),
                Err(failure) => failures.push(failure),
            }
        }
    }
    failures
}

/// A failure in words: what, where, and the smallest graph found that shows it.
pub fn report(failure: &Failure, subjects: &[Box<dyn Subject>]) -> String {
    let Failure { seed, subject, run, output, what } = failure;
    if *subject == GENERATOR {
        return format!("seed {seed}, {subject}: {what}");
    }
    let case = case(*seed);
    let small = match subjects.iter().find(|own| own.name() == *subject) {
        Some(subject) => shrunk(&case, *run, *output, |small| fails(small, subject.as_ref())),
        None => case,
    };
    let run = if small.runs.len() > *run { *run } else { 0 };
    format!("seed {seed}, {subject}, run {run}, output {output:?}: {what}\n{}", small.text(run))
}

fn fails(case: &Case, subject: &dyn Subject) -> bool {
    match references(case, subject.promise()) {
        Ok(references) => hold(case, subject, &references).is_err(),
        Err(_) => false,
    }
}

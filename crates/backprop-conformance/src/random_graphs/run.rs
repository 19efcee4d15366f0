//! Many graphs, one after another: what CI and the command do.

use super::case::Case;
use super::compare::{Compared, Failure, Outputs, agree, caught, ran, references, same_bits, within};
use super::generate::case;
use super::reference::Evaluation;
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
    let mut references = References::new(&case);
    match references.of(Promise::System) {
        Ok(own) => statistics.count(&case, own),
        Err(what) => return vec![Failure { seed, subject: "reference", run: 0, output: None, what }],
    }
    let mut known: Vec<(&str, Outputs)> = Vec::new();
    for subject in subjects {
        match held(&case, subject.as_ref(), &mut references, &known) {
            Ok((compared, outputs)) => {
                statistics.compared.entry(subject.name()).or_default().add(compared);
                known.push((subject.name(), outputs));
            }
            Err(failure) => failures.push(failure),
        }
    }
    failures
}

/// The references of a case, for each promise once.
struct References<'a> {
    case: &'a Case,
    known: Vec<(Promise, Result<Vec<Evaluation>, String>)>,
}

impl<'a> References<'a> {
    fn new(case: &'a Case) -> References<'a> {
        References { case, known: Vec::new() }
    }

    fn of(&mut self, promise: Promise) -> Result<&[Evaluation], String> {
        let at = match self.known.iter().position(|(known, _)| *known == promise) {
            Some(at) => at,
            None => {
                self.known.push((promise, references(self.case, promise)));
                self.known.len() - 1
            }
        };
        self.known[at].1.as_deref().map_err(String::clone)
    }
}

/// Holds a subject to the bounds of the graph that it runs, that graph to what it was made from, and its bits
/// to those of its twin, if that is among the `known`.
fn held(
    case: &Case,
    subject: &dyn Subject,
    original: &mut References,
    known: &[(&str, Outputs)],
) -> Result<(Compared, Outputs), Failure> {
    let failure = |what| Failure::of(case, subject, what);
    let original = original.of(subject.promise()).map_err(failure)?;
    let rewritten = caught(|| subject.rewritten(case)).map_err(failure)?;
    let outputs = ran(case, subject)?;
    let compared = match rewritten.map_err(|error| failure(format!("fault: {error}")))? {
        None => within(case, subject, &outputs, original)?,
        Some(rewritten) => {
            let own = references(&rewritten, subject.promise()).map_err(failure)?;
            let at = |(run, output, what)| Failure { run, output: Some(output), ..failure(what) };
            agree(original, &own).map_err(at)?;
            within(case, subject, &outputs, &own)?
        }
    };
    if let Some((_, twin)) = known.iter().find(|(name, _)| subject.twin() == Some(name)) {
        same_bits(case, subject, &outputs, twin)?;
    }
    Ok((compared, outputs))
}

/// A failure in words: what, where, and the smallest graph found that shows it.
pub fn report(failure: &Failure, subjects: &[Box<dyn Subject>]) -> String {
    let Failure { seed, subject, run, output, what } = failure;
    if *subject == GENERATOR {
        return format!("seed {seed}, {subject}: {what}");
    }
    let case = case(*seed);
    let named = |name: &str| subjects.iter().find(|own| own.name() == name).map(Box::as_ref);
    let small = match named(subject) {
        Some(subject) => {
            let twin = subject.twin().and_then(named);
            shrunk(&case, *run, *output, |small| fails(small, subject, twin))
        }
        None => case,
    };
    let run = if small.runs.len() > *run { *run } else { 0 };
    format!("seed {seed}, {subject}, run {run}, output {output:?}: {what}\n{}", small.text(run))
}

fn fails(case: &Case, subject: &dyn Subject, twin: Option<&dyn Subject>) -> bool {
    let mut all = References::new(case);
    let known: Vec<(&str, Outputs)> =
        twin.and_then(|twin| Some((twin.name(), ran(case, twin).ok()?))).into_iter().collect();
    all.of(subject.promise()).is_ok() && held(case, subject, &mut all, &known).is_err()
}

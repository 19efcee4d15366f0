//! Random graphs on every engine, held to the reference.
//!
//! `random_graphs [N] [--seed FIRST] [--from FIRST]`: N graphs (100,000), of the seeds from FIRST (0) on.
//! Prints statistics and each failure with its seed and the smallest graph found that shows it; ends with
//! status 1 if there is one.

use std::process::ExitCode;
use std::time::Instant;

use backprop_conformance::random_graphs::run::{report, try_seed};
use backprop_conformance::random_graphs::statistics::Statistics;
use backprop_conformance::random_graphs::subjects;

/// So many failing graphs are shrunk and shown; of the others, what failed.
const MOST_TOLD: usize = 20;

fn main() -> ExitCode {
    let (n, first) = match arguments() {
        Ok(given) => given,
        Err(why) => {
            eprintln!("{why}\nusage: random_graphs [N] [--from FIRST]   (or --seed FIRST, for one graph)");
            return ExitCode::from(2);
        }
    };
    // A panic is a failure like any other, and told as one.
    std::panic::set_hook(Box::new(|_| ()));
    let subjects = subjects::all();
    let (mut statistics, mut failures) = (Statistics::default(), Vec::new());
    let start = Instant::now();
    for seed in first..first + n {
        failures.extend(try_seed(seed, &subjects, &mut statistics));
        let done = seed - first + 1;
        if done.is_multiple_of(5000) {
            eprintln!("{done} graphs, {} failures, {:.0} s", failures.len(), start.elapsed().as_secs_f64());
        }
    }
    println!("{statistics}");
    for (name, count) in statistics.too_often_left_out() {
        println!("{name}: {} of {} elements are left out", count.left_out, count.elements);
    }
    let mut told: Vec<u64> = Vec::new();
    for failure in &failures {
        // What fails in one engine often fails in its kin.
        if told.contains(&failure.seed) || told.len() == MOST_TOLD {
            println!("seed {}, {}: {}", failure.seed, failure.subject, failure.what);
        } else {
            told.push(failure.seed);
            println!("{}", report(failure, &subjects));
        }
    }
    println!(
        "{n} graphs from seed {first} in {:.1} s: {} failures",
        start.elapsed().as_secs_f64(),
        failures.len()
    );
    match failures.is_empty() && statistics.too_often_left_out().is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// How many graphs, and the first seed.
fn arguments() -> Result<(u64, u64), String> {
    let (mut n, mut first) = (100_000, 0);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let number = |text: Option<String>| {
            let text = text.ok_or_else(|| format!("{word} needs a number"))?;
            text.parse::<u64>().map_err(|_| format!("`{text}` is no number"))
        };
        match word.as_str() {
            "--from" => first = number(words.next())?,
            "--seed" => (n, first) = (1, number(words.next())?),
            _ => n = number(Some(word.clone()))?,
        }
    }
    Ok((n, first))
}

//! `bench compile`: from a graph to its first step, in processes that begin with nothing.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command as Process, Stdio};

use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::spread::Spread;
use super::{count, count_option, json_flag, layers, layers_option, n_rounds, rounds_option};
use crate::failure::Failure;
use crate::talk::print;

/// The arguments.
pub fn command() -> Command {
    Command::new("compile")
        .about("The time to the first training step, and to the first of another batch size")
        .arg(layers_option("784,512,512,10"))
        .arg(count_option("batch", "128", "Samples per step"))
        .arg(count_option("new-batch", "96", "Samples per step afterwards; at most twice as many"))
        .arg(rounds_option("10"))
        .arg(json_flag())
        .after_help(
            "Each round is a process of its own: first calls, page faults and packing count; a warm step is taken\n\
             off.\n\n\
             Example:\n  backprop bench compile --layers 7,5,3 --batch 11 --new-batch 13 --rounds 3",
        )
}

/// Measures.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let sizes = layers(matches)?;
    let (batch, new_batch) = (count(matches, "batch"), count(matches, "new-batch"));
    if new_batch > 2 * batch {
        return Err(Failure::usage(format!("--new-batch: at most {}, twice the batch", 2 * batch)));
    }
    let text =
        |sizes: &[usize], sign: &str| sizes.iter().map(usize::to_string).collect::<Vec<_>>().join(sign);
    let (mut first, mut first_of_new) = (Vec::new(), Vec::new());
    for _ in 0..n_rounds(matches) {
        let mut cold = Cold::start(&["mlp", "--layers", &text(&sizes, ","), "--batch", &batch.to_string()])?;
        let began = cold.answer()?["first_us"].as_f64().unwrap_or(f64::NAN);
        first.push(began - cold.warm_us()?);
        let began = cold.ask(&format!("batch {new_batch}"))?;
        first_of_new.push(began - cold.warm_us()?);
    }
    let [compile, new] = [first, first_of_new].map(Spread::of);
    match matches.get_flag("json") {
        true => print(json!({
            "work": "compile", "layers": sizes, "batch": batch, "new_batch": new_batch,
            "rounds": n_rounds(matches),
            "compile_ms": compile.median / 1e3, "compile_p10_ms": compile.p10 / 1e3,
            "compile_p90_ms": compile.p90 / 1e3,
            "new_batch_ms": new.median / 1e3, "new_batch_p10_ms": new.p10 / 1e3,
            "new_batch_p90_ms": new.p90 / 1e3,
        })),
        false => print(format!(
            "compile {}, {} cold processes\n\
             batch {batch:<7}{}, graph and first step, less a warm one\n\
             batch {new_batch:<7}{}, the same afterwards",
            text(&sizes, "-"),
            n_rounds(matches),
            compile.time(),
            new.time()
        )),
    }
}

/// Another process of this command, which serves steps.
struct Cold {
    process: Child,
    /// Closing it ends the process.
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Drop for Cold {
    fn drop(&mut self) {
        drop(self.requests.take());
        // The next one begins when this one is gone.
        let _ = self.process.wait();
    }
}

impl Cold {
    fn start(work: &[&str]) -> Result<Cold, Failure> {
        let cannot =
            |error: std::io::Error| Failure::failed(format!("cannot start another process: {error}"));
        let mut process = Process::new(std::env::current_exe().map_err(cannot)?);
        process.arg("bench").args(work).arg("--serve").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = process.spawn().map_err(cannot)?;
        let (requests, answers) = (process.stdin.take(), process.stdout.take().expect("it was asked for"));
        Ok(Cold { process, requests, answers: BufReader::new(answers) })
    }

    fn answer(&mut self) -> Result<Value, Failure> {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        match (read, serde_json::from_str(&line)) {
            (Ok(1..), Ok(answer)) => Ok(answer),
            _ => Err(Failure::failed("a process that takes steps gave no answer")),
        }
    }

    /// Microseconds per step.
    fn ask(&mut self, request: &str) -> Result<f64, Failure> {
        if let Some(requests) = &mut self.requests {
            // If the process is gone, there is no answer either.
            let _ = writeln!(requests, "{request}");
        }
        Ok(self.answer()?["us"].as_f64().unwrap_or(f64::NAN))
    }

    fn warm_us(&mut self) -> Result<f64, Failure> {
        self.ask("run 3")?;
        self.ask("run 10")
    }
}

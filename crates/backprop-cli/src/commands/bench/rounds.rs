//! Work that takes turns with its yardstick.

use std::time::Instant;

use backprop_cpu::limits::fma_gflops;
use backprop_run::{CompileOptions, StepProfile};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value, json};

use super::spread::{Spread, time};
use super::{
    choice, choice_option, compile_options, json_flag, n_rounds, n_threads, rounds_option, serve, serve_flag,
    threads_option,
};
use crate::allocations;
use crate::commands::show::write_text;
use crate::commands::{file_option, path};
use crate::failure::Failure;
use crate::talk::{note_threads, print, say};

/// Something that can be done again and again.
pub trait Work {
    /// What it is, in a line.
    fn title(&self) -> String;

    /// What it is, as fields of an object.
    fn facts(&self) -> Value;

    /// Does it once; the loss, where there is one.
    fn step(&mut self) -> Result<f64, Failure>;

    /// What it is compared to.
    fn yardstick(&self) -> Yardstick;

    /// Moves the memory of [`Yardstick::Memory`] once.
    fn touch(&mut self) {}

    /// From now on, steps are on `n` samples.
    fn set_batch(&mut self, _n: usize) -> Result<(), Failure> {
        Err(Failure::failed("`batch N`: this work has no batch"))
    }

    /// What each step of its program takes.
    fn profile(&self) -> Result<Vec<StepProfile>, Failure> {
        Err(Failure::usage("--profile: only `bench mlp` and `bench graph`, compiled, have steps to measure"))
    }

    /// The bytes of its arena.
    fn arena_bytes(&self) -> Option<usize> {
        None
    }

    /// The threads that do it, once it was done.
    fn n_threads(&self) -> usize;
}

/// The best that the machine could do.
pub enum Yardstick {
    /// Multiply-adds on registers, for work of so many useful operations; a multiply-add is two.
    Fma(f64),
    /// The least traffic with memory.
    Memory(&'static str),
    /// Work on so many elements, compared only to other programs.
    Elements(usize),
}

/// A step so short is repeated within a round: timers must not count.
const ROUND_US: f64 = 2000.0;

/// The options of work that is measured in rounds.
pub fn with_options(command: Command, engines: &'static [&'static str]) -> Command {
    let choice = match engines.contains(&"eager") {
        true => "A compiled graph, the same in plain Rust loops, or a tape",
        false => "A compiled graph, or the same in plain Rust loops",
    };
    command
        .arg(choice_option("engine", engines, choice))
        .arg(threads_option())
        .arg(rounds_option("50"))
        .arg(serve_flag())
        .arg(
            Arg::new("profile")
                .long("profile")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(["json", "serve"])
                .help("Instead: what each loop nest takes, computes and moves, and where it comes from"),
        )
        .arg(
            file_option("trace", "TRACE.json", "Instead: the same, for chrome://tracing and ui.perfetto.dev")
                .conflicts_with_all(["json", "serve"]),
        )
        .arg(json_flag())
}

/// Makes the work, takes its first step, and measures it or serves it. `make` builds and compiles; what it
/// works on was made before.
pub fn run<W: Work>(
    matches: &ArgMatches,
    make: impl FnOnce(CompileOptions) -> Result<W, Failure>,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut work = make(compile_options(matches))?;
    let loss = work.step()?;
    let first_us = microseconds(begun);
    note_threads(n_threads(matches), work.n_threads());
    if matches.get_flag("serve") {
        return serve::serve(&mut work, first_us, loss);
    }
    if matches.get_flag("profile") || path(matches, "trace").is_some() {
        let steps = work.profile()?;
        if let Some(file) = path(matches, "trace") {
            write_text(file, &trace(&steps))?;
            say(format!(
                "{}: {} steps; chrome://tracing and ui.perfetto.dev show it",
                file.display(),
                steps.len()
            ));
        }
        return if matches.get_flag("profile") { print(profile(&steps)) } else { Ok(()) };
    }
    let measured = Measured::of(&mut work, first_us, matches)?;
    match matches.get_flag("json") {
        true => print(measured.object(&work)),
        false => print(measured.words(&work)),
    }
}

/// A table: one line for each step, with the share of its time.
fn profile(steps: &[StepProfile]) -> String {
    let total: f64 = steps.iter().map(|step| step.time.as_secs_f64()).sum();
    let mut text = String::from("step   share        µs  GFLOP/s     GB/s  what it does; from where\n");
    for (number, step) in steps.iter().enumerate() {
        let seconds = step.time.as_secs_f64();
        let rate = |amount: u64| amount as f64 / seconds.max(1e-9) / 1e9;
        text += &format!(
            "{number:4}  {:5.1}%  {:8.2}  {:7.1}  {:7.1}  {}: {}; {}\n",
            100.0 * seconds / total,
            1e6 * seconds,
            rate(step.work.flops),
            rate(step.work.bytes),
            step.what,
            step.ops.join(", "),
            step.places.join(", ")
        );
    }
    text + &format!(" all  100.0%  {:8.2}\n", 1e6 * total)
}

/// The steps one after another, as the trace events of Chrome: times are in microseconds.
fn trace(steps: &[StepProfile]) -> String {
    let mut start = 0.0;
    let events = steps.iter().enumerate().map(|(number, step)| {
        let duration = 1e6 * step.time.as_secs_f64();
        let event = json!({
            "name": step.what, "cat": "step", "ph": "X", "pid": 1, "tid": 1, "ts": start, "dur": duration,
            "args": {
                "step": number, "flops": step.work.flops, "bytes": step.work.bytes, "ops": step.ops,
                "places": step.places,
            },
        });
        start += duration;
        event
    });
    let events: Vec<Value> = events.collect();
    format!("{}\n", json!({ "traceEvents": events, "displayTimeUnit": "ns" }))
}

fn microseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e6
}

struct Measured {
    engine: String,
    n_threads: usize,
    steps_per_round: usize,
    /// Microseconds of a step.
    step: Vec<f64>,
    /// What the yardstick gave in the same rounds: GFLOP/s, or microseconds; empty if it gives nothing.
    yardstick: Vec<f64>,
    /// Building, compiling and the first step, less one warm step, in milliseconds.
    compile_ms: f64,
    allocations: f64,
    loss: f64,
}

impl Measured {
    fn of(work: &mut dyn Work, first_us: f64, matches: &ArgMatches) -> Result<Measured, Failure> {
        let n_threads = work.n_threads();
        const WARM: usize = 3;
        let (taken, n_allocations) =
            allocations::during(|| (0..WARM).try_for_each(|_| work.step().map(drop)));
        taken?;
        // Its pages too are there before they are timed.
        work.touch();
        let begun = Instant::now();
        let mut loss = work.step()?;
        let steps_per_round = (ROUND_US / microseconds(begun)).ceil().clamp(1.0, 1e6) as usize;
        let (mut step, mut yardstick) = (Vec::new(), Vec::new());
        for _ in 0..n_rounds(matches) {
            match work.yardstick() {
                Yardstick::Fma(_) => yardstick.extend(fma_gflops(n_threads)),
                Yardstick::Memory(_) => {
                    let begun = Instant::now();
                    work.touch();
                    yardstick.push(microseconds(begun));
                }
                Yardstick::Elements(_) => {}
            }
            let begun = Instant::now();
            for _ in 0..steps_per_round {
                loss = work.step()?;
            }
            step.push(microseconds(begun) / steps_per_round as f64);
        }
        let warm = Spread::of(step.iter().copied()).median;
        Ok(Measured {
            engine: choice(matches, "engine").to_string(),
            n_threads,
            steps_per_round,
            step,
            yardstick,
            compile_ms: (first_us - warm) / 1e3,
            allocations: n_allocations as f64 / WARM as f64,
            loss,
        })
    }

    fn time(&self) -> Spread {
        Spread::of(self.step.iter().copied())
    }

    /// The best rate that the multiply-adds reached, and the part of it that the work reached.
    fn of_peak(&self, flops: f64) -> Option<(f64, Spread)> {
        let peak = self.yardstick.iter().copied().reduce(f64::max)?;
        Some((peak, Spread::of(self.step.iter().map(|us| flops / us / 1e3 / peak))))
    }

    /// The step's time as a multiple of the yardstick's in the same round.
    fn of_memory(&self) -> Spread {
        Spread::of(self.step.iter().zip(&self.yardstick).map(|(us, least)| us / least))
    }

    fn object(&self, work: &dyn Work) -> Value {
        let Spread { min, p10, median, p90 } = self.time();
        let mut object = Map::new();
        let mut put = |fields: Value| match fields {
            Value::Object(fields) => object.extend(fields),
            other => unreachable!("fields are an object, not {other}"),
        };
        put(work.facts());
        put(json!({
            "engine": self.engine, "threads": self.n_threads,
            "median_us": median, "min_us": min, "p10_us": p10, "p90_us": p90,
            "rounds": self.step.len(), "steps_per_round": self.steps_per_round,
            "compile_ms": self.compile_ms, "allocs_per_step": self.allocations,
            "arena_bytes": work.arena_bytes(), "loss": self.loss,
        }));
        match work.yardstick() {
            Yardstick::Fma(flops) => {
                let of_peak = self.of_peak(flops);
                put(json!({
                    "gflops": flops / median / 1e3,
                    "peak_gflops": of_peak.map(|(peak, _)| peak),
                    "fraction_of_peak": of_peak.map(|(_, fraction)| fraction.median),
                    "fraction_p10": of_peak.map(|(_, fraction)| fraction.p10),
                    "fraction_p90": of_peak.map(|(_, fraction)| fraction.p90),
                }));
            }
            Yardstick::Memory(name) => {
                let ratio = self.of_memory();
                put(json!({
                    "compared_to": name,
                    "floor_us": Spread::of(self.yardstick.iter().copied()).median,
                    "ratio": ratio.median, "ratio_p10": ratio.p10, "ratio_p90": ratio.p90,
                }));
            }
            Yardstick::Elements(n) => put(json!({ "gelements_per_second": n as f64 / median / 1e3 })),
        }
        object.into()
    }

    fn words(&self, work: &dyn Work) -> String {
        let threads = if self.n_threads == 1 { "1 thread" } else { &format!("{} threads", self.n_threads) };
        let mut lines = vec![format!("{}, engine {}, {threads}", work.title(), self.engine)];
        let mut line = |what: &str, text: String| lines.push(format!("{what:<13}{text}"));
        let spread = self.time();
        match work.yardstick() {
            Yardstick::Fma(flops) => {
                let reached = flops / spread.median / 1e3;
                match self.of_peak(flops) {
                    Some((peak, fraction)) => {
                        line("of FMA peak", fraction.ratio());
                        line("", format!("{reached:.1} of {peak:.1} GFLOP/s, both in this run"));
                    }
                    None => line("rate", format!("{reached:.1} GFLOP/s; no peak is known here")),
                }
            }
            Yardstick::Memory(name) => {
                line("ratio", format!("{}, to {name}", self.of_memory().ratio()));
                line(name, Spread::of(self.yardstick.iter().copied()).time());
            }
            Yardstick::Elements(n) => {
                line("rate", format!("{:.3} elements per ns", n as f64 / spread.median / 1e3));
            }
        }
        line("step", format!("{}; fastest {}", spread.time(), time(spread.min)));
        let (rounds, each) = (self.step.len(), self.steps_per_round);
        line("", format!("{rounds} rounds of {each}"));
        line("compiling", format!("{}, first step included, less a warm one", time(self.compile_ms * 1e3)));
        line("allocations", format!("{:.0} a step", self.allocations));
        if let Some(bytes) = work.arena_bytes() {
            line("arena", format!("{bytes} bytes"));
        }
        lines.join("\n")
    }
}

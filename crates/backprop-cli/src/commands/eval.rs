//! `backprop eval`: what a graph returns for given inputs.

use backprop_core::{Array, Tensor};
use backprop_io::npz;
use backprop_run::{CompileOptions, compile};
use clap::{Arg, ArgMatches, Command, value_parser};

use super::{constants_option, file_option, path, path_arg};
use crate::arrays;
use crate::failure::Failure;
use crate::graph_file::GraphFile;
use crate::talk::{print, say};

/// The arguments.
pub fn command() -> Command {
    Command::new("eval")
        .about("Compute what a graph returns")
        .arg(path_arg("FILE.graph", "The graph, as text"))
        .arg(file_option("in", "X.npz", "The inputs, by name"))
        .arg(file_option("out", "Y.npz", "Where the results go, by name; without it they are printed"))
        .arg(constants_option())
        .arg(
            Arg::new("max-bytes")
                .long("max-bytes")
                .value_name("N")
                .value_parser(value_parser!(usize))
                .help("The most bytes that the run may take beside inputs and results [default: no limit]"),
        )
        .after_help(
            "Examples:\n  backprop eval model.graph --in x.npz\n  \
             backprop eval model.graph --in x.npz --out y.npz",
        )
}

/// Evaluates.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let file = path(matches, "FILE.graph").expect("clap demands it");
    let file = GraphFile::load(file, path(matches, "constants"))?;
    let outputs = file.returned()?;
    let given = arrays::inputs(&file.graph, &outputs, path(matches, "in"), &[])?;
    let (inputs, values): (Vec<Tensor>, Vec<Array>) = given.into_iter().unzip();
    let max_bytes = matches.get_one::<usize>("max-bytes").copied();
    let options = CompileOptions { max_bytes, ..CompileOptions::default() };
    let results = compile(&file.graph, &inputs, &outputs)?.with_options(options).run(&values)?;
    let named: Vec<(&str, &Array)> =
        file.outputs.iter().map(|(name, _)| name.as_str()).zip(&results).collect();
    deliver(matches, &named)
}

/// Writes named arrays to `--out`, or prints them.
pub fn deliver(matches: &ArgMatches, named: &[(&str, &Array)]) -> Result<(), Failure> {
    match path(matches, "out") {
        Some(out) => {
            npz::save(out, named)?;
            let names: Vec<String> = named
                .iter()
                .map(|(name, array)| format!("{name} {}{:?}", array.dtype(), array.sizes()))
                .collect();
            say(format!("{}: {}", out.display(), names.join(", ")));
            Ok(())
        }
        None => {
            let blocks: Vec<String> = named.iter().map(|(name, array)| block(name, array)).collect();
            print(blocks.join("\n"))
        }
    }
}

/// `name = array`, its lines below one another.
fn block(name: &str, array: &Array) -> String {
    let lead = format!("{name} = ");
    let indent = format!("\n{}", " ".repeat(lead.chars().count()));
    lead + &array.to_string().replace('\n', &indent)
}

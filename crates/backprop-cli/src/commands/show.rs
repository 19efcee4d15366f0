//! `backprop show`: a graph, or the network of a run, as a picture or as text.

use std::path::Path;

use backprop::picture;
use backprop_core::text::print as print_graph;
use backprop_core::{Graph, ValueId};
use backprop_io::IoError;
use backprop_io::atomic::write_atomically;
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};

use super::{constants_option, file_option, path, path_arg};
use crate::failure::Failure;
use crate::graph_file::{GraphFile, name_if_free};
use crate::run_dir::Run;
use crate::talk::{print, say};

/// The arguments.
pub fn command() -> Command {
    let form =
        |id: &'static str, help: &'static str| Arg::new(id).long(id).action(ArgAction::SetTrue).help(help);
    Command::new("show")
        .about("Draw a graph, or the training step of a run's network")
        .arg(path_arg("FILE.graph|RUN", "The graph, as text, or the directory of a run"))
        .arg(form("svg", "As an SVG picture"))
        .arg(form("dot", "As DOT, for Graphviz"))
        .arg(form("text", "As graph text"))
        .group(ArgGroup::new("form").args(["svg", "dot", "text"]).required(true))
        .arg(file_option("out", "FILE", "Where it goes; without it, to standard output"))
        .arg(constants_option())
        .after_help(
            "Examples:\n  backprop show model.graph --svg --out model.svg\n  \
             backprop show model.graph --text\n  \
             backprop show digits --dot",
        )
}

/// Shows.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let source = path(matches, "FILE.graph|RUN").expect("clap demands it");
    let title = source.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let (graph, outputs) = match source.is_dir() {
        true => Run::open(source)?.graph()?,
        false => {
            let file = GraphFile::load(source, path(matches, "constants"))?;
            let outputs = file.outputs.iter().map(|(name, value)| (name.clone(), value.id())).collect();
            (file.graph, outputs)
        }
    };
    let text = match () {
        () if matches.get_flag("text") => text_of(&graph, &outputs),
        () => {
            // In a picture there is no `return` that would name them.
            outputs.iter().for_each(|(name, value)| name_if_free(&graph, graph.tensor(*value), name));
            let shown = shown_outputs(&graph, &outputs);
            match matches.get_flag("svg") {
                true => picture::svg(&graph.records(), &shown, &title).map_err(Failure::failed)?,
                false => picture::dot(&graph.records(), &shown, &title),
            }
        }
    };
    match path(matches, "out") {
        Some(out) => write_text(out, &text),
        None => print(text),
    }
}

/// Graph text; what it refers to by name is remarked, as text cannot hold it.
fn text_of(graph: &Graph, outputs: &[(String, ValueId)]) -> String {
    let printed = print_graph(&graph.records(), outputs);
    for (name, array) in &printed.constants {
        let sizes = array.sizes();
        say(format!("note: constant @{name}, {}{sizes:?}, stands outside the text", array.dtype()));
    }
    printed.text
}

/// What a picture must show: the outputs, or, where nothing is returned, every value that nobody reads.
fn shown_outputs(graph: &Graph, outputs: &[(String, ValueId)]) -> Vec<ValueId> {
    if !outputs.is_empty() {
        return outputs.iter().map(|&(_, value)| value).collect();
    }
    let records = graph.records();
    let read: std::collections::HashSet<ValueId> =
        records.nodes().iter().flat_map(|node| node.inputs.iter().copied()).collect();
    records.nodes().iter().flat_map(|node| node.outputs()).filter(|value| !read.contains(value)).collect()
}

/// Writes a text file, whole or not at all.
pub fn write_text(path: &Path, text: &str) -> Result<(), Failure> {
    let shown = path.display().to_string();
    write_atomically(path, |to| {
        to.write_all(text.as_bytes()).map_err(|error| IoError::System { file: shown, doing: "write", error })
    })?;
    Ok(())
}

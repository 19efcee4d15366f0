//! `backprop show`: a graph, or the network of a run, as a picture or as text.

use std::path::Path;

use backprop::picture;
use backprop_core::text::print as print_graph;
use backprop_core::{Array, Graph, Op, Tensor, ValueId};
use backprop_io::IoError;
use backprop_io::atomic::write_atomically;
use backprop_run::{Applied, compile};
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};

use super::sizes::Sizes;
use super::{constants_option, file_option, path, path_arg, sizes};
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
        .arg(form("passes", "The graph after each pass of the compiler, with the rewrites that were used"))
        .arg(form("plan", "What is compiled: loop nests, buffers and where they lie, the size of the arena"))
        .arg(form("asm", "The machine code of each step, for this processor"))
        .group(ArgGroup::new("form").args(["svg", "dot", "text"]).conflicts_with("compiled"))
        .group(ArgGroup::new("compiled").args(["passes", "plan", "asm"]).multiple(true))
        .group(
            ArgGroup::new("shown")
                .args(["svg", "dot", "text", "passes", "plan", "asm"])
                .required(true)
                .multiple(true),
        )
        .arg(
            sizes::option("The size of a named dimension: --passes, --plan and --asm want all")
                .requires("compiled"),
        )
        .arg(file_option("out", "FILE", "Where it goes; without it, to standard output"))
        .arg(constants_option())
        .after_help(
            "Examples:\n  backprop show model.graph --svg --out model.svg\n  \
             backprop show model.graph --text\n  \
             backprop show digits --dot\n  \
             backprop show model.graph --passes --plan --asm --size B=32",
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
        () if ["passes", "plan", "asm"].iter().any(|form| matches.get_flag(form)) => {
            compiled(matches, &graph, &outputs)?
        }
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

/// The passes, the plan and the machine code, for the sizes that are given.
fn compiled(matches: &ArgMatches, graph: &Graph, outputs: &[(String, ValueId)]) -> Result<String, Failure> {
    let sizes = Sizes::read(matches, graph)?.asked;
    let records = graph.records();
    let mut inputs = Vec::new();
    let mut arrays = Vec::new();
    for node in records.nodes() {
        let Op::Input(input) = &node.op else { continue };
        let own = input.ty.shape.eval(&sizes);
        let own = own.map_err(|why| Failure::usage(format!("{why}: --size NAME=N says how large it is")))?;
        inputs.push(graph.tensor(node.first));
        arrays.push(Array::zeros(input.ty.dtype, &own)?);
    }
    let outputs: Vec<Tensor> =
        shown_outputs(graph, outputs).into_iter().map(|value| graph.tensor(value)).collect();
    let executable = compile(graph, &inputs, &outputs)?;
    let plan = executable.plan(&arrays)?;
    let mut text = String::new();
    if matches.get_flag("passes") {
        for pass in &plan.passes {
            text += &format!("-- {}, {} nodes\n", pass.name, pass.n_nodes);
            pass.applied.iter().for_each(|applied| text += &rewrite(applied));
            text += &format!("{}\n", pass.text);
        }
    }
    if matches.get_flag("plan") {
        text += &format!("-- plan\n{}", plan.program);
        text += "\n-- what each step computes\n";
        for (position, (computed, begins)) in plan.computed().iter().zip(plan.begins()).enumerate() {
            text += &format!("step {position}  {computed}\n");
            begins.iter().for_each(|why| text += &format!("  begins with {why}\n"));
        }
        text.push('\n');
    }
    if matches.get_flag("asm") {
        text += &format!("-- machine code\n{}", executable.assembly(&arrays)?);
    }
    Ok(format!("{}\n", text.trim_end()))
}

/// A line: what a rewrite does, and what it may change.
fn rewrite(applied: &Applied) -> String {
    let Applied { name, count, rule } = applied;
    match rule {
        None => format!("# {name} ×{count}\n"),
        Some((equation, licence)) => format!("# {name} ×{count}: {equation}; {licence}\n"),
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

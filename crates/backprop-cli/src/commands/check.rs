//! `backprop check`: whether a graph is well-formed and its gradients are right.

use std::collections::HashMap;

use backprop_core::verify::verify;
use backprop_core::{Array, Tensor, ValueId, replay};
use backprop_run::Check;
use clap::{Arg, ArgMatches, Command, value_parser};

use super::sizes::Sizes;
use super::{constants_option, file_option, path, path_arg, sizes};
use crate::arrays;
use crate::failure::Failure;
use crate::graph_file::GraphFile;
use crate::talk::print;
use crate::widen::{widen, widen_array, widen_type};

/// The arguments.
pub fn command() -> Command {
    Command::new("check")
        .about("Verify a graph, and its gradients against differences and forward mode")
        .arg(path_arg("FILE.graph", "The graph, as text"))
        .arg(sizes::option("The size of a named dimension; the others get small ones").conflicts_with("in"))
        .arg(file_option("in", "X.npz", "Inputs to check at, instead of random ones"))
        .arg(number("seed", "N", "0", "Seeds the random inputs").value_parser(value_parser!(u64)))
        .arg(
            number("order", "1|2", "2", "2 checks the second derivatives too")
                .value_parser(value_parser!(u8).range(1..=2)),
        )
        .arg(constants_option())
        .after_help(
            "Everything is computed in f64, whatever the graph says: differences need the digits.\n\
             Random inputs: floats from -2 to 2, integers 0, 1, 0, ..., truth values alternating.\n\n\
             Examples:\n  backprop check model.graph\n  \
             backprop check model.graph --size B=3 --seed 7\n  \
             backprop check model.graph --in x.npz --order 1",
        )
}

fn number(id: &'static str, value: &'static str, default: &'static str, help: &'static str) -> Arg {
    Arg::new(id).long(id).value_name(value).default_value(default).help(help)
}

/// Checks.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let file = path(matches, "FILE.graph").expect("clap demands it");
    let file = GraphFile::load(file, path(matches, "constants"))?;
    let outputs = file.returned()?;
    if let Err(violations) = verify(&file.graph.records()) {
        let list: Vec<String> = violations.iter().map(|violation| format!("\n  {violation}")).collect();
        return Err(Failure::failed(format!(
            "{}: the graph breaks rules of its form{}",
            file.shown,
            list.concat()
        )));
    }
    let inputs = inputs(matches, &file, &outputs)?;
    let n_nodes = file.graph.records().n_nodes();
    print(format!("{}: {n_nodes} nodes, well-formed", file.shown))?;
    let wide = widen(&file.graph.records()).map_err(Failure::failed)?;
    let output_ids: Vec<ValueId> = outputs.iter().map(|output| output.id()).collect();
    let names: Vec<String> = inputs.iter().map(|(input, _)| file.graph.records().label(input.id())).collect();
    let listed =
        inputs.iter().zip(&names).enumerate().map(|(idx, ((_, array), name))| {
            format!("  x{idx} = {name} {}{:?}\n", array.dtype(), array.sizes())
        });
    let results = file.outputs.iter().enumerate().map(|(idx, (name, _))| format!("  y{idx} = {name}\n"));
    let listed: String = listed.chain(results).collect();
    print(format!("gradients at {}\n{listed}", source(matches)))?;
    let ids: Vec<ValueId> = inputs.iter().map(|(input, _)| input.id()).collect();
    let arrays: Vec<Array> = inputs.into_iter().map(|(_, array)| array).collect();

    let function = |x: &[Tensor]| {
        let Some(home) = x.first().map(|x| x.context()) else { return Vec::new() };
        let given: HashMap<ValueId, Tensor> = ids.iter().copied().zip(x.iter().copied()).collect();
        let map = replay(&wide, &output_ids, &given, home);
        output_ids.iter().map(|output| map[output]).collect()
    };
    let order = usize::from(*matches.get_one::<u8>("order").expect("it has a default"));
    let report = Check { order, ..Check::default() }.run(function, &arrays).map_err(Failure::failed)?;
    if report.n_entries == 0 && report.kinks.is_empty() && report.unclear.is_empty() {
        return print("there is nothing to differentiate: no float output depends on a float input");
    }
    if report.n_entries == 0 {
        return Err(Failure::failed(format!("nothing can be compared at this point: {report}")));
    }
    print(report)
}

fn source(matches: &ArgMatches) -> String {
    match path(matches, "in") {
        Some(path) => path.display().to_string(),
        None => format!("random inputs, seed {}", matches.get_one::<u64>("seed").expect("it has a default")),
    }
}

/// The inputs, in f64: from the file, or random ones of the sizes that were asked for.
fn inputs(
    matches: &ArgMatches,
    file: &GraphFile,
    outputs: &[Tensor],
) -> Result<Vec<(Tensor, Array)>, Failure> {
    if let Some(path) = path(matches, "in") {
        let given = arrays::inputs(&file.graph, outputs, Some(path), &[])?;
        return Ok(given.into_iter().map(|(input, array)| (input, widen_array(&array))).collect());
    }
    let wanted = arrays::needed_inputs(&file.graph, outputs);
    let sizes = Sizes::read(matches, &file.graph)?.or_small();
    let seed = *matches.get_one::<u64>("seed").expect("it has a default");
    let mut inputs = Vec::new();
    for (stream, &(value, ty)) in wanted.iter().enumerate() {
        let label = file.graph.records().label(value);
        let of =
            ty.shape.eval(&sizes).map_err(|why| Failure::failed(format!("input {label} {ty}: {why}")))?;
        let n = of.iter().try_fold(1usize, |n, &size| n.checked_mul(size)).unwrap_or(usize::MAX);
        let array = match n <= MOST_ELEMENTS {
            true => arrays::random(widen_type(ty), &of, seed, stream),
            false => Err(format!("{n} elements are too many to check one by one (at most {MOST_ELEMENTS})")),
        };
        let array = array.map_err(|why| Failure::failed(format!("input {label} {ty}: {why}")))?;
        inputs.push((file.graph.tensor(value), array));
    }
    Ok(inputs)
}

/// Each element is moved by itself.
const MOST_ELEMENTS: usize = 1 << 20;

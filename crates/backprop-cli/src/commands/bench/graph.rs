//! `bench graph`: a graph of the user's.

use std::cell::OnceCell;

use backprop_core::{Array, Tensor};
use backprop_run::StepProfile;
use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::call::Call;
use super::rounds::{self, Work, Yardstick};
use crate::arrays;
use crate::commands::sizes::{self, Sizes};
use crate::commands::{constants_option, file_option, path, path_arg};
use crate::failure::Failure;
use crate::graph_file::GraphFile;

/// The arguments.
pub fn command() -> Command {
    let command = Command::new("graph")
        .about("A graph from a file, compiled for its sizes")
        .arg(path_arg("FILE.graph", "The graph, as text"))
        .arg(sizes::option("The size of a named dimension").conflicts_with("in"))
        .arg(file_option("in", "X.npz", "The inputs, instead of random ones"))
        .arg(constants_option())
        .after_help(
            "Operations are those that are left after simplification: + − × count 1, ÷ √ 4, exp and its like 20;\n\
             the peak is that of f32.\n\n\
             Examples:\n  backprop bench graph model.graph --size B=32\n  \
             backprop bench graph model.graph --in x.npz --profile",
        );
    rounds::with_options(command, &["graph", "portable"])
}

/// Measures.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let file =
        GraphFile::load(path(matches, "FILE.graph").expect("clap demands it"), path(matches, "constants"))?;
    let outputs = file.returned()?;
    let (inputs, values): (Vec<Tensor>, Vec<Array>) = inputs(matches, &file, &outputs)?.into_iter().unzip();
    rounds::run(matches, |options| {
        let call = Call::of(&file.graph, &inputs, &outputs, values, options)?;
        Ok(Graph { shown: file.shown.clone(), flops: OnceCell::new(), call })
    })
}

/// From the file, or random ones of the sizes that were asked for.
fn inputs(
    matches: &ArgMatches,
    file: &GraphFile,
    outputs: &[Tensor],
) -> Result<Vec<(Tensor, Array)>, Failure> {
    let sizes = Sizes::read(matches, &file.graph)?.asked;
    if let Some(path) = path(matches, "in") {
        return arrays::inputs(&file.graph, outputs, Some(path), &[]);
    }
    let wanted = arrays::needed_inputs(&file.graph, outputs).into_iter().enumerate();
    let drawn = wanted.map(|(stream, (value, ty))| {
        let label = file.graph.records().label(value);
        let of = ty.shape.eval(&sizes);
        let of = of.map_err(|why| {
            Failure::usage(format!("input {label} {ty}: {why}: --size NAME=N says how large it is"))
        })?;
        let array = arrays::random(ty, &of, 0, stream);
        Ok((
            file.graph.tensor(value),
            array.map_err(|why| Failure::failed(format!("input {label} {ty}: {why}")))?,
        ))
    });
    drawn.collect()
}

struct Graph {
    shown: String,
    /// Of a run, once somebody asks.
    flops: OnceCell<f64>,
    call: Call,
}

impl Graph {
    fn flops(&self) -> f64 {
        *self.flops.get_or_init(|| {
            let steps = self.call.profile(1).unwrap_or_default();
            steps.iter().map(|step| step.work.flops as f64).sum()
        })
    }
}

impl Work for Graph {
    fn title(&self) -> String {
        format!("graph {}", self.shown)
    }

    fn facts(&self) -> Value {
        json!({ "work": "graph", "file": self.shown, "flops": self.flops() })
    }

    fn step(&mut self) -> Result<f64, Failure> {
        Ok(self.call.run()?)
    }

    fn yardstick(&self) -> Yardstick {
        Yardstick::Fma(self.flops())
    }

    fn profile(&self) -> Result<Vec<StepProfile>, Failure> {
        Ok(self.call.profile(200)?)
    }

    fn arena_bytes(&self) -> Option<usize> {
        self.call.arena_bytes()
    }

    fn n_threads(&self) -> usize {
        self.call.n_threads()
    }
}

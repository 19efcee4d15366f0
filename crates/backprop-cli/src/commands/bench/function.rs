//! `bench function`: the throughput of one operation on data in the cache.

use backprop_core::text::{Registry, parse};
use backprop_core::{Array, Graph, Seed};
use backprop_nn::Init;
use backprop_run::CompileOptions;
use clap::{Arg, ArgMatches, Command};
use serde_json::{Value, json};

use super::call::Call;
use super::rounds::{self, Work, Yardstick};
use super::{count, count_option};
use crate::failure::Failure;

/// The arguments.
pub fn command() -> Command {
    let command = Command::new("function")
        .about("One operation with one operand, on data in the cache")
        .arg(Arg::new("name").value_name("NAME").required(true).help("Its name: see `backprop ops`"))
        .arg(count_option("elements", "16384", "Elements"))
        .after_help(
            "It is computed of standard normal numbers, f32.\n\n\
             Example:\n  backprop bench function exp --elements 1000 --rounds 5",
        );
    rounds::with_options(command, &["graph", "portable"])
}

/// Measures.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let name = matches.get_one::<String>("name").expect("clap demands it").clone();
    let n = count(matches, "elements");
    let x = Init::Normal { std: 1.0 }.draw(Seed(1), "x", &[n])?;
    rounds::run(matches, |options| Function::new(name, x, options))
}

struct Function {
    name: String,
    call: Call,
}

impl Function {
    fn new(name: String, x: Array, options: CompileOptions) -> Result<Function, Failure> {
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(Failure::usage(format!("`{name}` is no name of an operation")));
        }
        let text = format!("graph {{\n  x = input : f32[{}]\n  y = {name}(x)\n  return y\n}}\n", x.len());
        let document = parse(&text, &name, &|_| None, &Registry::new()).map_err(Failure::usage)?;
        let outputs: Vec<_> = document.outputs.iter().map(|&(_, value)| value).collect();
        let graph = Graph::from_records(document.records);
        let outputs: Vec<_> = outputs.into_iter().map(|value| graph.tensor(value)).collect();
        Ok(Function { name, call: Call::new(&graph, &outputs, vec![x], options)? })
    }
}

impl Work for Function {
    fn title(&self) -> String {
        format!("{} of {} elements", self.name, self.call.inputs[0].len())
    }

    fn facts(&self) -> Value {
        json!({
            "work": "function", "name": self.name, "elements": self.call.inputs[0].len(),
        })
    }

    fn step(&mut self) -> Result<f64, Failure> {
        Ok(self.call.run()?)
    }

    fn yardstick(&self) -> Yardstick {
        Yardstick::Elements(self.call.inputs[0].len())
    }

    fn arena_bytes(&self) -> Option<usize> {
        self.call.arena_bytes()
    }

    fn n_threads(&self) -> usize {
        self.call.n_threads()
    }
}

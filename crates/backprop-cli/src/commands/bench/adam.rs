//! `bench adam`: the update of many parameters.

use backprop_core::array::Buffer;
use backprop_core::{Array, Graph, Seed};
use backprop_cpu::limits::shift;
use backprop_nn::{Init, Params, TrainStep};
use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::rounds::{self, Work, Yardstick};
use super::{count, count_option, mlp};
use crate::failure::Failure;

/// The arguments.
pub fn command() -> Command {
    let command = Command::new("adam")
        .about("Adam's update, beside the least traffic with memory")
        .arg(count_option("elements", "10000000", "Parameters"))
        .after_help(
            "The loss is Σ(w·g), so that g is the gradient: a step reads w, g and both moments, and writes w\n\
             and the moments, all of them or none.\n\n\
             Example:\n  backprop bench adam --elements 100000 --rounds 5",
        );
    rounds::with_options(command, &["graph", "portable"])
}

/// Measures.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let n = count(matches, "elements");
    let draw = |name: &str| Init::Normal { std: 1.0 }.draw(Seed(1), name, &[n]);
    let (w, g) = (draw("w")?, [draw("g")?]);
    let mut params = Params::new();
    params.insert("w", w)?;
    let copies = [(); 3].map(|()| Buffer::zeros(n));
    rounds::run(matches, |options| {
        let graph = Graph::new();
        let g_in = graph.input("g", format!("f32[{n}]").as_str());
        let p = params.bind(&graph);
        let loss = (p.get("w") * g_in).sum(());
        let updates = mlp::optimizer("adam").updates(&p, loss)?;
        let step = TrainStep::new(&graph, &[g_in], &[loss], updates)?.with_options(options);
        Ok(Update { step, params, g, loss: [Array::scalar(0.0f32)], copies })
    })
}

struct Update {
    step: TrainStep,
    params: Params,
    g: [Array; 1],
    loss: [Array; 1],
    /// In the place of w and its moments; on large pages, as they are.
    copies: [Buffer<f32>; 3],
}

impl Work for Update {
    fn title(&self) -> String {
        format!("adam, {} parameters", self.g[0].len())
    }

    fn facts(&self) -> Value {
        json!({ "work": "adam", "elements": self.g[0].len() })
    }

    fn step(&mut self) -> Result<f64, Failure> {
        self.step.run_into(&mut self.params, &self.g, &mut self.loss)?;
        Ok(self.loss[0].item()?)
    }

    fn yardstick(&self) -> Yardstick {
        Yardstick::Memory("memory floor")
    }

    /// Four arrays are read, three of them written.
    fn touch(&mut self) {
        let g = self.g[0].slice::<f32>().expect("g is drawn as f32");
        shift(self.copies.each_mut().map(|copy| &mut **copy), g);
        std::hint::black_box(&mut self.copies);
    }

    fn arena_bytes(&self) -> Option<usize> {
        self.step.arena_bytes(&self.params, &self.g).ok()
    }

    fn n_threads(&self) -> usize {
        self.step.n_threads()
    }
}

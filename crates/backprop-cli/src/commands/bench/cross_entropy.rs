//! `bench cross-entropy`: a loss and its gradient.

use backprop_ad::grad;
use backprop_core::array::Buffer;
use backprop_core::{Graph, Seed};
use backprop_cpu::limits::shift;
use backprop_nn::Init;
use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::call::Call;
use super::rounds::{self, Work, Yardstick};
use super::{count, count_option, mlp};
use crate::failure::Failure;

/// The arguments.
pub fn command() -> Command {
    let command = Command::new("cross-entropy")
        .about("Softmax cross-entropy with its gradient, beside the least traffic with memory")
        .arg(count_option("batch", "16384", "Samples"))
        .arg(count_option("classes", "1000", "Classes"))
        .after_help("Example:\n  backprop bench cross-entropy --batch 64 --rounds 5");
    rounds::with_options(command, &["graph", "portable"])
}

/// Measures.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let sizes = [count(matches, "batch"), count(matches, "classes")];
    let [batch, classes] = sizes;
    let logits = Init::Normal { std: 1.0 }.draw(Seed(1), "logits", &sizes)?;
    let [_, labels] = mlp::samples(batch, &[1, classes])?;
    let copy = Buffer::zeros(logits.len());
    rounds::run(matches, |options| {
        let graph = Graph::new();
        let logits_in = graph.input("logits", format!("f32[{batch}, {classes}]").as_str());
        let labels_in = graph.input("labels", format!("i64[{batch}]").as_str());
        let loss = logits_in.cross_entropy(labels_in);
        let [d] = grad(loss, [logits_in]);
        Ok(CrossEntropy { sizes, call: Call::new(&graph, &[loss, d], vec![logits, labels], options)?, copy })
    })
}

struct CrossEntropy {
    sizes: [usize; 2],
    call: Call,
    /// Where the yardstick writes: on large pages, as results lie.
    copy: Buffer<f32>,
}

impl Work for CrossEntropy {
    fn title(&self) -> String {
        let [batch, classes] = self.sizes;
        format!("cross-entropy and its gradient, [{batch}, {classes}]")
    }

    fn facts(&self) -> Value {
        let [batch, classes] = self.sizes;
        json!({ "work": "cross-entropy", "batch": batch, "classes": classes })
    }

    fn step(&mut self) -> Result<f64, Failure> {
        Ok(self.call.run()?)
    }

    fn yardstick(&self) -> Yardstick {
        Yardstick::Memory("memory floor")
    }

    /// The logits are read, the gradient is written.
    fn touch(&mut self) {
        let logits = self.call.inputs[0].slice::<f32>().expect("the logits are drawn as f32");
        shift([&mut self.copy], logits);
        std::hint::black_box(&mut self.copy);
    }

    fn arena_bytes(&self) -> Option<usize> {
        self.call.arena_bytes()
    }

    fn n_threads(&self) -> usize {
        self.call.n_threads()
    }
}

//! `bench pointwise`: twenty operations in one pass over memory.

use backprop_core::array::Buffer;
use backprop_core::{Array, Graph, Seed, Tensor};
use backprop_nn::Init;
use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::call::Call;
use super::rounds::{self, Work, Yardstick};
use super::{count, count_option};
use crate::failure::Failure;

/// The arguments.
pub fn command() -> Command {
    let command = Command::new("pointwise")
        .about("Twenty pointwise operations, beside a copy of the same bytes")
        .arg(count_option("elements", "10000000", "Elements of the input and of the output"))
        .after_help("Example:\n  backprop bench pointwise --elements 100000 --rounds 5");
    rounds::with_options(command, &["graph", "portable"])
}

/// Measures.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let n = count(matches, "elements");
    let x = Init::Normal { std: 1.0 }.draw(Seed(1), "x", &[n])?;
    let copy = Buffer::zeros(n);
    rounds::run(matches, |options| {
        let graph = Graph::new();
        let y = twenty(graph.input("x", format!("f32[{n}]").as_str()));
        Ok(Pointwise { call: Call::new(&graph, &[y], vec![x], options)?, copy })
    })
}

/// Four times fma (a product and a sum, for the compiler to join), add, max, select, mul; with other
/// constants each time.
fn twenty(x: Tensor) -> Tensor {
    [0.25f32, 0.5, 0.75, 1.25].into_iter().fold(x, |x, c| {
        let fma = x * c + (1.0 - c);
        let max = (fma + c).maximum(-c);
        max.gt(c).select(max, fma) * (2.0 - c)
    })
}

struct Pointwise {
    call: Call,
    /// Where the yardstick writes: on large pages, as results lie.
    copy: Buffer<f32>,
}

impl Pointwise {
    fn x(&self) -> &Array {
        &self.call.inputs[0]
    }
}

impl Work for Pointwise {
    fn title(&self) -> String {
        format!("pointwise: 20 operations, {} elements", self.x().len())
    }

    fn facts(&self) -> Value {
        json!({ "work": "pointwise", "elements": self.x().len() })
    }

    fn step(&mut self) -> Result<f64, Failure> {
        Ok(self.call.run()?)
    }

    fn yardstick(&self) -> Yardstick {
        Yardstick::Memory("memcpy")
    }

    fn touch(&mut self) {
        let x = self.call.inputs[0].slice::<f32>().expect("x is drawn as f32");
        self.copy.copy_from_slice(x);
        std::hint::black_box(&mut self.copy);
    }

    fn arena_bytes(&self) -> Option<usize> {
        self.call.arena_bytes()
    }

    fn n_threads(&self) -> usize {
        self.call.n_threads()
    }
}

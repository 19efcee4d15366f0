//! `bench gemm`: one product of matrices.

use backprop_core::{Graph, Seed};
use backprop_nn::Init;
use clap::{Arg, ArgMatches, Command};
use serde_json::{Value, json};

use super::call::Call;
use super::rounds::{self, Work, Yardstick};
use crate::failure::Failure;

/// The arguments.
pub fn command() -> Command {
    let command = Command::new("gemm")
        .about("A product of matrices")
        .arg(
            Arg::new("sizes")
                .value_name("MxKxN")
                .required(true)
                .value_parser(sizes)
                .help("[M, K] times [K, N]"),
        )
        .after_help("Example:\n  backprop bench gemm 64x32x48 --rounds 5");
    rounds::with_options(command, &["graph", "portable"])
}

/// Measures.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let sizes = *matches.get_one::<[usize; 3]>("sizes").expect("clap demands it");
    let [m, k, n] = sizes;
    let draw = |name: &str, sizes: [usize; 2]| Init::Normal { std: 1.0 }.draw(Seed(1), name, &sizes);
    let inputs = vec![draw("a", [m, k])?, draw("b", [k, n])?];
    rounds::run(matches, |options| {
        let graph = Graph::new();
        let a = graph.input("a", format!("f32[{m}, {k}]").as_str());
        let b = graph.input("b", format!("f32[{k}, {n}]").as_str());
        Ok(Gemm { sizes, call: Call::new(&graph, &[a.matmul(b)], inputs, options)? })
    })
}

/// `64x32x48`
fn sizes(text: &str) -> Result<[usize; 3], String> {
    let all: Result<Vec<usize>, _> = text.split('x').map(str::parse).collect();
    let sizes = all.ok().and_then(|all| <[usize; 3]>::try_from(all).ok());
    sizes
        .filter(|sizes| !sizes.contains(&0))
        .ok_or_else(|| "three sizes are wanted, such as 64x32x48".to_string())
}

struct Gemm {
    sizes: [usize; 3],
    call: Call,
}

impl Work for Gemm {
    fn title(&self) -> String {
        let [m, k, n] = self.sizes;
        format!("gemm [{m}, {k}]·[{k}, {n}]")
    }

    fn facts(&self) -> Value {
        let [m, k, n] = self.sizes;
        json!({ "work": "gemm", "m": m, "k": k, "n": n })
    }

    fn step(&mut self) -> Result<f64, Failure> {
        Ok(self.call.run()?)
    }

    fn yardstick(&self) -> Yardstick {
        Yardstick::Fma(2.0 * self.sizes.map(|size| size as f64).iter().product::<f64>())
    }

    fn arena_bytes(&self) -> Option<usize> {
        self.call.arena_bytes()
    }

    fn n_threads(&self) -> usize {
        self.call.n_threads()
    }
}

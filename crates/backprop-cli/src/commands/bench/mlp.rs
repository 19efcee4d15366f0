//! `bench mlp`: a whole training step of a ReLU network.

use std::path::Path;

use backprop_core::{Array, Graph, Seed};
use backprop_io::npz;
use backprop_nn::{Adam, AdamW, Init, Layer, Optimizer, Params, Sgd, TrainStep};
use backprop_run::{CompileOptions, StepProfile, Tape};
use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::rounds::{self, Work, Yardstick};
use super::{choice, choice_option, count, count_option, layers, layers_option, n_threads};
use crate::commands::{file_option, path};
use crate::failure::Failure;
use crate::network::Network;

/// The names of [`optimizer`].
pub const OPTIMIZERS: &[&str] = &["sgd", "adam", "adamw"];

/// The arguments.
pub fn command() -> Command {
    let command = Command::new("mlp")
        .about("A training step: forward, softmax cross-entropy, backward, update")
        .arg(layers_option("784,512,512,10"))
        .arg(count_option("batch", "128", "Samples per step"))
        .arg(choice_option("optimizer", OPTIMIZERS, "How parameters follow their gradients"))
        .arg(file_option(
            "start",
            "START.npz",
            "Samples x, labels y and parameters (0.weight, 0.bias, ...) instead of random ones",
        ))
        .after_help(
            "Useful operations are counted: 2·batch·Σ(inputs·outputs), three times (forward, to the weights, to\n\
             the inputs) for every layer and twice for the first.\n\n\
             Example:\n  backprop bench mlp --layers 64,32,10 --batch 32 --rounds 5 --json",
        );
    rounds::with_options(command, &["graph", "portable", "eager"])
}

/// Measures.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let sizes = layers(matches)?;
    let network = Network::new(&sizes).map_err(|why| Failure::usage(format!("--layers: {why}")))?;
    let batch = count(matches, "batch");
    let start = match path(matches, "start") {
        Some(file) => Start::read(file, &network, batch)?,
        None => Start { params: network.init(0)?, samples: samples(2 * batch, &sizes)?, batch },
    };
    let optimizer = choice(matches, "optimizer");
    let is_eager = choice(matches, "engine") == "eager";
    if is_eager && n_threads(matches) > 1 {
        return Err(Failure::usage("--threads: a tape has one thread"));
    }
    rounds::run(matches, |options| {
        Mlp::new(network, sizes, start, optimizer, if is_eager { None } else { Some(options) })
    })
}

/// The rule of this name, with a usual learning rate.
pub fn optimizer(name: &str) -> Optimizer {
    match name {
        "sgd" => Sgd::new(0.01).into(),
        "adam" => Adam::new(0.001).into(),
        "adamw" => AdamW::new(0.001).into(),
        other => unreachable!("clap lets no optimizer {other} through"),
    }
}

/// Standard normal samples f32 \[n, features\], and labels i64 \[n\].
pub fn samples(n: usize, sizes: &[usize]) -> Result<[Array; 2], Failure> {
    let x = Init::Normal { std: 1.0 }.draw(Seed(1), "x", &[n, sizes[0]])?;
    let n_classes = sizes[sizes.len() - 1];
    let y: Vec<i64> = (0..n).map(|idx| ((7 * idx + 3) % n_classes) as i64).collect();
    Ok([x, Array::new([n], y)?])
}

/// What training begins with.
struct Start {
    params: Params,
    /// Twice a batch, so that another one can be larger.
    samples: [Array; 2],
    batch: usize,
}

impl Start {
    /// What a file holds.
    fn read(file: &Path, network: &Network, batch: usize) -> Result<Start, Failure> {
        let arrays = npz::load(file)?;
        let get = |name: &str| {
            let found = arrays.iter().find(|(own, _)| own == name).map(|(_, array)| array.clone());
            found.ok_or_else(|| Failure::failed(format!("{}: there is no `{name}`", file.display())))
        };
        let mut params = network.init(0)?;
        let paths: Vec<String> = params.paths().map(str::to_string).collect();
        for path in paths {
            params.set(&path, get(&path)?)?;
        }
        Ok(Start { params, samples: [get("x")?, get("y")?], batch })
    }

    /// The first `n` samples.
    fn rows(&self, n: usize) -> Result<[Array; 2], Failure> {
        let [x, y] = &self.samples;
        let of = |array: &Array| array.sizes().first().copied().unwrap_or(0);
        if n > of(x).min(of(y)) {
            return Err(Failure::failed(format!("a batch of {n} of {} samples", of(x).min(of(y)))));
        }
        let width = x.len() / of(x);
        let x = Array::new([n, width], x.slice::<f32>()?[..n * width].to_vec())?;
        Ok([x, Array::new([n], y.slice::<i64>()?[..n].to_vec())?])
    }
}

struct Mlp<'a> {
    network: Network,
    sizes: Vec<usize>,
    start: Start,
    batch: [Array; 2],
    optimizer: &'a str,
    step: Step,
    loss: [Array; 1],
}

enum Step {
    Graph(Box<TrainStep>),
    Eager(Tape, Optimizer),
}

impl Mlp<'_> {
    /// Eager without options.
    fn new(
        network: Network,
        sizes: Vec<usize>,
        start: Start,
        name: &str,
        options: Option<CompileOptions>,
    ) -> Result<Mlp<'_>, Failure> {
        let optimizer = optimizer(name);
        let step = match options {
            None => Step::Eager(Tape::new(), optimizer),
            Some(options) => {
                let graph = Graph::new();
                let x = graph.input("x", format!("f32[B, {}]", sizes[0]).as_str());
                let y = graph.input("y", "i64[B]");
                let p = start.params.bind(&graph);
                let loss = network.layers.forward(&p, x).cross_entropy(y);
                let updates = optimizer.updates(&p, loss)?;
                let step = TrainStep::new(&graph, &[x, y], &[loss], updates)?;
                Step::Graph(Box::new(step.with_options(options)))
            }
        };
        let (batch, loss) = (start.rows(start.batch)?, [Array::scalar(0.0f32)]);
        Ok(Mlp { network, sizes, start, batch, optimizer: name, step, loss })
    }
}

impl Work for Mlp<'_> {
    fn title(&self) -> String {
        let sizes: Vec<String> = self.sizes.iter().map(usize::to_string).collect();
        format!("mlp {}, batch {}, {}", sizes.join("-"), self.start.batch, self.optimizer)
    }

    fn facts(&self) -> Value {
        json!({
            "work": "mlp", "layers": self.sizes, "batch": self.start.batch,
            "optimizer": self.optimizer,
        })
    }

    fn step(&mut self) -> Result<f64, Failure> {
        let params = &mut self.start.params;
        match &self.step {
            Step::Graph(step) => {
                step.run_into(params, &self.batch, &mut self.loss)?;
                Ok(self.loss[0].item()?)
            }
            Step::Eager(tape, optimizer) => {
                let [x, y] = self.batch.clone();
                let updates = tape.scope(|t| {
                    let p = params.bind(t);
                    let loss = self.network.layers.forward(&p, t.value(x)).cross_entropy(t.value(y));
                    optimizer.updates(&p, loss)
                })?;
                let loss = updates.loss().unwrap_or(f64::NAN);
                params.apply(updates)?;
                Ok(loss)
            }
        }
    }

    fn yardstick(&self) -> Yardstick {
        Yardstick::Fma(useful_flops(&self.sizes, self.start.batch))
    }

    fn set_batch(&mut self, n: usize) -> Result<(), Failure> {
        self.batch = self.start.rows(n)?;
        self.start.batch = n;
        Ok(())
    }

    fn profile(&self) -> Result<Vec<StepProfile>, Failure> {
        match &self.step {
            Step::Graph(step) => Ok(step.profile(&self.start.params, &self.batch, 200)?),
            Step::Eager(..) => Err(Failure::usage("--profile: a tape has no program")),
        }
    }

    fn arena_bytes(&self) -> Option<usize> {
        match &self.step {
            Step::Graph(step) => step.arena_bytes(&self.start.params, &self.batch).ok(),
            Step::Eager(..) => None,
        }
    }

    fn n_threads(&self) -> usize {
        match &self.step {
            Step::Graph(step) => step.n_threads(),
            Step::Eager(..) => 1,
        }
    }
}

/// Of a step: a multiply-add is two; the gradient of the samples is not computed.
fn useful_flops(sizes: &[usize], batch: usize) -> f64 {
    let products = sizes.windows(2).enumerate().map(|(layer, pair)| {
        let n_products = if layer == 0 { 2.0 } else { 3.0 };
        n_products * pair[0] as f64 * pair[1] as f64
    });
    2.0 * batch as f64 * products.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::useful_flops;

    #[test]
    fn useful_operations_are_counted_by_product() {
        // 2·128·(2·784·512 + 3·512·512 + 3·512·10): the 411 million.
        assert_eq!(useful_flops(&[784, 512, 512, 10], 128), 410_779_648.0);
        assert_eq!(useful_flops(&[3, 5], 2), 120.0);
    }
}

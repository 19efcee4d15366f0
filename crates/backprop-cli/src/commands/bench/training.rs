//! `bench train`: the whole loop of `backprop train`, without its evaluations.

use std::ops::ControlFlow;

use backprop_core::Seed;
use backprop_train::data::Dataset;
use backprop_train::{Engine, Epoch, Fit, Plan, fit};
use clap::{ArgMatches, Command};
use serde_json::json;

use super::mlp::{OPTIMIZERS, optimizer, samples};
use super::serve::{self, Request};
use super::spread::Spread;
use super::{
    choice, choice_option, count, count_option, json_flag, layers, layers_option, n_rounds, n_threads,
    rounds_option, serve_flag, threads_option,
};
use crate::commands::{file_option, path};
use crate::failure::Failure;
use crate::network::Network;
use crate::talk::{note_threads, print};

/// The arguments.
pub fn command() -> Command {
    Command::new("train")
        .about("Whole epochs: shuffling, batches, steps, loss and accuracy")
        .arg(layers_option("784,128,10"))
        .arg(count_option("batch", "32", "Samples per step"))
        .arg(choice_option("optimizer", OPTIMIZERS, "How parameters follow their gradients"))
        .arg(choice_option("engine", &["graph", "eager"], "One compiled graph, or at once on a tape"))
        .arg(file_option("data", "DIR", "A folder with MNIST's IDX files, instead of random samples"))
        .arg(count_option("examples", "20000", "Random samples"))
        .arg(threads_option())
        .arg(rounds_option("10"))
        .arg(serve_flag())
        .arg(json_flag())
        .after_help(
            "A round is an epoch; with --serve, `run N` trains N epochs and prints the microseconds of a step.\n\n\
             Example:\n  backprop bench train --layers 5,3 --examples 100 --rounds 3",
        )
}

/// Measures.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let sizes = layers(matches)?;
    let network = Network::new(&sizes).map_err(|why| Failure::usage(format!("--layers: {why}")))?;
    let data = match path(matches, "data") {
        Some(folder) => {
            let data = Dataset::mnist(folder)?;
            Dataset::new([data.train_x, data.train_y], None)
        }
        None => Dataset::new(samples(count(matches, "examples"), &sizes)?, None),
    };
    if network.ends() != (data.features(), data.classes) {
        let (features, classes) = (data.features(), data.classes);
        return Err(Failure::usage(format!(
            "--layers: the data has {features} features and {classes} classes"
        )));
    }
    let is_eager = choice(matches, "engine") == "eager";
    if is_eager && n_threads(matches) > 1 {
        return Err(Failure::usage("--threads: a tape has one thread"));
    }
    let plan = Fit {
        // It ends when enough was measured.
        epochs: u32::MAX as usize,
        batch: count(matches, "batch"),
        optimizer: optimizer(choice(matches, "optimizer")),
        plan: Plan::Constant,
        seed: Seed(0),
        engine: if is_eager { Engine::Eager } else { Engine::Graph },
        threads: n_threads(matches),
        evaluate_each_epoch: false,
        ..Fit::default()
    };
    let n_steps = data.train_y.len().div_ceil(plan.batch) as f64;
    let mut rounds = Rounds {
        is_serving: matches.get_flag("serve"),
        wanted: if matches.get_flag("serve") { 0 } else { n_rounds(matches) },
        us: None,
    };
    let mut params = network.init(0)?;
    let mut failure = None;
    let each = |epoch: &Epoch| match rounds.take(epoch.seconds * 1e6 / n_steps, epoch.train_loss) {
        Ok(next) => next,
        Err(error) => {
            failure = Some(error);
            ControlFlow::Break(())
        }
    };
    let history = fit(&network.layers, &mut params, &data, &plan, each).map_err(Failure::failed)?;
    note_threads(plan.threads, history.threads);
    match failure {
        Some(failure) => Err(failure),
        None if rounds.is_serving => Ok(()),
        None => report(matches, &sizes, plan.batch, history.threads, &rounds),
    }
}

/// The epochs so far.
struct Rounds {
    is_serving: bool,
    /// Epochs until there is something to say.
    wanted: usize,
    /// Microseconds of a step in each epoch since then; `None` before the first, which only warms up.
    us: Option<Vec<f64>>,
}

impl Rounds {
    fn take(&mut self, us: f64, loss: f64) -> Result<ControlFlow<()>, Failure> {
        match &mut self.us {
            None => self.us = Some(Vec::new()),
            Some(all) => all.push(us),
        }
        let all = self.us.as_mut().expect("it was just made");
        if all.len() < self.wanted {
            return Ok(ControlFlow::Continue(()));
        }
        if !self.is_serving {
            return Ok(ControlFlow::Break(()));
        }
        match self.wanted {
            0 => serve::ready(us, loss)?,
            n => serve::answer(all.iter().sum::<f64>() / n as f64, loss)?,
        }
        all.clear();
        match serve::next()? {
            None => Ok(ControlFlow::Break(())),
            Some(Request::Run(n)) => {
                self.wanted = n;
                Ok(ControlFlow::Continue(()))
            }
            Some(_) => Err(Failure::failed("a training answers `run N` alone")),
        }
    }
}

fn report(
    matches: &ArgMatches,
    sizes: &[usize],
    batch: usize,
    threads: usize,
    rounds: &Rounds,
) -> Result<(), Failure> {
    let spread = Spread::of(rounds.us.iter().flatten().copied());
    let (optimizer, engine) = (choice(matches, "optimizer"), choice(matches, "engine"));
    let per_second = batch as f64 / spread.median * 1e6;
    match matches.get_flag("json") {
        true => print(json!({
            "work": "train", "layers": sizes, "batch": batch, "optimizer": optimizer, "engine": engine,
            "threads": threads, "rounds": rounds.wanted, "samples_per_second": per_second,
            "median_us": spread.median, "min_us": spread.min, "p10_us": spread.p10, "p90_us": spread.p90,
        })),
        false => print(format!(
            "train, batch {batch}, {optimizer}, engine {engine}, {threads} thread{}\n\
             step         {}\n             {} epochs, {per_second:.0} samples a second",
            if threads == 1 { "" } else { "s" },
            spread.time(),
            rounds.wanted
        )),
    }
}

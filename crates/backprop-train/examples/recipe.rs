//! Measures a recipe over seeds: `cargo run --release -p backprop-train --example recipe --
//! (digits | FOLDER-WITH-MNIST) [key=value ...]`. The keys: epochs batch lr decay warm dropout seeds
//! engine hidden. Without keys it is the default recipe.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Instant;

use backprop_core::Seed;
use backprop_nn::{AdamW, Layer, Optimizer, Sequential};
use backprop_train::data::Dataset;
use backprop_train::{Engine, Fit, Plan, fit};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let source = arguments.next().unwrap_or_else(|| "digits".to_string());
    let keys: HashMap<String, String> =
        arguments.filter_map(|a| a.split_once('=').map(|(k, v)| (k.to_string(), v.to_string()))).collect();
    let number = |key: &str, default: f64| -> Result<f64, std::num::ParseFloatError> {
        keys.get(key).map_or(Ok(default), |value| value.parse())
    };
    let is_digits = source == "digits";
    let recipe = Fit::default();
    let mnist = if is_digits { None } else { Some(Dataset::mnist(&source)?) };
    let mut accuracies = Vec::new();
    for seed in 0..number("seeds", if is_digits { 10.0 } else { 5.0 })? as u64 {
        let data = match &mnist {
            Some(mnist) => mnist.clone(),
            None => Dataset::digits(seed)?,
        };
        let hidden = number("hidden", 128.0)? as usize;
        let mut net = Sequential::mlp(&[data.features(), hidden, data.classes]);
        if number("dropout", 0.0)? > 0.0 {
            net = Sequential::new().linear(data.features(), hidden).relu().dropout(number("dropout", 0.0)?);
            net = net.linear(hidden, data.classes);
        }
        let mut params = net.init(Seed(seed))?;
        let config = Fit {
            epochs: number("epochs", if is_digits { recipe.epochs as f64 } else { 10.0 })? as usize,
            batch: number("batch", recipe.batch as f64)? as usize,
            optimizer: match keys.contains_key("lr") || keys.contains_key("decay") {
                true => Optimizer::from(AdamW::new(number("lr", 5e-3)?).weight_decay(number("decay", 0.1)?)),
                false => recipe.optimizer.clone(),
            },
            plan: Plan::Cosine { warm_up: number("warm", 0.05)? },
            seed: Seed(seed),
            engine: if keys.get("engine").is_some_and(|e| e == "eager") {
                Engine::Eager
            } else {
                Engine::Graph
            },
            evaluate_each_epoch: false,
            ..recipe.clone()
        };
        let start = Instant::now();
        let history = fit(&net, &mut params, &data, &config, |_| ControlFlow::Continue(()))?;
        let accuracy = history.epochs.last().and_then(|last| last.test).map_or(0.0, |test| test.accuracy);
        println!("seed {seed}: {accuracy:.4} in {:.1} s", start.elapsed().as_secs_f64());
        accuracies.push(accuracy);
    }
    accuracies.sort_by(f64::total_cmp);
    let n = accuracies.len();
    let median = (accuracies[n / 2] + accuracies[(n - 1) / 2]) / 2.0;
    println!("median {median:.4}, lowest {:.4}, highest {:.4}", accuracies[0], accuracies[n - 1]);
    Ok(())
}

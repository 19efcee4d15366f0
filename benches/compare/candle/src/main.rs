//! The SGD step of a ReLU network in candle, a worker of compare.py: `compare-candle mlp LAYERS BATCH START.npz`.

use std::error::Error;
use std::io::{BufRead, stdin};
use std::time::Instant;

use candle_core::{DType, Tensor, Var};
use candle_nn::{Optimizer, SGD, loss};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The same in every worker.
const LR: f64 = 0.01;

struct Network {
    /// Weight [out, in] and bias [out] of each layer.
    layers: Vec<(Var, Var)>,
    optimizer: SGD,
}

impl Network {
    fn new(start: &[(String, Tensor)], n_layers: usize) -> Result<Network> {
        let var = |name: String| Ok::<_, Box<dyn Error>>(Var::from_tensor(&named(start, &name)?)?);
        let layers = (0..n_layers)
            .map(|idx| Ok((var(format!("{}.weight", 2 * idx))?, var(format!("{}.bias", 2 * idx))?)))
            .collect::<Result<Vec<_>>>()?;
        let vars = layers.iter().flat_map(|(w, b)| [w.clone(), b.clone()]).collect();
        Ok(Network { layers, optimizer: SGD::new(vars, LR)? })
    }

    /// Forward, backward, update; the loss.
    fn step(&mut self, x: &Tensor, y: &Tensor) -> Result<f32> {
        let mut h = x.clone();
        for (idx, (w, b)) in self.layers.iter().enumerate() {
            let z = h.matmul(&w.t()?)?.broadcast_add(b)?;
            h = if idx + 1 < self.layers.len() { z.relu()? } else { z };
        }
        let loss = loss::cross_entropy(&h, y)?;
        self.optimizer.backward_step(&loss)?;
        Ok(loss.to_scalar()?)
    }
}

fn named(start: &[(String, Tensor)], name: &str) -> Result<Tensor> {
    let found = start.iter().find(|(own, _)| own == name);
    Ok(found.ok_or_else(|| format!("the start has no `{name}`"))?.1.clone())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, work, layers, batch, path] = &arguments[..] else {
        return Err("mlp LAYERS BATCH START.npz".into());
    };
    if work != "mlp" {
        return Err(format!("there is no work `{work}`").into());
    }
    let start = Tensor::read_npz(path)?;
    let (all_x, all_y) = (named(&start, "x")?, named(&start, "y")?.to_dtype(DType::U32)?);
    let rows = |n: usize| Ok::<_, Box<dyn Error>>((all_x.narrow(0, 0, n)?, all_y.narrow(0, 0, n)?));
    let (mut x, mut y) = rows(batch.parse()?)?;

    let begun = Instant::now();
    let mut network = Network::new(&start, layers.split(',').count() - 1)?;
    let loss = network.step(&x, &y)?;
    let us = begun.elapsed().as_secs_f64() * 1e6;
    println!(r#"{{"version":"candle 0.11.1","first_us":{us},"loss":{loss}}}"#);

    for line in stdin().lock().lines() {
        let line = line?;
        let (command, n) = line.split_once(' ').ok_or("run N, or batch N")?;
        let n: usize = n.parse()?;
        let mut loss = f32::NAN;
        let steps = match command {
            "batch" => {
                (x, y) = rows(n)?;
                1
            }
            _ => n,
        };
        let begun = Instant::now();
        for _ in 0..steps {
            loss = network.step(&x, &y)?;
        }
        println!(r#"{{"us":{},"loss":{loss}}}"#, begun.elapsed().as_secs_f64() * 1e6 / steps as f64);
    }
    Ok(())
}

//! The SGD step of a ReLU network in burn, a worker of compare.py: `compare-burn mlp LAYERS BATCH START.npz`.

use std::error::Error;
use std::io::{BufRead, stdin};
use std::time::Instant;

use burn::backend::{Autodiff, Flex};
use burn::module::{Module, Param};
use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::nn::{Linear, LinearConfig};
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{GradientsParams, Optimizer, Sgd, SgdConfig};
use burn::prelude::{Backend, ElementConversion, Int, Tensor, TensorData};
use burn::tensor::activation::relu;

type Own = Autodiff<Flex>;
type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The same in every worker.
const LR: f64 = 0.01;

#[derive(Module, Debug)]
struct Mlp<B: Backend> {
    layers: Vec<Linear<B>>,
}

struct Training {
    /// `None` only while a step replaces it.
    network: Option<Mlp<Own>>,
    loss: CrossEntropyLoss<Own>,
    optimizer: OptimizerAdaptor<Sgd<Flex>, Mlp<Own>, Own>,
}

impl Training {
    fn new(start: &mut Start, sizes: &[usize]) -> Result<Training> {
        let device = Default::default();
        let mut layers = Vec::new();
        for (idx, pair) in sizes.windows(2).enumerate() {
            let (n_in, n_out) = (pair[0], pair[1]);
            let weight = start.floats(&format!("{}.weight", 2 * idx))?;
            let bias = start.floats(&format!("{}.bias", 2 * idx))?;
            let mut layer = LinearConfig::new(n_in, n_out).init::<Own>(&device);
            // Burn keeps [in, out].
            let weight = Tensor::<Own, 2>::from_data(TensorData::new(weight, [n_out, n_in]), &device);
            let weight = weight.transpose().into_data();
            layer.weight = Param::from_data(weight, &device);
            layer.bias = Some(Param::from_data(TensorData::new(bias, [n_out]), &device));
            layers.push(layer);
        }
        Ok(Training {
            network: Some(Mlp { layers }),
            loss: CrossEntropyLossConfig::new().init(&device),
            optimizer: SgdConfig::new().init(),
        })
    }

    /// Forward, backward, update; the loss.
    fn step(&mut self, x: &Tensor<Own, 2>, y: &Tensor<Own, 1, Int>) -> f32 {
        let network = self.network.take().expect("every step puts it back");
        let mut h = x.clone();
        for (idx, layer) in network.layers.iter().enumerate() {
            let z = layer.forward(h);
            h = if idx + 1 < network.layers.len() { relu(z) } else { z };
        }
        let loss = self.loss.forward(h, y.clone());
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        self.network = Some(self.optimizer.step(LR, network, gradients));
        loss.into_scalar().elem()
    }
}

/// The arrays that every worker starts from.
struct Start(npyz::npz::NpzArchive<std::io::BufReader<std::fs::File>>);

impl Start {
    fn floats(&mut self, name: &str) -> Result<Vec<f32>> {
        let array = self.0.by_name(name)?.ok_or_else(|| format!("the start has no `{name}`"))?;
        Ok(array.into_vec()?)
    }

    fn labels(&mut self) -> Result<Vec<i64>> {
        Ok(self.0.by_name("y")?.ok_or("the start has no `y`")?.into_vec()?)
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, work, layers, batch, path] = &arguments[..] else {
        return Err("mlp LAYERS BATCH START.npz".into());
    };
    if work != "mlp" {
        return Err(format!("there is no work `{work}`").into());
    }
    let sizes = layers.split(',').map(str::parse).collect::<std::result::Result<Vec<usize>, _>>()?;
    let mut start = Start(npyz::npz::NpzArchive::open(path)?);
    let (all_x, all_y) = (start.floats("x")?, start.labels()?);
    let rows = |n: usize| {
        let device = Default::default();
        let x = TensorData::new(all_x[..n * sizes[0]].to_vec(), [n, sizes[0]]);
        let y = TensorData::new(all_y[..n].to_vec(), [n]);
        (Tensor::<Own, 2>::from_data(x, &device), Tensor::<Own, 1, Int>::from_data(y, &device))
    };
    let (mut x, mut y) = rows(batch.parse()?);

    let begun = Instant::now();
    let mut training = Training::new(&mut start, &sizes)?;
    let loss = training.step(&x, &y);
    let us = begun.elapsed().as_secs_f64() * 1e6;
    println!(r#"{{"version":"burn 0.21.0 (flex)","first_us":{us},"loss":{loss}}}"#);

    for line in stdin().lock().lines() {
        let line = line?;
        let (command, n) = line.split_once(' ').ok_or("run N, or batch N")?;
        let n: usize = n.parse()?;
        let mut loss = f32::NAN;
        let steps = match command {
            "batch" => {
                (x, y) = rows(n);
                1
            }
            _ => n,
        };
        let begun = Instant::now();
        for _ in 0..steps {
            loss = training.step(&x, &y);
        }
        println!(r#"{{"us":{},"loss":{loss}}}"#, begun.elapsed().as_secs_f64() * 1e6 / steps as f64);
    }
    Ok(())
}

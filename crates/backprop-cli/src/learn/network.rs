//! The network: its parameters, its forward pass, and how well it does.

use backprop_core::graph::context::with_cursor;
use backprop_core::graph::place::Module;
use backprop_core::random::normal;
use backprop_core::{Array, Error, Graph, Tensor, ValueId};
use backprop_run::Tape;

/// Linear layers with ReLU between them; the last one gives logits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Features, hidden sizes, classes.
    pub sizes: Vec<usize>,
}

/// A network on examples with known labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The mean cross-entropy.
    pub loss: f64,
    /// How many examples of class `row` were taken for class `column`.
    pub confusion: Vec<Vec<usize>>,
}

impl Evaluation {
    /// The part that was right.
    pub fn accuracy(&self) -> f64 {
        let right: usize = self.confusion.iter().enumerate().map(|(class, row)| row[class]).sum();
        let all: usize = self.confusion.iter().flatten().sum();
        right as f64 / all.max(1) as f64
    }
}

/// Examples that are evaluated at once: bounds the memory, and changes no result.
const AT_ONCE: usize = 500;

impl Network {
    /// The parameters' names and sizes, as PyTorch names them in a `Sequential` with its activations:
    /// `0.weight` [out, in], `0.bias` [out], `2.weight`, ...
    pub fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let layers = self.sizes.windows(2).enumerate();
        layers
            .flat_map(|(layer, pair)| {
                let [weight, bias] = ["weight", "bias"].map(|name| format!("{}.{name}", 2 * layer));
                [(weight, vec![pair[1], pair[0]]), (bias, vec![pair[1]])]
            })
            .collect()
    }

    /// The layers as rows of a table: name, output shape, number of parameters.
    pub fn table(&self) -> Vec<[String; 3]> {
        let mut rows = Vec::new();
        for (layer, pair) in self.sizes.windows(2).enumerate() {
            let shape = format!("[B, {}]", pair[1]);
            if layer > 0 {
                rows.push([format!("{} relu", 2 * layer - 1), format!("[B, {}]", pair[0]), "0".to_string()]);
            }
            let count = pair[1] * pair[0] + pair[1];
            rows.push([format!("{} linear", 2 * layer), shape, grouped(count)]);
        }
        rows
    }

    /// The number of parameters.
    pub fn n_parameters(&self) -> usize {
        self.parameters().iter().map(|(_, sizes)| sizes.iter().product::<usize>()).sum()
    }

    /// Initial parameters: weights normal with variance 2/in (He et al. 2015), biases zero.
    pub fn init(&self, seed: u64) -> Vec<Array> {
        let parameters = self.parameters();
        let arrays = parameters.iter().enumerate().map(|(stream, (_, sizes))| {
            let n = sizes.iter().product::<usize>();
            let values: Vec<f32> = match sizes[..] {
                [_, inputs] => {
                    let key = [seed as u32, (seed >> 32) as u32, stream as u32, 0];
                    let scale = (2.0 / inputs as f64).sqrt();
                    (0..n).map(|i| (normal(key, i as u64) * scale) as f32).collect()
                }
                _ => vec![0.0; n],
            };
            Array::new(sizes, values).expect("as many values as the sizes say")
        });
        arrays.collect()
    }

    /// Logits [B, classes] of features `x` [B, features].
    pub fn forward(&self, parameters: &[Tensor], x: Tensor) -> Tensor {
        let last = parameters.len() / 2 - 1;
        parameters.chunks_exact(2).enumerate().fold(x, |x, (layer, pair)| {
            let linear = in_layer(x, format!("{} linear", 2 * layer), || x.matmul(pair[0].t()) + pair[1]);
            match layer == last {
                true => linear,
                false => in_layer(x, format!("{} relu", 2 * layer + 1), || linear.relu()),
            }
        })
    }

    /// The graph of loss and gradients, for pictures: what each parameter's gradient comes from.
    pub fn graph(&self) -> (Graph, Vec<(String, ValueId)>) {
        let g = Graph::new();
        let x = g.input("x", format!("f32[B, {}]", self.sizes[0]).as_str());
        let y = g.input("y", "i64[B]");
        let names = self.parameters();
        let p: Vec<Tensor> =
            names.iter().map(|(name, sizes)| g.input(name, format!("f32{sizes:?}").as_str())).collect();
        let loss = self.forward(&p, x).named("logits").cross_entropy(y).named("loss");
        let table = backprop_ad::grad_table(loss, &p);
        let mut outputs = vec![("loss".to_string(), loss.id())];
        for ((name, _), d) in names.iter().zip(table.gradients()) {
            outputs.push((format!("dloss/d{name}"), d.named(&format!("dloss/d{name}")).id()));
        }
        (g, outputs)
    }

    /// Loss and confusion matrix on labelled examples.
    pub fn evaluate(&self, parameters: &[Array], x: &Array, y: &Array) -> Result<Evaluation, Error> {
        let classes = self.sizes.last().copied().unwrap_or(0);
        let mut confusion = vec![vec![0; classes]; classes];
        let labels = y.to_i64s();
        let rows: Vec<usize> = (0..labels.len()).collect();
        let tape = Tape::new();
        let mut sum = 0.0;
        for rows in rows.chunks(AT_ONCE) {
            let (x, y) = batch(x, y, rows);
            let (loss, guesses) = tape.scope(|tape| {
                tape.no_grad(|| {
                    let p: Vec<Tensor> = parameters.iter().map(|array| tape.value(array.clone())).collect();
                    let logits = self.forward(&p, tape.value(x));
                    let loss = logits.cross_entropy(tape.value(y)).item()?;
                    Ok::<_, Error>((loss, logits.argmax(-1).value()?.to_i64s()))
                })
            })?;
            sum += loss * rows.len() as f64;
            for (&row, guess) in rows.iter().zip(guesses) {
                confusion[labels[row] as usize][guess as usize] += 1;
            }
        }
        Ok(Evaluation { loss: sum / labels.len().max(1) as f64, confusion })
    }
}

/// The examples `rows`: features [n, features] and labels [n].
pub fn batch(x: &Array, y: &Array, rows: &[usize]) -> (Array, Array) {
    let width = x.sizes()[1];
    let features = x.slice::<f32>().expect("data sets hold f32 features");
    let labels = y.slice::<i64>().expect("data sets hold i64 labels");
    let mut picked = Vec::with_capacity(rows.len() * width);
    rows.iter().for_each(|&row| picked.extend_from_slice(&features[row * width..][..width]));
    let x = Array::new([rows.len(), width], picked).expect("whole rows were copied");
    (x, Array::vector(rows.iter().map(|&row| labels[row]).collect::<Vec<_>>()))
}

/// What `body` calls belongs to the layer `path`.
#[track_caller]
fn in_layer(x: Tensor, path: String, body: impl FnOnce() -> Tensor) -> Tensor {
    let made_at = std::panic::Location::caller();
    let Some(home) = x.context().innermost().get() else { return x };
    let module = home.records().borrow_mut().add_module(Module { path: path.into(), made_at });
    with_cursor(home.id(), |cursor| cursor.module = module, body)
}

/// `118,282`
pub fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let parts: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|part| std::str::from_utf8(part).ok()).collect();
    parts.join(",")
}

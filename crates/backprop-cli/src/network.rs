//! The network that a config describes: its table, its graph, its parameters in files.

use std::path::Path;

use backprop_ad::grad_table;
use backprop_core::{Error, Graph, Seed, Tensor, ValueId};
use backprop_io::safetensors;
use backprop_nn::{Layer, Params, Sequential, summary};

use crate::failure::Failure;

/// 1 GiB of numbers, and training holds four times as many: gradients, and two moments of AdamW.
const MOST_PARAMETERS: u128 = 1 << 28;

/// Linear layers of these sizes with relu between them; the last gives logits.
pub struct Network {
    sizes: Vec<usize>,
    /// The layers.
    pub layers: Sequential,
}

impl Network {
    /// The network of these sizes: features, hidden ones, classes.
    ///
    /// # Errors
    /// It is so large that a zero too many is more likely.
    pub fn new(sizes: &[usize]) -> Result<Network, String> {
        let wide: Vec<u128> = sizes.iter().map(|&size| size as u128).collect();
        let n = wide.windows(2).try_fold(0u128, |n, pair| n.checked_add((pair[0] + 1).checked_mul(pair[1])?));
        match n {
            Some(n) if n <= MOST_PARAMETERS => {
                Ok(Network { sizes: sizes.to_vec(), layers: Sequential::mlp(sizes) })
            }
            _ => Err(format!(
                "sizes of {} make more parameters than the {} that are allowed",
                sizes.iter().map(usize::to_string).collect::<Vec<_>>().join(","),
                grouped(MOST_PARAMETERS as usize)
            )),
        }
    }

    /// Features and classes.
    pub fn ends(&self) -> (usize, usize) {
        (self.sizes[0], self.sizes[self.sizes.len() - 1])
    }

    /// First parameters.
    pub fn init(&self, seed: u64) -> Result<Params, Error> {
        self.layers.init(Seed(seed))
    }

    /// What the layers are, what they give, and how many parameters they have.
    pub fn table(&self) -> String {
        let mut rows = vec![["layer", "output", "parameters"].map(String::from)];
        let mut total = 0;
        for (position, row) in summary(&self.layers).into_iter().enumerate() {
            // Layers 0, 2, 4, ... are linear, and a relu keeps the size.
            let size = self.sizes[position / 2 + 1];
            total += row.n_parameters;
            rows.push([
                format!("{} {}", row.path, row.layer),
                format!("[B, {size}]"),
                grouped(row.n_parameters),
            ]);
        }
        rows.push(["total".to_string(), String::new(), grouped(total)]);
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (a, b, c) = (width(0), width(1), width(2));
        let lines: Vec<String> =
            rows.iter().map(|[x, y, z]| format!("  {x:<a$}  {y:<b$}  {z:>c$}")).collect();
        lines.join("\n")
    }

    /// The graph of the loss and its gradients, and what it returns.
    pub fn graph(&self) -> Result<(Graph, Vec<(String, ValueId)>), Error> {
        let params = self.init(0)?;
        let graph = Graph::new();
        let x = graph.input("x", format!("f32[B, {}]", self.sizes[0]).as_str());
        let y = graph.input("y", "i64[B]");
        let p = params.bind(&graph);
        let loss = self.layers.forward(&p, x).named("logits").cross_entropy(y).named("loss");
        let paths: Vec<&str> = params.paths().collect();
        let targets: Vec<Tensor> = paths.iter().filter_map(|path| graph.get(path)).collect();
        let table = grad_table(loss, &targets);
        let mut outputs = vec![("loss".to_string(), loss.id())];
        for (path, d) in paths.iter().zip(table.gradients()) {
            let name = format!("dloss/d{path}");
            outputs.push((name.clone(), d.named(&name).id()));
        }
        Ok((graph, outputs))
    }

    /// The parameters that a file holds.
    pub fn load(&self, file: &Path) -> Result<Params, Failure> {
        let shown = file.display();
        let (arrays, _) = safetensors::load(file)?;
        let mut params = self.init(0)?;
        let wanted: Vec<(String, Vec<usize>)> =
            params.iter().map(|own| (own.path().to_string(), own.array().sizes().to_vec())).collect();
        for (path, sizes) in wanted {
            let Some((_, array)) = arrays.iter().find(|(own, _)| *own == path) else {
                return Err(Failure::failed(format!("{shown}: the parameter `{path}` is missing")));
            };
            if array.sizes() != sizes || array.slice::<f32>().is_err() {
                return Err(Failure::failed(format!(
                    "{shown}: the parameter `{path}` is {}{:?}, but the config wants f32{sizes:?}",
                    array.dtype(),
                    array.sizes()
                )));
            }
            if let Some(at) = array.to_f64s().iter().position(|x| !x.is_finite()) {
                return Err(Failure::failed(format!(
                    "{shown}: the parameter `{path}` is not finite at element {at}: the file is damaged"
                )));
            }
            params.set(&path, array.clone())?;
        }
        let known: Vec<&str> = params.paths().collect();
        if let Some((path, _)) = arrays.iter().find(|(path, _)| !known.contains(&path.as_str())) {
            return Err(Failure::failed(format!("{shown}: the config's network has no parameter `{path}`")));
        }
        Ok(params)
    }
}

/// `118,282`
pub fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    groups.map(String::from_utf8_lossy).collect::<Vec<_>>().join(",")
}

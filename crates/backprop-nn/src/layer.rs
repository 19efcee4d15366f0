//! What a layer is: the parameters that it declares, and what it computes from them.

use backprop_core::{Error, Fault, Seed, Tensor};

use crate::bound::Bound;
use crate::init::Init;
use crate::params::Params;

/// A part of a network: configuration, no numbers.
///
/// ```
/// use backprop_core::{Seed, Tensor};
/// use backprop_nn::{Bound, Declare, Init, Layer, Linear};
///
/// /// y = x + scale·tanh(W·x + b)
/// struct Residual { inner: Linear }
///
/// impl Layer for Residual {
///     fn declare(&self, at: &mut Declare) {
///         at.parameter("scale", &[1], Init::Ones);
///         at.layer("inner", &self.inner);
///     }
///     fn forward(&self, p: &Bound, x: Tensor) -> Tensor {
///         x + p.run("inner", &self.inner, x).tanh() * p.get("scale")
///     }
/// }
///
/// let params = Residual { inner: Linear::new(3, 3) }.init(Seed(1))?;
/// assert_eq!(params.paths().collect::<Vec<_>>(), ["scale", "inner.weight", "inner.bias"]);
/// # Ok::<(), backprop_core::Error>(())
/// ```
pub trait Layer {
    /// Says which parameters and which layers it has inside.
    fn declare(&self, at: &mut Declare) {
        let _ = at;
    }

    /// Computes its output. `p` holds the parameters that it declared, under their names.
    ///
    /// Called by itself, its operations stand at the caller's line; called by [`Bound::run`] or by
    /// [`Sequential`](crate::Sequential), at the line where the layer was made.
    #[track_caller]
    fn forward(&self, p: &Bound, x: Tensor) -> Tensor;

    /// One line for a table of layers: `Linear(64, 128)`.
    fn describe(&self) -> String {
        let name = std::any::type_name::<Self>();
        name.rsplit("::").next().unwrap_or(name).to_string()
    }

    /// The first numbers of its parameters, f32; each drawn from a stream of its path's own.
    ///
    /// # Errors
    /// Two parameters have one path, or one does not fit into memory.
    fn init(&self, seed: Seed) -> Result<Params, Error> {
        let mut declared = Declare::default();
        self.declare(&mut declared);
        let mut params = Params::new();
        params.set_seed(seed);
        for Declared { path, sizes, init } in declared.parameters {
            let drawn = init.draw(seed, &path, &sizes);
            let array = drawn.map_err(|error| Fault::new("init", format!("`{path}`: {error}")))?;
            params.insert(&path, array)?;
        }
        Ok(params)
    }
}

/// Collects what a layer declares.
#[derive(Default)]
pub struct Declare {
    prefix: String,
    parameters: Vec<Declared>,
    rows: Vec<Row>,
}

struct Declared {
    path: String,
    sizes: Vec<usize>,
    init: Init,
}

/// One layer of a network, for a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The layer's path: `0`, `encoder.2`.
    pub path: String,
    /// What it is: `Linear(64, 128)`.
    pub layer: String,
    /// The number of scalars in its own parameters.
    pub n_parameters: usize,
}

impl Declare {
    /// A parameter of the layer's own.
    pub fn parameter(&mut self, name: &str, sizes: &[usize], init: Init) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.path == self.prefix) {
            // A size that cannot be held is refused by `init`.
            let count = sizes.iter().fold(1usize, |count, &size| count.saturating_mul(size));
            row.n_parameters = row.n_parameters.saturating_add(count);
        }
        self.parameters.push(Declared { path: join(&self.prefix, name), sizes: sizes.to_vec(), init });
    }

    /// A layer inside this one.
    pub fn layer(&mut self, name: &str, layer: &dyn Layer) {
        let inner = join(&self.prefix, name);
        let outer = std::mem::replace(&mut self.prefix, inner);
        self.rows.push(Row { path: self.prefix.clone(), layer: layer.describe(), n_parameters: 0 });
        layer.declare(self);
        self.prefix = outer;
    }
}

/// The layers inside `network`, in order.
pub fn summary(network: &dyn Layer) -> Vec<Row> {
    let mut declared = Declare::default();
    network.declare(&mut declared);
    declared.rows
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") }
}

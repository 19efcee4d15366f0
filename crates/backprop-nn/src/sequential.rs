//! Layers one after the other.

use std::panic::Location;

use backprop_core::Tensor;

use crate::bound::Bound;
use crate::init::Init;
use crate::layer::{Declare, Layer};
use crate::layers::{Activation, Dropout, LayerNorm};
use crate::linear::Linear;

/// Layers one after the other; their names are `0`, `1`, ..., as in PyTorch.
///
/// ```
/// use backprop_core::{Graph, Seed};
/// use backprop_nn::{Layer, Sequential};
/// let net = Sequential::new().linear(64, 128).relu().linear(128, 10);
/// let params = net.init(Seed(7))?;
/// let g = Graph::new();
/// let logits = net.forward(&params.bind(&g), g.input("x", "f32[B, 64]"));
/// assert_eq!(logits.ty().map(|ty| ty.to_string()).as_deref(), Some("f32[B, 10]"));
/// # Ok::<(), backprop_core::Error>(())
/// ```
#[derive(Default)]
pub struct Sequential {
    layers: Vec<Named>,
}

struct Named {
    name: String,
    layer: Box<dyn Layer>,
    made_at: &'static Location<'static>,
}

macro_rules! activations {
    ($($(#[$doc:meta])* $name:ident $variant:ident;)*) => {$(
        $(#[$doc])*
        #[track_caller]
        pub fn $name(self) -> Sequential {
            self.add(Activation::$variant)
        }
    )*};
}

impl Sequential {
    /// No layer: the identity.
    pub fn new() -> Sequential {
        Sequential::default()
    }

    /// A multi-layer perceptron: linear layers of these widths, relu between them. The weights are
    /// drawn by He's initialiser, the biases start at 0.
    ///
    /// `mlp(&[64, 128, 10])` has the paths `0.weight`, `0.bias`, `2.weight`, `2.bias`.
    #[track_caller]
    pub fn mlp(widths: &[usize]) -> Sequential {
        let mut net = Sequential::new();
        for (position, pair) in widths.windows(2).enumerate() {
            if position > 0 {
                net = net.relu();
            }
            let layer = Linear::new(pair[0], pair[1]);
            net = net.add(layer.with_init(Init::HE_UNIFORM, Init::Zeros));
        }
        net
    }

    /// Adds any layer.
    #[track_caller]
    #[allow(clippy::should_implement_trait)]
    pub fn add(mut self, layer: impl Layer + 'static) -> Sequential {
        let name = self.layers.len().to_string();
        self.layers.push(Named { name, layer: Box::new(layer), made_at: Location::caller() });
        self
    }

    /// Adds a [`Linear`].
    #[track_caller]
    pub fn linear(self, in_features: usize, out_features: usize) -> Sequential {
        self.add(Linear::new(in_features, out_features))
    }

    /// Adds a [`Dropout`].
    #[track_caller]
    pub fn dropout(self, p: f64) -> Sequential {
        self.add(Dropout::new(p))
    }

    /// Adds a [`LayerNorm`].
    #[track_caller]
    pub fn layer_norm(self, features: usize) -> Sequential {
        self.add(LayerNorm::new(features))
    }

    activations! {
        /// Adds max(0, x).
        relu Relu;
        /// Adds tanh x.
        tanh Tanh;
        /// Adds 1/(1 + e⁻ˣ).
        sigmoid Sigmoid;
        /// Adds x·Φ(x).
        gelu Gelu;
        /// Adds x·sigmoid(x).
        silu Silu;
        /// Adds ln(1 + eˣ).
        softplus Softplus;
        /// Adds eˣ/Σeˣ along the last axis. A network for `cross_entropy` ends without it.
        softmax Softmax;
        /// Adds the logarithm of the softmax along the last axis.
        log_softmax LogSoftmax;
    }

    /// The number of layers.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there is no layer.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }
}

impl Layer for Sequential {
    fn declare(&self, at: &mut Declare) {
        for Named { name, layer, .. } in &self.layers {
            at.layer(name, layer.as_ref());
        }
    }

    fn forward(&self, p: &Bound, x: Tensor) -> Tensor {
        self.layers
            .iter()
            .fold(x, |x, Named { name, layer, made_at }| p.run_at(name, layer.as_ref(), x, made_at))
    }
}

//! The linear (fully connected) layer.

use backprop_core::{Dim, Ill, Tensor};

use crate::bound::Bound;
use crate::init::Init;
use crate::layer::{Declare, Layer};

/// y = x·Wᵀ + b: \[.., in\] → \[.., out\], with `weight` \[out, in\] and `bias` \[out\].
///
/// PyTorch's `Linear`, with its default initialiser: U(±1/√in) for both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linear {
    in_features: usize,
    out_features: usize,
    has_bias: bool,
    init: Init,
    bias_init: Option<Init>,
}

impl Linear {
    /// From `in_features` to `out_features`, with bias.
    pub fn new(in_features: usize, out_features: usize) -> Linear {
        Linear { in_features, out_features, has_bias: true, init: Init::LINEAR, bias_init: None }
    }

    /// Leaves the bias out.
    pub fn without_bias(self) -> Linear {
        Linear { has_bias: false, ..self }
    }

    /// Draws the weight by `weight` and the bias by `bias` instead of the default.
    pub fn with_init(self, weight: Init, bias: Init) -> Linear {
        Linear { init: weight, bias_init: Some(bias), ..self }
    }
}

impl Layer for Linear {
    fn declare(&self, at: &mut Declare) {
        at.parameter("weight", &[self.out_features, self.in_features], self.init);
        if self.has_bias {
            let bound = 1.0 / (self.in_features.max(1) as f64).sqrt();
            at.parameter("bias", &[self.out_features], self.bias_init.unwrap_or(Init::Uniform { bound }));
        }
    }

    fn forward(&self, p: &Bound, x: Tensor) -> Tensor {
        let (Some(shape), weight) = (x.shape(), p.get("weight")) else { return x.identity() };
        let Some(&width) = shape.dims().last() else {
            return x.ill("linear", Ill::new("needs an input with at least one axis, [.., in]"));
        };
        if width != Dim::Size(self.in_features) {
            let (Linear { in_features, .. }, axis) = (self, shape.rank() - 1);
            let ill = Ill::new(format!("takes {in_features} features, but the input has {width}"))
                .note(0, format!("axis {axis} = {width}"));
            return x.ill("linear", ill);
        }
        if let Some(own) = weight.shape().filter(|own| own.rank() != 2) {
            return weight.ill("linear", Ill::new(format!("needs a weight [out, in], not {own}")));
        }
        // Contracted over `in` where it lies: no transposed copy of the weight is made.
        let product = x.contract(weight, &[shape.rank() - 1], &[1]);
        if self.has_bias { product + p.get("bias") } else { product }
    }

    fn describe(&self) -> String {
        let bias = if self.has_bias { "" } else { ", no bias" };
        format!("Linear({}, {}{bias})", self.in_features, self.out_features)
    }
}

//! Layers with few parameters or none.

use backprop_core::{Ill, Tensor};

use crate::bound::Bound;
use crate::init::Init;
use crate::layer::{Declare, Layer};

/// A function of each element, or of each line along the last axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// max(0, x).
    Relu,
    /// tanh x.
    Tanh,
    /// 1/(1 + e⁻ˣ).
    Sigmoid,
    /// x·Φ(x).
    Gelu,
    /// x·sigmoid(x).
    Silu,
    /// ln(1 + eˣ).
    Softplus,
    /// eˣ/Σeˣ along the last axis.
    Softmax,
    /// ln of [`Activation::Softmax`].
    LogSoftmax,
}

impl Layer for Activation {
    fn forward(&self, _p: &Bound, x: Tensor) -> Tensor {
        match self {
            Activation::Relu => x.relu(),
            Activation::Tanh => x.tanh(),
            Activation::Sigmoid => x.sigmoid(),
            Activation::Gelu => x.gelu(),
            Activation::Silu => x.silu(),
            Activation::Softplus => x.softplus(),
            Activation::Softmax => x.softmax(-1),
            Activation::LogSoftmax => x.log_softmax(-1),
        }
    }

    fn describe(&self) -> String {
        format!("{self:?}")
    }
}

/// In training, sets each element to 0 with probability `p` and divides the others by 1 − p; in
/// prediction ([`Bound::eval`]) the identity (Srivastava et al. 2014).
///
/// The mask is a pure function of the seed, the layer's path and the step: the same in both modes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    p: f64,
}

impl Dropout {
    /// Drops with probability `p`, 0 to 1.
    pub fn new(p: f64) -> Dropout {
        Dropout { p }
    }
}

impl Layer for Dropout {
    fn forward(&self, p: &Bound, x: Tensor) -> Tensor {
        if !(0.0..=1.0).contains(&self.p) {
            return x.ill("dropout", Ill::new(format!("a probability is 0 to 1, not {}", self.p)));
        }
        let Some(ty) = x.ty().filter(|_| p.is_training() && self.p > 0.0) else { return x.identity() };
        if !ty.dtype.is_float() {
            return x.ill("dropout", Ill::new(format!("needs floats, not {}", ty.dtype)));
        }
        // With p = 1 nothing is kept: the factor does not matter, but it has to be finite.
        let scale = if self.p < 1.0 { 1.0 / (1.0 - self.p) } else { 0.0 };
        let kept = p.key().uniform(ty.dtype, ty.shape).ge(self.p);
        kept.select(x * scale, 0.0)
    }

    fn describe(&self) -> String {
        format!("Dropout({})", self.p)
    }
}

/// (x − mean)/√(variance + eps) over the last axis, times `weight`, plus `bias`
/// (Ba, Kiros, Hinton 2016). PyTorch's `LayerNorm`: eps 1e-5, weight 1, bias 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNorm {
    features: usize,
    eps: f64,
}

impl LayerNorm {
    /// Over the last axis, of `features` elements.
    pub fn new(features: usize) -> LayerNorm {
        LayerNorm { features, eps: 1e-5 }
    }

    /// With another number under the root.
    pub fn with_eps(self, eps: f64) -> LayerNorm {
        LayerNorm { eps, ..self }
    }
}

impl Layer for LayerNorm {
    fn declare(&self, at: &mut Declare) {
        at.parameter("weight", &[self.features], Init::Ones);
        at.parameter("bias", &[self.features], Init::Zeros);
    }

    fn forward(&self, p: &Bound, x: Tensor) -> Tensor {
        match x.shape().map(|shape| shape.dims().last().copied()) {
            Some(width) if width != Some(self.features.into()) => {
                let found = width.map_or("none".to_string(), |width| width.to_string());
                let rule = format!("takes {} features, but the input has {found}", self.features);
                x.ill("layer_norm", Ill::new(rule))
            }
            _ => x.layer_norm(Some(p.get("weight")), Some(p.get("bias")), self.eps),
        }
    }

    fn describe(&self) -> String {
        format!("LayerNorm({})", self.features)
    }
}

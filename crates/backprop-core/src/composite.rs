//! Composites: functions made of ops, written so that they neither overflow nor lose digits.
//! They have no gradient rules of their own.

use crate::array::DType;
use crate::graph::fault::Ill;
use crate::ops::{Axes, IllCall, IntoAxis};
use crate::tensor::{Tensor, emit};

impl Tensor {
    /// max(0, x) as `select(x <= 0, 0, x)`: relu'(0) = 0, and NaN stays NaN.
    #[track_caller]
    pub fn relu(self) -> Tensor {
        self.le(0.0).select(0.0, self)
    }

    /// x·Φ(x) with the normal distribution's Φ (Hendrycks, Gimpel 2016): PyTorch's default `gelu`.
    #[track_caller]
    pub fn gelu(self) -> Tensor {
        self * (self * -std::f64::consts::FRAC_1_SQRT_2).erfc() * 0.5
    }

    /// x·sigmoid(x).
    #[track_caller]
    pub fn silu(self) -> Tensor {
        self * self.sigmoid()
    }

    /// eˣ / Σ eˣ along `axis` (−1: the last).
    #[track_caller]
    pub fn softmax(self, axis: impl IntoAxis) -> Tensor {
        self.log_softmax(axis).exp()
    }

    /// (x − mean)/√(variance + eps) over the last axis, times `weight`, plus `bias`
    /// (Ba, Kiros, Hinton 2016). The variance is the biased one, as in PyTorch.
    #[track_caller]
    pub fn layer_norm(self, weight: Option<Tensor>, bias: Option<Tensor>, eps: f64) -> Tensor {
        let Some(shape) = self.shape() else { return self.identity() };
        if shape.rank() == 0 {
            return self.ill("layer_norm", Ill::new("needs at least one axis"));
        }
        let axes = Axes::new(&[shape.rank() - 1]);
        let centred = self - self.mean(axes).spread_as(self, axes);
        let variance = centred.square().mean(axes);
        let scale = (variance + eps).sqrt().spread_as(self, axes);
        let normal = centred / scale;
        let scaled = match weight {
            Some(weight) => normal * weight,
            None => normal,
        };
        match bias {
            Some(bias) => scaled + bias,
            None => scaled,
        }
    }

    /// The mean over the samples of −ln of the softmax at the target: `self` holds logits
    /// `[n, classes]`, `target` holds class numbers `[n]`. A class number out of range is a fault.
    #[track_caller]
    pub fn cross_entropy(self, target: Tensor) -> Tensor {
        let (Some(logits), Some(classes)) = (self.shape(), target.ty()) else {
            return self + self.matmul(target);
        };
        if logits.rank() == 0 || classes.shape.rank() + 1 != logits.rank() || !classes.dtype.is_int() {
            let rule =
                format!("needs logits [.., classes] and integer targets [..], not {logits} and {classes}");
            return self.ill("cross_entropy", Ill::new(rule));
        }
        let chosen = target.one_hot(logits[logits.rank() - 1], DType::Bool);
        // `select`, not a product: a class of probability 0 that is not the target costs nothing.
        -chosen.select(self.log_softmax(-1), 0.0).sum(-1).mean(())
    }

    /// The mean of (self − target)². Both have one shape.
    #[track_caller]
    pub fn mse_loss(self, target: Tensor) -> Tensor {
        if let Some(ill) = self.differs_from("mse_loss", target) {
            return ill;
        }
        (self - target).square().mean(())
    }

    /// The mean of the binary cross-entropy between sigmoid(self) and `target`, from the logits:
    /// t·softplus(−x) + (1 − t)·softplus(x). It equals softplus(x) − x·t, where large terms cancel.
    /// Both have one shape.
    #[track_caller]
    pub fn binary_cross_entropy_with_logits(self, target: Tensor) -> Tensor {
        if let Some(ill) = self.differs_from("binary_cross_entropy_with_logits", target) {
            return ill;
        }
        (target * (-self).softplus() + (1.0 - target) * self.softplus()).mean(())
    }

    /// The ill result of the loss `name` where prediction and target have two shapes: broadcasting
    /// [n, 1] and [n] to [n, n] would compare each prediction with every target.
    #[track_caller]
    fn differs_from(self, name: &str, target: Tensor) -> Option<Tensor> {
        let (own, other) = (self.shape()?, target.shape()?);
        if own == other {
            return None;
        }
        let hint = if own.count() == other.count() {
            "target.reshaped_as(prediction) has its shape"
        } else if own.rank() == other.rank() && (own.sizes().is_none() || other.sizes().is_none()) {
            "if their sizes are always equal, say so: assume"
        } else {
            "target.broadcast_to(shape) if each target stands for several predictions"
        };
        let ill = Ill::new(format!("prediction {own} and target {other} differ in shape"));
        Some(emit(IllCall::new(name, ill.hint(hint)), &[self, target]).one())
    }
}

//! What an MLP is made of: activation functions f^(k), losses L, penalties Ω. Each knows its value,
//! its derivative, and its twin for the engine.

use backprop_core::Tensor;

use super::matrix::hadamard;

/// f^(k): the activation function of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// a
    Identity,
    /// max{0, a}; its derivative at 0 is 0.
    Relu,
    /// tanh a
    Tanh,
    /// 1/(1 + e⁻ᵃ)
    Sigmoid,
    /// eᵃ / Σ eᵃ: the one that is not element-wise.
    Softmax,
}

impl Activation {
    /// h = f(a).
    pub fn apply(self, a: &[f64]) -> Vec<f64> {
        let each = |f: fn(f64) -> f64| a.iter().map(|&a| f(a)).collect();
        match self {
            Activation::Identity => a.to_vec(),
            Activation::Relu => each(|a| if a <= 0.0 { 0.0 } else { a }),
            Activation::Tanh => each(f64::tanh),
            Activation::Sigmoid => each(|a| 1.0 / (1.0 + (-a).exp())),
            Activation::Softmax => {
                let top = a.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let exps: Vec<f64> = a.iter().map(|a| (a - top).exp()).collect();
                let total: f64 = exps.iter().sum();
                exps.iter().map(|e| e / total).collect()
            }
        }
    }

    /// ∇ₐJ from g = ∇ₕJ: g ⊙ f'(a) where f is element-wise, and (∂h/∂a)ᵀ·g for softmax, whose
    /// Jacobian is diag h − h·hᵀ.
    pub fn bprop(self, a: &[f64], h: &[f64], g: &[f64]) -> Vec<f64> {
        let slopes: Vec<f64> = match self {
            Activation::Identity => return g.to_vec(),
            Activation::Relu => a.iter().map(|&a| if a <= 0.0 { 0.0 } else { 1.0 }).collect(),
            Activation::Tanh => h.iter().map(|h| 1.0 - h * h).collect(),
            Activation::Sigmoid => h.iter().map(|h| h * (1.0 - h)).collect(),
            Activation::Softmax => {
                let mean: f64 = hadamard(g, h).iter().sum();
                return g.iter().zip(h).map(|(g, h)| h * (g - mean)).collect();
            }
        };
        hadamard(g, &slopes)
    }

    /// f for the engine.
    #[track_caller]
    pub fn through_the_engine(self, a: Tensor) -> Tensor {
        match self {
            Activation::Identity => a,
            Activation::Relu => a.relu(),
            Activation::Tanh => a.tanh(),
            Activation::Sigmoid => a.sigmoid(),
            Activation::Softmax => a.softmax(-1),
        }
    }
}

/// L(ŷ, y).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// ½·Σ (ŷ − y)²
    SquaredError,
    /// −Σ y·ln ŷ, for ŷ that is a distribution (the last f is softmax).
    CrossEntropy,
}

impl Loss {
    /// L(ŷ, y).
    pub fn value(self, y_hat: &[f64], y: &[f64]) -> f64 {
        let pairs = y_hat.iter().zip(y);
        match self {
            Loss::SquaredError => pairs.map(|(y_hat, y)| 0.5 * (y_hat - y) * (y_hat - y)).sum(),
            Loss::CrossEntropy => -pairs.map(|(y_hat, y)| y * y_hat.ln()).sum::<f64>(),
        }
    }

    /// ∇_ŷ L(ŷ, y).
    pub fn gradient(self, y_hat: &[f64], y: &[f64]) -> Vec<f64> {
        let pairs = y_hat.iter().zip(y);
        match self {
            Loss::SquaredError => pairs.map(|(y_hat, y)| y_hat - y).collect(),
            Loss::CrossEntropy => pairs.map(|(y_hat, y)| -y / y_hat).collect(),
        }
    }

    /// L for the engine.
    #[track_caller]
    pub fn through_the_engine(self, y_hat: Tensor, y: Tensor) -> Tensor {
        match self {
            Loss::SquaredError => (y_hat - y).square().sum(()) * 0.5,
            Loss::CrossEntropy => -(y * y_hat.log()).sum(()),
        }
    }
}

/// Ω(θ): what J adds to the loss, times λ. θ are all weights and biases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Penalty {
    /// 0
    None,
    /// Σ |θ|; its derivative at 0 is 0.
    L1,
    /// ½·Σ θ²
    L2,
}

impl Penalty {
    /// Ω of some of the parameters.
    pub fn value(self, theta: &[f64]) -> f64 {
        match self {
            Penalty::None => 0.0,
            Penalty::L1 => theta.iter().map(|t| t.abs()).sum(),
            Penalty::L2 => theta.iter().map(|t| 0.5 * t * t).sum(),
        }
    }

    /// ∂Ω/∂θ of one parameter.
    pub fn slope(self, theta: f64) -> f64 {
        match self {
            Penalty::None => 0.0,
            Penalty::L1 if theta == 0.0 => 0.0,
            Penalty::L1 => theta.signum(),
            Penalty::L2 => theta,
        }
    }

    /// Ω of some of the parameters, for the engine.
    #[track_caller]
    pub fn through_the_engine(self, theta: Tensor) -> Tensor {
        match self {
            Penalty::None => theta.sum(()).zeros_like(),
            Penalty::L1 => theta.abs().sum(()),
            Penalty::L2 => theta.square().sum(()) * 0.5,
        }
    }
}

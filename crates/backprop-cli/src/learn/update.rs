//! Optimizers: new parameters and slots from old ones and gradients, as functions of tensors.

use backprop_core::Tensor;

use crate::config::{Config, Optimizer};

/// Exponential decay of Adam's two averages, and what keeps its quotient finite: PyTorch's defaults.
const BETAS: (f64, f64) = (0.9, 0.999);
const EPS: f64 = 1e-8;

/// How many slots each parameter has.
pub fn n_slots(optimizer: Optimizer) -> usize {
    match optimizer {
        Optimizer::Sgd => 1,
        Optimizer::Adam | Optimizer::AdamW => 2,
    }
}

/// The numbers that change from step to step, computed in f64: learning rate, and Adam's corrections
/// 1/(1 − β₁ᵗ) and 1/(1 − β₂ᵗ).
pub fn factors(lr: f64, step: u64) -> [f64; 3] {
    let t = step as f64;
    [lr, 1.0 / (1.0 - BETAS.0.powf(t)), 1.0 / (1.0 - BETAS.1.powf(t))]
}

/// The new parameter, and its new slots, for a gradient `d`.
pub fn update(
    config: &Config,
    p: Tensor,
    d: Tensor,
    slots: &[Tensor],
    factors: [Tensor; 3],
) -> (Tensor, Vec<Tensor>) {
    let [lr, c1, c2] = factors;
    let decay = config.weight_decay;
    let decoupled = config.optimizer == Optimizer::AdamW;
    let d = if decay != 0.0 && !decoupled { d + p * decay } else { d };
    let p = if decay != 0.0 && decoupled { p - p * (lr * decay) } else { p };
    match config.optimizer {
        // b ← μ·b + d,  p ← p − lr·b      Sutskever et al. 2013, as PyTorch writes it
        Optimizer::Sgd => {
            let b = slots[0] * config.momentum + d;
            (p - b * lr, vec![b])
        }
        // m ← β₁·m + (1 − β₁)·d,  v ← β₂·v + (1 − β₂)·d²,  p ← p − lr·m̂/(√v̂ + ε)      Kingma, Ba 2015
        Optimizer::Adam | Optimizer::AdamW => {
            let m = slots[0] * BETAS.0 + d * (1.0 - BETAS.0);
            let v = slots[1] * BETAS.1 + d.square() * (1.0 - BETAS.1);
            (p - m * (lr * c1) / ((v * c2).sqrt() + EPS), vec![m, v])
        }
    }
}

//! Algorithms 3 and 4: forward and backward propagation through a fully connected network.
//!
//! The lecture's convention: W^(k) is [n^(k−1), n^(k)] and a^(k) = W^(k)ᵀ·h^(k−1) + b^(k). (The layers
//! of `backprop` follow PyTorch: weight [out, in], y = x·Wᵀ + b.) Its Algorithm 4 changes to the other
//! convention half-way and names a regularization term that it leaves out; here both are mended:
//!
//! ```text
//! ∇_b^(k) J = g               + λ·∇_b Ω
//! ∇_W^(k) J = h^(k−1)·gᵀ      + λ·∇_W Ω       (the lecture: g·h^(k−1)ᵀ, for the transposed W)
//! ∇_h^(k−1) J = W^(k)·g                       (the lecture: W^(k)ᵀ·g, likewise)
//! ```

use backprop_core::{Error, Ill, Tensor};

use super::layers::{Activation, Loss, Penalty};
use super::matrix::{Matrix, plus};
use super::scalar::fail;

/// A network of depth l and the objective J = L(ŷ, y) + λ·Ω(θ).
#[derive(Clone, Debug, PartialEq)]
pub struct Mlp {
    w: Vec<Matrix>,
    b: Vec<Vec<f64>>,
    f: Vec<Activation>,
    /// L.
    pub loss: Loss,
    /// Ω.
    pub penalty: Penalty,
    /// λ.
    pub lambda: f64,
}

/// What Algorithm 3 computes. Layer k of the lecture stands at position k − 1, but h\[0\] = h^(0) = x.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// a^(1), ..., a^(l).
    pub a: Vec<Vec<f64>>,
    /// h^(0), ..., h^(l); the last one is ŷ.
    pub h: Vec<Vec<f64>>,
    /// L(ŷ, y).
    pub loss: f64,
    /// J = L(ŷ, y) + λ·Ω(θ).
    pub j: f64,
}

/// What Algorithm 4 computes.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// ∇_W^(1) J, ..., ∇_W^(l) J.
    pub w: Vec<Matrix>,
    /// ∇_b^(1) J, ..., ∇_b^(l) J.
    pub b: Vec<Vec<f64>>,
}

impl Mlp {
    /// A network from W^(k), b^(k), f^(k) of each layer; without a penalty.
    ///
    /// # Errors
    /// There is no layer; a layer does not fit the one before it or its own bias.
    pub fn new(layers: Vec<(Matrix, Vec<f64>, Activation)>, loss: Loss) -> Result<Mlp, Error> {
        if layers.is_empty() {
            return fail("mlp", "needs at least one layer".to_string());
        }
        for (k, (w, b, _)) in layers.iter().enumerate() {
            if w.cols() != b.len() {
                let (layer, cols, n) = (k + 1, w.cols(), b.len());
                return fail("mlp", format!("layer {layer}: W has {cols} columns and b {n} elements"));
            }
            if k > 0 && layers[k - 1].0.cols() != w.rows() {
                let (layer, rows, n) = (k + 1, w.rows(), layers[k - 1].0.cols());
                return fail(
                    "mlp",
                    format!("layer {layer}: W has {rows} rows, but layer {k} gives {n} numbers"),
                );
            }
        }
        let mut mlp = Mlp { w: vec![], b: vec![], f: vec![], loss, penalty: Penalty::None, lambda: 0.0 };
        for (w, b, f) in layers {
            mlp.w.push(w);
            mlp.b.push(b);
            mlp.f.push(f);
        }
        Ok(mlp)
    }

    /// With the penalty λ·Ω(θ) in J.
    pub fn regularized(self, penalty: Penalty, lambda: f64) -> Mlp {
        Mlp { penalty, lambda, ..self }
    }

    /// The depth l.
    pub fn depth(&self) -> usize {
        self.w.len()
    }

    /// W^(1), ..., W^(l).
    pub fn w(&self) -> &[Matrix] {
        &self.w
    }

    /// b^(1), ..., b^(l).
    pub fn b(&self) -> &[Vec<f64>] {
        &self.b
    }

    /// Algorithm 3: forward propagation.
    ///
    /// # Errors
    /// x or y has the wrong length.
    pub fn forward_propagation(&self, x: &[f64], y: &[f64]) -> Result<Forward, Error> {
        let l = self.depth();
        let (n_in, n_out) = (self.w[0].rows(), self.b[l - 1].len());
        if x.len() != n_in || y.len() != n_out {
            let (x, y) = (x.len(), y.len());
            return fail("mlp", format!("maps {n_in} numbers to {n_out}, but x has {x} and y has {y}"));
        }
        let (mut a, mut h) = (Vec::new(), vec![x.to_vec()]);
        for k in 0..l {
            a.push(plus(&self.w[k].transposed_times(&h[k]), &self.b[k], |b| b));
            h.push(self.f[k].apply(&a[k]));
        }
        let loss = self.loss.value(&h[l], y);
        Ok(Forward { a, h, loss, j: loss + self.lambda * self.omega() })
    }

    /// Algorithm 4: backward propagation, from what Algorithm 3 returned.
    ///
    /// # Errors
    /// y has the wrong length, or `forward` is of another network.
    pub fn backward_propagation(&self, forward: &Forward, y: &[f64]) -> Result<Gradients, Error> {
        let l = self.depth();
        let fits =
            |(k, w): (usize, &Matrix)| forward.h[k].len() == w.rows() && forward.a[k].len() == w.cols();
        let Forward { a, h, .. } = forward;
        if a.len() != l || h.len() != l + 1 || !self.w.iter().enumerate().all(fits) || y.len() != h[l].len() {
            return fail("mlp", "the forward propagation is of another network, or y too long".to_string());
        }
        let regularize = |theta: f64| self.lambda * self.penalty.slope(theta);
        let (mut w, mut b) = (Vec::new(), Vec::new());
        let mut g = self.loss.gradient(&h[l], y); // ∇_ŷ J
        for k in (0..l).rev() {
            g = self.f[k].bprop(&a[k], &h[k + 1], &g); // ∇_a^(k) J
            b.push(plus(&g, &self.b[k], regularize));
            w.push(Matrix::outer(&h[k], &g).plus(&self.w[k], regularize));
            g = self.w[k].times(&g); // ∇_h^(k−1) J
        }
        w.reverse();
        b.reverse();
        Ok(Gradients { w, b })
    }

    /// Learning, which is not backpropagation: one step of gradient descent, θ − η·∇J.
    pub fn descend(&self, gradients: &Gradients, eta: f64) -> Mlp {
        let down = |g: f64| -eta * g;
        let w = self.w.iter().zip(&gradients.w).map(|(w, g)| w.plus(g, down)).collect();
        let b = self.b.iter().zip(&gradients.b).map(|(b, g)| plus(b, g, down)).collect();
        Mlp { w, b, ..self.clone() }
    }

    /// J through the engine, in either mode: from W^(k), b^(k), x and y as tensors.
    #[track_caller]
    pub fn through_the_engine(&self, w: &[Tensor], b: &[Tensor], x: Tensor, y: Tensor) -> Tensor {
        if (w.len(), b.len()) != (self.depth(), self.depth()) {
            let (l, w, b) = (self.depth(), w.len(), b.len());
            return x
                .ill("mlp", Ill::new(format!("has {l} layers, but {w} weights and {b} biases were given")));
        }
        let mut h = x;
        for ((&w, &b), f) in w.iter().zip(b).zip(&self.f) {
            h = f.through_the_engine(w.t().matmul(h) + b);
        }
        let penalties = w.iter().chain(b).map(|&theta| self.penalty.through_the_engine(theta));
        let loss = self.loss.through_the_engine(h, y);
        match (self.penalty, penalties.reduce(|sum, omega| sum + omega)) {
            (Penalty::None, _) | (_, None) => loss,
            (_, Some(omega)) => loss + omega * self.lambda,
        }
    }

    /// Ω(θ).
    fn omega(&self) -> f64 {
        let weights = self.w.iter().map(|w| self.penalty.value(w.elements()));
        weights.chain(self.b.iter().map(|b| self.penalty.value(b))).sum()
    }
}

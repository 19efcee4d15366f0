//! Symbol-to-number and symbol-to-symbol: the lecture's two example graphs, written once for both.
//!
//! On a [`Tape`](crate::Tape) every line computes a number; in a [`Graph`](backprop_core::Graph)
//! every line adds a node, and so does every line of a derivative. The code is the same.

use backprop_core::Tensor;

/// The graph of logistic regression, ŷ = σ(wᵀx + b), with the variables it needs on the way.
#[derive(Clone, Copy, Debug)]
pub struct LogisticRegression {
    /// u^(1) = wᵀx.
    pub u1: Tensor,
    /// u^(2) = u^(1) + b.
    pub u2: Tensor,
    /// ŷ = σ(u^(2)).
    pub y_hat: Tensor,
}

/// ŷ = σ(wᵀx + b), for `w: [m]`, `x: [m]`, `b: []`.
#[track_caller]
pub fn logistic_regression(w: Tensor, x: Tensor, b: Tensor) -> LogisticRegression {
    let u1 = w.matmul(x);
    let u2 = u1 + b;
    LogisticRegression { u1, u2, y_hat: u2.sigmoid() }
}

/// The graph of a ReLU layer, H = max{0, WᵀX + b}, with the variables it needs on the way.
#[derive(Clone, Copy, Debug)]
pub struct ReluLayer {
    /// U^(1) = WᵀX.
    pub u1: Tensor,
    /// U^(2) = U^(1) + b, b added to each column.
    pub u2: Tensor,
    /// H = max{0, U^(2)}.
    pub h: Tensor,
}

/// H = max{0, WᵀX + b}, for `W: [n, m]`, `X: [n, B]` with a sample in each column, `b: [m]`.
#[track_caller]
pub fn relu_layer(w: Tensor, x: Tensor, b: Tensor) -> ReluLayer {
    let u1 = w.t().matmul(x);
    let u2 = u1 + b.unsqueeze(1);
    ReluLayer { u1, u2, h: u2.relu() }
}

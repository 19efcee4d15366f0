//! The chain rule, from scalars to vectors to tensors: each by hand beside the engine.

use backprop_ad::grad;
use backprop_core::{Error, Tensor};

use super::matrix::Matrix;
use crate::Tape;

/// A gradient written out by the chain rule, and the engine's.
#[derive(Clone, Debug, PartialEq)]
pub struct BothWays {
    /// By the formula.
    pub by_hand: Vec<f64>,
    /// By `grad`.
    pub by_engine: Vec<f64>,
}

/// Scalars: y = g(x) = x³, z = f(y) = sin y; dz/dx = dz/dy · dy/dx.
///
/// # Errors
/// None for a finite x.
pub fn scalars(x: f64) -> Result<BothWays, Error> {
    let y = x * x * x;
    let by_hand = vec![y.cos() * (3.0 * x * x)];
    let tape = Tape::new();
    let x = tape.value(x);
    both(by_hand, (x * x * x).sin(), x)
}

/// Vectors: y = g(x) = A·x with x ∈ ℝᵐ and y ∈ ℝⁿ, z = f(y) = Σ yⱼ²;
/// dz/dxᵢ = Σⱼ dz/dyⱼ · dyⱼ/dxᵢ, or ∇ₓz = (∂y/∂x)ᵀ·∇_y z.
///
/// (The lecture swaps the spaces of f and g: g maps ℝᵐ to ℝⁿ, and f maps ℝⁿ to ℝ.)
///
/// # Errors
/// A and x do not fit.
pub fn vectors(a: &Matrix, x: &[f64]) -> Result<BothWays, Error> {
    let tape = Tape::new();
    let (a_, x_) = (tape.value(a.to_array()), tape.value(x.to_vec()));
    let z = a_.matmul(x_).square().sum(());
    z.value()?;
    let y = a.times(x);
    let dz_dy: Vec<f64> = y.iter().map(|y| 2.0 * y).collect();
    // ∂y/∂x is A itself.
    both(a.transposed_times(&dz_dy), z, x_)
}

/// Tensors: Y = g(X) = X·X for a square matrix, z = f(Y) = Σ Y²/2;
/// ∇_X z = Σᵢ (∇_X Yᵢ)·∂z/∂Yᵢ, where i runs over the index pairs of Y, and each ∇_X Yᵢ is a matrix.
///
/// # Errors
/// X is not square.
pub fn tensors(x: &Matrix) -> Result<BothWays, Error> {
    let tape = Tape::new();
    let x_ = tape.value(x.to_array());
    let z = x_.matmul(x_).square().sum(()) * 0.5;
    z.value()?;
    let n = x.rows();
    let mut by_hand = Matrix::from_fn(n, n, |_, _| 0.0);
    for (p, q) in (0..n).flat_map(|p| (0..n).map(move |q| (p, q))) {
        // Y_pq = Σₖ X_pk·X_kq, so ∂Y_pq/∂X_rs = [r = p]·X_sq + [s = q]·X_pr.
        let grad_y_pq = Matrix::from_fn(n, n, |r, s| {
            (if r == p { x.at(s, q) } else { 0.0 }) + (if s == q { x.at(p, r) } else { 0.0 })
        });
        let y_pq: f64 = (0..n).map(|k| x.at(p, k) * x.at(k, q)).sum();
        by_hand = by_hand.plus(&grad_y_pq, |slope| slope * y_pq); // ∂z/∂Y_pq = Y_pq
    }
    both(by_hand.elements().to_vec(), z, x_)
}

fn both(by_hand: Vec<f64>, z: Tensor, x: Tensor) -> Result<BothWays, Error> {
    let [dx] = grad(z, [x]);
    Ok(BothWays { by_hand, by_engine: dx.value()?.to_f64s() })
}

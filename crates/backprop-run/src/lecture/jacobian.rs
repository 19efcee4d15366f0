//! The Jacobian written out: what `bprop` computes without ever having it.

use backprop_core::{Array, Error, Tensor};

use super::matrix::Matrix;
use super::scalar::fail;
use crate::Tape;

/// ∂y/∂x of y = f(x), [elements of y, elements of x], by central differences of width 2·10⁻⁵·max(1, |x|):
/// one column for each element of x, tensors flattened row by row.
///
/// # Errors
/// f is ill-typed, or faults on its data; x is not f64.
pub fn jacobian_by_differences(f: impl Fn(Tensor) -> Tensor, x: &Array) -> Result<Matrix, Error> {
    let Ok(at) = x.slice::<f64>() else {
        return fail("jacobian", format!("x must hold f64, not {}", x.dtype()));
    };
    let value = |k: usize, shift: f64| {
        let mut moved = at.to_vec();
        moved[k] += shift;
        let array = Array::new(x.sizes(), moved).expect("as many elements as before");
        let tape = Tape::new();
        f(tape.value(array)).value().map(|y| y.to_f64s())
    };
    let mut columns = Vec::with_capacity(at.len());
    for (k, x) in at.iter().enumerate() {
        // h = ε^(1/3)-ish balances the cubic error of the formula with rounding.
        let h = 1e-5 * x.abs().max(1.0);
        let (above, below) = (value(k, h)?, value(k, -h)?);
        columns.push(above.iter().zip(&below).map(|(a, b)| (a - b) / (2.0 * h)).collect::<Vec<f64>>());
    }
    let n_y = columns.first().map_or(0, Vec::len);
    Ok(Matrix::from_fn(n_y, at.len(), |i, k| columns[k][i]))
}

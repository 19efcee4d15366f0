//! Plain matrices of f64: the few products that Algorithms 3 and 4 need, as sums one can read.

use backprop_core::{Array, Error};

use super::scalar::fail;

/// A matrix, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    rows: usize,
    cols: usize,
    elements: Vec<f64>,
}

impl Matrix {
    /// A matrix from its rows.
    ///
    /// # Errors
    /// The rows differ in length.
    pub fn new(rows: &[Vec<f64>]) -> Result<Matrix, Error> {
        let cols = rows.first().map_or(0, Vec::len);
        if let Some(row) = rows.iter().find(|row| row.len() != cols) {
            return fail("matrix", format!("rows of {cols} and of {} elements", row.len()));
        }
        Ok(Matrix { rows: rows.len(), cols, elements: rows.concat() })
    }

    /// The matrix with element (i, j) = `element(i, j)`.
    pub fn from_fn(rows: usize, cols: usize, element: impl Fn(usize, usize) -> f64) -> Matrix {
        let at = |k: usize| element(k / cols, k % cols);
        Matrix { rows, cols, elements: (0..rows * cols).map(at).collect() }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Element (i, j).
    ///
    /// # Panics
    /// There is none.
    pub fn at(&self, i: usize, j: usize) -> f64 {
        self.elements[i * self.cols + j]
    }

    /// All elements, row by row.
    pub fn elements(&self) -> &[f64] {
        &self.elements
    }

    /// Mᵀ·v.
    ///
    /// # Panics
    /// v has fewer elements than M has rows.
    pub fn transposed_times(&self, v: &[f64]) -> Vec<f64> {
        (0..self.cols).map(|j| (0..self.rows).map(|i| self.at(i, j) * v[i]).sum()).collect()
    }

    /// M·v.
    ///
    /// # Panics
    /// v has fewer elements than M has columns.
    pub fn times(&self, v: &[f64]) -> Vec<f64> {
        (0..self.rows).map(|i| (0..self.cols).map(|j| self.at(i, j) * v[j]).sum()).collect()
    }

    /// a·bᵀ.
    pub fn outer(a: &[f64], b: &[f64]) -> Matrix {
        Matrix::from_fn(a.len(), b.len(), |i, j| a[i] * b[j])
    }

    /// The sum of two matrices of one size, the second one changed by `change`.
    ///
    /// # Panics
    /// The second one is smaller.
    pub fn plus(&self, other: &Matrix, change: impl Fn(f64) -> f64) -> Matrix {
        Matrix::from_fn(self.rows, self.cols, |i, j| self.at(i, j) + change(other.at(i, j)))
    }

    /// The same numbers for the engine.
    pub fn to_array(&self) -> Array {
        Array::new([self.rows, self.cols], self.elements.clone()).expect("rows × cols elements")
    }
}

/// a + b, the second one changed by `change`.
pub fn plus(a: &[f64], b: &[f64], change: impl Fn(f64) -> f64) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + change(*b)).collect()
}

/// The product of each element with its partner: a ⊙ b.
pub fn hadamard(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}

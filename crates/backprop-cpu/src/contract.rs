//! Contractions of floats by the `matrixmultiply` library.
//!
//! Its blocking depends on the instruction set alone, and it runs on the calling thread, so the
//! order of every sum is fixed by the sizes.

use backprop_core::array::pool::filled;
use backprop_core::array::strides;
use backprop_core::ops::{Axes, Contract};
use backprop_core::{Array, Data, Shape, Sizes};

use crate::movement::transpose;

/// An operand as [batch, rows, columns] with strides, copied only where its axes do not merge.
struct Operand {
    x: Array,
    batch: usize,
    rows: usize,
    columns: usize,
    batch_stride: usize,
    row_stride: usize,
    column_stride: usize,
}

impl Operand {
    fn new(x: &Array, batch: &[usize], rows: &[usize], columns: &[usize]) -> Operand {
        let extent = |axes: &[usize]| axes.iter().map(|&axis| x.sizes()[axis]).product::<usize>();
        let (n_batch, n_rows, n_columns) = (extent(batch), extent(rows), extent(columns));
        let merged = [batch, rows, columns].map(|axes| merge(x, axes));
        if let [Some(batch_stride), Some(row_stride), Some(column_stride)] = merged {
            return Operand {
                x: x.clone(),
                batch: n_batch,
                rows: n_rows,
                columns: n_columns,
                batch_stride,
                row_stride,
                column_stride,
            };
        }
        let perm: Vec<usize> = batch.iter().chain(rows).chain(columns).copied().collect();
        Operand {
            x: transpose(x, Axes::new(&perm)),
            batch: n_batch,
            rows: n_rows,
            columns: n_columns,
            batch_stride: n_rows * n_columns,
            row_stride: n_columns,
            column_stride: 1,
        }
    }
}

/// The stride of several axes taken as one, if there is one.
fn merge(x: &Array, axes: &[usize]) -> Option<usize> {
    let own = strides(x.sizes());
    let mut wide = axes.iter().copied().filter(|&axis| x.sizes()[axis] != 1);
    let Some(mut last) = wide.next() else { return Some(1) };
    for axis in wide {
        if own[last] != own[axis] * x.sizes()[axis] {
            return None;
        }
        last = axis;
    }
    Some(own[last])
}

pub(crate) fn contract(op: &Contract, a: &Array, b: &Array) -> Option<Array> {
    let (a_free, b_free) = (op.lhs_free(a.rank()), op.rhs_free(b.rank()));
    let sizes: Sizes = (op.lhs_batch.iter().map(|axis| a.sizes()[axis]))
        .chain(a_free.iter().map(|&axis| a.sizes()[axis]))
        .chain(b_free.iter().map(|&axis| b.sizes()[axis]))
        .collect();
    let left = Operand::new(a, &op.lhs_batch.to_vec(), &a_free, &op.lhs_contract.to_vec());
    let right = Operand::new(b, &op.rhs_batch.to_vec(), &op.rhs_contract.to_vec(), &b_free);
    macro_rules! run {
        ($T:ty, $gemm:path, $x:expr, $y:expr) => {{
            let (m, k, n) = (left.rows, left.columns, right.columns);
            let count = left.batch * m * n;
            let data = filled(count, |c: &mut Vec<$T>| {
                c.resize(count, 0.0);
                if k == 0 {
                    return;
                }
                for (batch, c) in c.chunks_exact_mut((m * n).max(1)).enumerate() {
                    let (x, y) = (&$x[batch * left.batch_stride..], &$y[batch * right.batch_stride..]);
                    check_reach(x.len(), m, left.row_stride, k, left.column_stride);
                    check_reach(y.len(), k, right.row_stride, n, right.column_stride);
                    // SAFETY: every element that the library reads or writes lies inside the three
                    // slices: `check_reach` says so for x and y, and c has m·n elements.
                    unsafe {
                        $gemm(
                            m,
                            k,
                            n,
                            1.0,
                            x.as_ptr(),
                            left.row_stride as isize,
                            left.column_stride as isize,
                            y.as_ptr(),
                            right.row_stride as isize,
                            right.column_stride as isize,
                            0.0,
                            c.as_mut_ptr(),
                            n as isize,
                            1,
                        );
                    }
                }
            });
            Array::with_shape(Shape::of_sizes(&sizes), data)
        }};
    }
    match (left.x.data(), right.x.data()) {
        (Data::F32(x), Data::F32(y)) => Some(run!(f32, matrixmultiply::sgemm, x, y)),
        (Data::F64(x), Data::F64(y)) => Some(run!(f64, matrixmultiply::dgemm, x, y)),
        _ => None,
    }
}

/// Asserts that a strided matrix lies inside its slice.
fn check_reach(len: usize, rows: usize, row_stride: usize, columns: usize, column_stride: usize) {
    if rows > 0 && columns > 0 {
        let last = (rows - 1) * row_stride + (columns - 1) * column_stride;
        assert!(last < len, "a {rows}×{columns} matrix reaches element {last} of {len}");
    }
}

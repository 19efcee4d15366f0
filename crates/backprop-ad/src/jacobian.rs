//! Whole Jacobians and Hessians, row by row or column by column.

use backprop_core::ops::{concat, full};
use backprop_core::{DType, Ill, Shape, Tensor, Type};

use crate::jvp::jvp;
use crate::sweep::{grad, vjp};

/// The derivative of output `o` by input `i`, at `[o][i]`: its shape has the output's dimensions, then
/// the input's.
///
/// Reverse mode, one sweep for each element of the outputs; forward mode, one for each element of the
/// inputs, where those are fewer. Each sweep adds its nodes to the graph or tape, so a Jacobian is for
/// small functions; where a product with it is enough, [`vjp`] and [`jvp`] give it in one sweep.
///
/// The blocks have the element type of their input, as gradients have; an integer input has zeros, in
/// f32. They are ordinary tensors, to be differentiated again.
///
/// Every size must be a number: a fault says which is not. So must the outputs be floats.
///
/// ```
/// use backprop_core::Graph;
/// use backprop_ad::jacobian;
/// let g = Graph::new();
/// let x = g.input("x", "f64[3]");
/// let w = g.input("w", "f64[2, 3]");
/// let blocks = jacobian(&[w.matmul(x).tanh()], &[x, w]);
/// assert_eq!(blocks[0][0].ty().map(|ty| ty.to_string()).as_deref(), Some("f64[2, 3]"));
/// assert_eq!(blocks[0][1].ty().map(|ty| ty.to_string()).as_deref(), Some("f64[2, 2, 3]"));
/// ```
#[track_caller]
pub fn jacobian(outputs: &[Tensor], inputs: &[Tensor]) -> Vec<Vec<Tensor>> {
    let all = |value: Tensor| vec![vec![value; inputs.len()]; outputs.len()];
    let (Some(&first), false) = (outputs.first(), inputs.is_empty()) else {
        return vec![Vec::new(); outputs.len()];
    };
    if let Some(&ill) = outputs.iter().chain(inputs).find(|value| value.ty().is_none()) {
        return all(ill.identity());
    }
    let (rows, columns) = match (extents(outputs, "output", true), extents(inputs, "input", false)) {
        (Ok(rows), Ok(columns)) => (rows, columns),
        (Err(ill), _) | (_, Err(ill)) => return all(first.ill("jacobian", ill)),
    };
    let ranks = |extents: &[Extent]| extents.iter().map(|extent| extent.ty.shape.rank()).max().unwrap_or(0);
    if ranks(&rows) + ranks(&columns) > backprop_core::array::MAX_RANK {
        let rule = "the Jacobian would have more than eight axes";
        return all(first.ill("jacobian", Ill::new(rule).hint("flatten the operands first")));
    }
    let count = |extents: &[Extent]| extents.iter().map(|extent| extent.n).sum::<usize>();
    match count(&columns) < count(&rows) {
        true => by_columns(outputs, &rows, inputs, &columns),
        false => by_rows(outputs, &rows, inputs, &columns),
    }
}

/// ∂²z/∂x∂x of a scalar z: the [`jacobian`] of its gradient, with the dimensions of x twice.
///
/// ```
/// use backprop_core::Graph;
/// use backprop_ad::hessian;
/// let g = Graph::new();
/// let x = g.input("x", "f64[3]");
/// let h = hessian(x.tanh().sum(()), x);
/// assert_eq!(h.ty().map(|ty| ty.to_string()).as_deref(), Some("f64[3, 3]"));
/// ```
#[track_caller]
pub fn hessian(z: Tensor, x: Tensor) -> Tensor {
    let gradient = grad(z, [x]);
    jacobian(&gradient, &[x])[0][0]
}

/// Type and number of elements of an output or an input.
struct Extent {
    ty: Type,
    n: usize,
}

fn extents(values: &[Tensor], what: &str, floats: bool) -> Result<Vec<Extent>, Ill> {
    let extent = |(idx, value): (usize, &Tensor)| {
        let ty = value.ty().ok_or_else(|| Ill::new(format!("{what} {idx} is ill")))?;
        if floats && !ty.dtype.is_float() {
            return Err(Ill::new(format!("{what} {idx} is {ty}: only floats have derivatives")));
        }
        let sizes = ty.shape.sizes().ok_or_else(|| {
            Ill::new(format!("needs sizes that are numbers, and {what} {idx} is {value:?}"))
                .hint("build it in a graph whose inputs have sizes, or use vjp or jvp")
        })?;
        let n = backprop_core::array::element_count(sizes).map_err(|e| Ill::new(e.to_string()))?;
        Ok(Extent { ty, n })
    };
    values.iter().enumerate().map(extent).collect()
}

#[track_caller]
fn by_rows(outputs: &[Tensor], rows: &[Extent], inputs: &[Tensor], columns: &[Extent]) -> Vec<Vec<Tensor>> {
    let mut blocks = Vec::with_capacity(outputs.len());
    for (&y, row) in outputs.iter().zip(rows) {
        let mut lines: Vec<Vec<Tensor>> = vec![Vec::with_capacity(row.n); inputs.len()];
        for element in 0..row.n {
            let table = vjp(&[(y, unit(y, row, element))], inputs);
            for ((line, &dx), column) in lines.iter_mut().zip(table.gradients()).zip(columns) {
                line.push(dx.reshape(Shape::of_sizes(&[1, column.n])));
            }
        }
        let mut of_row = Vec::with_capacity(inputs.len());
        for (lines, column) in lines.into_iter().zip(columns) {
            of_row.push(stack(y, &lines, 0, row, column));
        }
        blocks.push(of_row);
    }
    blocks
}

#[track_caller]
fn by_columns(
    outputs: &[Tensor],
    rows: &[Extent],
    inputs: &[Tensor],
    columns: &[Extent],
) -> Vec<Vec<Tensor>> {
    let mut blocks: Vec<Vec<Tensor>> = vec![Vec::with_capacity(inputs.len()); outputs.len()];
    for (&x, extent) in inputs.iter().zip(columns) {
        let mut lines: Vec<Vec<Tensor>> = vec![Vec::with_capacity(extent.n); outputs.len()];
        for element in (0..extent.n).filter(|_| extent.ty.dtype.is_float()) {
            let tangents = jvp(outputs, &[(x, unit(x, extent, element))]);
            for ((line, &ty), row) in lines.iter_mut().zip(tangents.tangents()).zip(rows) {
                line.push(ty.cast(extent.ty.dtype).reshape(Shape::of_sizes(&[row.n, 1])));
            }
        }
        for (((block, lines), row), &y) in blocks.iter_mut().zip(lines).zip(rows).zip(outputs) {
            block.push(stack(y, &lines, 1, row, extent));
        }
    }
    blocks
}

/// 1 at `element`, 0 elsewhere, in the type of `like`.
#[track_caller]
fn unit(like: Tensor, extent: &Extent, element: usize) -> Tensor {
    let index = full(like.context(), Type::scalar(DType::I64), element as i64);
    index.one_hot(extent.n, extent.ty.dtype).reshape(extent.ty.shape)
}

/// Rows (axis 0) or columns (axis 1) put together: [dims of the output.., dims of the input..].
#[track_caller]
fn stack(y: Tensor, lines: &[Tensor], axis: usize, row: &Extent, column: &Extent) -> Tensor {
    let dims: Vec<_> = row.ty.shape.iter().chain(column.ty.shape.iter()).copied().collect();
    let shape = Shape::new(&dims);
    if lines.is_empty() || row.n == 0 || column.n == 0 {
        let dtype = if column.ty.dtype.is_float() { column.ty.dtype } else { DType::F32 };
        return full(y.context(), Type { dtype, shape }, 0);
    }
    concat(lines, axis).reshape(shape)
}

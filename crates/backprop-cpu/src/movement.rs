//! Broadcast, transpose, slice and pad, in runs of contiguous elements.

use backprop_core::array::pool::filled;
use backprop_core::array::strides;
use backprop_core::ops::{Axes, Full, Literal, Pad, Slice};
use backprop_core::{Array, Element, Shape, Sizes, Type, with_data, with_dtype};

/// All elements equal.
pub(crate) fn full(op: Full, to: Type) -> Array {
    let count = numbers(to).iter().product();
    let data = with_dtype!(to.dtype, |T| {
        let element = match op.value() {
            Literal::Float(x) => T::from_f64(x),
            Literal::Int(x) => T::from_i64_wrapping(x),
        };
        filled(count, |y: &mut Vec<T>| y.resize(count, element))
    });
    Array::with_shape(to.shape, data)
}

fn numbers(ty: Type) -> &'static [usize] {
    ty.shape.sizes().expect("sizes are numbers when an op is evaluated")
}

/// x repeated to the sizes of `to`.
pub(crate) fn broadcast(x: &Array, to: Type) -> Array {
    let sizes = numbers(to);
    let lead = sizes.len() - x.rank();
    let own = strides(x.sizes());
    let source: Sizes = (0..sizes.len())
        .map(|axis| if axis < lead || x.sizes()[axis - lead] == 1 { 0 } else { own[axis - lead] })
        .collect();
    with_data!(x.data(), |values| strided_copy(values, sizes, &source))
}

/// Axes in the order `perm`.
pub(crate) fn transpose(x: &Array, perm: Axes) -> Array {
    let own = strides(x.sizes());
    let sizes: Sizes = perm.iter().map(|axis| x.sizes()[axis]).collect();
    let source: Sizes = perm.iter().map(|axis| own[axis]).collect();
    with_data!(x.data(), |values| match &sizes[..] {
        [rows, columns] if source[0] == 1 => matrix_transpose(values, *rows, *columns),
        _ => strided_copy(values, &sizes, &source),
    })
}

/// Every `step`-th element from `start` on, `sizes` of them.
pub(crate) fn slice(x: &Array, op: &Slice, to: Type) -> Option<Array> {
    let (start, step) = (op.start.sizes()?, op.step.sizes()?);
    let (own, sizes) = (strides(x.sizes()), numbers(to));
    let source: Sizes = own.iter().zip(&step).map(|(stride, step)| stride * step).collect();
    let origin: usize = own.iter().zip(&start).map(|(stride, start)| stride * start).sum();
    // Of nothing, the origin may lie beyond the end.
    let origin = if sizes.contains(&0) { 0 } else { origin };
    Some(with_data!(x.data(), |values| strided_copy(&values[origin..], sizes, &source)))
}

/// x between zeros.
pub(crate) fn pad(x: &Array, op: &Pad, to: Type) -> Option<Array> {
    let (low, interior) = (op.low.sizes()?, op.interior.sizes()?);
    let (sizes, out) = (numbers(to), strides(numbers(to)));
    let target: Sizes = out.iter().zip(&interior).map(|(stride, gap)| stride * (gap + 1)).collect();
    let origin: usize = out.iter().zip(&low).map(|(stride, low)| stride * low).sum();
    Some(with_data!(x.data(), |values| {
        let count = sizes.iter().product();
        let data = filled(count, |y| {
            y.resize(count, Default::default());
            for_each_run(x.sizes(), &target, |position, run, place, step| {
                let (from, place) = (&values[position..position + run], origin + place);
                match step {
                    1 => y[place..place + run].copy_from_slice(from),
                    _ => y[place..].iter_mut().step_by(step).zip(from).for_each(|(y, &x)| *y = x),
                }
            });
        });
        Array::with_shape(Shape::of_sizes(sizes), data)
    }))
}

/// The transpose of a [columns, rows] matrix, in square tiles that stay in cache.
fn matrix_transpose<T: Element>(x: &[T], rows: usize, columns: usize) -> Array {
    const TILE: usize = 32;
    let data = filled(x.len(), |y: &mut Vec<T>| {
        y.resize(x.len(), T::default());
        for row in (0..rows).step_by(TILE) {
            for column in (0..columns).step_by(TILE) {
                for i in row..rows.min(row + TILE) {
                    for j in column..columns.min(column + TILE) {
                        y[i * columns + j] = x[j * rows + i];
                    }
                }
            }
        }
    });
    Array::with_shape(Shape::of_sizes(&[rows, columns]), data)
}

/// The elements at `source` strides, in row-major order of `sizes`: a loop over the last axis inside
/// an odometer over the others.
pub(crate) fn strided_copy<T: Element>(x: &[T], sizes: &[usize], source: &[usize]) -> Array {
    let count: usize = sizes.iter().product();
    let data = filled(count, |y| strided_extend(y, x, sizes, source));
    Array::with_shape(Shape::of_sizes(sizes), data)
}

fn strided_extend<T: Element>(y: &mut Vec<T>, x: &[T], sizes: &[usize], source: &[usize]) {
    for_each_run(sizes, source, |_, run, origin, step| match step {
        0 => y.extend(std::iter::repeat_n(x[origin], run)),
        1 => y.extend_from_slice(&x[origin..origin + run]),
        _ => y.extend((0..run).map(|i| x[origin + i * step])),
    });
}

/// Calls `visit(position, run, place, step)` for each run along the last axis: the row-major position
/// where it begins, how many elements it has, the place of the first by `strides`, and how far apart
/// they lie there.
fn for_each_run(sizes: &[usize], strides: &[usize], mut visit: impl FnMut(usize, usize, usize, usize)) {
    let Some((&run, outer)) = sizes.split_last() else { return visit(0, 1, 0, 1) };
    if sizes.contains(&0) {
        return;
    }
    let step = strides[outer.len()];
    let mut at: Sizes = smallvec::SmallVec::from_elem(0, outer.len());
    let mut place = 0;
    for row in 0..outer.iter().product() {
        visit(row * run, run, place, step);
        for axis in (0..outer.len()).rev() {
            at[axis] += 1;
            place += strides[axis];
            if at[axis] < outer[axis] {
                break;
            }
            place -= strides[axis] * outer[axis];
            at[axis] = 0;
        }
    }
}

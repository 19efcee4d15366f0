//! Ops with indices, in runs of contiguous elements. Indices out of range are refused before anything is
//! computed.

use std::sync::Arc;

use backprop_core::array::pool::filled;
use backprop_core::ops::check_indices;
use backprop_core::{Array, Data, Element, Ill, Shape, Sizes, Type, with_data};

use crate::reduce::Adds;

/// x as [outer, size, inner] around `axis`.
struct Around {
    outer: usize,
    size: usize,
    inner: usize,
}

impl Around {
    fn new(x: &Array, axis: usize) -> Around {
        let product = |sizes: &[usize]| sizes.iter().product();
        Around {
            outer: product(&x.sizes()[..axis]),
            size: x.sizes()[axis],
            inner: product(&x.sizes()[axis + 1..]),
        }
    }
}

/// The slices of x at indices along an axis.
pub(crate) fn gather(x: &Array, indices: &Array, axis: usize, to: Type) -> Result<Array, Ill> {
    let Around { outer, size, inner } = Around::new(x, axis);
    let indices = indices.to_i64s();
    check_indices(&indices, size)?;
    let data = with_data!(x.data(), |x| filled(outer * indices.len() * inner, |y| {
        for block in 0..outer {
            for &index in &indices {
                let from = (block * size + index as usize) * inner;
                y.extend_from_slice(&x[from..from + inner]);
            }
        }
    }));
    Ok(Array::with_shape(to.shape, data))
}

/// x with slices added at indices along an axis, in the order of the indices.
pub(crate) fn scatter_add(
    x: &Array,
    indices: &Array,
    updates: &Array,
    axis: usize,
) -> Result<Option<Array>, Ill> {
    fn add<T: Adds>(x: &[T], at: &Around, indices: &[i64], updates: &[T]) -> Data {
        let Around { outer, size, inner } = *at;
        filled(x.len(), |y: &mut Vec<T>| {
            y.extend_from_slice(x);
            for block in 0..outer {
                for (position, &index) in indices.iter().enumerate() {
                    let to = (block * size + index as usize) * inner;
                    let from = (block * indices.len() + position) * inner;
                    let updates = &updates[from..from + inner];
                    y[to..to + inner].iter_mut().zip(updates).for_each(|(y, &x)| *y = y.plus(x));
                }
            }
        })
    }
    let at = Around::new(x, axis);
    let indices = indices.to_i64s();
    check_indices(&indices, at.size)?;
    let data = match (x.data(), updates.data()) {
        (Data::F32(x), Data::F32(u)) => add(x, &at, &indices, u),
        (Data::F64(x), Data::F64(u)) => add(x, &at, &indices, u),
        (Data::I32(x), Data::I32(u)) => add(x, &at, &indices, u),
        (Data::I64(x), Data::I64(u)) => add(x, &at, &indices, u),
        (Data::U32(x), Data::U32(u)) => add(x, &at, &indices, u),
        (Data::U8(x), Data::U8(u)) => add(x, &at, &indices, u),
        (Data::Bool(x), Data::Bool(u)) => add(x, &at, &indices, u),
        _ => return Ok(None),
    };
    Ok(Some(Array::with_shape(x.shape(), data)))
}

/// The largest element along an axis (the first NaN, if there is one) and the first place where it stands.
pub(crate) fn first_largest(x: &Array, axis: usize) -> Option<(Array, Array)> {
    fn find<T: Element>(x: &[T], at: &Around) -> (Vec<T>, Vec<i64>) {
        #[allow(clippy::eq_op)]
        let is_nan = |x: T| x != x;
        let Around { outer, size, inner } = *at;
        let (mut largest, mut places) = (Vec::with_capacity(outer * inner), vec![0i64; outer * inner]);
        for block in 0..outer {
            let rows = &x[block * size * inner..(block + 1) * size * inner];
            largest.extend_from_slice(&rows[..inner]);
            let (largest, places) = (&mut largest[block * inner..], &mut places[block * inner..]);
            for (k, row) in rows[inner..].chunks_exact(inner).enumerate() {
                for ((&x, best), place) in row.iter().zip(&mut *largest).zip(&mut *places) {
                    if !is_nan(*best) && (x > *best || is_nan(x)) {
                        (*best, *place) = (x, k as i64 + 1);
                    }
                }
            }
        }
        (largest, places)
    }
    let at = Around::new(x, axis);
    // Along an axis of nothing there is no largest, and of nothing no chunks.
    if x.is_empty() {
        return None;
    }
    let sizes: Sizes = x.sizes()[..axis].iter().chain(&x.sizes()[axis + 1..]).copied().collect();
    let shape = Shape::of_sizes(&sizes);
    with_data!(x.data(), |x| {
        let (largest, places) = find(x, &at);
        let array = |data: Data| Array::with_shape(shape, data);
        Some((array(Element::wrap(Arc::new(largest.into()))), array(Element::wrap(Arc::new(places.into())))))
    })
}

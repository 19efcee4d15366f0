//! Reductions whose order does not matter, of few elements: [outer, reduced, inner] loops. Sums of floats are
//! programs of their own.

use backprop_core::ops::Axes;
use backprop_core::{Array, Data, Element, Sizes};

use crate::movement::transpose;

/// x with the reduced axes side by side, and the extents before, of and after them.
struct Nest {
    x: Array,
    outer: usize,
    reduced: usize,
    inner: usize,
    sizes: Sizes,
}

impl Nest {
    fn new(x: &Array, axes: Axes) -> Nest {
        let first = axes.iter().next().unwrap_or(0);
        if axes.iter().enumerate().any(|(position, axis)| axis != first + position) {
            return Nest::of_rows(x, axes);
        }
        let product = |sizes: &[usize]| sizes.iter().product();
        let (before, rest) = x.sizes().split_at(first);
        let (reduced, after) = rest.split_at(axes.len());
        let sizes = before.iter().chain(after).copied().collect();
        let [outer, reduced, inner] = [before, reduced, after].map(product);
        Nest { x: x.clone(), outer, reduced, inner, sizes }
    }

    /// With the reduced axes last: each element of the result has a run of its own.
    fn of_rows(x: &Array, axes: Axes) -> Nest {
        let kept: Vec<usize> = (0..x.rank()).filter(|&axis| !axes.contains(axis)).collect();
        let sizes: Sizes = kept.iter().map(|&axis| x.sizes()[axis]).collect();
        let reduced = axes.iter().map(|axis| x.sizes()[axis]).product();
        let outer = sizes.iter().product();
        let perm: Vec<usize> = kept.into_iter().chain(axes.iter()).collect();
        let x = if perm.is_sorted() { x.clone() } else { transpose(x, Axes::new(&perm)) };
        Nest { x, outer, reduced, inner: 1, sizes }
    }

    fn result<T: Element>(&self, values: Vec<T>) -> Array {
        Array::new(&self.sizes[..], values).expect("one result for each outer and inner element")
    }
}

/// Elements that add; integers wrap, truth values `or`.
pub(crate) trait Adds: Element {
    fn plus(self, other: Self) -> Self;
}

macro_rules! adds {
    ($($T:ty, |$a:ident, $b:ident| $sum:expr;)*) => {$(
        impl Adds for $T {
            fn plus(self, other: $T) -> $T {
                let ($a, $b) = (self, other);
                $sum
            }
        }
    )*};
}

adds! {
    f32, |a, b| a + b;
    f64, |a, b| a + b;
    i32, |a, b| a.wrapping_add(b);
    i64, |a, b| a.wrapping_add(b);
    u32, |a, b| a.wrapping_add(b);
    u8, |a, b| a.wrapping_add(b);
    bool, |a, b| a | b;
}

/// Σ x over the axes, of integers.
pub(crate) fn sum(x: &Array, axes: Axes) -> Option<Array> {
    let nest = Nest::new(x, axes);
    Some(match nest.x.data() {
        Data::I32(v) => nest.result(sums(v, &nest)),
        Data::I64(v) => nest.result(sums(v, &nest)),
        Data::U32(v) => nest.result(sums(v, &nest)),
        Data::U8(v) => nest.result(sums(v, &nest)),
        Data::F32(_) | Data::F64(_) | Data::Bool(_) => return None,
    })
}

fn sums<T: Adds>(x: &[T], nest: &Nest) -> Vec<T> {
    let Nest { outer, reduced, inner, .. } = *nest;
    let mut y = vec![T::default(); outer * inner];
    if inner == 0 {
        return y;
    }
    for (total, rows) in y.chunks_exact_mut(inner).zip(x.chunks_exact((reduced * inner).max(1))) {
        for row in rows.chunks_exact(inner) {
            total.iter_mut().zip(row).for_each(|(sum, &x)| *sum = sum.plus(x));
        }
    }
    y
}

/// Whether any x holds over the axes.
pub(crate) fn any(x: &Array, axes: Axes) -> Option<Array> {
    let nest = Nest::new(x, axes);
    let values = nest.x.slice::<bool>().ok()?;
    Some(nest.result(sums(values, &nest)))
}

/// The largest element over the axes, NaN if there is one; `None` leaves it to the definition.
pub(crate) fn max(x: &Array, axes: Axes) -> Option<Array> {
    fn largest<T: Element>(x: &[T], nest: &Nest) -> Vec<T> {
        #[allow(clippy::eq_op)]
        let larger = |best: T, x: T| if x != x || (best == best && x > best) { x } else { best };
        let Nest { outer, reduced, inner, .. } = *nest;
        let mut y = Vec::with_capacity(outer * inner);
        for rows in x.chunks_exact((reduced * inner).max(1)) {
            let start = y.len();
            y.extend_from_slice(&rows[..inner]);
            for row in rows[inner..].chunks_exact(inner) {
                y[start..].iter_mut().zip(row).for_each(|(best, &x)| *best = larger(*best, x));
            }
        }
        y
    }
    let nest = Nest::new(x, axes);
    if x.is_empty() {
        return None;
    }
    match nest.x.data() {
        Data::F32(v) => Some(nest.result(largest(v, &nest))),
        Data::F64(v) => Some(nest.result(largest(v, &nest))),
        Data::I32(v) => Some(nest.result(largest(v, &nest))),
        Data::I64(v) => Some(nest.result(largest(v, &nest))),
        Data::U32(v) => Some(nest.result(largest(v, &nest))),
        Data::U8(v) => Some(nest.result(largest(v, &nest))),
        Data::Bool(_) => None,
    }
}

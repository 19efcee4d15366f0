//! Reductions as [outer, reduced, inner] loops. The order of every sum is fixed by the sizes:
//! sixteen lanes in blocks of 1,024, blocks added pairwise (Higham 2002, §4.2).

use backprop_core::array::pool::filled;
use backprop_core::ops::Axes;
use backprop_core::{Array, Data, Element, Sizes};

use crate::movement::transpose;

/// The smallest block that is split in two.
const BLOCK: usize = 1024;
/// Independent partial sums in a block.
const LANES: usize = 16;
/// Rows that are added before their sum joins the total.
const ROWS: usize = 64;

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

/// Σ x over the axes.
pub(crate) fn sum(x: &Array, axes: Axes) -> Option<Array> {
    let nest = Nest::new(x, axes);
    Some(match nest.x.data() {
        Data::F32(v) => nest.result(sums(v, &nest)),
        Data::F64(v) => nest.result(sums(v, &nest)),
        Data::I32(v) => nest.result(sums(v, &nest)),
        Data::I64(v) => nest.result(sums(v, &nest)),
        Data::U32(v) => nest.result(sums(v, &nest)),
        Data::U8(v) => nest.result(sums(v, &nest)),
        Data::Bool(_) => return None,
    })
}

fn sums<T: Adds>(x: &[T], nest: &Nest) -> Vec<T> {
    let Nest { outer, reduced, inner, .. } = *nest;
    if inner == 1 {
        return (0..outer).map(|row| pairwise(&x[row * reduced..(row + 1) * reduced])).collect();
    }
    let mut y = vec![T::default(); outer * inner];
    if inner == 0 {
        return y;
    }
    for (total, rows) in y.chunks_exact_mut(inner).zip(x.chunks_exact((reduced * inner).max(1))) {
        for (position, block) in rows.chunks(ROWS * inner).enumerate() {
            let mut part = block[..inner].to_vec();
            for row in block[inner..].chunks_exact(inner) {
                part.iter_mut().zip(row).for_each(|(sum, &x)| *sum = sum.plus(x));
            }
            match position {
                0 => total.copy_from_slice(&part),
                _ => total.iter_mut().zip(&part).for_each(|(sum, &x)| *sum = sum.plus(x)),
            }
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

/// The sum of a run. The depth of the recursion is the logarithm of its length.
fn pairwise<T: Adds>(x: &[T]) -> T {
    if x.len() > BLOCK {
        let half = (x.len() / 2).next_multiple_of(BLOCK);
        let (left, right) = x.split_at(half.min(x.len() - 1));
        return pairwise(left).plus(pairwise(right));
    }
    let mut lanes = [T::default(); LANES];
    let mut chunks = x.chunks_exact(LANES);
    for chunk in &mut chunks {
        lanes.iter_mut().zip(chunk).for_each(|(sum, &x)| *sum = sum.plus(x));
    }
    for (lane, &x) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane = lane.plus(x);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = lanes[i].plus(lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
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

/// ln Σ eˣ over the axes as m + ln Σ e^(x−m).
pub(crate) fn logsumexp(x: &Array, axes: Axes) -> Option<Array> {
    macro_rules! run {
        ($T:ident, $v:expr, $nest:expr) => {{
            let Nest { outer, reduced, .. } = *$nest;
            let rows = (0..outer).map(|row| {
                let x = &$v[row * reduced..(row + 1) * reduced];
                let m = x.iter().copied().fold($T::NEG_INFINITY, $T::max);
                let m = if m.is_finite() { m } else { 0.0 };
                let e: Vec<$T> = x.iter().map(|x| (x - m).exp()).collect();
                m + pairwise(&e).ln()
            });
            $nest.result(rows.collect::<Vec<$T>>())
        }};
    }
    let nest = Nest::of_rows(x, axes);
    match nest.x.data() {
        Data::F32(v) => Some(run!(f32, v, &nest)),
        Data::F64(v) => Some(run!(f64, v, &nest)),
        _ => None,
    }
}

/// x − ln Σ eˣ over the axes as (x − m) − ln Σ e^(x−m).
pub(crate) fn log_softmax(x: &Array, axes: Axes) -> Option<Array> {
    let perm: Vec<usize> = (0..x.rank()).filter(|&axis| !axes.contains(axis)).chain(axes.iter()).collect();
    if !perm.is_sorted() {
        let y = log_softmax(
            &transpose(x, Axes::new(&perm)),
            Axes::new(&(x.rank() - axes.len()..x.rank()).collect::<Vec<_>>()),
        )?;
        let mut back = vec![0; perm.len()];
        perm.iter().enumerate().for_each(|(to, &from)| back[from] = to);
        return Some(transpose(&y, Axes::new(&back)));
    }
    macro_rules! run {
        ($T:ident, $v:expr) => {{
            let row = axes.iter().map(|axis| x.sizes()[axis]).product::<usize>().max(1);
            let mut e = vec![0.0; row];
            filled(x.len(), |y: &mut Vec<$T>| {
                for x in $v.chunks_exact(row) {
                    let m = x.iter().copied().fold($T::NEG_INFINITY, $T::max);
                    e.iter_mut().zip(x).for_each(|(e, x)| *e = (x - m).exp());
                    let ln_sum = pairwise(&e).ln();
                    y.extend(x.iter().map(|x| (x - m) - ln_sum));
                }
            })
        }};
    }
    let data = match x.data() {
        Data::F32(v) => run!(f32, v),
        Data::F64(v) => run!(f64, v),
        _ => return None,
    };
    Some(Array::with_shape(x.shape(), data))
}

/// √Σx² over all elements.
pub(crate) fn norm(x: &Array) -> Option<Array> {
    /// Above 2^`large` and below 2^−`large` the elements are multiplied by 2^∓`by`, which is exact and
    /// keeps the squares of the subnormal numbers and of the largest ones far inside the range.
    macro_rules! run {
        ($T:ident, $v:expr, large: $large:literal, by: $by:literal) => {{
            let largest = $v.iter().fold(0.0, |m: $T, x| m.max(x.abs()));
            let (large, by) = ($T::powi(2.0, $large), $T::powi(2.0, $by));
            let scale = match largest {
                m if m > large => 1.0 / by,
                m if m < 1.0 / large => by,
                _ => 1.0,
            };
            let squares: Vec<$T> = $v.iter().map(|x| (x * scale) * (x * scale)).collect();
            Array::scalar(pairwise(&squares).sqrt() / scale)
        }};
    }
    match x.data() {
        Data::F32(v) => Some(run!(f32, v, large: 40, by: 90)),
        Data::F64(v) => Some(run!(f64, v, large: 400, by: 700)),
        _ => None,
    }
}

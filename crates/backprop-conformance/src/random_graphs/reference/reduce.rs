//! Reductions. A sum of n terms in any order is within n·u·Σ|x| (Higham 2002, §4.2).

use backprop_core::ops::Axes;
use backprop_core::{DType, Sizes, Type};

use super::super::double::Double;
use super::super::functions as f;
use super::super::real::{Format, Real, Relation};
use super::super::ulps::{Promise, ROUNDED};
use super::values::{Elements, Values, Whole, element, place, wrapped};

/// For each element of the result, the elements of x that belong to it, in order.
fn groups(x: &Values, axes: Axes) -> Vec<Vec<usize>> {
    let kept: Vec<usize> = (0..x.sizes.len()).filter(|&axis| !axes.contains(axis)).collect();
    let sizes: Sizes = kept.iter().map(|&axis| x.sizes[axis]).collect();
    let mut groups = vec![Vec::new(); sizes.iter().product()];
    for i in 0..x.n_elements() {
        let at = place(&x.sizes, i);
        let own: Sizes = kept.iter().map(|&axis| at[axis]).collect();
        groups[element(&sizes, &own)].push(i);
    }
    groups
}

/// Σ of terms, in any order.
pub fn sum_of(terms: &[Real], format: Format) -> Real {
    if terms.iter().any(|x| x.is_left_out()) {
        return Real::LEFT_OUT;
    }
    // Adding an exact 0 changes nothing.
    let mut terms = terms.iter().copied().filter(|x| !x.is(0.0));
    let Some(first) = terms.next() else { return Real::ZERO };
    let (mut n, mut total, mut spread, mut size) = (1usize, first.x, first.bound, finite_size(first));
    let is_whole = |x: Real| x.is_exact() && x.x.hi == x.x.hi.trunc();
    let mut are_whole = is_whole(first);
    for x in terms {
        (n, total, spread, size) = (n + 1, total + x.x, spread + x.bound, size + finite_size(x));
        are_whole &= is_whole(x);
    }
    if n == 1 {
        return first;
    }
    let is_certain = total.is_nan() || are_whole && size * format.u <= 0.5;
    summed(total, if is_certain { 0.0 } else { spread + n as f64 * format.rounding(size) }, size, format)
}

/// |x| at most; of an infinity, nothing.
fn finite_size(x: Real) -> f64 {
    if x.x.is_finite() { x.size() } else { 0.0 }
}

/// A sum whose finite terms come to `size` in absolute value: where that is beyond the format, a partial sum
/// may be infinite, of either sign.
pub fn summed(total: Double, spread: f64, size: f64, format: Format) -> Real {
    match () {
        () if size >= format.max => Real::LEFT_OUT,
        () if total.is_nan() || spread == 0.0 => Real::exact(total),
        () => format.real(total, spread, 0.0),
    }
}

/// Σ x over the axes
pub fn sum(x: &Values, axes: Axes, ty: Type) -> Values {
    over(x, axes, ty, sum_of, |x| x.iter().fold(0i64, |sum, &x| sum.wrapping_add(x)))
}

/// max x over the axes
pub fn max(x: &Values, axes: Axes, ty: Type) -> Values {
    let largest = |x: &[i64]| x.iter().copied().max().expect("the type rule refuses an empty axis");
    over(x, axes, ty, |x, _| Real::extreme(x, true), largest)
}

fn over(
    x: &Values,
    axes: Axes,
    ty: Type,
    real: impl Fn(&[Real], Format) -> Real,
    whole: impl Fn(&[i64]) -> i64,
) -> Values {
    let groups = groups(x, axes);
    match &x.elements {
        Elements::Reals(reals) => {
            let format = Format::of(x.dtype);
            let each =
                |group: &Vec<usize>| real(&group.iter().map(|&i| reals[i]).collect::<Vec<_>>(), format);
            Values::reals(ty, groups.iter().map(each).collect())
        }
        Elements::Wholes(wholes) => {
            let each = |group: &Vec<usize>| -> Whole {
                let group: Option<Vec<i64>> = group.iter().map(|&i| wholes[i]).collect();
                Some(wrapped(x.dtype, whole(&group?)))
            };
            Values::wholes(ty, groups.iter().map(each).collect())
        }
    }
}

/// Whether any x holds over the axes
pub fn any(x: &Values, axes: Axes, ty: Type) -> Values {
    let truths = x.as_wholes();
    let each = |group: &Vec<usize>| match group {
        group if group.iter().any(|&i| truths[i] == Some(1)) => Some(1),
        group if group.iter().any(|&i| truths[i].is_none()) => None,
        _ => Some(0),
    };
    Values::wholes(ty, groups(x, axes).iter().map(each).collect())
}

/// m = max x, ln Σ e^(x−m), and how far engines may be from m + that and from x − m − that.
struct Exponentials {
    m: Double,
    log: Double,
    /// Σ wᵢ·eᵢ with the softmax w: what the operands' bounds come to.
    spread: f64,
    /// What the roundings inside come to.
    inside: f64,
}

impl Exponentials {
    /// With eᵢ = e^(xᵢ−m)(1 + δ): δ holds the rounding of xᵢ − m, which is a factor, and that of e; the sum
    /// n roundings more, all relative, so that its logarithm is off by their weighted mean; then its own.
    fn new(x: &[Real], format: Format, promise: Promise, infinite: Double) -> Exponentials {
        let largest = x
            .iter()
            .map(|x| x.x)
            .fold(Double::from(f64::NEG_INFINITY), |m, x| if m.is_below(x) { x } else { m });
        let m = if largest.is_finite() { largest } else { infinite };
        let e: Vec<Double> = x.iter().map(|x| f::exp(x.x - m)).collect();
        let total = e.iter().fold(Double::ZERO, |sum, &e| sum + e);
        let log = f::log(total);
        let weights = e.iter().map(|e| (e.hi / total.hi).abs());
        let (mut spread, mut inside) = (0.0, 0.0);
        for (weight, x) in weights.zip(x) {
            spread += weight * x.bound;
            inside += weight * format.u * (x.x - m).hi.abs();
        }
        let ulps = promise.exponential(format.dtype);
        inside += (x.len() as f64 + 2.0 * ulps) * format.u + 2.0 * ulps * format.rounding(log.hi.abs());
        Exponentials { m, log, spread, inside }
    }
}

/// ln Σ eˣ over the axes
pub fn logsumexp(x: &Values, axes: Axes, ty: Type, promise: Promise) -> Values {
    let each = |x: &[Real], format: Format| {
        if x.iter().any(|x| x.is_left_out()) {
            return Real::LEFT_OUT;
        }
        let all = Exponentials::new(x, format, promise, Double::ZERO);
        format.real(all.m + all.log, all.spread + all.inside, ROUNDED)
    };
    over(x, axes, ty, each, |_| unreachable!("the type rule wants floats"))
}

/// x − ln Σ eˣ over the axes
pub fn log_softmax(x: &Values, axes: Axes, promise: Promise) -> Values {
    let (reals, format) = (x.as_reals(), Format::of(x.dtype));
    let mut y = vec![Real::ZERO; x.n_elements()];
    for group in groups(x, axes) {
        let own: Vec<Real> = group.iter().map(|&i| reals[i]).collect();
        if own.iter().any(|x| x.is_left_out()) {
            group.iter().for_each(|&i| y[i] = Real::LEFT_OUT);
            continue;
        }
        let largest = own.iter().map(|x| x.x.hi).fold(f64::NEG_INFINITY, f64::max);
        let all = Exponentials::new(&own, format, promise, Double::from(largest));
        for &i in &group {
            let from_m = reals[i].x - all.m;
            let spread = reals[i].bound + all.spread + all.inside + format.rounding(from_m.hi.abs());
            y[i] = format.real(from_m - all.log, spread, ROUNDED);
        }
    }
    Values::reals(x.ty(), y)
}

/// √Σx²: no more than ‖e‖ from what the operands' bounds make of it; half of the n roundings of the
/// squares and their sum, and four for the scaling, the root and the scaling back.
pub fn norm(x: &Values, ty: Type) -> Values {
    let (reals, format) = (x.as_reals(), Format::of(x.dtype));
    if reals.iter().any(|x| x.is_left_out()) {
        return Values::left_out(ty);
    }
    // By a power of two into the middle of the range: squares neither overflow nor vanish.
    let largest = reals.iter().map(|x| x.x.hi.abs()).fold(0.0, f64::max);
    let k = if largest > 0.0 && largest.is_finite() { largest.log2() as i32 } else { 0 };
    let y = reals.iter().fold(Double::ZERO, |sum, x| sum + x.x.scaled(-k).square()).sqrt().scaled(k);
    let spread = reals.iter().map(|x| x.bound * x.bound).sum::<f64>().sqrt();
    let roundings = reals.len() as f64 / 2.0 + 4.0;
    Values::reals(
        ty,
        vec![if y.hi == 0.0 && spread == 0.0 { Real::ZERO } else { format.real(y, spread, roundings / 2.0) }],
    )
}

/// The largest elements along an axis, and the first index of each.
pub fn max_with_index(x: &Values, axis: usize, ty: Type) -> (Values, Values) {
    let axes = Axes::new(&[axis]);
    let each = |group: &Vec<usize>| -> Whole {
        match &x.elements {
            Elements::Reals(reals) => first_largest(&group.iter().map(|&i| reals[i]).collect::<Vec<_>>()),
            Elements::Wholes(wholes) => {
                let group: Option<Vec<i64>> = group.iter().map(|&i| wholes[i]).collect();
                let group = group?;
                let largest = group.iter().max()?;
                group.iter().position(|x| x == largest).map(|at| at as i64)
            }
        }
    };
    let places = groups(x, axes).iter().map(each).collect();
    (max(x, axes, Type { dtype: x.dtype, ..ty }), Values::wholes(Type { dtype: DType::I64, ..ty }, places))
}

fn first_largest(x: &[Real]) -> Whole {
    if x.iter().any(|x| x.is_left_out()) {
        return None;
    }
    if let Some(at) = x.iter().position(|x| x.x.is_nan()) {
        return Some(at as i64);
    }
    let mut best = 0;
    for (i, own) in x.iter().enumerate() {
        if x[best].x.is_below(own.x) {
            best = i;
        }
    }
    let relations: Vec<Relation> = x.iter().map(|own| x[best].relation(*own)).collect();
    // Equal ones stand first or not, but nobody knows which of two that nearly tie is larger.
    let is_equal = |r: &Relation| *r == Relation::Ordered(std::cmp::Ordering::Equal);
    let is_known = relations.iter().enumerate().all(|(i, r)| i == best || *r != Relation::Unknown);
    let first = relations.iter().enumerate().position(|(i, r)| i == best || is_equal(r));
    first.filter(|_| is_known).map(|at| at as i64)
}

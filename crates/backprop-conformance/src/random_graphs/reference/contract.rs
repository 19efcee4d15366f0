//! Contractions: Σ a·b of n products, in any order and with or without fused multiply-add, is within
//! n·u·Σ|a||b| (Higham 2002, §3.1).

use backprop_core::ops::Contract;
use backprop_core::{Sizes, Type};

use super::super::double::Double;
use super::super::real::{Format, Real};
use super::pointwise::{is_unknown_product, product, product_spread};
use super::reduce::summed;
use super::values::{Elements, Values, element, place, wrapped};

/// Σ of a·b over the paired axes
pub fn contract(op: &Contract, a: &Values, b: &Values, ty: Type) -> Values {
    let sizes = ty.shape.sizes().expect("every size has a number");
    let (a_free, b_free) = (op.lhs_free(a.sizes.len()), op.rhs_free(b.sizes.len()));
    let inner: Sizes = op.lhs_contract.iter().map(|axis| a.sizes[axis]).collect();
    let n_inner: usize = inner.iter().product();
    let n_batch = op.lhs_batch.len();
    // The places in a and b of the product number k of an element of the result.
    let factors = |i: usize, k: usize| {
        let (out, summed) = (place(sizes, i), place(&inner, k));
        let (mut at_a, mut at_b) = (Sizes::from_elem(0, a.sizes.len()), Sizes::from_elem(0, b.sizes.len()));
        for (position, (i, j)) in op.lhs_batch.iter().zip(op.rhs_batch.iter()).enumerate() {
            (at_a[i], at_b[j]) = (out[position], out[position]);
        }
        for (position, (i, j)) in op.lhs_contract.iter().zip(op.rhs_contract.iter()).enumerate() {
            (at_a[i], at_b[j]) = (summed[position], summed[position]);
        }
        a_free.iter().enumerate().for_each(|(position, &axis)| at_a[axis] = out[n_batch + position]);
        let from = n_batch + a_free.len();
        b_free.iter().enumerate().for_each(|(position, &axis)| at_b[axis] = out[from + position]);
        (element(&a.sizes, &at_a), element(&b.sizes, &at_b))
    };
    let n: usize = sizes.iter().product();
    match (&a.elements, &b.elements) {
        (Elements::Reals(x), Elements::Reals(y)) => {
            let format = Format::of(a.dtype);
            let pairs =
                |i: usize| (0..n_inner).map(move |k| factors(i, k)).map(|(at_a, at_b)| (x[at_a], y[at_b]));
            Values::reals(ty, (0..n).map(|i| sum_of_products(pairs(i), format)).collect())
        }
        _ => {
            let (x, y) = (a.as_wholes(), b.as_wholes());
            let dot = |i: usize| {
                (0..n_inner).map(|k| factors(i, k)).try_fold(0i64, |sum, (at_a, at_b)| {
                    Some(sum.wrapping_add(x[at_a]?.wrapping_mul(y[at_b]?)))
                })
            };
            Values::wholes(ty, (0..n).map(|i| dot(i).map(|sum| wrapped(a.dtype, sum))).collect())
        }
    }
}

fn sum_of_products(pairs: impl Iterator<Item = (Real, Real)>, format: Format) -> Real {
    let (mut n, mut total, mut spread, mut size) = (0usize, Double::ZERO, 0.0, 0.0);
    let mut last = Real::ZERO;
    let mut are_whole = true;
    for (a, b) in pairs {
        if is_unknown_product(a, b) {
            return Real::LEFT_OUT;
        }
        let term = a.x * b.x;
        // A product with an exact 0 adds nothing.
        if (a.is(0.0) || b.is(0.0)) && term.is_finite() {
            continue;
        }
        (n, last, total) = (n + 1, product(a, b, format), total + term);
        if a.x.is_finite() && b.x.is_finite() {
            spread += product_spread(a, b);
            size += a.size() * b.size();
        }
        are_whole &= a.is_exact() && b.is_exact() && [a, b].iter().all(|x| x.x.hi == x.x.hi.trunc());
    }
    match n {
        0 => Real::ZERO,
        1 => last,
        _ if are_whole && size * format.u <= 0.5 => summed(total, 0.0, size, format),
        _ => summed(total, spread + n as f64 * format.rounding(size), size, format),
    }
}

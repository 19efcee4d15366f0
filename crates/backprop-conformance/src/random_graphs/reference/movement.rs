//! Ops that move elements: exact, so a copy keeps its element's token.

use backprop_core::ops::{Concat, Gather, OneHot, Pad, ScatterAdd, Slice, Transpose};
use backprop_core::{Sizes, Type};

use super::super::real::{Format, Real};
use super::reduce::sum_of;
use super::values::{Elements, Source, Values, Whole, element, place, wrapped};

fn sizes_of(ty: Type) -> &'static [usize] {
    ty.shape.sizes().expect("every size has a number")
}

/// Moved so that the place of an element in the result says its place in x.
fn moved(x: &Values, ty: Type, from: impl Fn(&[usize]) -> Sizes) -> Values {
    x.pick(ty, |i| Source::Element(element(&x.sizes, &from(&place(sizes_of(ty), i)))))
}

/// The same elements under another shape
pub fn reshape(x: &Values, ty: Type) -> Values {
    x.pick(ty, Source::Element)
}

/// Axis i of the result is axis perm[i] of x
pub fn transpose(op: &Transpose, x: &Values, ty: Type) -> Values {
    moved(x, ty, |at| {
        let mut from = Sizes::from_elem(0, at.len());
        op.perm.iter().enumerate().for_each(|(to, axis)| from[axis] = at[to]);
        from
    })
}

/// x repeated along new axes and axes of size 1
pub fn broadcast(x: &Values, ty: Type) -> Values {
    moved(x, ty, |at| {
        let own = &at[at.len() - x.sizes.len()..];
        own.iter().zip(&x.sizes).map(|(&at, &size)| if size == 1 { 0 } else { at }).collect()
    })
}

/// x[start + i·step]
pub fn slice(op: &Slice, x: &Values, ty: Type) -> Values {
    let [start, step] = [&op.start, &op.step].map(|dims| dims.sizes().expect("every size has a number"));
    moved(x, ty, |at| {
        at.iter().zip(start.iter().zip(&step)).map(|(i, (start, step))| start + i * step).collect()
    })
}

/// x between zeros
pub fn pad(op: &Pad, x: &Values, ty: Type) -> Values {
    let [low, gap] = [&op.low, &op.interior].map(|dims| dims.sizes().expect("every size has a number"));
    x.pick(ty, |i| {
        let at = place(sizes_of(ty), i);
        let own = |axis: usize| {
            let (steps, rest) = (
                at[axis].checked_sub(low[axis])? / (gap[axis] + 1),
                (at[axis] - low[axis]) % (gap[axis] + 1),
            );
            (rest == 0 && steps < x.sizes[axis]).then_some(steps)
        };
        let own: Option<Sizes> = (0..at.len()).map(own).collect();
        own.map_or(Source::Zero, |own| Source::Element(element(&x.sizes, &own)))
    })
}

/// x₀, x₁, ... along an axis
pub fn concat(op: &Concat, x: &[&Values], ty: Type) -> Values {
    let of = |i: usize| {
        let mut at = place(sizes_of(ty), i);
        let mut part = 0;
        while at[op.axis] >= x[part].sizes[op.axis] {
            at[op.axis] -= x[part].sizes[op.axis];
            part += 1;
        }
        (part, element(&x[part].sizes, &at))
    };
    let n = ty.shape.n_elements().expect("every size has a number");
    match &x[0].elements {
        Elements::Reals(_) => {
            let pick = |(part, at): (usize, usize)| x[part].as_reals()[at];
            Values::reals(ty, (0..n).map(of).map(pick).collect())
        }
        Elements::Wholes(_) => {
            let pick = |(part, at): (usize, usize)| x[part].as_wholes()[at];
            Values::wholes(ty, (0..n).map(of).map(pick).collect())
        }
    }
}

/// Refuses an index that is out of range.
fn check(indices: &Values, size: usize) -> Result<(), String> {
    match indices.as_wholes().iter().flatten().find(|&&index| index < 0 || index as usize >= size) {
        None => Ok(()),
        Some(index) => Err(format!("index {index} is out of range 0..{size}")),
    }
}

/// x[.., indices, ..]
pub fn gather(op: &Gather, x: &Values, indices: &Values, ty: Type) -> Result<Values, String> {
    check(indices, x.sizes[op.axis])?;
    let rank = indices.sizes.len();
    Ok(x.pick(ty, |i| {
        let at = place(sizes_of(ty), i);
        let (before, rest) = at.split_at(op.axis);
        let (which, after) = rest.split_at(rank);
        match indices.as_wholes()[element(&indices.sizes, which)] {
            None => Source::Unknown,
            Some(index) => {
                let own: Sizes =
                    before.iter().copied().chain([index as usize]).chain(after.iter().copied()).collect();
                Source::Element(element(&x.sizes, &own))
            }
        }
    }))
}

/// x with updates added at indices
pub fn scatter_add(
    op: &ScatterAdd,
    x: &Values,
    indices: &Values,
    updates: &Values,
) -> Result<Values, String> {
    check(indices, x.sizes[op.axis])?;
    let rank = indices.sizes.len();
    // For each element of x, the updates that land there; one of an unknown index may land in a whole lane.
    let mut landing: Vec<Vec<usize>> = vec![Vec::new(); x.n_elements()];
    let mut is_unknown = vec![false; x.n_elements()];
    for i in 0..updates.n_elements() {
        let at = place(&updates.sizes, i);
        let (before, rest) = at.split_at(op.axis);
        let (which, after) = rest.split_at(rank);
        let own = |index: usize| -> usize {
            let at: Sizes = before.iter().copied().chain([index]).chain(after.iter().copied()).collect();
            element(&x.sizes, &at)
        };
        match indices.as_wholes()[element(&indices.sizes, which)] {
            Some(index) => landing[own(index as usize)].push(i),
            None => (0..x.sizes[op.axis]).for_each(|index| is_unknown[own(index)] = true),
        }
    }
    let n = x.n_elements();
    Ok(match (&x.elements, &updates.elements) {
        (Elements::Reals(x_reals), Elements::Reals(added)) => {
            let format = Format::of(x.dtype);
            let each = |i: usize| match is_unknown[i] {
                true => Real::LEFT_OUT,
                false => {
                    let terms: Vec<Real> =
                        std::iter::once(x_reals[i]).chain(landing[i].iter().map(|&at| added[at])).collect();
                    sum_of(&terms, format)
                }
            };
            Values::reals(x.ty(), (0..n).map(each).collect())
        }
        _ => {
            let (x_wholes, added) = (x.as_wholes(), updates.as_wholes());
            let each = |i: usize| -> Whole {
                let own = x_wholes[i].filter(|_| !is_unknown[i])?;
                let sum = landing[i].iter().try_fold(own, |sum, &at| Some(sum.wrapping_add(added[at]?)));
                Some(wrapped(x.dtype, sum?))
            };
            Values::wholes(x.ty(), (0..n).map(each).collect())
        }
    })
}

/// 1 where k = index, else 0
pub fn one_hot(op: &OneHot, indices: &Values, ty: Type) -> Result<Values, String> {
    let depth = sizes_of(ty)[indices.sizes.len()];
    check(indices, depth)?;
    let n = indices.n_elements() * depth;
    let hot = |i: usize| indices.as_wholes()[i / depth].map(|index| i64::from(index as usize == i % depth));
    Ok(match op.dtype.is_float() {
        true => {
            let real = |i| hot(i).map_or(Real::LEFT_OUT, |hot| Real::exact(hot as f64));
            Values::reals(ty, (0..n).map(real).collect())
        }
        false => Values::wholes(ty, (0..n).map(hot).collect()),
    })
}

//! The where-case: a branch that is not taken contributes an exact zero (DESIGN.md, law 3).

use backprop_ad::{grad, jacobian, vjp};
use backprop_core::ops::Family;
use backprop_core::{Array, Op, Tensor};
use backprop_run::Tape;

use crate::checks::{floats, is_float, on_tape, read};
use crate::compare::{F64_SUM, distance};
use crate::rows::{Row, Sample};
use backprop_core::ops::sample::wave;

/// What an op does with the mask of a cotangent.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mask {
    /// Pointwise and linear ops hand it on.
    Kept,
    /// What takes the largest makes its own: an element that does not win gets an exact zero.
    Own,
    /// Contractions and other general ops drop it, and may give NaN.
    Dropped,
}

impl Mask {
    pub fn of(row: &Row) -> Mask {
        match &row.op {
            Some(Op::Max(_) | Op::MaxWithIndex(_)) => Mask::Own,
            Some(op) if matches!(op.family(), Family::Pointwise(_) | Family::Linear(_)) => Mask::Kept,
            _ => Mask::Dropped,
        }
    }
}

/// z = Σ w·select(c, f(√x), 0) where one element of x is 0, and c holds where f does not depend on it.
/// Its derivatives there are 0 at orders 1 and 2, although √x has an infinite slope; elsewhere they are
/// what they are without the mask. Where masks are dropped, NaN will do, a wrong number will not.
pub(crate) fn masks(sample: &Sample, mask: Mask) -> Result<usize, String> {
    let mut n = 0;
    for slot in (0..sample.inputs.len()).filter(|&slot| sample.inputs[slot].dtype().is_float()) {
        let len = sample.inputs[slot].len();
        for bad in [0, len / 2].into_iter().filter(|&bad| bad < len) {
            masked_at(sample, slot, bad, mask)?;
            n += 1;
        }
    }
    Ok(n + joined(sample)?)
}

/// Two paths with different masks, and one with a mask beside one without, give the sum of both.
fn joined(sample: &Sample) -> Result<usize, String> {
    let tape = Tape::new();
    let (x, y) = on_tape(&tape, &sample.f, &sample.inputs);
    let (x, y) = (floats(&x), floats(&y));
    let mut sums = [Vec::new(), Vec::new()];
    let mut seeds = [Vec::new(), Vec::new()];
    for (&y, array) in y.iter().zip(read(&y)?) {
        let even = (0..array.len()).map(|i| i % 2 == 0).collect::<Vec<bool>>();
        let even = tape.value(Array::new(array.sizes(), even).map_err(|e| e.to_string())?);
        let w = tape.value(wave(array.sizes(), 6));
        let taken = |c: Tensor| (c.select(y, 0.0) * w).sum(());
        sums[0].push(taken(even) + taken(even.not()));
        sums[1].push(taken(even) + (y * w).sum(()));
        seeds[0].push((y, w));
        seeds[1].push((y, even.select(w, 0.0) + w));
    }
    for (sums, seeds) in sums.into_iter().zip(seeds) {
        let Some(z) = sums.into_iter().reduce(|a, b| a + b) else { return Ok(0) };
        let found = read(vjp(&[(z, z.ones_like())], &x).gradients())?;
        let expect = read(vjp(&seeds, &x).gradients())?;
        if !found.iter().zip(&expect).all(|(found, expect)| distance(found, expect) <= F64_SUM) {
            return Err(format!("two paths: {found:?} is not {expect:?}"));
        }
    }
    Ok(2)
}

fn masked_at(sample: &Sample, slot: usize, bad: usize, mask: Mask) -> Result<(), String> {
    let mut u = sample.inputs.clone();
    let mut values = u[slot].to_f64s();
    values[bad] = 0.0;
    u[slot] = Array::new(u[slot].sizes(), values).expect("as many elements");
    let float_slot = u[..slot].iter().filter(|x| x.dtype().is_float()).count();
    // Where does f depend on the element? Asked at the point itself and where it is smooth.
    let mut depends: Vec<Vec<bool>> = Vec::new();
    for inputs in [&sample.inputs, &u] {
        let tape = Tape::new();
        let (x, y) = on_tape(&tape, &sample.f, inputs);
        let y = floats(&y);
        for (idx, block) in jacobian(&y, &floats(&x)).iter().enumerate() {
            let j = read(&block[float_slot..=float_slot])?.remove(0).to_f64s();
            let own: Vec<bool> = j.chunks(u[slot].len()).map(|row| row[bad] != 0.0).collect();
            match depends.get_mut(idx) {
                None => depends.push(own),
                Some(before) => before.iter_mut().zip(own).for_each(|(a, b)| *a |= b),
            }
        }
    }
    let depends_nowhere = depends.iter().flatten().all(|depends| !depends);
    let strict = mask == Mask::Kept || mask == Mask::Own && depends_nowhere;
    let tape = Tape::new();
    let x: Vec<Tensor> = (u.iter())
        .map(|u| match u.dtype().is_float() {
            true => tape
                .value(Array::new(u.sizes(), u.to_f64s().iter().map(|u| u * u).collect()).expect("as many")),
            false => tape.value(u.clone()),
        })
        .collect();
    let roots: Vec<Tensor> = x.iter().map(|x| if is_float(x) { x.sqrt() } else { *x }).collect();
    let y = floats(&(sample.f)(tape.id(), &roots));
    let arrays = read(&y)?;
    let mut terms = Vec::new();
    let mut seeds = Vec::new();
    for ((&y, array), depends) in y.iter().zip(&arrays).zip(&depends) {
        let holds = Array::new(array.sizes(), depends.iter().map(|depends| !depends).collect::<Vec<bool>>());
        let (c, w) = (tape.value(holds.map_err(|e| e.to_string())?), tape.value(wave(array.sizes(), 5)));
        terms.push((c.select(y, 0.0) * w).sum(()));
        seeds.push((y, c.select(w, 0.0)));
    }
    let Some(z) = terms.into_iter().reduce(|a, b| a + b) else { return Ok(()) };
    let target = x[slot];
    let [first] = grad(z, [target]);
    let [second] = grad(first.sum(()), [target]);
    let unmasked = read(&vjp(&seeds, &[target]).gradients()[..1])?.remove(0).to_f64s();
    for (order, d) in [first, second].iter().enumerate() {
        let found = read(&[*d])?.remove(0).to_f64s();
        let at_bad = found[bad];
        if !(at_bad == 0.0 || !strict && at_bad.is_nan()) {
            return Err(format!(
                "order {}: {at_bad:?} in operand {slot} at the masked element {bad}",
                order + 1
            ));
        }
        for (at, (&found, &want)) in found.iter().zip(&unmasked).enumerate().filter(|(at, _)| *at != bad) {
            let is_right =
                order == 1 || !want.is_finite() || (found - want).abs() <= F64_SUM * want.abs().max(1.0);
            if !(found.is_finite() && is_right || !strict && found.is_nan()) {
                return Err(format!(
                    "order {}: {found:?} in operand {slot} at {at}, without mask {want:?}",
                    order + 1
                ));
            }
        }
    }
    Ok(())
}

//! How good a network is: predictions, loss, accuracy.

use std::panic::Location;

use backprop_core::graph::context::in_module;
use backprop_core::{Array, Error, Fault, Tensor};
use backprop_nn::{Layer, Params};
use backprop_run::Tape;

use crate::batches::rows;
use crate::loss::Loss;

/// Examples that are predicted at once: enough for full speed, little enough to stay in the caches.
const BATCH: usize = 256;

/// What a network makes of examples that it is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// The mean loss.
    pub loss: f64,
    /// The part of the examples whose largest output is at the label, 0 to 1; NaN where the targets
    /// are no class numbers.
    pub accuracy: f64,
}

/// The outputs of the network for `x` `[n, ..]`, in prediction mode: `[n, ..]`.
///
/// # Errors
/// Every fault of the forward pass.
#[track_caller]
pub fn predict(net: &dyn Layer, params: &Params, x: &Array) -> Result<Array, Error> {
    let parts = batched(net, params, x, Location::caller(), |_, _, output| output.value())?;
    join(parts, x)
}

/// Cross-entropy and accuracy for `x` `[n, ..]` with the labels `y` i64 `[n]`, in prediction mode.
///
/// # Errors
/// Every fault of the forward pass; a label out of range; no example; not one label per example.
#[track_caller]
pub fn evaluate(net: &dyn Layer, params: &Params, x: &Array, y: &Array) -> Result<Evaluation, Error> {
    evaluate_by(&Loss::cross_entropy(), net, params, x, y)
}

/// As [`evaluate`], with another loss, a mean over the examples, and any targets `y` `[n, ..]`.
///
/// # Errors
/// As for [`evaluate`]; every fault of the loss.
#[track_caller]
pub fn evaluate_by(
    loss: &Loss,
    net: &dyn Layer,
    params: &Params,
    x: &Array,
    y: &Array,
) -> Result<Evaluation, Error> {
    let n = x.sizes().first().copied().unwrap_or(0);
    if n == 0 || y.sizes().first() != Some(&n) {
        let rule = format!("needs examples and one target for each, not {:?} and {:?}", x.sizes(), y.sizes());
        return Err(Fault::new("evaluate", rule).into());
    }
    let at = Location::caller();
    let parts = batched(net, params, x, at, |tape, chosen, output| {
        let targets = rows(y, chosen);
        let target = in_module(output.context(), &"".into(), at, || tape.value(targets.clone()));
        let loss = loss.of(output, target).item()?;
        Ok((loss * chosen.len() as f64, n_right(&output.value()?, &targets)))
    })?;
    let loss = parts.iter().map(|part| part.0).sum::<f64>();
    let right = parts.iter().map(|part| part.1).sum::<usize>();
    let accuracy = if is_classes(y) { right as f64 / n as f64 } else { f64::NAN };
    Ok(Evaluation { loss: loss / n as f64, accuracy })
}

/// Runs the network over `x` batch by batch, each in a scope of its own, without recording.
fn batched<T>(
    net: &dyn Layer,
    params: &Params,
    x: &Array,
    at: &'static Location<'static>,
    each: impl Fn(&Tape, &[usize], Tensor) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let n = x.sizes().first().copied().unwrap_or(0);
    let tape = Tape::new();
    let all: Vec<usize> = (0..n).collect();
    let run = |chosen: &[usize]| {
        tape.scope(|t| {
            t.no_grad(|| {
                let (p, x) =
                    in_module(t.id(), &"".into(), at, || (params.bind(t).eval(), t.value(rows(x, chosen))));
                each(t, chosen, net.forward(&p, x))
            })
        })
    };
    all.chunks(BATCH).map(run).collect()
}

fn join(parts: Vec<Array>, x: &Array) -> Result<Array, Error> {
    let Some(first) = parts.first() else {
        return Err(Fault::new("predict", format!("there is no example in {:?}", x.sizes())).into());
    };
    if parts.len() == 1 {
        return Ok(first.clone());
    }
    let tape = Tape::new();
    let tensors: Vec<Tensor> = parts.iter().map(|part| tape.value(part.clone())).collect();
    backprop_core::concat(&tensors, 0).value()
}

/// The part of the rows of `logits` `[n, classes]` whose largest element is at the label in `y` `[n]`.
pub fn accuracy(logits: &Array, y: &Array) -> f64 {
    n_right(logits, y) as f64 / y.len().max(1) as f64
}

/// Counts by label (rows) and prediction (columns): i64 [classes, classes]. Labels out of range
/// are left out.
pub fn confusion(logits: &Array, y: &Array, classes: usize) -> Array {
    let mut counts = vec![0i64; classes * classes];
    for (label, chosen) in y.to_i64s().into_iter().zip(largest(logits)) {
        if let Ok(label) = usize::try_from(label)
            && label < classes
            && chosen < classes
        {
            counts[label * classes + chosen] += 1;
        }
    }
    Array::new([classes, classes], counts).expect("as many counts as pairs of classes")
}

/// Whether targets are class numbers: integers, one for each example.
pub(crate) fn is_classes(y: &Array) -> bool {
    y.rank() == 1 && y.dtype().is_int()
}

/// How many rows have their largest output at the label; 0 where the targets are no class numbers.
pub(crate) fn n_right(logits: &Array, y: &Array) -> usize {
    if !is_classes(y) {
        return 0;
    }
    y.to_i64s().into_iter().zip(largest(logits)).filter(|&(label, chosen)| label == chosen as i64).count()
}

/// The position of the largest element of each row; the first of equals.
fn largest(logits: &Array) -> Vec<usize> {
    let width = logits.sizes().last().copied().unwrap_or(1).max(1);
    let values = logits.to_f64s();
    let largest =
        |row: &[f64]| (0..row.len()).fold(0, |best, at| if row[at] > row[best] { at } else { best });
    values.chunks(width).map(largest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracy_counts_the_largest_logits() {
        let logits = Array::from([[0.5f32, 2.0, 1.0], [3.0, -1.0, 2.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        let y = Array::from([1i64, 2, 0, 2]);
        assert_eq!(accuracy(&logits, &y), 0.75);
        assert_eq!(confusion(&logits, &y, 3).to_i64s(), [1, 0, 0, 0, 1, 0, 1, 0, 1]);
    }
}

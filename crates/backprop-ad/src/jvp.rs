//! Forward mode: J·t, pushed through G' first node first; what the families derive for one op.

use backprop_core::graph::context::with_cursor;
use backprop_core::graph::records::ValueId;
use backprop_core::ops::{Family, Op, Pull};
use backprop_core::{Ill, Tensor, emit};

use crate::Engine;
use crate::prune::{Pruned, cut};
use crate::rule::{Cotangent, as_many, fitting, pull_back};
use crate::sweep::{local, vjp};

/// The tangents of the outputs.
pub struct Tangents {
    tangents: Vec<Tensor>,
}

impl Tangents {
    /// The tangents, in the order of the outputs; zeros where an output does not depend on an input.
    pub fn tangents(&self) -> &[Tensor] {
        &self.tangents
    }
}

/// J·t: the directional derivatives of `outputs` for the tangents t of some values. The tangents of a
/// value that is given twice add up.
#[track_caller]
pub fn jvp(outputs: &[Tensor], inputs: &[(Tensor, Tensor)]) -> Tangents {
    let Some(home) = outputs.first().and_then(|output| output.context().get()) else {
        return Tangents { tangents: outputs.iter().map(|output| output.identity()).collect() };
    };
    for &(x, t) in inputs {
        let misfit = x.ty().zip(t.ty()).is_some_and(|(x, t)| x != t);
        if misfit || local(&home, x).is_none() {
            let rule = match misfit {
                true => format!("the tangent must have the type of the input: {t:?} for {x:?}"),
                false => format!("an input: {}", x.context().stray()),
            };
            let ill = outputs[0].ill("jvp", Ill::new(rule));
            return Tangents { tangents: vec![ill; outputs.len()] };
        }
    }
    let known: Vec<(ValueId, Tensor)> =
        inputs.iter().filter_map(|&(x, t)| Some((local(&home, x)?, t))).collect();
    let output_ids: Vec<Option<ValueId>> = outputs.iter().map(|&output| local(&home, output)).collect();
    let known_outputs: Vec<ValueId> = output_ids.iter().flatten().copied().collect();
    let targets: Vec<ValueId> = known.iter().map(|&(x, _)| x).collect();
    let pruned = Pruned::new(&home.records().snapshot(), &known_outputs, &targets);
    let mut table: Vec<Option<Tensor>> = vec![None; pruned.n_values()];
    for &(x, t) in &known {
        if let Some(at) = pruned.index(x) {
            // An input that is given twice moves by both.
            table[at] = Some(match table[at] {
                Some(other) => other + t,
                None => t,
            });
        }
    }
    let get = |table: &[Option<Tensor>], value: ValueId| pruned.index(value).and_then(|at| table[at]);
    for &id in pruned.nodes() {
        let records = home.records().snapshot();
        let node = records.node(id);
        if !node.outputs().any(|output| pruned.contains(output) && get(&table, output).is_none()) {
            continue;
        }
        let tx: Vec<Option<Tensor>> = (0..node.inputs.len())
            .map(|slot| get(&table, node.inputs[slot]).filter(|_| cut(&records, id, slot).is_none()))
            .collect();
        if tx.iter().all(Option::is_none) {
            continue;
        }
        let handle = |value: ValueId| Tensor::new(home.id(), value);
        let x: Vec<Tensor> = node.inputs.iter().map(|&input| handle(input)).collect();
        let y: Vec<Tensor> = node.outputs().map(handle).collect();
        let (op, place, first) = (node.op.clone(), node.place, node.first);
        drop(records);
        let ty =
            with_cursor(home.id(), |cursor| cursor.origin = Some(place), || push_forward(&op, &x, &y, &tx));
        for (idx, tangent) in ty.into_iter().enumerate() {
            if let Some(at) = pruned.index(first + idx as u32)
                && table[at].is_none()
            {
                table[at] = tangent;
            }
        }
    }
    // No closure: what is called in one stands at a line of this crate.
    let mut tangents = Vec::with_capacity(outputs.len());
    for (&output, id) in outputs.iter().zip(&output_ids) {
        let tangent = id.and_then(|id| get(&table, id));
        tangents.push(match (tangent, id) {
            (Some(tangent), _) => tangent,
            (None, Some(_)) => output.zeros_like(),
            (None, None) => {
                outputs[0].ill("jvp", Ill::new(format!("an output: {}", output.context().stray())))
            }
        });
    }
    Tangents { tangents }
}

/// The tangents of the outputs of one op, from those of its operands.
fn push_forward(op: &Op, x: &[Tensor], y: &[Tensor], tx: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
    let sum = |terms: &mut dyn Iterator<Item = Tensor>| terms.reduce(|a, b| a + b);
    match op.family() {
        Family::None(_) => vec![None; y.len()],
        Family::Pointwise(rule) => {
            let pulled =
                tx.iter().enumerate().filter_map(|(slot, tx)| match rule.pull(slot, (*tx)?, x, y[0]) {
                    Pull::None(_) => None,
                    Pull::Handed(ty) | Pull::Product(ty) | Pull::Masked(ty, _) => Some(ty),
                });
            vec![sum(&mut pulled.collect::<Vec<_>>().into_iter())]
        }
        Family::Linear(rule) => {
            if tx.iter().all(Option::is_none) {
                return vec![None; y.len()];
            }
            let operands: Vec<Tensor> = (x.iter().zip(tx).enumerate())
                .map(|(slot, (&x, &tx))| match rule.is_linear_in(slot) {
                    true => tx.unwrap_or_else(|| x.zeros_like()),
                    false => x,
                })
                .collect();
            emit(op.clone(), &operands).iter().map(Some).collect()
        }
        Family::Bilinear(_) => {
            let left = tx[0].map(|ta| emit(op.clone(), &[ta, x[1]]).one());
            let right = tx[1].map(|tb| emit(op.clone(), &[x[0], tb]).one());
            vec![sum(&mut left.into_iter().chain(right))]
        }
        Family::General(rule) => {
            let ty = rule.jvp(x, y, tx, &Engine).unwrap_or_else(|| transposed_bprop(op, x, y, tx));
            if let Err(ill) = as_many(op, "jvp", ty.len(), y) {
                return vec![Some(ill); y.len()];
            }
            ty.into_iter().zip(y).map(|(ty, &y)| ty.map(|ty| fitting(op, "jvp", y, ty))).collect()
        }
    }
}

/// J·tx for a rule that says only D ↦ Jᵀ·D: that is linear in D, so J·tx = ∂⟨Jᵀ·D, tx⟩/∂D at any D.
fn transposed_bprop(op: &Op, x: &[Tensor], y: &[Tensor], tx: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
    let is_float = |y: &Tensor| y.dtype().is_none_or(|dtype| dtype.is_float());
    let d: Vec<Option<Tensor>> = y.iter().map(|y| is_float(y).then(|| y.zeros_like().identity())).collect();
    let wanted: Vec<bool> = tx.iter().map(Option::is_some).collect();
    let cotangents: Vec<Option<Cotangent>> = d.iter().map(|d| d.map(Cotangent::new)).collect();
    let dx = pull_back(op, x, y, &cotangents, &wanted);
    let seeds: Vec<(Tensor, Tensor)> =
        dx.into_iter().zip(tx).filter_map(|(dx, tx)| Some((dx?.d, (*tx)?))).collect();
    let targets: Vec<Tensor> = d.iter().flatten().copied().collect();
    if seeds.is_empty() || targets.is_empty() {
        return vec![None; y.len()];
    }
    let mut tangents = vjp(&seeds, &targets).gradients().to_vec().into_iter();
    d.iter().map(|d| if d.is_some() { tangents.next() } else { None }).collect()
}

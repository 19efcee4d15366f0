//! Forward mode: J·t, pushed through G' first node first; what the families derive for one op.
//!
//! A tangent carries its mask, as a cotangent does: the tangent of a branch that was not taken is an exact
//! zero, whatever it is multiplied with next.

use backprop_core::graph::context::with_cursor;
use backprop_core::graph::records::ValueId;
use backprop_core::ops::{Family, Op, full};
use backprop_core::{DType, Ill, Tensor, Type, emit};

use crate::Engine;
use crate::prune::{Pruned, cut};
use crate::rule::{Cotangent as Tangent, as_many, fitting, masked_by, pull_back};
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
    let mut table: Vec<Option<Tangent>> = vec![None; pruned.n_values()];
    for &(x, t) in &known {
        if let Some(at) = pruned.index(x) {
            // An input that is given twice moves by both.
            let t = Tangent::new(t);
            table[at] = Some(match table[at] {
                Some(other) => other.join(t),
                None => t,
            });
        }
    }
    let get = |table: &[Option<Tangent>], value: ValueId| pruned.index(value).and_then(|at| table[at]);
    for &id in pruned.nodes() {
        let records = home.records().snapshot();
        let node = records.node(id);
        if !node.outputs().any(|output| pruned.contains(output) && get(&table, output).is_none()) {
            continue;
        }
        let tx: Vec<Option<Tangent>> = (0..node.inputs.len())
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
            (Some(tangent), _) => tangent.d,
            (None, Some(_)) => output.zeros_like(),
            (None, None) => {
                outputs[0].ill("jvp", Ill::new(format!("an output: {}", output.context().stray())))
            }
        });
    }
    Tangents { tangents }
}

/// The tangents of the outputs of one op, from those of its operands.
fn push_forward(op: &Op, x: &[Tensor], y: &[Tensor], tx: &[Option<Tangent>]) -> Vec<Option<Tangent>> {
    match op.family() {
        Family::None(_) => vec![None; y.len()],
        Family::Pointwise(rule) => {
            let mut sum: Option<Tangent> = None;
            for (slot, tx) in tx.iter().enumerate() {
                let Some(Tangent { d, mask }) = *tx else { continue };
                let Some(ty) = masked_by(rule.pull(slot, d, x, y[0]), mask) else { continue };
                sum = Some(sum.map_or(ty, |sum| sum.join(ty)));
            }
            vec![sum]
        }
        Family::Linear(rule) => {
            if tx.iter().all(Option::is_none) {
                return vec![None; y.len()];
            }
            let mut operands = Vec::with_capacity(x.len());
            for (slot, (&x, tx)) in x.iter().zip(tx).enumerate() {
                operands.push(match (rule.is_linear_in(slot), tx) {
                    (false, _) => x,
                    (true, Some(tx)) => tx.d,
                    (true, None) => x.zeros_like(),
                });
            }
            let mask = moved_mask(op, x, tx, &|slot| rule.is_linear_in(slot));
            emit(op.clone(), &operands).iter().map(|d| Some(Tangent { d, mask })).collect()
        }
        Family::Bilinear(_) => {
            let left = tx[0].map(|ta| Tangent::new(emit(op.clone(), &[ta.d, x[1]]).one()));
            let right = tx[1].map(|tb| Tangent::new(emit(op.clone(), &[x[0], tb.d]).one()));
            vec![left.into_iter().chain(right).reduce(Tangent::join)]
        }
        Family::General(rule) => {
            let tx: Vec<Option<Tensor>> = tx.iter().map(|tx| tx.map(|tx| tx.d)).collect();
            let ty = rule.jvp(x, y, &tx, &Engine).unwrap_or_else(|| transposed_bprop(op, x, y, &tx));
            if let Err(ill) = as_many(op, "jvp", ty.len(), y) {
                return vec![Some(Tangent::new(ill)); y.len()];
            }
            ty.into_iter().zip(y).map(|(ty, &y)| Some(Tangent::new(fitting(op, "jvp", y, ty?)))).collect()
        }
    }
}

/// The mask of a linear op's result: the op moves truth values as it moves numbers. `None` where an
/// operand is not masked, and for an op of numbers only.
fn moved_mask(
    op: &Op,
    x: &[Tensor],
    tx: &[Option<Tangent>],
    is_linear_in: &dyn Fn(usize) -> bool,
) -> Option<Tensor> {
    if matches!(op, Op::Custom(_)) || tx.iter().flatten().any(|tx| tx.mask.is_none()) {
        return None;
    }
    let mut operands = Vec::with_capacity(x.len());
    for (slot, (&x, tx)) in x.iter().zip(tx).enumerate() {
        operands.push(match (is_linear_in(slot), tx) {
            (false, _) => x,
            (true, Some(tx)) => tx.mask?,
            // Exact zeros everywhere.
            (true, None) => full(x.context(), Type { dtype: DType::Bool, ..x.ty()? }, 0),
        });
    }
    let types: Vec<Type> = operands.iter().map(|mask| mask.ty()).collect::<Option<_>>()?;
    match (op.infer(&types).ok()?.as_slice(), operands.as_slice()) {
        ([ty], _) if ty.dtype == DType::Bool => Some(emit(op.clone(), &operands).one()),
        // A cast: the elements stay where they are.
        ([ty], &[mask]) if Some(ty.shape) == mask.shape() => Some(mask),
        _ => None,
    }
}

/// J·tx for a rule that says only D ↦ Jᵀ·D: that is linear in D, so J·tx = ∂⟨Jᵀ·D, tx⟩/∂D at any D.
fn transposed_bprop(op: &Op, x: &[Tensor], y: &[Tensor], tx: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
    let is_float = |y: &Tensor| y.dtype().is_none_or(|dtype| dtype.is_float());
    let d: Vec<Option<Tensor>> = y.iter().map(|y| is_float(y).then(|| y.zeros_like().identity())).collect();
    let wanted: Vec<bool> = tx.iter().map(Option::is_some).collect();
    let cotangents: Vec<Option<Tangent>> = d.iter().map(|d| d.map(Tangent::new)).collect();
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

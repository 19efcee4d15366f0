//! Forward mode: J·t, pushed through G' first node first.

use backprop_core::graph::context::with_cursor;
use backprop_core::graph::records::ValueId;
use backprop_core::{Ill, Tensor};

use crate::prune::{Pruned, cut};
use crate::rule::push_forward;
use crate::sweep::local;

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

/// J·t: the directional derivatives of `outputs` for the tangents t of some values.
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
            table[at] = Some(t);
        }
    }
    let get = |table: &[Option<Tensor>], value: ValueId| pruned.index(value).and_then(|at| table[at]);
    for id in pruned.first..pruned.end {
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

//! The formal algorithm as the lecture writes it, recursion and all.
//!
//! `grad` does the same without recursion: this one is as deep as the longest path, and takes small
//! graphs only. Both add the contributions to a gradient in one order, so they give the same bits.

use std::collections::{BTreeMap, BTreeSet};

use backprop_ad::bprop;
use backprop_core::{Error, NodeId, Part, Tensor, ValueId};

use super::scalar::fail;

/// The recursion is as deep as the longest path.
const MAX_VALUES: usize = 1000;

/// What the formal algorithm leaves: 𝒢' and the grad_table.
pub struct Formal {
    /// 𝒢': the values that are ancestors of z and descendants of a target.
    pub g_prime: BTreeSet<ValueId>,
    /// Each value of 𝒢' that was asked for, with its gradient; `None` is an empty sum.
    pub grad_table: BTreeMap<ValueId, Option<Tensor>>,
    /// How often `op.bprop` was called: once for each edge.
    pub bprop_calls: usize,
    /// The gradients of the targets; zeros where the sum is empty (`backprop_ad::grad_table` says why).
    pub gradients: Vec<Tensor>,
}

/// The outermost skeleton: dz/dV for each V in `targets`.
///
/// The lecture's `op.bprop(get_inputs(C, 𝒢'), V, D)` would leave out inputs of C that are no
/// descendants of a target: the gradient of W·x for W needs x. So all inputs are taken, from 𝒢; only
/// the edges to follow come from 𝒢'. A target that is no ancestor of z gets a zero of its shape.
/// Unlike `grad`, cotangents carry no masks here: a branch not taken with an infinite slope gives NaN.
///
/// # Errors
/// z is no float scalar; a target belongs elsewhere; 𝒢' has more than 1000 values.
pub fn formal_backprop(targets: &[Tensor], z: Tensor) -> Result<Formal, Error> {
    if z.ty().is_none_or(|ty| !ty.dtype.is_float() || ty.shape.rank() != 0) {
        return fail("formal_backprop", format!("z must be a float scalar, not {z:?}"));
    }
    if let Some(v) = targets.iter().find(|v| v.context() != z.context()) {
        return fail("formal_backprop", format!("{v:?} belongs to another graph or tape than z"));
    }
    let g_prime = g_prime(targets, z);
    if g_prime.len() > MAX_VALUES {
        let n = g_prime.len();
        return fail(
            "formal_backprop",
            format!("recurses over at most {MAX_VALUES} values, not {n}: use grad"),
        );
    }
    let grad_table = BTreeMap::from([(z.id(), Some(z.ones_like()))]);
    let mut formal = Formal { g_prime, grad_table, bprop_calls: 0, gradients: Vec::new() };
    for &v in targets {
        let gradient = if formal.g_prime.contains(&v.id()) { formal.build_grad(v) } else { None };
        formal.gradients.push(gradient.unwrap_or_else(|| v.zeros_like()));
    }
    Ok(formal)
}

impl Formal {
    /// The inner loop: dz/dV, from the consumers of V. `None` is an empty sum: every path is cut.
    ///
    /// A consumer C is an operation. It may compute several values, each with its own D, and V may
    /// stand in several of its slots: `bprop` is called once for each slot, and the results add.
    fn build_grad(&mut self, v: Tensor) -> Option<Tensor> {
        if let Some(&known) = self.grad_table.get(&v.id()) {
            return known;
        }
        let mut g: Option<Tensor> = None;
        for c in self.consumers(v) {
            let (op, inputs) = (c[0].get_operation()?, c[0].get_inputs());
            let d: Vec<Option<Tensor>> = c
                .iter()
                .map(|&c| if self.g_prime.contains(&c.id()) { self.build_grad(c) } else { None })
                .collect();
            for slot in (0..inputs.len()).filter(|&slot| inputs[slot].is(v)) {
                self.bprop_calls += 1;
                if let Ok(g_i) = bprop(&op, &inputs, &c, slot, &d) {
                    g = Some(g.map_or(g_i, |sum| sum + g_i));
                }
            }
        }
        self.grad_table.insert(v.id(), g);
        g
    }

    /// get_consumers(V, 𝒢'): the outputs of each operation of 𝒢' that reads V, the last one first.
    fn consumers(&self, v: Tensor) -> Vec<Vec<Tensor>> {
        let consumers = v.get_consumers();
        let nodes: BTreeSet<NodeId> =
            consumers.iter().filter(|c| self.g_prime.contains(&c.id())).filter_map(|c| c.node()).collect();
        let outputs = |node: NodeId| consumers.iter().copied().filter(|c| c.node() == Some(node)).collect();
        nodes.into_iter().rev().filter(|&node| !is_constant(v, node)).map(outputs).collect()
    }
}

/// Whether a node was computed under `no_grad`.
fn is_constant(beside: Tensor, node: NodeId) -> bool {
    beside.with_records(|records| records.node(node).part == Part::NoGrad).unwrap_or(true)
}

/// 𝒢': ancestors of z that are descendants of a target, each taken to be its own.
pub fn g_prime(targets: &[Tensor], z: Tensor) -> BTreeSet<ValueId> {
    let mut ancestors = BTreeSet::new();
    let mut stack = vec![z];
    while let Some(v) = stack.pop() {
        if ancestors.insert(v.id()) {
            stack.extend(v.get_inputs());
        }
    }
    let mut descendants: BTreeSet<ValueId> = targets.iter().map(|v| v.id()).collect();
    for &v in &ancestors {
        // Values are numbered in the order of their calls: inputs come before what they make.
        if Tensor::new(z.context(), v).get_inputs().iter().any(|input| descendants.contains(&input.id())) {
            descendants.insert(v);
        }
    }
    ancestors.intersection(&descendants).copied().collect()
}

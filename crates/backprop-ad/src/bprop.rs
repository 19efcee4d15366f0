//! The lecture's `op.bprop(inputs, X, D)`: one op, one operand, on its own.

use backprop_core::graph::context::with_cursor;
use backprop_core::ops::Op;
use backprop_core::{Ill, Tensor, Type};

use crate::prune::flat;
use crate::reason::Reason;
use crate::rule::{Cotangent, pull_back};

/// `op.bprop(inputs, X, D)`: what one op contributes to the gradient of its operand `inputs[x_idx]`,
/// (∂y/∂X)ᵀ·D, given D = dz/dy for each of its outputs (`None` is a zero).
///
/// This is the lecture's form, for teaching and for checks of single rules; [`grad`](crate::grad)
/// asks an op once for all its operands. `inputs` are *all* operands, whatever a pruned graph leaves
/// out: the rule of `W·x` for W needs x. X is a slot: where one variable stands in two slots (x·x),
/// its gradient is the sum of both. The mask that a sweep carries with a cotangent starts and ends
/// here, so an infinite slope behind a branch not taken is not hidden.
///
/// Operands or cotangents that do not fit give an ill tensor, which says so when it is read.
///
/// ```
/// use backprop_core::Graph;
/// let g = Graph::new();
/// let (a, b) = (g.input("a", "f64[2, 3]"), g.input("b", "f64[3, 5]"));
/// let (c, d) = (a.matmul(b), g.input("d", "f64[2, 5]"));
/// let op = c.get_operation().ok_or("c lives")?;
/// let da = backprop_ad::bprop(&op, &c.get_inputs(), &[c], 0, &[Some(d)])?;
/// assert_eq!(da.ty(), a.ty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Why no derivative passes through that slot: it is a zero with a reason, not a mistake.
pub fn bprop(
    op: &Op,
    inputs: &[Tensor],
    outputs: &[Tensor],
    x_idx: usize,
    d: &[Option<Tensor>],
) -> Result<Tensor, Reason> {
    let place =
        outputs.first().and_then(|y| y.with_records(|records| records.node(records.producer(y.id())).place));
    let no = |why: String| {
        let text = place.and_then(|place| outputs[0].with_records(|records| records.place(place)));
        Reason::Cut { op: op.name().to_string(), why, place: text.unwrap_or_default() }
    };
    let Some(&x) = inputs.get(x_idx) else {
        return Err(no(format!("it has {} operands, and none is number {x_idx}", inputs.len())));
    };
    if let Some(ill) = misfit(op, inputs, outputs, d) {
        return Ok(x.ill("bprop", ill));
    }
    let is_float = |value: &Tensor| value.dtype().is_none_or(|dtype| dtype.is_float());
    if let Some(why) = flat(op, x_idx, is_float(&x), outputs.iter().any(is_float)) {
        return Err(no(why.to_string()));
    }
    let cotangents: Vec<Option<Cotangent>> = d.iter().map(|d| d.map(Cotangent::new)).collect();
    if cotangents.iter().all(Option::is_none) {
        return Err(no("the gradients of all its outputs are zero".to_string()));
    }
    let wanted: Vec<bool> = (0..inputs.len()).map(|slot| slot == x_idx).collect();
    let pulled = || pull_back(op, inputs, outputs, &cotangents, &wanted);
    let dx = match place {
        // A gradient node stands at the place of the node that it belongs to.
        Some(place) => with_cursor(outputs[0].context(), |cursor| cursor.origin = Some(place), pulled),
        None => pulled(),
    };
    let dx = dx.into_iter().nth(x_idx).flatten();
    dx.map(|dx| dx.d).ok_or_else(|| no("its rule gives this operand no gradient".to_string()))
}

/// What does not fit together, if anything does not.
fn misfit(op: &Op, inputs: &[Tensor], outputs: &[Tensor], d: &[Option<Tensor>]) -> Option<Ill> {
    if outputs.len() != op.n_outputs() || d.len() != outputs.len() {
        let (op, n) = (op.name(), op.n_outputs());
        let (y, d) = (outputs.len(), d.len());
        return Some(Ill::new(format!("{op} has {n} outputs, but {y} and {d} cotangents were given")));
    }
    let types: Option<Vec<Type>> = inputs.iter().map(|input| input.ty()).collect();
    match types.map(|types| op.infer(&types)) {
        None => return Some(Ill::new("an operand is ill or stale")),
        Some(Err(ill)) => return Some(ill),
        Some(Ok(_)) => {}
    }
    let mut pairs = outputs.iter().zip(d).filter_map(|(y, d)| Some((y, (*d)?)));
    pairs
        .find(|(y, d)| y.ty() != d.ty())
        .map(|(y, d)| Ill::new(format!("the cotangent must have the type of the output: {d:?} for {y:?}")))
}

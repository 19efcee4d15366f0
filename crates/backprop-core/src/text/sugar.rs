//! Shorthands: what a text may say instead of several ops. They are printed as those ops.

use super::given::Given;
use crate::graph::Graph;
use crate::graph::place::Place;
use crate::graph::records::{Part, Records, ValueId};
use crate::ops::{Op, broadcast_binary};
use crate::tensor::Tensor;

/// Calls the ops of a shorthand.
pub(super) type Shorthand = fn(&[Tensor], &Given) -> Result<Tensor, String>;

/// Every shorthand.
pub(super) const SHORTHANDS: &[(&str, Shorthand)] = &[
    ("matmul", |x, _| pair(x).map(|(a, b)| a.matmul(b))),
    ("t", |x, _| one(x).map(Tensor::t)),
    ("relu", |x, _| one(x).map(Tensor::relu)),
    ("gelu", |x, _| one(x).map(Tensor::gelu)),
    ("silu", |x, _| one(x).map(Tensor::silu)),
    ("mean", |x, given| Ok(one(x)?.mean(given.axes_or_all("axes")?))),
    ("softmax", |x, given| Ok(one(x)?.softmax(given.int("axis")?))),
    ("cross_entropy", |x, _| pair(x).map(|(logits, target)| logits.cross_entropy(target))),
    ("mse_loss", |x, _| pair(x).map(|(x, target)| x.mse_loss(target))),
];

/// The shorthand called `name`.
pub(super) fn find(name: &str) -> Option<Shorthand> {
    SHORTHANDS.iter().find(|(known, _)| *known == name).map(|&(_, shorthand)| shorthand)
}

fn one(x: &[Tensor]) -> Result<Tensor, String> {
    match x {
        [x] => Ok(*x),
        _ => Err(format!("takes 1 operand, but {} were given", x.len())),
    }
}

fn pair(x: &[Tensor]) -> Result<(Tensor, Tensor), String> {
    match x {
        [a, b] => Ok((*a, *b)),
        _ => Err(format!("takes 2 operands, but {} were given", x.len())),
    }
}

/// Whether `op` broadcasts its operands where a text lets their shapes differ, as `a + b` does.
pub(super) fn broadcasts(op: &Op, given: &Given) -> bool {
    let pointwise = matches!(op, Op::Binary(_) | Op::Compare(_) | Op::Logic(_));
    matches!(given.inputs(), [a, b] if pointwise && a.dtype == b.dtype && a.shape != b.shape)
}

/// Calls `op` on two operands, both broadcast to their common shape.
pub(super) fn broadcast(op: Op) -> impl Fn(&[Tensor], &Given) -> Result<Tensor, String> {
    move |x, _| pair(x).map(|(a, b)| broadcast_binary(op.clone(), a, b))
}

/// Calls a shorthand on values of `records`. What it emits stands at `place`, in `part`.
pub(super) fn call(
    records: &mut Records,
    shorthand: impl Fn(&[Tensor], &Given) -> Result<Tensor, String>,
    inputs: &[ValueId],
    given: &Given,
    (place, part): (Place, Part),
) -> Result<ValueId, String> {
    let (n_nodes, n_values) = (records.n_nodes(), records.n_values());
    let graph = Graph::from_records(std::mem::take(records));
    let operands: Vec<Tensor> = inputs.iter().map(|&input| graph.tensor(input)).collect();
    // A result of its own, so that it can be named.
    let own = |x: Tensor| if (x.id() as usize) < n_values { x.identity() } else { x };
    let result = shorthand(&operands, given).map(|x| own(x).id());
    *records = graph.into_records();
    for node in &mut records.nodes[n_nodes..] {
        (node.place, node.part) = (place, part);
    }
    result
}

//! FLOPs: what a graph costs before anything is fused.
//!
//! | what | FLOPs |
//! |---|---|
//! | + − × of an element, also within a sum; a fused a·b + c is two | 1 |
//! | ÷ √ 1/x | 4 |
//! | transcendental functions, powers | 20 |
//! | a contraction | 2·m·n·k: as many multiplications as additions |
//!
//! Moving, comparing, choosing, negating, rounding and converting are none. `norm` counts a square and an addition
//! for each element and a root, `logsumexp` e^(x−m) and an addition for each and a logarithm and an addition for
//! each group, `log_softmax` a subtraction for each element more. A branch counts as the dearer one, a loop as its
//! body times its iterations.

use std::collections::HashMap;
use std::sync::Arc;

use backprop_core::ops::{Axes, Binary, Unary};
use backprop_core::{Body, Error, Fault, Node, Op, Records, Type, ValueId};

use crate::bodies::innermost_first;

const ROOT: u64 = 4;
const TRANSCENDENTAL: u64 = 20;

/// The FLOPs of computing `roots`, without what no root needs. All sizes are numbers (see
/// [`bind`](crate::simplify::bind)).
///
/// # Errors
/// A root is ill, or a size that it depends on is a name.
pub fn flops(records: &Records, roots: &[ValueId]) -> Result<u64, Error> {
    records.check(roots.iter().copied())?;
    let bodies = costs_of_bodies(records)?;
    let mut needed = vec![false; records.n_nodes()];
    roots.iter().for_each(|&root| needed[records.producer(root) as usize] = true);
    let mut total = 0u64;
    for id in (0..records.n_nodes()).rev() {
        if needed[id] {
            let node = &records.nodes()[id];
            node.inputs.iter().for_each(|&input| needed[records.producer(input) as usize] = true);
            total =
                total.saturating_add(cost(records, node, &bodies).ok_or_else(|| unsized_at(records, node))?);
        }
    }
    Ok(total)
}

fn unsized_at(records: &Records, node: &Node) -> Error {
    let mut fault = Fault::new("flops", format!("{} has a size that is only a name", node.op.name()));
    fault.place = Some(records.place(node.place));
    fault.into()
}

/// What one run of a body costs, by where it lies in memory.
type Costs = HashMap<*const Body, u64>;

fn costs_of_bodies(records: &Records) -> Result<Costs, Error> {
    let mut costs = Costs::new();
    for body in innermost_first(records) {
        let own = body.records();
        let mut total = 0u64;
        for node in body.plan().iter().map(|step| own.node(step.0)) {
            total = total.saturating_add(cost(own, node, &costs).ok_or_else(|| unsized_at(own, node))?);
        }
        costs.insert(Arc::as_ptr(&body), total);
    }
    Ok(costs)
}

/// The FLOPs of one node; `None` where a size that counts is a name.
fn cost(records: &Records, node: &Node, bodies: &Costs) -> Option<u64> {
    let input = |slot: usize| records.ty(node.inputs[slot]);
    let count = |ty: Option<Type>| Some(ty?.shape.n_elements()? as u64);
    let (elements, results) = (|slot: usize| count(input(slot)), count(records.ty(node.first)));
    let each = match &node.op {
        Op::Unary(op) => of_unary(*op),
        Op::Binary(Binary::Add | Binary::Sub | Binary::Mul) => 1,
        Op::Binary(Binary::Div) => ROOT,
        Op::Binary(Binary::Pow) => TRANSCENDENTAL,
        Op::Fma(_) => 2,
        Op::Sum(sum) => return elements(0).map(|n| if sum.axes.is_empty() { 0 } else { n }),
        Op::ScatterAdd(_) => return elements(2),
        Op::Norm(_) => return Some(2 * elements(0)? + ROOT),
        Op::LogSumExp(op) => return grouped(elements(0)?, input(0)?, op.axes, 2, 1),
        Op::LogSoftmax(op) => return grouped(elements(0)?, input(0)?, op.axes, 3, 0),
        Op::Contract(op) => {
            let sizes = input(0)?.shape.sizes()?;
            let k: u64 = op.lhs_contract.iter().map(|axis| sizes[axis] as u64).product();
            return Some(2 * results? * k);
        }
        Op::Cond(op) => {
            return Some(bodies[&Arc::as_ptr(&op.then)].max(bodies[&Arc::as_ptr(&op.otherwise)]));
        }
        Op::Scan(op) => {
            return Some(bodies[&Arc::as_ptr(&op.body)].saturating_mul(op.length.size()? as u64));
        }
        _ => return Some(0),
    };
    if each == 0 { Some(0) } else { Some(each * results?) }
}

fn of_unary(op: Unary) -> u64 {
    match op {
        Unary::Neg | Unary::Abs | Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Round => 0,
        Unary::Square => 1,
        Unary::Sqrt | Unary::Reciprocal => ROOT,
        Unary::Exp | Unary::Log | Unary::Sin | Unary::Cos | Unary::Tanh | Unary::Sigmoid => TRANSCENDENTAL,
        Unary::Softplus | Unary::Erf | Unary::Erfc | Unary::Log1p | Unary::Expm1 => TRANSCENDENTAL,
    }
}

/// An exponential and `each` more for each element, a logarithm and `whole` more for each group.
fn grouped(n: u64, ty: Type, axes: Axes, each: u64, whole: u64) -> Option<u64> {
    let groups = ty.shape.without(&axes.to_vec()).n_elements()? as u64;
    Some(n * (TRANSCENDENTAL + each) + groups * (TRANSCENDENTAL + whole))
}

//! Dead code of control flow: results of `cond` and `scan` that nobody reads, and the operands that only they
//! need. The derivative of a loop reads the carries that it keeps, and none of the loop's other results.

use std::sync::Arc;

use backprop_core::ops::{Cond, Scan};
use backprop_core::{Body, Op, ValueId};

/// A call without what nobody reads.
pub(super) struct Narrowed {
    /// The op.
    pub op: Op,
    /// The operands that are left.
    pub slots: Vec<usize>,
    /// The results that are left.
    pub outputs: Vec<usize>,
}

/// The call without the results that are not live; `None` where it is as narrow already.
pub(super) fn narrowed(op: &Op, is_live: &[bool]) -> Option<Narrowed> {
    match op {
        Op::Cond(cond) => narrowed_cond(cond, is_live),
        Op::Scan(scan) => narrowed_scan(scan, is_live),
        _ => None,
    }
}

/// The numbers of those that hold.
fn places(holds: &[bool]) -> Vec<usize> {
    (0..holds.len()).filter(|&at| holds[at]).collect()
}

/// Which parameters the outputs need. A parameter for which `fed_by` names an output needs that one as well,
/// which is then marked among the outputs.
fn reached(body: &Body, outputs: &mut [bool], fed_by: impl Fn(usize) -> Option<usize>) -> Vec<bool> {
    const NONE: usize = usize::MAX;
    let records = body.records();
    let mut parameter_of = vec![NONE; records.n_values()];
    body.parameters().iter().enumerate().for_each(|(at, &value)| parameter_of[value as usize] = at);
    let mut used = vec![false; body.parameters().len()];
    let mut seen = vec![false; records.n_nodes()];
    let mut open: Vec<ValueId> = places(outputs).into_iter().map(|at| body.outputs()[at]).collect();
    while let Some(value) = open.pop() {
        let parameter = parameter_of[value as usize];
        if parameter == NONE {
            let id = records.producer(value);
            if !std::mem::replace(&mut seen[id as usize], true) {
                open.extend(&records.node(id).inputs);
            }
        } else if !std::mem::replace(&mut used[parameter], true)
            && let Some(output) = fed_by(parameter)
            && !std::mem::replace(&mut outputs[output], true)
        {
            open.push(body.outputs()[output]);
        }
    }
    used
}

/// The body with these parameters and outputs only.
fn part(body: &Body, parameters: &[bool], outputs: &[bool]) -> Arc<Body> {
    let first_capture = parameters.len() - body.n_captures();
    let n_captures = parameters[first_capture..].iter().filter(|&&kept| kept).count();
    let parameters = places(parameters).into_iter().map(|at| body.parameters()[at]).collect();
    let outputs = places(outputs).into_iter().map(|at| body.outputs()[at]).collect();
    let part = Body::new(body.records().clone(), parameters, outputs, n_captures);
    Arc::new(part.expect("the outputs need no other parameter"))
}

fn narrowed_cond(op: &Cond, is_live: &[bool]) -> Option<Narrowed> {
    let mut outputs = is_live.to_vec();
    let [then, otherwise] = [&op.then, &op.otherwise].map(|body| reached(body, &mut outputs, |_| None));
    let used: Vec<bool> = then.iter().zip(&otherwise).map(|(a, b)| a | b).collect();
    if outputs.iter().chain(&used).all(|&kept| kept) {
        return None;
    }
    let [then, otherwise] = [&op.then, &op.otherwise].map(|body| part(body, &used, &outputs));
    let slots = std::iter::once(0).chain(places(&used).into_iter().map(|at| at + 1)).collect();
    Some(Narrowed { op: Cond { then, otherwise }.into(), slots, outputs: places(&outputs) })
}

fn narrowed_scan(op: &Scan, is_live: &[bool]) -> Option<Narrowed> {
    let mut outputs = is_live.to_vec();
    // What enters an iteration as carry left the one before.
    let fed_by = |parameter: usize| parameter.checked_sub(1).filter(|&carry| carry < op.n_carry);
    let mut used = reached(&op.body, &mut outputs, fed_by);
    // The iteration's number stays, and the first carry where the last one does.
    used[0] = true;
    (0..op.n_carry).for_each(|carry| used[carry + 1] = outputs[carry]);
    if outputs.iter().chain(&used).all(|&kept| kept) {
        return None;
    }
    let count = |kept: &[bool]| kept.iter().filter(|&&kept| kept).count();
    let narrow = Scan {
        body: part(&op.body, &used, &outputs),
        n_carry: count(&outputs[..op.n_carry]),
        n_xs: count(&used[1 + op.n_carry..][..op.n_xs]),
        ..op.clone()
    };
    let slots = places(&used[1..]);
    Some(Narrowed { op: narrow.into(), slots, outputs: places(&outputs) })
}

//! One sweep: nodes in order, each called again on simplified operands; then what nobody needs is left out.

use std::collections::HashMap;
use std::sync::Arc;

use backprop_core::graph::records::Inputs;
use backprop_core::ops::{Cond, Scan};
use backprop_core::{Body, Error, Fault, NodeId, Op, Records, ValueId};

use super::build::{Build, Rewrite, Rules};
use super::origins::{NOWHERE, Origins};
use super::{GONE, Simplified};
use crate::bodies::innermost_first;

/// Bodies that were simplified, by what they do; with how often each row was used inside.
type Bodies = HashMap<Arc<Body>, Arc<Body>>;

/// The pass with these rules.
pub(super) fn sweep(records: &Records, roots: &[ValueId], rules: &Rules) -> Result<Simplified, Error> {
    check_roots(records, roots)?;
    let mut bodies = Bodies::new();
    let mut applied: Vec<(&'static str, usize)> = Vec::new();
    let mut count = |own: Vec<(&'static str, usize)>| {
        for (name, n) in own {
            match applied.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known += n,
                None => applied.push((name, n)),
            }
        }
    };
    for body in innermost_first(records) {
        if !bodies.contains_key(&body) {
            let simplified = sweep_body(&body, rules, &bodies, &mut count)?;
            bodies.insert(body, Arc::new(simplified));
        }
    }
    let (mut simplified, _) = sweep_one(records, roots, rules, &bodies, false);
    count(std::mem::take(&mut simplified.applied));
    applied.sort_unstable();
    Ok(Simplified { applied, ..simplified })
}

/// The records before anything is left out, where each value went in them, and every rewrite; for replaying.
/// Bodies are simplified without a trace.
pub(super) fn traced(
    records: &Records,
    roots: &[ValueId],
    rules: &Rules,
) -> Result<(Simplified, Vec<Rewrite>), Error> {
    check_roots(records, roots)?;
    let mut bodies = Bodies::new();
    for body in innermost_first(records) {
        if !bodies.contains_key(&body) {
            let simplified = sweep_body(&body, rules, &bodies, &mut |_| ())?;
            bodies.insert(body, Arc::new(simplified));
        }
    }
    Ok(sweep_one(records, roots, rules, &bodies, true))
}

fn check_roots(records: &Records, roots: &[ValueId]) -> Result<(), Error> {
    if let Some(&root) = roots.iter().find(|&&root| root as usize >= records.n_values()) {
        return Err(Fault::new("simplify", format!("the graph has no value %{root}")).into());
    }
    records.check(roots.iter().copied())
}

/// The body, simplified; the same where it has a parameter that is ill.
fn sweep_body(
    body: &Body,
    rules: &Rules,
    bodies: &Bodies,
    count: &mut impl FnMut(Vec<(&'static str, usize)>),
) -> Result<Body, Error> {
    let ill = |rule: String| Error::from(Fault::new("simplify", rule));
    if !body.faults().is_empty() || (0..body.parameters().len()).any(|p| body.parameter_type(p).is_none()) {
        return Ok(body.clone());
    }
    let (simplified, _) = sweep_one(body.records(), body.outputs(), rules, bodies, false);
    let parameters = body.parameters().iter().map(|&value| simplified.values[value as usize]).collect();
    count(simplified.applied);
    Body::new(simplified.records, parameters, simplified.roots, body.n_captures()).map_err(|e| ill(e.rule))
}

fn sweep_one(
    records: &Records,
    roots: &[ValueId],
    rules: &Rules,
    bodies: &Bodies,
    traced: bool,
) -> (Simplified, Vec<Rewrite>) {
    let needed = needed(records, roots);
    let n_needed = needed.iter().filter(|&&needed| needed).count();
    let mut build = Build::new(records.within(), rules, n_needed);
    build.trace = traced.then(Vec::new);
    let mut values = vec![GONE; records.n_values()];
    for (id, node) in (0..).zip(records.nodes()).filter(|(id, _)| needed[*id as usize]) {
        let name = if node.n_outputs == 1 { records.name(node.first).cloned() } else { None };
        build.begin(id, node, name);
        if matches!(node.op, Op::Input(_)) {
            values[node.first as usize] = build.copy(node.op.clone());
        } else {
            let inputs: Inputs = node.inputs.iter().map(|&input| values[input as usize]).collect();
            let outputs = build.add(with_bodies(&node.op, bodies), inputs);
            let outputs = outputs.expect("operands keep their types, so a call stays well-typed");
            for (value, new) in node.outputs().zip(outputs) {
                let (was, is) = (records.ty(value), build.ty(new));
                let was = was.map(|ty| records.assumed_type(ty));
                assert_eq!(was, Some(is), "{} was given another type by a rewrite", records.label(value));
                values[value as usize] = new;
                let producer = build.records.producer(new);
                build.note(producer);
            }
        }
        for value in node.outputs() {
            if let Some(name) = records.name(value) {
                // Where the new value has a name already, the old one is found by its number.
                let _has_another = build.records.set_name(values[value as usize], name);
            }
        }
    }
    let Build { records: written, origins, applied, trace, .. } = build;
    let roots: Vec<ValueId> = roots.iter().map(|&root| values[root as usize]).collect();
    let applied = applied.into_iter().collect();
    let simplified = Simplified { records: written, roots, applied, values, origins: Origins::default() };
    match trace {
        Some(trace) => (simplified, trace),
        None => (compact(simplified, &origins), Vec::new()),
    }
}

/// The nodes that the roots need, and every input.
fn needed(records: &Records, roots: &[ValueId]) -> Vec<bool> {
    let mut needed = vec![false; records.n_nodes()];
    roots.iter().for_each(|&root| needed[records.producer(root) as usize] = true);
    for id in (0..records.n_nodes()).rev() {
        let node = &records.nodes()[id];
        let is_input = || matches!(node.op, Op::Input(_)) && records.ty(node.first).is_some();
        if needed[id] || is_input() {
            needed[id] = true;
            node.inputs.iter().for_each(|&input| needed[records.producer(input) as usize] = true);
        }
    }
    needed
}

fn with_bodies(op: &Op, bodies: &Bodies) -> Op {
    let of = |body: &Arc<Body>| bodies.get(body).unwrap_or(body).clone();
    match op {
        Op::Cond(cond) => Cond { then: of(&cond.then), otherwise: of(&cond.otherwise) }.into(),
        Op::Scan(scan) => Scan { body: of(&scan.body), ..scan.clone() }.into(),
        op => op.clone(),
    }
}

/// Without the nodes that no root needs; `origins` are the pairs of new and old nodes.
fn compact(simplified: Simplified, origins: &[(NodeId, NodeId)]) -> Simplified {
    let Simplified { mut records, roots, applied, values, .. } = simplified;
    let needed = needed(&records, &roots);
    let mut n_kept = 0;
    let nodes: Vec<NodeId> = (needed.iter())
        .map(|&is_needed| {
            n_kept += NodeId::from(is_needed);
            if is_needed { n_kept - 1 } else { NOWHERE }
        })
        .collect();
    let origins = Origins::new(n_kept as usize, origins, |new| nodes[new as usize]);
    drop(nodes);
    let moved = records.retain(&needed);
    let to = |value: ValueId| if value == GONE { GONE } else { moved[value as usize] };
    let values = values.into_iter().map(to).collect();
    let roots = roots.into_iter().map(to).collect();
    Simplified { records, roots, applied, values, origins }
}

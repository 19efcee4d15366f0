//! One sweep: nodes in order, each called again on simplified operands; then what nobody needs is left out.

use std::collections::HashMap;
use std::sync::Arc;

use backprop_core::graph::records::Inputs;
use backprop_core::ops::{Cond, Scan};
use backprop_core::{Body, Error, Fault, NodeId, Op, Records, ValueId};

use super::build::{Build, Rewrite, Rules};
use super::{GONE, Simplified};

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
    for body in bodies_first(records) {
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
    for body in bodies_first(records) {
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

/// Every body, those inside others before these; a list instead of recursion.
fn bodies_first(records: &Records) -> Vec<Arc<Body>> {
    let of = |records: &Records| -> Vec<Arc<Body>> {
        let nodes = records.nodes().iter().filter(|node| matches!(node.op, Op::Cond(_) | Op::Scan(_)));
        nodes.flat_map(|node| node.op.rule().bodies().into_iter().cloned()).collect()
    };
    let mut found = of(records);
    let mut next = 0;
    while next < found.len() {
        let inner = of(found[next].records());
        found.extend(inner);
        next += 1;
    }
    found.reverse();
    found
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
    let mut build = Build::new(records.within(), rules);
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
    let simplified = Simplified { records: written, roots, applied, values, origins };
    match trace {
        Some(trace) => (simplified, trace),
        None => (compact(simplified), Vec::new()),
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

/// Without the nodes that no root needs.
fn compact(simplified: Simplified) -> Simplified {
    let Simplified { records, roots, applied, values, mut origins } = simplified;
    let needed = needed(&records, &roots);
    let mut kept = records.within();
    let mut moved = vec![GONE; records.n_values()];
    let mut nodes: Vec<NodeId> = vec![NodeId::MAX; records.n_nodes()];
    for (id, node) in records.nodes().iter().enumerate().filter(|(id, _)| needed[*id]) {
        nodes[id] = kept.n_nodes() as NodeId;
        let inputs: Inputs = node.inputs.iter().map(|&input| moved[input as usize]).collect();
        let first = match (&node.op, records.ty(node.first)) {
            (op, Some(ty)) if node.n_outputs == 1 => {
                kept.push_typed(op.clone(), inputs, ty, &node.place, node.part)
            }
            (op, _) => {
                let id = kept.push(op.clone(), inputs, node.place, node.part);
                kept.node(id).first
            }
        };
        for (value, new) in node.outputs().zip(first..) {
            moved[value as usize] = new;
            if let Some(name) = records.name(value) {
                kept.set_name(new, name).expect("names are unique among the old values");
            }
        }
    }
    let to = |value: ValueId| if value == GONE { GONE } else { moved[value as usize] };
    let values = values.into_iter().map(to).collect();
    let roots = roots.into_iter().map(to).collect();
    origins.retain_mut(|(new, _)| {
        *new = nodes[*new as usize];
        *new != NodeId::MAX
    });
    origins.sort_unstable();
    origins.dedup();
    Simplified { records: kept, roots, applied, values, origins }
}

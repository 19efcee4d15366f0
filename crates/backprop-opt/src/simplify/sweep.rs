//! One sweep: nodes in order, each called again on simplified operands; then what nobody needs is left out.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use backprop_core::graph::records::Inputs;
use backprop_core::ops::{Cond, Scan};
use backprop_core::{Body, Error, Fault, NodeId, Op, Records, ValueId};

use super::build::{Build, Rewrite, Rules};
use super::narrow::{Narrowed, narrowed};
use super::origins::{NOWHERE, Origins};
use super::{GONE, Simplified};

/// The pass with these rules.
pub(super) fn sweep(records: &Records, roots: &[ValueId], rules: &Rules) -> Result<Simplified, Error> {
    check_roots(records, roots)?;
    let mut sweeper = Sweeper { rules, bodies: HashMap::new(), applied: BTreeMap::new() };
    let written = sweeper.graph(records, roots, &inputs(records), false);
    Ok(Simplified { applied: sweeper.applied.into_iter().collect(), ..compact(written) })
}

/// What a sweep wrote, before anything is left out, and its rewrites, apart from those in bodies: for replaying.
pub(super) fn traced(
    records: &Records,
    roots: &[ValueId],
    rules: &Rules,
) -> Result<(Simplified, Vec<Rewrite>), Error> {
    check_roots(records, roots)?;
    let mut sweeper = Sweeper { rules, bodies: HashMap::new(), applied: BTreeMap::new() };
    let Written { records, roots, values, trace, .. } = sweeper.graph(records, roots, &inputs(records), true);
    let applied = sweeper.applied.into_iter().collect();
    Ok((Simplified { records, roots, applied, values, origins: Origins::default() }, trace))
}

fn check_roots(records: &Records, roots: &[ValueId]) -> Result<(), Error> {
    if let Some(&root) = roots.iter().find(|&&root| root as usize >= records.n_values()) {
        return Err(Fault::new("simplify", format!("the graph has no value %{root}")).into());
    }
    records.check(roots.iter().copied())
}

/// The inputs of a graph, which stay whether a root needs them or not.
fn inputs(records: &Records) -> Vec<ValueId> {
    let inputs = records.nodes().iter().filter(|node| matches!(node.op, Op::Input(_)));
    inputs.map(|node| node.first).filter(|&input| records.ty(input).is_some()).collect()
}

struct Sweeper<'a> {
    rules: &'a Rules,
    /// Bodies that were simplified, by what they do.
    bodies: HashMap<Arc<Body>, Arc<Body>>,
    applied: BTreeMap<&'static str, usize>,
}

/// What a sweep wrote, before anything is left out.
struct Written {
    records: Records,
    roots: Vec<ValueId>,
    /// Inputs that stay.
    kept: Vec<ValueId>,
    values: Vec<ValueId>,
    origins: Vec<(NodeId, NodeId)>,
    trace: Vec<Rewrite>,
}

impl Sweeper<'_> {
    /// Sweeps what `roots` and the inputs `kept` need.
    fn graph(&mut self, records: &Records, roots: &[ValueId], kept: &[ValueId], is_traced: bool) -> Written {
        let Plan { needed, narrowed } = Plan::new(records, roots.iter().chain(kept));
        let n_needed = needed.iter().filter(|&&needed| needed).count();
        let mut build = Build::new(records.within(), self.rules, n_needed);
        build.trace = is_traced.then(Vec::new);
        let mut values = vec![GONE; records.n_values()];
        let readers = readers(records, &needed, roots);
        for (id, node) in (0..).zip(records.nodes()).filter(|(id, _)| needed[*id as usize]) {
            let name = if node.n_outputs == 1 { records.name(node.first).cloned() } else { None };
            build.begin(id, node, name, |value| readers[value as usize] == 1);
            let input = |slot: usize| values[node.inputs[slot] as usize];
            match (&node.op, narrowed.get(&id)) {
                (Op::Input(_), _) => values[node.first as usize] = build.copy(node.op.clone()),
                (op, None) => {
                    let inputs: Inputs = (0..node.inputs.len()).map(input).collect();
                    let outputs = build.add(self.with_bodies(op), inputs);
                    for (value, new) in node.outputs().zip(outputs.expect(WELL_TYPED)) {
                        values[value as usize] = new;
                    }
                }
                (_, Some(Narrowed { op, slots, outputs })) => {
                    let inputs: Inputs = slots.iter().map(|&slot| input(slot)).collect();
                    let results = build.add(self.with_bodies(op), inputs).expect(WELL_TYPED);
                    for (&output, new) in outputs.iter().zip(results) {
                        values[node.first as usize + output] = new;
                    }
                    *self.applied.entry("narrower control flow").or_default() += 1;
                }
            }
            for value in node.outputs().filter(|&value| values[value as usize] != GONE) {
                let new = values[value as usize];
                let (was, is) = (records.ty(value).map(|ty| records.assumed_type(ty)), build.ty(new));
                assert_eq!(was, Some(is), "{} was given another type by a rewrite", records.label(value));
                build.note(build.records.producer(new));
                if let Some(name) = records.name(value) {
                    // Where the new value has a name already, the old one is found by its number.
                    let _has_another = build.records.set_name(new, name);
                }
            }
        }
        let Build { records, origins, applied, n_merged, trace, .. } = build;
        let merged = ("equal calls", n_merged);
        for (name, count) in applied.into_iter().chain([merged].into_iter().filter(|own| own.1 > 0)) {
            *self.applied.entry(name).or_default() += count;
        }
        let [roots, kept] =
            [roots, kept].map(|list| list.iter().map(|&value| values[value as usize]).collect());
        Written { records, roots, kept, values, origins, trace: trace.unwrap_or_default() }
    }

    /// The op with its bodies simplified.
    fn with_bodies(&mut self, op: &Op) -> Op {
        match op {
            Op::Cond(cond) => {
                Cond { then: self.body(&cond.then), otherwise: self.body(&cond.otherwise) }.into()
            }
            Op::Scan(scan) => Scan { body: self.body(&scan.body), ..(**scan).clone() }.into(),
            op => op.clone(),
        }
    }

    /// The body, simplified, or as it is where it has a parameter that is ill. Bodies in bodies make this
    /// recursive, as deep as they are nested in the text.
    fn body(&mut self, body: &Arc<Body>) -> Arc<Body> {
        if let Some(known) = self.bodies.get(body) {
            return known.clone();
        }
        let is_ill = (0..body.parameters().len()).any(|at| body.parameter_type(at).is_none());
        let simplified = if is_ill || !body.faults().is_empty() {
            body.clone()
        } else {
            let written = self.graph(body.records(), body.outputs(), body.parameters(), false);
            let Simplified { records, roots, values, .. } = compact(written);
            let parameters = body.parameters().iter().map(|&value| values[value as usize]).collect();
            let simplified = Body::new(records, parameters, roots, body.n_captures());
            Arc::new(simplified.expect("inputs stay, and every parameter is one"))
        };
        self.bodies.insert(body.clone(), simplified.clone());
        simplified
    }
}

/// For each value, how many operands and roots it is, up to 2.
fn readers(records: &Records, needed: &[bool], roots: &[ValueId]) -> Vec<u8> {
    let mut readers = vec![0u8; records.n_values()];
    let nodes = records.nodes().iter().zip(needed).filter(|(_, needed)| **needed);
    for &value in nodes.flat_map(|(node, _)| &node.inputs).chain(roots) {
        let n = &mut readers[value as usize];
        *n = (*n + 1).min(2);
    }
    readers
}

const WELL_TYPED: &str = "operands keep their types, so a call stays well-typed";

/// What is to be swept: the nodes that the roots need; control flow without dead results.
struct Plan {
    needed: Vec<bool>,
    narrowed: HashMap<NodeId, Narrowed>,
}

impl Plan {
    fn new<'a>(records: &Records, roots: impl Iterator<Item = &'a ValueId>) -> Plan {
        let mut is_live = vec![false; records.n_values()];
        roots.for_each(|&root| is_live[root as usize] = true);
        let mut plan = Plan { needed: vec![false; records.n_nodes()], narrowed: HashMap::new() };
        for id in (0..records.n_nodes()).rev() {
            let node = &records.nodes()[id];
            let outputs = node.first as usize..(node.first + node.n_outputs) as usize;
            if !is_live[outputs.clone()].contains(&true) {
                continue;
            }
            plan.needed[id] = true;
            match narrowed(&node.op, &is_live[outputs]) {
                None => node.inputs.iter().for_each(|&input| is_live[input as usize] = true),
                Some(narrowed) => {
                    narrowed.slots.iter().for_each(|&slot| is_live[node.inputs[slot] as usize] = true);
                    plan.narrowed.insert(id as NodeId, narrowed);
                }
            }
        }
        plan
    }
}

/// Without the nodes that no root needs.
fn compact(written: Written) -> Simplified {
    let Written { mut records, roots, kept, values, origins, .. } = written;
    let mut needed = vec![false; records.n_nodes()];
    roots.iter().chain(&kept).for_each(|&root| needed[records.producer(root) as usize] = true);
    for id in (0..records.n_nodes()).rev() {
        if needed[id] {
            let inputs = &records.nodes()[id].inputs;
            inputs.iter().for_each(|&input| needed[records.producer(input) as usize] = true);
        }
    }
    let mut n_kept = 0;
    let nodes: Vec<NodeId> = (needed.iter())
        .map(|&is_needed| {
            n_kept += NodeId::from(is_needed);
            if is_needed { n_kept - 1 } else { NOWHERE }
        })
        .collect();
    let by_node = Origins::new(n_kept as usize, &origins, |new| nodes[new as usize]);
    drop((nodes, origins));
    let moved = records.retain(&needed);
    let to = |value: ValueId| if value == GONE { GONE } else { moved[value as usize] };
    let values = values.into_iter().map(to).collect();
    let roots = roots.into_iter().map(to).collect();
    Simplified { records, roots, applied: Vec::new(), values, origins: by_node }
}

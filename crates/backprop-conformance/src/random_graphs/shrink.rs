//! A failing graph made small: values become inputs while the failure stays.

use std::collections::HashMap;

use backprop_core::graph::records::ValueId;
use backprop_core::graph::replay::needed;
use backprop_core::{Array, Graph, Op, Tensor, Type, interpret, replay};

use super::case::Case;

/// The smallest case found for which `fails` holds, in one run; the case itself where even that does not fail.
/// `output` is what was wrong in it: what else is computed may matter, as loops are shared, but often does not.
pub fn shrunk(case: &Case, run: usize, output: Option<usize>, fails: impl Fn(&Case) -> bool) -> Case {
    let mut best = Case { runs: vec![case.runs[run].clone()], ..case.clone() };
    if !fails(&best) {
        return case.clone();
    }
    let of = |outputs: Vec<ValueId>| Case { outputs, ..best.clone() };
    let alone = output.map(|at| of(vec![case.outputs[at]]));
    if let Some(alone) = alone.filter(|alone| fails(alone)) {
        best = alone;
    }
    for &value in &case.outputs {
        let fewer: Vec<ValueId> = best.outputs.iter().copied().filter(|&own| own != value).collect();
        let fewer = Case { outputs: fewer, ..best.clone() };
        if !fewer.outputs.is_empty() && fails(&fewer) {
            best = fewer;
        }
    }
    let mut cut: HashMap<ValueId, Array> = best.runs[0].iter().cloned().collect();
    // The values nearest to the output first: each one that can go takes all before it along.
    let all = needed(&best.records, &best.outputs, |_| false);
    for id in all.into_iter().rev() {
        let node = best.records.node(id).clone();
        let is_leaf = matches!(node.op, Op::Input(_) | Op::Constant(_) | Op::Full(_) | Op::Iota(_));
        let is_kept = best.outputs.iter().any(|output| node.outputs().contains(output));
        if is_leaf || is_kept || node.outputs().all(|value| cut.contains_key(&value)) {
            continue;
        }
        let values: Vec<ValueId> = node.outputs().collect();
        let Ok(arrays) = interpret(&case.records, &case.runs[run], &values) else { continue };
        let mut tried = cut.clone();
        tried.extend(values.into_iter().zip(arrays));
        if without(case, &best.outputs, &tried).is_some_and(|small| fails(&small)) {
            cut = tried;
        }
    }
    let small = without(case, &best.outputs, &cut);
    if let Some(small) = small.filter(|small| fails(small)) {
        best = small;
    }
    best
}

/// The case with these values given.
fn without(case: &Case, outputs: &[ValueId], given: &HashMap<ValueId, Array>) -> Option<Case> {
    let nodes = needed(&case.records, outputs, |value| given.contains_key(&value));
    let is_read = |value: &ValueId| {
        outputs.contains(value) || nodes.iter().any(|&id| case.records.node(id).inputs.contains(value))
    };
    let mut read: Vec<ValueId> = given.keys().copied().filter(is_read).collect();
    read.sort_unstable();
    // Every value that is left has sizes that are numbers.
    let graph = Graph::new();
    let input = |value: &ValueId| -> (ValueId, Tensor) {
        let array = &given[value];
        (*value, graph.input(&format!("v{value}"), Type::new(array.dtype(), array.sizes())))
    };
    let map: HashMap<ValueId, Tensor> = read.iter().map(input).collect();
    let all = replay(&case.records, outputs, &map, graph.id());
    let inputs = read.iter().map(|value| (map[value].id(), given[value].clone())).collect();
    let outputs: Vec<ValueId> = outputs.iter().map(|output| all[output].id()).collect();
    let records = (*graph.records()).clone();
    outputs.iter().all(|&output| records.ty(output).is_some()).then_some(Case {
        records,
        outputs,
        runs: vec![inputs],
        ..*case
    })
}

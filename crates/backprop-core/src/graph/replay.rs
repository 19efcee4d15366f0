//! Replay: the operations of records called again, on other values or in another context.
//!
//! Cloning a graph, substituting values, inlining a body and differentiating one are all this.

use std::collections::HashMap;

use super::context::{ContextId, emit_at};
use super::records::{NodeId, Records, ValueId};
use crate::ops::Op;
use crate::tensor::Tensor;

/// Which tensor stands for each value after a [`replay`].
#[derive(Clone, Debug, Default)]
pub struct Mapping(Vec<Option<Tensor>>);

impl Mapping {
    /// The tensor that stands for `value`; `None` where nothing asked for needed it.
    pub fn get(&self, value: ValueId) -> Option<Tensor> {
        self.0.get(value as usize).copied().flatten()
    }
}

/// Calls again, in order, the operations of `records` that `outputs` need, with the values of `map`
/// replaced. They land in the innermost open context below `into`, with their names (where free),
/// places, parts and faults. An input that is not in `map` becomes a new input.
///
/// `records` must not be borrowed from the context that is landed in: clone them for that. Where
/// `into` is no more, only what `map` holds is returned.
pub fn replay(
    records: &Records,
    outputs: &[ValueId],
    map: &HashMap<ValueId, Tensor>,
    into: ContextId,
) -> Mapping {
    let mut mapping = Mapping(vec![None; records.n_values()]);
    for (&value, &tensor) in map {
        mapping.0[value as usize] = Some(tensor);
    }
    let Some(home) = into.innermost().get() else { return mapping };
    for id in needed(records, outputs, map) {
        let node = records.node(id);
        let place = home.records().borrow_mut().import_place(records, node.place);
        let inputs: Option<Vec<Tensor>> = node.inputs.iter().map(|&input| mapping.get(input)).collect();
        let inputs = inputs.expect("the inputs of a needed node are needed, and come before it");
        let first = match node.op {
            Op::Missing(_) => home.missing(),
            _ => {
                let called = emit_at(&home, node.op.clone(), &inputs, place, node.part);
                if let Some(fault) = records.fault_at(id) {
                    let mut landed = home.records().borrow_mut();
                    // The same operation on the same ill operands: the first report says it best.
                    let node = landed.producer(called.first);
                    landed.poison(node, fault.clone());
                }
                called.first
            }
        };
        for (idx, value) in node.outputs().enumerate() {
            let tensor = Tensor::new(home.id(), first + idx as u32);
            mapping.0[value as usize].get_or_insert(tensor);
            if let Some(name) = records.name(value) {
                let mut landed = home.records().borrow_mut();
                if landed.by_name(name).is_none() {
                    landed.set_name(tensor.id(), name).expect("the name is free");
                }
            }
        }
    }
    mapping
}

/// The nodes that `outputs` need beyond `map`, in order.
fn needed(records: &Records, outputs: &[ValueId], map: &HashMap<ValueId, Tensor>) -> Vec<NodeId> {
    let mut seen = vec![false; records.n_nodes()];
    let mut stack: Vec<ValueId> = outputs.to_vec();
    while let Some(value) = stack.pop() {
        let id = records.producer(value);
        if !map.contains_key(&value) && !std::mem::replace(&mut seen[id as usize], true) {
            stack.extend(&records.node(id).inputs);
        }
    }
    (0..records.n_nodes() as NodeId).filter(|&id| seen[id as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;
    use crate::graph::records::Part;

    fn told(graph: &Graph) -> Vec<String> {
        let records = graph.records();
        let tell = |node: &crate::Node| {
            let outputs: Vec<String> = node.outputs().map(|output| records.label(output)).collect();
            format!("{outputs:?} = {} {:?} {:?} {:?}", node.op.name(), node.inputs, node.place, node.part)
        };
        records.nodes().iter().map(tell).collect()
    }

    #[test]
    fn a_graph_replayed_whole_is_the_same_graph() {
        let graph = Graph::new();
        let x = graph.input("x", "f32[B, 3]");
        let (largest, _) = (x * 2.0).named("twice").max_with_index(1);
        let ill = largest.matmul(graph.input("w", "f32[2, 5]"));
        let all: Vec<ValueId> = (0..graph.records().n_values() as ValueId).collect();
        let copy = Graph::new();
        let mapping = replay(&graph.records(), &all, &HashMap::new(), copy.id());
        assert_eq!(told(&copy), told(&graph));
        let faults = |graph: &Graph, value| graph.check(&[value]).unwrap_err().to_string();
        assert_eq!(faults(&copy, mapping.get(ill.id()).unwrap()), faults(&graph, ill));
    }

    #[test]
    fn only_what_is_needed_is_replayed_and_given_values_replace() {
        let graph = Graph::new();
        let (x, y) = (graph.input("x", "f32[3]"), graph.input("y", "f32[3]"));
        let inner = (x * y).named("inner");
        let z = inner.exp() + y;
        let records = graph.records().clone();
        let before = graph.records().n_nodes();
        let mapping = replay(&records, &[z.id()], &HashMap::from([(inner.id(), x), (y.id(), x)]), graph.id());
        assert_eq!(graph.records().n_nodes() - before, 2);
        let [sum] = [mapping.get(z.id()).unwrap()];
        assert!(sum.get_inputs()[1].is(x));
        assert!(mapping.get(x.id()).is_none());
        assert_eq!(graph.records().node(graph.records().producer(sum.id())).part, Part::Forward);
    }

    #[test]
    fn long_chains_need_no_stack() {
        let graph = Graph::new();
        let mut y = graph.input("x", "f32[]");
        for _ in 0..100_000 {
            y = y.tanh();
        }
        let copy = Graph::new();
        replay(&graph.records(), &[y.id()], &HashMap::new(), copy.id());
        assert_eq!(copy.records().n_nodes(), 100_001);
    }
}

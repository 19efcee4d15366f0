//! Walking a graph node by node with the tape's kernels. A value is freed after its last reader.
//!
//! It is slow beside compiled code; it says what every node computes, and so where something went wrong.

use backprop_core::array::pool;
use backprop_core::graph::records::ValueId;
use backprop_core::ops::Types;
use backprop_core::{Array, Error, Fault, Ill, NodeId, Op, Records, Type};
use smallvec::SmallVec;

use super::type_of;

/// The nodes that are needed, in order; with the values that nobody reads afterwards.
pub struct Walk {
    plan: Vec<(NodeId, SmallVec<[ValueId; 2]>)>,
}

/// A node of the walk for known sizes.
pub struct Bound {
    /// The op, where it names dimensions.
    pub op: Option<Op>,
    /// The types of its outputs.
    pub outputs: Types,
}

impl Walk {
    pub fn new(records: &Records, needed: &[bool], outputs: &[ValueId]) -> Walk {
        Walk { plan: plan(records, needed, outputs) }
    }

    /// The nodes with what is known of them.
    pub fn steps<'a>(&self, bound: &'a [Bound]) -> impl Iterator<Item = (NodeId, &'a Bound)> {
        self.plan.iter().map(|(id, _)| *id).zip(bound)
    }

    /// Every op with its dimensions as numbers, and the types of its outputs.
    ///
    /// # Errors
    /// Inputs of the wrong number, type or size; sizes that contradict each other.
    pub fn bind(&self, records: &Records, inputs: &[ValueId], arrays: &[Array]) -> Result<Vec<Bound>, Error> {
        if inputs.len() != arrays.len() {
            let rule = format!("{} inputs are wanted, but {} were given", inputs.len(), arrays.len());
            return Err(Fault::new("run", rule).into());
        }
        let given: Vec<(ValueId, &Array)> = inputs.iter().copied().zip(arrays).collect();
        let sizes = records.sizes(&given, "run")?;
        let mut types: Vec<Option<Type>> = vec![None; records.n_values()];
        given.iter().for_each(|&(input, array)| types[input as usize] = Some(type_of(array)));
        let bound = self.plan.iter().map(|&(id, _)| {
            let node = records.node(id);
            let faulted = |ill: Ill| records.faulted(id, ill);
            let op = node.op.bind(&sizes).map_err(|rule| faulted(Ill::new(rule)))?;
            let operands: SmallVec<[Type; 4]> = (node.inputs.iter())
                .map(|&input| types[input as usize].expect("earlier nodes have types"))
                .collect();
            let outputs = op.as_ref().unwrap_or(&node.op).infer(&operands).map_err(faulted)?;
            for (value, &ty) in node.outputs().zip(&outputs) {
                types[value as usize].get_or_insert(ty);
            }
            Ok(Bound { op, outputs })
        });
        bound.collect()
    }

    /// Computes `outputs`; `watch` sees every value as soon as it is given or computed.
    ///
    /// # Errors
    /// A fault in the data.
    pub fn run(
        &self,
        records: &Records,
        bound: &[Bound],
        inputs: &[ValueId],
        arrays: &[Array],
        outputs: &[ValueId],
        watch: &mut dyn FnMut(ValueId, &Array),
    ) -> Result<Vec<Array>, Error> {
        let mut values: Vec<Option<Array>> = vec![None; records.n_values()];
        for (&input, array) in inputs.iter().zip(arrays) {
            watch(input, array);
            values[input as usize] = Some(array.clone());
        }
        for ((id, free), Bound { op, outputs }) in self.plan.iter().zip(bound) {
            let node = records.node(*id);
            let op = op.as_ref().unwrap_or(&node.op);
            let arrays: SmallVec<[&Array; 4]> = (node.inputs.iter())
                .map(|&input| values[input as usize].as_ref().expect("earlier nodes were computed"))
                .collect();
            let computed =
                backprop_cpu::eval(op, &arrays, outputs).map_err(|ill| records.faulted(*id, ill))?;
            drop(arrays);
            for (value, array) in node.outputs().zip(computed) {
                // A value that was given stays.
                if values[value as usize].is_none() {
                    watch(value, &array);
                    values[value as usize] = Some(array);
                }
            }
            for &value in free {
                values[value as usize].take().into_iter().for_each(pool::give);
            }
        }
        let read = |&output: &ValueId| values[output as usize].clone().expect("the plan covers the outputs");
        Ok(outputs.iter().map(read).collect())
    }
}

/// The needed nodes in order; after each, the values that were read for the last time.
fn plan(records: &Records, needed: &[bool], outputs: &[ValueId]) -> Vec<(NodeId, SmallVec<[ValueId; 2]>)> {
    let mut kept = vec![false; records.n_values()];
    outputs.iter().for_each(|&output| kept[output as usize] = true);
    let mut plan = Vec::new();
    for id in (0..records.n_nodes() as NodeId).rev().filter(|&id| needed[id as usize]) {
        let node = records.node(id);
        let mut free = SmallVec::new();
        for value in node.outputs().chain(node.inputs.iter().copied()) {
            if !std::mem::replace(&mut kept[value as usize], true) {
                free.push(value);
            }
        }
        plan.push((id, free));
    }
    plan.reverse();
    plan
}

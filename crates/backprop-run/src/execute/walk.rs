//! Walking a graph node by node with the tape's kernels. A value is freed after its last reader.
//!
//! It is slow beside compiled code; it says what every node computes, and so where something went wrong.

use backprop_core::array::pool;
use backprop_core::graph::records::ValueId;
use backprop_core::ops::Types;
use backprop_core::{Array, Bindings, Error, Ill, NodeId, Op, Records, Type};
use smallvec::SmallVec;

use super::type_of;

/// What is walked: the nodes that `outputs` need, where `inputs` are given.
pub struct Walk<'a> {
    pub records: &'a Records,
    pub needed: &'a [bool],
    pub inputs: &'a [ValueId],
    pub outputs: &'a [ValueId],
}

impl Walk<'_> {
    /// Computes the outputs; `watch` sees every value as soon as it is given or computed.
    ///
    /// # Errors
    /// A size that breaks a rule, or a fault in the data.
    pub fn run(
        &self,
        sizes: &Bindings,
        arrays: &[Array],
        watch: &mut dyn FnMut(ValueId, &Array),
    ) -> Result<Vec<Array>, Error> {
        let Walk { records, needed, inputs, outputs } = *self;
        let last_readers = self.last_readers();
        let mut values: Vec<Option<Array>> = vec![None; records.n_values()];
        for (&input, array) in inputs.iter().zip(arrays) {
            watch(input, array);
            values[input as usize] = Some(array.clone());
        }
        for id in (0..records.n_nodes() as NodeId).filter(|&id| needed[id as usize]) {
            let node = records.node(id);
            let arrays: SmallVec<[&Array; 4]> = (node.inputs.iter())
                .map(|&input| values[input as usize].as_ref().expect("earlier nodes were computed"))
                .collect();
            let operands: SmallVec<[Type; 4]> = arrays.iter().map(|array| type_of(array)).collect();
            let (op, types) = bound(records, id, sizes, &operands)?;
            let op = op.as_ref().unwrap_or(&node.op);
            let computed = backprop_cpu::eval(op, &arrays, &types).map_err(|ill| records.faulted(id, ill))?;
            drop(arrays);
            for (value, array) in node.outputs().zip(computed) {
                // A value that was given stays.
                if values[value as usize].is_none() {
                    watch(value, &array);
                    values[value as usize] = Some(array);
                }
            }
            for value in node.outputs().chain(node.inputs.iter().copied()) {
                if last_readers[value as usize] == id {
                    values[value as usize].take().into_iter().for_each(pool::give);
                }
            }
        }
        let read = |&output: &ValueId| values[output as usize].clone().expect("the walk covers the outputs");
        Ok(outputs.iter().map(read).collect())
    }

    /// For each value, the last node that reads it, or the one that computes it; [`NodeId::MAX`] for an output.
    fn last_readers(&self) -> Vec<NodeId> {
        let mut last = vec![0; self.records.n_values()];
        for (id, node) in (0..).zip(self.records.nodes()).filter(|&(id, _)| self.needed[id as usize]) {
            for value in node.outputs().chain(node.inputs.iter().copied()) {
                last[value as usize] = id;
            }
        }
        self.outputs.iter().for_each(|&output| last[output as usize] = NodeId::MAX);
        last
    }
}

/// The op of a node with its dimensions as numbers, where it names some; the types of its outputs.
///
/// # Errors
/// A name without a size; a size that breaks a rule.
pub fn bound(
    records: &Records,
    id: NodeId,
    sizes: &Bindings,
    operands: &[Type],
) -> Result<(Option<Op>, Types), Error> {
    let faulted = |ill: Ill| records.faulted(id, ill);
    let own = &records.node(id).op;
    let op = own.bind(sizes).map_err(|rule| faulted(Ill::new(rule)))?;
    let outputs = op.as_ref().unwrap_or(own).infer(operands).map_err(faulted)?;
    Ok((op, outputs))
}

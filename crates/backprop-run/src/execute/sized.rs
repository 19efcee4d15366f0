//! A graph for known sizes: the needed nodes alone, every dimension a number.

use backprop_core::graph::records::ValueId;
use backprop_core::ops::Input;
use backprop_core::{Array, NodeId, Records};
use smallvec::SmallVec;

use super::type_of;
use super::walk::Bound;

/// Records whose inputs are those of the executable, in order; what is given in the middle of a graph is an
/// input here.
pub struct Sized {
    pub records: Records,
    pub inputs: Vec<ValueId>,
    pub outputs: Vec<ValueId>,
}

impl Sized {
    /// The nodes of `steps`, for inputs of the types of `arrays`.
    pub fn new<'a>(
        old: &Records,
        steps: impl Iterator<Item = (NodeId, &'a Bound)>,
        inputs: &[ValueId],
        arrays: &[Array],
        outputs: &[ValueId],
    ) -> Sized {
        const NONE: ValueId = ValueId::MAX;
        let mut records = old.within();
        let mut map: Vec<ValueId> = vec![NONE; old.n_values()];
        for (&input, array) in inputs.iter().zip(arrays) {
            let node = old.node(old.producer(input));
            let op = Input { ty: type_of(array) }.into();
            let id = records.push(op, SmallVec::new(), node.place, node.part);
            map[input as usize] = records.node(id).first;
        }
        for (id, bound) in steps {
            let node = old.node(id);
            let op = bound.op.as_ref().unwrap_or(&node.op).clone();
            let operands = node.inputs.iter().map(|&input| map[input as usize]).collect();
            let new = records.push(op, operands, node.place, node.part);
            for (value, new) in node.outputs().zip(records.node(new).outputs()) {
                // A value that was given stays.
                if map[value as usize] == NONE {
                    map[value as usize] = new;
                }
            }
        }
        for (value, name) in old.names().filter(|&(value, _)| map[value as usize] != NONE) {
            records.set_name(map[value as usize], name).expect("names differ, as they did before");
        }
        let [inputs, outputs] =
            [inputs, outputs].map(|list| list.iter().map(|&value| map[value as usize]).collect());
        Sized { records, inputs, outputs }
    }
}

//! A graph for known sizes: every dimension that is needed is a number.

use std::sync::Arc;

use backprop_core::graph::records::ValueId;
use backprop_core::{Array, Bindings, Error, Node, NodeId, Op, Records, Type, ops};
use smallvec::SmallVec;

use super::type_of;
use super::walk::{Walk, bound};

/// Records whose inputs are those of the executable, in order; what is given in the middle of a graph is an
/// input here.
pub struct Sized {
    pub records: Arc<Records>,
    pub inputs: Vec<ValueId>,
    pub outputs: Vec<ValueId>,
}

impl Sized {
    /// A graph that is what it will be for all sizes, as it stands: see [`is_sized`]. It may be large.
    pub fn shared(records: &Arc<Records>, inputs: &[ValueId], outputs: &[ValueId]) -> Sized {
        Sized { records: records.clone(), inputs: inputs.to_vec(), outputs: outputs.to_vec() }
    }

    /// The needed nodes, for inputs of the types of `arrays`.
    ///
    /// # Errors
    /// A size that breaks a rule.
    pub fn new(walk: &Walk, sizes: &Bindings, arrays: &[Array]) -> Result<Sized, Error> {
        const NONE: ValueId = ValueId::MAX;
        let old = walk.records;
        let mut records = old.within();
        let mut map: Vec<ValueId> = vec![NONE; old.n_values()];
        for (&input, array) in walk.inputs.iter().zip(arrays) {
            let node = old.node(old.producer(input));
            let op = ops::Input { ty: type_of(array) }.into();
            let id = records.push(op, SmallVec::new(), node.place, node.part);
            map[input as usize] = records.node(id).first;
        }
        for id in (0..old.n_nodes() as NodeId).filter(|&id| walk.needed[id as usize]) {
            let node = old.node(id);
            let operands = node.inputs.iter().map(|&input| map[input as usize]).collect::<SmallVec<_>>();
            let types: SmallVec<[Type; 4]> = (operands.iter())
                .map(|&operand| records.ty(operand).expect("what is ill was refused"))
                .collect();
            let (op, _) = bound(old, id, sizes, &types)?;
            let op = op.unwrap_or_else(|| node.op.clone());
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
            [walk.inputs, walk.outputs].map(|list| list.iter().map(|&value| map[value as usize]).collect());
        Ok(Sized { records: Arc::new(records), inputs, outputs })
    }
}

/// Whether the needed part of a graph is the same for all sizes that may be given: what is given are inputs,
/// and nothing names a dimension.
pub fn is_sized(records: &Records, needed: &[bool], inputs: &[ValueId]) -> bool {
    let is_number = |node: &Node| {
        let is_known = |value: ValueId| records.ty(value).is_some_and(|ty| ty.shape.sizes().is_some());
        node.outputs().all(is_known) && matches!(node.op.bind(&Bindings::new()), Ok(None))
    };
    let given = |&input: &ValueId| records.node(records.producer(input));
    inputs.iter().map(given).all(|node| matches!(node.op, Op::Input(_)) && is_number(node))
        && records.nodes().iter().zip(needed).filter(|(_, needed)| **needed).all(|(node, _)| is_number(node))
}

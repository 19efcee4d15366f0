//! The reference interpreter: a graph's meaning, spelt out.
//!
//! It walks the records and asks each op's own [`Rule::eval`](crate::ops::Rule::eval), the definition
//! from `std` and `libm`, and shares nothing with the kernels that it is compared to. It is slow, keeps
//! every value, and trusts nothing: each result is held against the type that was inferred for it.

use std::collections::HashMap;

use crate::array::Array;
use crate::graph::fault::{Error, Ill};
use crate::graph::records::{NodeId, Records, ValueId};
use crate::graph::replay::needed;
use crate::ops::{Arrays, Op, Types};
use crate::types::{Bindings, Type};

/// The values of `outputs` where some values are given: inputs, or any others.
///
/// ```
/// use backprop_core::{Array, Graph, interpret};
/// let g = Graph::new();
/// let x = g.input("x", "f64[N]");
/// let y = x.square().sum(());
/// let values = interpret(&g.records(), &[(x.id(), Array::from([3.0, 4.0]))], &[y.id()])?;
/// assert_eq!(values[0].item().ok(), Some(25.0));
/// # Ok::<(), backprop_core::Error>(())
/// ```
///
/// # Errors
/// Every fault that an output depends on; an input that is needed but not given; a given array of the
/// wrong type or size; a fault in the data.
pub fn interpret(
    records: &Records,
    inputs: &[(ValueId, Array)],
    outputs: &[ValueId],
) -> Result<Vec<Array>, Error> {
    records.check(inputs.iter().map(|&(value, _)| value).chain(outputs.iter().copied()))?;
    let given: Vec<(ValueId, &Array)> = inputs.iter().map(|(value, array)| (*value, array)).collect();
    let sizes = records.sizes(&given, "interpret")?;
    let mut values: HashMap<ValueId, Array> = inputs.iter().cloned().collect();
    for id in needed(records, outputs, |value| values.contains_key(&value)) {
        let node = records.node(id);
        let operands: Vec<&Array> = node.inputs.iter().map(|input| &values[input]).collect();
        let computed = call(records, id, &sizes, &operands)?;
        for (output, array) in node.outputs().zip(computed) {
            values.entry(output).or_insert(array);
        }
    }
    Ok(outputs.iter().map(|output| values[output].clone()).collect())
}

/// The results of one node.
fn call(records: &Records, id: NodeId, sizes: &Bindings, operands: &[&Array]) -> Result<Arrays, Error> {
    let node = records.node(id);
    if matches!(node.op, Op::Input(_)) {
        let label = records.label(node.first);
        return Err(records.faulted(id, Ill::new(format!("input {label} is needed but not given"))));
    }
    let at_fault = |ill| records.faulted(id, ill);
    let bound = node.op.bind(sizes).map_err(|rule| at_fault(Ill::new(rule)))?;
    let op = bound.as_ref().unwrap_or(&node.op);
    let types: Vec<Type> = operands.iter().map(|array| type_of(array)).collect();
    let inferred: Types = op.infer(&types).map_err(at_fault)?;
    let computed = op.rule().eval(operands, &inferred).map_err(at_fault)?;
    assert_eq!(computed.len(), node.n_outputs as usize, "{} computes another number of outputs", op.name());
    for ((output, &ty), array) in node.outputs().zip(&inferred).zip(&computed) {
        assert_eq!(type_of(array), ty, "{} computes another type than it infers", op.name());
        let declared = records.ty(output).expect("ill nodes were refused");
        if let Ok(shape) = declared.shape.eval(sizes) {
            let declared = Type::new(declared.dtype, &shape[..]);
            assert_eq!(ty, declared, "{} has another type than when it was called", op.name());
        }
    }
    Ok(computed)
}

fn type_of(array: &Array) -> Type {
    Type::new(array.dtype(), array.sizes())
}

//! Smooth dependence: along which edges a derivative passes.

use super::records::{NodeId, Part, Records, ValueId};
use crate::ops::{Family, Op};

/// Why no derivative passes through an edge, or `None` if one does.
pub fn cut(records: &Records, node: NodeId, slot: usize) -> Option<&'static str> {
    let node = records.node(node);
    if node.part == Part::NoGrad {
        return Some("computed under no_grad");
    }
    let is_float = |value: ValueId| records.ty(value).is_none_or(|ty| ty.dtype.is_float());
    flat(&node.op, slot, is_float(node.inputs[slot]), node.outputs().any(is_float))
}

/// Why an op passes no derivative to an operand, or `None` if it does.
pub fn flat(op: &Op, slot: usize, float_in: bool, float_out: bool) -> Option<&'static str> {
    if let Some(why) = match op.family() {
        Family::None(why) => Some(why),
        Family::Linear(rule) if !rule.is_linear_in(slot) => Some("indices are integers"),
        Family::General(rule) => rule.no_derivative(slot),
        _ => None,
    } {
        return Some(why);
    }
    if !float_in {
        return Some("integers and truth values have no derivative");
    }
    if !float_out {
        return Some("the result is not a float");
    }
    None
}

/// Which of some values depend smoothly on which of others.
#[derive(Clone, Debug)]
pub(crate) struct Dependence {
    /// For each of the outputs, the inputs that it depends on, one bit each.
    outputs: Vec<Vec<u64>>,
}

impl Dependence {
    /// The dependence of `outputs` on `inputs`, by one pass over the records.
    pub fn new(records: &Records, inputs: &[ValueId], outputs: &[ValueId]) -> Dependence {
        let n_words = inputs.len().div_ceil(64);
        let mut sets = vec![0u64; records.n_values() * n_words];
        let at = |value: ValueId| value as usize * n_words;
        for (idx, &input) in inputs.iter().enumerate() {
            sets[at(input) + idx / 64] |= 1 << (idx % 64);
        }
        for (id, node) in records.nodes().iter().enumerate() {
            for (slot, &input) in node.inputs.iter().enumerate() {
                if cut(records, id as NodeId, slot).is_some() {
                    continue;
                }
                for output in node.outputs() {
                    for word in 0..n_words {
                        sets[at(output) + word] |= sets[at(input) + word];
                    }
                }
            }
        }
        let set = |&output: &ValueId| sets[at(output)..at(output) + n_words].to_vec();
        Dependence { outputs: outputs.iter().map(set).collect() }
    }

    /// Whether output number `output_idx` depends smoothly on input number `input_idx`.
    pub fn holds(&self, input_idx: usize, output_idx: usize) -> bool {
        self.outputs[output_idx][input_idx / 64] >> (input_idx % 64) & 1 == 1
    }
}

//! One small call of every operation, for `backprop ops`.

use backprop_core::{Array, Op, Type};

use crate::failure::Failure;

/// An op with operands that show what it does.
pub struct Sample {
    /// The op, with its parameters.
    pub op: Op,
    /// What it is called on.
    pub operands: Vec<Array>,
    /// Whether it takes any number of operands.
    pub variadic: bool,
}

impl Sample {
    /// What the op's own definition computes.
    pub fn results(&self) -> Result<Vec<Array>, Failure> {
        let wrong = |ill: backprop_core::Ill| Failure::failed(format!("{}: {}", self.op.name(), ill.rule));
        let types: Vec<Type> =
            self.operands.iter().map(|array| Type::new(array.dtype(), array.shape())).collect();
        let outputs = self.op.infer(&types).map_err(wrong)?;
        let operands: Vec<&Array> = self.operands.iter().collect();
        Ok(self.op.rule().eval(&operands, &outputs).map_err(wrong)?.into_vec())
    }
}

/// The first sample of every op, in the order of the registry. An input has no value of its own.
pub fn samples() -> Vec<Sample> {
    let mut all: Vec<Sample> = Vec::new();
    for (op, operands) in Op::samples() {
        match all.iter_mut().find(|sample| sample.op.name() == op.name()) {
            // Control flow takes what its bodies capture: that is no list.
            Some(sample) if op.rule().bodies().is_empty() => {
                sample.variadic |= operands.len() != sample.operands.len();
            }
            Some(_) => {}
            None if matches!(op, Op::Input(_)) => {}
            None => all.push(Sample { variadic: !op.rule().bodies().is_empty(), op, operands }),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use backprop_core::text::Registry;

    #[test]
    fn every_op_of_the_registry_has_a_sample_that_runs() {
        let all = samples();
        for name in Registry::new().names().filter(|name| *name != "input") {
            let sample = all.iter().find(|sample| sample.op.name() == name);
            let sample = sample.unwrap_or_else(|| panic!("{name} has no sample"));
            assert_eq!(sample.results().expect("it runs").len(), sample.op.n_outputs(), "{name}");
        }
    }
}

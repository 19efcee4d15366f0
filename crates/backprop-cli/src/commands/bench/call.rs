//! An executable and its inputs, called again and again.

use backprop_core::{Array, Error, Graph, Tensor};
use backprop_run::{Executable, compile};

/// A compiled function of arrays that stay the same.
pub struct Call {
    executable: Executable,
    /// In the order of the graph's inputs.
    pub inputs: Vec<Array>,
}

impl Call {
    /// Compiles `outputs` of `graph`, from all of its inputs, which are `inputs` in order.
    pub fn new(graph: &Graph, outputs: &[Tensor], inputs: Vec<Array>) -> Result<Call, Error> {
        let own: Vec<Tensor> = graph.inputs().into_iter().map(|(input, _)| input).collect();
        Ok(Call { executable: compile(graph, &own, outputs)?, inputs })
    }

    /// Computes; the first output, if it is one number.
    pub fn run(&self) -> Result<f64, Error> {
        let outputs = self.executable.run(&self.inputs)?;
        Ok(outputs[0].item().unwrap_or(f64::NAN))
    }

    /// The bytes of its arena.
    pub fn arena_bytes(&self) -> Option<usize> {
        self.executable.program(&self.inputs).ok().map(|own| own.arena_bytes)
    }
}

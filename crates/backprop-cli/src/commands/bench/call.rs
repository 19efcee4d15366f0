//! An executable and its inputs, called again and again.

use backprop_core::{Array, Error, Graph, Tensor};
use backprop_run::{CompileOptions, Executable, StepProfile, compile};

/// A compiled function of arrays that stay the same.
pub struct Call {
    executable: Executable,
    /// In the order of the graph's inputs.
    pub inputs: Vec<Array>,
    /// Nothing before the first run.
    outputs: Vec<Array>,
}

impl Call {
    /// Compiles `outputs` of `graph`, from all of its inputs, which are `inputs` in order.
    pub fn new(
        graph: &Graph,
        outputs: &[Tensor],
        inputs: Vec<Array>,
        options: CompileOptions,
    ) -> Result<Call, Error> {
        let own: Vec<Tensor> = graph.inputs().into_iter().map(|(input, _)| input).collect();
        Call::of(graph, &own, outputs, inputs, options)
    }

    /// Compiles `outputs` of `graph` from some of its inputs, which are `arrays`.
    pub fn of(
        graph: &Graph,
        inputs: &[Tensor],
        outputs: &[Tensor],
        arrays: Vec<Array>,
        options: CompileOptions,
    ) -> Result<Call, Error> {
        let executable = compile(graph, inputs, outputs)?.with_options(options);
        Ok(Call { executable, inputs: arrays, outputs: Vec::new() })
    }

    /// Computes; the first output, if it is one number.
    pub fn run(&mut self) -> Result<f64, Error> {
        match self.outputs.is_empty() {
            true => self.outputs = self.executable.run(&self.inputs)?,
            false => self.executable.run_into(&self.inputs, &mut self.outputs)?,
        }
        Ok(if self.outputs[0].len() == 1 { self.outputs[0].item().unwrap_or(f64::NAN) } else { f64::NAN })
    }

    /// What each step takes, the median of so many runs.
    pub fn profile(&self, n_runs: usize) -> Result<Vec<StepProfile>, Error> {
        self.executable.profile(&self.inputs, n_runs)
    }

    /// The bytes of its arena.
    pub fn arena_bytes(&self) -> Option<usize> {
        self.executable.arena_bytes(&self.inputs).ok()
    }

    /// The threads of its runs.
    pub fn n_threads(&self) -> usize {
        self.executable.n_threads()
    }
}

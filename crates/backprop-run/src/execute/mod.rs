//! Running a graph: it is checked once; for each set of sizes it is lowered to loops and compiled; and it runs.
//!
//! ```text
//! Graph ─ compile ─► Executable ─ run ─► sizes known?  ─ yes ─► machine code (or portable loops) on an arena
//!                                          └ no ─► sized: all dimensions are numbers
//!                                                  simplify, lower, compile; kept for the next run
//!         walk: node by node with the tape's kernels, to say where something went wrong
//! ```

mod executable;
mod passes;
mod sized;
mod specialised;
mod walk;

use backprop_core::{Array, Error, Fault, Graph, Tensor, Type, substitute};
use backprop_cpu::engine::Engine;
use backprop_opt::simplify::Options as Rewrites;

pub use executable::{Executable, StepProfile};
pub use passes::{Applied, Pass, Plan};

/// How an [`Executable`] runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileOptions {
    /// What runs the loops.
    pub engine: Engine,
    /// The number of threads, at most [`MAX_THREADS`](crate::MAX_THREADS); for 0, one. It does not change the
    /// bits of the results.
    pub threads: usize,
    /// Which rewrites of the graph are allowed; [`Rewrites::FAST`](backprop_opt::simplify::Options::FAST) unless
    /// said otherwise.
    pub rewrites: Rewrites,
    /// The most bytes that a run may take beside inputs and outputs; `None`: as many as there are.
    pub max_bytes: Option<usize>,
}

impl Default for CompileOptions {
    fn default() -> CompileOptions {
        CompileOptions { engine: Engine::default(), threads: 1, rewrites: Rewrites::FAST, max_bytes: None }
    }
}

/// Makes `graph` ready to compute `outputs` from `inputs`.
///
/// # Errors
/// Every fault that an input or output depends on, each with its place; inputs that are missing, or given
/// twice.
pub fn compile(graph: &Graph, inputs: &[Tensor], outputs: &[Tensor]) -> Result<Executable, Error> {
    for tensor in inputs.iter().chain(outputs) {
        if tensor.context() != graph.id() {
            let rule = format!("an input or output: {}", tensor.context().stray());
            return Err(Fault::new("compile", rule).into());
        }
    }
    Executable::new(
        graph.records(),
        inputs.iter().map(|input| input.id()).collect(),
        outputs.iter().map(|output| output.id()).collect(),
    )
}

/// As [`compile`], with some values computed from others: wherever `outputs` depend on the first
/// value of a pair, they read the second, as Theano's `givens`. The graph itself stays as it is.
///
/// ```
/// use backprop_core::{Array, Graph};
/// use backprop_run::compile_given;
/// let g = Graph::new();
/// let (x, y) = (g.input("x", "f64[]"), g.input("y", "f64[]"));
/// let z = x * y + 1.0;
/// let at_square = compile_given(&g, &[x], &[z], &[(y, x * x)])?;
/// assert_eq!(at_square.run(&[Array::scalar(3.0)])?[0].item().ok(), Some(28.0));
/// # Ok::<(), backprop_core::Error>(())
/// ```
///
/// # Errors
/// As [`compile`]; a pair of different types; a value that is given twice, or is given and also an
/// input; a value of another graph.
pub fn compile_given(
    graph: &Graph,
    inputs: &[Tensor],
    outputs: &[Tensor],
    givens: &[(Tensor, Tensor)],
) -> Result<Executable, Error> {
    let given = |rule: String| Err(Fault::new("compile", rule).into());
    for (position, &(old, new)) in givens.iter().enumerate() {
        if let Some(stray) = [old, new].into_iter().find(|value| value.context() != graph.id()) {
            return given(format!("a given value: {}", stray.context().stray()));
        }
        if let (Some(was), Some(is)) = (old.ty(), new.ty())
            && was != is
        {
            return given(format!("{new:?} cannot be given for {old:?}: the types differ"));
        }
        if inputs.iter().any(|input| input.is(old)) {
            return given(format!("{old:?} is an input, and a value is given for it as well: leave one out"));
        }
        if givens[..position].iter().any(|&(before, _)| before.is(old)) {
            return given(format!("{old:?} is given twice"));
        }
    }
    let (copy, in_copy) = graph.duplicate();
    let pairs: Vec<(Tensor, Tensor)> =
        givens.iter().map(|&(old, new)| (in_copy(old), in_copy(new))).collect();
    let [inputs, outputs] =
        [inputs, outputs].map(|list| list.iter().map(|&tensor| in_copy(tensor)).collect::<Vec<_>>());
    compile(&copy, &inputs, &substitute(&outputs, &pairs))
}

/// Runs `graph` once: `outputs` from the named `inputs`.
///
/// # Errors
/// As [`compile`] and [`Executable::run`]; a name that is no input.
pub fn run(graph: &Graph, inputs: &[(&str, Array)], outputs: &[Tensor]) -> Result<Vec<Array>, Error> {
    let mut handles = Vec::with_capacity(inputs.len());
    let mut unknown = Vec::new();
    for (name, _) in inputs {
        match graph.get(name) {
            Some(input) => handles.push(input),
            None => unknown.push(Fault::new("run", format!("the graph has no input called `{name}`"))),
        }
    }
    if !unknown.is_empty() {
        return Err(Error::new(unknown));
    }
    let arrays: Vec<Array> = inputs.iter().map(|(_, array)| array.clone()).collect();
    compile(graph, &handles, outputs)?.run(&arrays)
}

fn type_of(array: &Array) -> Type {
    Type::new(array.dtype(), array.shape())
}

//! Running a graph: it is checked once; for each set of sizes it is lowered to loops and compiled; and it runs.
//!
//! ```text
//! Graph ─ compile ─► Executable ─ run ─► sizes known?  ─ yes ─► machine code (or portable loops) on an arena
//!                                          └ no ─► sized: all dimensions are numbers
//!                                                  simplify, lower, compile; kept for the next run
//!         walk: node by node with the tape's kernels, to say where something went wrong
//! ```

mod passes;
mod sized;
mod specialised;
mod walk;

use std::sync::{Arc, Mutex, PoisonError};

use backprop_core::graph::records::ValueId;
use backprop_core::{
    Array, Bindings, Error, Fault, Graph, Node, NodeId, Op, Records, Tensor, Type, substitute,
};
use backprop_cpu::engine::Engine;
use backprop_cpu::isa::Isa;
use backprop_opt::loops::{Outcome, Work};
use backprop_opt::simplify::Options as Rewrites;

pub use passes::{Applied, Pass, Plan};
use sized::{Sized, is_sized};
use specialised::Specialised;
use walk::Walk;

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

/// What one step of a program took.
#[derive(Clone, Debug)]
pub struct StepProfile {
    /// What it does: `contraction f32 [128, 512] = [128, 784]·[784, 512]`.
    pub what: String,
    /// The operations that it does, each once.
    pub ops: Vec<String>,
    /// The lines of the user's program that it comes from.
    pub places: Vec<String>,
    /// How long it took.
    pub time: std::time::Duration,
    /// What it computes and moves.
    pub work: Work,
}

/// A graph made ready to run: plain data, `Send + Sync`.
///
/// What follows from the sizes of the inputs alone, the machine code above all, is kept for the sets of sizes
/// that were run last.
pub struct Executable {
    records: Arc<Records>,
    inputs: Vec<ValueId>,
    outputs: Vec<ValueId>,
    /// For each node, whether the outputs need it.
    needed: Vec<bool>,
    /// Whether the graph is the same for all sizes: none is named.
    is_sized: bool,
    options: CompileOptions,
    /// For each output, whether a value that is not finite is told; empty: none.
    watched: Vec<bool>,
    /// For the inputs' types of the last runs, the newest last.
    specialised: Mutex<Vec<Arc<Specialised>>>,
}

/// How many sets of sizes are kept: the batches, the last and smaller one, those of the test, and more.
const MAX_SPECIALISED: usize = 8;

const _: () = {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<Executable>();
};

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

impl Executable {
    /// The executable of these records.
    ///
    /// # Errors
    /// As [`compile`].
    pub fn new(
        records: impl Into<Arc<Records>>,
        inputs: Vec<ValueId>,
        outputs: Vec<ValueId>,
    ) -> Result<Executable, Error> {
        let records: Arc<Records> = records.into();
        records.check(inputs.iter().chain(&outputs).copied())?;
        let mut is_given = vec![false; records.n_values()];
        let mut faults = Vec::new();
        let about = |value: ValueId, what: &str| {
            let mut fault = Fault::new("compile", format!("input {} is {what}", records.label(value)));
            fault.place = Some(records.place(records.node(records.producer(value)).place));
            fault
        };
        for &input in &inputs {
            if std::mem::replace(&mut is_given[input as usize], true) {
                faults.push(about(input, "given twice"));
            }
        }
        let needed = needed(&records, &is_given, &outputs);
        let is_missing = |(node, needed): &(&Node, &bool)| **needed && matches!(node.op, Op::Input(_));
        let missing = records.nodes().iter().zip(&needed).filter(is_missing);
        faults.extend(missing.map(|(node, _)| about(node.first, "needed but not given")));
        if !faults.is_empty() {
            return Err(Error::new(faults));
        }
        let is_sized = is_sized(&records, &needed, &inputs);
        Ok(Executable {
            records,
            inputs,
            outputs,
            needed,
            is_sized,
            options: CompileOptions::default(),
            watched: Vec::new(),
            specialised: Mutex::default(),
        })
    }

    /// The same, run in another way. What was compiled before is forgotten.
    pub fn with_options(self, options: CompileOptions) -> Executable {
        Executable { options, specialised: Mutex::default(), ..self }
    }

    /// The same, where values of some outputs that are not finite are told by [`Executable::run_watching`].
    pub fn watching(self, watched: Vec<bool>) -> Executable {
        Executable { watched, specialised: Mutex::default(), ..self }
    }

    /// How it runs.
    pub fn options(&self) -> &CompileOptions {
        &self.options
    }

    /// The outputs for these inputs, in the order of [`compile`].
    ///
    /// # Errors
    /// An input of the wrong type or size; sizes that contradict each other; a fault in the data; more memory
    /// than there is or the options allow.
    pub fn run(&self, inputs: &[Array]) -> Result<Vec<Array>, Error> {
        let mut outputs = Vec::new();
        self.run_watching(inputs, &mut outputs)?;
        Ok(outputs)
    }

    /// As [`Executable::run`], into arrays that are there already. Nothing is allocated once the sizes have
    /// been run before, but for ops that run by their own definition. After an error the outputs hold anything.
    ///
    /// # Errors
    /// As [`Executable::run`]; an output of another type or size.
    pub fn run_into(&self, inputs: &[Array], outputs: &mut [Array]) -> Result<(), Error> {
        let specialised = self.specialise(inputs)?;
        specialised.check_outputs(outputs)?;
        self.run_on(&specialised, inputs, outputs).map(|_| ())
    }

    /// As [`Executable::run_into`], into whatever `outputs` holds: what is not of its output's type is replaced
    /// first. Whether every value of the watched outputs is finite.
    ///
    /// # Errors
    /// As [`Executable::run`].
    pub fn run_watching(&self, inputs: &[Array], outputs: &mut Vec<Array>) -> Result<bool, Error> {
        let specialised = self.specialise(inputs)?;
        specialised.fit_outputs(outputs).map_err(|error| self.too_large(inputs).unwrap_or(error))?;
        let outcome = self.run_on(&specialised, inputs, outputs)?;
        Ok(!outcome.is_not_finite)
    }

    fn run_on(
        &self,
        specialised: &Specialised,
        inputs: &[Array],
        outputs: &mut [Array],
    ) -> Result<Outcome, Error> {
        match specialised.run(inputs, outputs) {
            Ok(outcome) if !outcome.is_faulty => Ok(outcome),
            // The walk comes to the same fault, and says where.
            other => {
                self.walk(inputs)?;
                let why = other.err().unwrap_or_else(|| "a fault in the data".to_string());
                Err(Fault::new("run", why).into())
            }
        }
    }

    /// As [`Executable::run`], node by node with the tape's kernels: slowly, and with the tape's bits.
    ///
    /// # Errors
    /// As [`Executable::run`].
    pub fn walk(&self, inputs: &[Array]) -> Result<Vec<Array>, Error> {
        self.run_watched(inputs, &mut |_, _| ())
    }

    /// As [`Executable::walk`]; `watch` sees every value as soon as it is given or computed.
    ///
    /// # Errors
    /// As [`Executable::run`].
    pub fn run_watched(
        &self,
        inputs: &[Array],
        watch: &mut dyn FnMut(ValueId, &Array),
    ) -> Result<Vec<Array>, Error> {
        self.steps().run(&self.sizes(inputs)?, inputs, watch)
    }

    /// The graph after each pass, and the loops that come of it, for inputs of these types and sizes.
    ///
    /// # Errors
    /// As [`Executable::run`].
    pub fn plan(&self, inputs: &[Array]) -> Result<Plan, Error> {
        let mut passes = Vec::new();
        let how = specialised::lower_options(Isa::detect(), &self.watched);
        let rewrites = self.options.rewrites;
        let (records, program) = passes::lowered(self.sized(inputs)?, rewrites, &how, Some(&mut passes))?;
        Ok(Plan { passes, records, program })
    }

    /// The machine code of each step, as text in the syntax of Intel, for inputs of these types and sizes.
    ///
    /// # Errors
    /// As [`Executable::run`].
    pub fn assembly(&self, inputs: &[Array]) -> Result<String, Error> {
        Ok(self.specialise(inputs)?.assembly())
    }

    /// Runs `n_runs` times and measures each step of the program: the median of its times, and its work.
    ///
    /// # Errors
    /// As [`Executable::run`].
    pub fn profile(&self, inputs: &[Array], n_runs: usize) -> Result<Vec<StepProfile>, Error> {
        let specialised = self.specialise(inputs)?;
        let mut outputs = Vec::new();
        specialised.fit_outputs(&mut outputs)?;
        let times = specialised.profile(inputs, &mut outputs, n_runs);
        let times = times.map_err(|why| Fault::new("profile", why))?;
        let plan = self.plan(inputs)?;
        let steps = plan.program.steps.iter().zip(plan.ops()).zip(plan.places()).zip(times);
        let steps = steps.map(|(((step, ops), places), time)| StepProfile {
            what: step.kind.to_string(),
            ops: ops.into_iter().map(str::to_string).collect(),
            places,
            time,
            work: step.kind.work(&plan.program),
        });
        Ok(steps.collect())
    }

    /// The bytes that a run for inputs of these types and sizes takes at most, beside inputs and outputs. It is
    /// compiled for them, if it was not yet.
    ///
    /// # Errors
    /// As [`Executable::run`].
    pub fn arena_bytes(&self, inputs: &[Array]) -> Result<usize, Error> {
        Ok(self.specialise(inputs)?.arena_bytes())
    }

    /// The operations that it was made from.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// The graph with the sizes of these inputs.
    fn sized(&self, inputs: &[Array]) -> Result<Sized, Error> {
        let sizes = self.sizes(inputs)?;
        match self.is_sized {
            true => Ok(Sized::shared(&self.records, &self.inputs, &self.outputs)),
            false => Sized::new(&self.steps(), &sizes, inputs),
        }
    }

    fn steps(&self) -> Walk<'_> {
        Walk { records: &self.records, needed: &self.needed, inputs: &self.inputs, outputs: &self.outputs }
    }

    /// The sizes that the inputs give to names.
    ///
    /// # Errors
    /// Inputs of the wrong number, type or size; sizes that contradict each other.
    fn sizes(&self, arrays: &[Array]) -> Result<Bindings, Error> {
        if self.inputs.len() != arrays.len() {
            let rule = format!("{} inputs are wanted, but {} were given", self.inputs.len(), arrays.len());
            return Err(Fault::new("run", rule).into());
        }
        let given: Vec<(ValueId, &Array)> = self.inputs.iter().copied().zip(arrays).collect();
        self.records.sizes(&given, "run")
    }

    /// The first value that there is no memory for, as a fault of the op that computes it.
    fn too_large(&self, inputs: &[Array]) -> Option<Error> {
        let sizes = self.sizes(inputs).ok()?;
        let mut types: Vec<Option<Type>> = vec![None; self.records.n_values()];
        self.inputs.iter().zip(inputs).for_each(|(&x, array)| types[x as usize] = Some(type_of(array)));
        let needed = (0..).zip(self.records.nodes()).filter(|&(id, _)| self.needed[id as usize]);
        for (id, node) in needed {
            let operands: Option<Vec<Type>> = node.inputs.iter().map(|&x| types[x as usize]).collect();
            let (_, outputs) = walk::bound(&self.records, id, &sizes, &operands?).ok()?;
            let large = |ty: &Type| backprop_cpu::want_memory(*ty, ty.shape.n_elements()).err();
            if let Some(ill) = outputs.iter().find_map(large) {
                return Some(self.records.faulted(id as NodeId, ill));
            }
            for (value, &ty) in node.outputs().zip(&outputs) {
                types[value as usize].get_or_insert(ty);
            }
        }
        None
    }

    /// What is compiled for the sizes of these inputs.
    fn specialise(&self, inputs: &[Array]) -> Result<Arc<Specialised>, Error> {
        // Nothing is compiled under the lock: a rule may be a user's.
        let kept = || self.specialised.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = kept();
        if let Some(at) = known.iter().rposition(|known| known.is_for(inputs)) {
            known[at..].rotate_left(1);
            return Ok(known[known.len() - 1].clone());
        }
        drop(known);
        let new = Specialised::new(self.sized(inputs)?, inputs, &self.watched, &self.options);
        let new = Arc::new(new.map_err(|error| self.too_large(inputs).unwrap_or(error))?);
        let mut kept = kept();
        // Another caller may have come first.
        if let Some(known) = kept.iter().find(|known| known.is_for(inputs)) {
            return Ok(known.clone());
        }
        if kept.len() == MAX_SPECIALISED {
            kept.remove(0);
        }
        kept.push(new.clone());
        Ok(new)
    }
}

/// For each node, whether it is computed: an output of several may be needed while another is given.
fn needed(records: &Records, is_given: &[bool], outputs: &[ValueId]) -> Vec<bool> {
    let mut is_read = vec![false; records.n_values()];
    outputs.iter().for_each(|&output| is_read[output as usize] = true);
    let mut needed = vec![false; records.n_nodes()];
    for (node, needed) in records.nodes().iter().zip(&mut needed).rev() {
        *needed = node.outputs().any(|value| is_read[value as usize] && !is_given[value as usize]);
        if *needed {
            node.inputs.iter().for_each(|&input| is_read[input as usize] = true);
        }
    }
    needed
}

fn type_of(array: &Array) -> Type {
    Type::new(array.dtype(), array.shape())
}

//! A graph made ready to run, and its ways to run.

use std::sync::{Arc, Mutex, PoisonError};

use backprop_core::graph::records::ValueId;
use backprop_core::{Array, Bindings, Error, Fault, Node, NodeId, Op, Records, Type};
use backprop_cpu::engine::MAX_THREADS;
use backprop_cpu::isa::Isa;
use backprop_opt::loops::{Outcome, Work};

use super::passes::{self, Plan};
use super::sized::{Sized, is_sized};
use super::specialised::{self, Specialised};
use super::walk::{self, Walk};
use super::{CompileOptions, type_of};

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

impl Executable {
    /// The executable of these records.
    ///
    /// # Errors
    /// As [`compile`](super::compile).
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

    /// The outputs for these inputs, in the order of [`compile`](super::compile).
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

    /// The threads of its runs: fewer than the options ask for where the system refused some, for any of the sizes
    /// that were run last. Before the first run, as many as they ask for.
    pub fn n_threads(&self) -> usize {
        let known = self.specialised.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = self.options.threads.clamp(1, MAX_THREADS);
        known.iter().map(|specialised| specialised.n_threads()).min().unwrap_or(asked)
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

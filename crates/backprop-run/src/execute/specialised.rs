//! What is compiled for one set of sizes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use backprop_core::{Array, Error, Fault, Type};
use backprop_cpu::engine::{Arena, Choice, Compiled};
use backprop_cpu::isa::Isa;
use backprop_opt::loops::Outcome;
use backprop_opt::lower;

use super::passes::lowered;
use super::sized::Sized;
use super::{CompileOptions, type_of};

/// A compiled program, and arenas for those who run it.
pub struct Specialised {
    inputs: Box<[Type]>,
    outputs: Box<[Type]>,
    compiled: Compiled,
    threads: usize,
    /// The threads that the system gave.
    n_threads: usize,
    /// Arenas that nobody uses now: as many as there were callers at a time.
    idle: Mutex<Vec<Arena>>,
}

impl Specialised {
    /// Lowers and compiles a graph.
    ///
    /// # Errors
    /// The arena would be larger than the options allow, or than memory.
    pub fn new(
        sized: Sized,
        inputs: &[Array],
        watched: &[bool],
        options: &CompileOptions,
    ) -> Result<Specialised, Error> {
        let choice = Choice { engine: options.engine, ..Choice::default() };
        let outputs = sized.outputs.iter();
        let outputs = outputs.map(|&output| sized.records.ty(output).expect("it was checked")).collect();
        let how = lower_options(choice.isa, watched);
        let (_, program) = lowered(sized, options.rewrites, &how, None)?;
        let compiled =
            Compiled::new(Arc::new(program), choice).expect("lowering keeps the rules of programs");
        let (bytes, threads) = (compiled.arena_bytes(options.threads), options.threads);
        if let Some(most) = options.max_bytes.filter(|&most| bytes > most) {
            let mut fault =
                Fault::new("compile", format!("the arena takes {bytes} bytes, above the {most} allowed"));
            fault.hint = Some("smaller batches take less".to_string());
            return Err(fault.into());
        }
        let inputs = inputs.iter().map(type_of).collect();
        let idle = Mutex::default();
        let mut specialised = Specialised { inputs, outputs, compiled, threads, n_threads: threads, idle };
        // That there is no memory is said before anything runs.
        let arena = specialised.arena()?;
        specialised.n_threads = arena.n_threads();
        specialised.give_back(arena);
        Ok(specialised)
    }

    /// The threads of a run: fewer than were asked for where the system refuses some.
    pub fn n_threads(&self) -> usize {
        self.n_threads
    }

    /// The bytes of an arena.
    pub fn arena_bytes(&self) -> usize {
        self.compiled.arena_bytes(self.threads)
    }

    /// Whether it is compiled for inputs of these types.
    pub fn is_for(&self, inputs: &[Array]) -> bool {
        self.inputs.len() == inputs.len()
            && self.inputs.iter().zip(inputs).all(|(&ty, array)| ty == type_of(array))
    }

    /// Replaces what is not of its output's type by zeros that are.
    ///
    /// # Errors
    /// There is no memory for them.
    pub fn fit_outputs(&self, outputs: &mut Vec<Array>) -> Result<(), Error> {
        outputs.truncate(self.outputs.len());
        for (position, &ty) in self.outputs.iter().enumerate() {
            if outputs.get(position).map(type_of) == Some(ty) {
                continue;
            }
            let sizes = ty.shape.sizes().expect("sizes are numbers when a graph runs");
            let zeros =
                Array::zeros(ty.dtype, sizes).map_err(|error| Fault::new("run", error.to_string()))?;
            match outputs.get_mut(position) {
                Some(output) => *output = zeros,
                None => outputs.push(zeros),
            }
        }
        Ok(())
    }

    /// # Errors
    /// An array that is not of its output's type.
    pub fn check_outputs(&self, outputs: &[Array]) -> Result<(), Error> {
        let (wanted, given) = (self.outputs.len(), outputs.len());
        if wanted != given {
            let rule = format!("there are {wanted} outputs, but {given} arrays were given for them");
            return Err(Fault::new("run", rule).into());
        }
        match self.outputs.iter().zip(outputs).position(|(&ty, array)| ty != type_of(array)) {
            None => Ok(()),
            Some(at) => {
                let (wanted, given) = (self.outputs[at], type_of(&outputs[at]));
                let rule = format!("output {at} is {wanted}, but the array for it is {given}");
                Err(Fault::new("run", rule).into())
            }
        }
    }

    /// Runs it.
    ///
    /// # Errors
    /// A fault in an op that runs by its own definition; or no memory.
    pub fn run(&self, inputs: &[Array], outputs: &mut [Array]) -> Result<Outcome, String> {
        let mut arena = self.arena().map_err(|error| error.to_string())?;
        let outcome = self.compiled.run(&mut arena, inputs, outputs);
        self.give_back(arena);
        outcome.map_err(|failure| failure.ill.rule)
    }

    /// Runs it so many times; for each step, how long it took, the median.
    ///
    /// # Errors
    /// As [`Specialised::run`].
    pub fn profile(
        &self,
        inputs: &[Array],
        outputs: &mut [Array],
        n_runs: usize,
    ) -> Result<Vec<Duration>, String> {
        let mut arena = self.arena().map_err(|error| error.to_string())?;
        let mut times: Vec<Vec<Duration>> = vec![Vec::new(); self.compiled.program().steps.len()];
        for _ in 0..n_runs.max(1) {
            let mut last = Instant::now();
            let outcome = self.compiled.run_timed(&mut arena, inputs, outputs, |step| {
                let now = Instant::now();
                times[step].push(now - last);
                last = now;
            });
            outcome.map_err(|failure| failure.ill.rule)?;
        }
        self.give_back(arena);
        times.iter_mut().for_each(|times| times.sort_unstable());
        Ok(times.iter().map(|times| times[times.len() / 2]).collect())
    }

    /// The machine code as text.
    pub fn assembly(&self) -> String {
        self.compiled.assembly()
    }

    fn arena(&self) -> Result<Arena, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(arena) => Ok(arena),
            None => self.compiled.arena(self.threads).map_err(|why| Fault::new("run", why).into()),
        }
    }

    fn give_back(&self, arena: Arena) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(arena);
    }
}

/// How a graph is lowered for an instruction set.
pub fn lower_options(isa: Isa, watched: &[bool]) -> lower::Options {
    lower::Options { vector_bytes: isa.vector_bytes(), watched: watched.to_vec() }
}

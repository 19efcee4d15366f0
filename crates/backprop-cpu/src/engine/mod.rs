//! Runs whole programs of the loop IR.
//!
//! ```text
//! Program ─ verify ─► Compiled        kernels: immutable, shared by all callers
//!                        │ arena()
//!                        ▼
//!                      Arena          memory and threads of one caller, reused from run to run
//! run(arena, inputs, outputs): step by step; no heap allocation, but for ops that run by their definition
//! ```
//!
//! The work of a step is cut into units by its kernel, and units are dealt out by number; so the bits of the
//! results do not depend on the number of threads.

mod arena;
mod compile;
#[cfg(unix)]
mod guarded;
mod listing;
mod pool;
mod run;

use std::borrow::Borrow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backprop_core::{Array, DType, Ill, with_data};
use backprop_opt::loops::{ALIGN, BufferId, Outcome, Program};

pub use arena::Arena;
pub use pool::MAX_THREADS;

use crate::isa::Isa;
use arena::Memory;
use compile::{Counts, Lies, Ready, ready};
use pool::Pool;

/// How the steps of a program are to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The instruction set, which the processor must have.
    pub isa: Isa,
    /// What makes the kernels.
    pub engine: Engine,
    /// Which steps threads share.
    pub sharing: Sharing,
}

/// Which steps threads share. It does not change the bits of the results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Those that are long enough to wake threads for.
    #[default]
    Large,
    /// All: for tests.
    All,
}

/// What makes the kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// Machine code, made for the program; loops in plain Rust where there is none.
    #[default]
    Native,
    /// Loops in plain Rust.
    Portable,
}

impl Default for Choice {
    fn default() -> Choice {
        Choice { isa: Isa::detect(), engine: Engine::default(), sharing: Sharing::default() }
    }
}

/// A program, made ready to run any number of times, by any number of callers.
pub struct Compiled {
    id: u64,
    program: Arc<Program>,
    top: Ready,
    scratch: usize,
}

/// Why a run gave no results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The step of the program; `None` where what the caller gave does not fit.
    pub step: Option<usize>,
    /// What is wrong.
    pub ill: Ill,
}

impl Compiled {
    /// Verifies a program and makes its kernels.
    ///
    /// # Errors
    /// The rule of [`Program::verify`] that is broken, or an instruction set that the processor has not.
    pub fn new(program: Arc<Program>, choice: Choice) -> Result<Compiled, String> {
        static IDS: AtomicU64 = AtomicU64::new(0);
        program.verify()?;
        if !choice.isa.is_available() {
            return Err(format!("the processor has no {:?}", choice.isa));
        }
        let mut counts = Counts::default();
        let top = ready(&program, 0, choice, &mut counts);
        Ok(Compiled { id: IDS.fetch_add(1, Ordering::Relaxed), program, top, scratch: counts.scratch })
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The program, to make something else of it.
    pub fn shared_program(&self) -> Arc<Program> {
        self.program.clone()
    }

    /// The machine code of each step, as text for people: in the syntax of Intel, an instruction a line.
    pub fn assembly(&self) -> String {
        let mut text = String::new();
        listing::assembly(&self.program, &self.top, 0, &mut text);
        text
    }

    /// The bytes of the memory of an [`Arena`] for this number of threads: the program's, and what kernels
    /// scribble on.
    pub fn arena_bytes(&self, n_threads: usize) -> usize {
        let program = self.program.arena_bytes.next_multiple_of(ALIGN);
        program.saturating_add(self.scratch_step().saturating_mul(n_threads.clamp(1, MAX_THREADS)))
    }

    /// Threads write to lines of their own: two lines, as processors fetch them in pairs.
    fn scratch_step(&self) -> usize {
        self.scratch.next_multiple_of(2 * ALIGN)
    }

    /// Memory for the runs of one caller, on this number of threads (at least the caller's own, at most
    /// [`MAX_THREADS`], and no more than the system gives: [`Arena::n_threads`]).
    ///
    /// # Errors
    /// There is no memory for so many bytes.
    pub fn arena(&self, n_threads: usize) -> Result<Arena, String> {
        let pool = Pool::new(n_threads);
        let bytes = self.arena_bytes(pool.as_ref().map_or(1, Pool::n_threads));
        let arena = Arena::new(bytes, pool);
        let mut arena = arena.ok_or_else(|| format!("no memory for an arena of {bytes} bytes"))?;
        self.take_over(&mut arena)?;
        Ok(arena)
    }

    /// Lays out an arena that was another program's for this one, with the threads that it has. Its memory grows
    /// where it must.
    ///
    /// # Errors
    /// There is no memory for so many bytes; then it stays the other program's.
    pub fn take_over(&self, arena: &mut Arena) -> Result<(), String> {
        if arena.owner == Some(self.id) {
            return Ok(());
        }
        let bytes = self.arena_bytes(arena.n_threads());
        if bytes > arena.bytes() {
            arena.memory =
                Memory::new(bytes).ok_or_else(|| format!("no memory for an arena of {bytes} bytes"))?;
        }
        arena.pointers.clear();
        place(&self.top, &arena.memory, &mut arena.pointers);
        arena.scratch = self.program.arena_bytes.next_multiple_of(ALIGN);
        arena.scratch_step = self.scratch_step();
        arena.owner = Some(self.id);
        Ok(())
    }

    /// Runs the program on arrays; of inputs and outputs, element type and number of elements must be the
    /// program's. An output that other arrays share is copied before it is written.
    ///
    /// # Errors
    /// An array that does not fit, or a fault in an op that runs by its own definition.
    pub fn run(
        &self,
        arena: &mut Arena,
        inputs: &[impl Borrow<Array>],
        outputs: &mut [Array],
    ) -> Result<Outcome, Failure> {
        self.run_timed(arena, inputs, outputs, |_| ())
    }

    /// As [`Compiled::run`]; `done` is called after each step, with its number.
    ///
    /// # Errors
    /// As [`Compiled::run`].
    pub fn run_timed(
        &self,
        arena: &mut Arena,
        inputs: &[impl Borrow<Array>],
        outputs: &mut [Array],
        done: impl FnMut(usize),
    ) -> Result<Outcome, Failure> {
        self.check(inputs, outputs)?;
        // Lists of the arena's, so that nothing is allocated.
        let (mut from, mut to) = (std::mem::take(&mut arena.from), std::mem::take(&mut arena.to));
        from.clear();
        to.clear();
        let start = |array: &Array| with_data!(array.data(), |values| values.as_ptr().cast());
        from.extend(inputs.iter().map(|array| start(array.borrow())));
        let start = |array: &mut Array| {
            with_data!(array.data_mut(), |values| Arc::make_mut(values).as_mut_ptr().cast())
        };
        to.extend(outputs.iter_mut().map(start));
        assert_eq!(arena.owner, Some(self.id), "an arena is for runs of the program that it is laid out for");
        // SAFETY: the arrays have the types and numbers of elements of the program's inputs and outputs, as
        // was checked; outputs are borrowed mutably, and no other array shares them. The program was verified,
        // and the arena is laid out for it.
        let outcome = unsafe { run::run(&self.top, arena, &from, &to, done) };
        (arena.from, arena.to) = (from, to);
        outcome
    }

    /// Whether inputs and outputs are the program's in number, type and size.
    fn check(&self, inputs: &[impl Borrow<Array>], outputs: &[Array]) -> Result<(), Failure> {
        let (wanted, given) = (&self.program.inputs, inputs.len());
        self.want(given == wanted.len(), || format!("{} inputs are wanted, not {given}", wanted.len()))?;
        let (wanted, given) = (&self.program.outputs, outputs.len());
        self.want(given == wanted.len(), || format!("{} outputs are wanted, not {given}", wanted.len()))?;
        let of_inputs = inputs.iter().map(Borrow::borrow).zip(&self.program.inputs);
        let of_outputs = outputs.iter().zip(&self.program.outputs);
        of_inputs.chain(of_outputs).try_for_each(|(array, &id)| self.want_fit(array.dtype(), array.len(), id))
    }

    fn want_fit(&self, dtype: DType, len: usize, id: BufferId) -> Result<(), Failure> {
        let buffer = self.program.buffer(id);
        self.want((dtype, len) == (buffer.dtype, buffer.len), || {
            let (label, wanted, n) = (&buffer.label, buffer.dtype, buffer.len);
            format!("{label} is {n} elements of {wanted}, not {len} of {dtype}")
        })
    }

    fn want(&self, holds: bool, why: impl FnOnce() -> String) -> Result<(), Failure> {
        if holds { Ok(()) } else { Err(Failure { step: None, ill: Ill::new(why()) }) }
    }

    /// Runs the program on memory.
    ///
    /// # Safety
    /// `inputs` and `outputs` are as many as the program has; each points to the elements of its buffer, as
    /// many as the program says, aligned to their size, valid for reads and, outputs, for writes, initialised;
    /// `bool`s hold 0 or 1. Nobody writes the inputs or uses the outputs meanwhile; no output meets anything.
    ///
    /// # Errors
    /// A fault in an op that runs by its own definition.
    ///
    /// # Panics
    /// The arena is laid out for another program.
    pub unsafe fn run_at(
        &self,
        arena: &mut Arena,
        inputs: &[*const u8],
        outputs: &[*mut u8],
    ) -> Result<Outcome, Failure> {
        assert_eq!(arena.owner, Some(self.id), "an arena is for runs of the program that it is laid out for");
        // SAFETY: the caller's; the program was verified, and the arena is laid out for it.
        unsafe { run::run(&self.top, arena, inputs, outputs, |_| ()) }
    }
}

/// Lists where the buffers of a program and of those in it lie.
fn place(ready: &Ready, memory: &Memory, pointers: &mut Vec<*mut u8>) {
    debug_assert_eq!(
        pointers.len(),
        ready.first,
        "programs are placed in the order in which they were counted"
    );
    pointers.extend(ready.homes.iter().map(|lies| match lies {
        Lies::Given => std::ptr::null_mut(),
        // Constants are only read: the program was verified.
        Lies::Constant(array) => with_data!(array.data(), |values| values.as_ptr().cast::<u8>().cast_mut()),
        Lies::At(offset) => memory.start().wrapping_add(*offset),
    }));
    for step in &ready.steps {
        step.bodies().into_iter().for_each(|body| place(body, memory, pointers));
    }
}

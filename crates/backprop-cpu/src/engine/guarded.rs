//! Runs whose buffers lie apart, each between pages that nobody may touch.

use std::sync::Arc;

use backprop_core::{Array, Ill, with_data};
use backprop_opt::loops::{Home, Outcome, Program};

use super::compile::Ready;
use super::{Compiled, Failure, run};
use crate::guard::{Guarded, Side};

/// What new buffers hold: in floats NaN, so that what is read before it is written shows.
const GARBAGE: u8 = 0xff;

impl Compiled {
    /// As [`Compiled::run`], on copies: every buffer, of the caller's, of the arena and constant, lies against a page
    /// that nobody may touch. Who reads or writes beyond a buffer ends the process. For tests; slow.
    ///
    /// # Errors
    /// As [`Compiled::run`]; no memory.
    pub fn run_guarded(
        &self,
        n_threads: usize,
        side: Side,
        inputs: &[Array],
        outputs: &mut [Array],
    ) -> Result<Outcome, Failure> {
        let none = |why: String| Failure { step: None, ill: Ill::new(why) };
        let mut arena = self.arena(n_threads).map_err(none)?;
        let mut guards = Vec::new();
        guard(&self.program, &self.top, side, &mut arena.pointers, &mut guards);
        self.check(inputs, outputs)?;
        let copy = |array: &Array| Guarded::new(bytes_of(array), array.dtype().size(), side);
        let from: Vec<Guarded> = inputs.iter().map(copy).collect();
        let to: Vec<Guarded> = outputs.iter().map(copy).collect();
        let pointers: Vec<*const u8> = from.iter().map(|guarded| guarded.base().cast_const()).collect();
        let targets: Vec<*mut u8> = to.iter().map(Guarded::base).collect();
        // SAFETY: the arrays fit, as was checked, and their copies are nobody else's; the program was verified, and
        // the arena, whose buffers lie apart now, was made for it.
        let outcome = unsafe { run::run(&self.top, &mut arena, &pointers, &targets, |_| ())? };
        for (output, guarded) in outputs.iter_mut().zip(&to) {
            with_data!(output.data_mut(), |values| {
                let values = Arc::make_mut(values);
                let bytes = guarded.bytes();
                // SAFETY: as many bytes as the array has; the program wrote elements of its type.
                unsafe { bytes.as_ptr().copy_to_nonoverlapping(values.as_mut_ptr().cast(), bytes.len()) };
            });
        }
        Ok(outcome)
    }
}

/// Moves the buffers of a program, and of the bodies in it, between pages of their own.
fn guard(program: &Program, ready: &Ready, side: Side, pointers: &mut [*mut u8], guards: &mut Vec<Guarded>) {
    for (id, buffer) in program.buffers.iter().enumerate() {
        let guarded = match &buffer.home {
            Home::Input(_) | Home::Output(_) => continue,
            Home::Constant(array) => Guarded::new(bytes_of(array), buffer.dtype.size(), side),
            Home::Arena(_) => Guarded::new(&vec![GARBAGE; buffer.bytes()], buffer.dtype.size(), side),
        };
        pointers[ready.first + id] = guarded.base();
        guards.push(guarded);
    }
    for (step, made) in program.steps.iter().zip(&ready.steps) {
        for ((_, body), ready) in step.kind.bodies().into_iter().zip(made.bodies()) {
            guard(body, ready, side, pointers, guards);
        }
    }
}

fn bytes_of(array: &Array) -> &[u8] {
    with_data!(array.data(), |values| {
        // SAFETY: elements are numbers or truth values, without padding.
        unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), std::mem::size_of_val(&values[..])) }
    })
}

//! Step by step through a program.

use std::sync::atomic::{AtomicBool, Ordering};

use backprop_core::{Array, Ill, Type, with_data, with_dtype};
use backprop_opt::loops::{BufferId, Call, Outcome};
use smallvec::SmallVec;

use super::compile::{Branches, Loop, Ready, Step};
use super::{Arena, Failure};
use crate::kernel::Kernel;

/// Runs a program; `done` is called after each of its steps.
///
/// # Safety
/// That of [`Compiled::run_at`](super::Compiled::run_at); the arena is that of the program that `ready` was
/// made of.
pub(super) unsafe fn run(
    ready: &Ready,
    arena: &mut Arena,
    inputs: &[*const u8],
    outputs: &[*mut u8],
    mut done: impl FnMut(usize),
) -> Result<Outcome, Failure> {
    assert_eq!((inputs.len(), outputs.len()), (ready.inputs.len(), ready.outputs.len()), "inputs, outputs");
    for (&pointer, &(id, _)) in inputs.iter().zip(&ready.inputs) {
        // Inputs are only read: the program was verified.
        arena.pointers[ready.first + id as usize] = pointer.cast_mut();
    }
    for (&pointer, &(id, _)) in outputs.iter().zip(&ready.outputs) {
        arena.pointers[ready.first + id as usize] = pointer;
    }
    let mut outcome = Outcome::default();
    // SAFETY: the caller's; every pointer of the program is set.
    unsafe { steps(ready, arena, &mut outcome, &mut done)? };
    Ok(outcome)
}

/// Runs the steps of a program whose inputs and outputs are set. It recurses as deep as bodies are nested.
///
/// # Safety
/// As [`run`].
unsafe fn steps(
    ready: &Ready,
    arena: &mut Arena,
    outcome: &mut Outcome,
    done: &mut impl FnMut(usize),
) -> Result<(), Failure> {
    for (position, step) in ready.steps.iter().enumerate() {
        // SAFETY: the caller's, for each step in turn.
        unsafe {
            match step {
                Step::Kernel(kernel, is_large) => {
                    let met = of_kernel(&**kernel, *is_large, ready, arena);
                    outcome.is_faulty |= met.is_faulty;
                    outcome.is_not_finite |= met.is_not_finite;
                }
                Step::Call(call) => {
                    of_call(call, ready, arena).map_err(|ill| Failure { step: Some(position), ill })?;
                }
                Step::Cond(branches) => {
                    of_cond(branches, ready, arena, outcome).map_err(|failure| failure.at(position))?;
                }
                Step::Scan(scan) => {
                    of_scan(scan, ready, arena, outcome).map_err(|failure| failure.at(position))?;
                }
            }
        }
        done(position);
    }
    Ok(())
}

impl Failure {
    /// The failure of a step's body as that of the step.
    fn at(self, step: usize) -> Failure {
        Failure { step: Some(step), ..self }
    }
}

/// # Safety
/// As [`run`].
unsafe fn of_kernel(kernel: &dyn Kernel, is_large: bool, ready: &Ready, arena: &mut Arena) -> Outcome {
    let Arena { memory, pointers, scratch, scratch_step, pool, .. } = arena;
    let bases = &pointers[ready.first..ready.first + ready.homes.len()];
    let scratch = memory.start().wrapping_add(*scratch);
    let n_units = kernel.n_units();
    let Some(pool) = pool.as_mut().filter(|_| is_large && n_units > 1) else {
        // SAFETY: the program was verified and its pointers are set; the scratch is large enough for every
        // kernel.
        return unsafe { kernel.run(bases, scratch, 0..n_units) };
    };
    let (is_faulty, is_not_finite) = (AtomicBool::new(false), AtomicBool::new(false));
    let n_threads = pool.n_threads();
    let work = Work { bases, scratch };
    pool.run(&|thread| {
        let work = &work;
        let units = kernel.part_start(thread, n_threads)..kernel.part_start(thread + 1, n_threads);
        if units.is_empty() {
            return;
        }
        // SAFETY: likewise; each thread has units and scratch of its own.
        let met = unsafe { kernel.run(work.bases, work.scratch.wrapping_add(*scratch_step * thread), units) };
        is_faulty.fetch_or(met.is_faulty, Ordering::Relaxed);
        is_not_finite.fetch_or(met.is_not_finite, Ordering::Relaxed);
    });
    Outcome { is_faulty: is_faulty.into_inner(), is_not_finite: is_not_finite.into_inner() }
}

/// What the threads of a step share.
struct Work<'a> {
    bases: &'a [*mut u8],
    scratch: *mut u8,
}

// SAFETY: threads write through these pointers only what belongs to their units, as kernels promise, and
// their own scratch.
unsafe impl Sync for Work<'_> {}

/// # Safety
/// As [`run`].
unsafe fn of_call(call: &Call, ready: &Ready, arena: &Arena) -> Result<(), Ill> {
    let pointer = |id: BufferId| arena.pointers[ready.first + id as usize];
    // SAFETY: a verified buffer holds the elements of its type.
    let arrays: SmallVec<[Array; 4]> =
        call.inputs.iter().map(|&(id, ty)| unsafe { array(pointer(id), ty) }).collect();
    let operands: SmallVec<[&Array; 4]> = arrays.iter().collect();
    let types: SmallVec<[Type; 2]> = call.outputs.iter().map(|&(_, ty)| ty).collect();
    let results = crate::eval(&call.op, &operands, &types)?;
    for (result, &(id, ty)) in results.iter().zip(&call.outputs) {
        let Some(id) = id else { continue };
        if result.dtype() != ty.dtype || Some(result.len()) != ty.shape.n_elements() {
            return Err(Ill::new(format!("{} gave no {ty}", call.op.name())));
        }
        let bytes = result.len() * ty.dtype.size();
        let from: *const u8 = with_data!(result.data(), |values| values.as_ptr().cast());
        // SAFETY: a verified buffer of this type, which the call may write; the array is elsewhere.
        unsafe { from.copy_to_nonoverlapping(pointer(id), bytes) };
    }
    Ok(())
}

/// The elements at `from` as an array.
///
/// # Safety
/// There are as many as `ty` says, aligned; `bool`s hold 0 or 1.
unsafe fn array(from: *const u8, ty: Type) -> Array {
    let n = ty.shape.n_elements().expect("sizes are numbers: the call was verified");
    with_dtype!(ty.dtype, |T| {
        // SAFETY: the caller's.
        let values = unsafe { std::slice::from_raw_parts(from.cast::<T>(), n) };
        let sizes = ty.shape.sizes().expect("as above");
        Array::new(sizes, values.to_vec()).expect("as many elements as the type has")
    })
}

/// # Safety
/// As [`run`].
unsafe fn of_cond(
    branches: &Branches,
    ready: &Ready,
    arena: &mut Arena,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let outer = |arena: &Arena, id: BufferId| arena.pointers[ready.first + id as usize];
    // SAFETY: the condition is a bool, as was verified.
    let holds = unsafe { outer(arena, branches.condition).read() } != 0;
    let body = if holds { &branches.then } else { &branches.otherwise };
    let inner = body.inputs.iter().zip(&branches.inputs).chain(body.outputs.iter().zip(&branches.outputs));
    for (&(id, _), &from) in inner {
        arena.pointers[body.first + id as usize] = outer(arena, from);
    }
    // SAFETY: the caller's; inputs and outputs of the branch were verified to fit.
    unsafe { steps(body, arena, outcome, &mut |_| ()) }
}

/// # Safety
/// As [`run`].
unsafe fn of_scan(
    scan: &Loop,
    ready: &Ready,
    arena: &mut Arena,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let outer = |arena: &Arena, id: BufferId| arena.pointers[ready.first + id as usize];
    let body = &scan.body;
    let n_carries = scan.carries.len();
    // Where carry c lies before iteration `round`.
    let carried = |arena: &Arena, carry: usize, round: usize| match round {
        0 => outer(arena, scan.carries[carry]),
        _ => outer(arena, scan.room[carry][(round - 1) % 2]),
    };
    for round in 0..scan.length {
        let k = if scan.reverse { scan.length - 1 - round } else { round };
        let counter = outer(arena, scan.counter);
        // SAFETY: the counter is an i64 that may be written, as was verified.
        unsafe { counter.cast::<i64>().write(k as i64) };
        for (position, &(id, bytes)) in body.inputs.iter().enumerate() {
            let pointer = match position.checked_sub(1) {
                None => counter,
                Some(at) if at < n_carries => carried(arena, at, round),
                Some(at) => match scan.xs.get(at - n_carries) {
                    Some(&xs) => outer(arena, xs).wrapping_add(k * bytes),
                    None => outer(arena, scan.captures[at - n_carries - scan.xs.len()]),
                },
            };
            arena.pointers[body.first + id as usize] = pointer;
        }
        for (position, &(id, bytes)) in body.outputs.iter().enumerate() {
            let pointer = match position.checked_sub(n_carries) {
                None => outer(arena, scan.room[position][round % 2]),
                Some(y) => outer(arena, scan.ys[y]).wrapping_add(k * bytes),
            };
            arena.pointers[body.first + id as usize] = pointer;
        }
        // SAFETY: the caller's; slices lie within their buffers, as was verified.
        unsafe { steps(body, arena, outcome, &mut |_| ())? };
    }
    for (carry, &last) in scan.last.iter().enumerate() {
        let bytes = body.outputs[carry].1;
        // SAFETY: both are buffers of the carry's size, and the last may be written, as was verified.
        unsafe { carried(arena, carry, scan.length).copy_to(outer(arena, last), bytes) };
    }
    Ok(())
}

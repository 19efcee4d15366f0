//! A program and the programs in it, made ready: each step a kernel or a list of buffers.

use std::sync::Arc;

use backprop_core::Array;
use backprop_opt::loops::{ALIGN, BufferId, Call, Contraction, Home, Kind, Nest, Program, Scan};

use super::{Choice, Engine, Sharing};
use crate::kernel::Kernel;
use crate::{native, portable};

/// A program, made ready.
pub(super) struct Ready {
    /// Where the pointers of its buffers start in the table of the arena.
    pub first: usize,
    /// Where each buffer lies.
    pub homes: Vec<Lies>,
    /// The bytes of each input and output.
    pub inputs: Vec<(BufferId, usize)>,
    pub outputs: Vec<(BufferId, usize)>,
    pub steps: Vec<Step>,
}

/// Where a buffer lies, in the arena of the whole.
pub(super) enum Lies {
    /// Where the caller, or the program around, says.
    Given,
    Constant(Arc<Array>),
    At(usize),
}

/// A step, made ready.
pub(super) enum Step {
    /// A kernel, and whether its work is worth sharing out among threads.
    Kernel(Box<dyn Kernel>, bool),
    Call(Call),
    Cond(Box<Branches>),
    Scan(Box<Loop>),
}

impl Step {
    /// The programs within the step, in the order of [`Kind::bodies`].
    pub fn bodies(&self) -> Vec<&Ready> {
        match self {
            Step::Kernel(..) | Step::Call(_) => Vec::new(),
            Step::Cond(branches) => vec![&branches.then, &branches.otherwise],
            Step::Scan(scan) => vec![&scan.body],
        }
    }
}

/// A [`Cond`](backprop_opt::loops::Cond).
pub(super) struct Branches {
    pub condition: BufferId,
    pub inputs: Vec<BufferId>,
    pub outputs: Vec<BufferId>,
    pub then: Ready,
    pub otherwise: Ready,
}

/// A [`Scan`].
pub(super) struct Loop {
    pub body: Ready,
    pub length: usize,
    pub reverse: bool,
    pub carries: Vec<BufferId>,
    pub xs: Vec<BufferId>,
    pub captures: Vec<BufferId>,
    pub last: Vec<BufferId>,
    pub ys: Vec<BufferId>,
    pub room: Vec<[BufferId; 2]>,
    pub counter: BufferId,
}

/// What is counted while programs are made ready.
#[derive(Default)]
pub(super) struct Counts {
    /// Buffers so far.
    pub pointers: usize,
    /// The most scratch that a kernel wants.
    pub scratch: usize,
}

/// Makes a verified program ready, whose arena starts at `arena` in that of the whole. It recurses as deep as
/// bodies are nested.
pub(super) fn ready(program: &Program, arena: usize, choice: Choice, counts: &mut Counts) -> Ready {
    let first = counts.pointers;
    counts.pointers += program.buffers.len();
    let homes = program.buffers.iter().map(|buffer| match &buffer.home {
        Home::Input(_) | Home::Output(_) => Lies::Given,
        Home::Constant(array) => Lies::Constant(array.clone()),
        Home::Arena(offset) => Lies::At(arena + offset),
    });
    let sized = |ids: &[BufferId]| ids.iter().map(|&id| (id, program.buffer(id).bytes())).collect();
    let (homes, inputs, outputs) = (homes.collect(), sized(&program.inputs), sized(&program.outputs));
    let mut steps = Vec::with_capacity(program.steps.len());
    for step in &program.steps {
        steps.push(match &step.kind {
            Kind::Nest(nest) => {
                counts.kernel(of_nest(program, nest, choice), is_shared(program, &step.kind, choice))
            }
            Kind::Contraction(contraction) => counts
                .kernel(of_contraction(program, contraction, choice), is_shared(program, &step.kind, choice)),
            Kind::Call(call) => Step::Call(call.clone()),
            Kind::Cond(cond) => Step::Cond(Box::new(Branches {
                condition: cond.condition,
                inputs: cond.inputs.clone(),
                outputs: cond.outputs.clone(),
                then: ready(&cond.then, arena + cond.arena, choice, counts),
                otherwise: ready(&cond.otherwise, arena + cond.arena, choice, counts),
            })),
            Kind::Scan(scan) => Step::Scan(Box::new(of_scan(scan, arena, choice, counts))),
        });
    }
    Ready { first, homes, inputs, outputs, steps }
}

fn of_scan(scan: &Scan, arena: usize, choice: Choice, counts: &mut Counts) -> Loop {
    Loop {
        body: ready(&scan.body, arena + scan.arena, choice, counts),
        length: scan.length,
        reverse: scan.reverse,
        carries: scan.carries.clone(),
        xs: scan.xs.clone(),
        captures: scan.captures.clone(),
        last: scan.last.clone(),
        ys: scan.ys.clone(),
        room: scan.room.clone(),
        counter: scan.counter,
    }
}

/// The kernel of a nest, by the engine that is wanted if it has one.
fn of_nest(program: &Program, nest: &Nest, choice: Choice) -> Box<dyn Kernel> {
    let code = native_isa(choice).and_then(|isa| native::nest(program, nest, isa));
    code.unwrap_or_else(|| portable::nest(program, nest, choice.isa))
}

/// The kernel of a contraction, by the engine that is wanted if it has one.
fn of_contraction(program: &Program, contraction: &Contraction, choice: Choice) -> Box<dyn Kernel> {
    let code = native_isa(choice).and_then(|isa| native::contraction(program, contraction, isa));
    code.unwrap_or_else(|| portable::contraction(program, contraction, choice.isa))
}

/// Whether threads share out the work of a step. Worth waking them is tens of microseconds of it at least: on a busy
/// machine a thread that is waited for may take longer than a small step. (Units give the same bits whoever runs
/// them.)
fn is_shared(program: &Program, kind: &Kind, choice: Choice) -> bool {
    let is_large = || {
        let work = kind.work(program);
        work.flops >= 1 << 21 || work.bytes >= 1 << 20
    };
    choice.sharing == Sharing::All || is_large()
}

/// What machine code is wanted for, if it is.
fn native_isa(choice: Choice) -> Option<native::Isa> {
    native::Isa::of(choice.isa).filter(|_| choice.engine == Engine::Native)
}

impl Counts {
    fn kernel(&mut self, kernel: Box<dyn Kernel>, is_large: bool) -> Step {
        self.scratch = self.scratch.max(kernel.scratch_bytes().next_multiple_of(ALIGN));
        Step::Kernel(kernel, is_large)
    }
}

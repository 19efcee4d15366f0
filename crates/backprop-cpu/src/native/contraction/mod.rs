//! Contractions as machine code, made for their sizes and strides.
//!
//! ```text
//! Contraction ─► Plan: which axis fills vectors, panels, tiles    (plan)
//!             ─► code of each kind of tile, and of the stage      (tile, stage, assembly)
//!             ─► Kernel: for each chunk { for each panel { pack it the first time; tiles; stage } }   (run, pack)
//! ```
//!
//! The order of each sum is the IR's: nothing that is chosen here decides bits.

mod assembly;
mod call;
mod elsewhere;
mod pack;
mod plan;
mod roles;
mod run;
mod stage;
#[cfg(test)]
mod tests;
mod tile;

use std::ops::Range;

use backprop_core::DType;
use backprop_opt::loops::{Contraction, Outcome, Program};
use iced_x86::Register;

use self::assembly::Assembly;
use self::call::Call;
use self::plan::{Handover, Plan};
use self::run::Run;
use self::stage::Axis;
use super::Isa;
use super::assembler::Finished;
use super::memory::CodePages;
use crate::kernel::{Kernel, Routine};

/// Machine code for a contraction of floats; `None` where there is none for its stage, or the system refuses
/// pages for code. The CPU must have the instruction set.
pub fn contraction(program: &Program, contraction: &Contraction, isa: Isa) -> Option<Box<dyn Kernel>> {
    if !matches!(contraction.dtype, DType::F32 | DType::F64) {
        return None;
    }
    let plan = Plan::choose(program, contraction, isa)?;
    kernel(plan)
}

fn kernel(plan: Plan) -> Option<Box<dyn Kernel>> {
    let roles = &plan.roles;
    if roles.n_rows == 0 || roles.n_lanes == 0 || roles.batch.contains(&0) {
        return Some(Box::new(Nothing));
    }
    Some(Box::new(MachineCode::new(plan)?))
}

/// A contraction without products.
struct Nothing;

impl Kernel for Nothing {
    fn n_units(&self) -> usize {
        1
    }

    unsafe fn run(&self, _: &[*mut u8], _: *mut u8, _: Range<usize>) -> Outcome {
        Outcome::default()
    }
}

/// Code, and where in it each kind of tile and the stage begin.
struct Code {
    code: Finished,
    tiles: [usize; Plan::N_KINDS],
    stage: usize,
}

impl Code {
    fn new(plan: &Plan) -> Option<Code> {
        let mut assembly = Assembly::new(plan.vectors);
        let in_registers = plan.handover == Handover::Registers;
        let stage = in_registers.then_some(&plan.stage);
        let mut tiles = [usize::MAX; Plan::N_KINDS];
        for kind in (0..Plan::N_KINDS).filter(|&kind| plan.has_kind(kind)) {
            tiles[kind] = assembly.len();
            tile::tiles(&mut assembly, plan.tile(kind), plan.layout(kind)?, stage)?;
        }
        let start = assembly.len();
        if !in_registers && plan.stage.elsewhere.is_none() {
            let pitch = if plan.stage.axis == Axis::Rows { plan.turned_pitch() } else { plan.pitch() };
            tile::stage_over(&mut assembly, &plan.stage, i32::try_from(pitch).ok()?)?;
        }
        Some(Code { code: assembly.finish()?, tiles, stage: start })
    }
}

struct MachineCode {
    plan: Plan,
    n_batches: usize,
    /// The parts of scratch memory: [`Plan::scratch`].
    scratch: [usize; 4],
    pages: CodePages,
    tiles: [usize; Plan::N_KINDS],
    stage: usize,
    /// The stage where it runs elsewhere, for each width of panels.
    nests: [Option<Box<dyn Kernel>>; Plan::N_KINDS / 2],
}

impl MachineCode {
    fn new(mut plan: Plan) -> Option<MachineCode> {
        let mut code = Code::new(&plan);
        if code.is_none() && plan.handover == Handover::Registers {
            plan.handover = Handover::Memory;
            code = Code::new(&plan);
        }
        let Code { code, tiles, stage } = code?;
        let pages = CodePages::new(&code)?;
        let mut nests = [const { None }; Plan::N_KINDS / 2];
        if plan.stage.elsewhere.is_some() {
            for panel in [0, plan.panels.n_larger, plan.panels.n_parts.saturating_sub(1)] {
                let nest = &mut nests[plan.kind(false, panel) / 2];
                let (first_lane, end_lane) = plan.lanes_of(panel);
                if nest.is_none() && first_lane < end_lane {
                    *nest = Some(elsewhere::nest(&plan, end_lane - first_lane, plan.vectors.isa)?);
                }
            }
        }
        let n_batches = plan.roles.batch.iter().product();
        let scratch = plan.scratch();
        Some(MachineCode { plan, n_batches, scratch, pages, tiles, stage, nests })
    }

    /// Runs the code that begins at `entry`.
    ///
    /// # Safety
    /// It is the entry of a kind of tiles or of the stage, and the call fits it.
    unsafe fn call(&self, entry: usize, call: &mut Call) {
        // SAFETY: such an entry is a function of this type.
        let code: unsafe extern "sysv64" fn(*mut Call) =
            unsafe { std::mem::transmute(self.pages.start().add(entry)) };
        // SAFETY: as this function's.
        unsafe { code(call) }
    }
}

impl Kernel for MachineCode {
    fn n_units(&self) -> usize {
        self.n_batches * self.plan.panels.n_parts * self.plan.n_chunks
    }

    fn scratch_bytes(&self) -> usize {
        let nests = self.nests.iter().flatten().map(|nest| nest.scratch_bytes());
        self.scratch.iter().sum::<usize>() + nests.max().unwrap_or(0)
    }

    fn machine_code(&self) -> Vec<Routine<'_>> {
        let code = self.pages.code();
        let begun = self.tiles.iter().enumerate().filter(|&(_, &start)| start != usize::MAX);
        let mut begun: Vec<(usize, String)> =
            begun.map(|(kind, &start)| (start, self.plan.tile(kind).name())).collect();
        begun.push((self.stage, "stage".to_string()));
        let ends = begun[1..].iter().map(|&(start, _)| start).chain([code.len()]);
        let ends: Vec<usize> = ends.collect();
        let routines = begun.into_iter().zip(ends);
        let all = self.pages.bytes();
        let words = call::words(&self.plan);
        let routines = routines.map(|((start, name), end)| Routine {
            name,
            code: &all[start..end],
            constants: &all[end..],
            frame: Register::RDI,
            words: words.clone(),
        });
        let nests = self.nests.iter().flatten().flat_map(|nest| nest.machine_code());
        routines.filter(|routine| !routine.code.is_empty()).chain(nests).collect()
    }

    unsafe fn run(&self, bases: &[*mut u8], scratch: *mut u8, units: Range<usize>) -> Outcome {
        let mut outcome = Outcome::default();
        let mut run = Run::new(self, bases, scratch, units.start);
        for _ in units {
            // SAFETY: as this function's.
            let met = unsafe { run.unit() };
            outcome.is_faulty |= met.is_faulty;
            outcome.is_not_finite |= met.is_not_finite;
            run.advance();
        }
        outcome
    }
}

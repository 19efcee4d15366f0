//! Contractions as machine code, made for their sizes and strides.
//!
//! ```text
//! Contraction ─► Plan: which axis fills vectors, panels, tiles    (plan)
//!             ─► code of each kind of tile, and of the stage      (tile, stage, assembly)
//!             ─► Kernel: for each chunk { for each panel { pack it the first time; tiles; stage } }
//! ```
//!
//! The order of each sum is the IR's: nothing that is chosen here decides bits.

mod assembly;
mod call;
mod elsewhere;
mod pack;
mod plan;
mod roles;
mod stage;
#[cfg(test)]
mod tests;
mod tile;

use std::ops::Range;

use backprop_core::DType;
use backprop_opt::loops::{Contraction, Outcome, Program};

use self::assembly::Assembly;
use self::call::{Call, N_POINTERS};
use self::pack::Matrix;
use self::plan::{Handover, Packing, Plan};
use self::roles::Operand;
use self::stage::Axis;
use super::Isa;
use super::memory::CodePages;
use crate::kernel::Kernel;

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
    bytes: Vec<u8>,
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
        Some(Code { bytes: assembly.finish()?, tiles, stage: start })
    }
}

struct MachineCode {
    plan: Plan,
    n_batches: usize,
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
        let Code { bytes, tiles, stage } = code?;
        let pages = CodePages::new(&bytes)?;
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
        Some(MachineCode { plan, n_batches, pages, tiles, stage, nests })
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
        self.n_batches * self.plan.panels.n_parts * self.plan.n_chunks()
    }

    fn scratch_bytes(&self) -> usize {
        let nests = self.nests.iter().flatten().map(|nest| nest.scratch_bytes());
        self.plan.scratch().iter().sum::<usize>() + nests.max().unwrap_or(0)
    }

    unsafe fn run(&self, bases: &[*mut u8], scratch: *mut u8, units: Range<usize>) -> Outcome {
        let plan = &self.plan;
        let (n_panels, n_chunks) = (plan.panels.n_parts, plan.n_chunks());
        let mut outcome = Outcome::default();
        let mut run = Run { code: self, bases, scratch, batch: 0, group: usize::MAX, packed: 0 };
        for unit in units {
            let (batch, unit) = (unit / (n_panels * n_chunks), unit % (n_panels * n_chunks));
            let (group, unit) = (unit / (plan.group * n_chunks), unit % (plan.group * n_chunks));
            if (batch, group) != (run.batch, run.group) {
                (run.batch, run.group, run.packed) = (batch, group, 0);
            }
            let first_panel = group * plan.group;
            let n_panels = plan.group.min(n_panels - first_panel);
            let (chunk, panel) = (unit / n_panels, first_panel + unit % n_panels);
            // SAFETY: as this function's; the chunk of the panel is one of the units.
            let met = unsafe { run.chunk(panel, chunk) };
            outcome.is_faulty |= met.is_faulty;
            outcome.is_not_finite |= met.is_not_finite;
        }
        outcome
    }
}

/// One group of panels of one batch.
struct Run<'a> {
    code: &'a MachineCode,
    bases: &'a [*mut u8],
    scratch: *mut u8,
    batch: usize,
    group: usize,
    /// The panels of the group that have been packed, a bit each.
    packed: u64,
}

impl Run<'_> {
    /// Runs a chunk of a panel.
    ///
    /// # Safety
    /// As [`Kernel::run`].
    unsafe fn chunk(&mut self, panel: usize, chunk: usize) -> Outcome {
        let plan = &self.code.plan;
        let (first_lane, end_lane) = plan.lanes_of(panel);
        let mut lanes = self.element(&plan.roles.lanes, first_lane);
        let size = plan.vectors.dtype.size() as isize;
        let mut lane_k = plan.roles.lanes.k * size;
        if plan.packing == Packing::Copied {
            let pitch = plan.packed_pitch(panel);
            let place = panel - self.group * plan.group;
            // SAFETY: scratch memory starts with room for the panels of a group.
            let to = unsafe { self.scratch.add(place * plan.packed_panel()) };
            if self.packed & (1 << place) == 0 {
                self.packed |= 1 << place;
                let from = Matrix {
                    start: lanes,
                    row: lane_k,
                    column: plan.roles.lanes.along * size,
                    n_rows: plan.roles.n_k,
                    n_columns: end_lane - first_lane,
                };
                // SAFETY: the program was verified: the factor's elements lie inside its buffer.
                unsafe { pack::pack(plan.vectors, from, to, pitch) };
            }
            (lanes, lane_k) = (to, pitch as isize);
        }
        let tiles = chunk * plan.chunk..plan.tiles.n_parts.min((chunk + 1) * plan.chunk);
        // SAFETY: as above.
        unsafe { self.tiles(panel, tiles, lanes, lane_k) }
    }

    /// Runs tiles that lie below each other.
    ///
    /// # Safety
    /// As [`Kernel::run`]; `lanes` is the panel's first element, `lane_k` the bytes from k to k.
    unsafe fn tiles(&self, panel: usize, tiles: Range<usize>, lanes: *const u8, lane_k: isize) -> Outcome {
        let plan = &self.code.plan;
        let [packed_bytes, product_bytes, _] = plan.scratch();
        // SAFETY: scratch memory has these parts, one after the other.
        let (product, turned) = unsafe {
            let product = self.scratch.add(packed_bytes);
            (product, product.add(product_bytes))
        };
        let (first_row, end_row) = (plan.tiles.start(tiles.start), plan.tiles.start(tiles.end));
        let (first_lane, end_lane) = plan.lanes_of(panel);
        let mut call = Call {
            rows: std::ptr::null(),
            lanes,
            n_k: 0,
            n_tiles: 0,
            product,
            accumulate: 0,
            not_finite: 0,
            n_vectors: 0,
            tail_bits: 0,
            tail_bytes: std::ptr::null(),
            pointers: [std::ptr::null_mut(); N_POINTERS],
        };
        self.point(&mut call, first_row, first_lane);
        set_tail(&mut call, plan, plan.n_tail_lanes());

        let larger_end = plan.tiles.n_larger.clamp(tiles.start, tiles.end);
        let row_k = plan.roles.rows.k * plan.vectors.dtype.size() as isize;
        let mut k = 0;
        loop {
            call.n_k = plan.roles.k_block.min(plan.roles.n_k - k);
            call.product = product;
            call.accumulate = usize::from(k > 0);
            call.lanes = lanes.wrapping_offset(k as isize * lane_k);
            for (is_higher, tiles) in [(true, tiles.start..larger_end), (false, larger_end..tiles.end)] {
                if tiles.is_empty() {
                    continue;
                }
                let row = plan.tiles.start(tiles.start);
                let rows = self.element(&plan.roles.rows, row);
                call.rows = rows.wrapping_offset(k as isize * row_k);
                call.n_tiles = tiles.len();
                if plan.handover == Handover::Memory {
                    call.product = product.wrapping_add((row - first_row) * plan.pitch());
                }
                // SAFETY: the code was made for this kind of tiles, and the call names elements that exist.
                unsafe { self.code.call(self.code.tiles[plan.kind(is_higher, panel)], &mut call) };
            }
            k += call.n_k;
            if k >= plan.roles.n_k {
                break;
            }
        }
        if let Some(nest) = &self.code.nests[plan.kind(false, panel) / 2] {
            let mut bases = [product; 1 + N_POINTERS];
            bases[1..].copy_from_slice(&call.pointers);
            // SAFETY: the nest's buffers start where the chunk does; its accesses were verified with the stage.
            let outcome = unsafe { nest.run(&bases, turned, 0..end_row - first_row) };
            return outcome;
        }
        if plan.handover == Handover::Memory {
            let (n_rows, n_lanes) = (end_row - first_row, end_lane - first_lane);
            let (extent, height) = match plan.stage.axis {
                Axis::Lanes => (n_lanes, n_rows),
                Axis::Rows => (n_rows, n_lanes),
            };
            call.product = product;
            if plan.stage.axis == Axis::Rows {
                let size = plan.vectors.dtype.size() as isize;
                let from = Matrix {
                    start: product,
                    row: size,
                    column: plan.pitch() as isize,
                    n_rows: n_lanes,
                    n_columns: n_rows,
                };
                // SAFETY: scratch memory ends with room for the chunk's products, transposed.
                unsafe { pack::pack(plan.vectors, from, turned, plan.turned_pitch()) };
                call.product = turned;
            }
            call.n_tiles = height;
            call.n_vectors = extent / plan.vectors.lanes();
            set_tail(&mut call, plan, extent % plan.vectors.lanes());
            // SAFETY: the stage's code, over products that are all there.
            unsafe { self.code.call(self.code.stage, &mut call) };
        }
        Outcome { is_faulty: false, is_not_finite: call.not_finite != 0 }
    }

    /// Points each slot of the stage at the element for a row and a lane.
    fn point(&self, call: &mut Call, row: usize, lane: usize) {
        let plan = &self.code.plan;
        for (pointer, slot) in call.pointers.iter_mut().zip(&plan.stage.slots) {
            let spot = &slot.spot;
            let batch = self.batch_offset(&spot.batch);
            let element = spot.offset + batch + row as isize * spot.row + lane as isize * spot.lane;
            let base = self.bases[spot.buffer as usize];
            *pointer = base.wrapping_offset(element * spot.dtype.size() as isize);
        }
    }

    /// Where row or lane `at` of a factor starts.
    fn element(&self, operand: &Operand, at: usize) -> *const u8 {
        let element = operand.offset + self.batch_offset(&operand.batch) + at as isize * operand.along;
        let size = self.code.plan.vectors.dtype.size() as isize;
        self.bases[operand.buffer as usize].wrapping_offset(element * size)
    }

    fn batch_offset(&self, strides: &[isize]) -> isize {
        let mut rest = self.batch;
        let mut offset = 0;
        for (&size, &stride) in self.code.plan.roles.batch.iter().zip(strides).rev() {
            offset += (rest % size) as isize * stride;
            rest /= size;
        }
        offset
    }
}

fn set_tail(call: &mut Call, plan: &Plan, n_lanes: usize) {
    call.tail_bits = (1 << n_lanes) - 1;
    call.tail_bytes = pack::mask(n_lanes * plan.vectors.dtype.size());
}

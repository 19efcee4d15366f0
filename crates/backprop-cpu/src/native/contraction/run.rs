//! What a call of the kernel does: unit after unit, panels packed when they are first wanted, tiles, the stage.

use std::ops::Range;

use backprop_opt::loops::Outcome;

use super::MachineCode;
use super::call::{Call, N_POINTERS};
use super::pack::{self, Matrix};
use super::plan::{Handover, Packing, Plan};
use super::roles::Operand;
use super::stage::Axis;

/// Where a run is. Units are numbered through the batches, the groups of a batch, the chunks of a group, its panels.
pub(super) struct Run<'a> {
    code: &'a MachineCode,
    bases: &'a [*mut u8],
    scratch: *mut u8,
    batch: usize,
    group: usize,
    chunk: usize,
    panel: usize,
    /// The panels of the group that have been packed, a bit each.
    packed: u64,
    /// Whether the chunk's rows have been packed.
    has_rows: bool,
}

/// The first unit of a part of the work: units differ, as panels do in width and the last chunk in height.
pub(super) fn part_start(plan: &Plan, n_batches: usize, part: usize, n_parts: usize) -> usize {
    let n_panels = plan.panels.n_parts;
    let work_of = |panels: &Range<usize>, tiles: &Range<usize>| {
        let width = plan.panels.start(panels.end) - plan.panels.start(panels.start);
        width * (plan.tiles.start(tiles.end) - plan.tiles.start(tiles.start))
    };
    let batch = work_of(&(0..n_panels), &(0..plan.tiles.n_parts));
    let mut before = batch * n_batches * part / n_parts;
    let mut unit = before / batch * n_panels * plan.n_chunks;
    before %= batch;
    // Passes over as many of these as lie before the part.
    let mut pass = |work: usize, n_units: usize| {
        let is_before = work <= before;
        if is_before {
            (before, unit) = (before - work, unit + n_units);
        }
        is_before
    };
    let groups = (0..n_panels).step_by(plan.group).map(|start| start..(start + plan.group).min(n_panels));
    let mut last_group = 0..0;
    for group in groups {
        last_group = group.clone();
        if !pass(work_of(&group, &(0..plan.tiles.n_parts)), group.len() * plan.n_chunks) {
            break;
        }
    }
    for chunk in (0..plan.tiles.n_parts).step_by(plan.chunk) {
        let tiles = chunk..(chunk + plan.chunk).min(plan.tiles.n_parts);
        if !pass(work_of(&last_group, &tiles), last_group.len()) {
            last_group.by_ref().take_while(|&panel| pass(work_of(&(panel..panel + 1), &tiles), 1)).count();
            break;
        }
    }
    unit
}

impl<'a> Run<'a> {
    /// A run that starts at a unit.
    pub fn new(code: &'a MachineCode, bases: &'a [*mut u8], scratch: *mut u8, unit: usize) -> Run<'a> {
        let plan = &code.plan;
        let mut run =
            Run { code, bases, scratch, batch: 0, group: 0, chunk: 0, panel: 0, packed: 0, has_rows: false };
        // Small contractions are one unit, and half a dozen divisions are a part of their time.
        if unit > 0 {
            let n_panels = plan.panels.n_parts;
            run.batch = unit / (n_panels * plan.n_chunks);
            let unit = unit % (n_panels * plan.n_chunks);
            run.group = unit / (plan.group * plan.n_chunks);
            let unit = unit % (plan.group * plan.n_chunks);
            let group = run.panels();
            run.chunk = unit / group.len();
            run.panel = group.start + unit % group.len();
        }
        run
    }

    /// The panels of the group.
    fn panels(&self) -> Range<usize> {
        let start = self.group * self.code.plan.group;
        start..(start + self.code.plan.group).min(self.code.plan.panels.n_parts)
    }

    /// Goes to the next unit.
    pub fn advance(&mut self) {
        let panels = self.panels();
        self.panel += 1;
        if self.panel < panels.end {
            return;
        }
        (self.panel, self.chunk, self.has_rows) = (panels.start, self.chunk + 1, false);
        if self.chunk < self.code.plan.n_chunks {
            return;
        }
        (self.chunk, self.group, self.panel, self.packed) = (0, self.group + 1, panels.end, 0);
        if self.panel == self.code.plan.panels.n_parts {
            (self.batch, self.group, self.panel) = (self.batch + 1, 0, 0);
        }
    }

    /// Runs a unit: a chunk of a panel.
    ///
    /// # Safety
    /// As [`Kernel::run`](crate::kernel::Kernel::run).
    pub unsafe fn unit(&mut self) -> Outcome {
        let plan = &self.code.plan;
        let (first_lane, end_lane) = plan.lanes_of(self.panel);
        let mut lanes = self.element(&plan.roles.lanes, first_lane);
        let size = plan.vectors.dtype.size() as isize;
        let mut lane_k = plan.roles.lanes.k * size;
        if plan.packing == Packing::Copied {
            let pitch = plan.packed_pitch(self.panel);
            let place = self.panel - self.panels().start;
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
        let tiles = self.chunk * plan.chunk..plan.tiles.n_parts.min((self.chunk + 1) * plan.chunk);
        let rows = plan.tiles.start(tiles.start)..plan.tiles.start(tiles.end);
        let [panel_bytes, row_bytes, product_bytes, _] = self.code.scratch;
        let packed_rows = self.scratch.wrapping_add(panel_bytes);
        let mut first_row = self.element(&plan.roles.rows, rows.start);
        let mut row_k = plan.roles.rows.k * size;
        if plan.packs_rows {
            let pitch = plan.packed_rows_pitch();
            if !self.has_rows {
                self.has_rows = true;
                let from = Matrix {
                    start: first_row,
                    row: row_k,
                    column: size,
                    n_rows: plan.roles.n_k,
                    n_columns: rows.len(),
                };
                // SAFETY: the program was verified; scratch memory has room for a chunk of rows.
                unsafe { pack::pack(plan.vectors, from, packed_rows, pitch) };
            }
            (first_row, row_k) = (packed_rows, pitch as isize);
        }
        let product = packed_rows.wrapping_add(row_bytes);
        let mut call = Call {
            rows: first_row,
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
        self.point(&mut call, rows.start, first_lane);
        set_tail(&mut call, plan, plan.n_tail_lanes);
        // SAFETY: as this function's.
        unsafe {
            self.tiles(&mut call, tiles, row_k, lane_k);
            call.product = product;
            match plan.handover {
                Handover::Registers => told(&call),
                Handover::Memory => {
                    let turned = call.product.wrapping_add(product_bytes);
                    self.stage(&mut call, rows.len(), end_lane - first_lane, turned)
                }
            }
        }
    }

    /// Runs tiles that lie below each other, through all blocks of k.
    ///
    /// # Safety
    /// As [`Run::unit`]; the call names the chunk's and the panel's first elements, `row_k` and `lane_k` bytes from
    /// k to k, and where products go.
    unsafe fn tiles(&self, call: &mut Call, tiles: Range<usize>, row_k: isize, lane_k: isize) {
        let plan = &self.code.plan;
        let (rows, lanes, product) = (call.rows, call.lanes, call.product);
        let first_row = plan.tiles.start(tiles.start);
        let larger_end = plan.tiles.n_larger.clamp(tiles.start, tiles.end);
        let row_step = plan.roles.rows.along * plan.vectors.dtype.size() as isize;
        let mut k = 0;
        loop {
            call.n_k = plan.roles.k_block.min(plan.roles.n_k - k);
            call.accumulate = usize::from(k > 0);
            call.lanes = lanes.wrapping_offset(k as isize * lane_k);
            for (is_higher, tiles) in [(true, tiles.start..larger_end), (false, larger_end..tiles.end)] {
                if tiles.is_empty() {
                    continue;
                }
                let row = plan.tiles.start(tiles.start) - first_row;
                call.rows = rows.wrapping_offset(row as isize * row_step + k as isize * row_k);
                call.n_tiles = tiles.len();
                call.product = product.wrapping_add(row * plan.pitch());
                // SAFETY: the code was made for this kind of tiles, and the call names elements that exist.
                unsafe { self.code.call(self.code.tiles[plan.kind(is_higher, self.panel)], call) };
            }
            k += call.n_k;
            if k >= plan.roles.n_k {
                break;
            }
        }
    }

    /// Runs the stage over products in memory.
    ///
    /// # Safety
    /// As [`Run::unit`]; the call names the products and what the stage meets first; scratch memory ends with `turned`.
    unsafe fn stage(&self, call: &mut Call, n_rows: usize, n_lanes: usize, turned: *mut u8) -> Outcome {
        let plan = &self.code.plan;
        if let Some(nest) = &self.code.nests[plan.kind(false, self.panel) / 2] {
            let mut bases = [call.product; 1 + N_POINTERS];
            bases[1..].copy_from_slice(&call.pointers);
            // SAFETY: the nest's buffers start where the chunk does; its accesses were verified with the stage.
            return unsafe { nest.run(&bases, turned, 0..n_rows) };
        }
        let (mut height, mut extent) = (n_rows, n_lanes);
        if plan.stage.axis == Axis::Rows {
            (height, extent) = (n_lanes, n_rows);
            let from = Matrix {
                start: call.product,
                row: plan.vectors.dtype.size() as isize,
                column: plan.pitch() as isize,
                n_rows: n_lanes,
                n_columns: n_rows,
            };
            // SAFETY: there is room for the chunk's products, transposed.
            unsafe { pack::pack(plan.vectors, from, turned, plan.turned_pitch()) };
            call.product = turned;
        }
        call.n_tiles = height;
        call.n_vectors = extent >> plan.vectors.lanes().trailing_zeros();
        set_tail(call, plan, extent & (plan.vectors.lanes() - 1));
        // SAFETY: the stage's code, over products that are all there.
        unsafe { self.code.call(self.code.stage, call) };
        told(call)
    }

    /// Points each slot of the stage at the element for a row and a lane.
    fn point(&self, call: &mut Call, row: usize, lane: usize) {
        for (pointer, slot) in call.pointers.iter_mut().zip(&self.code.plan.stage.slots) {
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
            if rest == 0 {
                break;
            }
            offset += (rest % size) as isize * stride;
            rest /= size;
        }
        offset
    }
}

fn set_tail(call: &mut Call, plan: &Plan, n_lanes: usize) {
    call.tail_bits = (1 << n_lanes) - 1;
    call.tail_bytes = pack::mask(n_lanes * plan.vectors.dtype.size()).as_ptr();
}

fn told(call: &Call) -> Outcome {
    Outcome { is_faulty: false, is_not_finite: call.not_finite != 0 }
}

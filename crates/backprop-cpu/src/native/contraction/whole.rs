//! Contractions that are one unit, whose tiles do all: where everything lies is known but for the buffers, so that a
//! call is a few additions. (Small ones take no longer than working that out would.)

use backprop_opt::loops::Outcome;

use super::MachineCode;
use super::call::{Call, N_POINTERS};
use super::pack::{self, Matrix};
use super::plan::{Handover, Packing, Plan};

/// An element: its buffer, and how many bytes from the start.
type Spot = (usize, isize);

/// A contraction of one unit.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    rows: Spot,
    lanes: Spot,
    /// What the stage meets first, in each of its slots.
    slots: Vec<Spot>,
    /// Tiles that lie below each other: which code, how many, how many bytes of rows before them.
    tiles: Vec<(usize, usize, isize)>,
    tail_bits: usize,
    tail_bytes: &'static [u8],
}

impl Whole {
    /// `None` for other contractions; `entries` are those of the plan's kinds of tiles.
    pub fn new(plan: &Plan, entries: &[usize; Plan::N_KINDS]) -> Option<Whole> {
        let roles = &plan.roles;
        let is_one = roles.batch.iter().product::<usize>() * plan.panels.n_parts * plan.n_chunks == 1;
        let is_simple =
            plan.handover == Handover::Registers && !plan.packs_rows && roles.n_k <= roles.k_block;
        if !is_one || !is_simple {
            return None;
        }
        let size = plan.vectors.dtype.size() as isize;
        let (larger, smaller) = (plan.tiles.n_larger, plan.tiles.n_parts - plan.tiles.n_larger);
        let row_step = roles.rows.along * size;
        let kinds = [(true, 0, larger), (false, plan.tiles.start(larger), smaller)];
        let tiles = kinds.into_iter().filter(|&(.., n_tiles)| n_tiles > 0);
        let tiles = tiles.map(|(is_higher, row, n_tiles)| {
            (entries[plan.kind(is_higher, 0)], n_tiles, row as isize * row_step)
        });
        Some(Whole {
            rows: (roles.rows.buffer as usize, roles.rows.offset * size),
            lanes: (roles.lanes.buffer as usize, roles.lanes.offset * size),
            slots: plan
                .stage
                .slots
                .iter()
                .map(|slot| (slot.spot.buffer as usize, slot.spot.offset * slot.spot.dtype.size() as isize))
                .collect(),
            tiles: tiles.collect(),
            tail_bits: (1 << plan.n_tail_lanes) - 1,
            tail_bytes: pack::mask(plan.n_tail_lanes * size as usize),
        })
    }

    /// Runs it.
    ///
    /// # Safety
    /// As [`Kernel::run`](crate::kernel::Kernel::run).
    pub unsafe fn run(&self, code: &MachineCode, bases: &[*mut u8], scratch: *mut u8) -> Outcome {
        let plan = &code.plan;
        let at = |(buffer, bytes): Spot| bases[buffer].wrapping_offset(bytes);
        let mut lanes = at(self.lanes);
        if plan.packing == Packing::Copied {
            let size = plan.vectors.dtype.size() as isize;
            let from = Matrix {
                start: lanes,
                row: plan.roles.lanes.k * size,
                column: plan.roles.lanes.along * size,
                n_rows: plan.roles.n_k,
                n_columns: plan.roles.n_lanes,
            };
            // SAFETY: the program was verified: the factor's elements lie inside its buffer; scratch memory starts with
            // room for the panel.
            unsafe { pack::pack(plan.vectors, from, scratch, plan.packed_pitch(0)) };
            lanes = scratch;
        }
        let mut call = Call {
            rows: std::ptr::null(),
            lanes,
            n_k: plan.roles.n_k,
            n_tiles: 0,
            product: scratch,
            accumulate: 0,
            not_finite: 0,
            n_vectors: 0,
            tail_bits: self.tail_bits,
            tail_bytes: self.tail_bytes.as_ptr(),
            pointers: [std::ptr::null_mut(); N_POINTERS],
        };
        for (pointer, &slot) in call.pointers.iter_mut().zip(&self.slots) {
            *pointer = at(slot);
        }
        let rows = at(self.rows);
        for &(entry, n_tiles, before) in &self.tiles {
            (call.rows, call.n_tiles) = (rows.wrapping_offset(before), n_tiles);
            // SAFETY: the code was made for this kind of tiles, and the call names elements that exist.
            unsafe { code.call(entry, &mut call) };
        }
        Outcome { is_faulty: false, is_not_finite: call.not_finite != 0 }
    }
}

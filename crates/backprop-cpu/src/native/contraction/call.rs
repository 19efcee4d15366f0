//! What machine code is given: a structure that RDI points to.

use std::mem::offset_of;

use iced_x86::Register;

use super::plan::Plan;
use crate::native::assembler::Mem;

/// The most things in memory that a stage may name.
pub(super) const N_POINTERS: usize = 11;

/// More rows than a tile has, or than lie ahead of what is prefetched.
pub(super) const MOST_ROWS: usize = 1 << 6;

/// What one call works on.
#[repr(C)]
pub(super) struct Call {
    /// The first row's element of the first k.
    pub rows: *const u8,
    /// The first lane's element of the first k.
    pub lanes: *const u8,
    /// The number of products in this block of k.
    pub n_k: usize,
    /// The number of tiles, at least 1; for a stage, of its rows.
    pub n_tiles: usize,
    /// Where products are kept between a tile and the stage.
    pub product: *mut u8,
    /// Whether products of earlier blocks are there already: 0 or 1.
    pub accumulate: usize,
    /// Set to other than 0 where a watched store is not finite.
    pub not_finite: usize,
    /// The number of whole vectors in a row of a stage.
    pub n_vectors: usize,
    /// The mask of a tail: its bits.
    pub tail_bits: usize,
    /// The mask of a tail: its bytes.
    pub tail_bytes: *const u8,
    /// The first element that the stage meets in each of its slots.
    pub pointers: [*mut u8; N_POINTERS],
}

const fn at(offset: usize) -> Mem {
    Mem {
        base: Register::RDI,
        index: Register::None,
        scale: 1,
        displacement: offset as i32,
        is_broadcast: false,
    }
}

pub(super) const ROWS: Mem = at(offset_of!(Call, rows));
pub(super) const LANES: Mem = at(offset_of!(Call, lanes));
pub(super) const N_K: Mem = at(offset_of!(Call, n_k));
pub(super) const N_TILES: Mem = at(offset_of!(Call, n_tiles));
pub(super) const PRODUCT: Mem = at(offset_of!(Call, product));
pub(super) const ACCUMULATE: Mem = at(offset_of!(Call, accumulate));
pub(super) const NOT_FINITE: Mem = at(offset_of!(Call, not_finite));
pub(super) const N_VECTORS: Mem = at(offset_of!(Call, n_vectors));
pub(super) const TAIL_BITS: Mem = at(offset_of!(Call, tail_bits));
pub(super) const TAIL_BYTES: Mem = at(offset_of!(Call, tail_bytes));

/// What each word is, for people.
pub(super) fn words(plan: &Plan) -> Vec<(i32, String)> {
    let roles = &plan.roles;
    let known = [
        (ROWS, format!("rows of buffer {}", roles.rows.buffer)),
        (LANES, format!("lanes of buffer {}", roles.lanes.buffer)),
        (N_K, "products in this block".to_string()),
        (N_TILES, "tiles".to_string()),
        (PRODUCT, "where products are kept".to_string()),
        (ACCUMULATE, "whether there are earlier blocks".to_string()),
        (NOT_FINITE, "what is not finite".to_string()),
        (N_VECTORS, "vectors in a row".to_string()),
        (TAIL_BITS, "the mask of the tail".to_string()),
        (TAIL_BYTES, "the mask of the tail, in bytes".to_string()),
    ];
    let slots = plan.stage.slots.iter().enumerate();
    let slots = slots.map(|(slot, of)| (pointer(slot), format!("into buffer {}", of.spot.buffer)));
    known.into_iter().chain(slots).map(|(word, name)| (word.displacement, name)).collect()
}

/// The pointer of a slot.
pub(super) const fn pointer(slot: usize) -> Mem {
    at(offset_of!(Call, pointers) + 8 * slot)
}

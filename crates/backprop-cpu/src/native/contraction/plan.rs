//! How a contraction is cut into panels and tiles: chosen by sizes, never by what decides bits.
//!
//! ```text
//!             lanes: panels of up to four vectors, in groups
//!           ┌──────────┬──────────┬───────┐
//!    rows:  │ tile     │          │       │   a tile's sums stay in registers for all k of a block
//!   chunks  │ tile     │          │       │   a panel is packed once, if at all, and used by every tile below
//!  of tiles ├──────────┼──────────┼───────┤
//!           │          │          │       │   one chunk of one panel is a unit; units run through a group
//!           │          │          │       │   chunk by chunk, so that a chunk of rows stays in the caches
//! ```

use backprop_opt::loops::{Contraction, Program};

use super::assembly::Vectors;
use super::roles::{Orientation, Roles};
use super::stage::{Axis, Stage};
use super::tile::{self, Layout, Tile};
use crate::native::Isa;

/// A whole, cut into parts that differ by at most one; larger parts first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split {
    pub n_parts: usize,
    /// The size of a smaller part.
    pub size: usize,
    /// The number of larger parts.
    pub n_larger: usize,
}

impl Split {
    /// The fewest parts that are no larger than `most`.
    pub fn new(whole: usize, most: usize) -> Split {
        let n_parts = whole.div_ceil(most);
        match n_parts {
            0 => Split { n_parts, size: 0, n_larger: 0 },
            _ => Split { n_parts, size: whole / n_parts, n_larger: whole % n_parts },
        }
    }

    /// Where a part starts.
    pub fn start(self, part: usize) -> usize {
        part * self.size + part.min(self.n_larger)
    }

    pub fn is_larger(self, part: usize) -> bool {
        part < self.n_larger
    }

    /// The size of the largest part.
    pub fn largest(self) -> usize {
        self.size + usize::from(self.n_larger > 0)
    }
}

/// How lanes come to be next to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// They are.
    Direct,
    /// A panel is copied into scratch memory.
    Copied,
}

/// Where products go before the stage has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handover {
    /// They stay in registers.
    Registers,
    /// Through scratch memory, a chunk at a time.
    Memory,
}

/// A contraction, cut up.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub vectors: Vectors,
    pub roles: Roles,
    pub stage: Stage,
    pub packing: Packing,
    /// Whether chunks of rows are packed as well: [k][row].
    pub packs_rows: bool,
    pub handover: Handover,
    /// Vectors of lanes into panels.
    pub panels: Split,
    /// Rows into tiles.
    pub tiles: Split,
    /// Tiles below each other in a unit.
    pub chunk: usize,
    /// Panels next to each other that are packed at the same time.
    pub group: usize,
    /// The number of chunks that the tiles make.
    pub n_chunks: usize,
    /// The number of lanes in the last vector, if it is not whole, else 0.
    pub n_tail_lanes: usize,
    /// What it is thought to cost, in vector instructions.
    pub cost: f64,
}

impl Plan {
    /// The cheaper orientation; `None` if there is no code for the stage either way.
    pub fn choose(program: &Program, contraction: &Contraction, isa: Isa) -> Option<Plan> {
        let orientations = [Orientation::Straight, Orientation::Swapped];
        let plans = orientations.into_iter().filter_map(|o| Plan::new(program, contraction, isa, o));
        plans.min_by(|a, b| a.cost.total_cmp(&b.cost))
    }

    pub fn new(
        program: &Program,
        contraction: &Contraction,
        isa: Isa,
        orientation: Orientation,
    ) -> Option<Plan> {
        let roles = Roles::new(program, contraction, orientation);
        let vectors = Vectors { isa, dtype: roles.dtype };
        let n_vectors = roles.n_lanes.div_ceil(vectors.lanes());
        let panels = Split::new(n_vectors, widest_panel(isa, roles.n_rows));
        let along = |axis| Stage::new(contraction, &roles, axis, isa);
        let elsewhere = || {
            let pitch = panels.largest() * vectors.lanes();
            // Nests want their columns long, and next to each other: mostly those of y.
            let is_fit = roles.n_rows == 1 || orientation == Orientation::Straight && roles.n_lanes > 1;
            Stage::elsewhere(contraction, &roles, pitch).filter(|_| is_fit)
        };
        let stage = along(Axis::Lanes).or_else(|| along(Axis::Rows)).or_else(elsewhere)?;

        let row_bytes = roles.rows.along.unsigned_abs() * vectors.dtype.size();
        let tiles = Split::new(roles.n_rows, tallest_tile(isa, panels.largest(), row_bytes));

        let size = vectors.dtype.size() as isize;
        let is_adjacent = roles.lanes.along == 1 || roles.n_lanes == 1;
        let panel_span = roles.n_k.saturating_mul(roles.lanes.k.unsigned_abs() * size as usize);
        let panel_bytes = (panels.largest() * vectors.bytes()).saturating_mul(roles.n_k);
        let is_small = tiles.n_parts <= DIRECT_TILES || panel_span <= DIRECT_SPAN;
        let is_direct = is_adjacent && (is_small || panel_bytes > MOST_PANEL_BYTES);
        let packing = if is_direct { Packing::Direct } else { Packing::Copied };
        let in_one_block = roles.n_k <= roles.k_block;
        let handover = match stage.axis {
            Axis::Lanes if in_one_block && roles.n_k <= REGISTERS_K && stage.elsewhere.is_none() => {
                Handover::Registers
            }
            _ => Handover::Memory,
        };

        let chunk = CHUNK_ROWS.div_ceil(tiles.largest().max(1));
        let chunk = match handover {
            Handover::Memory => chunk,
            Handover::Registers => {
                let tile_work = tiles.largest() * panels.largest() * roles.n_k.max(1);
                chunk.max(CHUNK_WORK / tile_work.max(1))
            }
        };

        let group = GROUP_BYTES / panel_bytes.max(1);
        let group = group.clamp(1, GROUP_PANELS.max(panels.n_parts / 4).min(MAX_GROUP_PANELS));

        let is_far = roles.rows.k.unsigned_abs() * size as usize >= tile::FAR as usize;
        let (rows, k) = (roles.n_rows as f64, roles.n_k as f64);
        let n_vectors = n_vectors as f64;
        let per_packed = match packing {
            Packing::Direct => 0.0,
            Packing::Copied if is_adjacent => 3.0,
            Packing::Copied if roles.lanes.k == 1 => 6.0,
            Packing::Copied => 2.5 * vectors.lanes() as f64,
        };
        let per_product = match (stage.axis, handover) {
            (Axis::Lanes, Handover::Registers) => 3.0,
            (Axis::Lanes, Handover::Memory) => 5.0,
            (Axis::Rows, _) => 12.0,
        };
        let rows_bytes = roles.n_rows.saturating_mul(roles.n_k) * size as usize;
        let packs_rows = rows_bytes > NEAR_BYTES
            && is_far
            && roles.rows.along == 1
            && (PACKED_ROWS_K..=MOST_PACKED_ROWS_K).contains(&roles.n_k)
            && panels.n_parts.min(group) >= PACKED_ROWS_PANELS;

        let n_chunks = tiles.n_parts.div_ceil(chunk);
        let n_tail_lanes = roles.n_lanes % vectors.lanes();
        let per_k = if is_far && roles.n_rows * roles.n_k > FAR_ELEMENTS { 100.0 } else { 0.0 };
        let cost =
            rows * n_vectors * (k + per_product) + n_vectors * k * per_packed + n_chunks as f64 * k * per_k;
        Some(Plan {
            vectors,
            roles,
            stage,
            packing,
            packs_rows,
            handover,
            panels,
            tiles,
            chunk,
            group,
            n_chunks,
            n_tail_lanes,
            cost,
        })
    }

    /// The lanes of a panel, from which to which.
    pub fn lanes_of(&self, panel: usize) -> (usize, usize) {
        let lanes = self.vectors.lanes();
        let end = self.panels.start(panel + 1) * lanes;
        (self.panels.start(panel) * lanes, end.min(self.roles.n_lanes))
    }

    /// The kinds of tiles that there may be: by [`Plan::kind`].
    pub fn tile(&self, kind: usize) -> Tile {
        let (is_higher, width) = (kind % 2 == 1, kind / 2);
        Tile {
            rows: self.tiles.size + usize::from(is_higher),
            vectors: self.panels.size + usize::from(width == 2),
            has_tail: width == 1,
        }
    }

    /// The number of kinds of tiles.
    pub const N_KINDS: usize = 6;

    /// The kind of a tile: whether it is one of the higher ones, and which panel it is in.
    pub fn kind(&self, is_higher: bool, panel: usize) -> usize {
        let is_last = panel + 1 == self.panels.n_parts;
        let width = match self.panels.is_larger(panel) {
            true => 2,
            false if is_last && self.n_tail_lanes > 0 => 1,
            false => 0,
        };
        2 * width + usize::from(is_higher)
    }

    /// Whether some tile is of this kind.
    pub fn has_kind(&self, kind: usize) -> bool {
        let has_height = match kind % 2 {
            1 => self.tiles.n_larger > 0,
            _ => self.tiles.n_larger < self.tiles.n_parts,
        };
        let n_smaller = self.panels.n_parts - self.panels.n_larger;
        let n_tails = usize::from(self.n_tail_lanes > 0);
        let n_panels = match kind / 2 {
            2 => self.panels.n_larger,
            1 => n_tails,
            _ => n_smaller - n_tails,
        };
        has_height && n_panels > 0
    }

    /// Bytes from row to row of products in memory.
    pub fn pitch(&self) -> usize {
        self.panels.largest() * self.vectors.bytes()
    }

    /// Bytes from row to row of transposed products in memory.
    pub fn turned_pitch(&self) -> usize {
        (self.chunk * self.tiles.largest() * self.vectors.dtype.size()).next_multiple_of(self.vectors.bytes())
    }

    /// Bytes from k to k of a packed panel.
    pub fn packed_pitch(&self, panel: usize) -> usize {
        (self.panels.size + usize::from(self.panels.is_larger(panel))) * self.vectors.bytes()
    }

    /// Bytes from panel to panel of those that are packed; no multiple of a page, so that they do not all want
    /// the same sets of a cache.
    pub fn packed_panel(&self) -> usize {
        self.pitch() * self.roles.n_k + 128
    }

    /// Bytes from k to k of a packed chunk of rows.
    pub fn packed_rows_pitch(&self) -> usize {
        self.turned_pitch()
    }

    /// Bytes of scratch memory, one after the other: packed panels of a group, a packed chunk of rows, products, transposed products.
    pub fn scratch(&self) -> [usize; 4] {
        let is_copied = self.packing == Packing::Copied;
        let n_panels = if is_copied { self.group.min(self.panels.n_parts) } else { 0 };
        let panels = n_panels * self.packed_panel();
        let rows = self.chunk * self.tiles.largest();
        let products = if self.handover == Handover::Memory { self.pitch() * rows } else { 0 };
        let lanes = self.panels.largest() * self.vectors.lanes();
        let turned = if self.stage.axis == Axis::Rows { self.turned_pitch() * lanes } else { 0 };
        let rows = if self.packs_rows { self.packed_rows_pitch() * self.roles.n_k } else { 0 };
        [panels, rows, products, turned].map(|bytes| bytes.next_multiple_of(64))
    }

    /// How tiles of a kind find their operands; `None` if distances are too great for an instruction.
    pub fn layout(&self, kind: usize) -> Option<Layout> {
        let size = self.vectors.dtype.size() as isize;
        let tile = self.tile(kind);
        let row = if self.roles.n_rows == 1 { 0 } else { self.roles.rows.along.checked_mul(size)? };
        let row_k = match self.packs_rows {
            true => self.packed_rows_pitch() as isize,
            false => self.roles.rows.k.checked_mul(size)?,
        };
        i32::try_from(row.checked_mul(tile.rows as isize)?).ok()?;
        let lane_k = match self.packing {
            Packing::Direct => self.roles.lanes.k.checked_mul(size)?,
            Packing::Copied => (tile.vectors * self.vectors.bytes()) as isize,
        };
        Some(Layout {
            row: row as i32,
            row_k: i32::try_from(row_k).ok()?,
            lane_k: i32::try_from(lane_k).ok()?,
            is_padded: self.packing == Packing::Copied,
            pitch: i32::try_from(self.pitch()).ok()?,
            n_k: self.roles.n_k,
        })
    }
}

/// Panels this wide need the fewest loads for each FMA, and suit a broadcast factor whose rows are a power of
/// two apart: six rows fit into a set of the L1 cache beside the panel, twelve do not (0.98 against 0.63 of
/// the FMA peak, Zen 4, rows 4 KiB apart).
fn widest_panel(isa: Isa, n_rows: usize) -> usize {
    match (isa, n_rows) {
        // Few rows: enough sums to hide an FMA's latency, all the same.
        (Isa::Avx512, ..=2) => 8,
        (Isa::Avx512, _) => 4,
        (Isa::Avx2, ..=2) => 4,
        (Isa::Avx2, _) => 2,
    }
}

/// The most rows whose sums, with lanes and broadcasts, fit into the registers.
fn tallest_tile(isa: Isa, n_vectors: usize, row_bytes: usize) -> usize {
    // Rows this far apart want the same set of the L1 cache, which has eight places.
    let most = if row_bytes > 0 && row_bytes.is_multiple_of(4096) { 8 } else { usize::MAX };
    let fits = match (isa, n_vectors) {
        (Isa::Avx512, ..=1) => 16,
        (Isa::Avx512, 2) => 12,
        (Isa::Avx512, 3) => 8,
        (Isa::Avx512, 4) => 6,
        (Isa::Avx512, _) => 2,
        (Isa::Avx2, ..=1) => 12,
        (Isa::Avx2, 2) => 6,
        (Isa::Avx2, _) => 2,
    };
    fits.min(most)
}

/// Up to this many tiles below each other, a panel is not worth copying.
const DIRECT_TILES: usize = 4;

/// Nor if it spans no more bytes than this, as many as the L2 cache has: then it stays there where it is, whatever
/// its stride, and lines come from there as fast as they are wanted.
const DIRECT_SPAN: usize = 1 << 20;

/// Rows that take no more bytes than this stay in the L2 cache beside the panels, wherever they are.
const NEAR_BYTES: usize = 512 << 10;

/// The fewest products and panels for which a chunk of rows, whose k are far apart, is worth packing.
const PACKED_ROWS_K: usize = 16;
const PACKED_ROWS_PANELS: usize = 4;

/// The most products for which a packed chunk of rows stays in the L2 cache beside the panels.
const MOST_PACKED_ROWS_K: usize = 512;

/// Panels larger than this are copied only if they must be.
const MOST_PANEL_BYTES: usize = 8 << 20;

/// Rows of a chunk whose products go through memory: a whole number of vectors once transposed, and small
/// enough to stay in the L1 cache.
const CHUNK_ROWS: usize = 48;

/// Packed panels of a group: they come from the L3 cache once for each chunk, one after the other.
const GROUP_BYTES: usize = 2 << 20;

/// The panels of a group, for contractions with few of them; others are cut into four groups, so that few
/// threads need to pack the same.
const GROUP_PANELS: usize = 4;

/// The most panels of a group.
const MAX_GROUP_PANELS: usize = 64;

/// Rows with more elements than this come from beyond the L2 cache. Where each k is a line of its own, that
/// costs: 2.5 ms of 24 for 2048 × 2048 (Zen 4), or about a hundred cycles for each k of a chunk.
const FAR_ELEMENTS: usize = 1 << 20;

/// FMAs of a chunk: enough to make the cost of a call small.
const CHUNK_WORK: usize = 1 << 14;

/// Up to this many products, handing a sum over through memory costs enough to be worth more code.
const REGISTERS_K: usize = 512;

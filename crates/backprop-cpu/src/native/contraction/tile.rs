//! The inner loops: a tile of products, its sums in registers; and the stage over products in memory.

use iced_x86::Register::{self, R8, R9, R10, R11, R12, R13, R14, R15, RAX, RBP, RBX, RCX, RDX, RSI};

use super::assembly::{Assembly, Lanes, Operation};
use super::call;
use super::stage::{Site, Slot, Stage};
use crate::native::Isa;
use crate::native::assembler::Mem;

/// A tile: rows × vectors of lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub rows: usize,
    pub vectors: usize,
    /// Whether the last vector has lanes that do not exist, in the stage and (where lanes are not packed) in
    /// the factor.
    pub has_tail: bool,
}

impl Tile {
    /// What to call it.
    pub fn name(self) -> String {
        let tail = if self.has_tail { ", the last one in part" } else { "" };
        format!("tile of {} rows × {} vectors{tail}", self.rows, self.vectors)
    }
}

/// How tiles find their operands, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// From row to row of the factor whose elements are broadcast.
    pub row: i32,
    /// From k to k of it.
    pub row_k: i32,
    /// From k to k of the factor whose neighbours fill vectors.
    pub lane_k: i32,
    /// Whether lanes that do not exist are there all the same, as zeros.
    pub is_padded: bool,
    /// From row to row of products in memory.
    pub pitch: i32,
    /// The number of products in all.
    pub n_k: usize,
}

/// Code for `n_tiles` tiles below each other: all k of a block, then the stage, or products into memory.
/// `None` if the stage wants more registers than there are.
pub(super) fn tiles(a: &mut Assembly, tile: Tile, layout: Layout, stage: Option<&Stage>) -> Option<()> {
    let Tile { rows, vectors, has_tail } = tile;
    let width = a.vectors.bytes() as i32;
    let sum = |row: usize, vector: usize| row * vectors + vector;
    let lane = |vector: usize| rows * vectors + vector;
    // Turns of the broadcast rows: two registers where they are left.
    let first_spare = rows * vectors + vectors;
    let n_spare = a.vectors.n_registers() - first_spare;
    let lanes_of = |vector: usize, is_padded: bool| match has_tail && !is_padded && vector + 1 == vectors {
        true => Lanes::Tail,
        false => Lanes::All,
    };
    if has_tail {
        a.tail(call::TAIL_BITS, call::TAIL_BYTES);
    }
    let is_watching = stage.is_some_and(Stage::is_watching);
    if is_watching {
        a.watch_nothing();
    }
    a.load_word(RDX, call::ROWS);
    if stage.is_none() {
        a.load_word(R10, call::PRODUCT);
    }

    let next_tile = a.here();
    if let Some(stage) = stage.filter(|_| layout.n_k >= PREFETCH_K) {
        // What the stage will read and write arrives while the products are summed.
        for (slot, Slot { row_step, .. }) in
            stage.slots.iter().enumerate().filter(|(_, slot)| slot.row_step != 0)
        {
            a.load_word(RAX, call::pointer(slot));
            for row in 0..rows {
                for vector in 0..vectors {
                    let distance = row as isize * row_step + (vector as i32 * width) as isize;
                    a.prefetch(Mem::at(RAX, distance as i32));
                }
            }
        }
    }
    (0..rows * vectors).for_each(|register| a.zero(register));
    if layout.n_k > 0 {
        a.copy(RAX, RDX);
        a.load_word(RCX, call::LANES);
        a.load_word(R8, call::N_K);
        let next_k = a.here();
        // Strides that leave the cache line for each k leave the prefetchers of the CPU behind.
        if let Some(ahead) = far(layout.row_k) {
            a.prefetch(Mem::at(RAX, ahead));
        }
        if let Some(ahead) = far(layout.lane_k).filter(|_| !layout.is_padded) {
            (0..vectors).for_each(|vector| a.prefetch(Mem::at(RCX, ahead + vector as i32 * width)));
        }
        for vector in 0..vectors {
            a.load(lane(vector), Mem::at(RCX, vector as i32 * width), lanes_of(vector, layout.is_padded));
        }
        for row in 0..rows {
            let at = Mem::at(RAX, row as i32 * layout.row);
            // A broadcast within the FMA takes a load for each vector, one of its own takes an instruction.
            if vectors == 1 && a.vectors.isa == Isa::Avx512 {
                a.operate_broadcast(Operation::Fma, sum(row, 0), lane(0), at);
                continue;
            }
            let turn = first_spare + row % n_spare.min(2);
            a.broadcast(turn, at);
            for vector in 0..vectors {
                a.operate(Operation::Fma, sum(row, vector), turn, lane(vector));
            }
        }
        a.add(RAX, layout.row_k);
        a.add(RCX, layout.lane_k);
        a.add(R8, -1);
        a.jump_if_not_zero(next_k);
    }

    match stage {
        None => {
            let skip = a.skip_if_zero(call::ACCUMULATE);
            for row in 0..rows {
                for vector in 0..vectors {
                    let at = Mem::at(R10, row as i32 * layout.pitch + vector as i32 * width);
                    a.load(first_spare, at, Lanes::All);
                    a.operate(Operation::Add, sum(row, vector), first_spare, sum(row, vector));
                }
            }
            a.place(skip);
            for row in 0..rows {
                for vector in 0..vectors {
                    let at = Mem::at(R10, row as i32 * layout.pitch + vector as i32 * width);
                    a.store(at, sum(row, vector), Lanes::All);
                }
            }
            a.add(R10, rows as i32 * layout.pitch);
        }
        Some(stage) => {
            let registers = [RCX, RSI, R8, R9, R10, R11];
            let pointers: Vec<_> = (0..stage.slots.len()).map(|slot| registers.get(slot).copied()).collect();
            load_pointers(a, &pointers);
            let mut pool: Vec<usize> = (rows * vectors..a.vectors.n_registers()).rev().collect();
            let fixed = stage.fix(a, &mut pool, &pointers);
            for row in 0..rows {
                for vector in 0..vectors {
                    let site = Site {
                        product: sum(row, vector),
                        row,
                        element: vector * a.vectors.lanes(),
                        lanes: lanes_of(vector, false),
                    };
                    stage.site(a, site, &mut pool, &fixed, &pointers)?;
                }
            }
            for (slot, Slot { row_step, .. }) in stage.slots.iter().enumerate() {
                let step = i32::try_from(rows as isize * row_step).ok()?;
                a.add_to_word(call::pointer(slot), step);
            }
        }
    }
    a.add(RDX, rows as i32 * layout.row);
    a.add_to_word(call::N_TILES, -1);
    a.jump_if_not_zero(next_tile);
    if is_watching {
        a.watched(call::NOT_FINITE);
    }
    a.ret();
    Some(())
}

/// With fewer products than this, what is fetched ahead of them comes too late to be of use.
const PREFETCH_K: usize = 8;

/// How far to look ahead along a stride, if it is worth it.
fn far(stride: i32) -> Option<i32> {
    (stride.unsigned_abs() >= FAR).then(|| stride.checked_mul(AHEAD)).flatten()
}

/// Strides from which on a prefetch for each k is worth its instruction, in bytes.
pub(super) const FAR: u32 = 1024;

/// How many k to look ahead: about the latency of memory, at a FMA a cycle.
const AHEAD: i32 = 16;

fn load_pointers(a: &mut Assembly, pointers: &[Option<Register>]) {
    for (slot, register) in pointers.iter().enumerate() {
        if let Some(register) = *register {
            a.load_word(register, call::pointer(slot));
        }
    }
}

/// The registers that a caller wants back, and that a stage over memory uses.
const KEPT: [Register; 6] = [RBX, RBP, R12, R13, R14, R15];

/// Code for the stage over products in memory, `pitch` bytes from row to row: `n_vectors` whole vectors and a
/// tail in each of `n_tiles` rows. `None` if the stage wants more registers than there are.
pub(super) fn stage_over(a: &mut Assembly, stage: &Stage, pitch: i32) -> Option<()> {
    let registers = [RSI, R8, R9, R10, R11, RBX, RBP, R12, R13, R14, R15];
    let pointers: Vec<_> = registers.into_iter().take(stage.slots.len()).map(Some).collect();
    let kept: Vec<_> = KEPT.into_iter().filter(|&register| pointers.contains(&Some(register))).collect();
    kept.iter().for_each(|&register| a.push(register));
    a.watch_nothing();

    let skip = a.skip_if_zero(call::N_VECTORS);
    let next_vector = a.here();
    rows_of_vectors(a, stage, pitch, Lanes::All, &pointers)?;
    a.add_to_word(call::PRODUCT, a.vectors.bytes() as i32);
    for (slot, Slot { step, .. }) in stage.slots.iter().enumerate() {
        a.add_to_word(call::pointer(slot), (a.vectors.lanes() as isize * step) as i32);
    }
    a.add_to_word(call::N_VECTORS, -1);
    a.jump_if_not_zero(next_vector);
    a.place(skip);

    let skip = a.skip_if_zero(call::TAIL_BITS);
    a.tail(call::TAIL_BITS, call::TAIL_BYTES);
    rows_of_vectors(a, stage, pitch, Lanes::Tail, &pointers)?;
    a.place(skip);

    a.watched(call::NOT_FINITE);
    kept.iter().rev().for_each(|&register| a.pop(register));
    a.ret();
    Some(())
}

/// How many rows a stage over memory looks ahead.
const ROWS_AHEAD: isize = 8;

/// The stage on one vector of each row.
fn rows_of_vectors(
    a: &mut Assembly,
    stage: &Stage,
    pitch: i32,
    lanes: Lanes,
    pointers: &[Option<Register>],
) -> Option<()> {
    load_pointers(a, pointers);
    let mut pool: Vec<usize> = (1..a.vectors.n_registers()).rev().collect();
    let fixed = stage.fix(a, &mut pool, pointers);
    a.load_word(RDX, call::PRODUCT);
    a.load_word(RCX, call::N_TILES);
    let next_row = a.here();
    a.load(0, Mem::at(RDX, 0), Lanes::All);
    let site = Site { product: 0, row: 0, element: 0, lanes };
    stage.site(a, site, &mut pool, &fixed, pointers)?;
    for (slot, &register) in stage.slots.iter().zip(pointers).filter(|(slot, _)| slot.row_step != 0) {
        let ahead = i32::try_from(slot.row_step * ROWS_AHEAD).ok()?;
        a.prefetch(Mem::at(register.expect("every slot has a register"), ahead));
    }
    for (slot, &register) in stage.slots.iter().zip(pointers) {
        a.add(register.expect("every slot has a register"), i32::try_from(slot.row_step).ok()?);
    }
    a.add(RDX, pitch);
    a.add(RCX, -1);
    a.jump_if_not_zero(next_row);
    Some(())
}

//! Contractions: packed panels, tiles of sums, and scalar code on the rows of a block of products.
//!
//! ```text
//! for each unit: a batch, a range of columns, a block of rows
//!     b packed for the range, unless the unit before had the same
//!     for each part of k:   a packed for the block; each tile's sums go on
//!     for each row of the block: the stage's code on its products
//! ```

mod tile;

use std::ops::Range;

use backprop_opt::loops::{Contraction, Factor, Outcome, Program};
use smallvec::SmallVec;

use super::loops::forget_unnamed;
use super::nest::{set, width};
use super::place::{Along, Frame, Layout};
use super::tape::{Builder, Met, Tape};
use crate::isa::Isa;
use crate::kernel::Kernel;
use tile::{Panel, Tile, Tiles};

/// The most rows in a block: packed, they should stay in the second cache.
const ROWS: usize = 96;
/// The most columns in a range.
const COLUMNS: usize = 512;
/// The most products in a part of k.
const PART: usize = 512;
/// The bytes of b that are packed at a time, where that many do.
const PACKED: usize = 4 << 20;

/// A contraction, made ready.
pub(super) struct ContractionKernel {
    batch: SmallVec<[usize; 4]>,
    m: usize,
    n: usize,
    k: usize,
    k_block: usize,
    a: Strided,
    b: Strided,
    size: usize,
    tiles: Tiles,
    /// Rows in a block, columns in a range; and padded.
    rows: usize,
    columns: usize,
    padded_columns: usize,
    /// Whether all of k is packed at a time, for all blocks of rows that share a range of columns.
    packs_all: bool,
    along: Along,
    tape: Tape,
    /// Where packed a, packed b, the products and the sums of a block of k start in the scratch.
    packed_a: usize,
    packed_b: usize,
    products: usize,
    sums: usize,
    scratch: usize,
}

/// A factor, strides in bytes.
struct Strided {
    buffer: u32,
    offset: isize,
    batch: SmallVec<[isize; 4]>,
    row: isize,
    column: isize,
}

impl Strided {
    fn new(factor: &Factor, size: usize) -> Strided {
        let size = size as isize;
        Strided {
            buffer: factor.buffer,
            offset: factor.offset * size,
            batch: factor.batch_strides.iter().map(|stride| stride * size).collect(),
            row: factor.row_stride * size,
            column: factor.column_stride * size,
        }
    }

    /// Element (row, column) of the batch where the frame stands.
    fn at(&self, frame: &Frame, row: usize, column: usize) -> *const u8 {
        let batch = self.batch.iter().zip(&frame.at).map(|(stride, &at)| stride * at as isize);
        let offset = self.offset + row as isize * self.row + column as isize * self.column;
        let offset = batch.fold(offset, |sum, step| sum + step);
        frame.bases[self.buffer as usize].wrapping_offset(offset)
    }
}

/// The number of equal parts of at most `most`, and the size of one, a multiple of `unit`.
fn parts(n: usize, most: usize, unit: usize) -> usize {
    n.div_ceil(n.div_ceil(most).max(1)).next_multiple_of(unit).max(unit)
}

/// A kernel that runs a contraction of a verified program.
pub(super) fn contraction(program: &Program, contraction: &Contraction, isa: Isa) -> ContractionKernel {
    let Contraction { dtype, batch, m, n, k, k_block, a, b, stage } = contraction;
    let (m, n, k, size) = (*m, *n, *k, dtype.size());
    let tiles = Tiles::new(*dtype, isa, n);
    let fits = PACKED / (k.max(1) * size) / tiles.columns * tiles.columns;
    let packs_all = fits >= tiles.columns;
    let columns = parts(n, if packs_all { fits.min(COLUMNS) } else { COLUMNS }, tiles.columns);
    let rows = parts(m, ROWS, tiles.rows());
    let padded_columns = columns;
    let mut scratch = 0;
    let mut take = |elements: usize| {
        let start = scratch;
        scratch += (elements * size).next_multiple_of(64);
        start
    };
    let part = k.min(PART).min(*k_block);
    let packed_a = take(rows * part);
    let packed_b = take(columns * if packs_all { k } else { part });
    let products = take(rows * padded_columns);
    // Sums of a block of k that takes several parts, and is not the first.
    let sums = take(if *k_block > PART && k > *k_block { rows * padded_columns } else { 0 });
    let mut stage = stage.clone();
    forget_unnamed(&mut stage, batch.len() + 1);
    let along = if n < 16 && m >= 2 * n { Along::Rows } else { Along::Columns };
    let extent = if along == Along::Rows { m } else { n };
    let row_stride = (padded_columns * size) as isize;
    let builder = Builder {
        layout: Layout {
            program,
            along,
            locals: &[],
            width: width(&stage, extent),
            product_strides: Some((batch.len(), row_stride)),
        },
        isa,
        extent,
        repeats: true,
        loads_once: true,
        scratch: &mut scratch,
    };
    let tape = builder.tape(&stage, false);
    ContractionKernel {
        batch: batch.clone(),
        m,
        n,
        k,
        k_block: *k_block,
        a: Strided::new(a, size),
        b: Strided::new(b, size),
        size,
        tiles,
        rows,
        columns,
        padded_columns,
        packs_all,
        along,
        tape,
        packed_a,
        packed_b,
        products,
        sums,
        scratch,
    }
}

impl Kernel for ContractionKernel {
    fn n_units(&self) -> usize {
        (self.batch.iter().product::<usize>() * self.n_ranges() * self.n_blocks()).max(1)
    }

    fn scratch_bytes(&self) -> usize {
        self.scratch
    }

    unsafe fn run(&self, bases: &[*mut u8], scratch: *mut u8, units: Range<usize>) -> Outcome {
        let mut met = Met::default();
        if self.m == 0 || self.n == 0 || self.batch.contains(&0) {
            return Outcome::default();
        }
        let n_batch = self.batch.len();
        let at = SmallVec::from_elem(0, n_batch + 1);
        let mut frame = Frame { bases, scratch, product: std::ptr::null_mut(), at };
        // SAFETY: the caller's.
        unsafe { self.tape.prepare(&frame, &mut met) };
        let mut packed = None;
        for unit in units {
            let (range, block) = (unit / self.n_blocks(), unit % self.n_blocks());
            set(&mut frame.at[..n_batch], &self.batch, range / self.n_ranges());
            let first = range % self.n_ranges() * self.columns;
            let columns = first..self.n.min(first + self.columns);
            let first = block * self.rows;
            let rows = first..self.m.min(first + self.rows);
            // SAFETY: the caller's; the frame stands at a batch, rows and columns are within the result.
            unsafe {
                if self.packs_all && packed != Some(range) {
                    self.pack_b(&frame, 0..self.k, &columns);
                    packed = Some(range);
                }
                self.multiply(&frame, &rows, &columns);
                self.finish(&mut frame, &rows, &columns, &mut met);
            }
        }
        Outcome { is_faulty: met.is_faulty, is_not_finite: met.is_not_finite }
    }
}

impl ContractionKernel {
    fn n_ranges(&self) -> usize {
        self.n.div_ceil(self.columns)
    }

    fn n_blocks(&self) -> usize {
        self.m.div_ceil(self.rows)
    }

    /// Packs b for a range of columns: part by part of k, panel by panel of columns.
    ///
    /// # Safety
    /// That of [`Kernel::run`]; the frame stands at a batch.
    unsafe fn pack_b(&self, frame: &Frame, k: Range<usize>, columns: &Range<usize>) {
        let width = self.tiles.columns;
        let mut to = frame.scratch.wrapping_add(self.packed_b);
        for part in self.parts_of(k) {
            for column in columns.clone().step_by(width) {
                let panel = Panel {
                    from: self.b.at(frame, part.start, column),
                    k_stride: self.b.row,
                    stride: self.b.column,
                    k: part.len(),
                    n: width.min(columns.end - column),
                    padded: width,
                    to,
                };
                // SAFETY: the panel lies in the factor, and packed b is as large as all panels together.
                unsafe { (self.tiles.pack)(&panel) };
                to = to.wrapping_add(part.len() * width * self.size);
            }
        }
    }

    /// # Safety
    /// As [`ContractionKernel::pack_b`].
    unsafe fn pack_a(&self, frame: &Frame, k: &Range<usize>, rows: &Range<usize>) {
        let mut to = frame.scratch.wrapping_add(self.packed_a);
        for row in rows.clone().step_by(self.tiles.rows()) {
            let n = self.tiles.rows().min(rows.end - row);
            let (padded, _) = self.tiles.of(n);
            let from = self.a.at(frame, row, k.start);
            let (k_stride, stride) = (self.a.column, self.a.row);
            let panel = Panel { from, k_stride, stride, k: k.len(), n, padded, to };
            // SAFETY: the panel lies in the factor, and packed a is as large as all panels together.
            unsafe { (self.tiles.pack)(&panel) };
            to = to.wrapping_add(k.len() * padded * self.size);
        }
    }

    /// The parts of a range of k: none goes over the end of a block of k.
    fn parts_of(&self, k: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let mut start = k.start;
        std::iter::from_fn(move || {
            let block_end = (start / self.k_block + 1).saturating_mul(self.k_block);
            let part = start..k.end.min(block_end).min(start + PART);
            start = part.end;
            (!part.is_empty()).then_some(part)
        })
    }

    /// The sums of products of a block of rows and a range of columns.
    ///
    /// # Safety
    /// As [`ContractionKernel::pack_b`]; b is packed for these columns, unless that is done part by part.
    unsafe fn multiply(&self, frame: &Frame, rows: &Range<usize>, columns: &Range<usize>) {
        let products = frame.scratch.wrapping_add(self.products);
        let sums = frame.scratch.wrapping_add(self.sums);
        if self.k == 0 {
            // SAFETY: the products are a part of the scratch; zeros are 0 of every type.
            unsafe { products.write_bytes(0, self.rows * self.padded_columns * self.size) };
        }
        let width = self.tiles.columns;
        let n_panels = columns.len().div_ceil(width);
        for part in self.parts_of(0..self.k) {
            let mut packed_b = frame.scratch.wrapping_add(self.packed_b);
            // SAFETY: the caller's.
            unsafe {
                self.pack_a(frame, &part, rows);
                match self.packs_all {
                    true => packed_b = packed_b.wrapping_add(part.start * n_panels * width * self.size),
                    false => self.pack_b(frame, part.clone(), columns),
                }
            }
            // A block goes on from part to part; the first where the products will lie, each later one
            // beside, until it is whole and added.
            let is_first_block = part.start < self.k_block;
            let begins = part.start.is_multiple_of(self.k_block);
            let ends = part.end.is_multiple_of(self.k_block) || part.end == self.k;
            let place = if is_first_block { products } else { sums };
            let to = if ends { products } else { place };
            for panel in 0..n_panels {
                let b = packed_b.wrapping_add(panel * part.len() * width * self.size);
                let mut a = frame.scratch.wrapping_add(self.packed_a);
                for row in (0..rows.len()).step_by(self.tiles.rows()) {
                    let (n, run) = self.tiles.of(self.tiles.rows().min(rows.len() - row));
                    let offset = (row * self.padded_columns + panel * width) * self.size;
                    let tile = Tile {
                        k: part.len(),
                        a,
                        b,
                        from: if begins { std::ptr::null() } else { place.wrapping_add(offset) },
                        to: to.wrapping_add(offset),
                        adds: ends && !is_first_block,
                        stride: self.padded_columns,
                    };
                    // SAFETY: both panels are packed, and the tile lies in the scratch: blocks of rows and
                    // ranges of columns are padded to whole tiles.
                    unsafe { run(&tile) };
                    a = a.wrapping_add(part.len() * n * self.size);
                }
            }
        }
    }

    /// Runs the stage's code on the products.
    ///
    /// # Safety
    /// As [`ContractionKernel::pack_b`].
    unsafe fn finish(&self, frame: &mut Frame, rows: &Range<usize>, columns: &Range<usize>, met: &mut Met) {
        let n_batch = self.batch.len();
        let before = (rows.start * self.padded_columns + columns.start) * self.size;
        // Where element (0, 0) would lie: rows and columns are counted from the result's first.
        frame.product = frame.scratch.wrapping_add(self.products).wrapping_sub(before);
        let (one_by_one, first, n) = match self.along {
            Along::Columns => (rows, columns.start, columns.len()),
            Along::Rows => (columns, rows.start, rows.len()),
        };
        let block = if self.along == Along::Rows { self.tape.width() } else { n };
        for at in one_by_one.clone() {
            frame.at[n_batch] = at;
            for start in (0..n).step_by(block) {
                // SAFETY: the caller's; the line lies within the result.
                unsafe { self.tape.line(frame, first + start, block.min(n - start), None, met) };
            }
        }
    }
}

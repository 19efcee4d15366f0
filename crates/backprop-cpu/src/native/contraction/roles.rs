//! A contraction with its parts named by the role that they play in a tile: rows, whose elements are
//! broadcast, and lanes, whose neighbours fill a vector.
//!
//! ```text
//! product[row, lane] = Σₖ rows[row, k]·lanes[k, lane]
//! ```
//!
//! y[i, j] fits this twice: with the i as rows and the j as lanes, or (products commute, bit for bit) the other
//! way round.

use backprop_core::DType;
use backprop_core::array::Sizes;
use backprop_opt::loops::{Access, BufferId, Contraction, Factor, Place, Program, Strides};

/// Which of y's axes is which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Orientation {
    /// Rows are i, lanes are j.
    Straight,
    /// Rows are j, lanes are i.
    Swapped,
}

/// Where the elements of a factor are, in elements.
#[derive(Clone, Debug)]
pub(super) struct Operand {
    pub buffer: BufferId,
    pub offset: isize,
    pub batch: Strides,
    /// From row to row, or from lane to lane.
    pub along: isize,
    /// From k to k.
    pub k: isize,
}

/// Where the stage loads or stores, in elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub buffer: BufferId,
    pub offset: isize,
    pub batch: Strides,
    pub row: isize,
    pub lane: isize,
    pub dtype: DType,
}

impl Spot {
    /// The number of elements that some rows and lanes reach over, from the first one on.
    pub fn reach(&self, n_rows: usize, n_lanes: usize) -> usize {
        1 + self.row.unsigned_abs() * n_rows + self.lane.unsigned_abs() * n_lanes
    }
}

/// A contraction by roles.
#[derive(Clone, Debug)]
pub(super) struct Roles {
    pub dtype: DType,
    pub batch: Sizes,
    pub n_rows: usize,
    pub n_lanes: usize,
    pub n_k: usize,
    pub k_block: usize,
    pub rows: Operand,
    pub lanes: Operand,
    /// The accesses of the stage's code, by number.
    pub accesses: Vec<Spot>,
    /// Where the stage's stores go.
    pub stores: Vec<Spot>,
}

impl Roles {
    pub fn new(program: &Program, contraction: &Contraction, orientation: Orientation) -> Roles {
        let c = contraction;
        let straight = orientation == Orientation::Straight;
        let operand = |factor: &Factor, along: isize, k: isize| Operand {
            buffer: factor.buffer,
            offset: factor.offset,
            batch: factor.batch_strides.clone(),
            along,
            k,
        };
        let a = operand(&c.a, c.a.row_stride, c.a.column_stride);
        let b = operand(&c.b, c.b.column_stride, c.b.row_stride);
        let spot = |access: &Access| -> Option<Spot> {
            let Place::Buffer(buffer) = access.place else { return None };
            let (&i, batch) = access.rows.split_last()?;
            let j = *access.columns.first()?;
            let (row, lane) = if straight { (i, j) } else { (j, i) };
            let dtype = program.buffer(buffer).dtype;
            Some(Spot { buffer, offset: access.offset, batch: batch.into(), row, lane, dtype })
        };
        let (n_rows, n_lanes) = if straight { (c.m, c.n) } else { (c.n, c.m) };
        let (rows, lanes) = if straight { (a, b) } else { (b, a) };
        Roles {
            dtype: c.dtype,
            batch: c.batch.clone(),
            n_rows,
            n_lanes,
            n_k: c.k,
            k_block: c.k_block,
            rows,
            lanes,
            accesses: c.stage.code.accesses.iter().filter_map(spot).collect(),
            stores: c.stage.stores.iter().filter_map(|store| spot(&store.to)).collect(),
        }
    }
}

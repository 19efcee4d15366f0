//! How the work of a nest is cut into units that do not meet, and what each sets to its start.

use backprop_opt::loops::{Access, Fold, Nest, Place, Program, Stage};
use smallvec::SmallVec;

use super::lane;
use crate::isa::Isa;
use crate::portable::block::Run;
use crate::portable::fold::Folding;
use crate::portable::place::Along;

/// The instructions times elements that make a unit worth sharing out. (Under Miri so few that its small nests are cut.)
const UNIT: usize = if cfg!(miri) { 1 << 10 } else { 1 << 16 };

/// How the work is cut into units.
pub(super) struct Split {
    /// The first row loops, as many iterations together as this...
    pub n_rows: usize,
    pub iterations: usize,
    /// ... of which a unit has so many.
    pub group: usize,
    /// The elements of the blocks' loop, those of a unit, and the number of units that share them.
    pub extent: usize,
    pub part: usize,
    pub n_parts: usize,
}

/// What sets an accumulator in a buffer to its start.
pub(super) struct Start {
    pub buffer: u32,
    pub len: usize,
    pub size: usize,
    pub run: Run,
    /// Where units share the work, an iteration's own part.
    pub own: Option<Own>,
}

/// The elements of an accumulator that belong to an iteration of the loops that units share.
pub(super) struct Own {
    pub offset: isize,
    /// Strides of the loops that are shared out.
    pub split: SmallVec<[isize; 4]>,
    /// The other loops, sizes and strides, but for the blocks'.
    pub loops: SmallVec<[(usize, isize); 6]>,
    /// The stride of the blocks' loop.
    pub lane: isize,
}

impl Split {
    pub fn new(
        program: &Program,
        nest: &Nest,
        along: Along,
        rows: &[usize],
        lane_rows: usize,
        widths: &[usize],
    ) -> Split {
        let work = |stage: &Stage| stage.columns.iter().product::<usize>() * (1 + stage.code.instrs.len());
        let of_row: usize = nest.stages.iter().map(work).sum();
        let total = nest.rows.iter().product::<usize>().saturating_mul(of_row);
        let extent = match along {
            Along::Rows => lane_rows,
            Along::Columns => nest.stages.first().map_or(1, lane),
        };
        let whole = Split { n_rows: 0, iterations: 1, group: 1, extent, part: extent, n_parts: 1 };
        if total < 2 * UNIT {
            return whole;
        }
        let n_split = nest.n_independent_rows(program);
        let n_rows = n_split.min(rows.len());
        let iterations: usize = rows[..n_rows].iter().product();
        let of_iteration = (total / iterations.max(1)).max(1);
        let group = UNIT.div_ceil(of_iteration).max(1);
        let can_part = match along {
            Along::Rows => n_split == nest.rows.len(),
            Along::Columns => parts_columns(program, nest),
        };
        let width = widths.iter().copied().max().unwrap_or(1);
        let of_block = (of_iteration / extent.max(1)).max(1) * width;
        let part = UNIT.div_ceil(of_block).max(1) * width;
        match can_part && part < extent {
            true => Split { n_rows, iterations, group: 1, extent, part, n_parts: extent.div_ceil(part) },
            false if iterations > group => Split { n_rows, iterations, group, ..whole },
            false => whole,
        }
    }

    /// Whether there is more than one unit.
    pub fn is_shared(&self) -> bool {
        self.n_units() > 1
    }

    pub fn n_units(&self) -> usize {
        (self.iterations.div_ceil(self.group) * self.n_parts).max(1)
    }
}

/// Whether the columns of a nest do not meet, each with its own part of every accumulator.
fn parts_columns(program: &Program, nest: &Nest) -> bool {
    let [stage] = &nest.stages[..] else { return false };
    let lane = |access: &Access| access.columns.last().copied().unwrap_or(0);
    let alone = |place: Place| stage.reduces.iter().filter(|reduce| reduce.into.place == place).count() == 1;
    nest.locals.is_empty()
        && nest.accumulators.len() == stage.reduces.len()
        && stage.reduces.iter().all(|reduce| {
            let Place::Buffer(id) = reduce.into.place else { return false };
            !reduce.folds_columns(&stage.columns)
                && lane(&reduce.into) != 0
                && alone(reduce.into.place)
                && nest.reads(reduce.into.place).next().is_none()
                && nest.names_all(&reduce.into, stage, program.buffer(id).len)
        })
}

/// What sets the accumulators in buffers to their start.
pub(super) fn starts(program: &Program, nest: &Nest, split: &Split, along: Along, isa: Isa) -> Vec<Start> {
    let own = |place: Place| {
        let found = nest
            .stages
            .iter()
            .find_map(|stage| Some((stage, stage.reduces.iter().find(|reduce| reduce.into.place == place)?)));
        let (stage, reduce) = found.expect("work is shared where each accumulator has its reduction");
        let Access { offset, rows, columns, .. } = &reduce.into;
        let mut row_loops: Vec<_> = nest.rows.iter().copied().zip(rows.iter().copied()).collect();
        let mut column_loops: Vec<_> = stage.columns.iter().copied().zip(columns.iter().copied()).collect();
        let lane = if along == Along::Rows { row_loops.pop() } else { column_loops.pop() };
        let mut lane = lane.unwrap_or((1, 0));
        let mut loops: SmallVec<[_; 6]> = row_loops.drain(split.n_rows..).chain(column_loops).collect();
        if along == Along::Columns && split.n_parts == 1 {
            // A line is not shared out, and stages may differ in its length.
            loops.push(std::mem::replace(&mut lane, (1, 0)));
        }
        loops.retain(|&mut (_, stride)| stride != 0);
        Own { offset: *offset, split: rows[..split.n_rows].into(), loops, lane: lane.1 }
    };
    let of = |&(place, fold): &(Place, Fold)| {
        let Place::Buffer(buffer) = place else { return None };
        let (dtype, len) = (program.buffer(buffer).dtype, program.buffer(buffer).len);
        let run = Folding::new(fold, dtype, isa).start;
        Some(Start { buffer, len, size: dtype.size(), run, own: split.is_shared().then(|| own(place)) })
    };
    nest.accumulators.iter().filter_map(of).collect()
}

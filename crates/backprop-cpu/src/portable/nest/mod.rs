//! Nests: the loops around tapes.

mod split;

use std::ops::Range;

use backprop_opt::loops::{Nest, Outcome, Place, Program, Stage};
use smallvec::SmallVec;

use super::block::{Block, Run};
use super::fold::Folding;
use super::loops::{along, settled};
use super::place::{Along, Frame, Layout};
use super::tape::{Builder, Met, Tape};
use crate::isa::Isa;
use crate::kernel::Kernel;
use split::{Split, Start, starts};

/// The elements in a block, where there is room near the core.
const WIDTH: usize = 256;
/// The bytes that the blocks of a stage should take at most.
const NEAR: usize = 64 << 10;
/// A nest, made ready.
pub(super) struct NestKernel {
    /// The sizes of the row loops that run one by one.
    rows: SmallVec<[usize; 4]>,
    along: Along,
    /// Along rows: the number of rows in a block.
    block_of_rows: usize,
    split: Split,
    /// For accumulators in buffers, what sets them to their start.
    starts: Vec<Start>,
    /// For accumulators in locals, what sets them to their start.
    local_starts: Vec<LocalStart>,
    stages: Vec<Ready>,
    scratch: usize,
}

struct Ready {
    columns: SmallVec<[usize; 4]>,
    /// The last loop, along columns.
    lane: usize,
    tape: Tape,
}

struct LocalStart {
    start: usize,
    len: usize,
    run: Run,
}

/// A kernel that runs a nest of a verified program.
pub(super) fn nest(program: &Program, nest: &Nest, isa: Isa) -> NestKernel {
    let mut scratch = 0;
    NestKernel::new(program, &settled(nest), isa, &mut scratch)
}

impl NestKernel {
    fn new(program: &Program, nest: &Nest, isa: Isa, scratch: &mut usize) -> NestKernel {
        let along = along(nest);
        let (rows, lane_rows): (&[usize], usize) = match (along, nest.rows.split_last()) {
            (Along::Rows, Some((&last, rows))) => (rows, last),
            _ => (&nest.rows, 1),
        };
        let spread = |width: usize| if along == Along::Rows { width } else { 1 };
        let widths = nest.stages.iter().map(|stage| {
            let extent = if along == Along::Rows { lane_rows } else { lane(stage) };
            width(stage, extent)
        });
        let widths: Vec<usize> = match along {
            // Locals are blocks: one width for all.
            Along::Rows => vec![widths.min().unwrap_or(1); nest.stages.len()],
            Along::Columns => widths.collect(),
        };
        let of_local = spread(widths.first().copied().unwrap_or(1));
        let mut locals = Vec::new();
        for local in &nest.locals {
            locals.push(*scratch);
            *scratch += (local.len * local.dtype.size() * of_local).next_multiple_of(64);
        }
        let mut stages = Vec::new();
        let iterations = |stage: &Stage| nest.rows.iter().chain(&stage.columns).product::<usize>();
        for (stage, &width) in nest.stages.iter().zip(&widths) {
            let layout = Layout { program, along, locals: &locals, width, product_strides: None };
            let builder = Builder {
                layout,
                isa,
                extent: if along == Along::Rows { lane_rows } else { lane(stage) },
                repeats: iterations(stage) > 1,
                loads_once: nest.stages.len() == 1 && stage.reduces.is_empty(),
                scratch,
            };
            let columns = match along {
                Along::Rows => &stage.columns[..],
                Along::Columns => stage.columns.split_last().map_or(&[][..], |(_, rest)| rest),
            };
            stages.push(Ready {
                columns: columns.into(),
                lane: lane(stage),
                tape: builder.tape(stage, along == Along::Rows),
            });
            *scratch = scratch.next_multiple_of(64);
        }
        let split = Split::new(program, nest, along, rows, lane_rows, &widths);
        let local_starts = nest.accumulators.iter().filter_map(|&(place, fold)| {
            let Place::Local(local) = place else { return None };
            let dtype = nest.locals[local as usize].dtype;
            let len = nest.locals[local as usize].len * of_local;
            let run = Folding::new(fold, dtype, isa).start;
            Some(LocalStart { start: locals[local as usize], len, run })
        });
        NestKernel {
            along,
            block_of_rows: of_local,
            starts: starts(program, nest, &split, along, isa),
            local_starts: local_starts.collect(),
            stages,
            rows: rows.into(),
            split,
            scratch: *scratch,
        }
    }

    /// Sets the accumulators, where units share them those of this iteration, to their start.
    ///
    /// # Safety
    /// That of [`Kernel::run`].
    unsafe fn start(&self, frame: &Frame, lanes: &Range<usize>) {
        for start in &self.starts {
            let base = frame.bases[start.buffer as usize];
            let mut block = Block::new(start.len);
            let Some(own) = &start.own else {
                block.out = base;
                // SAFETY: the buffer may be written, all of it; there is one unit.
                unsafe { (start.run)(&block) };
                continue;
            };
            let rows = own.split.iter().zip(&frame.at);
            let first = rows.fold(own.offset, |sum, (stride, &at)| sum + stride * at as isize);
            let lanes = if own.lane == 0 { 0..1 } else { lanes.clone() };
            block.n = 1;
            each_offset(&own.loops, |offset| {
                for lane in lanes.clone() {
                    let element = first + offset + own.lane * lane as isize;
                    block.out = base.wrapping_offset(element * start.size as isize);
                    // SAFETY: an element of an access that the program may write, and of this unit only.
                    unsafe { (start.run)(&block) };
                }
            });
        }
    }

    /// Runs the stages for the row where the frame stands, for these elements of the blocks' loop.
    ///
    /// # Safety
    /// That of [`Kernel::run`].
    unsafe fn row(&self, frame: &mut Frame, lanes: &Range<usize>, met: &mut Met) {
        for local in &self.local_starts {
            let mut block = Block::new(local.len);
            block.out = frame.scratch.wrapping_add(local.start);
            // SAFETY: the local is the kernel's part of the scratch.
            unsafe { (local.run)(&block) };
        }
        let along_rows = self.along == Along::Rows;
        let n_rows = self.rows.len();
        for stage in &self.stages {
            if stage.lane == 0 || stage.columns.contains(&0) {
                continue;
            }
            let (first, n) = match self.along {
                Along::Rows => (lanes.start, lanes.len()),
                Along::Columns if self.split.n_parts > 1 => (lanes.start, lanes.len()),
                Along::Columns => (0, stage.lane),
            };
            frame.at.truncate(n_rows);
            frame.at.resize(n_rows + stage.columns.len(), 0);
            // SAFETY: the caller's; the frame stands at an iteration of the stage's loops.
            unsafe {
                loop {
                    stage.tape.start_folds(frame, &frame.at[n_rows..], along_rows);
                    let column = along_rows.then(|| frame.at[n_rows..].last().copied().unwrap_or(0));
                    stage.tape.line(frame, first, n, column, met);
                    stage.tape.finish_folds(frame, &frame.at[n_rows..], &stage.columns, along_rows, n);
                    if !advance(&mut frame.at[n_rows..], &stage.columns) {
                        break;
                    }
                }
            }
        }
        frame.at.truncate(n_rows);
    }

    /// Runs the row loops that are not shared out, for these elements of the blocks' loop.
    ///
    /// # Safety
    /// That of [`Kernel::run`].
    unsafe fn rest(&self, frame: &mut Frame, lanes: &Range<usize>, met: &mut Met) {
        let n = self.split.n_rows;
        let sizes = &self.rows[n..];
        frame.at[n..].fill(0);
        if sizes.contains(&0) {
            return;
        }
        loop {
            match self.along {
                // SAFETY: the caller's; the frame stands at an iteration of the row loops.
                Along::Columns => unsafe { self.row(frame, lanes, met) },
                Along::Rows => {
                    // A block of rows goes through all stages: locals are theirs.
                    for first in lanes.clone().step_by(self.block_of_rows) {
                        let block = first..lanes.end.min(first + self.block_of_rows);
                        // SAFETY: likewise.
                        unsafe { self.row(frame, &block, met) };
                    }
                }
            }
            if !advance(&mut frame.at[n..], sizes) {
                return;
            }
        }
    }
}

impl Kernel for NestKernel {
    fn n_units(&self) -> usize {
        self.split.n_units()
    }

    fn scratch_bytes(&self) -> usize {
        self.scratch
    }

    unsafe fn run(&self, bases: &[*mut u8], scratch: *mut u8, units: Range<usize>) -> Outcome {
        let mut met = Met::default();
        let at = SmallVec::from_elem(0, self.rows.len());
        let mut frame = Frame { bases, scratch, product: std::ptr::null_mut(), at };
        for stage in &self.stages {
            // SAFETY: the caller's.
            unsafe { stage.tape.prepare(&frame, &mut met) };
        }
        let split = &self.split;
        for unit in units {
            let (group, part) = (unit / split.n_parts, unit % split.n_parts);
            let first = part * split.part;
            let lanes = first..split.extent.min(first + split.part);
            let iterations = group * split.group..split.iterations.min((group + 1) * split.group);
            set(&mut frame.at[..split.n_rows], &self.rows, iterations.start);
            for _ in iterations {
                // SAFETY: the caller's; the frame stands at an iteration of the loops that are shared out.
                unsafe {
                    self.start(&frame, &lanes);
                    self.rest(&mut frame, &lanes, &mut met);
                }
                advance(&mut frame.at[..split.n_rows], &self.rows[..split.n_rows]);
            }
        }
        Outcome { is_faulty: met.is_faulty, is_not_finite: met.is_not_finite }
    }
}

/// The size of the last column loop; 1 without any.
fn lane(stage: &Stage) -> usize {
    stage.columns.last().copied().unwrap_or(1)
}

/// The number of elements in a block of a stage whose blocks run along `extent` elements.
pub(super) fn width(stage: &Stage, extent: usize) -> usize {
    if extent <= 1 {
        return 1;
    }
    let live = live_bytes(stage).max(1);
    let mut width = WIDTH;
    while width > 16 && live * width > NEAR {
        width /= 2;
    }
    width.min(extent.next_multiple_of(16))
}

/// The most bytes that registers take at a time, per element.
fn live_bytes(stage: &Stage) -> usize {
    let code = &stage.code;
    let mut last: Vec<usize> = (0..code.instrs.len()).collect();
    for (position, instr) in code.instrs.iter().enumerate() {
        instr.operands().iter().for_each(|&operand| last[operand as usize] = position);
    }
    let mut ends = vec![0; code.instrs.len()];
    let (mut live, mut most) = (0, 0);
    for (position, &dtype) in code.dtypes.iter().enumerate() {
        live += dtype.size();
        most = most.max(live);
        ends[last[position]] += dtype.size();
        live -= ends[position];
    }
    most
}

/// Where loops of these sizes stand after `iteration` iterations.
pub(super) fn set(at: &mut [usize], sizes: &[usize], mut iteration: usize) {
    for (at, &size) in at.iter_mut().zip(sizes).rev() {
        *at = iteration % size.max(1);
        iteration /= size.max(1);
    }
}

/// The next iteration; false after the last, and then at the first again.
pub(super) fn advance(at: &mut [usize], sizes: &[usize]) -> bool {
    for (at, &size) in at.iter_mut().zip(sizes).rev() {
        *at += 1;
        if *at < size {
            return true;
        }
        *at = 0;
    }
    false
}

/// Calls `visit` with the offset of each iteration of loops, sizes and strides.
fn each_offset(loops: &[(usize, isize)], mut visit: impl FnMut(isize)) {
    if loops.iter().any(|&(size, _)| size == 0) {
        return;
    }
    let mut at: SmallVec<[usize; 8]> = SmallVec::from_elem(0, loops.len());
    let sizes: SmallVec<[usize; 8]> = loops.iter().map(|&(size, _)| size).collect();
    loop {
        visit(loops.iter().zip(&at).map(|(&(_, stride), &at)| stride * at as isize).sum());
        if !advance(&mut at, &sizes) {
            return;
        }
    }
}

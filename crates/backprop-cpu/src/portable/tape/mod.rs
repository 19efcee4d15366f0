//! The scalar code of a stage as steps on blocks: registers are blocks of elements in slots of the scratch.
//!
//! ```text
//! once    what no loop moves                          literals
//! line    what only the blocks' loop does not move    1/Σ of a row
//! block   everything else                             exp(x − max)
//! ```
//!
//! A step finds its operands through a table of pointers. A load of neighbours takes no step: its pointer
//! goes to memory itself. So does the result of a step that is stored as it is.
//!
//! `survey` looks at the code, `builder` makes the steps; here they run.

mod builder;
mod survey;

use super::block::{Block, Run};
use super::chain::{self, Link, RunChain};
use super::fold::Folding;
use super::place::{Frame, Moving};

pub(super) use builder::Builder;

/// A number in the table of pointers.
pub(super) type Entry = u32;

/// One operation on a block.
enum Step {
    /// A function of a table has a number there.
    Apply {
        run: Run,
        out: Entry,
        args: [Entry; 3],
        which: u32,
    },
    Chain {
        run: RunChain,
        out: Entry,
        links: Box<[Link]>,
    },
    /// The number whose bytes these are, the first ones.
    Fill {
        run: Run,
        out: Entry,
        bytes: u64,
    },
    Load {
        run: Run,
        out: Entry,
        from: Entry,
        stride: isize,
    },
    Gather {
        run: Run,
        out: Entry,
        from: Entry,
        index: Entry,
        more: Box<Reach>,
    },
}

/// Where a gather reaches.
struct Reach {
    lane: isize,
    stride: isize,
    bound: u64,
}

/// A value that goes to memory: by a copy, unless it was computed there.
struct Store {
    copy: Option<Run>,
    watch: Option<Run>,
    value: Entry,
    to: Entry,
    stride: isize,
}

/// A value that is folded.
struct Folded {
    folding: Folding,
    value: Entry,
    into: Entry,
    stride: isize,
    size: usize,
    /// Where partial results start in the scratch, and how many there are.
    partial: Option<(usize, usize)>,
    /// The number of column loops around those that are folded.
    n_around: usize,
}

/// The code of a stage, made ready.
#[derive(Default)]
pub(super) struct Tape {
    /// Where the table of pointers starts in the scratch.
    table: usize,
    /// The elements in a block.
    width: usize,
    /// Entries that point into the scratch.
    slots: Vec<(Entry, usize)>,
    once_moving: Vec<(Entry, Moving)>,
    once: Vec<Step>,
    once_splats: Vec<Step>,
    moving: Vec<(Entry, Moving)>,
    line: Vec<Step>,
    line_splats: Vec<Step>,
    block: Vec<Step>,
    stores: Vec<Store>,
    folds: Vec<Folded>,
}

/// What a run meets.
#[derive(Clone, Copy, Default)]
pub(super) struct Met {
    pub is_faulty: bool,
    pub is_not_finite: bool,
}

impl Tape {
    /// The elements in a block.
    pub fn width(&self) -> usize {
        self.width
    }

    fn table(&self, frame: &Frame) -> *mut *mut u8 {
        frame.scratch.wrapping_add(self.table).cast()
    }

    /// Sets up the table, and computes what no loop moves.
    ///
    /// # Safety
    /// That of [`Kernel::run`](crate::kernel::Kernel::run), for the kernel that the tape belongs to.
    pub unsafe fn prepare(&self, frame: &Frame, met: &mut Met) {
        let table = self.table(frame);
        for &(entry, start) in &self.slots {
            // SAFETY: the table is the tape's part of the scratch, with room for every entry.
            unsafe { table.add(entry as usize).write(frame.scratch.wrapping_add(start)) };
        }
        for (entry, moving) in &self.once_moving {
            // SAFETY: likewise.
            unsafe { table.add(*entry as usize).write(moving.pointer(frame, 0)) };
        }
        // SAFETY: entries point to slots, or to accesses that nothing moves.
        unsafe {
            run_steps(&self.once, table, 1, met);
            run_steps(&self.once_splats, table, self.width, met);
        }
    }

    /// Sets partial results to their start where the column loops at `columns` begin what they fold.
    ///
    /// # Safety
    /// As [`Tape::prepare`].
    pub unsafe fn start_folds(&self, frame: &Frame, columns: &[usize], along_rows: bool) {
        for fold in &self.folds {
            if let Some((start, lanes)) = fold.partial
                && columns.iter().skip(fold.n_around).all(|&at| at == 0)
            {
                let mut block = Block::new(if along_rows { lanes * self.width } else { lanes });
                block.out = frame.scratch.wrapping_add(start);
                // SAFETY: the partial results are the tape's part of the scratch.
                unsafe { (fold.folding.start)(&block) };
            }
        }
    }

    /// Folds partial results into their accumulators where the column loops, `sizes`, end at `columns` what they
    /// fold.
    ///
    /// # Safety
    /// As [`Tape::prepare`]; a line was run, of `n` rows if blocks run along rows.
    pub unsafe fn finish_folds(
        &self,
        frame: &Frame,
        columns: &[usize],
        sizes: &[usize],
        along_rows: bool,
        n: usize,
    ) {
        for fold in &self.folds {
            let Some((start, lanes)) = fold.partial else { continue };
            if !columns.iter().zip(sizes).skip(fold.n_around).all(|(&at, &size)| at + 1 == size) {
                continue;
            }
            let width = if along_rows { self.width } else { 1 };
            let mut block = Block::new(if along_rows { n } else { 1 });
            let partial = frame.scratch.wrapping_add(start);
            block.args[0] = partial;
            block.stride = fold.stride;
            let onto = if along_rows && fold.stride != 0 { fold.folding.each } else { fold.folding.all };
            // SAFETY: partial results are the tape's own; the table's entry still points to the accumulator,
            // which the line that was run has set.
            unsafe {
                fold.folding.halve(partial, lanes, width, fold.size);
                block.out = self.table(frame).add(fold.into as usize).read();
                onto(&block);
            }
        }
    }

    /// Runs the code for `n` elements from element `first` on of the blocks' loop, where the other loops
    /// stand as the frame says. Along rows, `column` is the position in the last column loop, and `n` is at
    /// most a block.
    ///
    /// # Safety
    /// As [`Tape::prepare`], which came before; the elements lie within the loops.
    pub unsafe fn line(&self, frame: &Frame, first: usize, n: usize, column: Option<usize>, met: &mut Met) {
        let table = self.table(frame);
        for (entry, moving) in &self.moving {
            // SAFETY: the table has room for every entry.
            unsafe { table.add(*entry as usize).write(moving.pointer(frame, first)) };
        }
        // SAFETY: entries point to slots, or to verified accesses of this iteration.
        unsafe {
            run_steps(&self.line, table, 1, met);
            run_steps(&self.line_splats, table, self.width.min(n), met);
        }
        let mut done = 0;
        loop {
            let count = self.width.min(n - done);
            // SAFETY: entries point to slots, which have room for a block, or to verified accesses of this
            // block's iterations.
            unsafe {
                run_steps(&self.block, table, count, met);
                self.store(table, count, met);
                self.fold(frame, first + done, count, column);
            }
            done += count;
            if done == n {
                return;
            }
            for (entry, moving) in &self.moving {
                // SAFETY: as above.
                unsafe {
                    let entry = table.add(*entry as usize);
                    entry.write(entry.read().wrapping_offset(moving.lane * count as isize));
                }
            }
        }
    }

    /// # Safety
    /// As [`Tape::line`].
    #[inline]
    unsafe fn store(&self, table: *mut *mut u8, n: usize, met: &mut Met) {
        let mut block = Block::new(n);
        for store in &self.stores {
            // SAFETY: the caller's; a store is a verified access, and its value a block.
            unsafe {
                block.args[0] = table.add(store.value as usize).read();
                if let Some(watch) = store.watch {
                    met.is_not_finite |= watch(&block);
                }
                if let Some(copy) = store.copy {
                    block.out = table.add(store.to as usize).read();
                    block.stride = store.stride;
                    copy(&block);
                }
            }
        }
    }

    /// # Safety
    /// As [`Tape::line`].
    #[inline]
    unsafe fn fold(&self, frame: &Frame, first: usize, n: usize, column: Option<usize>) {
        let table = self.table(frame);
        let mut block = Block::new(n);
        for fold in &self.folds {
            // SAFETY: the caller's; an accumulator is a verified access, partial results are the tape's own.
            unsafe {
                block.args[0] = table.add(fold.value as usize).read();
                let run = match (fold.partial, column) {
                    (None, _) => {
                        block.out = table.add(fold.into as usize).read();
                        block.stride = fold.stride;
                        if fold.stride == 0 { fold.folding.all } else { fold.folding.each }
                    }
                    (Some((start, lanes)), None) => {
                        block.out = frame.scratch.wrapping_add(start);
                        (block.step, block.bound) = (lanes as isize, first as u64);
                        if lanes == 1 { fold.folding.all } else { fold.folding.lanes }
                    }
                    (Some((start, lanes)), Some(column)) => {
                        let lane = column % lanes;
                        block.out = frame.scratch.wrapping_add(start + lane * self.width * fold.size);
                        block.stride = fold.size as isize;
                        fold.folding.each
                    }
                };
                run(&block);
            }
        }
    }
}

/// # Safety
/// Entries point to operands of `n` elements and to room for `n` results.
#[inline]
unsafe fn run_steps(steps: &[Step], table: *mut *mut u8, n: usize, met: &mut Met) {
    let mut block = Block::new(n);
    // SAFETY: the caller's.
    let at = |entry: Entry| unsafe { table.add(entry as usize).read() };
    for step in steps {
        // SAFETY: the caller's; a function is called with operands of its types, as the program was verified.
        met.is_faulty |= unsafe {
            match step {
                Step::Apply { run, out, args, which } => {
                    block.out = at(*out);
                    block.bound = (*which).into();
                    block.args = args.map(|arg| at(arg).cast_const());
                    run(&block)
                }
                Step::Chain { run, out, links } => {
                    run(&chain::Call { links: &raw const **links, table, out: at(*out), n });
                    false
                }
                Step::Fill { run, out, bytes } => {
                    block.out = at(*out);
                    block.args[0] = (&raw const *bytes).cast();
                    run(&block)
                }
                Step::Load { run, out, from, stride } => {
                    block.out = at(*out);
                    (block.args[0], block.stride) = (at(*from), *stride);
                    run(&block)
                }
                Step::Gather { run, out, from, index, more } => {
                    block.out = at(*out);
                    (block.args[0], block.args[1]) = (at(*from), at(*index));
                    (block.stride, block.step, block.bound) = (more.lane, more.stride, more.bound);
                    run(&block)
                }
            }
        };
    }
}

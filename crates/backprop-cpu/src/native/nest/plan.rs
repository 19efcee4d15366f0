//! The loops of a nest as machine code runs them: what may be merged is merged, the innermost loop is the
//! one along which memory is contiguous, and each access is a pointer that loops move.

use backprop_opt::loops::{Access, Instr, Nest, Place, Program, Reduce, Stage};

use super::traffic::is_streamed;

/// Where a pointer starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An element of a buffer.
    Buffer(u32),
    /// An element of a local.
    Local(u32),
    /// It points nowhere: its offset is a number.
    Number,
    /// Code sets it.
    Computed,
}

/// What loops move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// Where it starts.
    pub origin: Origin,
    /// The element of the first iteration.
    pub offset: isize,
    /// The bytes of an element; 1 for a number.
    pub unit: usize,
    /// For each row loop, how many elements it moves on.
    pub rows: Vec<isize>,
    /// For each column loop of its stage, how many elements it moves on.
    pub columns: Vec<isize>,
}

/// A stage and its pointers.
#[derive(Clone, Debug)]
pub struct PlannedStage<'a> {
    /// What is done.
    pub stage: &'a Stage,
    /// The sizes of the column loops; the last one is made of vectors. At least one.
    pub columns: Vec<usize>,
    /// For each access of the code, its pointer.
    pub accesses: Vec<u32>,
    /// For each access of the code, how many elements the innermost loop moves it on.
    pub strides: Vec<isize>,
    /// For each store, its pointer.
    pub stores: Vec<u32>,
    /// For each store, whether it goes past the caches.
    pub streamed: Vec<bool>,
    /// For each reduction, its pointer.
    pub reduces: Vec<u32>,
    /// For each reduction, the first column loop that is folded through partial results; none where each column has
    /// its element of the accumulator.
    pub folded_from: Vec<Option<usize>>,
}

/// A nest.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The sizes of the row loops.
    pub rows: Vec<usize>,
    /// How many of them, from the first on, are shared out as units.
    pub n_unit_loops: usize,
    /// Whether instead the columns of the one stage are shared out, in blocks.
    pub is_in_blocks: bool,
    /// What is done for each row.
    pub stages: Vec<PlannedStage<'a>>,
    /// What loops move.
    pub pointers: Vec<Pointer>,
}

/// The bytes of an element at a place.
pub fn unit_of(program: &Program, nest: &Nest, place: Place) -> usize {
    match place {
        Place::Buffer(id) => program.buffer(id).dtype.size(),
        Place::Local(number) => nest.locals[number as usize].dtype.size(),
    }
}

impl<'a> Plan<'a> {
    /// The loops of a nest. Buffers from `large` bytes on may be written past the caches.
    pub fn new(program: &Program, nest: &'a Nest, large: usize) -> Plan<'a> {
        let mut rows = nest.rows.to_vec();
        let mut n_unit_loops = nest.n_independent_rows(program);
        let mut stages: Vec<Draft> =
            nest.stages.iter().map(|stage| Draft::new(program, nest, stage)).collect();
        let mut is_in_blocks = false;
        match &mut stages[..] {
            // Nothing that lives as long as a row: all loops are alike.
            [only] if nest.accumulators.is_empty() && nest.locals.is_empty() => {
                only.columns.splice(0..0, rows.drain(..));
                for pointer in &mut only.pointers {
                    pointer.columns.splice(0..0, pointer.rows.drain(..));
                }
                only.tidy();
                let inner = only.columns.len() - 1;
                rows.extend(only.columns.drain(..inner));
                for pointer in &mut only.pointers {
                    pointer.rows.extend(pointer.columns.drain(..inner));
                }
                n_unit_loops = rows.len();
                is_in_blocks = rows.is_empty();
            }
            stages => stages.iter_mut().for_each(Draft::tidy),
        }
        let mut plan = Plan { rows, n_unit_loops, is_in_blocks, stages: Vec::new(), pointers: Vec::new() };
        for draft in stages {
            let numbers: Vec<u32> = draft.pointers.into_iter().map(|pointer| plan.add(pointer)).collect();
            let n_accesses = draft.stage.code.accesses.len();
            let stride = |&pointer: &u32| *plan.pointers[pointer as usize].columns.last().unwrap_or(&0);
            let strides = numbers[..n_accesses].iter().map(stride).collect();
            let (accesses, written) = numbers.split_at(n_accesses);
            let (stores, reduces) = written.split_at(draft.stage.stores.len());
            let columns = &draft.columns;
            let folded_from = reduces.iter().map(|&reduce| {
                let strides = &plan.pointers[reduce as usize].columns;
                let last = (0..columns.len()).rev().find(|&at| strides[at] != 0 && columns[at] > 1);
                Some(last.map_or(0, |last| last + 1)).filter(|&from| from < columns.len())
            });
            let folded_from = folded_from.collect();
            let streamed = draft.stage.stores.iter().zip(stores).map(|(store, &pointer)| {
                is_streamed(program, nest, store, &plan.pointers[pointer as usize], large)
            });
            let streamed = streamed.collect();
            plan.stages.push(PlannedStage {
                stage: draft.stage,
                columns: draft.columns,
                accesses: accesses.to_vec(),
                strides,
                stores: stores.to_vec(),
                streamed,
                reduces: reduces.to_vec(),
                folded_from,
            });
        }
        plan
    }

    /// The buffers that are written past the caches.
    pub fn streamed_buffers(&self) -> impl Iterator<Item = usize> {
        let stores = self.stages.iter().flat_map(|stage| stage.stores.iter().zip(&stage.streamed));
        stores.filter(|(_, streamed)| **streamed).filter_map(|(&pointer, _)| {
            match self.pointers[pointer as usize].origin {
                Origin::Buffer(id) => Some(id as usize),
                _ => None,
            }
        })
    }

    /// The number of a pointer; an equal one does as well.
    pub fn add(&mut self, pointer: Pointer) -> u32 {
        let is_fresh = pointer.origin == Origin::Computed;
        let known = self.pointers.iter().position(|other| !is_fresh && *other == pointer);
        known.unwrap_or_else(|| {
            self.pointers.push(pointer);
            self.pointers.len() - 1
        }) as u32
    }
}

/// A stage whose loops may still change.
struct Draft<'a> {
    stage: &'a Stage,
    columns: Vec<usize>,
    /// Those of accesses, of stores, of reductions.
    pointers: Vec<Pointer>,
}

impl<'a> Draft<'a> {
    fn new(program: &Program, nest: &Nest, stage: &'a Stage) -> Draft<'a> {
        let is_number = |position: usize| {
            let counts =
                |instr: &Instr| matches!(instr, Instr::Count(number) if *number as usize == position);
            stage.code.instrs.iter().any(counts)
        };
        let pointer = |access: &Access, is_number: bool| {
            let origin = match access.place {
                _ if is_number => Origin::Number,
                Place::Buffer(id) => Origin::Buffer(id),
                Place::Local(number) => Origin::Local(number),
            };
            let unit = if is_number { 1 } else { unit_of(program, nest, access.place) };
            let (rows, columns) = (access.rows.to_vec(), access.columns.to_vec());
            Pointer { origin, offset: access.offset, unit, rows, columns }
        };
        let read = stage.code.accesses.iter().enumerate();
        let read = read.map(|(position, access)| pointer(access, is_number(position)));
        let written = stage.stores.iter().map(|store| &store.to);
        let written = written.chain(stage.reduces.iter().map(|reduce| &reduce.into));
        let pointers = read.chain(written.map(|access| pointer(access, false))).collect();
        Draft { stage, columns: stage.columns.to_vec(), pointers }
    }

    /// Leaves out loops of one iteration, puts the loop innermost along which memory is contiguous, and makes
    /// one loop of two where the inner one ends where the outer one goes on; none of it changes what is folded
    /// in which order.
    fn tidy(&mut self) {
        // With these, the place in the last loop says which partial result a column goes to.
        let reduces = &self.stage.reduces;
        let folding = reduces.iter().filter(|reduce| reduce.folds_columns(&self.stage.columns));
        let lanes = folding.map(|reduce| reduce.lanes).max();
        // Folded onto one element, iterations keep their order.
        let is_moved_by_all = |reduce: &Reduce| {
            reduce
                .into
                .columns
                .iter()
                .zip(&self.stage.columns)
                .all(|(&stride, &size)| stride != 0 || size == 1)
        };
        let keeps_order = !reduces.iter().all(is_moved_by_all);
        let n_columns: usize = self.columns.iter().product();
        let lanes = lanes.filter(|_| n_columns > 1);
        let last = self.columns.len().wrapping_sub(1);
        for position in (0..self.columns.len()).rev() {
            if self.columns[position] == 1 && (lanes.is_none() || position != last) {
                self.remove(position);
            }
        }
        if self.columns.is_empty() {
            self.columns.push(1);
            self.pointers.iter_mut().for_each(|pointer| pointer.columns.push(1));
        }
        if lanes.is_none() && !keeps_order {
            let best = (0..self.columns.len()).max_by_key(|&position| self.worth(position));
            self.move_last(best.expect("there is a loop"));
        }
        for outer in (0..self.columns.len() - 1).rev() {
            let size = self.columns[outer + 1];
            let goes_on = |pointer: &Pointer| {
                Some(pointer.columns[outer]) == pointer.columns[outer + 1].checked_mul(size as isize)
            };
            let is_last = outer + 2 == self.columns.len();
            let keeps_lanes = !is_last || lanes.is_none_or(|lanes| size.is_multiple_of(lanes));
            if keeps_lanes && self.pointers.iter().all(goes_on) {
                self.columns[outer + 1] *= self.columns[outer];
                self.remove(outer);
            }
        }
    }

    fn remove(&mut self, position: usize) {
        self.columns.remove(position);
        for pointer in &mut self.pointers {
            pointer.columns.remove(position);
        }
    }

    fn move_last(&mut self, position: usize) {
        self.columns[position..].rotate_left(1);
        self.pointers.iter_mut().for_each(|pointer| pointer.columns[position..].rotate_left(1));
    }

    /// How much is gained by vectors along a loop: an element that is next to its neighbour for each access,
    /// one for each lane in use.
    fn worth(&self, position: usize) -> isize {
        let lanes = self.columns[position].min(16) as isize;
        let n_read = self.stage.code.accesses.len();
        let each = self.pointers.iter().enumerate().map(|(number, pointer)| {
            let weight = if number < n_read { 1 } else { 2 };
            match pointer.columns[position] {
                1 => weight * lanes,
                0 => 0,
                _ => -weight,
            }
        });
        each.sum()
    }
}

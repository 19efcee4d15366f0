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

use backprop_core::DType;
use backprop_opt::loops::{Access, Code, Instr, Reduce, Reg, Stage};

use super::block::{Block, Run};
use super::fold::Folding;
use super::place::{Frame, Layout, Moving, may_meet};
use super::{memory, table};
use crate::isa::Isa;

/// A number in the table of pointers.
type Entry = u32;

/// One operation on a block.
enum Step {
    /// A function of a table has a number there.
    Apply {
        run: Run,
        out: Entry,
        args: [Entry; 3],
        which: u32,
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
    /// Where the partial results of a row start in the scratch, and how many there are.
    partial: Option<(usize, usize)>,
}

/// When a register is computed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Once,
    Line,
    Block,
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

/// Above this many instructions nothing is computed ahead of the blocks: what is ahead keeps its slot.
const LARGE: usize = 512;

/// Builds a tape.
pub(super) struct Builder<'a> {
    pub layout: Layout<'a>,
    pub isa: Isa,
    /// The number of elements that blocks run along.
    pub extent: usize,
    /// Whether there is more than one iteration, so that something is won by computing ahead.
    pub repeats: bool,
    /// Whether loads that nothing moves may be done before the first row.
    pub loads_once: bool,
    /// The bytes of the scratch that are taken.
    pub scratch: &'a mut usize,
}

impl Builder<'_> {
    /// The tape of a stage, whose column loops of size 1 are dropped.
    pub fn tape(mut self, stage: &Stage, along_rows: bool) -> Tape {
        let width = self.layout.width;
        let mut draft = Draft::new(&self, stage);
        for reg in 0..stage.code.instrs.len() {
            draft.instruction(&mut self, reg as Reg);
        }
        for store in &stage.stores {
            let size = stage.code.dtype(store.value).size();
            let to = self.layout.moving(&store.to, size);
            let dtype = stage.code.dtype(store.value);
            let value = draft.blockwise(&mut self, store.value);
            let stride = to.lane;
            let in_place = draft.placed[store.value as usize] == Some(&store.to);
            let to = if in_place { value } else { draft.moves(to) };
            draft.tape.stores.push(Store {
                copy: (!in_place).then(|| memory::store(dtype, self.isa)),
                watch: if store.watched { memory::not_finite(dtype, self.isa) } else { None },
                value,
                to,
                stride,
            });
        }
        for reduce in &stage.reduces {
            let dtype = stage.code.dtype(reduce.value);
            let into = self.layout.moving(&reduce.into, dtype.size());
            let value = draft.blockwise(&mut self, reduce.value);
            let partial = is_of_rows(reduce).then(|| {
                let lanes = if along_rows { reduce.lanes * width } else { reduce.lanes };
                (self.take(lanes * dtype.size()), reduce.lanes)
            });
            let (stride, into) = (into.lane, draft.moves(into));
            draft.tape.folds.push(Folded {
                folding: Folding::new(reduce.fold, dtype, self.isa),
                value,
                stride,
                into,
                size: dtype.size(),
                partial,
            });
        }
        let mut tape = draft.tape;
        tape.width = width;
        tape.table = self.take(draft.entries as usize * size_of::<*mut u8>());
        tape
    }

    /// Room in the scratch; where it starts.
    fn take(&mut self, bytes: usize) -> usize {
        let start = *self.scratch;
        let unit = if self.layout.width == 1 { 8 } else { 64 };
        *self.scratch += bytes.next_multiple_of(unit);
        start
    }
}

/// Whether a reduction folds all columns of a row.
pub(super) fn is_of_rows(reduce: &Reduce) -> bool {
    reduce.into.columns.iter().all(|&stride| stride == 0)
}

/// A tape in the making.
struct Draft<'a> {
    code: &'a Code,
    tape: Tape,
    entries: Entry,
    levels: Vec<Level>,
    /// For each register, its block (or its one element, ahead of the blocks).
    entry: Vec<Entry>,
    /// For registers ahead of the blocks, the block that repeats the element.
    splat: std::collections::HashMap<Reg, Entry>,
    /// For each register, the last instruction that reads it.
    last: Vec<Reg>,
    /// Slots that nobody needs any more, by size: 1, 4, 8 bytes an element.
    free: [Vec<Entry>; 3],
    /// For each register, the access that it is computed right into.
    placed: Vec<Option<&'a Access>>,
    /// Whether a register's load must be a copy: it is stored or folded, and stores come before.
    copied: Vec<bool>,
}

impl<'a> Draft<'a> {
    fn new(builder: &Builder, stage: &'a Stage) -> Draft<'a> {
        let code = &stage.code;
        let n = code.instrs.len();
        let mut last: Vec<Reg> = (0..n as Reg).collect();
        for (reg, instr) in code.instrs.iter().enumerate() {
            instr.operands().iter().for_each(|&operand| last[operand as usize] = reg as Reg);
        }
        let values = || stage.stores.iter().map(|store| store.value);
        let folded = || stage.reduces.iter().map(|reduce| reduce.value);
        values().chain(folded()).for_each(|value| last[value as usize] = Reg::MAX);
        let mut copied = vec![false; n];
        if stage.stores.len() + stage.reduces.len() > 1 && !stage.stores.is_empty() {
            values().chain(folded()).for_each(|value| copied[value as usize] = true);
        }
        let mut draft = Draft {
            code,
            tape: Tape::default(),
            entries: 0,
            levels: Vec::with_capacity(n),
            entry: Vec::with_capacity(n),
            splat: std::collections::HashMap::new(),
            last,
            free: Default::default(),
            placed: vec![None; n],
            copied,
        };
        draft.find_levels(builder);
        draft.find_placed(builder, stage);
        draft
    }

    fn find_levels(&mut self, builder: &Builder) {
        let is_ahead = builder.repeats && self.code.instrs.len() <= LARGE;
        let line = if builder.extent > 1 { Level::Line } else { Level::Block };
        let of = |moving: &Moving, once: Level| match moving {
            moving if moving.is_fixed() => once,
            moving if moving.lane == 0 => line,
            _ => Level::Block,
        };
        for instr in &self.code.instrs {
            let access = |number: u32| builder.layout.number(&self.code.accesses[number as usize]);
            let level = match *instr {
                _ if !is_ahead => Level::Block,
                Instr::Literal(_) => Level::Once,
                Instr::Count(number) => of(&access(number), Level::Once),
                Instr::Load(number) => {
                    let access = &self.code.accesses[number as usize];
                    let moving = builder.layout.moving(access, 1);
                    of(&moving, if builder.loads_once { Level::Once } else { line })
                }
                Instr::Gather { .. } | Instr::Product => Level::Block,
                _ => {
                    let operands = instr.operands();
                    operands.iter().map(|&x| self.levels[x as usize]).max().unwrap_or(Level::Block)
                }
            };
            self.levels.push(level);
        }
    }

    /// Finds the registers that can be computed right where they are stored: neighbours, of memory that the
    /// stage does not read and that no other store meets.
    fn find_placed(&mut self, builder: &Builder, stage: &'a Stage) {
        let program = builder.layout.program;
        if builder.layout.width == 1 || stage.stores.len() > 16 || self.code.instrs.len() > LARGE {
            return;
        }
        let read: Vec<_> = (self.code.instrs.iter())
            .filter_map(|instr| match *instr {
                Instr::Load(access) | Instr::Gather { access, .. } => Some(access),
                _ => None,
            })
            .map(|access| self.code.accesses[access as usize].place)
            .collect();
        for (position, store) in stage.stores.iter().enumerate() {
            let value = store.value as usize;
            let size = self.code.dtype(store.value).size();
            let is_computed = !matches!(self.code.instrs[value], Instr::Load(_) | Instr::Product)
                && self.levels[value] == Level::Block
                && self.placed[value].is_none();
            let is_alone = read.iter().all(|&place| !may_meet(program, place, store.to.place))
                && (stage.stores.iter().enumerate())
                    .all(|(other, to)| other == position || !may_meet(program, to.to.place, store.to.place));
            if is_computed && is_alone && builder.layout.moving(&store.to, size).lane == size as isize {
                self.placed[value] = Some(&store.to);
            }
        }
    }

    fn instruction(&mut self, builder: &mut Builder, reg: Reg) {
        let (instr, dtype) = (self.code.instrs[reg as usize], self.code.dtype(reg));
        let level = self.levels[reg as usize];
        let operands = instr.operands();
        let mut args = [0; 3];
        for (arg, &operand) in args.iter_mut().zip(&operands) {
            *arg = match level {
                Level::Block => self.blockwise(builder, operand),
                _ => self.entry[operand as usize],
            };
        }
        let size = dtype.size();
        let moving = |builder: &Builder, number: u32| {
            builder.layout.moving(&self.code.accesses[number as usize], size)
        };
        let (isa, mut which) = (builder.isa, 0);
        let run = match instr {
            Instr::Load(_) | Instr::Product => {
                let moving = match instr {
                    Instr::Load(number) => moving(builder, number),
                    _ => builder.layout.product(size),
                };
                let is_direct = level != Level::Block
                    || (moving.lane == size as isize || builder.layout.width == 1)
                        && (!self.copied[reg as usize] || instr == Instr::Product);
                let stride = moving.lane;
                let from = self.moves_at(level, moving);
                if is_direct {
                    self.entry.push(from);
                    return;
                }
                let out = self.result(builder, reg, level, dtype);
                let run = memory::load(dtype, isa);
                return self.push(level, Step::Load { run, out, from, stride });
            }
            Instr::Count(number) => {
                let moving = builder.layout.number(&self.code.accesses[number as usize]);
                let stride = moving.lane;
                let from = self.moves_at(level, moving);
                let out = self.result(builder, reg, level, dtype);
                return self.push(level, Step::Load { run: memory::count(isa), out, from, stride });
            }
            Instr::Gather { access, index, stride, bound } => {
                let mut moving = moving(builder, access);
                if bound == 0 {
                    // Such an access was not verified, and is not used.
                    moving = builder.layout.product(size);
                }
                let unit = builder.layout.unit(self.code.accesses[access as usize].place, size);
                let more = Reach { lane: moving.lane, stride: stride as isize * unit, bound };
                let from = self.moves(moving);
                let out = self.result(builder, reg, level, dtype);
                let run = memory::gather(dtype, self.code.dtype(index), isa);
                return self
                    .push(level, Step::Gather { run, out, from, index: args[0], more: Box::new(more) });
            }
            Instr::Literal(bits) => {
                let out = self.result(builder, reg, level, dtype);
                return self.push(
                    level,
                    Step::Fill { run: memory::splat(dtype, isa), out, bytes: first_bytes(bits, dtype) },
                );
            }
            Instr::Unary(op, _) => {
                which = op as u32;
                table::unary(op, dtype, isa)
            }
            Instr::Binary(op, ..) => {
                which = op as u32;
                table::binary(op, dtype, isa)
            }
            Instr::Fma(..) => table::fma(dtype, isa),
            Instr::Compare(op, a, _) => table::compare(op, self.code.dtype(a), isa),
            Instr::Logic(op, ..) => table::logic(op, isa),
            Instr::Select(..) => table::select(dtype, isa),
            Instr::Cast(x) => table::cast(self.code.dtype(x), dtype, isa),
        };
        let out = self.result(builder, reg, level, dtype);
        self.push(level, Step::Apply { run, out, args, which });
    }

    fn push(&mut self, level: Level, step: Step) {
        match level {
            Level::Once => self.tape.once.push(step),
            Level::Line => self.tape.line.push(step),
            Level::Block => self.tape.block.push(step),
        }
    }

    /// The block that holds a register, or repeats it.
    fn blockwise(&mut self, builder: &mut Builder, reg: Reg) -> Entry {
        let level = self.levels[reg as usize];
        if level == Level::Block {
            return self.entry[reg as usize];
        }
        if let Some(&entry) = self.splat.get(&reg) {
            return entry;
        }
        let dtype = self.code.dtype(reg);
        let out = self.slot(builder, builder.layout.width * dtype.size());
        let step = Step::Apply {
            run: memory::splat(dtype, builder.isa),
            out,
            args: [self.entry[reg as usize], 0, 0],
            which: 0,
        };
        if level == Level::Once { &mut self.tape.once_splats } else { &mut self.tape.line_splats }.push(step);
        self.splat.insert(reg, out);
        out
    }

    /// Where the result of a register goes. Slots of operands that are not read again are free afterwards,
    /// and not before: a result meets no operand.
    fn result(&mut self, builder: &mut Builder, reg: Reg, level: Level, dtype: DType) -> Entry {
        let class = |dtype: DType| [1, 4, 8].iter().position(|&size| size == dtype.size()).unwrap_or(0);
        let entry = match (level, self.placed[reg as usize]) {
            (Level::Block, Some(access)) => {
                let moving = builder.layout.moving(access, dtype.size());
                self.moves(moving)
            }
            (Level::Block, None) => match self.free[class(dtype)].pop() {
                Some(entry) => entry,
                None => self.slot(builder, builder.layout.width * dtype.size()),
            },
            _ => self.slot(builder, 8),
        };
        self.entry.push(entry);
        let mut operands = self.code.instrs[reg as usize].operands();
        operands.sort_unstable();
        operands.dedup();
        for operand in operands.into_iter().chain([reg]) {
            if self.last[operand as usize] == reg && self.holds_slot(operand) {
                self.free[class(self.code.dtype(operand))].push(self.entry[operand as usize]);
            }
        }
        entry
    }

    /// Whether a register lies in a slot that others may have after it.
    fn holds_slot(&self, reg: Reg) -> bool {
        let is_elsewhere = match self.code.instrs[reg as usize] {
            Instr::Load(_) | Instr::Product => !self.is_slot(self.entry[reg as usize]),
            _ => self.placed[reg as usize].is_some(),
        };
        self.levels[reg as usize] == Level::Block && !is_elsewhere
    }

    fn is_slot(&self, entry: Entry) -> bool {
        self.tape.slots.binary_search_by_key(&entry, |&(slot, _)| slot).is_ok()
    }

    fn slot(&mut self, builder: &mut Builder, bytes: usize) -> Entry {
        let start = builder.take(bytes);
        self.entries += 1;
        self.tape.slots.push((self.entries - 1, start));
        self.entries - 1
    }

    fn moves(&mut self, moving: Moving) -> Entry {
        self.moves_at(Level::Block, moving)
    }

    fn moves_at(&mut self, level: Level, moving: Moving) -> Entry {
        self.entries += 1;
        let list = if level == Level::Once { &mut self.tape.once_moving } else { &mut self.tape.moving };
        list.push((self.entries - 1, moving));
        self.entries - 1
    }
}

/// The bytes of a literal of type `dtype`, before others.
fn first_bytes(bits: u64, dtype: DType) -> u64 {
    let mut bytes = [0; 8];
    match dtype.size() {
        8 => bytes = bits.to_ne_bytes(),
        4 => bytes[..4].copy_from_slice(&(bits as u32).to_ne_bytes()),
        _ if dtype == DType::Bool => bytes[0] = u8::from(bits != 0),
        _ => bytes[0] = bits as u8,
    }
    u64::from_ne_bytes(bytes)
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

    /// Sets the partial results of the stage to their start.
    ///
    /// # Safety
    /// As [`Tape::prepare`].
    pub unsafe fn start_folds(&self, frame: &Frame, along_rows: bool) {
        for fold in &self.folds {
            if let Some((start, lanes)) = fold.partial {
                let mut block = Block::new(if along_rows { lanes * self.width } else { lanes });
                block.out = frame.scratch.wrapping_add(start);
                // SAFETY: the partial results are the tape's part of the scratch.
                unsafe { (fold.folding.start)(&block) };
            }
        }
    }

    /// Folds the partial results of the stage into their accumulators.
    ///
    /// # Safety
    /// As [`Tape::prepare`]; a line was run, of `n` rows if blocks run along rows.
    pub unsafe fn finish_folds(&self, frame: &Frame, along_rows: bool, n: usize) {
        for fold in &self.folds {
            let Some((start, lanes)) = fold.partial else { continue };
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

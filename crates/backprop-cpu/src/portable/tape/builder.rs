//! Makes steps of scalar code, and gives their results slots.

use std::collections::HashMap;

use backprop_core::DType;
use backprop_opt::loops::{Instr, Reg, Stage};

use super::survey::{Level, Survey};
use super::{Entry, Folded, Reach, Step, Store, Tape};
use crate::isa::Isa;
use crate::portable::chain::{self, Link, LinkOp, Operand};
use crate::portable::fold::Folding;
use crate::portable::place::{Layout, Moving};
use crate::portable::{memory, table};

/// Builds a tape.
pub(in crate::portable) struct Builder<'a> {
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
        let mut draft = Draft {
            survey: Survey::new(&self, stage),
            tape: Tape::default(),
            entries: 0,
            entry: Vec::with_capacity(stage.code.instrs.len()),
            splat: HashMap::new(),
            open: None,
            free: Default::default(),
        };
        for reg in 0..stage.code.instrs.len() {
            draft.instruction(&mut self, reg as Reg);
        }
        draft.close(&mut self);
        for store in &stage.stores {
            let size = stage.code.dtype(store.value).size();
            let to = self.layout.moving(&store.to, size);
            let dtype = stage.code.dtype(store.value);
            let value = draft.blockwise(&mut self, store.value);
            let stride = to.lane;
            let in_place = draft.survey.placed[store.value as usize] == Some(&store.to);
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
            let partial = reduce.folds_columns(&stage.columns).then(|| {
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
                n_around: reduce.n_around(&stage.columns),
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

/// A chain in the making.
struct Open {
    links: Vec<Link>,
    result: Reg,
}

/// A tape in the making.
struct Draft<'a> {
    survey: Survey<'a>,
    tape: Tape,
    entries: Entry,
    /// For each register, its block (or its one element, ahead of the blocks).
    entry: Vec<Entry>,
    /// For registers ahead of the blocks, the block that repeats the element.
    splat: HashMap<Reg, Entry>,
    /// The chain that the next instruction may go on with.
    open: Option<Open>,
    /// Slots that nobody needs any more, by size: 1, 4, 8 bytes an element.
    free: [Vec<Entry>; 3],
}

impl Draft<'_> {
    /// Goes on with the open chain, or opens one.
    fn extend(&mut self, builder: &mut Builder, reg: Reg, op: LinkOp) {
        let operands = self.survey.slots_of(reg);
        let before = self.open.as_ref().map(|open| open.result).filter(|&before| {
            let is_alike = self.survey.code.dtype(before) == self.survey.code.dtype(reg);
            is_alike && operands.contains(&before) && self.survey.readers[before as usize] == 1
        });
        if before.is_none() {
            self.close(builder);
        }
        let mut args = [Operand::Before; 4];
        for (arg, &operand) in args.iter_mut().zip(&operands) {
            if Some(operand) != before {
                let entry = self.entry[operand as usize];
                let is_block = self.survey.levels[operand as usize] == Level::Block;
                *arg = if is_block { Operand::Block(entry) } else { Operand::One(entry) };
            }
        }
        self.entry.push(Entry::MAX);
        let open = self.open.get_or_insert_with(|| Open { links: Vec::new(), result: reg });
        open.links.push(Link::new(op, args));
        open.result = reg;
        self.release(reg, before);
    }

    /// Ends the open chain. Its result may lie where operands were that are not read again: it is written
    /// piece by piece, each after that piece was read.
    fn close(&mut self, builder: &mut Builder) {
        let Some(Open { links, result }) = self.open.take() else { return };
        let dtype = self.survey.code.dtype(result);
        let out = self.room(builder, result, dtype);
        self.entry[result as usize] = out;
        if self.survey.last[result as usize] == result {
            self.give_back(result);
        }
        let run = chain::run(dtype, builder.isa);
        self.tape.block.push(Step::Chain { run, out, links: links.into() });
    }

    fn instruction(&mut self, builder: &mut Builder, reg: Reg) {
        let (instr, dtype) = (self.survey.code.instrs[reg as usize], self.survey.code.dtype(reg));
        let level = self.survey.levels[reg as usize];
        if self.survey.is_in_choice(reg) {
            // Computed with its choice.
            self.entry.push(Entry::MAX);
            return;
        }
        if let Some(op) = self.survey.link(reg) {
            return self.extend(builder, reg, op);
        }
        if level == Level::Block && !matches!(instr, Instr::Load(_) | Instr::Product) {
            self.close(builder);
        }
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
            builder.layout.moving(&self.survey.code.accesses[number as usize], size)
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
                        && (!self.survey.copied[reg as usize] || instr == Instr::Product);
                let stride = moving.lane;
                let from = self.moves_at(level, moving);
                if is_direct {
                    self.entry.push(from);
                    return;
                }
                self.close(builder);
                let out = self.result(builder, reg, level, dtype);
                let run = memory::load(dtype, isa);
                return self.push(level, Step::Load { run, out, from, stride });
            }
            Instr::Count(number) => {
                let moving = builder.layout.number(&self.survey.code.accesses[number as usize]);
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
                let unit = builder.layout.unit(self.survey.code.accesses[access as usize].place, size);
                let more = Reach { lane: moving.lane, stride: stride as isize * unit, bound };
                let from = self.moves(moving);
                let out = self.result(builder, reg, level, dtype);
                let run = memory::gather(dtype, self.survey.code.dtype(index), isa);
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
            Instr::Compare(op, a, _) => table::compare(op, self.survey.code.dtype(a), isa),
            Instr::Logic(op, ..) => table::logic(op, isa),
            Instr::Select(..) => table::select(dtype, isa),
            Instr::Cast(x) => table::cast(self.survey.code.dtype(x), dtype, isa),
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
        let level = self.survey.levels[reg as usize];
        if self.open.as_ref().is_some_and(|open| open.result == reg) {
            self.close(builder);
        }
        if level == Level::Block {
            return self.entry[reg as usize];
        }
        if let Some(&entry) = self.splat.get(&reg) {
            return entry;
        }
        let dtype = self.survey.code.dtype(reg);
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
        let entry = match level {
            Level::Block => self.room(builder, reg, dtype),
            _ => self.slot(builder, 8),
        };
        self.entry.push(entry);
        self.release(reg, None);
        entry
    }

    /// Where the block of a register goes.
    fn room(&mut self, builder: &mut Builder, reg: Reg, dtype: DType) -> Entry {
        match self.survey.placed[reg as usize] {
            Some(access) => {
                let moving = builder.layout.moving(access, dtype.size());
                self.moves(moving)
            }
            None => match self.free[class(dtype)].pop() {
                Some(entry) => entry,
                None => self.slot(builder, builder.layout.width * dtype.size()),
            },
        }
    }

    /// Gives back the slots of what instruction `reg` is the last to read, but for `before`, which has none.
    fn release(&mut self, reg: Reg, before: Option<Reg>) {
        let is_open = self.open.as_ref().is_some_and(|open| open.result == reg);
        let own = Some(reg).filter(|_| !is_open);
        for operand in self.survey.operands(reg).into_iter().chain(own) {
            if self.survey.last[operand as usize] == reg && Some(operand) != before {
                self.give_back(operand);
            }
        }
    }

    fn give_back(&mut self, reg: Reg) {
        if self.holds_slot(reg) {
            self.free[class(self.survey.code.dtype(reg))].push(self.entry[reg as usize]);
        }
    }

    /// Whether a register lies in a slot that others may have after it.
    fn holds_slot(&self, reg: Reg) -> bool {
        let is_elsewhere = match self.survey.code.instrs[reg as usize] {
            Instr::Load(_) | Instr::Product => !self.is_slot(self.entry[reg as usize]),
            _ => self.survey.placed[reg as usize].is_some(),
        };
        self.survey.levels[reg as usize] == Level::Block && !is_elsewhere
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

/// Which slots a type takes: those of 1, 4 or 8 bytes an element.
fn class(dtype: DType) -> usize {
    [1, 4, 8].iter().position(|&size| size == dtype.size()).unwrap_or(0)
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

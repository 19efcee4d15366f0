//! The scalar code of a group: its stages, one for each [`Time`], what they store, and what lives from one to the next.

use std::collections::HashMap;

use backprop_core::array::Sizes;
use backprop_core::{DType, Shape};

use super::axes::{Block, Loops};
use super::emit::Emitter;
use super::group::{GroupId, Level};
use super::item::{DatumId, ItemId, ItemKind, Operand, Point, Source};
use super::pick::pick;
use super::storage::expression;
use super::time::Time;
use super::view::{View, row_major};
use crate::loops::{Access, Fold, Instr, Local, Nest, Place, Reduce, Reg, Stage, Store, Strides};

/// What a full value costs to compute again in a later stage, at most; beyond that it is kept.
const MAX_COST: u32 = 8;

/// The number of vectors of partial results of a sum: additions that do not wait for each other.
const CHAINS: usize = 4;

/// Writes the nest of one group.
pub struct NestWriter<'e, 'a> {
    pub emitter: &'e mut Emitter<'a>,
    group: GroupId,
    loops: Loops,
    sizes: &'static [usize],
    /// The column loops of what is for all columns.
    columns: Sizes,
    members: Vec<Member>,
    nest: Nest,
    stage: Stage,
    /// The time of the stage that is being written.
    now: Time,
    /// What the stage has computed of operands from outside.
    known: HashMap<Operand, Reg>,
}

/// An item of the group.
struct Member {
    item: ItemId,
    datum: DatumId,
    /// When it is computed, and whether on full elements.
    time: Time,
    is_full: bool,
    /// When its result can be read.
    ready: Time,
    cost: u32,
    /// The stage that needs it as a register last asked.
    wanted: Option<Time>,
    /// Its register in the stage that is being written.
    reg: Option<(Time, Reg)>,
    local: Option<u32>,
}

impl<'e, 'a> NestWriter<'e, 'a> {
    pub fn new(emitter: &'e mut Emitter<'a>, group: GroupId, loops: Loops) -> NestWriter<'e, 'a> {
        let sizes = emitter.groups.groups[group as usize].domain.sizes().expect("a domain is of numbers");
        NestWriter {
            emitter,
            group,
            loops,
            sizes,
            columns: Sizes::new(),
            members: Vec::new(),
            nest: Nest::default(),
            stage: Stage::default(),
            now: Time::FIRST,
            known: HashMap::new(),
        }
    }

    /// A writer for one stage over `domain` that computes operands from outside only.
    pub fn copying(emitter: &'e mut Emitter<'a>, domain: Shape) -> NestWriter<'e, 'a> {
        let sizes = domain.sizes().expect("a domain is of numbers");
        let (nest, stage, known) = (Nest::default(), Stage::default(), HashMap::new());
        let (group, loops, members) = (GroupId::MAX, Loops::Split(0), Vec::new());
        NestWriter {
            emitter,
            group,
            loops,
            sizes,
            columns: sizes.into(),
            members,
            nest,
            stage,
            now: Time::FIRST,
            known,
        }
    }

    /// The stage of a copying writer.
    pub fn finish(self, stores: Vec<Store>) -> Stage {
        Stage { columns: self.sizes.into(), stores, ..self.stage }
    }

    /// The nest; `None` where nothing is stored.
    pub fn run(mut self) -> Option<Nest> {
        self.schedule();
        let (rows, columns) = self.loops.extents(self.sizes);
        (self.nest.rows, self.columns) = (rows, columns);
        let mut times: Vec<Time> =
            self.members.iter().flat_map(|member| [member.time, member.ready]).collect();
        times.sort_unstable();
        times.dedup();
        let mut needed: Vec<Vec<u32>> = times.iter().rev().map(|&time| self.want(time)).collect();
        for &time in &times {
            self.stage = Stage::default();
            self.now = time;
            self.known.clear();
            self.write(&needed.pop().expect("one list for each time"));
            self.stage.columns = match self.loops {
                _ if time.is_full() => self.columns.clone(),
                Loops::Block(block) => [block.n_rows][..].into(),
                _ => Sizes::new(),
            };
            if !self.stage.stores.is_empty() || !self.stage.reduces.is_empty() {
                self.nest.stages.push(std::mem::take(&mut self.stage));
            }
        }
        pick(&mut self.nest);
        (!self.nest.stages.is_empty()).then_some(self.nest)
    }

    /// When each member is computed.
    fn schedule(&mut self) {
        let group = &self.emitter.groups.groups[self.group as usize];
        for (position, &id) in group.members.iter().enumerate() {
            let item = self.emitter.items.item(id);
            let level = self.emitter.groups.level[id as usize];
            let is_full = match item.kind {
                ItemKind::Reduce(..) => item.domain == group.domain,
                _ => level == Level::Full,
            };
            let (mut time, mut cost) =
                (if is_full { Time::FIRST } else { Time::BEFORE }, item_cost(&item.kind));
            for &operand in &item.operands {
                let Some(maker) = self.emitter.made_in(operand, self.group) else { continue };
                let member = &self.members[self.emitter.position[maker as usize] as usize];
                // A full item waits for the stage after that of a row item.
                let ready = if is_full { member.ready.full() } else { member.ready };
                time = time.max(ready);
                if member.is_full && !matches!(self.emitter.items.item(maker).kind, ItemKind::Reduce(..)) {
                    let is_stored = self.emitter.stored[member.datum as usize];
                    cost = cost.saturating_add(if is_stored { 1 } else { member.cost });
                }
            }
            let is_row_result = matches!(item.kind, ItemKind::Reduce(..)) && level == Level::Row;
            let ready = if is_row_result { time.next() } else { time };
            let (datum, wanted, reg, local) = (item.first, None, None, None);
            self.members.push(Member { item: id, datum, time, is_full, ready, cost, wanted, reg, local });
            self.emitter.position[id as usize] = position as u32;
        }
    }

    /// What a stage computes, in order: what it stores or folds, what later stages keep, and what these need.
    /// To be asked of the last stage first.
    fn want(&mut self, time: Time) -> Vec<u32> {
        let mut list = Vec::new();
        for position in (0..self.members.len()).rev() {
            if self.is_sink(position, time) {
                self.members[position].wanted = Some(time);
            }
            if self.members[position].wanted != Some(time) {
                continue;
            }
            list.push(position as u32);
            let member = &self.members[position];
            if member.ready == time && member.time != time {
                // The result of a reduction, read from its accumulator.
                continue;
            }
            for operand in self.emitter.items.item(member.item).operands.clone() {
                let Some(maker) = self.emitter.made_in(operand, self.group) else { continue };
                let at = self.emitter.position[maker as usize] as usize;
                let needed = &mut self.members[at];
                let is_reduction = needed.ready != needed.time;
                if is_reduction {
                    continue;
                }
                if needed.time == time {
                    needed.wanted = Some(time);
                } else if needed.is_full && self.emitter.stored[needed.datum as usize] {
                    // Read from its buffer.
                } else if needed.is_full && needed.cost <= MAX_COST {
                    needed.wanted = Some(time);
                } else if needed.local.is_none() {
                    let len = if self.members[at].is_full {
                        self.columns.iter().product()
                    } else {
                        self.loops.n_rows_at_once()
                    };
                    let datum = self.members[at].datum;
                    self.members[at].local = Some(self.new_local(datum, len));
                }
            }
        }
        list.reverse();
        list
    }

    fn new_local(&mut self, datum: DatumId, len: usize) -> u32 {
        let dtype = self.emitter.items.datum(datum).dtype;
        self.nest.locals.push(Local { dtype, len });
        self.nest.locals.len() as u32 - 1
    }

    /// Whether a stage does something with a member beyond computing it.
    fn is_sink(&self, position: usize, time: Time) -> bool {
        let member = &self.members[position];
        let is_reduction = matches!(self.emitter.items.item(member.item).kind, ItemKind::Reduce(..));
        if is_reduction && member.time == time {
            return true;
        }
        member.ready == time && (self.emitter.stored[member.datum as usize] || member.local.is_some())
    }

    /// Writes the code of a stage, its stores and its reductions.
    fn write(&mut self, needed: &[u32]) {
        let time = self.now;
        for position in needed.iter().map(|&position| position as usize) {
            let Member { item, datum, ready, local, .. } = self.members[position];
            let kind = self.emitter.items.item(item).kind.clone();
            if let ItemKind::Reduce(fold, axes) = kind {
                if self.members[position].time == time {
                    self.reduce(position, fold, axes);
                }
                if ready == time
                    && ready != self.members[position].time
                    && self.emitter.stored[datum as usize]
                {
                    let local = self.members[position].local.expect("a row's result has an accumulator");
                    let access = self.local(local, false);
                    let value = self.load(access, datum);
                    self.store(datum, value);
                }
                continue;
            }
            let value = match kind {
                ItemKind::Contract(_) => self.push(Instr::Product, datum),
                ItemKind::Point(point) => {
                    let operands = self.emitter.items.item(item).operands.clone();
                    self.point(point, &operands, datum)
                }
                _ => unreachable!("only pointwise items, reductions and contractions share loops"),
            };
            self.members[position].reg = Some((time, value));
            if ready == time && self.emitter.stored[datum as usize] {
                self.store(datum, value);
            }
            if let Some(local) = local.filter(|_| ready == time) {
                let to = self.local(local, self.members[position].is_full);
                self.stage.stores.push(Store { value, to, watched: false });
            }
        }
    }

    fn reduce(&mut self, position: usize, fold: Fold, axes: u16) {
        let Member { item, datum, time, ready, is_full, .. } = self.members[position];
        let operand = self.emitter.items.item(item).operands[0];
        let value = self.value(operand);
        let dtype = self.emitter.items.datum(datum).dtype;
        let into = if ready != time {
            let local = self.new_local(datum, self.loops.n_rows_at_once());
            self.members[position].local = Some(local);
            self.local(local, false)
        } else {
            let buffer = self.emitter.buffer(datum);
            let sizes = self.emitter.items.item(item).domain.sizes().expect("a domain is of numbers");
            let is_kept = |axis: &usize| axes >> axis & 1 == 0;
            let kept: Vec<usize> = (0..sizes.len()).filter(is_kept).map(|axis| sizes[axis]).collect();
            let mut own = row_major(&kept).into_iter();
            let strides: Strides = (0..sizes.len())
                .map(|axis| if is_kept(&axis) { own.next().unwrap_or(0) } else { 0 })
                .collect();
            let (rows, columns) = self.loops.split(&strides, self.nest.rows.len(), is_full);
            Access { place: Place::Buffer(buffer), offset: 0, rows, columns }
        };
        let accumulator = (into.place, fold);
        if !self.nest.accumulators.contains(&accumulator) {
            self.nest.accumulators.push(accumulator);
        }
        let is_folded = into.columns.last() == Some(&0);
        let vector = self.emitter.options.vector_bytes / dtype.size();
        let lanes = if is_folded { CHAINS * vector } else { 1 };
        self.stage.reduces.push(Reduce { fold, value, into, lanes });
    }

    fn store(&mut self, datum: DatumId, value: Reg) {
        let buffer = self.emitter.buffer(datum);
        let sizes = match self.loops {
            Loops::Split(split) | Loops::Block(Block { split, .. }) if !self.now.is_full() => {
                &self.sizes[..split]
            }
            _ => self.sizes,
        };
        let view = self.emitter.seen(datum, &View::whole(sizes));
        let to = self.access(Place::Buffer(buffer), &view);
        let watched = self.emitter.is_watched(datum);
        self.stage.stores.push(Store { value, to, watched });
    }

    fn push(&mut self, instr: Instr, datum: DatumId) -> Reg {
        let dtype = self.emitter.items.datum(datum).dtype;
        self.stage.code.push(instr, dtype)
    }

    fn point(&mut self, point: Point, operands: &[Operand], datum: DatumId) -> Reg {
        if let Point::Gather { stride, bound } = point {
            let buffer = self.emitter.buffer(operands[0].datum);
            let view = self.emitter.seen(operands[0].datum, self.emitter.items.views.get(operands[0].view));
            let access = self.access(Place::Buffer(buffer), &view);
            let access = self.stage.code.access(access);
            let index = self.value(operands[1]);
            return self.push(Instr::Gather { access, index, stride, bound }, datum);
        }
        let x: Vec<Reg> = operands.iter().map(|&operand| self.value(operand)).collect();
        let instr = match point {
            Point::Copy => return x[0],
            Point::Cast => Instr::Cast(x[0]),
            Point::Unary(op) => Instr::Unary(op, x[0]),
            Point::Binary(op) => Instr::Binary(op, x[0], x[1]),
            Point::Compare(op) => Instr::Compare(op, x[0], x[1]),
            Point::Logic(op) => Instr::Logic(op, x[0], x[x.len() - 1]),
            Point::Select => Instr::Select(x[0], x[1], x[2]),
            Point::Fma => Instr::Fma(x[0], x[1], x[2]),
            Point::Gather { .. } => unreachable!("written above"),
        };
        self.push(instr, datum)
    }

    /// The register of an operand in this stage: computed here, kept, stored, or computed again.
    pub fn value(&mut self, operand: Operand) -> Reg {
        if let Some(maker) = self.emitter.made_in(operand, self.group) {
            let position = self.emitter.position[maker as usize] as usize;
            let member = &self.members[position];
            if let Some((_, reg)) = member.reg.filter(|&(time, _)| time == self.now) {
                return reg;
            }
            if let Some(&reg) = self.known.get(&operand) {
                return reg;
            }
            let datum = member.datum;
            let is_full = member.is_full && member.ready == member.time;
            let access = member.local.map(|local| self.local(local, is_full));
            if let Some(access) = access {
                let reg = self.load(access, datum);
                self.known.insert(operand, reg);
                return reg;
            }
        } else if let Some(&reg) = self.known.get(&operand) {
            return reg;
        }
        let reg = self.outside(operand);
        self.known.insert(operand, reg);
        reg
    }

    fn outside(&mut self, operand: Operand) -> Reg {
        let datum = self.emitter.items.datum(operand.datum);
        let dtype = datum.dtype;
        match datum.source {
            Source::Literal(bits) => return self.stage.code.push(Instr::Literal(bits), dtype),
            Source::Count => {
                let view = self.emitter.items.views.get(operand.view).clone();
                let access = self.access(Place::Local(0), &view);
                let access = self.stage.code.access(access);
                let count = self.stage.code.push(Instr::Count(access), DType::I64);
                let is_wide = dtype == DType::I64;
                return if is_wide { count } else { self.stage.code.push(Instr::Cast(count), dtype) };
            }
            Source::Given(_) | Source::Constant(_) => {}
            Source::Made(_) if self.emitter.stored[operand.datum as usize] => {}
            Source::Made(_) => {
                let (point, operands) =
                    expression(self.emitter.items, operand).expect("what is not stored is computed again");
                return self.point(point, &operands, operand.datum);
            }
        }
        let buffer = self.emitter.buffer(operand.datum);
        let view = self.emitter.seen(operand.datum, self.emitter.items.views.get(operand.view));
        let access = self.access(Place::Buffer(buffer), &view);
        self.load(access, operand.datum)
    }

    fn load(&mut self, access: Access, datum: DatumId) -> Reg {
        let access = self.stage.code.access(access);
        self.push(Instr::Load(access), datum)
    }

    /// The access of a view over the loops of this stage.
    fn access(&self, place: Place, view: &View) -> Access {
        let (rows, columns) = match &self.loops {
            Loops::Product(product) => {
                super::group::loops_of(view, product).expect("checked when the item joined")
            }
            _ => self.loops.split(&view.strides, self.nest.rows.len(), self.now.is_full()),
        };
        Access { place, offset: view.offset, rows, columns }
    }

    /// Where a value of this iteration lies in a local: of this column, or of this row.
    fn local(&self, local: u32, is_full: bool) -> Access {
        let strides = self.loops.of_local(&self.columns, self.now.is_full(), is_full);
        let rows = Strides::from_elem(0, self.nest.rows.len());
        Access { place: Place::Local(local), offset: 0, rows, columns: strides }
    }
}

fn item_cost(kind: &ItemKind) -> u32 {
    match kind {
        ItemKind::Point(point) => point.cost(),
        _ => 1,
    }
}

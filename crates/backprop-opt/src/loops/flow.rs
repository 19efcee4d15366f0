//! What must hold of a program's memory, from step to step and from iteration to iteration.
//!
//! 8. No two iterations of a nest store the same element, nor do two stores; nor are two results of a step one
//!    buffer. Row loops that move an accumulator give each iteration elements of its own.
//! 9. Buffers that a step uses lie apart where it writes one of them; but a nest may write over what only the same
//!    iteration has read, and read before.
//! 10. A buffer is read only when all of it has been written, and nothing else was written over it since. A nest
//!     reads what it writes itself in a later stage, in the same row. In the end, every output has been written.
//!
//! Stages of a nest without row loops run one after the other: for all but its locals they count as steps, the
//! first of which sets accumulators to their start.
//!
//! The time is that of looking at every access once, and of a search among the buffers alive.

use std::collections::BTreeMap;

use super::elements::Elements;
use super::{Access, BufferId, Home, Instr, Kind, Nest, Place, Program, Stage};

/// Checks the rules above, of a program that keeps the other ones; not those of its bodies.
pub(super) fn verify(program: &Program) -> Result<(), String> {
    let filled = program.buffers.iter().map(|buffer| match buffer.home {
        Home::Input(_) | Home::Constant(_) => Filled::Whole,
        _ if buffer.len == 0 => Filled::Whole,
        _ => Filled::Parts(Vec::new()),
    });
    let mut flow = Flow { program, arena: BTreeMap::new(), filled: filled.collect() };
    for (position, step) in program.steps.iter().enumerate() {
        flow.step(&step.kind).map_err(|why| format!("step {position}: {why}"))?;
    }
    program.outputs.iter().try_for_each(|&id| flow.want_filled(id))
}

/// What a buffer holds.
enum Filled {
    Whole,
    /// These elements.
    Parts(Vec<Elements>),
}

/// What memory holds after the steps so far.
struct Flow<'a> {
    program: &'a Program,
    /// Where bytes of the arena start and end that were written, and for which buffer.
    arena: BTreeMap<usize, (usize, BufferId)>,
    filled: Vec<Filled>,
}

/// What a step does with a buffer.
#[derive(Default)]
struct Use<'a> {
    /// In which stage, by which access; `None`: anywhere, in all stages or in that one.
    reads: Vec<(Option<usize>, Option<&'a Access>)>,
    stores: Vec<(usize, &'a Access)>,
    folds: Vec<(usize, &'a Access)>,
    /// How often it is written as a whole.
    n_fills: usize,
}

impl Use<'_> {
    fn is_written(&self) -> bool {
        self.n_fills > 0 || !self.stores.is_empty() || !self.folds.is_empty()
    }
}

/// What a step does with memory.
#[derive(Default)]
struct Uses<'a> {
    of: BTreeMap<Place, Use<'a>>,
    rows: Vec<usize>,
    stages: &'a [Stage],
    /// Bytes of the arena that a body scribbles on.
    scratch: Option<(usize, usize)>,
}

impl<'a> Uses<'a> {
    fn new(kind: &'a Kind) -> Uses<'a> {
        let mut uses = Uses::default();
        match kind {
            Kind::Nest(nest) => {
                uses.rows = nest.rows.to_vec();
                nest.accumulators.iter().for_each(|&(place, _)| uses.at(place).n_fills += 1);
                uses.stages(&nest.stages);
            }
            Kind::Contraction(contraction) => {
                uses.rows = contraction.rows().to_vec();
                uses.reads([contraction.a.buffer, contraction.b.buffer]);
                uses.stages(std::slice::from_ref(&contraction.stage));
            }
            Kind::Call(call) => {
                uses.reads(call.inputs.iter().map(|&(id, _)| id));
                uses.fills(call.outputs.iter().filter_map(|&(id, _)| id));
            }
            Kind::Cond(cond) => {
                uses.reads(cond.inputs.iter().copied().chain([cond.condition]));
                uses.fills(cond.outputs.iter().copied());
                let bytes = cond.then.arena_bytes.max(cond.otherwise.arena_bytes);
                uses.scratch = Some((cond.arena, cond.arena + bytes));
            }
            Kind::Scan(scan) => {
                uses.reads([&scan.carries, &scan.xs, &scan.captures].into_iter().flatten().copied());
                let room = scan.room.as_flattened().iter().copied();
                uses.fills(room.chain(scan.last.iter().chain(&scan.ys).copied()).chain([scan.counter]));
                uses.scratch = Some((scan.arena, scan.arena + scan.body.arena_bytes));
            }
        }
        uses
    }

    /// That accumulators start.
    fn start(nest: &'a Nest) -> Uses<'a> {
        let mut uses = Uses::default();
        nest.accumulators.iter().for_each(|&(place, _)| uses.at(place).n_fills += 1);
        uses
    }

    /// One stage of a nest of one row.
    fn of_stage(nest: &'a Nest, at: usize) -> Uses<'a> {
        let mut uses = Uses { rows: nest.rows.to_vec(), stages: &nest.stages, ..Uses::default() };
        uses.stage(at);
        uses
    }

    fn at(&mut self, place: Place) -> &mut Use<'a> {
        self.of.entry(place).or_default()
    }

    fn reads(&mut self, ids: impl IntoIterator<Item = BufferId>) {
        ids.into_iter().for_each(|id| self.at(Place::Buffer(id)).reads.push((None, None)));
    }

    fn fills(&mut self, ids: impl IntoIterator<Item = BufferId>) {
        ids.into_iter().for_each(|id| self.at(Place::Buffer(id)).n_fills += 1);
    }

    fn stages(&mut self, stages: &'a [Stage]) {
        self.stages = stages;
        (0..stages.len()).for_each(|at| self.stage(at));
    }

    fn stage(&mut self, at: usize) {
        let stage = &self.stages[at];
        // Without an iteration, nothing is touched.
        if self.rows.iter().chain(&stage.columns).any(|&size| size == 0) {
            return;
        }
        for instr in &stage.code.instrs {
            let (number, is_known) = match *instr {
                Instr::Load(number) => (number, true),
                Instr::Gather { access, .. } => (access, false),
                _ => continue,
            };
            let access = &stage.code.accesses[number as usize];
            self.at(access.place).reads.push((Some(at), is_known.then_some(access)));
        }
        stage.stores.iter().for_each(|store| self.at(store.to.place).stores.push((at, &store.to)));
        stage.reduces.iter().for_each(|fold| self.at(fold.into.place).folds.push((at, &fold.into)));
    }

    /// The elements of an access of a stage; of a local, those of one row.
    fn elements(&self, (at, access): (usize, &Access)) -> Elements {
        let rows: &[usize] = if matches!(access.place, Place::Local(_)) { &[] } else { &self.rows };
        Elements::new(access, rows, &self.stages[at].columns).expect("empty stages touch nothing")
    }

    /// Rule 8.
    fn want_own_elements(&self, place: Place, own: &Use) -> Result<(), String> {
        let stores: Vec<Elements> = own.stores.iter().map(|&store| self.elements(store)).collect();
        for (store, (_, access)) in stores.iter().zip(&own.stores) {
            want(store.is_injective(), || format!("two iterations may store one element: {access:?}"))?;
        }
        want_apart(&stores).map_err(|()| format!("two stores may meet in {place:?}"))?;
        let is_folded = own.n_fills > 0 || !own.folds.is_empty();
        want(stores.is_empty() || !is_folded, || format!("{place:?} is an accumulator, and stored to"))?;
        want(own.n_fills <= 1, || format!("{place:?} is two results of a step"))?;
        let folds: Vec<Elements> = own.folds.iter().map(|&fold| self.elements(fold)).collect();
        for (fold, (_, access)) in folds.iter().zip(&own.folds) {
            want(fold.moves_apart(0), || format!("iterations may meet in an accumulator: {access:?}"))?;
        }
        // What is folded in one row stays in it.
        let is_one = (own.folds.windows(2).zip(folds.windows(2)))
            .all(|(access, elements)| access[0].1.rows == access[1].1.rows && elements[0] == elements[1]);
        want(is_one || want_apart(&folds).is_ok(), || format!("two folds may meet in {place:?}"))
    }

    /// Rule 10, of what the step writes itself: whether each read is of what the same row wrote in an earlier stage.
    fn want_written_before(&self, place: Place, own: &Use, len: usize) -> Result<(), String> {
        let unknown = || format!("{place:?} is read while it is written");
        for &read in &own.reads {
            let (Some(at), access) = read else { return Err(unknown()) };
            let mut n_before = 0;
            let mut is_covered = false;
            for &(written_at, to) in own.stores.iter().chain(&own.folds) {
                let is_of_row = |access| self.is_of_row(to, written_at, access, at);
                let is_before = written_at < at && access.is_some_and(is_of_row);
                let is_apart =
                    |access| self.elements((written_at, to)).is_apart(&self.elements((at, access)));
                want(is_before || access.is_some_and(is_apart), unknown)?;
                if is_before {
                    n_before += self.elements((written_at, to)).count();
                    is_covered |= access.is_some_and(|access| self.covers(to, written_at, access, at));
                }
            }
            // All iterations together write all elements, so each row writes all of its own. What is folded into
            // was started, all of it.
            want(own.n_fills > 0 || !own.folds.is_empty() || is_covered || n_before == len, || {
                format!("{place:?} is read before all of it is written")
            })?;
        }
        Ok(())
    }

    /// Whether one access names other elements in each iteration, and the other one, in each row, some of those.
    fn covers(&self, all: &Access, all_at: usize, some: &Access, some_at: usize) -> bool {
        let moved = |access: &Access, at: usize| {
            let columns = access.columns.iter().copied().zip(self.stages[at].columns.iter().copied());
            let mut moved: Vec<(isize, usize)> =
                columns.filter(|&(stride, size)| stride != 0 && size > 1).collect();
            moved.sort_unstable();
            moved
        };
        let (mut left, wanted) = (moved(all, all_at), moved(some, some_at));
        let is_same_row =
            (all.rows.iter().zip(&some.rows).zip(&self.rows)).all(|((a, b), &size)| a == b || size == 1);
        let is_among = |own: &(isize, usize)| {
            let at = left.iter().position(|of_all| of_all == own);
            at.is_some_and(|at| (left.remove(at), true).1)
        };
        is_same_row
            && all.offset == some.offset
            && self.elements((all_at, all)).is_injective()
            && wanted.iter().all(is_among)
    }

    /// Whether what one access reads, of what the other writes, is of the same row.
    fn is_of_row(&self, to: &Access, to_at: usize, from: &Access, from_at: usize) -> bool {
        if matches!(to.place, Place::Local(_)) {
            return true;
        }
        if self.covers(to, to_at, from, from_at) {
            return true;
        }
        let column = |access: &Access, at: usize| {
            let access = Access { rows: Default::default(), ..access.clone() };
            Elements::new(&access, &[], &self.stages[at].columns).expect("empty stages touch nothing").range()
        };
        let (a, b) = (column(to, to_at), column(from, from_at));
        let reach = a.1.max(b.1) - a.0.min(b.0);
        let rows = Elements::new(&Access { columns: Default::default(), ..to.clone() }, &self.rows, &[]);
        let rows = rows.expect("empty stages touch nothing");
        let is_same =
            (to.rows.iter().zip(&from.rows).zip(&self.rows)).all(|((a, b), &size)| a == b || size == 1);
        is_same && rows.is_moved() && rows.moves_apart(reach)
    }

    /// Rule 9: whether a buffer may lie over another one that is read. `lower::plan`, which lays it there, has a rule of
    /// its own: a verifier does not take its word.
    fn may_overwrite(&self, new: &Use, old: &Use) -> bool {
        let [(written_at, to)] = new.stores[..] else { return false };
        let is_same = |&(at, access): &(Option<usize>, Option<&Access>)| {
            at.zip(access).is_some_and(|(at, access)| {
                at <= written_at
                    && (access.offset, &access.rows, &access.columns) == (to.offset, &to.rows, &to.columns)
                    && self.stages[at].columns == self.stages[written_at].columns
            })
        };
        new.n_fills == 0 && new.folds.is_empty() && !old.is_written() && old.reads.iter().all(is_same)
    }
}

impl Flow<'_> {
    fn step(&mut self, kind: &Kind) -> Result<(), String> {
        match kind {
            Kind::Nest(nest) if nest.stages.len() > 1 && nest.rows.iter().all(|&size| size == 1) => {
                // Stages of one row run one after the other, as steps do.
                self.of(kind, Uses::start(nest), |place| matches!(place, Place::Buffer(_)))?;
                self.of(kind, Uses::new(kind), |place| matches!(place, Place::Local(_)))?;
                (0..nest.stages.len()).try_for_each(|at| {
                    self.of(kind, Uses::of_stage(nest, at), |place| matches!(place, Place::Buffer(_)))
                })
            }
            _ => self.of(kind, Uses::new(kind), |_| true),
        }
    }

    /// Checks what is done with some of the places, and does it.
    fn of(&mut self, kind: &Kind, mut uses: Uses, is_of: impl Fn(Place) -> bool) -> Result<(), String> {
        uses.of.retain(|&place, _| is_of(place));
        for (&place, own) in &uses.of {
            uses.want_own_elements(place, own)?;
            match place {
                Place::Local(number) => {
                    let Kind::Nest(nest) = kind else { continue };
                    uses.want_written_before(place, own, nest.locals[number as usize].len)?;
                }
                Place::Buffer(id) if own.is_written() => {
                    uses.want_written_before(place, own, self.program.buffer(id).len)?;
                    // What a stage folds into was started before, and nothing was written over it since.
                    if own.n_fills == 0 && !own.folds.is_empty() {
                        self.want_filled(id)?;
                    }
                }
                Place::Buffer(id) if !own.reads.is_empty() => self.want_filled(id)?,
                Place::Buffer(_) => {}
            }
        }
        self.want_apart(&uses)?;
        if let Some((from, to)) = uses.scratch {
            self.clear(from, to);
        }
        for (&place, own) in uses.of.iter().filter(|(_, own)| own.is_written()) {
            let Place::Buffer(id) = place else { continue };
            let stores = own.stores.iter().map(|&store| uses.elements(store)).collect();
            self.write(id, if own.n_fills > 0 { None } else { Some(stores) });
        }
        Ok(())
    }

    /// Where a buffer lies in the arena.
    fn bytes(&self, id: BufferId) -> Option<(usize, usize)> {
        let buffer = self.program.buffer(id);
        match buffer.home {
            Home::Arena(offset) if buffer.len > 0 => Some((offset, offset + buffer.bytes())),
            _ => None,
        }
    }

    /// Rule 9.
    fn want_apart(&self, uses: &Uses) -> Result<(), String> {
        let mut used: Vec<_> = (uses.of.iter())
            .filter_map(|(&place, own)| match place {
                Place::Buffer(id) => Some((self.bytes(id)?, Some((id, own)))),
                Place::Local(_) => None,
            })
            .chain(uses.scratch.filter(|(from, to)| from < to).map(|bytes| (bytes, None)))
            .collect();
        used.sort_unstable_by_key(|&(bytes, _)| bytes);
        for (position, &(a, one)) in used.iter().enumerate() {
            for &(b, other) in used[position + 1..].iter().take_while(|(b, _)| b.0 < a.1) {
                let is_allowed = match (one, other) {
                    (Some((id, one)), Some((other_id, other))) => {
                        let size = |id| self.program.buffer(id).dtype.size();
                        let is_same = a.0 == b.0 && size(id) == size(other_id);
                        !one.is_written() && !other.is_written()
                            || is_same && (uses.may_overwrite(one, other) || uses.may_overwrite(other, one))
                    }
                    _ => false,
                };
                want(is_allowed, || format!("bytes {a:?} and {b:?} of the arena are used at once"))?;
            }
        }
        Ok(())
    }

    /// Rule 10.
    fn want_filled(&self, id: BufferId) -> Result<(), String> {
        let buffer = self.program.buffer(id);
        let holds = matches!(self.filled[id as usize], Filled::Whole);
        want(holds, || format!("{} is read before all of it is written", buffer.label))?;
        let is_there = self.bytes(id).is_none_or(|(from, to)| self.arena.get(&from) == Some(&(to, id)));
        want(is_there, || format!("{} is read after it was overwritten", buffer.label))
    }

    /// A buffer is written: all of it, or these elements.
    fn write(&mut self, id: BufferId, elements: Option<Vec<Elements>>) {
        if let Some((from, to)) = self.bytes(id)
            && self.arena.get(&from) != Some(&(to, id))
        {
            self.clear(from, to);
            self.arena.insert(from, (to, id));
            self.filled[id as usize] = Filled::Parts(Vec::new());
        }
        match (elements, &mut self.filled[id as usize]) {
            (None, filled) => *filled = Filled::Whole,
            // What is written again stays written.
            (Some(_), Filled::Whole) => {}
            (Some(elements), Filled::Parts(parts)) => {
                for own in elements {
                    // A part over another one, as the middle of what was padded, adds nothing that is plain to see.
                    if parts.iter().all(|part| part.is_apart(&own)) {
                        parts.push(own);
                    }
                }
                if parts.iter().map(Elements::count).sum::<usize>() == self.program.buffer(id).len {
                    self.filled[id as usize] = Filled::Whole;
                }
            }
        }
    }

    /// Bytes of the arena hold nothing that may be read.
    fn clear(&mut self, from: usize, to: usize) {
        let before = self.arena.range(..from).next_back().map(|(&start, &(end, id))| (start, end, id));
        if let Some((start, end, id)) = before.filter(|&(_, end, _)| end > from) {
            // What is cut is never whole again.
            self.arena.insert(start, (from, id));
            if end > to {
                self.arena.insert(to, (end, id));
            }
        }
        while let Some((&start, &(end, id))) = self.arena.range(from..to).next() {
            self.arena.remove(&start);
            if end > to {
                self.arena.insert(to, (end, id));
            }
        }
    }
}

/// Whether no two have an element in common.
fn want_apart(all: &[Elements]) -> Result<(), ()> {
    let mut by_range: Vec<&Elements> = all.iter().collect();
    by_range.sort_unstable_by_key(|elements| elements.range());
    let meets = |position: usize| {
        let (one, rest) = (by_range[position], &by_range[position + 1..]);
        let high = one.range().1;
        rest.iter().take_while(|other| other.range().0 <= high).any(|other| !one.is_apart(other))
    };
    if (0..by_range.len()).any(meets) { Err(()) } else { Ok(()) }
}

fn want(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

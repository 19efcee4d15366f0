//! A stage: its column loops around vector code.
//!
//! ```text
//! for each outer column loop:
//!     partial results start, of what is folded from the next loop on
//!     what the innermost loop does not move
//!     for column in steps of unroll · lanes:  the code, `unroll` times
//!     the columns that are left
//!     partial results folded together
//! ```

use backprop_core::DType;
use backprop_opt::loops::{Instr, Reduce, Stage};
use iced_x86::Code;

use super::body::{At, Body};
use super::copies::side_by_side;
use super::fold::Folding;
use super::machine::{COLUMN, FRAME, Machine, frame, is_byte};
use super::plan::{Origin, Plan, PlannedStage, Pointer};
use super::schedule::Schedule;
use super::translate::{Target, narrowed, translate};
use super::vector::{Kind, Op, Value, VectorCode, kind_of};
use super::written_out::{self, Schedules};
use crate::native::Isa;
use crate::native::assembler::{Mem, Operand};

/// More nodes than this are left to others: registers and caches are of no use to such code.
const MOST_NODES: usize = 5_000;
/// Up to so many nodes, times columns, are written out without a loop: some kilobytes of code, in which accumulators stay
/// in registers and no pointer moves.
const WRITTEN_OUT: usize = 1_000;
/// The most vectors that an iteration takes where reductions do not say how many.
const MOST_COPIES: usize = 4;
/// Registers, for vectors and for masks, that one instruction may need beyond what lives across it.
const SPARE: [usize; 2] = [6, 3];
/// The same where that many copies go side by side that registers are full.
const SPARE_AMONG_COPIES: [usize; 2] = [2, 1];

/// How the columns of a stage are cut into vectors.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// The number of lanes.
    lanes: usize,
    /// How many vectors an iteration of the innermost loop takes.
    unroll: usize,
    /// The number of columns of the innermost loop.
    n: usize,
}

impl Cut {
    /// The columns that the innermost loop covers.
    fn looped(self) -> usize {
        self.n - self.n % (self.lanes * self.unroll)
    }
}

/// The number of lanes for columns of a stage.
fn lanes_of(stage: &PlannedStage, isa: Isa) -> usize {
    let narrowed = narrowed_of(stage);
    let code = &stage.stage.code;
    let is_wide = code
        .dtypes
        .iter()
        .zip(&narrowed)
        .any(|(&dtype, is_narrowed)| kind_of(dtype) == Kind::Double && !is_narrowed);
    // An index is a number of 64 bits.
    let is_wide = is_wide || code.instrs.iter().any(|instr| matches!(instr, Instr::Gather { .. }));
    let most = isa.register_bytes() / if is_wide { 8 } else { 4 };
    let n = *stage.columns.last().expect("a stage has a column loop");
    let most = folding_all(stage).map(|reduce| reduce.lanes).fold(most, usize::min);
    most.min(n.next_power_of_two())
}

/// Which registers of a stage need no 64 bits.
fn narrowed_of(planned: &PlannedStage) -> Vec<bool> {
    let stores = planned.stage.stores.iter().map(|store| store.value);
    let written = stores.chain(planned.stage.reduces.iter().map(|reduce| reduce.value));
    narrowed(&planned.stage.code, &planned.strides, written)
}

/// Reductions whose partial results are by column.
fn folding_all<'a>(stage: &'a PlannedStage) -> impl Iterator<Item = &'a Reduce> {
    stage
        .stage
        .reduces
        .iter()
        .zip(&stage.folded_from)
        .filter(|(_, from)| from.is_some())
        .map(|(reduce, _)| reduce)
}

/// Of how many columns a unit is, where columns are shared out.
pub fn block_of(stage: &PlannedStage, isa: Isa) -> usize {
    lanes_of(stage, isa) * 1024
}

/// Puts the code of a stage; `None` where there is none. How many columns its loop covers: of columns that are
/// shared out in blocks, what is left goes with the last one.
pub fn put_stage(
    machine: &mut Machine,
    plan: &Plan,
    planned: &PlannedStage,
    fetches: Vec<(u32, i32)>,
) -> Option<usize> {
    if planned.columns.contains(&0) {
        return Some(0);
    }
    let stage = planned.stage;
    // An instruction becomes a node at least, but for those that vanish.
    if stage.code.instrs.len() > MOST_NODES {
        return None;
    }
    let lanes = lanes_of(planned, machine.isa);
    let n = *planned.columns.last()?;
    let n_vectors = n.div_ceil(lanes);
    let n_partials = |reduce: &Reduce| (reduce.lanes / lanes).clamp(1, n_vectors);
    let n_chains = folding_all(planned).map(n_partials).max();
    let mut code = vector_code(machine, planned)?;
    if code.nodes.len() * n_chains.unwrap_or(1) > MOST_NODES {
        return None;
    }

    let [invariant, varying] = code.split();
    let mut is_used = vec![false; code.nodes.len()];
    for &node in &varying {
        code.nodes[node as usize].operands.iter().for_each(|&operand| is_used[operand as usize] = true);
    }
    let is_literal: Vec<bool> = code.nodes.iter().map(|node| node.op.is_literal()).collect();
    let is_varying: Vec<bool> = code.nodes.iter().map(|node| node.varies).collect();
    let all: Vec<Value> = [&invariant[..], &varying].concat();
    let uses = uses_from_outside(&code, &varying, &is_varying, &is_literal);
    let is_kept = |value: Value| {
        let value = value as usize;
        is_varying.get(value).is_some_and(|varies| !varies || is_literal[value])
    };
    let is_loop = |unroll: usize| n >= 2 * lanes * unroll;
    let most = n_chains.unwrap_or(if is_loop(MOST_COPIES) { MOST_COPIES } else { 1 });
    let room = room_for_copies(machine.isa, n_chains.unwrap_or(0));
    let side_by_side = side_by_side(&mut code, &varying, most, room, is_kept);
    let n_copies = side_by_side.n_copies;
    let cut = Cut { lanes, unroll: n_chains.unwrap_or(n_copies), n };
    let one = Schedule::new(&code, varying, is_kept);
    let is_read =
        |value: Value| [&is_literal, &is_used].iter().any(|of| of.get(value as usize) == Some(&true));
    let before = Schedule::new(&code, invariant, is_read);
    let pressure = side_by_side.pressure(&code);

    let mut body = Body::new(machine, code, lanes);
    body.fetches = fetches;
    let is_watched = [Kind::Word, Kind::Double].map(|kind| {
        let watched = stage.stores.iter().filter(|store| store.watched);
        watched
            .map(|store| stage.code.dtype(store.value))
            .any(|dtype| dtype.is_float() && kind_of(dtype) == kind)
    });
    body.start_watch(is_watched);
    let pressure = if body.isa() == Isa::Avx512 { pressure } else { [pressure[0] + pressure[1], 0] };
    let spare = |body: &Body| {
        [false, true].map(|of_masks| {
            // Among copies, some register soon holds nothing that is needed.
            let more = if n_copies > 1 { SPARE_AMONG_COPIES } else { SPARE };
            let wanted = pressure[usize::from(of_masks)] + more[usize::from(of_masks)];
            body.registers.n_unpinned(of_masks).saturating_sub(wanted)
        })
    };
    let mut left = spare(&body);
    let outer = &planned.columns[..planned.columns.len() - 1];
    let n_around: usize = outer.iter().product();
    let is_written_out = n_around > 1 && n_around * n_vectors * body.code.nodes.len() <= WRITTEN_OUT;
    for (reduce, (&pointer, &from)) in
        stage.reduces.iter().zip(planned.reduces.iter().zip(&planned.folded_from))
    {
        let dtype = stage.code.dtype(reduce.value);
        let still = body.machine.pointer(pointer).columns[..outer.len()].iter().all(|&stride| stride == 0);
        // Two reductions may share an accumulator: then neither has it to itself.
        let is_own = stage.reduces.iter().filter(|other| other.into.place == reduce.into.place).count() == 1;
        let is_resident = from.is_none() && is_written_out && still && is_own && !is_byte(dtype);
        let partials = match from {
            Some(_) => body.partials(n_partials(reduce), kind_of(dtype), &mut left),
            None => Vec::new(),
        };
        let resident = if is_resident { body.residents(n_vectors, &mut left) } else { Vec::new() };
        body.foldings.push(Folding {
            fold: reduce.fold,
            dtype,
            pointer,
            from,
            partials,
            resident,
            fresh: Vec::new(),
        });
    }
    if is_written_out {
        let schedules = Schedules { before: &before, inside: &one, all: &all };
        let is_marked = is_watched.contains(&true) && lanes < 4;
        written_out::put(&mut body, planned, schedules, is_marked, left);
        body.end_folds();
        body.finish_watch();
        body.put_asides();
        return Some(0);
    }

    let mut loops = Vec::new();
    for (position, &size) in outer.iter().enumerate() {
        body.start_folds(position);
        loops.push(body.machine.open_loop(size));
    }
    body.start_folds(outer.len());
    body.cache_pointers(&all);
    if is_watched.contains(&true) && lanes < 4 {
        body.mark_lanes(lanes);
    }
    body.put_nodes(&before, At { is_indexed: false, column: 0, n: lanes.min(n) });
    put_columns(&mut body, cut, [&side_by_side, &one], uses, plan.is_in_blocks, spare);
    body.finish_folds(outer.len());
    for (position, open) in loops.into_iter().enumerate().rev() {
        let mine = |number| {
            [&planned.accesses, &planned.stores, &planned.reduces]
                .into_iter()
                .flatten()
                .any(|&other| other == number)
        };
        body.machine
            .close_loop(open, |number, pointer| if mine(number) { pointer.columns[position] } else { 0 });
        body.finish_folds(position);
    }
    body.end_folds();
    body.finish_watch();
    body.put_asides();
    Some(cut.looped())
}

/// The registers that copies side by side may fill.
fn room_for_copies(isa: Isa, n_partials: usize) -> [usize; 2] {
    let all = match isa {
        Isa::Avx512 => [32, 6],
        // Masks lie in vectors.
        Isa::Avx2 => [16, 0],
    };
    let [vectors, masks] = SPARE_AMONG_COPIES;
    [all[0] - vectors - n_partials.min(8), all[1] - masks.min(all[1])]
}

/// The code of one vector, of which some lanes may not be in use.
pub(super) fn put_vector(body: &mut Body, inside: &Schedule, at: At) {
    if at.n < body.lanes {
        body.mark_lanes(at.n);
    }
    body.put_nodes(inside, at);
}

/// The nodes of a stage: code, stores, reductions.
fn vector_code(machine: &mut Machine, planned: &PlannedStage) -> Option<VectorCode> {
    let stage: &Stage = planned.stage;
    let mut code = VectorCode::new(machine.isa);
    let targets = planned.accesses.iter().zip(&planned.strides);
    let targets: Vec<Target> = targets.map(|(&pointer, &stride)| Target { pointer, stride }).collect();
    let wanted = stage.stores.iter().map(|store| store.value);
    let wanted = wanted.chain(stage.reduces.iter().map(|reduce| reduce.value));
    let n_columns = planned.columns.len();
    let mut new_pointer = |target: Target| {
        let unit = machine.pointer(target.pointer).unit;
        let mut columns = vec![0; n_columns];
        columns[n_columns - 1] = target.stride;
        machine.add_pointer(Pointer { origin: Origin::Computed, offset: 0, unit, rows: Vec::new(), columns })
    };
    let values =
        translate(&stage.code, wanted, &targets, &narrowed_of(planned), &mut new_pointer, &mut code)?;
    for ((store, &pointer), &streamed) in stage.stores.iter().zip(&planned.stores).zip(&planned.streamed) {
        let value = values[store.value as usize]?;
        let dtype: DType = stage.code.dtype(store.value);
        let op = Op::Store { pointer, dtype, watched: store.watched, streamed };
        code.push(op, Kind::Word, &[value], true);
    }
    for (number, reduce) in stage.reduces.iter().enumerate() {
        let value = values[reduce.value as usize]?;
        code.push(Op::Fold(number), Kind::Word, &[value], true);
    }
    Some(code)
}

/// Values from outside that the loop reads, those read most often first.
fn uses_from_outside(
    code: &VectorCode,
    varying: &[Value],
    is_varying: &[bool],
    is_literal: &[bool],
) -> Vec<Value> {
    let mut counts = vec![0u32; code.nodes.len()];
    for &node in varying {
        for &operand in &code.nodes[node as usize].operands {
            if !is_varying[operand as usize] || is_literal[operand as usize] {
                counts[operand as usize] += 1;
            }
        }
    }
    let mut used: Vec<Value> =
        (0..counts.len() as Value).filter(|&value| counts[value as usize] > 0).collect();
    used.sort_by_key(|&value| std::cmp::Reverse(counts[value as usize]));
    used
}

/// The innermost loop, and the columns that are left.
fn put_columns(
    body: &mut Body,
    cut: Cut,
    [side_by_side, one]: [&Schedule; 2],
    uses: Vec<Value>,
    is_in_blocks: bool,
    spare: impl Fn(&Body) -> [usize; 2],
) {
    let Cut { lanes, unroll, n } = cut;
    let step = lanes * unroll;
    let looped = cut.looped();
    let is_loop = looped > step || is_in_blocks && looped > 0;
    let past = body.machine.asm.label();
    let mut column = 0;
    let pinned = if is_loop { pin(body, uses, spare(body)) } else { Vec::new() };
    if is_loop {
        let Ok(end) = i32::try_from(looped) else { return body.machine.asm.fail() };
        let column_register = Operand::Reg(COLUMN);
        let in_frame = |at: i32| Operand::Mem(Mem::at(FRAME, at));
        let end = Operand::Imm32To64(end);
        if is_in_blocks {
            body.put(Code::Mov_r64_rm64, &[column_register, in_frame(frame::FIRST_COLUMN)]);
        } else {
            body.put(Code::Mov_rm64_imm32, &[column_register, Operand::Imm32To64(0)]);
        }
        let top = body.machine.asm.here();
        for copy in (0..unroll).step_by(side_by_side.n_copies) {
            body.put_nodes(side_by_side, At { is_indexed: true, column: copy * lanes, n: lanes });
        }
        body.registers.clear();
        body.put(Code::Add_rm64_imm32, &[column_register, Operand::Imm32To64(step as i32)]);
        if is_in_blocks {
            body.put(Code::Cmp_r64_rm64, &[column_register, in_frame(frame::END_COLUMN)]);
            body.machine.asm.jump(Code::Jb_rel32_64, top);
            // What is left goes with the last block.
            body.put(Code::Cmp_rm64_imm32, &[column_register, end]);
            body.machine.asm.jump(Code::Jne_rel32_64, past);
        } else {
            body.put(Code::Cmp_rm64_imm32, &[column_register, end]);
            body.machine.asm.jump(Code::Jb_rel32_64, top);
        }
    } else {
        for copy in (0..looped / lanes).step_by(side_by_side.n_copies) {
            body.put_nodes(side_by_side, At { is_indexed: false, column: copy * lanes, n: lanes });
        }
        column = looped;
    }
    let mut left = n - looped;
    while left > 0 {
        let in_use = left.min(lanes);
        put_vector(body, one, At { is_indexed: is_loop, column, n: in_use });
        column += in_use;
        left -= in_use;
    }
    body.machine.asm.place(past);
    for register in pinned {
        body.registers.unpin(register);
    }
    body.registers.clear();
}

/// Registers for what the loop reads from outside, as many as the loop can spare; the rest goes to the
/// frame.
fn pin(body: &mut Body, uses: Vec<Value>, mut spare: [usize; 2]) -> Vec<super::registers::Register> {
    let mut pinned = Vec::new();
    for value in uses {
        let is_mask = body.is_mask(body.code.kind(value));
        if spare[usize::from(is_mask)] > 0 {
            spare[usize::from(is_mask)] -= 1;
            body.registers.next[value as usize] = super::registers::LATER;
            let register = body.in_register(value);
            body.registers.pin(register);
            body.registers.done();
            pinned.push(register);
        }
    }
    body.write_homes();
    pinned
}

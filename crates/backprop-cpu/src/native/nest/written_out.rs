//! Stages of few columns, written out without a loop.
//!
//! ```text
//! for each vector of columns: what outer loops do not move is read, accumulators too, and stays in registers
//! for each iteration of the outer loops: the code; what is folded, folded together
//! ```
//!
//! Sums across lanes of many rows are made together: vectors of partial results are folded in halves as one would be, but
//! two rows at a time, so that at the end each lane has a row.
//!
//! ```text
//! a₀ a₁ a₂ a₃   b₀ b₁ b₂ b₃   ──►   a₀+a₂ a₁+a₃ b₀+b₂ b₁+b₃   and so on with the next two rows
//! ```

use backprop_core::DType;
use iced_x86::{Code, Register as Name};

use super::body::{At, Body};
use super::fold::{Folding, Partial};
use super::forms;
use super::machine::{is_byte, vector_register};
use super::plan::{Origin, PlannedStage};
use super::registers::Register;
use super::schedule::Schedule;
use super::stage::put_vector;
use super::vector::{Op, Value, kind_of};
use crate::native::Isa;
use crate::native::assembler::{Masking, Mem, Operand};

/// The nodes of a stage: what the innermost loop does not move, what it moves, and all.
#[derive(Clone, Copy)]
pub(super) struct Schedules<'a> {
    pub before: &'a Schedule,
    pub inside: &'a Schedule,
    pub all: &'a [Value],
}

/// Puts the code of every column, one after the other. `left` registers may hold what stays.
pub(super) fn put(
    body: &mut Body,
    planned: &PlannedStage,
    schedules: Schedules,
    is_marked: bool,
    mut left: [usize; 2],
) {
    let Some((&n, outer)) = planned.columns.split_last() else { return };
    let lanes = body.lanes;
    let is_across = sums_across(body, planned, &mut left);
    body.keep_loads(planned, &schedules.inside.nodes, n, &mut left);
    body.move_resident(n, true);
    let n_copies: usize = outer.iter().product();
    let order = if is_across { Across::order(n_copies) } else { (0..n_copies).map(Some).collect() };
    let mut across = vec![Across::default(); if is_across { body.foldings.len() } else { 0 }];
    for number in order {
        let Some(number) = number else {
            across.iter_mut().enumerate().for_each(|(folding, across)| across.push_start(body, folding));
            continue;
        };
        let mut at = vec![0; outer.len()];
        let mut rest = number;
        for (at, &size) in at.iter_mut().zip(outer).rev() {
            (*at, rest) = (rest % size, rest / size);
        }
        body.outer.clone_from(&at);
        for position in (0..=outer.len()).filter(|&position| at[position..].iter().all(|&at| at == 0)) {
            body.start_folds(position);
        }
        body.cache_pointers(schedules.all);
        if is_marked {
            body.mark_lanes(lanes);
        }
        body.put_nodes(schedules.before, At { is_indexed: false, column: 0, n: lanes.min(n) });
        for column in (0..n).step_by(lanes) {
            put_vector(body, schedules.inside, At { is_indexed: false, column, n: lanes.min(n - column) });
        }
        body.registers.clear();
        if is_across {
            across.iter_mut().enumerate().for_each(|(folding, across)| across.push(body, folding));
            continue;
        }
        let ends = |position: usize| {
            at[position..].iter().zip(&outer[position..]).all(|(&at, &size)| at + 1 == size)
        };
        for position in (0..=outer.len()).rev().filter(|&position| ends(position)) {
            body.finish_folds(position);
        }
    }
    body.outer.clear();
    body.cached.clear();
    across.iter_mut().enumerate().for_each(|(folding, across)| across.finish(body, folding, n_copies));
    body.move_resident(n, false);
    body.let_loads_go();
}

/// Whether all that is folded are the columns of each row, into accumulators of words next to each other, and registers
/// last to do that for all rows at once.
fn sums_across(body: &Body, planned: &PlannedStage, left: &mut [usize; 2]) -> bool {
    let wanted = body.foldings.len() * Across::REGISTERS;
    let [n_rows, _] = planned.columns[..] else { return false };
    let fits = |folding: &Folding| {
        let columns = &body.machine.pointer(folding.pointer).columns;
        let is_word = folding.dtype.size() == 4;
        folding.from == Some(1) && columns[..] == [1, 0] && is_word
    };
    let is_worth_it = !body.foldings.is_empty()
        && body.isa() == Isa::Avx512
        && (body.lanes, n_rows <= body.lanes) == (16, true)
        && body.foldings.iter().all(fits)
        && wanted <= left[0];
    left[0] -= if is_worth_it { wanted } else { 0 };
    is_worth_it
}

impl Body<'_> {
    /// Reads what outer loops do not move and nobody writes, as long as registers last.
    fn keep_loads(&mut self, planned: &PlannedStage, nodes: &[Value], n: usize, left: &mut [usize; 2]) {
        let written: Vec<Origin> = planned
            .stores
            .iter()
            .chain(&planned.reduces)
            .map(|&pointer| self.machine.pointer(pointer).origin)
            .collect();
        let n_vectors = n.div_ceil(self.lanes);
        for &node in nodes {
            let Op::Load(pointer, dtype) = self.code.nodes[node as usize].op else { continue };
            let from = self.machine.pointer(pointer);
            let still = from.columns.iter().rev().skip(1).all(|&stride| stride == 0);
            let is_read_only = from.origin != Origin::Computed && !written.contains(&from.origin);
            if !still || !is_read_only || is_byte(dtype) || n_vectors > left[0] {
                continue;
            }
            let registers = self.residents(n_vectors, left);
            for (number, &register) in registers.iter().enumerate() {
                self.stand_at(number, n);
                self.load(register, pointer, dtype);
                self.registers.done();
            }
            self.kept.push((node, registers));
        }
    }

    fn let_loads_go(&mut self) {
        for (_, registers) in std::mem::take(&mut self.kept) {
            registers.into_iter().for_each(|register| self.registers.unpin(register));
        }
    }

    /// Where a load of the vector at hand stays.
    pub(super) fn kept_load(&self, node: Value) -> Option<Register> {
        let (_, registers) = self.kept.iter().find(|(kept, _)| *kept == node)?;
        Some(registers[self.at.column / self.lanes])
    }

    /// Goes to a vector of `n` columns.
    fn stand_at(&mut self, number: usize, n: usize) {
        let column = number * self.lanes;
        self.at = At { is_indexed: false, column, n: self.lanes.min(n - column) };
        if self.at.n < self.lanes {
            self.mark_lanes(self.at.n);
        }
    }

    /// Reads accumulators that stay in registers, or writes them back: those of `n` columns.
    fn move_resident(&mut self, n: usize, into_registers: bool) {
        for Folding { dtype, pointer, resident, .. } in self.foldings.clone() {
            for (number, register) in resident.into_iter().enumerate() {
                self.stand_at(number, n);
                match into_registers {
                    true => self.load(register, pointer, dtype),
                    false => self.store(register, pointer, dtype),
                }
                self.registers.done();
            }
        }
    }
}

/// Vectors of partial results, each of some rows, on their way to one of all rows.
#[derive(Clone, Default)]
struct Across {
    /// How often the rows of a vector were folded in halves, and where it is.
    vectors: Vec<(usize, Register)>,
}

impl Across {
    /// The most registers in use: a vector of each height, one more, and a copy.
    const REGISTERS: usize = 7;

    /// The order in which rows come, so that row i ends in lane i; none for lanes without a row.
    fn order(n: usize) -> Vec<Option<usize>> {
        (0..16).map(|turn| 4 * (turn % 4) + turn / 4).map(|row| Some(row).filter(|&row| row < n)).collect()
    }

    /// Takes the partial results of a row.
    fn push(&mut self, body: &mut Body, folding: usize) {
        let whole = body.halved(folding);
        let copy = body.take(false);
        let operands = [copy, whole].map(|register| Operand::Reg(vector_register(register, 64)));
        body.put_form(forms::MOVE[0], 64, &operands, Masking::All);
        self.add(body, folding, copy);
    }

    /// Takes a row that is not there.
    fn push_start(&mut self, body: &mut Body, folding: usize) {
        let Folding { fold, dtype, .. } = body.foldings[folding].clone();
        let start = body.take(false);
        body.start_of(start, fold, dtype);
        self.add(body, folding, start);
    }

    fn add(&mut self, body: &mut Body, folding: usize, register: Register) {
        body.registers.pin(register);
        body.registers.done();
        let Folding { fold, dtype, .. } = body.foldings[folding].clone();
        self.vectors.push((0, register));
        while let [.., (height, lower), (other, upper)] = self.vectors[..]
            && height == other
        {
            self.vectors.truncate(self.vectors.len() - 2);
            // In each row's part of a vector, the lower half, and the upper half.
            let (code, halves) = match height {
                0 => (Code::EVEX_Vshuff32x4_zmm_k1z_zmm_zmmm512b32_imm8, Some([0x44, 0xee])),
                1 => (Code::EVEX_Vshuff32x4_zmm_k1z_zmm_zmmm512b32_imm8, Some([0x88, 0xdd])),
                2 => (Code::EVEX_Vunpcklpd_zmm_k1z_zmm_zmmm512b64, None),
                _ => (Code::EVEX_Vshufps_zmm_k1z_zmm_zmmm512b32_imm8, Some([0x88, 0xdd])),
            };
            body.registers.hold(lower);
            body.registers.hold(upper);
            let low = body.take(false);
            let [to, a, b] = [low, lower, upper].map(|register| Operand::Reg(vector_register(register, 64)));
            match halves {
                Some([first, second]) => {
                    body.put(code, &[to, a, b, Operand::Imm8(first)]);
                    body.put(code, &[a, a, b, Operand::Imm8(second)]);
                }
                None => {
                    body.put(code, &[to, a, b]);
                    body.put(Code::EVEX_Vunpckhpd_zmm_k1z_zmm_zmmm512b64, &[a, a, b]);
                }
            }
            body.combine(fold, dtype, 64, low, low, lower);
            body.registers.unpin(lower);
            body.registers.unpin(upper);
            body.registers.pin(low);
            body.registers.done();
            self.vectors.push((height + 1, low));
        }
    }

    /// Folds the results of `n` rows onto their accumulators.
    fn finish(&mut self, body: &mut Body, folding: usize, n: usize) {
        let Folding { fold, dtype, pointer, .. } = body.foldings[folding].clone();
        let [(_, whole)] = self.vectors[..] else { unreachable!("sixteen rows become one vector") };
        body.at = At { is_indexed: false, column: 0, n };
        if n < body.lanes {
            body.mark_lanes(n);
        }
        let home = Operand::Mem(body.machine.pointer_home(pointer));
        body.put(Code::Mov_r64_rm64, &[Operand::Reg(Name::RDX), home]);
        let acc = body.take(false);
        body.load_element(acc, Mem::at(Name::RDX, 0), dtype);
        body.combine(fold, dtype, 64, acc, acc, whole);
        body.store_element(acc, Mem::at(Name::RDX, 0), dtype);
        body.registers.unpin(whole);
        body.registers.done();
    }
}

/// Whether a fold's first value is what it folds the start and that value to, as far as an accumulator that began at the
/// start can tell: 0 + (−0) is 0, but so is what comes of it.
pub(super) fn starts_with_first(dtype: DType) -> bool {
    !matches!(dtype, DType::Bool | DType::U8)
}

impl Body<'_> {
    /// Folds the vectors of partial results of a reduction onto the first one; where that is.
    fn halved(&mut self, folding: usize) -> Register {
        let Folding { fold, dtype, partials, .. } = self.foldings[folding].clone();
        self.halve(fold, dtype, &partials);
        let Partial::Register(register) = partials[0] else {
            return self.partial_in_register(partials[0], kind_of(dtype));
        };
        register
    }
}

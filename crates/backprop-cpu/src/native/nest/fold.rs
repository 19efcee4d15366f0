//! Reductions: partial results in registers, or an accumulator in memory for each column.

use backprop_core::DType;
use backprop_opt::loops::Fold;
use iced_x86::{Code, Register as Name};

use super::body::Body;
use super::forms;
use super::machine::{FRAME, is_byte, lane_bytes, vector_register};
use super::registers::{MASKS, Register, TAIL};
use super::vector::{Kind, kind_of, of_kind, predicate};
use super::written_out::starts_with_first;
use crate::native::Isa;
use crate::native::assembler::{Masking, Mem, Operand};

/// A reduction of a stage.
#[derive(Clone, Debug)]
pub struct Folding {
    /// How.
    pub fold: Fold,
    /// Of which type.
    pub dtype: DType,
    /// The accumulator.
    pub pointer: u32,
    /// The first column loop that is folded through partial results, if any is.
    pub from: Option<usize>,
    /// Partial results, each as many as there are lanes; empty where every column has its own accumulator.
    pub partials: Vec<Partial>,
    /// Where every column has its own: registers for those of each vector of columns, if they stay there while outer
    /// loops go round.
    pub resident: Vec<Register>,
    /// Of partial results, those that nothing was folded into yet, and that hold anything.
    pub fresh: Vec<bool>,
}

/// Where a vector of partial results lies.
#[derive(Clone, Copy, Debug)]
pub enum Partial {
    /// In a register, pinned.
    Register(Register),
    /// In the frame.
    Frame(i32),
}

impl Folding {
    /// The pointer that moves with the columns.
    pub fn column_pointer(&self) -> Option<u32> {
        self.partials.is_empty().then_some(self.pointer)
    }
}

/// What a fold starts from, as bits of the type.
pub fn start_bits(fold: Fold, dtype: DType) -> u64 {
    match (fold, dtype) {
        (Fold::Max, DType::F32) => u64::from(f32::NEG_INFINITY.to_bits()),
        (Fold::Max, DType::F64) => f64::NEG_INFINITY.to_bits(),
        (Fold::Max, DType::I32) => u64::from(i32::MIN as u32),
        (Fold::Max, DType::I64) => i64::MIN as u64,
        _ => 0,
    }
}

impl Body<'_> {
    /// The foldings through partial results whose first loop this is.
    fn foldings_from(&self, position: usize) -> Vec<Folding> {
        self.foldings.iter().filter(|folding| folding.from == Some(position)).cloned().collect()
    }

    /// Partial results of what is folded from a column loop on start as their fold does.
    pub(super) fn start_folds(&mut self, position: usize) {
        let is_written_out = !self.outer.is_empty();
        for folding in self.foldings.iter_mut().filter(|folding| folding.from == Some(position)) {
            let is_fresh = is_written_out && starts_with_first(folding.dtype);
            folding.fresh = vec![is_fresh; folding.partials.len()];
        }
        for Folding { fold, dtype, partials, fresh, .. } in self.foldings_from(position) {
            let kind = kind_of(dtype);
            for partial in
                partials.into_iter().zip(fresh).filter(|(_, is_fresh)| !is_fresh).map(|(partial, _)| partial)
            {
                let register = match partial {
                    Partial::Register(register) => register,
                    Partial::Frame(_) => self.take(self.is_mask(kind)),
                };
                self.start_of(register, fold, dtype);
                self.write_back(partial, register, kind);
            }
        }
        self.registers.done();
    }

    pub(super) fn start_of(&mut self, to: Register, fold: Fold, dtype: DType) {
        let kind = kind_of(dtype);
        let operand = self.reg(to, kind);
        let bits = start_bits(fold, dtype);
        if self.is_mask(kind) {
            return self.put(Code::VEX_Kxorw_kr_kr_kr, &[operand; 3]);
        }
        let width = self.width(kind);
        if bits == 0 {
            return self.put_form(forms::XOR[0], width, &[operand; 3], Masking::All);
        }
        let from = Mem { is_broadcast: false, ..self.broadcast_constant(kind, bits) };
        self.put_form(of_kind(forms::SPREAD, kind), width, &[operand, Operand::Mem(from)], Masking::All);
    }

    /// A partial result in a register that the instruction at hand uses.
    pub(super) fn partial_in_register(&mut self, partial: Partial, kind: Kind) -> Register {
        match partial {
            Partial::Register(register) => register,
            Partial::Frame(room) => {
                let register = self.take(self.is_mask(kind));
                self.move_from_frame(register, kind, room);
                register
            }
        }
    }

    fn write_back(&mut self, partial: Partial, register: Register, kind: Kind) {
        if let Partial::Frame(room) = partial {
            self.move_to_frame(register, kind, room);
            self.registers.let_go(register);
        }
    }

    /// Folds a vector into a reduction.
    pub(super) fn fold_in(&mut self, number: usize, x: Register) {
        let Folding { fold, dtype, pointer, partials, resident, .. } = self.foldings[number].clone();
        let kind = kind_of(dtype);
        let width = self.width(kind);
        if let Some(&acc) = resident.get(self.at.column / self.lanes) {
            // Lanes that no column has are not written back.
            return self.combine(fold, dtype, width, acc, acc, x);
        }
        if partials.is_empty() {
            let acc = self.take(self.is_mask(kind));
            self.load(acc, pointer, dtype);
            self.combine(fold, dtype, width, acc, acc, x);
            return self.store(acc, pointer, dtype);
        }
        let position = self.at.column / self.lanes % partials.len();
        let partial = partials[position];
        let acc = self.partial_in_register(partial, kind);
        let is_fresh = std::mem::take(&mut self.foldings[number].fresh[position]);
        if is_fresh && self.at.n == self.lanes {
            let operands = [acc, x].map(|register| self.reg(register, kind));
            self.put_form(forms::MOVE[0], width, &operands, Masking::All);
            return self.write_back(partial, acc, kind);
        }
        if is_fresh {
            self.start_of(acc, fold, dtype);
        }
        if self.at.n == self.lanes {
            self.combine(fold, dtype, width, acc, acc, x);
        } else {
            let folded = self.take(self.is_mask(kind));
            self.combine(fold, dtype, width, folded, acc, x);
            self.keep_lanes_in_use(acc, folded, kind);
        }
        self.write_back(partial, acc, kind);
    }

    /// acc = folded, in the lanes in use.
    fn keep_lanes_in_use(&mut self, acc: Register, folded: Register, kind: Kind) {
        let width = self.width(kind);
        let [to, from] = [acc, folded].map(|register| self.reg(register, kind));
        let tail = Name::K0 + u32::from(TAIL - MASKS);
        if self.is_mask(kind) {
            // What was there is there still: only truth is added.
            self.put(Code::VEX_Kandw_kr_kr_kr, &[from, from, Operand::Reg(tail)]);
            self.put(Code::VEX_Korw_kr_kr_kr, &[to, to, from]);
        } else if self.isa() == Isa::Avx512 {
            self.put_form(of_kind(forms::MOVE, kind), width, &[to, from], Masking::Merge(tail));
        } else {
            let mem = Operand::Mem(self.lane_mask(kind, self.at.n));
            let mask = self.take(false);
            let mask = self.reg(mask, kind);
            self.put_form(forms::MOVE[0], width, &[mask, mem], Masking::All);
            self.put_form(of_kind(forms::BLEND, kind), width, &[to, to, from, mask], Masking::All);
        }
    }

    /// to = fold(acc, x), in registers of `width` bytes. `to` may be `acc`, not x.
    pub(super) fn combine(
        &mut self,
        fold: Fold,
        dtype: DType,
        width: usize,
        to: Register,
        acc: Register,
        x: Register,
    ) {
        let kind = kind_of(dtype);
        if self.is_mask(kind) {
            let operands = [to, acc, x].map(|register| self.reg(register, kind));
            return self.put(Code::VEX_Korw_kr_kr_kr, &operands);
        }
        let [to, acc, x] = [to, acc, x].map(|register| Operand::Reg(vector_register(register, width)));
        match (fold, dtype) {
            (Fold::Sum, DType::F32 | DType::F64) => {
                self.put_form(of_kind(forms::ADD, kind), width, &[to, acc, x], Masking::All);
            }
            (Fold::Sum, _) => {
                self.put_form(of_kind(forms::ADD_INT, kind), width, &[to, acc, x], Masking::All);
                if dtype == DType::U8 {
                    let byte = Operand::Mem(self.broadcast_constant(Kind::Word, 0xff));
                    self.put_form(forms::AND[0], width, &[to, to, byte], Masking::All);
                }
            }
            (Fold::Any, _) => self.put_form(forms::OR[0], width, &[to, acc, x], Masking::All),
            // The machine's maximum is its second operand, acc, where either is NaN.
            (Fold::Max, DType::F32 | DType::F64) => {
                let unordered = Operand::Imm8(predicate::UNORDERED);
                let is_avx512 = self.isa() == Isa::Avx512;
                let mask = self.take(is_avx512);
                let mask_name = if is_avx512 { self.name(mask, kind) } else { vector_register(mask, width) };
                let is_nan = Operand::Reg(mask_name);
                let compare = of_kind(forms::COMPARE, kind);
                self.put_form(compare, width, &[is_nan, x, x, unordered], Masking::All);
                self.put_form(of_kind(forms::MAX, kind), width, &[to, x, acc], Masking::All);
                if is_avx512 {
                    let masking = Masking::Merge(mask_name);
                    self.put_form(of_kind(forms::MOVE, kind), width, &[to, x], masking);
                } else {
                    self.put_form(of_kind(forms::BLEND, kind), width, &[to, to, x, is_nan], Masking::All);
                }
                self.registers.let_go(mask);
            }
            (Fold::Max, DType::I64) if self.isa() == Isa::Avx2 => {
                let mask = self.take(false);
                let is_larger = Operand::Reg(vector_register(mask, width));
                self.put_form(forms::GREATER_INT[1], width, &[is_larger, x, acc], Masking::All);
                self.put_form(forms::BLEND[1], width, &[to, acc, x, is_larger], Masking::All);
                self.registers.let_go(mask);
            }
            (Fold::Max, _) => {
                let forms = if dtype == DType::U32 { forms::MAX_UNSIGNED } else { forms::MAX_INT };
                self.put_form(of_kind(forms, kind), width, &[to, acc, x], Masking::All);
            }
        }
    }

    /// Folds partial results of what is folded from a column loop on together, the upper half onto the lower half,
    /// and the last one onto its accumulator.
    pub(super) fn finish_folds(&mut self, position: usize) {
        self.cached.clear();
        for Folding { fold, dtype, pointer, partials, .. } in self.foldings_from(position) {
            let kind = kind_of(dtype);
            self.halve(fold, dtype, &partials);
            let whole = self.partial_in_register(partials[0], kind);
            if fold == Fold::Any {
                self.finish_any(whole, pointer);
            } else {
                self.finish_lanes(fold, dtype, whole, pointer);
            }
            self.registers.done();
        }
    }

    /// Folds vectors of partial results together, the upper half onto the lower half, until one is left.
    pub(super) fn halve(&mut self, fold: Fold, dtype: DType, partials: &[Partial]) {
        let kind = kind_of(dtype);
        let width = self.width(kind);
        // Partial results that no column went to are as at the start: folding them changes nothing.
        let mut half = partials.len().next_power_of_two() / 2;
        while half > 0 {
            for upper in half..partials.len().min(2 * half) {
                let x = self.partial_in_register(partials[upper], kind);
                let to = partials[upper - half];
                let acc = self.partial_in_register(to, kind);
                self.combine(fold, dtype, width, acc, acc, x);
                self.write_back(to, acc, kind);
                self.registers.done();
            }
            half /= 2;
        }
    }

    /// Lets go of the registers of all reductions.
    pub(super) fn end_folds(&mut self) {
        for Folding { partials, resident, .. } in self.foldings.clone() {
            let registers = partials.into_iter().filter_map(|partial| match partial {
                Partial::Register(register) => Some(register),
                Partial::Frame(_) => None,
            });
            registers.chain(resident).for_each(|register| self.registers.unpin(register));
        }
    }

    /// Whether any lane holds, onto its accumulator.
    fn finish_any(&mut self, whole: Register, pointer: u32) {
        let eax = Operand::Reg(Name::EAX);
        let from = self.reg(whole, Kind::Mask);
        match (self.isa(), self.width(Kind::Mask)) {
            (Isa::Avx512, _) => self.put(Code::VEX_Kmovw_r32_kr, &[eax, from]),
            (_, 32) => self.put(Code::VEX_Vmovmskps_r32_ymm, &[eax, from]),
            _ => self.put(Code::VEX_Vmovmskps_r32_xmm, &[eax, from]),
        }
        let lanes = Operand::Imm32(((1u64 << self.lanes) - 1) as u32);
        self.put(Code::And_rm32_imm32, &[eax, lanes]);
        self.put(Code::Setne_rm8, &[Operand::Reg(Name::AL)]);
        let home = Operand::Mem(self.machine.pointer_home(pointer));
        self.put(Code::Mov_r64_rm64, &[Operand::Reg(Name::RCX), home]);
        let acc = Operand::Mem(Mem::at(Name::RCX, self.moved(pointer)));
        self.put(Code::Or_rm8_r8, &[acc, Operand::Reg(Name::AL)]);
    }

    /// Lanes are folded in halves, until one is left.
    fn finish_lanes(&mut self, fold: Fold, dtype: DType, whole: Register, pointer: u32) {
        let kind = kind_of(dtype);
        let bytes = lane_bytes(kind);
        let upper = self.take(false);
        let mut lanes = self.lanes;
        while lanes > 1 {
            let half = lanes * bytes / 2;
            let to = Operand::Reg(vector_register(upper, half));
            let from = Operand::Reg(vector_register(whole, lanes * bytes));
            let is_avx512 = self.isa() == Isa::Avx512;
            match half {
                32 => self.put(Code::EVEX_Vextracti64x4_ymmm256_k1z_zmm_imm8, &[to, from, Operand::Imm8(1)]),
                16 if is_avx512 => {
                    self.put(Code::EVEX_Vextracti32x4_xmmm128_k1z_ymm_imm8, &[to, from, Operand::Imm8(1)]);
                }
                16 => self.put(Code::VEX_Vextracti128_xmmm128_ymm_imm8, &[to, from, Operand::Imm8(1)]),
                _ => {
                    // The words that go to places 0 and 1.
                    let order = Operand::Imm8(if half == 8 { 0b1110 } else { 0b01 });
                    let code = if is_avx512 {
                        Code::EVEX_Vpshufd_xmm_k1z_xmmm128b32_imm8
                    } else {
                        Code::VEX_Vpshufd_xmm_xmmm128_imm8
                    };
                    self.put(code, &[to, from, order]);
                }
            }
            self.combine(fold, dtype, half.max(16), whole, whole, upper);
            lanes /= 2;
        }
        let home = Operand::Mem(self.machine.pointer_home(pointer));
        self.put(Code::Mov_r64_rm64, &[Operand::Reg(Name::RDX), home]);
        let acc = self.take(false);
        self.at.n = 1;
        let home = Mem::at(Name::RDX, self.moved(pointer));
        self.load_element(acc, home, dtype);
        self.combine(fold, dtype, 16, acc, acc, whole);
        self.store_element(acc, home, dtype);
    }

    /// What is not finite, as far as it was found before.
    pub(super) fn start_watch(&mut self, is_watched: [bool; 2]) {
        for (is_double, kind) in [Kind::Word, Kind::Double].into_iter().enumerate() {
            if is_watched[is_double] {
                let register = self.take(false);
                self.move_from_frame(register, kind, super::machine::frame::NOT_FINITE[is_double]);
                self.registers.pin(register);
                self.not_finite[is_double] = Some(register);
            }
        }
        self.registers.done();
    }

    pub(super) fn finish_watch(&mut self) {
        for (is_double, kind) in [Kind::Word, Kind::Double].into_iter().enumerate() {
            if let Some(register) = self.not_finite[is_double].take() {
                self.move_to_frame(register, kind, super::machine::frame::NOT_FINITE[is_double]);
                self.registers.unpin(register);
            }
        }
    }

    /// Pins registers for the accumulators of `n` vectors, if `spare` lasts for all.
    pub(super) fn residents(&mut self, n: usize, spare: &mut [usize; 2]) -> Vec<Register> {
        if n > spare[0] {
            return Vec::new();
        }
        spare[0] -= n;
        let registers = (0..n).map(|_| {
            let register = self.take(false);
            self.registers.pin(register);
            register
        });
        let registers = registers.collect();
        self.registers.done();
        registers
    }

    /// Pins registers for the partial results of a reduction, as long as `spare` lasts.
    pub(super) fn partials(&mut self, n: usize, kind: Kind, spare: &mut [usize; 2]) -> Vec<Partial> {
        let is_mask = self.is_mask(kind);
        let spare = &mut spare[usize::from(is_mask)];
        let mut found = Vec::with_capacity(n);
        for _ in 0..n {
            found.push(if *spare > 0 {
                *spare -= 1;
                let register = self.take(is_mask);
                self.registers.pin(register);
                Partial::Register(register)
            } else {
                Partial::Frame(self.machine.room(if is_mask { 8 } else { 64 }))
            });
        }
        self.registers.done();
        found
    }
}

/// The code that sets the accumulators among locals to their start, at the start of a row.
pub fn put_start(machine: &mut super::machine::Machine, room: i32, len: usize, dtype: DType, fold: Fold) {
    let bits = start_bits(fold, dtype);
    let (rax, rcx) = (Operand::Reg(Name::RAX), Operand::Reg(Name::RCX));
    machine.put(Code::Mov_r64_imm64, &[rax, Operand::Imm64(bits)]);
    let size = dtype.size();
    let (code, from) = match size {
        8 => (Code::Mov_rm64_r64, rax),
        4 => (Code::Mov_rm32_r32, Operand::Reg(Name::EAX)),
        _ => (Code::Mov_rm8_r8, Operand::Reg(Name::AL)),
    };
    debug_assert!(is_byte(dtype) == (size == 1));
    if len <= 8 {
        for element in 0..len {
            machine.put(code, &[Operand::Mem(Mem::at(FRAME, room + (element * size) as i32)), from]);
        }
        return;
    }
    let Ok(n) = u32::try_from(len) else { return machine.asm.fail() };
    machine.put(Code::Mov_r32_imm32, &[Operand::Reg(Name::ECX), Operand::Imm32(n)]);
    let top = machine.asm.here();
    let to = Mem { index: Name::RCX, scale: size as u32, ..Mem::at(FRAME, room - size as i32) };
    machine.put(code, &[Operand::Mem(to), from]);
    machine.put(Code::Sub_rm64_imm32, &[rcx, Operand::Imm32To64(1)]);
    machine.asm.jump(Code::Jne_rel32_64, top);
}

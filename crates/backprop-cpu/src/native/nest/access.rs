//! Between memory and registers: vectors, single elements, bytes; lane by lane where elements are apart.

use backprop_core::DType;
use iced_x86::{Code, Register as Name};

use super::body::Body;
use super::forms;
use super::machine::{COLUMN, is_byte, lane_bytes, vector_register};
use super::registers::{Register, TAIL};
use super::vector::{Kind, kind_of, of_kind};
use crate::native::Isa;
use crate::native::assembler::{Masking, Mem, Operand};

const RAX: Operand = Operand::Reg(Name::RAX);
const RCX: Operand = Operand::Reg(Name::RCX);
const EAX: Operand = Operand::Reg(Name::EAX);

/// Where the lanes of an access lie.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lanes {
    /// One element for all.
    Same(Mem),
    /// Next to each other.
    Next(Mem),
    /// So many bytes apart.
    Apart(Mem, i32),
}

impl Lanes {
    pub(super) fn first(self) -> Mem {
        match self {
            Lanes::Same(mem) | Lanes::Next(mem) | Lanes::Apart(mem, _) => mem,
        }
    }
}

impl Body<'_> {
    /// The mask of the lanes in use.
    pub(super) fn tail(&self) -> Name {
        Name::K0 + u32::from(TAIL - super::registers::MASKS)
    }

    /// AVX-512: marks the first `n` lanes.
    pub(super) fn mark_lanes(&mut self, n: usize) {
        if self.isa() == Isa::Avx512 {
            self.put(Code::Mov_r32_imm32, &[EAX, Operand::Imm32((1 << n) - 1)]);
            self.put(Code::VEX_Kmovw_kr_r32, &[Operand::Reg(self.tail()), EAX]);
        }
    }

    /// AVX2: ones in the first `n` lanes.
    pub(super) fn lane_mask(&mut self, kind: Kind, n: usize) -> Mem {
        let bytes = lane_bytes(kind);
        let mask: Vec<u8> = (0..32).map(|byte| if byte < n * bytes { 0xff } else { 0 }).collect();
        self.machine.asm.constant(&mask)
    }

    /// The register that holds a pointer; it may be rax.
    pub(super) fn base(&mut self, pointer: u32) -> Name {
        match self.cached.iter().find(|(known, _)| *known == pointer) {
            Some(&(_, register)) => register,
            None => {
                let home = self.machine.pointer_home(pointer);
                self.put(Code::Mov_r64_rm64, &[RAX, Operand::Mem(home)]);
                Name::RAX
            }
        }
    }

    /// Where the lanes of the copy at hand lie; uses rax and rcx.
    pub(super) fn lanes_at(&mut self, pointer: u32) -> Lanes {
        let (stride, unit) = {
            let pointer = self.machine.pointer(pointer);
            (*pointer.columns.last().expect("there is a column loop"), pointer.unit)
        };
        let base = self.base(pointer);
        let moved = self.moved(pointer);
        let step = stride.checked_mul(unit as isize);
        let far = step.and_then(|step| step.checked_mul((self.at.column + self.lanes) as isize));
        let far = far.and_then(|far| far.checked_add(moved as isize));
        let (Some(Ok(step)), Some(Ok(_))) = (step.map(i32::try_from), far.map(i32::try_from)) else {
            self.machine.asm.fail();
            return Lanes::Same(Mem::at(base, 0));
        };
        let displacement = moved + step * self.at.column as i32;
        match stride {
            0 => Lanes::Same(Mem::at(base, moved)),
            1 => {
                let index = if self.at.is_indexed { COLUMN } else { Name::None };
                Lanes::Next(Mem { index, scale: unit as u32, ..Mem::at(base, displacement) })
            }
            _ if self.at.is_indexed => {
                let operands = [RCX, Operand::Reg(COLUMN), Operand::Imm32To64(step)];
                self.put(Code::Imul_r64_rm64_imm32, &operands);
                self.put(Code::Add_r64_rm64, &[RCX, Operand::Reg(base)]);
                Lanes::Apart(Mem::at(Name::RCX, displacement), step)
            }
            _ => Lanes::Apart(Mem::at(base, displacement), step),
        }
    }

    /// Reads the elements at a pointer.
    pub(super) fn load(&mut self, to: Register, pointer: u32, dtype: DType) {
        let lanes = self.lanes_at(pointer);
        self.load_lanes(to, lanes, dtype);
    }

    pub(super) fn load_lanes(&mut self, to: Register, lanes: Lanes, dtype: DType) {
        let kind = kind_of(dtype);
        match lanes {
            Lanes::Same(mem) if is_byte(dtype) => {
                self.put(Code::Movzx_r32_rm8, &[EAX, Operand::Mem(mem)]);
                self.spread_byte(to, dtype);
            }
            Lanes::Same(mem) => {
                let operands = [self.reg(to, kind), Operand::Mem(mem)];
                self.put_form(of_kind(forms::SPREAD, kind), self.width(kind), &operands, Masking::All);
            }
            _ if is_byte(dtype) => {
                let bytes = self.take(false);
                self.load_bytes(bytes, lanes);
                self.widen_bytes(to, bytes, dtype);
            }
            Lanes::Next(mem) => self.load_next(to, kind, mem),
            Lanes::Apart(mem, step) => self.load_apart(to, kind, mem, step),
        }
    }

    /// rax or eax, for every lane.
    pub(super) fn spread_general(&mut self, to: Register, kind: Kind) {
        let narrow = Operand::Reg(vector_register(to, 16));
        let is_avx512 = self.isa() == Isa::Avx512;
        let (code, from) = match (kind, is_avx512) {
            (Kind::Double, true) => (Code::EVEX_Vmovq_xmm_rm64, RAX),
            (Kind::Double, false) => (Code::VEX_Vmovq_xmm_rm64, RAX),
            (_, true) => (Code::EVEX_Vmovd_xmm_rm32, EAX),
            (_, false) => (Code::VEX_Vmovd_xmm_rm32, EAX),
        };
        self.put(code, &[narrow, from]);
        let width = (self.lanes * lane_bytes(kind)).max(16);
        let operands = [Operand::Reg(vector_register(to, width)), narrow];
        self.put_form(of_kind(forms::SPREAD, kind), width, &operands, Masking::All);
    }

    /// The bytes of the lanes in use.
    pub(super) fn bytes_in_use(&self, kind: Kind) -> usize {
        self.at.n * lane_bytes(kind)
    }

    /// Reads `at.n` elements that are next to each other; other lanes become 0.
    pub(super) fn load_next(&mut self, to: Register, kind: Kind, mem: Mem) {
        let bytes = self.bytes_in_use(kind);
        let from = Operand::Mem(mem);
        let is_avx512 = self.isa() == Isa::Avx512;
        let narrow = Operand::Reg(vector_register(to, bytes));
        match bytes {
            4 if is_avx512 => self.put(Code::EVEX_Vmovd_xmm_rm32, &[narrow, from]),
            4 => self.put(Code::VEX_Vmovd_xmm_rm32, &[narrow, from]),
            8 if is_avx512 => self.put(Code::EVEX_Vmovq_xmm_xmmm64, &[narrow, from]),
            8 => self.put(Code::VEX_Vmovq_xmm_xmmm64, &[narrow, from]),
            16 | 32 | 64 => self.put_form(forms::MOVE[0], bytes, &[narrow, from], Masking::All),
            _ if is_avx512 => {
                let operands = [self.reg(to, kind), from];
                let masking = Masking::Zero(self.tail());
                self.put_form(of_kind(forms::MOVE, kind), self.width(kind), &operands, masking);
            }
            _ => {
                let mask = self.take_lane_mask(kind);
                let code = match (kind, self.width(kind)) {
                    (Kind::Double, 16) => Code::VEX_Vpmaskmovq_xmm_xmm_m128,
                    (Kind::Double, _) => Code::VEX_Vpmaskmovq_ymm_ymm_m256,
                    (_, 16) => Code::VEX_Vpmaskmovd_xmm_xmm_m128,
                    _ => Code::VEX_Vpmaskmovd_ymm_ymm_m256,
                };
                let operands = [self.reg(to, kind), self.reg(mask, kind), from];
                self.put(code, &operands);
            }
        }
    }

    /// AVX2: a register with ones in the lanes in use.
    pub(super) fn take_lane_mask(&mut self, kind: Kind) -> Register {
        let mem = self.lane_mask(kind, self.at.n);
        let mask = self.take(false);
        let operands = [self.reg(mask, kind), Operand::Mem(mem)];
        self.put_form(forms::MOVE[0], self.width(kind), &operands, Masking::All);
        mask
    }

    /// Reads elements one by one, four or two to a part of 128 bits.
    pub(super) fn load_apart(&mut self, to: Register, kind: Kind, mem: Mem, step: i32) {
        let per_part = 16 / lane_bytes(kind);
        let n_parts = self.at.n.div_ceil(per_part);
        let is_avx512 = self.isa() == Isa::Avx512;
        let part = if n_parts > 1 { self.take(false) } else { to };
        for number in 0..n_parts {
            let into = if number == 0 { to } else { part };
            let into = Operand::Reg(vector_register(into, 16));
            for lane in 0..per_part.min(self.at.n - number * per_part) {
                let from = Operand::Mem(mem.plus((number * per_part + lane) as i32 * step));
                let position = Operand::Imm8(lane as u8);
                match (kind, lane, is_avx512) {
                    (Kind::Double, 0, true) => self.put(Code::EVEX_Vmovq_xmm_xmmm64, &[into, from]),
                    (Kind::Double, 0, false) => self.put(Code::VEX_Vmovq_xmm_xmmm64, &[into, from]),
                    (_, 0, true) => self.put(Code::EVEX_Vmovd_xmm_rm32, &[into, from]),
                    (_, 0, false) => self.put(Code::VEX_Vmovd_xmm_rm32, &[into, from]),
                    (Kind::Double, _, true) => {
                        self.put(Code::EVEX_Vpinsrq_xmm_xmm_rm64_imm8, &[into, into, from, position]);
                    }
                    (Kind::Double, _, false) => {
                        self.put(Code::VEX_Vpinsrq_xmm_xmm_rm64_imm8, &[into, into, from, position]);
                    }
                    (_, _, true) => {
                        self.put(Code::EVEX_Vpinsrd_xmm_xmm_rm32_imm8, &[into, into, from, position]);
                    }
                    (_, _, false) => {
                        self.put(Code::VEX_Vpinsrd_xmm_xmm_rm32_imm8, &[into, into, from, position]);
                    }
                }
            }
            if number > 0 {
                let code = match (is_avx512, self.width(kind)) {
                    (true, 64) => Code::EVEX_Vinserti32x4_zmm_k1z_zmm_xmmm128_imm8,
                    (true, _) => Code::EVEX_Vinserti32x4_ymm_k1z_ymm_xmmm128_imm8,
                    (false, _) => Code::VEX_Vinserti128_ymm_ymm_xmmm128_imm8,
                };
                let whole = self.reg(to, kind);
                self.put(code, &[whole, whole, into, Operand::Imm8(number as u8)]);
            }
        }
    }

    /// Writes where a pointer is.
    pub(super) fn store(&mut self, from: Register, pointer: u32, dtype: DType) {
        let lanes = self.lanes_at(pointer);
        self.store_lanes(from, lanes, dtype);
    }

    /// Reads the elements in use, next to each other.
    pub(super) fn load_element(&mut self, to: Register, mem: Mem, dtype: DType) {
        self.load_lanes(to, Lanes::Next(mem), dtype);
    }

    /// Writes the elements in use, next to each other.
    pub(super) fn store_element(&mut self, from: Register, mem: Mem, dtype: DType) {
        self.store_lanes(from, Lanes::Next(mem), dtype);
    }

    pub(super) fn store_lanes(&mut self, from: Register, lanes: Lanes, dtype: DType) {
        let kind = kind_of(dtype);
        if is_byte(dtype) {
            let bytes = self.take(false);
            self.narrow_bytes(bytes, from, dtype);
            return self.store_bytes(bytes, lanes);
        }
        match lanes {
            Lanes::Next(mem) => self.store_next(from, kind, mem),
            // An element that no loop moves is written by the one iteration that there is.
            Lanes::Same(mem) => self.store_apart(from, kind, mem, 0, 1),
            Lanes::Apart(mem, step) => self.store_apart(from, kind, mem, step, self.at.n),
        }
    }

    pub(super) fn store_next(&mut self, from: Register, kind: Kind, mem: Mem) {
        let bytes = self.bytes_in_use(kind);
        let to = Operand::Mem(mem);
        let is_avx512 = self.isa() == Isa::Avx512;
        let narrow = Operand::Reg(vector_register(from, bytes));
        match bytes {
            4 if is_avx512 => self.put(Code::EVEX_Vmovd_rm32_xmm, &[to, narrow]),
            4 => self.put(Code::VEX_Vmovd_rm32_xmm, &[to, narrow]),
            8 if is_avx512 => self.put(Code::EVEX_Vmovq_xmmm64_xmm, &[to, narrow]),
            8 => self.put(Code::VEX_Vmovq_xmmm64_xmm, &[to, narrow]),
            16 | 32 | 64 => {
                self.put_form(forms::MOVE_OUT[0], bytes, &[to, narrow], Masking::All);
            }
            _ if is_avx512 => {
                let masking = Masking::Merge(self.tail());
                let operands = [to, self.reg(from, kind)];
                self.put_form(of_kind(forms::MOVE_OUT, kind), self.width(kind), &operands, masking);
            }
            _ => {
                let mask = self.take_lane_mask(kind);
                let code = match (kind, self.width(kind)) {
                    (Kind::Double, 16) => Code::VEX_Vpmaskmovq_m128_xmm_xmm,
                    (Kind::Double, _) => Code::VEX_Vpmaskmovq_m256_ymm_ymm,
                    (_, 16) => Code::VEX_Vpmaskmovd_m128_xmm_xmm,
                    _ => Code::VEX_Vpmaskmovd_m256_ymm_ymm,
                };
                let operands = [to, self.reg(mask, kind), self.reg(from, kind)];
                self.put(code, &operands);
            }
        }
    }

    /// Writes elements one by one.
    pub(super) fn store_apart(&mut self, from: Register, kind: Kind, mem: Mem, step: i32, n: usize) {
        let per_part = 16 / lane_bytes(kind);
        let is_avx512 = self.isa() == Isa::Avx512;
        let part = if n > per_part { self.take(false) } else { from };
        for lane in 0..n {
            let (number, position) = (lane / per_part, lane % per_part);
            let source = if number == 0 { from } else { part };
            let source = Operand::Reg(vector_register(source, 16));
            if number > 0 && position == 0 {
                let whole = self.reg(from, kind);
                let code = match (is_avx512, self.width(kind)) {
                    (true, 64) => Code::EVEX_Vextracti32x4_xmmm128_k1z_zmm_imm8,
                    (true, _) => Code::EVEX_Vextracti32x4_xmmm128_k1z_ymm_imm8,
                    (false, _) => Code::VEX_Vextracti128_xmmm128_ymm_imm8,
                };
                self.put(code, &[source, whole, Operand::Imm8(number as u8)]);
            }
            let to = Operand::Mem(mem.plus(lane as i32 * step));
            let code = match (kind, is_avx512) {
                (Kind::Double, true) => Code::EVEX_Vpextrq_rm64_xmm_imm8,
                (Kind::Double, false) => Code::VEX_Vpextrq_rm64_xmm_imm8,
                (_, true) => Code::EVEX_Vpextrd_rm32_xmm_imm8,
                (_, false) => Code::VEX_Vpextrd_rm32_xmm_imm8,
            };
            self.put(code, &[to, source, Operand::Imm8(position as u8)]);
        }
    }

    /// Remembers whether a number is not finite: 0·x is NaN then, and what is or-ed to a NaN is one. (A sum would
    /// do it in one instruction, but waits for the one before.)
    pub(super) fn watch(&mut self, from: Register, kind: Kind) {
        let is_double = usize::from(kind == Kind::Double);
        let gathered = self.not_finite[is_double].expect("a stage that watches has a register for it");
        let width = self.width(kind);
        let zero = Operand::Mem(self.broadcast_constant(kind, 0));
        let is_whole = self.bytes_in_use(kind) == width;
        let product = self.take(false);
        let [to, from, product] = [gathered, from, product].map(|register| self.reg(register, kind));
        let masking = match self.isa() {
            Isa::Avx512 if !is_whole => Masking::Zero(self.tail()),
            _ => Masking::All,
        };
        self.put_form(of_kind(forms::MUL, kind), width, &[product, from, zero], masking);
        if !is_whole && self.isa() == Isa::Avx2 {
            let mask = Operand::Mem(self.lane_mask(kind, self.at.n));
            self.put_form(forms::AND[0], width, &[product, product, mask], Masking::All);
        }
        self.put_form(forms::OR[0], width, &[to, to, product], Masking::All);
    }
}

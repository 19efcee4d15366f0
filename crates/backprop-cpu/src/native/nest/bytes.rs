//! Bytes in memory: truth values and `u8`, which registers hold in wider lanes or in masks.

use backprop_core::DType;
use iced_x86::{Code, Register as Name};

use super::access::Lanes;
use super::body::Body;
use super::forms;
use super::machine::vector_register;
use super::registers::Register;
use super::vector::Kind;
use crate::native::Isa;
use crate::native::assembler::{Masking, Mem, Operand};

const EAX: Operand = Operand::Reg(Name::EAX);

impl Body<'_> {
    /// What eax holds, for every lane.
    pub(super) fn spread_byte(&mut self, to: Register, dtype: DType) {
        if dtype == DType::Bool {
            self.put(Code::Neg_rm32, &[EAX]);
            if self.isa() == Isa::Avx512 {
                return self.put(Code::VEX_Kmovd_kr_r32, &[self.reg(to, Kind::Mask), EAX]);
            }
        }
        self.spread_general(to, Kind::Word);
    }

    /// Reads `at.n` bytes into the lowest bytes of a register.
    pub(super) fn load_bytes(&mut self, to: Register, lanes: Lanes) {
        let is_avx512 = self.isa() == Isa::Avx512;
        let to = Operand::Reg(vector_register(to, 16));
        let mem = lanes.first();
        let step = if let Lanes::Apart(_, step) = lanes { step } else { 1 };
        let from = Operand::Mem(mem);
        match self.at.n {
            4 if step == 1 => {
                let code = if is_avx512 { Code::EVEX_Vmovd_xmm_rm32 } else { Code::VEX_Vmovd_xmm_rm32 };
                self.put(code, &[to, from]);
            }
            8 if step == 1 => {
                let code = if is_avx512 { Code::EVEX_Vmovq_xmm_xmmm64 } else { Code::VEX_Vmovq_xmm_xmmm64 };
                self.put(code, &[to, from]);
            }
            16 if step == 1 => self.put_form(forms::MOVE[0], 16, &[to, from], Masking::All),
            n if step == 1 && is_avx512 && n > 2 => {
                let masking = Masking::Zero(self.tail());
                self.machine.asm.put_masked(Code::EVEX_Vmovdqu8_xmm_k1z_xmmm128, &[to, from], masking);
            }
            n => {
                self.put_form(forms::XOR[0], 16, &[to; 3], Masking::All);
                let code = if is_avx512 {
                    Code::EVEX_Vpinsrb_xmm_xmm_r32m8_imm8
                } else {
                    Code::VEX_Vpinsrb_xmm_xmm_r32m8_imm8
                };
                for lane in 0..n {
                    let from = Operand::Mem(mem.plus(lane as i32 * step));
                    self.put(code, &[to, to, from, Operand::Imm8(lane as u8)]);
                }
            }
        }
    }

    /// Bytes to values.
    pub(super) fn widen_bytes(&mut self, to: Register, bytes: Register, dtype: DType) {
        let narrow = Operand::Reg(vector_register(bytes, 16));
        if dtype == DType::Bool && self.isa() == Isa::Avx512 {
            let to = self.reg(to, Kind::Mask);
            return self.put(Code::EVEX_Vptestmb_kr_k1_xmm_xmmm128, &[to, narrow, narrow]);
        }
        let width = self.width(Kind::Word);
        let to = Operand::Reg(vector_register(to, width));
        self.put_form(forms::U8_TO_U32, width, &[to, narrow], Masking::All);
        if dtype == DType::Bool {
            // 1 to ones: the lowest bit becomes the sign, and the sign all bits.
            self.put_form(forms::SHIFT_LEFT[0], width, &[to, to, Operand::Imm8(31)], Masking::All);
            self.put_form(forms::SHIFT_RIGHT_SIGNED[0], width, &[to, to, Operand::Imm8(31)], Masking::All);
        }
    }

    /// Values to bytes, in the lowest bytes of a register.
    pub(super) fn narrow_bytes(&mut self, bytes: Register, from: Register, dtype: DType) {
        let narrow = Operand::Reg(vector_register(bytes, 16));
        let width = self.width(Kind::Word);
        if self.isa() == Isa::Avx512 {
            if dtype == DType::Bool {
                let ones = Mem { is_broadcast: false, ..self.machine.asm.constant(&[1; 16]) };
                let masking = Masking::Zero(self.name(from, Kind::Mask));
                let operands = [narrow, Operand::Mem(ones)];
                return self.machine.asm.put_masked(Code::EVEX_Vmovdqu8_xmm_k1z_xmmm128, &operands, masking);
            }
            let from = Operand::Reg(vector_register(from, width));
            return self.put_form(forms::U32_TO_U8, width, &[narrow, from], Masking::All);
        }
        let low = Operand::Reg(vector_register(from, 16));
        let mut high = low;
        if width == 32 {
            let upper = self.take(false);
            high = Operand::Reg(vector_register(upper, 16));
            let whole = Operand::Reg(vector_register(from, 32));
            self.put(Code::VEX_Vextracti128_xmmm128_ymm_imm8, &[high, whole, Operand::Imm8(1)]);
        }
        // Signed, ones stay ones; unsigned, a byte stays a byte.
        if dtype == DType::Bool {
            self.put(Code::VEX_Vpackssdw_xmm_xmm_xmmm128, &[narrow, low, high]);
            self.put(Code::VEX_Vpacksswb_xmm_xmm_xmmm128, &[narrow; 3]);
            let ones = Operand::Mem(self.machine.asm.constant(&[1; 16]));
            self.put(Code::VEX_Vpand_xmm_xmm_xmmm128, &[narrow, narrow, ones]);
        } else {
            self.put(Code::VEX_Vpackusdw_xmm_xmm_xmmm128, &[narrow, low, high]);
            self.put(Code::VEX_Vpackuswb_xmm_xmm_xmmm128, &[narrow; 3]);
        }
    }

    pub(super) fn store_bytes(&mut self, bytes: Register, lanes: Lanes) {
        let is_avx512 = self.isa() == Isa::Avx512;
        let from = Operand::Reg(vector_register(bytes, 16));
        let mem = lanes.first();
        let to = Operand::Mem(mem);
        let (step, n) = match lanes {
            Lanes::Same(_) => (1, 1),
            Lanes::Next(_) => (1, self.at.n),
            Lanes::Apart(_, step) => (step, self.at.n),
        };
        match n {
            4 if step == 1 => {
                let code = if is_avx512 { Code::EVEX_Vmovd_rm32_xmm } else { Code::VEX_Vmovd_rm32_xmm };
                self.put(code, &[to, from]);
            }
            8 if step == 1 => {
                let code = if is_avx512 { Code::EVEX_Vmovq_xmmm64_xmm } else { Code::VEX_Vmovq_xmmm64_xmm };
                self.put(code, &[to, from]);
            }
            16 if step == 1 => self.put_form(forms::MOVE_OUT[0], 16, &[to, from], Masking::All),
            n if step == 1 && is_avx512 && n > 2 => {
                let masking = Masking::Merge(self.tail());
                self.machine.asm.put_masked(Code::EVEX_Vmovdqu8_xmmm128_k1z_xmm, &[to, from], masking);
            }
            n => {
                let code = if is_avx512 {
                    Code::EVEX_Vpextrb_r32m8_xmm_imm8
                } else {
                    Code::VEX_Vpextrb_r32m8_xmm_imm8
                };
                for lane in 0..n {
                    let to = Operand::Mem(mem.plus(lane as i32 * step));
                    self.put(code, &[to, from, Operand::Imm8(lane as u8)]);
                }
            }
        }
    }
}

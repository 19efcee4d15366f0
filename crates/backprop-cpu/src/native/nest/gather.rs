//! Numbers of places, and elements at places that are computed.

use backprop_core::DType;
use iced_x86::{Code, Register as Name};

use super::access::Lanes;
use super::body::Body;
use super::machine::{COLUMN, FRAME, frame, vector_register};
use super::registers::Register;
use super::vector::{Kind, Value};
use crate::native::Isa;
use crate::native::assembler::{Mem, Operand};

const RAX: Operand = Operand::Reg(Name::RAX);
const RCX: Operand = Operand::Reg(Name::RCX);
const RDX: Operand = Operand::Reg(Name::RDX);
const EAX: Operand = Operand::Reg(Name::EAX);
const EDX: Operand = Operand::Reg(Name::EDX);

impl Body<'_> {
    /// The number that a pointer counts, of the first lane, for every lane.
    pub(super) fn position(&mut self, number: Value, pointer: u32) {
        let to = self.define(number);
        let home = self.machine.pointer_home(pointer);
        let stride = *self.machine.pointer(pointer).columns.last().expect("there is a column loop") as i64;
        self.put(Code::Mov_r64_rm64, &[RAX, Operand::Mem(home)]);
        if self.at.is_indexed && stride != 0 {
            match i32::try_from(stride) {
                Ok(1) => self.put(Code::Add_r64_rm64, &[RAX, Operand::Reg(COLUMN)]),
                Ok(stride) => {
                    let operands = [RCX, Operand::Reg(COLUMN), Operand::Imm32To64(stride)];
                    self.put(Code::Imul_r64_rm64_imm32, &operands);
                    self.put(Code::Add_r64_rm64, &[RAX, RCX]);
                }
                Err(_) => self.machine.asm.fail(),
            }
        }
        let moved = i64::from(self.moved(pointer));
        match stride.checked_mul(self.at.column as i64).map(|further| i32::try_from(further + moved)) {
            Some(Ok(0)) => {}
            Some(Ok(further)) => self.put(Code::Add_rm64_imm32, &[RAX, Operand::Imm32To64(further)]),
            _ => self.machine.asm.fail(),
        }
        self.spread_general(to, self.code.kind(number));
    }

    /// Compares rcx with a bound: jumps past what is put next where it is not below.
    pub(super) fn check_bound(&mut self, bound: u64) -> crate::native::assembler::Label {
        let outside = self.machine.asm.label();
        // Unsigned: a negative index is beyond every bound.
        self.put(Code::Cmp_rm64_imm32, &[RCX, Operand::Imm32To64(bound as i32)]);
        self.machine.asm.jump(Code::Jae_rel32_64, outside);
        outside
    }

    pub(super) fn tell_fault(&mut self) {
        let fault = Operand::Mem(Mem::at(FRAME, frame::FAULT));
        self.put(Code::Mov_rm8_imm8, &[fault, Operand::Imm8(1)]);
    }

    /// Elements at indices, lane by lane.
    pub(super) fn gather(
        &mut self,
        to: Register,
        index: Register,
        pointer: u32,
        stride: i64,
        bound: u64,
        dtype: DType,
    ) {
        let [indices, elements] = frame::STAGING;
        self.move_to_frame(index, Kind::Double, indices);
        let lanes = self.lanes_at(pointer);
        self.put(Code::Lea_r64_m, &[RAX, Operand::Mem(lanes.first())]);
        let step = match lanes {
            Lanes::Same(_) => 0,
            Lanes::Next(_) => dtype.size() as i32,
            Lanes::Apart(_, step) => step,
        };
        for lane in 0..self.at.n {
            let index = Operand::Mem(Mem::at(FRAME, indices + 8 * lane as i32));
            self.put(Code::Mov_r64_rm64, &[RCX, index]);
            let outside = self.check_bound(bound);
            self.put(Code::Imul_r64_rm64_imm32, &[RCX, RCX, Operand::Imm32To64(stride as i32)]);
            let from = Mem { index: Name::RCX, ..Mem::at(Name::RAX, step * lane as i32) };
            let (read, write, register) = match dtype.size() {
                8 => (Code::Mov_r64_rm64, Code::Mov_rm64_r64, RDX),
                4 => (Code::Mov_r32_rm32, Code::Mov_rm32_r32, EDX),
                _ => (Code::Movzx_r32_rm8, Code::Mov_rm8_r8, EDX),
            };
            self.put(read, &[register, Operand::Mem(from)]);
            let write_it = self.machine.asm.label();
            self.machine.asm.jump(Code::Jmp_rel32_64, write_it);
            self.machine.asm.place(outside);
            self.tell_fault();
            self.put(Code::Xor_r32_rm32, &[EDX, EDX]);
            self.machine.asm.place(write_it);
            let element = Operand::Mem(Mem::at(FRAME, elements + (dtype.size() * lane) as i32));
            let register = if dtype.size() == 1 { Operand::Reg(Name::DL) } else { register };
            self.put(write, &[element, register]);
        }
        self.load_lanes(to, Lanes::Next(Mem::at(FRAME, elements)), dtype);
    }

    /// Sets a pointer by an index that all lanes share.
    pub(super) fn point(
        &mut self,
        is_inside: Register,
        index: Register,
        pointer: u32,
        to: u32,
        stride: i64,
        bound: u64,
    ) {
        let index = Operand::Reg(vector_register(index, 16));
        let is_avx512 = self.isa() == Isa::Avx512;
        let code = if is_avx512 { Code::EVEX_Vmovq_rm64_xmm } else { Code::VEX_Vmovq_rm64_xmm };
        self.put(code, &[RCX, index]);
        self.put(Code::Mov_r32_imm32, &[EAX, Operand::Imm32(u32::MAX)]);
        let outside = self.check_bound(bound);
        let set = self.machine.asm.label();
        self.machine.asm.jump(Code::Jmp_rel32_64, set);
        self.machine.asm.place(outside);
        self.tell_fault();
        self.put(Code::Xor_r32_rm32, &[EAX, EAX]);
        self.put(Code::Mov_r64_rm64, &[RCX, RAX]);
        self.machine.asm.place(set);
        if is_avx512 {
            self.put(Code::VEX_Kmovd_kr_r32, &[self.reg(is_inside, Kind::Mask), EAX]);
        } else {
            self.spread_general(is_inside, Kind::Word);
        }
        self.put(Code::Imul_r64_rm64_imm32, &[RCX, RCX, Operand::Imm32To64(stride as i32)]);
        let [from, home] = [pointer, to].map(|pointer| Operand::Mem(self.machine.pointer_home(pointer)));
        self.put(Code::Add_r64_rm64, &[RCX, from]);
        let moved = self.moved(pointer);
        if moved != 0 {
            self.put(Code::Add_rm64_imm32, &[RCX, Operand::Imm32To64(moved)]);
        }
        self.put(Code::Mov_rm64_r64, &[home, RCX]);
    }
}

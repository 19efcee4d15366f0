//! Lanes that are left to a function: stepped aside for, where there are any.

use iced_x86::{Code, Register as Name};

use super::body::Body;
use super::forms;
use super::machine::{FRAME, Machine, RARE, frame, vector_register};
use super::registers::{MASKS, Register, TAIL};
use super::vector::{Kind, Value};
use crate::math::record::RareFunction;
use crate::native::Isa;
use crate::native::assembler::{Label, Masking, Mem, Operand};

/// Code off the way: for each lane whose bit is set, a call.
#[derive(Clone, Debug)]
pub struct Aside {
    start: Label,
    back: Label,
    function: RareFunction,
    x: Register,
    y: Register,
    /// What else holds something.
    saved: Vec<Register>,
    pointers: Vec<(u32, Name)>,
}

impl Body<'_> {
    /// y, and the function of x where the mask holds.
    pub(super) fn rare(&mut self, number: Value, function: RareFunction, [mask, x, y]: [Value; 3]) {
        let kind = self.code.kind(number);
        let [mask_register, x_register] = [mask, x].map(|value| self.in_register(value));
        let from = self.in_register(y);
        let to = self.take(false);
        let operands = [self.reg(to, kind), self.reg(from, kind)];
        self.put_form(forms::MOVE[0], self.width(kind), &operands, Masking::All);
        let bits = Operand::Reg(Name::R13D);
        let mask = self.reg(mask_register, self.code.kind(mask));
        match (self.isa(), self.width(Kind::Mask)) {
            (Isa::Avx512, _) => self.put(Code::VEX_Kmovw_r32_kr, &[bits, mask]),
            (_, 32) => self.put(Code::VEX_Vmovmskps_r32_ymm, &[bits, mask]),
            _ => self.put(Code::VEX_Vmovmskps_r32_xmm, &[bits, mask]),
        }
        self.put(Code::And_rm32_imm32, &[bits, Operand::Imm32((1 << self.at.n) - 1)]);
        let (start, back) = (self.machine.asm.label(), self.machine.asm.label());
        self.machine.asm.jump(Code::Jne_rel32_64, start);
        self.machine.asm.place(back);
        let in_use = self.registers.in_use().into_iter().filter(|&register| register != to);
        let tail = (self.isa() == Isa::Avx512).then_some(TAIL);
        let saved = in_use.chain(tail).collect();
        let pointers = self.cached.clone();
        self.asides.push(Aside { start, back, function, x: x_register, y: to, saved, pointers });
        self.registers.put(number, to);
    }

    /// The code off the way, which the code at hand jumps over.
    pub(super) fn put_asides(&mut self) {
        let asides = std::mem::take(&mut self.asides);
        if asides.is_empty() {
            return;
        }
        let past = self.machine.asm.label();
        self.machine.asm.jump(Code::Jmp_rel32_64, past);
        let room = self.machine.room(40 * 64);
        for aside in asides {
            put_aside(self.machine, &aside, room);
        }
        self.machine.asm.place(past);
    }
}

fn put_aside(machine: &mut Machine, aside: &Aside, room: i32) {
    let width = machine.isa.register_bytes();
    let home = |register: Register| Operand::Mem(Mem::at(FRAME, room + 64 * i32::from(register)));
    let [xs, ys] = frame::STAGING;
    let put_move = |machine: &mut Machine, register: Register, mem: Operand, is_out: bool| {
        if register >= MASKS {
            let mask = Operand::Reg(Name::K0 + u32::from(register - MASKS));
            return match is_out {
                true => machine.put(Code::VEX_Kmovq_m64_kr, &[mem, mask]),
                false => machine.put(Code::VEX_Kmovq_kr_km64, &[mask, mem]),
            };
        }
        let vector = Operand::Reg(vector_register(register, width));
        let form = if is_out { forms::MOVE_OUT[0] } else { forms::MOVE[0] };
        let operands = if is_out { [mem, vector] } else { [vector, mem] };
        match form.code(machine.isa, width) {
            Some(code) => machine.put(code, &operands),
            None => machine.asm.fail(),
        }
    };
    machine.asm.place(aside.start);
    for &register in &aside.saved {
        put_move(machine, register, home(register), true);
    }
    put_move(machine, aside.x, Operand::Mem(Mem::at(FRAME, xs)), true);
    put_move(machine, aside.y, Operand::Mem(Mem::at(FRAME, ys)), true);
    machine.put(Code::VEX_Vzeroupper, &[]);
    // r14 is kept by calls; the pointer that it may hold is loaded again.
    let (lane, bits) = (Operand::Reg(Name::R14D), Operand::Reg(Name::R13D));
    let (address, bytes, load, store) = match aside.function {
        RareFunction::F32(function) => {
            (function as usize, 4, Code::VEX_Vmovss_xmm_m32, Code::VEX_Vmovss_m32_xmm)
        }
        RareFunction::F64(function) => {
            (function as usize, 8, Code::VEX_Vmovsd_xmm_m64, Code::VEX_Vmovsd_m64_xmm)
        }
    };
    let element = |of: i32| Operand::Mem(Mem { index: Name::R14, scale: bytes, ..Mem::at(FRAME, of) });
    let (xmm0, rax) = (Operand::Reg(Name::XMM0), Operand::Reg(Name::RAX));
    let top = machine.asm.here();
    machine.put(Code::Tzcnt_r32_rm32, &[lane, bits]);
    machine.put(load, &[xmm0, element(xs)]);
    machine.put(Code::Mov_r64_imm64, &[rax, Operand::Imm64(address as u64)]);
    machine.put(Code::Call_rm64, &[rax]);
    machine.put(store, &[element(ys), xmm0]);
    // Without its lowest bit.
    let less = Operand::Mem(Mem::at(RARE, -1));
    machine.put(Code::Lea_r32_m, &[Operand::Reg(Name::EAX), less]);
    machine.put(Code::And_r32_rm32, &[bits, Operand::Reg(Name::EAX)]);
    machine.asm.jump(Code::Jne_rel32_64, top);
    for &register in &aside.saved {
        put_move(machine, register, home(register), false);
    }
    put_move(machine, aside.y, Operand::Mem(Mem::at(FRAME, ys)), false);
    for &(pointer, register) in &aside.pointers {
        let home = machine.pointer_home(pointer);
        machine.put(Code::Mov_r64_rm64, &[Operand::Reg(register), Operand::Mem(home)]);
    }
    machine.asm.jump(Code::Jmp_rel32_64, aside.back);
}

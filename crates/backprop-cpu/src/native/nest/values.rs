//! Values between registers, the frame and the pool of constants.

use iced_x86::Code;

use super::body::Body;
use super::forms;
use super::machine::{FRAME, lane_bytes, vector_register};
use super::registers::{Home, MASKS, Register};
use super::vector::{Kind, Op, Value, of_kind};
use crate::native::Isa;
use crate::native::assembler::{Masking, Mem, Operand};

impl Body<'_> {
    /// A register for the instruction at hand.
    pub(super) fn take(&mut self, is_mask: bool) -> Register {
        let (register, left) = self.registers.take(is_mask);
        if let Some(value) = left.filter(|&value| self.registers.home[value as usize] == Home::None) {
            self.write_home(value, register);
        }
        register
    }

    /// Writes a value that lies in a register to the frame.
    pub(super) fn write_home(&mut self, value: Value, register: Register) {
        let kind = self.code.kind(value);
        let room = match self.rooms[value as usize] {
            Some(room) => room,
            None => self.machine.room(if self.is_mask(kind) { 8 } else { 64 }),
        };
        self.rooms[value as usize] = Some(room);
        self.registers.home[value as usize] = Home::Frame(room);
        self.move_to_frame(register, kind, room);
    }

    pub(super) fn move_to_frame(&mut self, register: Register, kind: Kind, room: i32) {
        let to = Operand::Mem(Mem::at(FRAME, room));
        let from = self.reg(register, kind);
        if register >= MASKS {
            return self.put(Code::VEX_Kmovq_m64_kr, &[to, from]);
        }
        self.put_form(forms::MOVE_OUT[0], self.width(kind), &[to, from], Masking::All);
    }

    pub(super) fn move_from_frame(&mut self, register: Register, kind: Kind, room: i32) {
        let from = Operand::Mem(Mem::at(FRAME, room));
        let to = self.reg(register, kind);
        if register >= MASKS {
            return self.put(Code::VEX_Kmovq_kr_km64, &[to, from]);
        }
        self.put_form(forms::MOVE[0], self.width(kind), &[to, from], Masking::All);
    }

    /// Every value of the frame is written there, for code that is run again and again.
    pub(super) fn write_homes(&mut self) {
        for value in self.registers.unpinned_values() {
            if self.registers.home[value as usize] == Home::None {
                let register = self.registers.of(value).expect("it lies in a register");
                self.write_home(value, register);
            }
        }
        self.registers.clear();
    }

    /// The value in a register, which the instruction at hand uses.
    pub(super) fn in_register(&mut self, value: Value) -> Register {
        if let Some(register) = self.registers.of(value) {
            self.registers.hold(register);
            return register;
        }
        let kind = self.code.kind(value);
        let register = self.take(self.is_mask(kind));
        match self.registers.home[value as usize] {
            Home::Frame(room) => self.move_from_frame(register, kind, room),
            Home::Literal => self.make_literal(value, register),
            Home::None => unreachable!("value {value} is read before it is computed"),
        }
        self.registers.put(value, register);
        register
    }

    pub(super) fn make_literal(&mut self, value: Value, register: Register) {
        let kind = self.code.kind(value);
        let (isa, width) = (self.isa(), self.width(kind));
        let to = self.reg(register, kind);
        match self.code.nodes[value as usize].op {
            Op::Literal(bits) if self.is_mask(kind) => {
                let code = if bits == 0 { Code::VEX_Kxorw_kr_kr_kr } else { Code::VEX_Kxnorw_kr_kr_kr };
                self.put(code, &[to; 3]);
            }
            Op::Words(words) => {
                let width = words.len() * 4;
                let to = Operand::Reg(vector_register(register, width));
                let from = Operand::Mem(self.literal_in_memory(value));
                self.put_form(forms::MOVE[0], width, &[to, from], Masking::All);
            }
            Op::Literal(0) => self.put_form(forms::XOR[0], width, &[to; 3], Masking::All),
            Op::Literal(_) if isa == Isa::Avx512 => {
                let from = Operand::Mem(Mem { is_broadcast: false, ..self.literal_in_memory(value) });
                self.put_form(of_kind(forms::SPREAD, kind), width, &[to, from], Masking::All);
            }
            _ => {
                let from = Operand::Mem(self.literal_in_memory(value));
                self.put_form(forms::MOVE[0], width, &[to, from], Masking::All);
            }
        }
    }

    /// Where a literal lies: one element for every lane, or (AVX2, ramps) all lanes.
    pub(super) fn literal_in_memory(&mut self, value: Value) -> Mem {
        let kind = self.code.kind(value);
        match self.code.nodes[value as usize].op {
            Op::Ramp(stride) => {
                let bytes = lane_bytes(kind);
                let lanes =
                    (0..(self.lanes * bytes).max(16) / bytes).map(|lane| stride.wrapping_mul(lane as i64));
                let lanes: Vec<u8> = lanes.flat_map(|lane| lane.to_le_bytes()[..bytes].to_vec()).collect();
                self.machine.asm.constant(&lanes)
            }
            Op::Words(words) => {
                let words: Vec<u8> = words.iter().flat_map(|&word| word.to_le_bytes()).collect();
                self.machine.asm.constant(&words)
            }
            Op::Literal(bits) => {
                let bits = if kind == Kind::Mask && bits != 0 { u64::MAX } else { bits };
                self.broadcast_constant(kind, bits)
            }
            _ => unreachable!("not a literal"),
        }
    }

    /// Bits that an instruction reads for every lane.
    pub(super) fn broadcast_constant(&mut self, kind: Kind, bits: u64) -> Mem {
        let element = &bits.to_le_bytes()[..lane_bytes(kind)];
        if self.isa() == Isa::Avx512 {
            return Mem { is_broadcast: true, ..self.machine.asm.constant(element) };
        }
        let lanes: Vec<u8> = element.iter().copied().cycle().take(32).collect();
        self.machine.asm.constant(&lanes)
    }

    /// The value in a register or in memory, as the last operand of an instruction.
    pub(super) fn anywhere(&mut self, value: Value) -> Operand {
        let kind = self.code.kind(value);
        if self.registers.of(value).is_none() && !self.is_mask(kind) {
            match self.registers.home[value as usize] {
                Home::Frame(room) => return Operand::Mem(Mem::at(FRAME, room)),
                Home::Literal if !matches!(self.code.nodes[value as usize].op, Op::Literal(0)) => {
                    return Operand::Mem(self.literal_in_memory(value));
                }
                _ => {}
            }
        }
        let register = self.in_register(value);
        self.reg(register, kind)
    }
}

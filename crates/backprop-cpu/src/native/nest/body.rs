//! Vector code to instructions: one node after the other, registers as they come.

use iced_x86::{Code, Register as Name};
use smallvec::SmallVec;

use super::fold::Folding;
use super::forms::{self, Form, Fused};
use super::machine::{Machine, POINTERS, lane_bytes, vector_register};
use super::plan::Pointer;
use super::rare::Aside;
use super::registers::{Home, MASKS, NEVER, Register, Registers};
use super::schedule::Schedule;
use super::vector::{Kind, MaskOp, Node, Op, Value, VectorCode, of_kind};
use crate::native::Isa;
use crate::native::assembler::{Masking, Operand};

/// Which elements a copy of the code works on.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// Whether `COLUMN` says where it starts; else it is 0.
    pub is_indexed: bool,
    /// So many elements further on.
    pub column: usize,
    /// The number of lanes in use.
    pub n: usize,
}

/// The code of a stage in the making.
pub struct Body<'a> {
    pub(super) machine: &'a mut Machine,
    pub(super) code: VectorCode,
    /// The number of lanes.
    pub(super) lanes: usize,
    pub(super) registers: Registers,
    /// For each value, the room that it has in the frame, if any.
    pub(super) rooms: Vec<Option<i32>>,
    /// Which pointers lie in general registers.
    pub(super) cached: Vec<(u32, Name)>,
    pub(super) foldings: Vec<Folding>,
    /// Where what is not finite is gathered, for words and doubles.
    pub(super) not_finite: [Option<Register>; 2],
    /// Pointers whose next row is fetched, and how many bytes further on that lies.
    pub(super) fetches: Vec<(u32, i32)>,
    pub(super) at: At,
    /// Where the outer column loops stand, if they are written out.
    pub(super) outer: Vec<usize>,
    /// Loads that stay in registers, one for each vector of columns.
    pub(super) kept: Vec<(Value, Vec<Register>)>,
    pub(super) asides: Vec<Aside>,
}

impl<'a> Body<'a> {
    /// Nothing yet.
    pub fn new(machine: &'a mut Machine, code: VectorCode, lanes: usize) -> Body<'a> {
        let mut registers = Registers::new(machine.isa, code.nodes.len());
        for (value, node) in code.nodes.iter().enumerate() {
            if node.op.is_literal() {
                registers.home[value] = Home::Literal;
            }
        }
        Body {
            rooms: vec![None; code.nodes.len()],
            machine,
            code,
            lanes,
            registers,
            cached: Vec::new(),
            foldings: Vec::new(),
            not_finite: [None; 2],
            fetches: Vec::new(),
            at: At { is_indexed: false, column: 0, n: lanes },
            outer: Vec::new(),
            kept: Vec::new(),
            asides: Vec::new(),
        }
    }

    pub(super) fn isa(&self) -> Isa {
        self.machine.isa
    }

    /// How far outer loops that are written out have moved a pointer, in bytes.
    pub(super) fn moved(&mut self, pointer: u32) -> i32 {
        let Pointer { columns, unit, .. } = self.machine.pointer(pointer);
        let steps = self.outer.iter().zip(columns).map(|(&at, &stride)| stride.checked_mul(at as isize));
        let moved = steps.sum::<Option<isize>>().and_then(|elements| elements.checked_mul(*unit as isize));
        match moved.map(i32::try_from) {
            Some(Ok(bytes)) => bytes,
            _ => {
                self.machine.asm.fail();
                0
            }
        }
    }

    pub(super) fn put(&mut self, code: Code, operands: &[Operand]) {
        self.machine.put(code, operands);
    }

    /// Puts a form of an instruction for registers of `width` bytes.
    pub(super) fn put_form(&mut self, form: Form, width: usize, operands: &[Operand], masking: Masking) {
        match form.code(self.isa(), width) {
            Some(code) => self.machine.asm.put_masked(code, operands, masking),
            None => self.machine.asm.fail(),
        }
    }

    /// Whether the values lie in mask registers.
    pub(super) fn is_mask(&self, kind: Kind) -> bool {
        kind == Kind::Mask && self.isa() == Isa::Avx512
    }

    /// The bytes of the registers that hold values of this kind.
    pub(super) fn width(&self, kind: Kind) -> usize {
        if self.is_mask(kind) { 16 } else { (self.lanes * lane_bytes(kind)).max(16) }
    }

    pub(super) fn name(&self, register: Register, kind: Kind) -> Name {
        if register >= MASKS {
            return Name::K0 + u32::from(register - MASKS);
        }
        vector_register(register, self.width(kind))
    }

    pub(super) fn reg(&self, register: Register, kind: Kind) -> Operand {
        Operand::Reg(self.name(register, kind))
    }

    /// A register for the result of a node.
    pub(super) fn define(&mut self, value: Value) -> Register {
        let register = self.take(self.is_mask(self.code.kind(value)));
        self.registers.put(value, register);
        register
    }

    /// Whether the node at hand is the last one that needs its operand, and may overwrite it.
    fn dies(&self, value: Value) -> Option<Register> {
        let register = self.registers.of(value)?;
        (self.registers.next[value as usize] == NEVER && !self.registers.is_pinned(register))
            .then_some(register)
    }

    /// Operands that nothing needs any more leave their registers; the result may take them.
    fn release(&mut self, operands: &[Value]) {
        for &operand in operands {
            if let Some(register) = self.dies(operand) {
                self.registers.free(operand);
                self.registers.let_go(register);
            }
        }
    }

    /// Pointers that the nodes use go to general registers, the ones used most.
    pub(super) fn cache_pointers(&mut self, nodes: &[Value]) {
        let mut counts: Vec<(usize, u32)> = Vec::new();
        for &node in nodes {
            let pointer = match self.code.nodes[node as usize].op {
                Op::Load(pointer, _) | Op::Store { pointer, .. } | Op::Gather { pointer, .. } => pointer,
                Op::Fold(number) => match self.foldings[number].column_pointer() {
                    Some(pointer) => pointer,
                    None => continue,
                },
                _ => continue,
            };
            if self.machine.pointer(pointer).origin == super::plan::Origin::Computed {
                continue;
            }
            match counts.iter_mut().find(|(_, known)| *known == pointer) {
                Some((count, _)) => *count += 1,
                None => counts.push((1, pointer)),
            }
        }
        counts.sort_by_key(|&(count, _)| std::cmp::Reverse(count));
        self.cached =
            counts.iter().zip(POINTERS).map(|(&(_, pointer), register)| (pointer, register)).collect();
        self.load_pointers();
    }

    /// Loads the general registers that hold pointers.
    pub(super) fn load_pointers(&mut self) {
        for (pointer, register) in self.cached.clone() {
            let home = self.machine.pointer_home(pointer);
            self.put(Code::Mov_r64_rm64, &[Operand::Reg(register), Operand::Mem(home)]);
        }
    }

    /// Puts the nodes of a schedule. Values that it computes are computed anew.
    pub(super) fn put_nodes(&mut self, schedule: &Schedule, at: At) {
        self.at = at;
        for &node in &schedule.nodes {
            self.registers.home[node as usize] = Home::None;
        }
        self.registers.next.copy_from_slice(&schedule.first);
        for (position, &number) in schedule.nodes.iter().enumerate() {
            self.at.column = at.column + usize::from(schedule.copies[position]) * self.lanes;
            let operands = self.code.nodes[number as usize].operands.clone();
            for (&operand, &after) in operands.iter().zip(&schedule.after[position]) {
                self.registers.next[operand as usize] = after;
            }
            self.put_node(number, &operands);
            if self.registers.next[number as usize] == NEVER {
                self.registers.free(number);
            }
            // Operands that stayed because the result could not take their place.
            operands.iter().for_each(|&operand| {
                if self.dies(operand).is_some() {
                    self.registers.free(operand);
                }
            });
            self.registers.done();
        }
    }

    fn put_node(&mut self, number: Value, operands: &[Value]) {
        let Node { op, kind, .. } = self.code.nodes[number as usize];
        match (op, operands) {
            (op, _) if op.is_literal() => {}
            (Op::Load(pointer, dtype), _) => {
                if let Some(register) = self.kept_load(number) {
                    self.registers.hold(register);
                    return self.registers.put(number, register);
                }
                let to = self.define(number);
                self.load(to, pointer, dtype);
                if self.at.is_indexed
                    && let Some(&(_, ahead)) = self.fetches.iter().find(|(fetched, _)| *fetched == pointer)
                {
                    let next = self.lanes_at(pointer).first();
                    self.fetch(next, ahead);
                }
            }
            (Op::Position(pointer), _) => self.position(number, pointer),
            (Op::One(form, immediate), &[x]) => {
                let from = self.in_register(x);
                let x_kind = self.code.kind(x);
                self.release(operands);
                let to = self.define(number);
                let width = self.width(kind).max(self.width(x_kind));
                let mut list: SmallVec<[Operand; 3]> =
                    SmallVec::from_slice(&[self.reg(to, kind), self.reg(from, x_kind)]);
                list.extend(immediate.map(Operand::Imm8));
                self.put_form(form, width, &list, Masking::All);
            }
            (Op::Two(form, immediate), &[a, b]) => {
                let first = self.in_register(a);
                let second = self.anywhere(b);
                let operand_kind = self.code.kind(a);
                let first = self.reg(first, operand_kind);
                self.release(operands);
                let to = self.define(number);
                let mut list: SmallVec<[Operand; 4]> =
                    SmallVec::from_slice(&[self.reg(to, kind), first, second]);
                list.extend(immediate.map(Operand::Imm8));
                self.put_form(form, self.width(operand_kind), &list, Masking::All);
            }
            (Op::Fused(fused), &[a, b, c]) => self.fused(number, fused, [a, b, c]),
            (Op::Select, &[mask, a, b]) => {
                let [mask_register, other] = [mask, b].map(|value| self.in_register(value));
                let taken = self.anywhere(a);
                let mask = self.name(mask_register, self.code.kind(mask));
                let other = self.reg(other, kind);
                self.release(operands);
                let to = self.define(number);
                let to = self.reg(to, kind);
                let width = self.width(kind);
                if self.isa() == Isa::Avx512 {
                    let form = of_kind(forms::BLEND_MASKED, kind);
                    self.put_form(form, width, &[to, other, taken], Masking::Merge(mask));
                } else {
                    let form = of_kind(forms::BLEND, kind);
                    self.put_form(form, width, &[to, other, taken, Operand::Reg(mask)], Masking::All);
                }
            }
            (Op::Masks(op), _) => {
                let mut list: SmallVec<[Operand; 3]> = SmallVec::new();
                for &operand in operands {
                    let register = self.in_register(operand);
                    list.push(self.reg(register, Kind::Mask));
                }
                self.release(operands);
                let to = self.define(number);
                list.insert(0, self.reg(to, Kind::Mask));
                let code = match op {
                    MaskOp::And => Code::VEX_Kandw_kr_kr_kr,
                    MaskOp::Or => Code::VEX_Korw_kr_kr_kr,
                    MaskOp::Xor => Code::VEX_Kxorw_kr_kr_kr,
                    MaskOp::Not => Code::VEX_Knotw_kr_kr,
                };
                self.put(code, &list);
            }
            (Op::Entry, &[place, words]) => {
                let (code, width) = match self.isa() {
                    Isa::Avx512 => (Code::EVEX_Vpermd_zmm_k1z_zmm_zmmm512b32, 64),
                    Isa::Avx2 => (Code::VEX_Vpermd_ymm_ymm_ymmm256, 32),
                };
                let place = Operand::Reg(vector_register(self.in_register(place), width));
                let words = match self.registers.of(words) {
                    Some(register) => Operand::Reg(vector_register(register, width)),
                    None => Operand::Mem(self.literal_in_memory(words)),
                };
                self.release(operands);
                let to = Operand::Reg(vector_register(self.define(number), width));
                self.put(code, &[to, place, words]);
            }
            (Op::Narrow, &[x]) => {
                let from = self.in_register(x);
                self.release(operands);
                let to = self.define(number);
                self.narrow(to, from);
            }
            (Op::Gather { pointer, stride, bound, dtype }, &[index]) => {
                let index = self.in_register(index);
                self.release(operands);
                let to = self.define(number);
                self.gather(to, index, pointer, stride, bound, dtype);
            }
            (Op::Point { pointer, to, stride, bound }, &[index]) => {
                let index = self.in_register(index);
                self.release(operands);
                let is_inside = self.define(number);
                self.point(is_inside, index, pointer, to, stride, bound);
            }
            (Op::Rare(function), &[mask, x, y]) => self.rare(number, function, [mask, x, y]),
            (Op::Store { pointer, dtype, watched, streamed }, &[x]) => {
                let from = self.in_register(x);
                if streamed && self.is_in_parts(dtype) {
                    let to = self.lanes_at(pointer).first();
                    self.stream(from, to, self.at.n * dtype.size());
                } else {
                    self.store(from, pointer, dtype);
                }
                if watched && dtype.is_float() {
                    self.watch(from, self.code.kind(x));
                }
            }
            (Op::Fold(number), &[x]) => {
                let from = self.in_register(x);
                self.fold_in(number, from);
            }
            _ => unreachable!("{op:?} of {} operands", operands.len()),
        }
    }

    /// Overwrites an operand that dies, or a copy.
    fn fused(&mut self, number: Value, fused: Fused, [a, b, c]: [Value; 3]) {
        let kind = self.code.kind(number);
        let width = self.width(kind);
        let is_once = |value: Value| [a, b, c].iter().filter(|&&other| other == value).count() == 1;
        for register in [a, b, c].map(|value| self.registers.of(value)).into_iter().flatten() {
            self.registers.hold(register);
        }
        let overwritten = [c, a, b].into_iter().find(|&value| is_once(value) && self.dies(value).is_some());
        let (to, forms, y, z) = match overwritten {
            Some(value) if value == c => (value, fused.by_231, a, b),
            Some(value) => {
                let other = if value == a { b } else { a };
                // The last operand may lie in memory.
                match self.registers.of(other) {
                    None if self.registers.of(c).is_some() => (value, fused.by_132, c, other),
                    _ => (value, fused.by_213, other, c),
                }
            }
            None => {
                // A copy of a: of what is in memory, the reading is the copy.
                let copy = self.take(false);
                let from = self.anywhere_to_copy(a, copy);
                if let Some(from) = from {
                    let operands = [self.reg(copy, kind), from];
                    self.put_form(forms::MOVE[0], width, &operands, Masking::All);
                }
                let y = self.in_register(b);
                let z = self.anywhere(c);
                let operands = [self.reg(copy, kind), self.reg(y, kind), z];
                self.put_form(of_kind(fused.by_213, kind), width, &operands, Masking::All);
                self.registers.put(number, copy);
                return;
            }
        };
        let target = self.in_register(to);
        let y = self.in_register(y);
        let z = self.anywhere(z);
        let operands = [self.reg(target, kind), self.reg(y, kind), z];
        self.put_form(of_kind(forms, kind), width, &operands, Masking::All);
        self.registers.free(to);
        self.registers.put(number, target);
    }

    /// Where to copy a value from; `None` if it was made in place.
    fn anywhere_to_copy(&mut self, value: Value, copy: Register) -> Option<Operand> {
        let kind = self.code.kind(value);
        if let Some(register) = self.registers.of(value) {
            return Some(self.reg(register, kind));
        }
        match self.registers.home[value as usize] {
            Home::Frame(room) => self.move_from_frame(copy, kind, room),
            _ => self.make_literal(value, copy),
        }
        None
    }

    /// AVX2: the low halves of 64-bit lanes.
    pub(super) fn narrow(&mut self, to: Register, from: Register) {
        let low = vector_register(from, 16);
        let mut high = low;
        if self.lanes == 4 {
            let upper = self.take(false);
            high = vector_register(upper, 16);
            let operands = [Operand::Reg(high), Operand::Reg(vector_register(from, 32)), Operand::Imm8(1)];
            self.put(Code::VEX_Vextracti128_xmmm128_ymm_imm8, &operands);
        }
        let to = vector_register(to, 16);
        // Elements 0 and 2 of each.
        let operands = [Operand::Reg(to), Operand::Reg(low), Operand::Reg(high), Operand::Imm8(0x88)];
        self.put(Code::VEX_Vshufps_xmm_xmm_xmmm128_imm8, &operands);
    }
}

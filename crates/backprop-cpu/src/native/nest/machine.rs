//! What all parts of a nest's code share: the assembler, the frame, general registers.
//!
//! ```text
//! frame (rbx):  units left · columns of a block · faults · what is not finite · pointers · counters
//!               · spilled vectors · locals
//! r12           the column, in elements          rax, rcx, rdx, r13   for the instruction at hand
//! the others    pointers, within a stage
//! ```

use backprop_core::DType;
use iced_x86::{Code, Register};

use super::plan::{Origin, Pointer};
use super::vector::Kind;
use crate::native::Isa;
use crate::native::assembler::{Assembler, Label, Mem, Operand};

/// The base of the frame.
pub const FRAME: Register = Register::RBX;
/// The column, in elements.
pub const COLUMN: Register = Register::R12;
/// Lanes that are left to a function.
pub const RARE: Register = Register::R13;
/// General registers that hold pointers.
pub const POINTERS: [Register; 9] = [
    Register::RSI,
    Register::RDI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
    Register::R14,
    Register::R15,
    Register::RBP,
];

/// Where things lie in the frame.
pub mod frame {
    #![allow(missing_docs)]
    pub const UNITS_LEFT: i32 = 0;
    pub const FIRST_COLUMN: i32 = 8;
    pub const END_COLUMN: i32 = 16;
    pub const FAULT: i32 = 24;
    /// Which numbers were not finite: NaN in some lane. 32-bit lanes, then 64-bit lanes.
    pub const NOT_FINITE: [i32; 2] = [64, 128];
    /// What is copied lane by lane.
    pub const STAGING: [i32; 2] = [192, 256];
    pub const REST: i32 = 320;
}

/// The code of a nest in the making.
pub struct Machine {
    /// What it is made for.
    pub isa: Isa,
    /// Its instructions.
    pub asm: Assembler,
    /// The bytes of the frame.
    frame_bytes: usize,
    /// What loops move, and where it lies in the frame.
    pointers: Vec<(Pointer, i32)>,
}

impl Machine {
    /// No code.
    pub fn new(isa: Isa) -> Machine {
        Machine { isa, asm: Assembler::new(), frame_bytes: frame::REST as usize, pointers: Vec::new() }
    }

    /// Room in the frame.
    pub fn room(&mut self, bytes: usize) -> i32 {
        let at = self.frame_bytes.next_multiple_of(if bytes >= 16 { 64 } else { 8 });
        match at.checked_add(bytes).filter(|&end| end < 1 << 30) {
            Some(end) => self.frame_bytes = end,
            None => self.asm.fail(),
        }
        at as i32
    }

    /// The bytes of the frame.
    pub fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// Adds a pointer; its number.
    pub fn add_pointer(&mut self, pointer: Pointer) -> u32 {
        let at = self.room(8);
        self.pointers.push((pointer, at));
        self.pointers.len() as u32 - 1
    }

    /// A pointer.
    pub fn pointer(&self, number: u32) -> &Pointer {
        &self.pointers[number as usize].0
    }

    /// Where a pointer lies.
    pub fn pointer_home(&self, number: u32) -> Mem {
        Mem::at(FRAME, self.pointers[number as usize].1)
    }

    /// The pointers and where they lie.
    pub fn pointers(&self) -> impl Iterator<Item = (&Pointer, i32)> {
        self.pointers.iter().map(|(pointer, at)| (pointer, *at))
    }

    /// Adds an instruction.
    pub fn put(&mut self, code: Code, operands: &[Operand]) {
        self.asm.put(code, operands);
    }

    /// Moves every pointer that a loop moves: `bytes` says how far.
    pub fn advance(&mut self, bytes: impl Fn(&Pointer) -> Option<i64>) {
        for number in 0..self.pointers.len() {
            let (pointer, at) = &self.pointers[number];
            if pointer.origin == Origin::Computed {
                continue;
            }
            let at = Mem::at(FRAME, *at);
            match bytes(pointer).map(i32::try_from) {
                Some(Ok(0)) => {}
                Some(Ok(bytes)) => {
                    self.put(Code::Add_rm64_imm32, &[Operand::Mem(at), Operand::Imm32To64(bytes)]);
                }
                _ => {
                    let Some(bytes) = bytes(pointer) else { return self.asm.fail() };
                    let far = Operand::Reg(Register::RAX);
                    self.put(Code::Mov_r64_imm64, &[far, Operand::Imm64(bytes as u64)]);
                    self.put(Code::Add_rm64_r64, &[Operand::Mem(at), far]);
                }
            }
        }
    }

    /// Starts a loop of so many iterations.
    pub fn open_loop(&mut self, size: usize) -> Loop {
        let counter = self.room(8);
        if size > 1 {
            match i32::try_from(size) {
                Ok(size) => self.put(
                    Code::Mov_rm64_imm32,
                    &[Operand::Mem(Mem::at(FRAME, counter)), Operand::Imm32To64(size)],
                ),
                Err(_) => self.asm.fail(),
            }
        }
        Loop { counter, size, top: self.asm.here() }
    }

    /// Ends a loop; `stride` says how many elements it moves a pointer on.
    pub fn close_loop(&mut self, Loop { counter, size, top }: Loop, stride: impl Fn(&Pointer) -> isize) {
        if size <= 1 {
            return;
        }
        let bytes = |pointer: &Pointer| (stride(pointer) as i64).checked_mul(pointer.unit as i64);
        self.advance(bytes);
        self.put(Code::Sub_rm64_imm32, &[Operand::Mem(Mem::at(FRAME, counter)), Operand::Imm32To64(1)]);
        self.asm.jump(Code::Jne_rel32_64, top);
        self.advance(|pointer| bytes(pointer)?.checked_mul(-(size as i64)));
    }
}

/// A loop that is open.
pub struct Loop {
    counter: i32,
    size: usize,
    top: Label,
}

/// The bytes of a lane.
pub fn lane_bytes(kind: Kind) -> usize {
    if kind == Kind::Double { 8 } else { 4 }
}

/// The register of this number for vectors of `width` bytes.
pub fn vector_register(number: u8, width: usize) -> Register {
    let first = match width {
        64 => Register::ZMM0,
        32 => Register::YMM0,
        _ => Register::XMM0,
    };
    first + u32::from(number)
}

/// Whether a value of the type is a byte in memory.
pub fn is_byte(dtype: DType) -> bool {
    dtype.size() == 1
}

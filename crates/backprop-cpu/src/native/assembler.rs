//! Instructions to bytes: `iced-x86`'s encoder, jumps, and a pool of constants behind the code.

use std::collections::HashMap;

use iced_x86::{Code, Encoder, Instruction, OpKind, Register};

/// An operand of an instruction.
#[derive(Clone, Copy, Debug)]
pub enum Operand {
    /// A register.
    Reg(Register),
    /// Memory.
    Mem(Mem),
    /// An immediate byte.
    Imm8(u8),
    /// An immediate of 32 bits.
    Imm32(u32),
    /// An immediate of 32 bits, sign-extended to 64.
    Imm32To64(i32),
    /// An immediate of 64 bits.
    Imm64(u64),
}

/// base + index·scale + displacement.
#[derive(Clone, Copy, Debug)]
pub struct Mem {
    /// The base register; `RIP` means the pool.
    pub base: Register,
    /// The index register, or `None`.
    pub index: Register,
    /// 1, 2, 4 or 8.
    pub scale: u32,
    /// Bytes further on; in the pool, from its start.
    pub displacement: i32,
    /// Whether one element is read, for every lane.
    pub is_broadcast: bool,
}

impl Mem {
    /// base + displacement.
    pub fn at(base: Register, displacement: i32) -> Mem {
        Mem { base, index: Register::None, scale: 1, displacement, is_broadcast: false }
    }

    /// This many bytes further on.
    pub fn plus(self, bytes: i32) -> Mem {
        Mem { displacement: self.displacement + bytes, ..self }
    }
}

/// A place in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(u32);

/// What marks lanes of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masking {
    /// Nothing: all lanes are written.
    All,
    /// Other lanes keep what they held.
    Merge(Register),
    /// Other lanes become 0.
    Zero(Register),
}

/// Machine code in the making.
pub struct Assembler {
    encoder: Encoder,
    len: usize,
    n_instructions: usize,
    labels: Vec<usize>,
    /// Jumps to labels: where their 32-bit distance ends.
    jumps: Vec<(usize, Label)>,
    /// Where a displacement lies, where its instruction ends, and the byte of the pool that it names.
    pool_uses: Vec<(usize, usize, i32)>,
    pool: Vec<u8>,
    pooled: HashMap<Vec<u8>, i32>,
    has_failed: bool,
}

/// Machine code that is done.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Instructions, and constants behind them.
    pub bytes: Vec<u8>,
    /// How many of the bytes are instructions.
    pub code_bytes: usize,
}

/// A label that is not placed yet.
const NOWHERE: usize = usize::MAX;

impl Default for Assembler {
    fn default() -> Assembler {
        Assembler::new()
    }
}

impl Assembler {
    /// No code.
    pub fn new() -> Assembler {
        Assembler {
            encoder: Encoder::new(64),
            len: 0,
            n_instructions: 0,
            labels: Vec::new(),
            jumps: Vec::new(),
            pool_uses: Vec::new(),
            pool: Vec::new(),
            pooled: HashMap::new(),
            has_failed: false,
        }
    }

    /// The bytes of code so far.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The number of instructions.
    pub fn n_instructions(&self) -> usize {
        self.n_instructions
    }

    /// Gives up: [`Assembler::finish`] has no code.
    pub fn fail(&mut self) {
        self.has_failed = true;
    }

    /// Adds an instruction.
    pub fn put(&mut self, code: Code, operands: &[Operand]) {
        self.put_masked(code, operands, Masking::All);
    }

    /// Adds an instruction under a mask.
    pub fn put_masked(&mut self, code: Code, operands: &[Operand], masking: Masking) {
        let mut instruction = Instruction::default();
        instruction.set_code(code);
        let mut in_pool = None;
        for (position, operand) in operands.iter().enumerate() {
            let position = position as u32;
            let kind = match *operand {
                Operand::Reg(_) => OpKind::Register,
                Operand::Mem(_) => OpKind::Memory,
                Operand::Imm8(_) => OpKind::Immediate8,
                Operand::Imm32(_) => OpKind::Immediate32,
                Operand::Imm32To64(_) => OpKind::Immediate32to64,
                Operand::Imm64(_) => OpKind::Immediate64,
            };
            instruction.set_op_kind(position, kind);
            match *operand {
                Operand::Reg(register) => instruction.set_op_register(position, register),
                Operand::Mem(mem) => {
                    instruction.set_memory_base(mem.base);
                    instruction.set_memory_index(mem.index);
                    instruction.set_memory_index_scale(mem.scale);
                    instruction.set_is_broadcast(mem.is_broadcast);
                    if mem.base == Register::RIP {
                        in_pool = Some(mem.displacement);
                        instruction.set_memory_displ_size(8);
                        instruction.set_memory_displacement64(self.len as u64);
                    } else if mem.displacement != 0 {
                        instruction.set_memory_displ_size(1);
                        instruction.set_memory_displacement64(mem.displacement as i64 as u64);
                    }
                }
                Operand::Imm8(value) => instruction.set_immediate8(value),
                Operand::Imm32(value) => instruction.set_immediate32(value),
                Operand::Imm32To64(value) => instruction.set_immediate32to64(i64::from(value)),
                Operand::Imm64(value) => instruction.set_immediate64(value),
            }
        }
        match masking {
            Masking::All => {}
            Masking::Merge(mask) => instruction.set_op_mask(mask),
            Masking::Zero(mask) => {
                instruction.set_op_mask(mask);
                instruction.set_zeroing_masking(true);
            }
        }
        let start = self.len;
        self.encode(&instruction);
        if let Some(byte) = in_pool {
            let at = start + self.encoder.get_constant_offsets().displacement_offset();
            self.pool_uses.push((at, self.len, byte));
        }
    }

    fn encode(&mut self, instruction: &Instruction) {
        match self.encoder.encode(instruction, self.len as u64) {
            Ok(bytes) => {
                #[cfg(test)]
                self.check_decoded(instruction, bytes);
                self.len += bytes;
                self.n_instructions += 1;
            }
            Err(why) => {
                debug_assert!(false, "{why}");
                self.has_failed = true;
            }
        }
    }

    /// Every instruction that a test emits is decoded back.
    #[cfg(test)]
    fn check_decoded(&mut self, instruction: &Instruction, len: usize) {
        let bytes = self.encoder.take_buffer();
        let found = iced_x86::Decoder::new(64, &bytes[self.len..], iced_x86::DecoderOptions::NONE).decode();
        assert_eq!((found.mnemonic(), found.len()), (instruction.mnemonic(), len));
        assert_eq!(found.op_mask(), instruction.op_mask());
        for operand in 0..instruction.op_count() {
            assert_eq!(found.op_register(operand), instruction.op_register(operand), "of {:?}", found.code());
        }
        assert_eq!(found.memory_base(), instruction.memory_base());
        assert_eq!(found.memory_index(), instruction.memory_index());
        if !matches!(found.memory_base(), Register::None | Register::RIP) {
            assert_eq!(found.memory_displacement64(), instruction.memory_displacement64());
        }
        self.encoder.set_buffer(bytes);
    }

    /// A new place, still nowhere.
    pub fn label(&mut self) -> Label {
        self.labels.push(NOWHERE);
        Label(self.labels.len() as u32 - 1)
    }

    /// The label is here.
    pub fn place(&mut self, label: Label) {
        self.labels[label.0 as usize] = self.len;
    }

    /// A label that is here.
    pub fn here(&mut self) -> Label {
        let label = self.label();
        self.place(label);
        label
    }

    /// Jumps to a label; `code` is a jump of 32 bits.
    pub fn jump(&mut self, code: Code, label: Label) {
        let mut instruction = Instruction::default();
        instruction.set_code(code);
        instruction.set_op0_kind(OpKind::NearBranch64);
        instruction.set_near_branch64(self.len as u64);
        self.encode(&instruction);
        self.jumps.push((self.len, label));
    }

    /// Constants behind the code; equal ones are kept once.
    pub fn constant(&mut self, bytes: &[u8]) -> Mem {
        let at = *self.pooled.entry(bytes.to_vec()).or_insert_with(|| {
            let at = self.pool.len().next_multiple_of(bytes.len().next_power_of_two());
            self.pool.resize(at, 0);
            self.pool.extend_from_slice(bytes);
            at as i32
        });
        Mem::at(Register::RIP, at)
    }

    /// The code; `None` after a failure.
    pub fn finish(mut self) -> Option<Finished> {
        let mut bytes = self.encoder.take_buffer();
        let code_bytes = bytes.len();
        let distance = |from: usize, to: usize| i32::try_from(to as i64 - from as i64).ok();
        for (end, label) in self.jumps {
            let to = self.labels[label.0 as usize];
            assert_ne!(to, NOWHERE, "a jump to a label without a place");
            bytes[end - 4..end].copy_from_slice(&distance(end, to)?.to_le_bytes());
        }
        bytes.resize(code_bytes.next_multiple_of(64), 0);
        let pool = bytes.len();
        for (at, end, byte) in self.pool_uses {
            bytes[at..at + 4].copy_from_slice(&distance(end, pool + byte as usize)?.to_le_bytes());
        }
        bytes.extend_from_slice(&self.pool);
        (!self.has_failed).then_some(Finished { bytes, code_bytes })
    }
}

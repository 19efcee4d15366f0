//! Instructions, one by one, into bytes: vectors of floats, and the few scalar instructions around them.
//!
//! A [`Vectors`] says which registers and which of four encodings (AVX-512 or AVX2, f32 or f64) a vector
//! instruction takes, so that the code which writes loops names operations, not encodings.

use backprop_core::DType;
use iced_x86::{Code, Encoder, Instruction, MemoryOperand, Register};

use crate::native::Isa;

/// A kind of vectors: which registers, how many lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vectors {
    pub isa: Isa,
    pub dtype: DType,
}

impl Vectors {
    /// The bytes of a vector.
    pub fn bytes(self) -> usize {
        match self.isa {
            Isa::Avx512 => 64,
            Isa::Avx2 => 32,
        }
    }

    /// The elements of a vector.
    pub fn lanes(self) -> usize {
        self.bytes() / self.dtype.size()
    }

    /// The vector registers that are free to use: without mask registers, one is kept for the mask.
    pub fn n_registers(self) -> usize {
        match self.isa {
            Isa::Avx512 => 32,
            Isa::Avx2 => TAIL_VECTOR,
        }
    }

    fn register(self, number: usize) -> Register {
        assert!(number < if self.isa == Isa::Avx512 { 32 } else { 16 }, "vector register {number}");
        let first = if self.isa == Isa::Avx512 { Register::ZMM0 } else { Register::YMM0 };
        first + number as u32
    }

    fn pick(self, codes: [Code; 4]) -> Code {
        codes[2 * usize::from(self.isa == Isa::Avx2) + usize::from(self.dtype == DType::F64)]
    }
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident: $ps512:ident $pd512:ident $ps256:ident $pd256:ident;)*) => {
        /// A vector instruction of two sources, the second one from memory if need be.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Operation {
            $($(#[$doc])* $name,)*
        }

        impl Operation {
            fn codes(self) -> [Code; 4] {
                match self {
                    $(Operation::$name => [Code::$ps512, Code::$pd512, Code::$ps256, Code::$pd256],)*
                }
            }
        }
    };
}

operations! {
    /// to += a·b, rounded once
    Fma: EVEX_Vfmadd231ps_zmm_k1z_zmm_zmmm512b32_er EVEX_Vfmadd231pd_zmm_k1z_zmm_zmmm512b64_er
        VEX_Vfmadd231ps_ymm_ymm_ymmm256 VEX_Vfmadd231pd_ymm_ymm_ymmm256;
    /// to = a + b
    Add: EVEX_Vaddps_zmm_k1z_zmm_zmmm512b32_er EVEX_Vaddpd_zmm_k1z_zmm_zmmm512b64_er
        VEX_Vaddps_ymm_ymm_ymmm256 VEX_Vaddpd_ymm_ymm_ymmm256;
    /// to = a − b
    Sub: EVEX_Vsubps_zmm_k1z_zmm_zmmm512b32_er EVEX_Vsubpd_zmm_k1z_zmm_zmmm512b64_er
        VEX_Vsubps_ymm_ymm_ymmm256 VEX_Vsubpd_ymm_ymm_ymmm256;
    /// to = a·b
    Mul: EVEX_Vmulps_zmm_k1z_zmm_zmmm512b32_er EVEX_Vmulpd_zmm_k1z_zmm_zmmm512b64_er
        VEX_Vmulps_ymm_ymm_ymmm256 VEX_Vmulpd_ymm_ymm_ymmm256;
    /// to = a/b
    Div: EVEX_Vdivps_zmm_k1z_zmm_zmmm512b32_er EVEX_Vdivpd_zmm_k1z_zmm_zmmm512b64_er
        VEX_Vdivps_ymm_ymm_ymmm256 VEX_Vdivpd_ymm_ymm_ymmm256;
    /// to = a if a > b, else b
    Max: EVEX_Vmaxps_zmm_k1z_zmm_zmmm512b32_sae EVEX_Vmaxpd_zmm_k1z_zmm_zmmm512b64_sae
        VEX_Vmaxps_ymm_ymm_ymmm256 VEX_Vmaxpd_ymm_ymm_ymmm256;
    /// to = a if a < b, else b
    Min: EVEX_Vminps_zmm_k1z_zmm_zmmm512b32_sae EVEX_Vminpd_zmm_k1z_zmm_zmmm512b64_sae
        VEX_Vminps_ymm_ymm_ymmm256 VEX_Vminpd_ymm_ymm_ymmm256;
    /// to = a and b, bit by bit
    And: EVEX_Vandps_zmm_k1z_zmm_zmmm512b32 EVEX_Vandpd_zmm_k1z_zmm_zmmm512b64
        VEX_Vandps_ymm_ymm_ymmm256 VEX_Vandpd_ymm_ymm_ymmm256;
    /// to = a or b, bit by bit
    Or: EVEX_Vorps_zmm_k1z_zmm_zmmm512b32 EVEX_Vorpd_zmm_k1z_zmm_zmmm512b64
        VEX_Vorps_ymm_ymm_ymmm256 VEX_Vorpd_ymm_ymm_ymmm256;
    /// to = a xor b, bit by bit
    Xor: EVEX_Vxorps_zmm_k1z_zmm_zmmm512b32 EVEX_Vxorpd_zmm_k1z_zmm_zmmm512b64
        VEX_Vxorps_ymm_ymm_ymmm256 VEX_Vxorpd_ymm_ymm_ymmm256;
}

/// Which lanes of a vector exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lanes {
    /// All of them.
    All,
    /// The first ones: those of the mask that [`Assembly::tail`] has set.
    Tail,
}

/// The mask of a tail; without mask registers, it is vector register [`TAIL_VECTOR`].
const TAIL: Register = Register::K1;

/// Holds a mask of a tail where there are no mask registers.
const TAIL_VECTOR: usize = 15;

/// A mask for as long as one operation takes.
const SCRATCH_MASK: Register = Register::K2;

/// Which lanes of watched stores were not finite, so far.
const WATCH: Register = Register::K3;

/// The predicate of `vcmpps` that holds where an operand is NaN.
pub(super) const UNORDERED: u32 = 3;

/// Machine code in the making.
pub(super) struct Assembly {
    pub vectors: Vectors,
    encoder: Encoder,
    len: usize,
    /// Jumps forward: where their distance ends, and where they go.
    jumps: Vec<(usize, usize)>,
    #[cfg(test)]
    pub instructions: Vec<Instruction>,
}

/// Where a jump back goes.
#[derive(Clone, Copy)]
pub(super) struct Label(u64);

/// A jump forward that does not know yet where it goes.
#[must_use]
pub(super) struct Skip(usize);

/// An address: a base and a distance in bytes.
pub(super) type Address = (Register, i32);

impl Assembly {
    pub fn new(vectors: Vectors) -> Assembly {
        Assembly {
            vectors,
            encoder: Encoder::new(64),
            len: 0,
            jumps: Vec::new(),
            #[cfg(test)]
            instructions: Vec::new(),
        }
    }

    /// The bytes so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The code.
    pub fn finish(mut self) -> Vec<u8> {
        let mut code = self.encoder.take_buffer();
        for (from, to) in self.jumps {
            let distance = i32::try_from(to - from).expect("code is shorter than 2 GiB");
            code[from - 4..from].copy_from_slice(&distance.to_le_bytes());
        }
        code
    }

    pub fn put(&mut self, instruction: Instruction) {
        let encoded = self.encoder.encode(&instruction, self.len as u64);
        self.len += encoded.expect("an instruction made of fitting operands can be encoded");
        #[cfg(test)]
        self.instructions.push(instruction);
    }

    // -- scalar ------------------------------------------------------------------------------------------

    /// A place to jump back to.
    pub fn label(&self) -> Label {
        Label(self.len as u64)
    }

    /// Jumps back while the last subtraction left something.
    pub fn jump_if_not_zero(&mut self, to: Label) {
        self.put(Instruction::with_branch(Code::Jne_rel32_64, to.0).expect("a branch"));
    }

    /// Goes to where [`Assembly::land`] is called if the word is 0.
    pub fn skip_if_zero(&mut self, word: Address) -> Skip {
        self.put(Instruction::with2(Code::Cmp_rm64_imm8, memory(word), 0).expect("an operand fits"));
        // The distance is written at the end; any place that is 4 bytes away will do for now.
        self.put(Instruction::with_branch(Code::Je_rel32_64, 0).expect("a branch"));
        Skip(self.len)
    }

    /// Where a jump goes.
    pub fn land(&mut self, skip: Skip) {
        self.jumps.push((skip.0, self.len));
    }

    pub fn load_word(&mut self, to: Register, from: Address) {
        self.put(two(Code::Mov_r64_rm64, to, from));
    }

    /// Sets the bits of a word in memory that are set in a register.
    pub fn or_into_word(&mut self, to: Address, from: Register) {
        self.put(Instruction::with2(Code::Or_rm64_r64, memory(to), from).expect("an operand fits"));
    }

    pub fn push(&mut self, register: Register) {
        self.put(Instruction::with1(Code::Push_r64, register).expect("an operand fits"));
    }

    pub fn pop(&mut self, register: Register) {
        self.put(Instruction::with1(Code::Pop_r64, register).expect("an operand fits"));
    }

    pub fn copy(&mut self, to: Register, from: Register) {
        self.put(Instruction::with2(Code::Mov_r64_rm64, to, from).expect("an operand fits"));
    }

    /// Adds a constant; flags are set.
    pub fn add(&mut self, to: Register, constant: i32) {
        if constant != 0 {
            let code =
                if i8::try_from(constant).is_ok() { Code::Add_rm64_imm8 } else { Code::Add_rm64_imm32 };
            self.put(Instruction::with2(code, to, constant).expect("an operand fits"));
        }
    }

    /// Adds a constant to a word in memory; flags are set.
    pub fn add_to_word(&mut self, to: Address, constant: i32) {
        if constant != 0 {
            self.put(
                Instruction::with2(Code::Add_rm64_imm32, memory(to), constant).expect("an operand fits"),
            );
        }
    }

    pub fn prefetch(&mut self, at: Address) {
        self.put(Instruction::with1(Code::Prefetcht0_m8, memory(at)).expect("an operand fits"));
    }

    /// Returns; upper halves of vectors are left clean, for code that knows of none.
    pub fn ret(&mut self) {
        self.put(Instruction::with(Code::VEX_Vzeroupper));
        self.put(Instruction::with(Code::Retnq));
    }

    // -- vectors -----------------------------------------------------------------------------------------

    pub fn operate(&mut self, operation: Operation, to: usize, a: usize, b: usize) {
        let v = self.vectors;
        let code = v.pick(operation.codes());
        self.put(
            Instruction::with3(code, v.register(to), v.register(a), v.register(b)).expect("an operand fits"),
        );
    }

    /// With the second source from memory: one element for all lanes. AVX-512 only.
    pub fn operate_broadcast(&mut self, operation: Operation, to: usize, a: usize, b: Address) {
        let v = self.vectors;
        let code = v.pick(operation.codes());
        let mut instruction =
            Instruction::with3(code, v.register(to), v.register(a), memory(b)).expect("an operand fits");
        instruction.set_is_broadcast(true);
        self.put(instruction);
    }

    /// All lanes 0.
    pub fn zero(&mut self, to: usize) {
        // The encoding with the fewest bytes; the upper lanes are zeroed too.
        if to < 16 {
            let x = Register::XMM0 + to as u32;
            self.put(Instruction::with3(Code::VEX_Vxorps_xmm_xmm_xmmm128, x, x, x).expect("an operand fits"));
        } else {
            self.operate(Operation::Xor, to, to, to);
        }
    }

    pub fn copy_vector(&mut self, to: usize, from: usize) {
        let code = self.vectors.pick([
            Code::EVEX_Vmovups_zmm_k1z_zmmm512,
            Code::EVEX_Vmovupd_zmm_k1z_zmmm512,
            Code::VEX_Vmovups_ymm_ymmm256,
            Code::VEX_Vmovupd_ymm_ymmm256,
        ]);
        let (to, from) = (self.vectors.register(to), self.vectors.register(from));
        self.put(Instruction::with2(code, to, from).expect("an operand fits"));
    }

    /// √a
    pub fn square_root(&mut self, to: usize, a: usize) {
        let code = self.vectors.pick([
            Code::EVEX_Vsqrtps_zmm_k1z_zmmm512b32_er,
            Code::EVEX_Vsqrtpd_zmm_k1z_zmmm512b64_er,
            Code::VEX_Vsqrtps_ymm_ymmm256,
            Code::VEX_Vsqrtpd_ymm_ymmm256,
        ]);
        let (to, a) = (self.vectors.register(to), self.vectors.register(a));
        self.put(Instruction::with2(code, to, a).expect("an operand fits"));
    }

    /// All bits of a lane set where the predicate (of `vcmpps`) holds, else none.
    pub fn compare(&mut self, to: usize, a: usize, b: usize, predicate: u32) {
        let v = self.vectors;
        let code = v.pick([
            Code::EVEX_Vcmpps_kr_k1_zmm_zmmm512b32_imm8_sae,
            Code::EVEX_Vcmppd_kr_k1_zmm_zmmm512b64_imm8_sae,
            Code::VEX_Vcmpps_ymm_ymm_ymmm256_imm8,
            Code::VEX_Vcmppd_ymm_ymm_ymmm256_imm8,
        ]);
        let (x, y, found) = (v.register(a), v.register(b), v.register(to));
        let held = if v.isa == Isa::Avx512 { SCRATCH_MASK } else { found };
        self.put(Instruction::with4(code, held, x, y, predicate).expect("an operand fits"));
        if v.isa == Isa::Avx512 {
            let code =
                if v.dtype == DType::F64 { Code::EVEX_Vpmovm2q_zmm_kr } else { Code::EVEX_Vpmovm2d_zmm_kr };
            self.put(Instruction::with2(code, found, SCRATCH_MASK).expect("an operand fits"));
        }
    }

    /// a where the mask's highest bit is set, else b.
    pub fn select(&mut self, to: usize, mask: usize, a: usize, b: usize) {
        let v = self.vectors;
        let (to, mask, a, b) = (v.register(to), v.register(mask), v.register(a), v.register(b));
        if v.isa == Isa::Avx512 {
            let (test, blend) = match v.dtype {
                DType::F64 => (Code::EVEX_Vpmovq2m_kr_zmm, Code::EVEX_Vblendmpd_zmm_k1z_zmm_zmmm512b64),
                _ => (Code::EVEX_Vpmovd2m_kr_zmm, Code::EVEX_Vblendmps_zmm_k1z_zmm_zmmm512b32),
            };
            self.put(Instruction::with2(test, SCRATCH_MASK, mask).expect("an operand fits"));
            let mut instruction = Instruction::with3(blend, to, b, a).expect("an operand fits");
            instruction.set_op_mask(SCRATCH_MASK);
            self.put(instruction);
        } else {
            let code = match v.dtype {
                DType::F64 => Code::VEX_Vblendvpd_ymm_ymm_ymmm256_ymm,
                _ => Code::VEX_Vblendvps_ymm_ymm_ymmm256_ymm,
            };
            self.put(Instruction::with4(code, to, b, a, mask).expect("an operand fits"));
        }
    }

    /// Truth values, a byte each, as masks of all bits. AVX-512 only.
    pub fn load_bools(&mut self, to: usize, from: Address, lanes: Lanes) {
        let wide = self.vectors.dtype == DType::F64;
        let code =
            if wide { Code::EVEX_Vpmovzxbq_zmm_k1z_xmmm64 } else { Code::EVEX_Vpmovzxbd_zmm_k1z_xmmm128 };
        let mut instruction = two(code, self.vectors.register(to), from);
        if lanes == Lanes::Tail {
            instruction.set_op_mask(TAIL);
            instruction.set_zeroing_masking(true);
        }
        self.put(instruction);
        // 1 and 0 are all that a byte holds.
        let (test, spread) = match wide {
            true => (Code::EVEX_Vptestmq_kr_k1_zmm_zmmm512b64, Code::EVEX_Vpmovm2q_zmm_kr),
            false => (Code::EVEX_Vptestmd_kr_k1_zmm_zmmm512b32, Code::EVEX_Vpmovm2d_zmm_kr),
        };
        let x = self.vectors.register(to);
        self.put(Instruction::with3(test, SCRATCH_MASK, x, x).expect("an operand fits"));
        self.put(Instruction::with2(spread, x, SCRATCH_MASK).expect("an operand fits"));
    }

    /// The reverse of [`Assembly::load_bools`]; `spare` is overwritten.
    pub fn store_bools(&mut self, to: Address, from: usize, spare: usize, lanes: Lanes) {
        let wide = self.vectors.dtype == DType::F64;
        let (shift, narrow) = match wide {
            true => (Code::EVEX_Vpsrlq_zmm_k1z_zmmm512b64_imm8, Code::EVEX_Vpmovqb_xmmm64_k1z_zmm),
            false => (Code::EVEX_Vpsrld_zmm_k1z_zmmm512b32_imm8, Code::EVEX_Vpmovdb_xmmm128_k1z_zmm),
        };
        let (x, bit) = (self.vectors.register(from), self.vectors.register(spare));
        let highest = if wide { 63 } else { 31 };
        self.put(Instruction::with3(shift, bit, x, highest).expect("an operand fits"));
        let mut instruction = Instruction::with2(narrow, memory(to), bit).expect("an operand fits");
        if lanes == Lanes::Tail {
            instruction.set_op_mask(TAIL);
        }
        self.put(instruction);
    }

    /// Sets the mask of a tail: its bits are in a word at `bits`, its bytes where the word at `bytes` points.
    pub fn tail(&mut self, bits: Address, bytes: Address) {
        match self.vectors.isa {
            Isa::Avx512 => self.put(two(Code::VEX_Kmovw_kr_km16, TAIL, bits)),
            Isa::Avx2 => {
                self.load_word(Register::RAX, bytes);
                self.load(TAIL_VECTOR, (Register::RAX, 0), Lanes::All);
            }
        }
    }

    // -- watched stores ----------------------------------------------------------------------------------

    /// Nothing was found so far.
    pub fn watch_nothing(&mut self) {
        if self.vectors.isa == Isa::Avx512 {
            let none = Instruction::with3(Code::VEX_Kxorw_kr_kr_kr, WATCH, WATCH, WATCH);
            self.put(none.expect("an operand fits"));
        }
    }

    /// Looks for lanes that are infinite or NaN; sets bits of a word then, now or when
    /// [`Assembly::watched`] is called. `spare` and RAX are overwritten.
    pub fn watch(&mut self, x: usize, spare: usize, lanes: Lanes, word: Address) {
        let v = self.vectors;
        if v.isa == Isa::Avx512 {
            // Quiet NaN, +∞, −∞, signalling NaN.
            const NOT_FINITE: u32 = 0x99;
            let code = match v.dtype {
                DType::F64 => Code::EVEX_Vfpclasspd_kr_k1_zmmm512b64_imm8,
                _ => Code::EVEX_Vfpclassps_kr_k1_zmmm512b32_imm8,
            };
            let mut instruction =
                Instruction::with3(code, SCRATCH_MASK, v.register(x), NOT_FINITE).expect("an operand fits");
            if lanes == Lanes::Tail {
                instruction.set_op_mask(TAIL);
            }
            self.put(instruction);
            let joined = Instruction::with3(Code::VEX_Korw_kr_kr_kr, WATCH, WATCH, SCRATCH_MASK);
            self.put(joined.expect("an operand fits"));
            return;
        }
        // x − x is 0, or NaN if x is not finite.
        self.operate(Operation::Sub, spare, x, x);
        self.compare(spare, spare, spare, UNORDERED);
        if lanes == Lanes::Tail {
            self.operate(Operation::And, spare, spare, TAIL_VECTOR);
        }
        let code = match v.dtype {
            DType::F64 => Code::VEX_Vmovmskpd_r32_ymm,
            _ => Code::VEX_Vmovmskps_r32_ymm,
        };
        let bits = Instruction::with2(code, Register::EAX, v.register(spare));
        self.put(bits.expect("an operand fits"));
        self.or_into_word(word, Register::RAX);
    }

    /// Tells what was found. RAX is overwritten.
    pub fn watched(&mut self, word: Address) {
        if self.vectors.isa == Isa::Avx512 {
            let bits = Instruction::with2(Code::VEX_Kmovw_r32_kr, Register::EAX, WATCH);
            self.put(bits.expect("an operand fits"));
            self.or_into_word(word, Register::RAX);
        }
    }

    /// One element for all lanes.
    pub fn broadcast(&mut self, to: usize, from: Address) {
        let code = self.vectors.pick([
            Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32,
            Code::EVEX_Vbroadcastsd_zmm_k1z_xmmm64,
            Code::VEX_Vbroadcastss_ymm_m32,
            Code::VEX_Vbroadcastsd_ymm_m64,
        ]);
        self.put(two(code, self.vectors.register(to), from));
    }

    /// Neighbouring elements; lanes that do not exist are 0.
    pub fn load(&mut self, to: usize, from: Address, lanes: Lanes) {
        let v = self.vectors;
        let whole = v.pick([
            Code::EVEX_Vmovups_zmm_k1z_zmmm512,
            Code::EVEX_Vmovupd_zmm_k1z_zmmm512,
            Code::VEX_Vmovups_ymm_ymmm256,
            Code::VEX_Vmovupd_ymm_ymmm256,
        ]);
        match (lanes, v.isa) {
            (Lanes::All, _) => self.put(two(whole, v.register(to), from)),
            (Lanes::Tail, Isa::Avx512) => {
                let mut instruction = two(whole, v.register(to), from);
                instruction.set_op_mask(TAIL);
                instruction.set_zeroing_masking(true);
                self.put(instruction);
            }
            (Lanes::Tail, Isa::Avx2) => {
                let code = match v.dtype {
                    DType::F64 => Code::VEX_Vmaskmovpd_ymm_ymm_m256,
                    _ => Code::VEX_Vmaskmovps_ymm_ymm_m256,
                };
                let mask = v.register(TAIL_VECTOR);
                self.put(
                    Instruction::with3(code, v.register(to), mask, memory(from)).expect("an operand fits"),
                );
            }
        }
    }

    /// Neighbouring elements; nothing is written where lanes do not exist.
    pub fn store(&mut self, to: Address, from: usize, lanes: Lanes) {
        let v = self.vectors;
        let whole = v.pick([
            Code::EVEX_Vmovups_zmmm512_k1z_zmm,
            Code::EVEX_Vmovupd_zmmm512_k1z_zmm,
            Code::VEX_Vmovups_ymmm256_ymm,
            Code::VEX_Vmovupd_ymmm256_ymm,
        ]);
        match (lanes, v.isa) {
            (Lanes::Tail, Isa::Avx2) => {
                let code = match v.dtype {
                    DType::F64 => Code::VEX_Vmaskmovpd_m256_ymm_ymm,
                    _ => Code::VEX_Vmaskmovps_m256_ymm_ymm,
                };
                let mask = v.register(TAIL_VECTOR);
                self.put(
                    Instruction::with3(code, memory(to), mask, v.register(from)).expect("an operand fits"),
                );
            }
            _ => {
                let mut instruction =
                    Instruction::with2(whole, memory(to), v.register(from)).expect("an operand fits");
                if lanes == Lanes::Tail {
                    instruction.set_op_mask(TAIL);
                }
                self.put(instruction);
            }
        }
    }
}

fn memory((base, distance): Address) -> MemoryOperand {
    MemoryOperand::with_base_displ_size(base, distance.into(), u32::from(distance != 0))
}

fn two(code: Code, to: Register, from: Address) -> Instruction {
    Instruction::with2(code, to, memory(from)).expect("an operand fits")
}

//! What loops over vectors of floats are written in: vector operations, and the few scalar instructions around
//! them.
//!
//! A [`Vectors`] says which registers and which of four encodings (AVX-512 or AVX2, f32 or f64) a vector
//! instruction takes, so that the code which writes loops names operations, not encodings.

use backprop_core::DType;
use iced_x86::{Code, Register};

use crate::native::Isa;
use crate::native::assembler::{Assembler, Finished, Label, Masking, Mem, Operand};

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
        match (self.isa, self.dtype) {
            (Isa::Avx512, DType::F64) => 8,
            (Isa::Avx512, _) => 16,
            (Isa::Avx2, DType::F64) => 4,
            (Isa::Avx2, _) => 8,
        }
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
const MASK: Register = Register::K2;

/// Which lanes of watched stores were not finite, so far.
const WATCH: Register = Register::K3;

/// The predicate of `vcmpps` that holds where an operand is NaN.
pub(super) const UNORDERED: u8 = 3;

/// Machine code in the making.
pub(super) struct Assembly {
    pub vectors: Vectors,
    asm: Assembler,
}

/// Neighbouring elements into a register.
const LOAD: [Code; 4] = [
    Code::EVEX_Vmovups_zmm_k1z_zmmm512,
    Code::EVEX_Vmovupd_zmm_k1z_zmmm512,
    Code::VEX_Vmovups_ymm_ymmm256,
    Code::VEX_Vmovupd_ymm_ymmm256,
];

/// A register into neighbouring elements.
const STORE: [Code; 4] = [
    Code::EVEX_Vmovups_zmmm512_k1z_zmm,
    Code::EVEX_Vmovupd_zmmm512_k1z_zmm,
    Code::VEX_Vmovups_ymmm256_ymm,
    Code::VEX_Vmovupd_ymmm256_ymm,
];

impl Assembly {
    pub fn new(vectors: Vectors) -> Assembly {
        Assembly { vectors, asm: Assembler::new() }
    }

    /// The code; `None` where an instruction had no encoding.
    pub fn finish(self) -> Option<Finished> {
        self.asm.finish()
    }

    /// The bytes so far.
    pub fn len(&self) -> usize {
        self.asm.len()
    }

    fn vector(&self, number: usize) -> Operand {
        Operand::Reg(self.vectors.register(number))
    }

    /// One of four encodings.
    fn put(&mut self, codes: [Code; 4], operands: &[Operand], masking: Masking) {
        self.asm.put_masked(self.vectors.pick(codes), operands, masking);
    }

    /// An encoding that only AVX-512 has, for elements of 32 or of 64 bits.
    fn put_wide(&mut self, [narrow, wide]: [Code; 2], operands: &[Operand], masking: Masking) {
        assert_eq!(self.vectors.isa, Isa::Avx512);
        let code = if self.vectors.dtype == DType::F64 { wide } else { narrow };
        self.asm.put_masked(code, operands, masking);
    }

    // -- scalar ------------------------------------------------------------------------------------------

    /// A place to jump back to.
    pub fn here(&mut self) -> Label {
        self.asm.here()
    }

    /// Jumps while the last addition gave something other than 0.
    pub fn jump_if_not_zero(&mut self, to: Label) {
        self.asm.jump(Code::Jne_rel32_64, to);
    }

    /// Goes to where [`Assembly::place`] puts the label, if the word is 0.
    pub fn skip_if_zero(&mut self, word: Mem) -> Label {
        self.asm.put(Code::Cmp_rm64_imm32, &[Operand::Mem(word), Operand::Imm32To64(0)]);
        let label = self.asm.label();
        self.asm.jump(Code::Je_rel32_64, label);
        label
    }

    pub fn place(&mut self, label: Label) {
        self.asm.place(label);
    }

    pub fn load_word(&mut self, to: Register, from: Mem) {
        self.asm.put(Code::Mov_r64_rm64, &[Operand::Reg(to), Operand::Mem(from)]);
    }

    /// Sets the bits of a word in memory that are set in a register.
    fn or_into_word(&mut self, to: Mem, from: Register) {
        self.asm.put(Code::Or_rm64_r64, &[Operand::Mem(to), Operand::Reg(from)]);
    }

    pub fn push(&mut self, register: Register) {
        self.asm.put(Code::Push_r64, &[Operand::Reg(register)]);
    }

    pub fn pop(&mut self, register: Register) {
        self.asm.put(Code::Pop_r64, &[Operand::Reg(register)]);
    }

    pub fn copy(&mut self, to: Register, from: Register) {
        self.asm.put(Code::Mov_r64_rm64, &[Operand::Reg(to), Operand::Reg(from)]);
    }

    /// Adds a constant; flags are set, unless it is 0.
    pub fn add(&mut self, to: Register, constant: i32) {
        if constant != 0 {
            self.asm.put(Code::Add_rm64_imm32, &[Operand::Reg(to), Operand::Imm32To64(constant)]);
        }
    }

    /// Adds a constant to a word in memory; flags are set, unless it is 0.
    pub fn add_to_word(&mut self, to: Mem, constant: i32) {
        if constant != 0 {
            self.asm.put(Code::Add_rm64_imm32, &[Operand::Mem(to), Operand::Imm32To64(constant)]);
        }
    }

    pub fn prefetch(&mut self, at: Mem) {
        self.asm.put(Code::Prefetcht0_m8, &[Operand::Mem(at)]);
    }

    /// Returns; upper halves of vectors are left clean, for code that knows of none.
    pub fn ret(&mut self) {
        self.asm.put(Code::VEX_Vzeroupper, &[]);
        self.asm.put(Code::Retnq, &[]);
    }

    // -- vectors -----------------------------------------------------------------------------------------

    pub fn operate(&mut self, operation: Operation, to: usize, a: usize, b: usize) {
        let operands = [to, a, b].map(|number| self.vector(number));
        self.put(operation.codes(), &operands, Masking::All);
    }

    /// With the second source from memory: one element for all lanes. AVX-512 only.
    pub fn operate_broadcast(&mut self, operation: Operation, to: usize, a: usize, b: Mem) {
        assert_eq!(self.vectors.isa, Isa::Avx512);
        let b = Operand::Mem(Mem { is_broadcast: true, ..b });
        self.put(operation.codes(), &[self.vector(to), self.vector(a), b], Masking::All);
    }

    /// All lanes 0.
    pub fn zero(&mut self, to: usize) {
        // The encoding with the fewest bytes; the upper lanes are zeroed too.
        if to < 16 {
            let x = Operand::Reg(Register::XMM0 + to as u32);
            self.asm.put(Code::VEX_Vxorps_xmm_xmm_xmmm128, &[x, x, x]);
        } else {
            self.operate(Operation::Xor, to, to, to);
        }
    }

    pub fn copy_vector(&mut self, to: usize, from: usize) {
        self.put(LOAD, &[self.vector(to), self.vector(from)], Masking::All);
    }

    /// √a
    pub fn square_root(&mut self, to: usize, a: usize) {
        let codes = [
            Code::EVEX_Vsqrtps_zmm_k1z_zmmm512b32_er,
            Code::EVEX_Vsqrtpd_zmm_k1z_zmmm512b64_er,
            Code::VEX_Vsqrtps_ymm_ymmm256,
            Code::VEX_Vsqrtpd_ymm_ymmm256,
        ];
        self.put(codes, &[self.vector(to), self.vector(a)], Masking::All);
    }

    /// One element for all lanes.
    pub fn broadcast(&mut self, to: usize, from: Mem) {
        let codes = [
            Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32,
            Code::EVEX_Vbroadcastsd_zmm_k1z_xmmm64,
            Code::VEX_Vbroadcastss_ymm_m32,
            Code::VEX_Vbroadcastsd_ymm_m64,
        ];
        self.put(codes, &[self.vector(to), Operand::Mem(from)], Masking::All);
    }

    /// The number with these bits, for all lanes.
    pub fn constant(&mut self, to: usize, bits: u64) {
        if bits == 0 {
            return self.zero(to);
        }
        let bits = &bits.to_le_bytes()[..self.vectors.dtype.size()];
        let from = self.asm.constant(bits);
        self.broadcast(to, from);
    }

    /// Neighbouring elements; lanes that do not exist are 0.
    pub fn load(&mut self, to: usize, from: Mem, lanes: Lanes) {
        let (to, from) = (self.vector(to), Operand::Mem(from));
        match (lanes, self.vectors.isa) {
            (Lanes::All, _) => self.put(LOAD, &[to, from], Masking::All),
            (Lanes::Tail, Isa::Avx512) => self.put(LOAD, &[to, from], Masking::Zero(TAIL)),
            (Lanes::Tail, Isa::Avx2) => {
                let wide = self.vectors.dtype == DType::F64;
                let code =
                    if wide { Code::VEX_Vmaskmovpd_ymm_ymm_m256 } else { Code::VEX_Vmaskmovps_ymm_ymm_m256 };
                self.asm.put(code, &[to, self.vector(TAIL_VECTOR), from]);
            }
        }
    }

    /// Neighbouring elements; nothing is written where lanes do not exist.
    pub fn store(&mut self, to: Mem, from: usize, lanes: Lanes) {
        let (to, from) = (Operand::Mem(to), self.vector(from));
        match (lanes, self.vectors.isa) {
            (Lanes::All, _) => self.put(STORE, &[to, from], Masking::All),
            (Lanes::Tail, Isa::Avx512) => self.put(STORE, &[to, from], Masking::Merge(TAIL)),
            (Lanes::Tail, Isa::Avx2) => {
                let wide = self.vectors.dtype == DType::F64;
                let code =
                    if wide { Code::VEX_Vmaskmovpd_m256_ymm_ymm } else { Code::VEX_Vmaskmovps_m256_ymm_ymm };
                self.asm.put(code, &[to, self.vector(TAIL_VECTOR), from]);
            }
        }
    }

    /// Sets the mask of a tail: its bits are in a word at `bits`, its bytes where the word at `bytes` points.
    pub fn tail(&mut self, bits: Mem, bytes: Mem) {
        match self.vectors.isa {
            Isa::Avx512 => {
                self.asm.put(Code::VEX_Kmovw_kr_km16, &[Operand::Reg(TAIL), Operand::Mem(bits)]);
            }
            Isa::Avx2 => {
                self.load_word(Register::RAX, bytes);
                self.load(TAIL_VECTOR, Mem::at(Register::RAX, 0), Lanes::All);
            }
        }
    }

    // -- truth values: all bits of a lane, or none -------------------------------------------------------

    /// Whether the predicate (of `vcmpps`) holds.
    pub fn compare(&mut self, to: usize, a: usize, b: usize, predicate: u8) {
        self.compare_into(to, a, b, predicate);
        if self.vectors.isa == Isa::Avx512 {
            let codes = [Code::EVEX_Vpmovm2d_zmm_kr, Code::EVEX_Vpmovm2q_zmm_kr];
            self.put_wide(codes, &[self.vector(to), Operand::Reg(MASK)], Masking::All);
        }
    }

    /// a where the mask holds, else b.
    pub fn select(&mut self, to: usize, mask: usize, a: usize, b: usize) {
        if self.vectors.isa == Isa::Avx512 {
            let codes = [Code::EVEX_Vpmovd2m_kr_zmm, Code::EVEX_Vpmovq2m_kr_zmm];
            self.put_wide(codes, &[Operand::Reg(MASK), self.vector(mask)], Masking::All);
        }
        self.blend(to, mask, a, b);
    }

    /// a where the predicate holds of x and y, else b. `to` is none of them.
    pub fn compare_select(&mut self, to: usize, [x, y]: [usize; 2], predicate: u8, a: usize, b: usize) {
        self.compare_into(to, x, y, predicate);
        self.blend(to, to, a, b);
    }

    /// A comparison into [`MASK`], or where there are no mask registers into `to`.
    fn compare_into(&mut self, to: usize, a: usize, b: usize, predicate: u8) {
        let codes = [
            Code::EVEX_Vcmpps_kr_k1_zmm_zmmm512b32_imm8_sae,
            Code::EVEX_Vcmppd_kr_k1_zmm_zmmm512b64_imm8_sae,
            Code::VEX_Vcmpps_ymm_ymm_ymmm256_imm8,
            Code::VEX_Vcmppd_ymm_ymm_ymmm256_imm8,
        ];
        let held = if self.vectors.isa == Isa::Avx512 { Operand::Reg(MASK) } else { self.vector(to) };
        let operands = [held, self.vector(a), self.vector(b), Operand::Imm8(predicate)];
        self.put(codes, &operands, Masking::All);
    }

    /// a where [`MASK`], or where there are no mask registers `mask`, holds, else b.
    fn blend(&mut self, to: usize, mask: usize, a: usize, b: usize) {
        let [to, mask, a, b] = [to, mask, a, b].map(|number| self.vector(number));
        match self.vectors.isa {
            Isa::Avx512 => {
                let codes = [
                    Code::EVEX_Vblendmps_zmm_k1z_zmm_zmmm512b32,
                    Code::EVEX_Vblendmpd_zmm_k1z_zmm_zmmm512b64,
                ];
                self.put_wide(codes, &[to, b, a], Masking::Merge(MASK));
            }
            Isa::Avx2 => {
                let wide = self.vectors.dtype == DType::F64;
                let code = match wide {
                    true => Code::VEX_Vblendvpd_ymm_ymm_ymmm256_ymm,
                    false => Code::VEX_Vblendvps_ymm_ymm_ymmm256_ymm,
                };
                self.asm.put(code, &[to, b, a, mask]);
            }
        }
    }

    /// Truth values that are a byte each in memory, 0 or 1. AVX-512 only.
    pub fn load_bools(&mut self, to: usize, from: Mem, lanes: Lanes) {
        let x = self.vector(to);
        let masking = if lanes == Lanes::Tail { Masking::Zero(TAIL) } else { Masking::All };
        let codes = [Code::EVEX_Vpmovzxbd_zmm_k1z_xmmm128, Code::EVEX_Vpmovzxbq_zmm_k1z_xmmm64];
        self.put_wide(codes, &[x, Operand::Mem(from)], masking);
        let codes = [Code::EVEX_Vptestmd_kr_k1_zmm_zmmm512b32, Code::EVEX_Vptestmq_kr_k1_zmm_zmmm512b64];
        self.put_wide(codes, &[Operand::Reg(MASK), x, x], Masking::All);
        let codes = [Code::EVEX_Vpmovm2d_zmm_kr, Code::EVEX_Vpmovm2q_zmm_kr];
        self.put_wide(codes, &[x, Operand::Reg(MASK)], Masking::All);
    }

    /// The reverse of [`Assembly::load_bools`]; `spare` is overwritten.
    pub fn store_bools(&mut self, to: Mem, from: usize, spare: usize, lanes: Lanes) {
        let (x, bit) = (self.vector(from), self.vector(spare));
        let highest = if self.vectors.dtype == DType::F64 { 63 } else { 31 };
        let codes = [Code::EVEX_Vpsrld_zmm_k1z_zmmm512b32_imm8, Code::EVEX_Vpsrlq_zmm_k1z_zmmm512b64_imm8];
        self.put_wide(codes, &[bit, x, Operand::Imm8(highest)], Masking::All);
        let masking = if lanes == Lanes::Tail { Masking::Merge(TAIL) } else { Masking::All };
        let codes = [Code::EVEX_Vpmovdb_xmmm128_k1z_zmm, Code::EVEX_Vpmovqb_xmmm64_k1z_zmm];
        self.put_wide(codes, &[Operand::Mem(to), bit], masking);
    }

    // -- watched stores ----------------------------------------------------------------------------------

    /// Nothing was found so far.
    pub fn watch_nothing(&mut self) {
        if self.vectors.isa == Isa::Avx512 {
            self.asm.put(Code::VEX_Kxorw_kr_kr_kr, &[Operand::Reg(WATCH); 3]);
        }
    }

    /// Looks for lanes that are infinite or NaN; sets bits of a word then, now or when
    /// [`Assembly::watched`] is called. `spare` and RAX are overwritten.
    pub fn watch(&mut self, x: usize, spare: usize, lanes: Lanes, word: Mem) {
        if self.vectors.isa == Isa::Avx512 {
            // Quiet NaN, +∞, −∞, signalling NaN.
            const NOT_FINITE: u8 = 0x99;
            let masking = if lanes == Lanes::Tail { Masking::Merge(TAIL) } else { Masking::All };
            let codes =
                [Code::EVEX_Vfpclassps_kr_k1_zmmm512b32_imm8, Code::EVEX_Vfpclasspd_kr_k1_zmmm512b64_imm8];
            let operands = [Operand::Reg(MASK), self.vector(x), Operand::Imm8(NOT_FINITE)];
            self.put_wide(codes, &operands, masking);
            self.asm.put(Code::VEX_Korw_kr_kr_kr, &[WATCH, WATCH, MASK].map(Operand::Reg));
            return;
        }
        // x − x is 0, or NaN if x is not finite.
        self.operate(Operation::Sub, spare, x, x);
        self.compare(spare, spare, spare, UNORDERED);
        if lanes == Lanes::Tail {
            self.operate(Operation::And, spare, spare, TAIL_VECTOR);
        }
        let wide = self.vectors.dtype == DType::F64;
        let code = if wide { Code::VEX_Vmovmskpd_r32_ymm } else { Code::VEX_Vmovmskps_r32_ymm };
        self.asm.put(code, &[Operand::Reg(Register::EAX), self.vector(spare)]);
        self.or_into_word(word, Register::RAX);
    }

    /// Tells what was found. RAX is overwritten.
    pub fn watched(&mut self, word: Mem) {
        if self.vectors.isa == Isa::Avx512 {
            self.asm.put(Code::VEX_Kmovw_r32_kr, &[Register::EAX, WATCH].map(Operand::Reg));
            self.or_into_word(word, Register::RAX);
        }
    }
}

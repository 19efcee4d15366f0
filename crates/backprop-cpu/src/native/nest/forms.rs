//! The vector instructions that nests are made of, in all their forms.

use iced_x86::Code;

use crate::native::Isa;

/// An instruction: its form for 128 bits in AVX, and in AVX-512. The wider forms come next in
/// `iced-x86`'s list; a test decodes each one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Form {
    avx: Code,
    avx512: Code,
}

/// An instruction on lanes of 32 and of 64 bits.
pub type Forms = [Form; 2];

/// ±a·b ± c, which overwrites one operand: `x = x·z + y`, `x = y·x + z`, `x = y·z + x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fused {
    /// x = x·z + y.
    pub by_132: Forms,
    /// x = y·x + z.
    pub by_213: Forms,
    /// x = y·z + x.
    pub by_231: Forms,
}

impl Form {
    /// The form for registers of `width` bytes; `None` where the instruction set has none.
    pub fn code(self, isa: Isa, width: usize) -> Option<Code> {
        let first = if isa == Isa::Avx512 { self.avx512 } else { self.avx };
        if first == Code::INVALID || width > isa.register_bytes() {
            return None;
        }
        let wider = match width {
            64 => 2,
            32 => 1,
            _ => 0,
        };
        Code::try_from(first as usize + wider).ok()
    }

    /// Whether the instruction set has it.
    pub fn exists(self, isa: Isa) -> bool {
        self.code(isa, 16).is_some()
    }
}

macro_rules! forms {
    ($($(#[$doc:meta])* $NAME:ident: $avx_32:ident $avx512_32:ident, $avx_64:ident $avx512_64:ident;)*) => {
        $($(#[$doc])* pub const $NAME: Forms = [
            Form { avx: Code::$avx_32, avx512: Code::$avx512_32 },
            Form { avx: Code::$avx_64, avx512: Code::$avx512_64 },
        ];)*

        #[cfg(test)]
        const PAIRS: &[(&str, Forms)] = &[$((stringify!($NAME), $NAME),)*];
    };
}

forms! {
    /// To a register.
    MOVE: VEX_Vmovups_xmm_xmmm128 EVEX_Vmovups_xmm_k1z_xmmm128,
        VEX_Vmovupd_xmm_xmmm128 EVEX_Vmovupd_xmm_k1z_xmmm128;
    /// To memory.
    MOVE_OUT: VEX_Vmovups_xmmm128_xmm EVEX_Vmovups_xmmm128_k1z_xmm,
        VEX_Vmovupd_xmmm128_xmm EVEX_Vmovupd_xmmm128_k1z_xmm;
    /// One element to every lane.
    SPREAD: VEX_Vpbroadcastd_xmm_xmmm32 EVEX_Vpbroadcastd_xmm_k1z_xmmm32,
        VEX_Vpbroadcastq_xmm_xmmm64 EVEX_Vpbroadcastq_xmm_k1z_xmmm64;
    /// a + b.
    ADD: VEX_Vaddps_xmm_xmm_xmmm128 EVEX_Vaddps_xmm_k1z_xmm_xmmm128b32,
        VEX_Vaddpd_xmm_xmm_xmmm128 EVEX_Vaddpd_xmm_k1z_xmm_xmmm128b64;
    /// a − b.
    SUB: VEX_Vsubps_xmm_xmm_xmmm128 EVEX_Vsubps_xmm_k1z_xmm_xmmm128b32,
        VEX_Vsubpd_xmm_xmm_xmmm128 EVEX_Vsubpd_xmm_k1z_xmm_xmmm128b64;
    /// a·b.
    MUL: VEX_Vmulps_xmm_xmm_xmmm128 EVEX_Vmulps_xmm_k1z_xmm_xmmm128b32,
        VEX_Vmulpd_xmm_xmm_xmmm128 EVEX_Vmulpd_xmm_k1z_xmm_xmmm128b64;
    /// a/b.
    DIV: VEX_Vdivps_xmm_xmm_xmmm128 EVEX_Vdivps_xmm_k1z_xmm_xmmm128b32,
        VEX_Vdivpd_xmm_xmm_xmmm128 EVEX_Vdivpd_xmm_k1z_xmm_xmmm128b64;
    /// a where a < b, else b.
    MIN: VEX_Vminps_xmm_xmm_xmmm128 EVEX_Vminps_xmm_k1z_xmm_xmmm128b32,
        VEX_Vminpd_xmm_xmm_xmmm128 EVEX_Vminpd_xmm_k1z_xmm_xmmm128b64;
    /// a where a > b, else b.
    MAX: VEX_Vmaxps_xmm_xmm_xmmm128 EVEX_Vmaxps_xmm_k1z_xmm_xmmm128b32,
        VEX_Vmaxpd_xmm_xmm_xmmm128 EVEX_Vmaxpd_xmm_k1z_xmm_xmmm128b64;
    /// √a.
    SQRT: VEX_Vsqrtps_xmm_xmmm128 EVEX_Vsqrtps_xmm_k1z_xmmm128b32,
        VEX_Vsqrtpd_xmm_xmmm128 EVEX_Vsqrtpd_xmm_k1z_xmmm128b64;
    /// a made an integer; how, the immediate says.
    ROUND: VEX_Vroundps_xmm_xmmm128_imm8 EVEX_Vrndscaleps_xmm_k1z_xmmm128b32_imm8,
        VEX_Vroundpd_xmm_xmmm128_imm8 EVEX_Vrndscalepd_xmm_k1z_xmmm128b64_imm8;
    /// a·b + c by x = x·z + y.
    MADD_132: VEX_Vfmadd132ps_xmm_xmm_xmmm128 EVEX_Vfmadd132ps_xmm_k1z_xmm_xmmm128b32,
        VEX_Vfmadd132pd_xmm_xmm_xmmm128 EVEX_Vfmadd132pd_xmm_k1z_xmm_xmmm128b64;
    /// a·b + c by x = y·x + z.
    MADD_213: VEX_Vfmadd213ps_xmm_xmm_xmmm128 EVEX_Vfmadd213ps_xmm_k1z_xmm_xmmm128b32,
        VEX_Vfmadd213pd_xmm_xmm_xmmm128 EVEX_Vfmadd213pd_xmm_k1z_xmm_xmmm128b64;
    /// a·b + c by x = y·z + x.
    MADD_231: VEX_Vfmadd231ps_xmm_xmm_xmmm128 EVEX_Vfmadd231ps_xmm_k1z_xmm_xmmm128b32,
        VEX_Vfmadd231pd_xmm_xmm_xmmm128 EVEX_Vfmadd231pd_xmm_k1z_xmm_xmmm128b64;
    /// a·b − c by x = x·z + y.
    MSUB_132: VEX_Vfmsub132ps_xmm_xmm_xmmm128 EVEX_Vfmsub132ps_xmm_k1z_xmm_xmmm128b32,
        VEX_Vfmsub132pd_xmm_xmm_xmmm128 EVEX_Vfmsub132pd_xmm_k1z_xmm_xmmm128b64;
    /// a·b − c by x = y·x + z.
    MSUB_213: VEX_Vfmsub213ps_xmm_xmm_xmmm128 EVEX_Vfmsub213ps_xmm_k1z_xmm_xmmm128b32,
        VEX_Vfmsub213pd_xmm_xmm_xmmm128 EVEX_Vfmsub213pd_xmm_k1z_xmm_xmmm128b64;
    /// a·b − c by x = y·z + x.
    MSUB_231: VEX_Vfmsub231ps_xmm_xmm_xmmm128 EVEX_Vfmsub231ps_xmm_k1z_xmm_xmmm128b32,
        VEX_Vfmsub231pd_xmm_xmm_xmmm128 EVEX_Vfmsub231pd_xmm_k1z_xmm_xmmm128b64;
    /// c − a·b by x = x·z + y.
    NMADD_132: VEX_Vfnmadd132ps_xmm_xmm_xmmm128 EVEX_Vfnmadd132ps_xmm_k1z_xmm_xmmm128b32,
        VEX_Vfnmadd132pd_xmm_xmm_xmmm128 EVEX_Vfnmadd132pd_xmm_k1z_xmm_xmmm128b64;
    /// c − a·b by x = y·x + z.
    NMADD_213: VEX_Vfnmadd213ps_xmm_xmm_xmmm128 EVEX_Vfnmadd213ps_xmm_k1z_xmm_xmmm128b32,
        VEX_Vfnmadd213pd_xmm_xmm_xmmm128 EVEX_Vfnmadd213pd_xmm_k1z_xmm_xmmm128b64;
    /// c − a·b by x = y·z + x.
    NMADD_231: VEX_Vfnmadd231ps_xmm_xmm_xmmm128 EVEX_Vfnmadd231ps_xmm_k1z_xmm_xmmm128b32,
        VEX_Vfnmadd231pd_xmm_xmm_xmmm128 EVEX_Vfnmadd231pd_xmm_k1z_xmm_xmmm128b64;
    /// −a·b − c by x = x·z + y.
    NMSUB_132: VEX_Vfnmsub132ps_xmm_xmm_xmmm128 EVEX_Vfnmsub132ps_xmm_k1z_xmm_xmmm128b32,
        VEX_Vfnmsub132pd_xmm_xmm_xmmm128 EVEX_Vfnmsub132pd_xmm_k1z_xmm_xmmm128b64;
    /// −a·b − c by x = y·x + z.
    NMSUB_213: VEX_Vfnmsub213ps_xmm_xmm_xmmm128 EVEX_Vfnmsub213ps_xmm_k1z_xmm_xmmm128b32,
        VEX_Vfnmsub213pd_xmm_xmm_xmmm128 EVEX_Vfnmsub213pd_xmm_k1z_xmm_xmmm128b64;
    /// −a·b − c by x = y·z + x.
    NMSUB_231: VEX_Vfnmsub231ps_xmm_xmm_xmmm128 EVEX_Vfnmsub231ps_xmm_k1z_xmm_xmmm128b32,
        VEX_Vfnmsub231pd_xmm_xmm_xmmm128 EVEX_Vfnmsub231pd_xmm_k1z_xmm_xmmm128b64;
    /// a·2^b.
    SCALE: INVALID EVEX_Vscalefps_xmm_k1z_xmm_xmmm128b32,
        INVALID EVEX_Vscalefpd_xmm_k1z_xmm_xmmm128b64;
    /// A comparison of floats; which, the immediate says: `Predicate`.
    COMPARE: VEX_Vcmpps_xmm_xmm_xmmm128_imm8 EVEX_Vcmpps_kr_k1_xmm_xmmm128b32_imm8,
        VEX_Vcmppd_xmm_xmm_xmmm128_imm8 EVEX_Vcmppd_kr_k1_xmm_xmmm128b64_imm8;
    /// A comparison of signed integers.
    COMPARE_INT: INVALID EVEX_Vpcmpd_kr_k1_xmm_xmmm128b32_imm8,
        INVALID EVEX_Vpcmpq_kr_k1_xmm_xmmm128b64_imm8;
    /// A comparison of unsigned integers.
    COMPARE_UNSIGNED: INVALID EVEX_Vpcmpud_kr_k1_xmm_xmmm128b32_imm8,
        INVALID EVEX_Vpcmpuq_kr_k1_xmm_xmmm128b64_imm8;
    /// a = b, as a vector.
    EQUAL_INT: VEX_Vpcmpeqd_xmm_xmm_xmmm128 INVALID,
        VEX_Vpcmpeqq_xmm_xmm_xmmm128 INVALID;
    /// a > b, signed, as a vector.
    GREATER_INT: VEX_Vpcmpgtd_xmm_xmm_xmmm128 INVALID,
        VEX_Vpcmpgtq_xmm_xmm_xmmm128 INVALID;
    /// b where c holds, else a.
    BLEND: VEX_Vblendvps_xmm_xmm_xmmm128_xmm INVALID,
        VEX_Vblendvpd_xmm_xmm_xmmm128_xmm INVALID;
    /// b where the mask holds, else a.
    BLEND_MASKED: INVALID EVEX_Vblendmps_xmm_k1z_xmm_xmmm128b32,
        INVALID EVEX_Vblendmpd_xmm_k1z_xmm_xmmm128b64;
    /// a & b.
    AND: VEX_Vpand_xmm_xmm_xmmm128 EVEX_Vpandd_xmm_k1z_xmm_xmmm128b32,
        VEX_Vpand_xmm_xmm_xmmm128 EVEX_Vpandq_xmm_k1z_xmm_xmmm128b64;
    /// a | b.
    OR: VEX_Vpor_xmm_xmm_xmmm128 EVEX_Vpord_xmm_k1z_xmm_xmmm128b32,
        VEX_Vpor_xmm_xmm_xmmm128 EVEX_Vporq_xmm_k1z_xmm_xmmm128b64;
    /// a ^ b.
    XOR: VEX_Vpxor_xmm_xmm_xmmm128 EVEX_Vpxord_xmm_k1z_xmm_xmmm128b32,
        VEX_Vpxor_xmm_xmm_xmmm128 EVEX_Vpxorq_xmm_k1z_xmm_xmmm128b64;
    /// a + b.
    ADD_INT: VEX_Vpaddd_xmm_xmm_xmmm128 EVEX_Vpaddd_xmm_k1z_xmm_xmmm128b32,
        VEX_Vpaddq_xmm_xmm_xmmm128 EVEX_Vpaddq_xmm_k1z_xmm_xmmm128b64;
    /// a − b.
    SUB_INT: VEX_Vpsubd_xmm_xmm_xmmm128 EVEX_Vpsubd_xmm_k1z_xmm_xmmm128b32,
        VEX_Vpsubq_xmm_xmm_xmmm128 EVEX_Vpsubq_xmm_k1z_xmm_xmmm128b64;
    /// a·b, its low half.
    MUL_INT: VEX_Vpmulld_xmm_xmm_xmmm128 EVEX_Vpmulld_xmm_k1z_xmm_xmmm128b32,
        INVALID EVEX_Vpmullq_xmm_k1z_xmm_xmmm128b64;
    /// a·b of the low halves of 64-bit lanes.
    MUL_WIDE: INVALID INVALID,
        VEX_Vpmuludq_xmm_xmm_xmmm128 EVEX_Vpmuludq_xmm_k1z_xmm_xmmm128b64;
    /// The smaller.
    MIN_INT: VEX_Vpminsd_xmm_xmm_xmmm128 EVEX_Vpminsd_xmm_k1z_xmm_xmmm128b32,
        INVALID EVEX_Vpminsq_xmm_k1z_xmm_xmmm128b64;
    /// The larger.
    MAX_INT: VEX_Vpmaxsd_xmm_xmm_xmmm128 EVEX_Vpmaxsd_xmm_k1z_xmm_xmmm128b32,
        INVALID EVEX_Vpmaxsq_xmm_k1z_xmm_xmmm128b64;
    /// The smaller, unsigned.
    MIN_UNSIGNED: VEX_Vpminud_xmm_xmm_xmmm128 EVEX_Vpminud_xmm_k1z_xmm_xmmm128b32,
        INVALID EVEX_Vpminuq_xmm_k1z_xmm_xmmm128b64;
    /// The larger, unsigned.
    MAX_UNSIGNED: VEX_Vpmaxud_xmm_xmm_xmmm128 EVEX_Vpmaxud_xmm_k1z_xmm_xmmm128b32,
        INVALID EVEX_Vpmaxuq_xmm_k1z_xmm_xmmm128b64;
    /// |a|.
    ABS_INT: VEX_Vpabsd_xmm_xmmm128 EVEX_Vpabsd_xmm_k1z_xmmm128b32,
        INVALID EVEX_Vpabsq_xmm_k1z_xmmm128b64;
    /// a << n.
    SHIFT_LEFT: VEX_Vpslld_xmm_xmm_imm8 EVEX_Vpslld_xmm_k1z_xmmm128b32_imm8,
        VEX_Vpsllq_xmm_xmm_imm8 EVEX_Vpsllq_xmm_k1z_xmmm128b64_imm8;
    /// a >> n, zeros shifted in.
    SHIFT_RIGHT: VEX_Vpsrld_xmm_xmm_imm8 EVEX_Vpsrld_xmm_k1z_xmmm128b32_imm8,
        VEX_Vpsrlq_xmm_xmm_imm8 EVEX_Vpsrlq_xmm_k1z_xmmm128b64_imm8;
    /// a >> n, signs shifted in.
    SHIFT_RIGHT_SIGNED: VEX_Vpsrad_xmm_xmm_imm8 EVEX_Vpsrad_xmm_k1z_xmmm128b32_imm8,
        INVALID EVEX_Vpsraq_xmm_k1z_xmmm128b64_imm8;
}

/// ±a·b ± c: by whether the product is negated, and by whether c is.
pub const FUSED: [[Fused; 2]; 2] = [
    [
        Fused { by_132: MADD_132, by_213: MADD_213, by_231: MADD_231 },
        Fused { by_132: MSUB_132, by_213: MSUB_213, by_231: MSUB_231 },
    ],
    [
        Fused { by_132: NMADD_132, by_213: NMADD_213, by_231: NMADD_231 },
        Fused { by_132: NMSUB_132, by_213: NMSUB_213, by_231: NMSUB_231 },
    ],
];

macro_rules! conversions {
    ($($NAME:ident: $avx:ident $avx512:ident;)*) => {
        $(
            #[doc = concat!("`", stringify!($NAME), "`; of floats to integers: truncates.")]
            pub const $NAME: Form = Form { avx: Code::$avx, avx512: Code::$avx512 };
        )*

        #[cfg(test)]
        const CONVERSIONS: &[(&str, Form)] = &[$((stringify!($NAME), $NAME),)*];
    };
}

// The width is that of the wider operand.
conversions! {
    U8_TO_U32: VEX_Vpmovzxbd_xmm_xmmm32 EVEX_Vpmovzxbd_xmm_k1z_xmmm32;
    U32_TO_U8: INVALID EVEX_Vpmovdb_xmmm32_k1z_xmm;
    F32_TO_F64: VEX_Vcvtps2pd_xmm_xmmm64 EVEX_Vcvtps2pd_xmm_k1z_xmmm64b32;
    F64_TO_F32: VEX_Vcvtpd2ps_xmm_xmmm128 EVEX_Vcvtpd2ps_xmm_k1z_xmmm128b64;
    I32_TO_F32: VEX_Vcvtdq2ps_xmm_xmmm128 EVEX_Vcvtdq2ps_xmm_k1z_xmmm128b32;
    I32_TO_F64: VEX_Vcvtdq2pd_xmm_xmmm64 EVEX_Vcvtdq2pd_xmm_k1z_xmmm64b32;
    F32_TO_I32: VEX_Vcvttps2dq_xmm_xmmm128 EVEX_Vcvttps2dq_xmm_k1z_xmmm128b32;
    F64_TO_I32: VEX_Vcvttpd2dq_xmm_xmmm128 EVEX_Vcvttpd2dq_xmm_k1z_xmmm128b64;
    U32_TO_F32: INVALID EVEX_Vcvtudq2ps_xmm_k1z_xmmm128b32;
    U32_TO_F64: INVALID EVEX_Vcvtudq2pd_xmm_k1z_xmmm64b32;
    F32_TO_U32: INVALID EVEX_Vcvttps2udq_xmm_k1z_xmmm128b32;
    F64_TO_U32: INVALID EVEX_Vcvttpd2udq_xmm_k1z_xmmm128b64;
    F32_TO_I64: INVALID EVEX_Vcvttps2qq_xmm_k1z_xmmm64b32;
    F64_TO_I64: INVALID EVEX_Vcvttpd2qq_xmm_k1z_xmmm128b64;
    I64_TO_F32: INVALID EVEX_Vcvtqq2ps_xmm_k1z_xmmm128b64;
    I64_TO_F64: INVALID EVEX_Vcvtqq2pd_xmm_k1z_xmmm128b64;
    I32_TO_I64: VEX_Vpmovsxdq_xmm_xmmm64 EVEX_Vpmovsxdq_xmm_k1z_xmmm64;
    U32_TO_I64: VEX_Vpmovzxdq_xmm_xmmm64 EVEX_Vpmovzxdq_xmm_k1z_xmmm64;
    I64_TO_I32: INVALID EVEX_Vpmovqd_xmmm64_k1z_xmm;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `iced-x86` lists the forms of an instruction next to each other, the wider ones later.
    #[test]
    fn wider_forms_are_the_same_instruction() {
        let pairs = PAIRS.iter().flat_map(|&(name, forms)| forms.map(|form| (name, form)));
        for (name, form) in pairs.chain(CONVERSIONS.iter().copied()) {
            for isa in [Isa::Avx2, Isa::Avx512] {
                let codes = [16, 32, 64].map(|width| form.code(isa, width));
                let [Some(first), rest @ ..] = codes else { continue };
                for wider in rest.into_iter().flatten() {
                    assert_eq!(first.mnemonic(), wider.mnemonic(), "{name} of {isa:?}");
                }
            }
        }
    }
}

//! Vectors of `f32` as lanes, for the functions that have a table: of loops over single lanes the compiler makes vectors
//! too, but they fetch their entries one by one.

use std::ops::{Add, BitAnd, BitOr, BitXor, Div, Mul, Neg, Not, Shl, Shr, Sub};

use backprop_core::ops::Unary;

use super::lane::{Float, Int, Mask, Sixteen, Width};
use super::usual;

/// Whether f32 lanes of the function look into a table.
pub fn has_table(op: Unary) -> bool {
    matches!(op, Unary::Exp | Unary::Sigmoid)
}

/// Operators of a type, each an instruction.
macro_rules! operators {
    ($($Type:ident $Trait:ident $method:ident = $instruction:path;)*) => {$(
        impl $Trait for $Type {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                // SAFETY: vectors exist only where their instructions do: in the loops below.
                $Type(unsafe { $instruction(self.0, other.0) })
            }
        }
    )*};
}

/// Methods of a trait, likewise.
macro_rules! methods {
    ($($method:ident($($operand:ident: $Type:ty),*) -> $Result:ident = |$self:ident| $body:expr;)*) => {$(
        #[inline(always)]
        fn $method($self $(, $operand: $Type)*) -> $Result {
            // SAFETY: vectors exist only where their instructions do: in the loops below.
            $Result(unsafe { $body })
        }
    )*};
}

/// The lanes, and loops over them, of the instructions of a module.
macro_rules! lanes {
    ($instructions:ident $features:literal) => {
        use std::arch::x86_64::*;

        use super::*;

        /// Floats.
        #[derive(Clone, Copy)]
        struct Floats($instructions::Floats);
        /// Integers.
        #[derive(Clone, Copy)]
        struct Ints($instructions::Ints);
        /// Truth values.
        #[derive(Clone, Copy)]
        struct Masks($instructions::Masks);

        operators! {
            Floats Add add = $instructions::add;
            Floats Sub sub = $instructions::sub;
            Floats Mul mul = $instructions::mul;
            Floats Div div = $instructions::div;
            Ints Add add = $instructions::add_ints;
            Ints Sub sub = $instructions::sub_ints;
            Ints BitAnd bitand = $instructions::and;
            Ints BitOr bitor = $instructions::or;
            Ints BitXor bitxor = $instructions::xor;
            Masks BitAnd bitand = $instructions::both;
            Masks BitOr bitor = $instructions::either;
        }

        impl Neg for Floats {
            type Output = Self;
            #[inline(always)]
            fn neg(self) -> Self {
                let bits = self.to_bits();
                (bits ^ bits.lit(f32::SIGN)).to_float()
            }
        }

        impl Not for Masks {
            type Output = Self;
            methods! { not() -> Masks = |self| $instructions::not(self.0); }
        }

        impl Mask for Masks {}

        impl Shl<usize> for Ints {
            type Output = Self;
            methods! {
                shl(n: usize) -> Ints = |self| $instructions::shift_left(self.0, $instructions::spread(n as i32));
            }
        }

        impl Shr<usize> for Ints {
            type Output = Self;
            methods! {
                shr(n: usize) -> Ints = |self| $instructions::shift_right(self.0, $instructions::spread(n as i32));
            }
        }

        impl Int for Ints {
            type Float = Floats;
            type Mask = Masks;
            methods! {
                lit(value: i64) -> Ints = |self| $instructions::spread(value as i32);
                to_float() -> Floats = |self| $instructions::to_floats(self.0);
                equals(other: Self) -> Masks = |self| $instructions::equal_ints(self.0, other.0);
                entry(table: &'static Sixteen) -> Ints = |self| $instructions::entry(self.0, table);
            }
        }

        impl Float for Floats {
            type Width = f32;
            type Int = Ints;
            type Mask = Masks;
            methods! {
                lit(value: f64) -> Floats = |self| $instructions::spread_float(value as f32);
                mul_add(a: Self, b: Self) -> Floats = |self| $instructions::mul_add(self.0, a.0, b.0);
                mul_sub(a: Self, b: Self) -> Floats = |self| $instructions::mul_sub(self.0, a.0, b.0);
                neg_mul_add(a: Self, b: Self) -> Floats = |self| $instructions::neg_mul_add(self.0, a.0, b.0);
                sqrt() -> Floats = |self| $instructions::sqrt(self.0);
                // 8: no inexact exception.
                round_ties_even() -> Floats = |self| $instructions::round::<8>(self.0);
                floor() -> Floats = |self| $instructions::round::<9>(self.0);
                ceil() -> Floats = |self| $instructions::round::<10>(self.0);
                smaller(other: Self) -> Floats = |self| $instructions::min(self.0, other.0);
                larger(other: Self) -> Floats = |self| $instructions::max(self.0, other.0);
                below(other: Self) -> Masks = |self| $instructions::compare::<_CMP_LT_OQ>(self.0, other.0);
                at_most(other: Self) -> Masks = |self| $instructions::compare::<_CMP_LE_OQ>(self.0, other.0);
                equals(other: Self) -> Masks = |self| $instructions::compare::<_CMP_EQ_OQ>(self.0, other.0);
                to_bits() -> Ints = |self| $instructions::to_bits(self.0);
                scale(n: Self) -> Floats = |self| $instructions::scale(self, n).0;
            }
            #[inline(always)]
            fn select(mask: Masks, a: Self, b: Self) -> Self {
                // SAFETY: as of all methods.
                Floats(unsafe { $instructions::select(mask.0, a.0, b.0) })
            }
            #[inline(always)]
            fn abs(self) -> Self {
                let bits = self.to_bits();
                (bits & bits.lit(!f32::SIGN)).to_float()
            }
        }

        /// y = op(x), element by element, of an op that has a table.
        #[target_feature(enable = $features)]
        pub fn unary_block(op: Unary, x: &[f32], y: &mut [f32]) {
            const N: usize = size_of::<Floats>() / 4;
            macro_rules! each_vector {
                ($op:expr) => {{
                    let (mut x, mut y) = (x.chunks_exact(N), y.chunks_exact_mut(N));
                    for (y, x) in (&mut y).zip(&mut x) {
                        // SAFETY: N elements are there.
                        let x = Floats(unsafe { $instructions::load(x.as_ptr()) });
                        // SAFETY: likewise.
                        unsafe { $instructions::store(y.as_mut_ptr(), usual($op, x).0) };
                    }
                    let (x, y) = (x.remainder(), y.into_remainder());
                    let mut rest = [0.0; N];
                    rest[..x.len()].copy_from_slice(x);
                    // SAFETY: likewise.
                    let last = usual($op, Floats(unsafe { $instructions::load(rest.as_ptr()) }));
                    // SAFETY: likewise.
                    unsafe { $instructions::store(rest.as_mut_ptr(), last.0) };
                    y.copy_from_slice(&rest[..y.len()]);
                }};
            }
            match op {
                Unary::Exp => each_vector!(Unary::Exp),
                Unary::Sigmoid => each_vector!(Unary::Sigmoid),
                _ => unreachable!("{} has no table", op.name()),
            }
        }
    };
}

/// Eight lanes.
pub mod avx2 {
    lanes! { instructions "avx2,fma" }

    /// Under the names that both widths share.
    mod instructions {
        use std::arch::x86_64::*;
        pub use std::arch::x86_64::{
            __m256 as Floats, __m256 as Masks, __m256i as Ints, _mm256_add_epi32 as add_ints,
            _mm256_add_ps as add, _mm256_and_ps as both, _mm256_and_si256 as and,
            _mm256_castps_si256 as to_bits, _mm256_castsi256_ps as to_floats, _mm256_cmp_ps as compare,
            _mm256_div_ps as div, _mm256_fmadd_ps as mul_add, _mm256_fmsub_ps as mul_sub,
            _mm256_fnmadd_ps as neg_mul_add, _mm256_loadu_ps as load, _mm256_max_ps as max,
            _mm256_min_ps as min, _mm256_mul_ps as mul, _mm256_or_ps as either, _mm256_or_si256 as or,
            _mm256_round_ps as round, _mm256_set1_epi32 as spread, _mm256_set1_ps as spread_float,
            _mm256_sllv_epi32 as shift_left, _mm256_sqrt_ps as sqrt, _mm256_srlv_epi32 as shift_right,
            _mm256_storeu_ps as store, _mm256_sub_epi32 as sub_ints, _mm256_sub_ps as sub,
            _mm256_xor_si256 as xor,
        };

        use super::Sixteen;
        use crate::math::lane::Float;

        #[target_feature(enable = "avx2")]
        pub fn not(mask: Masks) -> Masks {
            _mm256_xor_ps(mask, to_floats(spread(-1)))
        }

        #[target_feature(enable = "avx2")]
        pub fn equal_ints(a: Ints, b: Ints) -> Masks {
            to_floats(_mm256_cmpeq_epi32(a, b))
        }

        #[target_feature(enable = "avx2")]
        pub fn select(mask: Masks, a: Floats, b: Floats) -> Floats {
            _mm256_blendv_ps(b, a, mask)
        }

        #[target_feature(enable = "avx2")]
        pub fn entry(place: Ints, table: &Sixteen) -> Ints {
            let [low, high] = [0, 8].map(|at| {
                // SAFETY: the half of a table.
                let half = unsafe { _mm256_loadu_si256(table[at..].as_ptr().cast()) };
                to_floats(_mm256_permutevar8x32_epi32(half, place))
            });
            to_bits(select(to_floats(_mm256_slli_epi32(place, 28)), high, low))
        }

        #[inline(always)]
        pub unsafe fn scale(x: super::Floats, n: super::Floats) -> super::Floats {
            x.scale_in_two(n)
        }
    }
}

/// Sixteen lanes.
pub mod avx512 {
    lanes! { instructions "avx512f,avx512dq,fma" }

    /// Under the names that both widths share.
    mod instructions {
        use std::arch::x86_64::*;
        pub use std::arch::x86_64::{
            __m512 as Floats, __m512i as Ints, __mmask16 as Masks, _kand_mask16 as both, _knot_mask16 as not,
            _kor_mask16 as either, _mm512_add_epi32 as add_ints, _mm512_add_ps as add,
            _mm512_and_si512 as and, _mm512_castps_si512 as to_bits, _mm512_castsi512_ps as to_floats,
            _mm512_cmp_ps_mask as compare, _mm512_cmpeq_epi32_mask as equal_ints, _mm512_div_ps as div,
            _mm512_fmadd_ps as mul_add, _mm512_fmsub_ps as mul_sub, _mm512_fnmadd_ps as neg_mul_add,
            _mm512_loadu_ps as load, _mm512_max_ps as max, _mm512_min_ps as min, _mm512_mul_ps as mul,
            _mm512_or_si512 as or, _mm512_roundscale_ps as round, _mm512_set1_epi32 as spread,
            _mm512_set1_ps as spread_float, _mm512_sllv_epi32 as shift_left, _mm512_sqrt_ps as sqrt,
            _mm512_srlv_epi32 as shift_right, _mm512_storeu_ps as store, _mm512_sub_epi32 as sub_ints,
            _mm512_sub_ps as sub, _mm512_xor_si512 as xor,
        };

        use super::Sixteen;

        #[target_feature(enable = "avx512f")]
        pub fn select(mask: Masks, a: Floats, b: Floats) -> Floats {
            _mm512_mask_blend_ps(mask, b, a)
        }

        #[target_feature(enable = "avx512f")]
        pub fn entry(place: Ints, table: &Sixteen) -> Ints {
            // SAFETY: a table is as long as a vector.
            _mm512_permutexvar_epi32(place, unsafe { _mm512_loadu_si512(table.as_ptr().cast()) })
        }

        #[target_feature(enable = "avx512f")]
        pub fn scale(x: super::Floats, n: super::Floats) -> super::Floats {
            super::Floats(_mm512_scalef_ps(x.0, n.0))
        }
    }
}

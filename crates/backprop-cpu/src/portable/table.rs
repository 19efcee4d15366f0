//! Which block function computes an instruction.

use backprop_core::DType;
use backprop_core::ops::{Binary, Compare, Logic, Unary};

use super::block::{Block, Body, Run, for_isa, map1, map2, map3, operand, results};
use super::functions::{of_one, of_two};
use crate::isa::Isa;

/// Runs an expression with `$T` naming the type that holds a [`DType`] in a block: `bool` is a byte, 0 or 1.
macro_rules! with_lane {
    ($dtype:expr, |$T:ident| $body:expr) => {
        match $dtype {
            DType::F32 => {
                type $T = f32;
                $body
            }
            DType::F64 => {
                type $T = f64;
                $body
            }
            DType::I32 => {
                type $T = i32;
                $body
            }
            DType::I64 => {
                type $T = i64;
                $body
            }
            DType::U32 => {
                type $T = u32;
                $body
            }
            DType::U8 | DType::Bool => {
                type $T = u8;
                $body
            }
        }
    };
}
pub(super) use with_lane;

/// Runs an expression with `$T` naming an unsigned integer as wide as a [`DType`], for what only moves.
macro_rules! with_width {
    ($dtype:expr, |$T:ident| $body:expr) => {
        match $dtype.size() {
            8 => {
                type $T = u64;
                $body
            }
            4 => {
                type $T = u32;
                $body
            }
            _ => {
                type $T = u8;
                $body
            }
        }
    };
}
pub(super) use with_width;

/// A function of one operand. (The program was verified: the type has such a function.)
pub(super) fn unary(op: Unary, dtype: DType, isa: Isa) -> Run {
    macro_rules! ints {
        ($($D:ident $T:ident sign $sign:expr;)*) => {
            match (dtype, op) {
                (DType::F32 | DType::F64, _) => of_one(dtype, isa),
                $(
                    (DType::$D, Unary::Neg) => map1(isa, |x: $T| (0 as $T).wrapping_sub(x)),
                    (DType::$D, Unary::Abs) => map1(isa, |x: $T| (x as i64).wrapping_abs() as $T),
                    (DType::$D, Unary::Sign) => map1(isa, $sign),
                    (DType::$D, Unary::Square) => map1(isa, |x: $T| x.wrapping_mul(x)),
                )*
                (dtype, op) => unreachable!("{op:?} of {dtype} was verified"),
            }
        };
    }
    ints! {
        I32 i32 sign |x: i32| x.signum();
        I64 i64 sign |x: i64| x.signum();
        U32 u32 sign |x: u32| x.min(1);
        U8 u8 sign |x: u8| x.min(1);
    }
}

/// A function of two operands.
pub(super) fn binary(op: Binary, dtype: DType, isa: Isa) -> Run {
    macro_rules! table {
        (floats $($F:ident $f:ident),*; ints $($D:ident $T:ident),*) => {
            match (dtype, op) {
                $(
                    (DType::$F, Binary::Add) => map2(isa, |a: $f, b: $f| a + b),
                    (DType::$F, Binary::Sub) => map2(isa, |a: $f, b: $f| a - b),
                    (DType::$F, Binary::Mul) => map2(isa, |a: $f, b: $f| a * b),
                    (DType::$F, Binary::Div) => map2(isa, |a: $f, b: $f| a / b),
                    (DType::$F, _) => of_two(dtype, isa),
                )*
                $(
                    (DType::$D, Binary::Add) => map2(isa, |a: $T, b: $T| a.wrapping_add(b)),
                    (DType::$D, Binary::Sub) => map2(isa, |a: $T, b: $T| a.wrapping_sub(b)),
                    (DType::$D, Binary::Mul) => map2(isa, |a: $T, b: $T| a.wrapping_mul(b)),
                    (DType::$D, Binary::Div) => for_isa::<Quotient<$T>>(isa),
                    (DType::$D, Binary::Pow) => {
                        map2(isa, |a: $T, b: $T| Binary::Pow.reference_int(a as i64, b as i64) as $T)
                    }
                    (DType::$D, Binary::Maximum) => map2(isa, |a: $T, b: $T| a.max(b)),
                    (DType::$D, Binary::Minimum) => map2(isa, |a: $T, b: $T| a.min(b)),
                )*
                (DType::Bool, _) => unreachable!("{op:?} of bool was verified"),
            }
        };
    }
    table!(floats F32 f32, F64 f64; ints I32 i32, I64 i64, U32 u32, U8 u8)
}

/// a·b + c of floats.
pub(super) fn fma(dtype: DType, isa: Isa) -> Run {
    match dtype {
        DType::F32 => map3(isa, |a: f32, b: f32, c: f32| a.mul_add(b, c)),
        _ => map3(isa, |a: f64, b: f64, c: f64| a.mul_add(b, c)),
    }
}

/// A comparison of operands of type `dtype`.
pub(super) fn compare(op: Compare, dtype: DType, isa: Isa) -> Run {
    with_lane!(dtype, |T| match op {
        Compare::Eq => map2(isa, |a: T, b: T| u8::from(a == b)),
        Compare::Ne => map2(isa, |a: T, b: T| u8::from(a != b)),
        Compare::Lt => map2(isa, |a: T, b: T| u8::from(a < b)),
        Compare::Le => map2(isa, |a: T, b: T| u8::from(a <= b)),
        Compare::Gt => map2(isa, |a: T, b: T| u8::from(a > b)),
        Compare::Ge => map2(isa, |a: T, b: T| u8::from(a >= b)),
    })
}

/// A function of truth values.
pub(super) fn logic(op: Logic, isa: Isa) -> Run {
    match op {
        Logic::And => map2(isa, |a: u8, b: u8| a & b),
        Logic::Or => map2(isa, |a: u8, b: u8| a | b),
        Logic::Not => map1(isa, |a: u8| a ^ 1),
    }
}

/// b where a holds, else c, of type `dtype`.
pub(super) fn select(dtype: DType, isa: Isa) -> Run {
    with_width!(dtype, |T| map3(isa, |a: u8, b: T, c: T| if a != 0 { b } else { c }))
}

/// A conversion as Rust's `as` does it; to bool, whether it is not 0.
pub(super) fn cast(from: DType, to: DType, isa: Isa) -> Run {
    with_lane!(from, |A| match to {
        DType::Bool => map1(isa, |x: A| u8::from(x != 0 as A)),
        #[allow(trivial_numeric_casts, clippy::unnecessary_cast)]
        _ => with_lane!(to, |B| map1(isa, |x: A| x as B)),
    })
}

/// a / b of integers; where b is 0, a fault and 0.
struct Quotient<T>(std::marker::PhantomData<T>);

macro_rules! quotients {
    ($($T:ident)*) => {$(
        impl Body for Quotient<$T> {
            type Args = Block;
            type Given = bool;
            #[inline(always)]
            unsafe fn run(block: &Block) -> bool {
                // SAFETY: the contract of a block function.
                let (a, b) = unsafe { (operand::<$T>(block, 0), operand::<$T>(block, 1)) };
                // SAFETY: likewise.
                let y = unsafe { results::<$T>(block) };
                let mut is_faulty = false;
                for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
                    *y = if b == 0 { 0 } else { a.wrapping_div(b) };
                    is_faulty |= b == 0;
                }
                is_faulty
            }
        }
    )*};
}

quotients!(i32 i64 u32 u8);

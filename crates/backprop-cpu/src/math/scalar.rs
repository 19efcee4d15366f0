//! `f32` and `f64` as lanes.

use std::num::Wrapping;

use super::lane::{Float, Int, Mask, Sixteen};

impl Mask for bool {}

macro_rules! scalar {
    ($T:ident, $I:ident) => {
        impl Int for Wrapping<$I> {
            type Float = $T;
            type Mask = bool;
            #[inline(always)]
            fn lit(self, value: i64) -> Self {
                Wrapping(value as $I)
            }
            #[inline(always)]
            fn to_float(self) -> $T {
                $T::from_bits(self.0)
            }
            #[inline(always)]
            fn equals(self, other: Self) -> bool {
                self == other
            }
            #[inline(always)]
            fn entry(self, table: &'static Sixteen) -> Self {
                Wrapping($I::from(table[(self.0 & 15) as usize]))
            }
        }

        impl Float for $T {
            type Width = $T;
            type Int = Wrapping<$I>;
            type Mask = bool;
            #[inline(always)]
            fn lit(self, value: f64) -> $T {
                value as $T
            }
            #[inline(always)]
            fn mul_add(self, a: $T, b: $T) -> $T {
                $T::mul_add(self, a, b)
            }
            #[inline(always)]
            fn mul_sub(self, a: $T, b: $T) -> $T {
                $T::mul_add(self, a, -b)
            }
            #[inline(always)]
            fn neg_mul_add(self, a: $T, b: $T) -> $T {
                $T::mul_add(-self, a, b)
            }
            #[inline(always)]
            fn sqrt(self) -> $T {
                $T::sqrt(self)
            }
            #[inline(always)]
            fn abs(self) -> $T {
                $T::abs(self)
            }
            #[inline(always)]
            fn round_ties_even(self) -> $T {
                $T::round_ties_even(self)
            }
            #[inline(always)]
            fn floor(self) -> $T {
                $T::floor(self)
            }
            #[inline(always)]
            fn ceil(self) -> $T {
                $T::ceil(self)
            }
            #[inline(always)]
            fn smaller(self, other: $T) -> $T {
                if self < other { self } else { other }
            }
            #[inline(always)]
            fn larger(self, other: $T) -> $T {
                if self > other { self } else { other }
            }
            #[inline(always)]
            fn below(self, other: $T) -> bool {
                self < other
            }
            #[inline(always)]
            fn at_most(self, other: $T) -> bool {
                self <= other
            }
            #[inline(always)]
            fn equals(self, other: $T) -> bool {
                self == other
            }
            #[inline(always)]
            fn select(mask: bool, a: $T, b: $T) -> $T {
                if mask { a } else { b }
            }
            #[inline(always)]
            fn to_bits(self) -> Wrapping<$I> {
                Wrapping($T::to_bits(self))
            }
            #[inline(always)]
            fn scale(self, n: $T) -> $T {
                self.scale_in_two(n)
            }
        }
    };
}

scalar!(f32, u32);
scalar!(f64, u64);

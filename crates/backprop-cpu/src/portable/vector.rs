//! Vectors of floats, and single ones, under one name for what chains do with them.

use backprop_core::ops::Compare;

/// Some floats at a time.
///
/// # Safety
/// Methods need the instructions that the vector is of; pointers hold as many elements.
pub(super) trait Vector: Copy {
    type T: Vector<T = Self::T>;
    const WIDTH: usize;
    const ZERO: Self::T;
    unsafe fn load(from: *const Self::T) -> Self;
    unsafe fn store(self, to: *mut Self::T);
    unsafe fn splat(x: Self::T) -> Self;
    unsafe fn add(self, b: Self) -> Self;
    unsafe fn sub(self, b: Self) -> Self;
    unsafe fn mul(self, b: Self) -> Self;
    unsafe fn div(self, b: Self) -> Self;
    /// Of equal ones (0 and −0 too) self; NaN where either is.
    unsafe fn maximum(self, b: Self) -> Self;
    unsafe fn minimum(self, b: Self) -> Self;
    unsafe fn fma(self, b: Self, c: Self) -> Self;
    /// c where a and b compare so, else d.
    unsafe fn choose<const N: usize>(
        op: Compare,
        a: [Self; N],
        b: [Self; N],
        c: [Self; N],
        d: [Self; N],
    ) -> [Self; N];
}

macro_rules! scalars {
    ($($T:ident)*) => {$(
        impl Vector for $T {
            type T = $T;
            const WIDTH: usize = 1;
            const ZERO: $T = 0.0;
            #[inline(always)]
            unsafe fn load(from: *const $T) -> $T {
                // SAFETY: the caller's.
                unsafe { from.read() }
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $T) {
                // SAFETY: the caller's.
                unsafe { to.write(self) }
            }
            #[inline(always)]
            unsafe fn splat(x: $T) -> $T {
                x
            }
            #[inline(always)]
            unsafe fn add(self, b: $T) -> $T {
                self + b
            }
            #[inline(always)]
            unsafe fn sub(self, b: $T) -> $T {
                self - b
            }
            #[inline(always)]
            unsafe fn mul(self, b: $T) -> $T {
                self * b
            }
            #[inline(always)]
            unsafe fn div(self, b: $T) -> $T {
                self / b
            }
            #[inline(always)]
            unsafe fn maximum(self, b: $T) -> $T {
                if b > self || b.is_nan() { b } else { self }
            }
            #[inline(always)]
            unsafe fn minimum(self, b: $T) -> $T {
                if b < self || b.is_nan() { b } else { self }
            }
            #[inline(always)]
            unsafe fn fma(self, b: $T, c: $T) -> $T {
                self.mul_add(b, c)
            }
            #[inline(always)]
            unsafe fn choose<const N: usize>(
                op: Compare,
                a: [$T; N],
                b: [$T; N],
                c: [$T; N],
                d: [$T; N],
            ) -> [$T; N] {
                std::array::from_fn(|i| {
                    let holds = match op {
                        Compare::Eq => a[i] == b[i],
                        Compare::Ne => a[i] != b[i],
                        Compare::Lt => a[i] < b[i],
                        Compare::Le => a[i] <= b[i],
                        Compare::Gt => a[i] > b[i],
                        Compare::Ge => a[i] >= b[i],
                    };
                    if holds { c[i] } else { d[i] }
                })
            }
        }
    )*};
}

scalars!(f32 f64);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Compare, Vector};

    macro_rules! vectors {
        ($(
            $V:ident of $width:literal $T:ident: $load:ident $store:ident $splat:ident $add:ident $sub:ident
            $mul:ident $div:ident $max:ident $min:ident $fma:ident
            pick |$op:ident, $a:ident, $b:ident, $c:ident, $d:ident| $pick:expr;
        )*) => {$(
            // SAFETY (of every call here): the caller's, that the processor has the instructions.
            impl Vector for $V {
                type T = $T;
                const WIDTH: usize = $width;
                const ZERO: $T = 0.0;
                #[inline(always)]
                unsafe fn load(from: *const $T) -> $V {
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut $T) {
                    unsafe { $store(to, self) }
                }
                #[inline(always)]
                unsafe fn splat(x: $T) -> $V {
                    unsafe { $splat(x) }
                }
                #[inline(always)]
                unsafe fn add(self, b: $V) -> $V {
                    unsafe { $add(self, b) }
                }
                #[inline(always)]
                unsafe fn sub(self, b: $V) -> $V {
                    unsafe { $sub(self, b) }
                }
                #[inline(always)]
                unsafe fn mul(self, b: $V) -> $V {
                    unsafe { $mul(self, b) }
                }
                #[inline(always)]
                unsafe fn div(self, b: $V) -> $V {
                    unsafe { $div(self, b) }
                }
                // max(b, a) is a where they are equal or either is NaN.
                #[inline(always)]
                unsafe fn maximum(self, b: $V) -> $V {
                    unsafe { pick::<$V, 1>(Compare::Ne, [b], [b], [b], [$max(b, self)])[0] }
                }
                #[inline(always)]
                unsafe fn minimum(self, b: $V) -> $V {
                    unsafe { pick::<$V, 1>(Compare::Ne, [b], [b], [b], [$min(b, self)])[0] }
                }
                #[inline(always)]
                unsafe fn fma(self, b: $V, c: $V) -> $V {
                    unsafe { $fma(self, b, c) }
                }
                #[inline(always)]
                unsafe fn choose<const N: usize>(
                    $op: Compare,
                    $a: [$V; N],
                    $b: [$V; N],
                    $c: [$V; N],
                    $d: [$V; N],
                ) -> [$V; N] {
                    let mut y = $d;
                    macro_rules! with {
                        ($how:ident) => {
                            for i in 0..N {
                                let ($a, $b, $c, $d) = ($a[i], $b[i], $c[i], $d[i]);
                                const HOW: i32 = $how;
                                y[i] = unsafe { $pick };
                            }
                        };
                    }
                    match $op {
                        Compare::Eq => with!(_CMP_EQ_OQ),
                        Compare::Ne => with!(_CMP_NEQ_UQ),
                        Compare::Lt => with!(_CMP_LT_OQ),
                        Compare::Le => with!(_CMP_LE_OQ),
                        Compare::Gt => with!(_CMP_GT_OQ),
                        Compare::Ge => with!(_CMP_GE_OQ),
                    }
                    y
                }
            }
        )*};
    }

    /// [`Vector::choose`], by a name that macros can say.
    #[inline(always)]
    unsafe fn pick<V: Vector, const N: usize>(
        op: Compare,
        a: [V; N],
        b: [V; N],
        c: [V; N],
        d: [V; N],
    ) -> [V; N] {
        // SAFETY: the caller's.
        unsafe { V::choose(op, a, b, c, d) }
    }

    vectors! {
        __m512 of 16 f32: _mm512_loadu_ps _mm512_storeu_ps _mm512_set1_ps _mm512_add_ps _mm512_sub_ps
            _mm512_mul_ps _mm512_div_ps _mm512_max_ps _mm512_min_ps _mm512_fmadd_ps
            pick |op, a, b, c, d| _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<HOW>(a, b), d, c);
        __m512d of 8 f64: _mm512_loadu_pd _mm512_storeu_pd _mm512_set1_pd _mm512_add_pd _mm512_sub_pd
            _mm512_mul_pd _mm512_div_pd _mm512_max_pd _mm512_min_pd _mm512_fmadd_pd
            pick |op, a, b, c, d| _mm512_mask_blend_pd(_mm512_cmp_pd_mask::<HOW>(a, b), d, c);
        __m256 of 8 f32: _mm256_loadu_ps _mm256_storeu_ps _mm256_set1_ps _mm256_add_ps _mm256_sub_ps
            _mm256_mul_ps _mm256_div_ps _mm256_max_ps _mm256_min_ps _mm256_fmadd_ps
            pick |op, a, b, c, d| _mm256_blendv_ps(d, c, _mm256_cmp_ps::<HOW>(a, b));
        __m256d of 4 f64: _mm256_loadu_pd _mm256_storeu_pd _mm256_set1_pd _mm256_add_pd _mm256_sub_pd
            _mm256_mul_pd _mm256_div_pd _mm256_max_pd _mm256_min_pd _mm256_fmadd_pd
            pick |op, a, b, c, d| _mm256_blendv_pd(d, c, _mm256_cmp_pd::<HOW>(a, b));
    }
}

//! Chains: instructions of floats, each read by the next one only, that pass their results in registers.
//!
//! A block goes through a chain a few vectors at a time; so its values need no memory between instructions,
//! and a value that all elements share needs no block.

use backprop_core::DType;
use backprop_core::ops::{Binary, Compare};

use super::block::{Body, for_isa};
use super::tape::Entry;
use crate::isa::Isa;

/// An operand of a link.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Operand {
    /// The result of the link before.
    Before,
    /// A block.
    Block(Entry),
    /// One element for all.
    One(Entry),
}

/// An instruction of a chain.
#[derive(Clone, Copy)]
pub(super) struct Link {
    pub op: LinkOp,
    pub args: [Operand; 4],
}

/// What a link computes of its operands a, b, c, d.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkOp {
    Add,
    Sub,
    Mul,
    Div,
    Maximum,
    Minimum,
    /// a·b + c, rounded once.
    Fma,
    /// c where a and b compare so, else d.
    Choose(Compare),
}

impl LinkOp {
    /// The function of two operands, if chains have it.
    pub fn of(op: Binary) -> Option<LinkOp> {
        Some(match op {
            Binary::Add => LinkOp::Add,
            Binary::Sub => LinkOp::Sub,
            Binary::Mul => LinkOp::Mul,
            Binary::Div => LinkOp::Div,
            Binary::Maximum => LinkOp::Maximum,
            Binary::Minimum => LinkOp::Minimum,
            Binary::Pow => return None,
        })
    }
}

/// A chain at work.
pub(super) struct Call {
    pub links: *const [Link],
    pub table: *const *mut u8,
    pub out: *mut u8,
    pub n: usize,
}

/// Runs a chain.
///
/// # Safety
/// Blocks hold `n` elements of the chain's type, aligned, and `out` has room for them; it may be one of the
/// blocks.
pub(super) type RunChain = unsafe fn(&Call);

/// What runs chains of floats of this type.
pub(super) fn run(dtype: DType, isa: Isa) -> RunChain {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__m256, __m256d, __m512, __m512d};
        match (dtype, isa) {
            (DType::F32, Isa::Avx512) => return for_isa::<Chain<__m512, 8>>(isa),
            (DType::F64, Isa::Avx512) => return for_isa::<Chain<__m512d, 8>>(isa),
            (DType::F32, Isa::Avx2) => return for_isa::<Chain<__m256, 4>>(isa),
            (DType::F64, Isa::Avx2) => return for_isa::<Chain<__m256d, 4>>(isa),
            _ => {}
        }
    }
    if dtype == DType::F32 { for_isa::<Chain<f32, 8>>(isa) } else { for_isa::<Chain<f64, 8>>(isa) }
}

struct Chain<V, const N: usize>(std::marker::PhantomData<V>);

impl<V: Vector, const N: usize> Body for Chain<V, N> {
    type Args = Call;
    type Given = ();
    #[inline(always)]
    unsafe fn run(call: &Call) {
        let mut first = 0;
        // SAFETY: the caller's: all pieces together are the block.
        unsafe {
            while first + N * V::WIDTH <= call.n {
                piece::<V, N>(call, first);
                first += N * V::WIDTH;
            }
            while first + V::WIDTH <= call.n {
                piece::<V, 1>(call, first);
                first += V::WIDTH;
            }
            while first < call.n {
                piece::<V::T, 1>(call, first);
                first += 1;
            }
        }
    }
}

/// N vectors from element `first` on, through all links.
///
/// # Safety
/// That of [`RunChain`], for these elements.
#[inline(always)]
unsafe fn piece<V: Vector, const N: usize>(call: &Call, first: usize) {
    // SAFETY: the caller's.
    unsafe {
        let mut value = [V::splat(V::ZERO); N];
        for link in &*call.links {
            let operand = |at: usize, before: &[V; N]| -> [V; N] {
                match link.args[at] {
                    Operand::Before => *before,
                    Operand::Block(entry) => {
                        let block = call.table.add(entry as usize).read().cast::<V::T>().add(first);
                        std::array::from_fn(|i| V::load(block.add(i * V::WIDTH)))
                    }
                    Operand::One(entry) => {
                        [V::splat(call.table.add(entry as usize).read().cast::<V::T>().read()); N]
                    }
                }
            };
            let (a, b) = (operand(0, &value), operand(1, &value));
            value = match link.op {
                LinkOp::Add => std::array::from_fn(|i| a[i].add(b[i])),
                LinkOp::Sub => std::array::from_fn(|i| a[i].sub(b[i])),
                LinkOp::Mul => std::array::from_fn(|i| a[i].mul(b[i])),
                LinkOp::Div => std::array::from_fn(|i| a[i].div(b[i])),
                LinkOp::Maximum => std::array::from_fn(|i| a[i].maximum(b[i])),
                LinkOp::Minimum => std::array::from_fn(|i| a[i].minimum(b[i])),
                LinkOp::Fma => {
                    let c = operand(2, &value);
                    std::array::from_fn(|i| a[i].fma(b[i], c[i]))
                }
                LinkOp::Choose(op) => {
                    let (c, d) = (operand(2, &value), operand(3, &value));
                    V::choose(op, a, b, c, d)
                }
            };
        }
        let out = call.out.cast::<V::T>().add(first);
        (0..N).for_each(|i| value[i].store(out.add(i * V::WIDTH)));
    }
}

/// Some floats at a time.
///
/// # Safety
/// Methods need the instructions that the vector is of; pointers hold as many elements.
trait Vector: Copy {
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
                    macro_rules! with {
                        ($how:ident) => {
                            std::array::from_fn(|i| {
                                let ($a, $b, $c, $d) = ($a[i], $b[i], $c[i], $d[i]);
                                const HOW: i32 = $how;
                                unsafe { $pick }
                            })
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

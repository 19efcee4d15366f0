//! Block functions: one operation on a run of elements, compiled for each instruction set.
//!
//! The source of each stands once, as a [`Body`]; [`for_isa`] is the shell around it that lets the compiler
//! make vector code of its loop.

use std::marker::PhantomData;
use std::slice;

use crate::isa::Isa;

/// What a block function works on. A pointer that it does not use may be anything.
#[derive(Clone, Copy)]
pub(super) struct Block {
    /// The results.
    pub out: *mut u8,
    /// The operands.
    pub args: [*const u8; 3],
    /// The number of elements.
    pub n: usize,
    /// How many bytes apart neighbours in memory are.
    pub stride: isize,
    /// Of a gather: how many bytes apart neighbouring indices lie. Of a fold in lanes: the number of lanes.
    pub step: isize,
    /// Of a gather: one past the last index. Of a fold in lanes: the lane of the first element. Of a function:
    /// its number among the ops.
    pub bound: u64,
}

impl Block {
    /// A block of `n` elements without operands.
    pub fn new(n: usize) -> Block {
        Block { out: std::ptr::null_mut(), args: [std::ptr::null(); 3], n, stride: 0, step: 0, bound: 0 }
    }
}

/// A block function; whether it met a fault in the data.
///
/// # Safety
/// The operands that it reads hold `n` elements of its types, aligned; `out` has room for `n` results and
/// meets no operand (unless the body says so).
pub(super) type Run = unsafe fn(&Block) -> bool;

/// The body of a function that is compiled for each instruction set.
pub(super) trait Body {
    /// What it is called with.
    type Args;
    /// What it gives.
    type Given;
    /// Runs it. Implementations are `#[inline(always)]`.
    ///
    /// # Safety
    /// As the implementation says.
    unsafe fn run(args: &Self::Args) -> Self::Given;
}

/// A body, compiled for an instruction set.
pub(super) fn for_isa<B: Body>(isa: Isa) -> unsafe fn(&B::Args) -> B::Given {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2<B: Body>(args: &B::Args) -> B::Given {
            // SAFETY: the caller's contract is the body's.
            unsafe { B::run(args) }
        }
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        unsafe fn avx512<B: Body>(args: &B::Args) -> B::Given {
            // SAFETY: the caller's contract is the body's.
            unsafe { B::run(args) }
        }
        match isa {
            Isa::Avx2 => return avx2::<B>,
            Isa::Avx512 => return avx512::<B>,
            Isa::Baseline => {}
        }
    }
    let _ = isa;
    B::run
}

/// The value of a closure that captures nothing.
fn conjure<F: Copy>() -> F {
    const { assert!(size_of::<F>() == 0) };
    // SAFETY: a value of no bytes is its type; that there is one, whoever named the closure's type has shown.
    unsafe { std::ptr::NonNull::<F>::dangling().read() }
}

/// Operand `at` of a block.
///
/// # Safety
/// It holds `n` elements of `T`, aligned, that nobody writes while the slice lives.
#[inline(always)]
pub(super) unsafe fn operand<'a, T>(block: &Block, at: usize) -> &'a [T] {
    // SAFETY: the caller's.
    unsafe { slice::from_raw_parts(block.args[at].cast(), block.n) }
}

/// The results of a block.
///
/// # Safety
/// There is room for `n` elements of `R`, aligned, that nobody else reads or writes while the slice lives,
/// and they hold some bytes or other.
#[inline(always)]
pub(super) unsafe fn results<'a, R>(block: &Block) -> &'a mut [R] {
    // SAFETY: the caller's.
    unsafe { slice::from_raw_parts_mut(block.out.cast(), block.n) }
}

macro_rules! maps {
    ($($make:ident $Map:ident($($x:ident: $X:ident at $at:literal),+);)*) => {$(
        struct $Map<$($X,)+ R, F>(PhantomData<($($X,)+ R, F)>);

        impl<$($X: Copy,)+ R: Copy, F: Copy + Fn($($X),+) -> R> Body for $Map<$($X,)+ R, F> {
            type Args = Block;
            type Given = bool;
            #[inline(always)]
            unsafe fn run(block: &Block) -> bool {
                let value = conjure::<F>();
                // SAFETY: the contract of a block function.
                let y = unsafe { results::<R>(block) };
                $(
                    // SAFETY: the contract of a block function.
                    let $x = &unsafe { operand::<$X>(block, $at) }[..y.len()];
                )+
                for i in 0..y.len() {
                    y[i] = value($($x[i]),+);
                }
                false
            }
        }

        /// Applies a function to each element of the operands.
        pub(super) fn $make<$($X: Copy + 'static,)+ R: Copy + 'static, F>(isa: Isa, _value: F) -> Run
        where
            F: Copy + Fn($($X),+) -> R + 'static,
        {
            for_isa::<$Map<$($X,)+ R, F>>(isa)
        }
    )*};
}

maps! {
    map1 Map1(a: A at 0);
    map2 Map2(a: A at 0, b: B at 1);
    map3 Map3(a: A at 0, b: B at 1, c: C at 2);
}

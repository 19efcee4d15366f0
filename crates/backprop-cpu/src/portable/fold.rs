//! Block functions that fold elements into accumulators, in the order that the loop IR says.

use std::marker::PhantomData;

use backprop_core::DType;
use backprop_opt::loops::Fold;

use super::block::{Block, Body, Run, for_isa, operand};
use super::table::with_lane;
use crate::isa::Isa;

/// The block functions of one fold of one type.
#[derive(Clone, Copy)]
pub(super) struct Folding {
    /// Element i of operand 0 onto the accumulator `i·stride` bytes after `out`.
    pub each: Run,
    /// All of operand 0 onto the one accumulator `out`, in order.
    pub all: Run,
    /// Element i of operand 0 onto partial result (`bound` + i) mod `step` of `out`.
    pub lanes: Run,
    /// Sets the accumulators at `out` to the start.
    pub start: Run,
}

impl Folding {
    pub fn new(fold: Fold, dtype: DType, isa: Isa) -> Folding {
        fn of<F: Folds + 'static>(isa: Isa) -> Folding {
            Folding {
                each: for_isa::<Each<F>>(isa),
                all: for_isa::<All<F>>(isa),
                lanes: for_isa::<Lanes<F>>(isa),
                start: for_isa::<Start<F>>(isa),
            }
        }
        with_lane!(dtype, |T| match (dtype, fold) {
            (DType::Bool, _) | (_, Fold::Any) => of::<Any>(isa),
            (_, Fold::Sum) => of::<Sum<T>>(isa),
            (_, Fold::Max) => of::<Max<T>>(isa),
        })
    }

    /// Folds the upper half of `n` partial results of `width` elements each onto the lower half, until one
    /// is left.
    ///
    /// # Safety
    /// `partial` points to `n·width` elements of `size` bytes that nobody else uses.
    pub unsafe fn halve(&self, partial: *mut u8, n: usize, width: usize, size: usize) {
        let mut n = n / 2;
        while n > 0 {
            let upper = partial.wrapping_add(n * width * size);
            let mut block = Block::new(n * width);
            (block.out, block.args[0], block.stride) = (partial, upper, size as isize);
            // SAFETY: both halves lie within the partial results, and do not meet.
            unsafe { (self.each)(&block) };
            n /= 2;
        }
    }
}

/// How two values are folded into one.
trait Folds {
    type T: Copy;
    const START: Self::T;
    fn fold(acc: Self::T, x: Self::T) -> Self::T;
}

struct Sum<T>(PhantomData<T>);
struct Max<T>(PhantomData<T>);
struct Any;

impl Folds for Any {
    type T = u8;
    const START: u8 = 0;
    #[inline(always)]
    fn fold(acc: u8, x: u8) -> u8 {
        acc | x
    }
}

macro_rules! folds {
    ($($T:ident from $least:expr, |$a:ident, $b:ident| $sum:expr, $larger:expr;)*) => {$(
        impl Folds for Sum<$T> {
            type T = $T;
            const START: $T = 0 as $T;
            #[inline(always)]
            fn fold($a: $T, $b: $T) -> $T {
                $sum
            }
        }

        impl Folds for Max<$T> {
            type T = $T;
            const START: $T = $least;
            #[inline(always)]
            fn fold($a: $T, $b: $T) -> $T {
                $larger
            }
        }
    )*};
}

folds! {
    f32 from f32::NEG_INFINITY, |a, x| a + x, if x > a || x.is_nan() { x } else { a };
    f64 from f64::NEG_INFINITY, |a, x| a + x, if x > a || x.is_nan() { x } else { a };
    i32 from i32::MIN, |a, x| a.wrapping_add(x), a.max(x);
    i64 from i64::MIN, |a, x| a.wrapping_add(x), a.max(x);
    u32 from 0, |a, x| a.wrapping_add(x), a.max(x);
    u8 from 0, |a, x| a.wrapping_add(x), a.max(x);
}

struct Each<F>(PhantomData<F>);
struct All<F>(PhantomData<F>);
struct Lanes<F>(PhantomData<F>);
struct Start<F>(PhantomData<F>);

impl<F: Folds> Body for Each<F> {
    type Args = Block;
    type Given = bool;
    #[inline(always)]
    unsafe fn run(block: &Block) -> bool {
        // SAFETY: the contract of a block function.
        let x = unsafe { operand::<F::T>(block, 0) };
        if block.stride == size_of::<F::T>() as isize {
            // SAFETY: `n` neighbours of a verified access that nobody else uses meanwhile.
            let acc = unsafe { super::block::results::<F::T>(block) };
            for (acc, &x) in acc.iter_mut().zip(x) {
                *acc = F::fold(*acc, x);
            }
            return false;
        }
        for (i, &x) in x.iter().enumerate() {
            let acc = block.out.wrapping_offset(i as isize * block.stride).cast::<F::T>();
            // SAFETY: element i of a verified access that the program may write.
            unsafe { acc.write(F::fold(acc.read(), x)) };
        }
        false
    }
}

impl<F: Folds> Body for All<F> {
    type Args = Block;
    type Given = bool;
    #[inline(always)]
    unsafe fn run(block: &Block) -> bool {
        let acc = block.out.cast::<F::T>();
        // SAFETY: the contract of a block function; the accumulator is one element that may be written.
        unsafe { acc.write(operand::<F::T>(block, 0).iter().fold(acc.read(), |acc, &x| F::fold(acc, x))) };
        false
    }
}

impl<F: Folds> Body for Lanes<F> {
    type Args = Block;
    type Given = bool;
    #[inline(always)]
    unsafe fn run(block: &Block) -> bool {
        let lanes = block.step as usize;
        // SAFETY: there are `lanes` partial results, this call's own.
        let partial = unsafe { std::slice::from_raw_parts_mut(block.out.cast::<F::T>(), lanes) };
        // SAFETY: the contract of a block function.
        let x = unsafe { operand::<F::T>(block, 0) };
        let first = block.bound as usize & (lanes - 1);
        let (head, x) = x.split_at(if first == 0 { 0 } else { x.len().min(lanes - first) });
        for (acc, &x) in partial[first..].iter_mut().zip(head) {
            *acc = F::fold(*acc, x);
        }
        match lanes {
            8 => fixed::<F, 8>(partial, x),
            16 => fixed::<F, 16>(partial, x),
            32 => fixed::<F, 32>(partial, x),
            64 => fixed::<F, 64>(partial, x),
            _ => {
                for x in x.chunks(lanes) {
                    partial.iter_mut().zip(x).for_each(|(acc, &x)| *acc = F::fold(*acc, x));
                }
            }
        }
        false
    }
}

/// Lanes whose number the compiler knows, so that they stay in registers.
#[inline(always)]
fn fixed<F: Folds, const LANES: usize>(partial: &mut [F::T], x: &[F::T]) {
    let (whole, tail) = x.as_chunks::<LANES>();
    let mut acc: [F::T; LANES] = std::array::from_fn(|i| partial[i]);
    for x in whole {
        for i in 0..LANES {
            acc[i] = F::fold(acc[i], x[i]);
        }
    }
    partial.copy_from_slice(&acc);
    partial.iter_mut().zip(tail).for_each(|(acc, &x)| *acc = F::fold(*acc, x));
}

impl<F: Folds> Body for Start<F> {
    type Args = Block;
    type Given = bool;
    #[inline(always)]
    unsafe fn run(block: &Block) -> bool {
        // SAFETY: the contract of a block function.
        unsafe { super::block::results::<F::T>(block).fill(F::START) };
        false
    }
}

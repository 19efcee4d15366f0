//! Block functions between blocks and memory: strided loads and stores, gathers, counts, splats.

use std::marker::PhantomData;

use backprop_core::DType;

use super::block::{Block, Body, Run, for_isa, operand, results};
use super::table::with_width;
use crate::isa::Isa;

/// out[i] = the element `i·stride` bytes after operand 0.
pub(super) fn load(dtype: DType, isa: Isa) -> Run {
    with_width!(dtype, |T| for_isa::<Load<T>>(isa))
}

/// Element i of operand 0 goes `i·stride` bytes after `out`; neighbours (a stride of their size) may lie
/// where they come from.
pub(super) fn store(dtype: DType, isa: Isa) -> Run {
    with_width!(dtype, |T| for_isa::<Store<T>>(isa))
}

/// out[i] = the only element of operand 0.
pub(super) fn splat(dtype: DType, isa: Isa) -> Run {
    with_width!(dtype, |T| for_isa::<Splat<T>>(isa))
}

/// out[i] = the number that operand 0 is (not points to) + i·stride.
pub(super) fn count(isa: Isa) -> Run {
    for_isa::<Count>(isa)
}

/// out[i] = the element `i·stride + index[i]·step` bytes after operand 0, index operand 1; outside
/// 0..`bound` a fault and 0.
pub(super) fn gather(dtype: DType, index: DType, isa: Isa) -> Run {
    with_width!(dtype, |T| match index {
        DType::I32 => for_isa::<Gather<T, i32>>(isa),
        DType::I64 => for_isa::<Gather<T, i64>>(isa),
        DType::U32 => for_isa::<Gather<T, u32>>(isa),
        _ => for_isa::<Gather<T, u8>>(isa),
    })
}

/// Whether any element of operand 0 is not finite; integers always are.
pub(super) fn not_finite(dtype: DType, isa: Isa) -> Option<Run> {
    match dtype {
        DType::F32 => Some(for_isa::<NotFinite<f32>>(isa)),
        DType::F64 => Some(for_isa::<NotFinite<f64>>(isa)),
        _ => None,
    }
}

struct Load<T>(PhantomData<T>);
struct Store<T>(PhantomData<T>);
struct Splat<T>(PhantomData<T>);
struct Count;
struct Gather<T, I>(PhantomData<(T, I)>);
struct NotFinite<T>(PhantomData<T>);

impl<T: Copy> Body for Load<T> {
    type Args = Block;
    type Given = bool;
    #[inline(always)]
    unsafe fn run(block: &Block) -> bool {
        // SAFETY: the contract of a block function.
        let y = unsafe { results::<T>(block) };
        for (i, y) in y.iter_mut().enumerate() {
            // SAFETY: element i of a verified access, in its buffer and aligned.
            *y = unsafe { block.args[0].wrapping_offset(i as isize * block.stride).cast::<T>().read() };
        }
        false
    }
}

impl<T: Copy> Body for Store<T> {
    type Args = Block;
    type Given = bool;
    #[inline(always)]
    unsafe fn run(block: &Block) -> bool {
        if block.stride == size_of::<T>() as isize {
            // SAFETY: `n` elements of a block and of a verified access; `copy` lets them meet.
            unsafe { block.args[0].cast::<T>().copy_to(block.out.cast(), block.n) };
            return false;
        }
        for i in 0..block.n {
            // SAFETY: element i of a block, and of a verified access that the program may write.
            unsafe {
                let x = block.args[0].cast::<T>().add(i).read();
                block.out.wrapping_offset(i as isize * block.stride).cast::<T>().write(x);
            }
        }
        false
    }
}

impl<T: Copy> Body for Splat<T> {
    type Args = Block;
    type Given = bool;
    #[inline(always)]
    unsafe fn run(block: &Block) -> bool {
        // SAFETY: the contract of a block function; operand 0 is one element.
        unsafe { results::<T>(block).fill(block.args[0].cast::<T>().read()) };
        false
    }
}

impl Body for Count {
    type Args = Block;
    type Given = bool;
    #[inline(always)]
    unsafe fn run(block: &Block) -> bool {
        let first = block.args[0].addr() as i64;
        // SAFETY: the contract of a block function.
        for (i, y) in unsafe { results::<i64>(block) }.iter_mut().enumerate() {
            *y = first.wrapping_add((i as i64).wrapping_mul(block.stride as i64));
        }
        false
    }
}

/// An integer that says which element.
trait Index: Copy {
    /// Itself, if it is below `bound`.
    fn below(self, bound: u64) -> Option<usize>;
}

macro_rules! index {
    ($($T:ty)*) => {$(
        impl Index for $T {
            #[inline(always)]
            #[allow(irrefutable_let_patterns)]
            fn below(self, bound: u64) -> Option<usize> {
                u64::try_from(self).ok().filter(|&index| index < bound).map(|index| index as usize)
            }
        }
    )*};
}

index!(i32 i64 u32 u8);

impl<T: Copy + Default, I: Index> Body for Gather<T, I> {
    type Args = Block;
    type Given = bool;
    #[inline(always)]
    unsafe fn run(block: &Block) -> bool {
        // SAFETY: the contract of a block function.
        let (y, index) = unsafe { (results::<T>(block), operand::<I>(block, 1)) };
        let mut is_faulty = false;
        for (i, (y, index)) in y.iter_mut().zip(index).enumerate() {
            *y = match index.below(block.bound) {
                Some(index) => {
                    let at = i as isize * block.stride + index as isize * block.step;
                    // SAFETY: the access was verified for index 0 and for index bound − 1, so for all
                    // between.
                    unsafe { block.args[0].wrapping_offset(at).cast::<T>().read() }
                }
                None => {
                    is_faulty = true;
                    T::default()
                }
            };
        }
        is_faulty
    }
}

macro_rules! not_finite {
    ($($T:ty)*) => {$(
        impl Body for NotFinite<$T> {
            type Args = Block;
            type Given = bool;
            #[inline(always)]
            unsafe fn run(block: &Block) -> bool {
                // SAFETY: the contract of a block function.
                let x = unsafe { operand::<$T>(block, 0) };
                // No early end: the whole block goes through vectors.
                x.iter().fold(false, |found, x| found | !x.is_finite())
            }
        }
    )*};
}

not_finite!(f32 f64);

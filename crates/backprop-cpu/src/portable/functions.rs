//! The functions of floats on blocks: those of the one table, [`math`](crate::math).

use std::marker::PhantomData;

use backprop_core::DType;
use backprop_core::ops::{Binary, Unary};

use super::block::{Block, Body, Run, for_isa, operand, results};
use crate::isa::Isa;
use crate::math::{Scalar, binary_block, unary_block};

/// A function of one operand; `dtype` is a float. Its block says which one, as `which` numbers them.
pub(super) fn of_one(dtype: DType, isa: Isa) -> Run {
    if dtype == DType::F32 { for_isa::<OfOne<f32>>(isa) } else { for_isa::<OfOne<f64>>(isa) }
}

/// A function of two operands, likewise.
pub(super) fn of_two(dtype: DType, isa: Isa) -> Run {
    if dtype == DType::F32 { for_isa::<OfTwo<f32>>(isa) } else { for_isa::<OfTwo<f64>>(isa) }
}

struct OfOne<T>(PhantomData<T>);
struct OfTwo<T>(PhantomData<T>);

impl<T: Scalar> Body for OfOne<T> {
    type Args = Block;
    type Given = bool;
    #[inline(always)]
    unsafe fn run(block: &Block) -> bool {
        // SAFETY: the contract of a block function.
        let (x, y) = unsafe { (operand::<T>(block, 0), results::<T>(block)) };
        unary_block(Unary::ALL[block.bound as usize], x, y);
        false
    }
}

impl<T: Scalar> Body for OfTwo<T> {
    type Args = Block;
    type Given = bool;
    #[inline(always)]
    unsafe fn run(block: &Block) -> bool {
        // SAFETY: the contract of a block function.
        let (a, b) = unsafe { (operand::<T>(block, 0), operand::<T>(block, 1)) };
        // SAFETY: likewise.
        let y = unsafe { results::<T>(block) };
        binary_block(Binary::ALL[block.bound as usize], a, b, y);
        false
    }
}

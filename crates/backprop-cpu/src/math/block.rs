//! The functions over blocks of elements: loops that the compiler makes vector code of.

use backprop_core::ops::{Binary, Unary};

#[cfg(target_arch = "x86_64")]
use super::wide;
use super::{Scalar, binary_usual, is_rare, usual};

/// Which vector instructions a loop is compiled for.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Level {
    /// What every machine of this kind has.
    Baseline,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// The most that this machine has.
    pub fn of_this_machine() -> Level {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            let is_wide = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq");
            return if is_wide { Level::Avx512 } else { Level::Avx2 };
        }
        Level::Baseline
    }
}

/// Elements that there are loops for. (Not generic: the loops are compiled once, here.)
pub trait Block: Sized {
    /// y = op(x), element by element.
    ///
    /// # Safety
    /// The machine has the instructions of `level`.
    unsafe fn unary_block(level: Level, op: Unary, x: &[Self], y: &mut [Self]);
    /// y = op(a, b), element by element.
    ///
    /// # Safety
    /// The machine has the instructions of `level`.
    unsafe fn binary_block(level: Level, op: Binary, a: &[Self], b: &[Self], y: &mut [Self]);
    /// y = a·b + c, rounded once, element by element.
    ///
    /// # Safety
    /// The machine has the instructions of `level`.
    unsafe fn fma_block(level: Level, a: &[Self], b: &[Self], c: &[Self], y: &mut [Self]);
}

/// Calls a loop compiled for a level.
macro_rules! with_vectors {
    ($name:ident($($argument:ident: $Type:ty),*) $loop:ident) => {
        unsafe fn $name(level: Level, $($argument: $Type),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($argument: $Type),*) {
                $loop($($argument),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512dq,fma")]
            fn avx512($($argument: $Type),*) {
                $loop($($argument),*)
            }
            match level {
                Level::Baseline => $loop($($argument),*),
                // SAFETY: the caller's promise.
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => unsafe { avx2($($argument),*) },
                // SAFETY: the caller's promise.
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => unsafe { avx512($($argument),*) },
            }
        }
    };
}

impl Block for f32 {
    unsafe fn unary_block(level: Level, op: Unary, x: &[f32], y: &mut [f32]) {
        with_vectors! { in_loops(op: Unary, x: &[f32], y: &mut [f32]) unary_loop }
        match level {
            // SAFETY: the caller's promise.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 if wide::has_table(op) => unsafe { wide::avx2::unary_block(op, x, y) },
            // SAFETY: the caller's promise.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 if wide::has_table(op) => unsafe { wide::avx512::unary_block(op, x, y) },
            // SAFETY: the caller's promise.
            _ => unsafe { in_loops(level, op, x, y) },
        }
    }
    with_vectors! { binary_block(op: Binary, a: &[f32], b: &[f32], y: &mut [f32]) binary_loop }
    with_vectors! { fma_block(a: &[f32], b: &[f32], c: &[f32], y: &mut [f32]) fma_loop }
}

impl Block for f64 {
    with_vectors! { unary_block(op: Unary, x: &[f64], y: &mut [f64]) unary_loop }
    with_vectors! { binary_block(op: Binary, a: &[f64], b: &[f64], y: &mut [f64]) binary_loop }
    with_vectors! { fma_block(a: &[f64], b: &[f64], c: &[f64], y: &mut [f64]) fma_loop }
}

/// y = op(x), element by element.
pub fn unary_block<T: Block>(op: Unary, x: &[T], y: &mut [T]) {
    assert_eq!(x.len(), y.len(), "{} of a block into another size", op.name());
    // SAFETY: the machine has them.
    unsafe { T::unary_block(Level::of_this_machine(), op, x, y) }
}

/// y = op(a, b), element by element.
pub fn binary_block<T: Block>(op: Binary, a: &[T], b: &[T], y: &mut [T]) {
    assert!(a.len() == y.len() && b.len() == y.len(), "{} of blocks of several sizes", op.name());
    // SAFETY: the machine has them.
    unsafe { T::binary_block(Level::of_this_machine(), op, a, b, y) }
}

/// y = a·b + c, rounded once, element by element.
pub fn fma_block<T: Block>(a: &[T], b: &[T], c: &[T], y: &mut [T]) {
    assert!([a, b, c].iter().all(|x| x.len() == y.len()), "fma of blocks of several sizes");
    // SAFETY: the machine has them.
    unsafe { T::fma_block(Level::of_this_machine(), a, b, c, y) }
}

/// Runs a body with its op as a constant, so that each has a loop of its own.
macro_rules! each_op {
    ($Ops:ident $op:expr, |$known:ident| $body:expr; $($variant:ident)*) => {
        match $op {
            $($Ops::$variant => {
                let $known = $Ops::$variant;
                $body
            })*
        }
    };
}

// Loops, not iterators that take closures: a closure has not the vector instructions of the function around it.

#[inline(always)]
fn unary_loop<T: Scalar>(op: Unary, x: &[T], y: &mut [T]) {
    each_op! {
        Unary op, |op| {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = usual(op, x);
            }
            if T::rare(op).is_some() {
                redo_rare(op, x, y);
            }
        };
        Neg Abs Sign Exp Log Sqrt Sin Cos Tanh Sigmoid Softplus Erf Erfc Log1p Expm1 Reciprocal Square Floor Ceil
        Round
    }
}

#[inline(always)]
fn fma_loop<T: Scalar>(a: &[T], b: &[T], c: &[T], y: &mut [T]) {
    for (((y, &a), &b), &c) in y.iter_mut().zip(a).zip(b).zip(c) {
        *y = a.mul_add(b, c);
    }
}

/// Computes again what the loop over `usual` left out.
#[inline(always)]
fn redo_rare<T: Scalar>(op: Unary, x: &[T], y: &mut [T]) {
    let mut any = false;
    for &x in x {
        any |= is_rare(op, x) == Some(true);
    }
    if any {
        for (y, &x) in y.iter_mut().zip(x) {
            if is_rare(op, x) == Some(true) {
                *y = T::rarely(op, x);
            }
        }
    }
}

#[inline(always)]
fn binary_loop<T: Scalar>(op: Binary, a: &[T], b: &[T], y: &mut [T]) {
    each_op! {
        Binary op, |op| for (y, (&a, &b)) in y.iter_mut().zip(a.iter().zip(b)) {
            *y = binary_usual(op, a, b);
        };
        Add Sub Mul Div Pow Maximum Minimum
    }
}

#[cfg(test)]
mod tests {
    use super::super::lane::Int;
    use super::super::{binary, unary};
    use super::*;

    fn check<T: Scalar + std::fmt::LowerExp>(x: &[T]) {
        let levels = match Level::of_this_machine() {
            Level::Baseline => vec![Level::Baseline],
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => vec![Level::Baseline, Level::Avx2],
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => vec![Level::Baseline, Level::Avx2, Level::Avx512],
        };
        let same = |a: T, b: T| if a.is_nan() { b.is_nan() } else { a.to_bits().equals(b.to_bits()) };
        for level in levels {
            let mut y = vec![T::default(); x.len()];
            for &op in Unary::ALL {
                // SAFETY: the levels up to the machine's own.
                unsafe { T::unary_block(level, op, x, &mut y) };
                for (&x, &y) in x.iter().zip(&y) {
                    assert!(same(y, unary(op, x)), "{level:?}: {}({x:e}) = {y:e}", op.name());
                }
            }
            let b: Vec<T> = x.iter().rev().copied().collect();
            for &op in Binary::ALL {
                // SAFETY: the levels up to the machine's own.
                unsafe { T::binary_block(level, op, x, &b, &mut y) };
                for ((&a, &b), &y) in x.iter().zip(&b).zip(&y) {
                    assert!(same(y, binary(op, a, b)), "{level:?}: {}({a:e}, {b:e}) = {y:e}", op.name());
                }
            }
        }
    }

    #[test]
    fn every_level_gives_the_same_bits() {
        let n = if cfg!(miri) { 37 } else { 1_800 };
        let (single, double) = (u32::MAX as usize / n, usize::MAX / n);
        check::<f32>(&(0..=u32::MAX).step_by(single).map(f32::from_bits).collect::<Vec<_>>());
        check::<f64>(&(0..=u64::MAX).step_by(double).map(f64::from_bits).collect::<Vec<_>>());
    }
}

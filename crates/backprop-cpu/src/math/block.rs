//! The functions over blocks of elements: loops that the compiler makes vector code of.

use backprop_core::ops::{Binary, Unary};

use super::{Scalar, binary_usual, is_rare, usual};

/// Vector instructions that this machine has, found once.
#[derive(Clone, Copy)]
enum Level {
    /// What every machine of this kind has.
    Baseline,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    fn of_this_machine() -> Level {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            let is_wide = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq");
            return if is_wide { Level::Avx512 } else { Level::Avx2 };
        }
        Level::Baseline
    }
}

/// y = op(x), element by element.
pub fn unary_block<T: Scalar>(op: Unary, x: &[T], y: &mut [T]) {
    assert_eq!(x.len(), y.len(), "{} of a block into another size", op.name());
    match Level::of_this_machine() {
        Level::Baseline => unary_loop(op, x, y),
        // SAFETY: the machine has these instructions.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { unary_avx2(op, x, y) },
        // SAFETY: the machine has these instructions.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { unary_avx512(op, x, y) },
    }
}

/// y = op(a, b), element by element.
pub fn binary_block<T: Scalar>(op: Binary, a: &[T], b: &[T], y: &mut [T]) {
    assert!(a.len() == y.len() && b.len() == y.len(), "{} of blocks of several sizes", op.name());
    match Level::of_this_machine() {
        Level::Baseline => binary_loop(op, a, b, y),
        // SAFETY: the machine has these instructions.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { binary_avx2(op, a, b, y) },
        // SAFETY: the machine has these instructions.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { binary_avx512(op, a, b, y) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn unary_avx2<T: Scalar>(op: Unary, x: &[T], y: &mut [T]) {
    unary_loop(op, x, y);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,fma")]
fn unary_avx512<T: Scalar>(op: Unary, x: &[T], y: &mut [T]) {
    unary_loop(op, x, y);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn binary_avx2<T: Scalar>(op: Binary, a: &[T], b: &[T], y: &mut [T]) {
    binary_loop(op, a, b, y);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,fma")]
fn binary_avx512<T: Scalar>(op: Binary, a: &[T], b: &[T], y: &mut [T]) {
    binary_loop(op, a, b, y);
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

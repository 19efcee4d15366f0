//! One loop per op and element type; the compiler makes vector code of them. Of floats, the functions are those that
//! compiled code has.

use backprop_core::array::pool::{filled, overwritten};
use backprop_core::ops::{Binary, Compare, Logic, Unary};
use backprop_core::{Array, Data, Element, Ill};

use crate::math::{Block, binary_block, fma_block, unary_block};

/// The results of a loop, in the shape of its operand.
fn like(x: &Array, data: Data) -> Array {
    Array::with_shape(x.shape(), data)
}

/// The results of a loop over `len` elements, in a buffer that was given back if there is one.
fn collected<T: Element>(len: usize, values: impl Iterator<Item = T>) -> Data {
    filled(len, |y: &mut Vec<T>| y.extend(values))
}

/// `None` where there is no such op of integers.
pub(crate) fn unary(op: Unary, x: &Array) -> Option<Array> {
    fn floats<T: Element + Block>(op: Unary, x: &[T]) -> Data {
        overwritten(x.len(), |y| unary_block(op, x, y))
    }
    fn ints<T: Element>(op: Unary, x: &[T]) -> Option<Data> {
        macro_rules! wrapping {
            ($value:expr) => {
                collected(x.len(), x.iter().map(|x| T::from_i64_wrapping($value(x.to_i64()))))
            };
        }
        Some(match op {
            Unary::Neg => wrapping!(i64::wrapping_neg),
            Unary::Abs => wrapping!(i64::wrapping_abs),
            Unary::Sign => wrapping!(i64::signum),
            Unary::Square => wrapping!(|x: i64| x.wrapping_mul(x)),
            _ => return None,
        })
    }
    let data = match x.data() {
        Data::F32(v) => floats(op, v),
        Data::F64(v) => floats(op, v),
        Data::I32(v) => ints(op, v)?,
        Data::I64(v) => ints(op, v)?,
        Data::U32(v) => ints(op, v)?,
        Data::U8(v) => ints(op, v)?,
        Data::Bool(_) => return None,
    };
    Some(like(x, data))
}

pub(crate) fn binary(op: Binary, a: &Array, b: &Array) -> Result<Option<Array>, Ill> {
    fn floats<T: Element + Block>(op: Binary, a: &[T], b: &[T]) -> Data {
        overwritten(a.len(), |y| binary_block(op, a, b, y))
    }
    fn ints<T: Element>(op: Binary, a: &[T], b: &[T]) -> Data {
        macro_rules! wrapping {
            ($value:expr) => {
                collected(
                    a.len(),
                    a.iter().zip(b).map(|(a, b)| T::from_i64_wrapping($value(a.to_i64(), b.to_i64()))),
                )
            };
        }
        match op {
            Binary::Add => wrapping!(i64::wrapping_add),
            Binary::Sub => wrapping!(i64::wrapping_sub),
            Binary::Mul => wrapping!(i64::wrapping_mul),
            Binary::Div => wrapping!(i64::wrapping_div),
            Binary::Maximum => wrapping!(i64::max),
            Binary::Minimum => wrapping!(i64::min),
            Binary::Pow => wrapping!(|a, b| Binary::Pow.reference_int(a, b)),
        }
    }
    if op == Binary::Div {
        backprop_core::ops::refuse_zero_divisor(b)?;
    }
    Ok(match (a.data(), b.data()) {
        (Data::F32(x), Data::F32(y)) => Some(like(a, floats(op, x, y))),
        (Data::F64(x), Data::F64(y)) => Some(like(a, floats(op, x, y))),
        (Data::I32(x), Data::I32(y)) => Some(like(a, ints(op, x, y))),
        (Data::I64(x), Data::I64(y)) => Some(like(a, ints(op, x, y))),
        (Data::U32(x), Data::U32(y)) => Some(like(a, ints(op, x, y))),
        (Data::U8(x), Data::U8(y)) => Some(like(a, ints(op, x, y))),
        _ => None,
    })
}

pub(crate) fn compare(op: Compare, a: &Array, b: &Array) -> Array {
    fn run<T: Element>(op: Compare, a: &[T], b: &[T]) -> Data {
        let n = a.len();
        let pairs = a.iter().zip(b);
        match op {
            Compare::Eq => collected(n, pairs.map(|(a, b)| a == b)),
            Compare::Ne => collected(n, pairs.map(|(a, b)| a != b)),
            Compare::Lt => collected(n, pairs.map(|(a, b)| a < b)),
            Compare::Le => collected(n, pairs.map(|(a, b)| a <= b)),
            Compare::Gt => collected(n, pairs.map(|(a, b)| a > b)),
            Compare::Ge => collected(n, pairs.map(|(a, b)| a >= b)),
        }
    }
    backprop_core::with_both!(a, b, |x, y| like(a, run(op, x, y)))
}

pub(crate) fn logic(op: Logic, x: &[&Array]) -> Option<Array> {
    let a = x[0].slice::<bool>().ok()?;
    let n = a.len();
    let values = match op {
        Logic::Not => collected(n, a.iter().map(|&a| !a)),
        Logic::And => collected(n, a.iter().zip(x[1].slice::<bool>().ok()?).map(|(&a, &b)| a & b)),
        Logic::Or => collected(n, a.iter().zip(x[1].slice::<bool>().ok()?).map(|(&a, &b)| a | b)),
    };
    Some(like(x[0], values))
}

/// a·b + c; `None` where there are no floats.
pub(crate) fn fma(a: &Array, b: &Array, c: &Array) -> Option<Array> {
    fn floats<T: Element + Block>(a: &[T], b: &[T], c: &[T]) -> Data {
        overwritten(a.len(), |y| fma_block(a, b, c, y))
    }
    Some(match (a.data(), b.data(), c.data()) {
        (Data::F32(x), Data::F32(y), Data::F32(z)) => like(a, floats(x, y, z)),
        (Data::F64(x), Data::F64(y), Data::F64(z)) => like(a, floats(x, y, z)),
        _ => return None,
    })
}

pub(crate) fn select(condition: &Array, a: &Array, b: &Array) -> Array {
    fn run<T: Element>(condition: &[bool], a: &[T], b: &[T]) -> Data {
        collected(a.len(), condition.iter().zip(a.iter().zip(b)).map(|(&c, (&a, &b))| if c { a } else { b }))
    }
    let condition = condition.slice::<bool>().expect("the type rule wants bool");
    backprop_core::with_both!(a, b, |x, y| like(a, run(condition, x, y)))
}

//! One loop per op and element type; the compiler makes vector code of them.

use backprop_core::array::pool::filled;
use backprop_core::ops::{Binary, Compare, Logic, Unary};
use backprop_core::{Array, Data, Element, Ill};

/// Floats, with the functions of the tables.
trait Float: Element + std::ops::Neg<Output = Self> {
    /// `None` for an op without a line here: its own definition runs.
    fn unary(op: Unary) -> Option<fn(&[Self]) -> Data>;
    fn binary(op: Binary) -> fn(&[Self], &[Self]) -> Data;
}

/// Makes a function that applies `$value` to each element of a slice.
macro_rules! each {
    ($T:ty, |$x:ident| $value:expr) => {{
        fn run(x: &[$T]) -> Data {
            filled(x.len(), |y: &mut Vec<$T>| y.extend(x.iter().map(|&$x| $value)))
        }
        run
    }};
    ($T:ty, |$x:ident, $y:ident| $value:expr) => {{
        fn run(x: &[$T], y: &[$T]) -> Data {
            filled(x.len(), |z: &mut Vec<$T>| z.extend(x.iter().zip(y).map(|(&$x, &$y)| $value)))
        }
        run
    }};
}

macro_rules! floats {
    ($($T:ident erf $erf:expr, erfc $erfc:expr;)*) => {$(
        impl Float for $T {
            fn unary(op: Unary) -> Option<fn(&[$T]) -> Data> {
                // The last arm is for ops that are new in the table.
                #[allow(unreachable_patterns)]
                Some(match op {
                    Unary::Neg => each!($T, |x| -x),
                    Unary::Abs => each!($T, |x| x.abs()),
                    Unary::Sign => each!($T, |x| if x == 0.0 || x.is_nan() { x } else { x.signum() }),
                    Unary::Exp => each!($T, |x| x.exp()),
                    Unary::Log => each!($T, |x| x.ln()),
                    Unary::Sqrt => each!($T, |x| x.sqrt()),
                    Unary::Sin => each!($T, |x| x.sin()),
                    Unary::Cos => each!($T, |x| x.cos()),
                    Unary::Tanh => each!($T, |x| x.tanh()),
                    Unary::Sigmoid => each!($T, |x| {
                        let e = (-x.abs()).exp();
                        if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
                    }),
                    Unary::Softplus => each!($T, |x| {
                        if x.is_nan() { x } else { x.max(0.0) + (-x.abs()).exp().ln_1p() }
                    }),
                    Unary::Erf => each!($T, |x| $erf(x)),
                    Unary::Erfc => each!($T, |x| $erfc(x)),
                    Unary::Log1p => each!($T, |x| x.ln_1p()),
                    Unary::Expm1 => each!($T, |x| x.exp_m1()),
                    Unary::Reciprocal => each!($T, |x| 1.0 / x),
                    Unary::Square => each!($T, |x| x * x),
                    Unary::Floor => each!($T, |x| x.floor()),
                    Unary::Ceil => each!($T, |x| x.ceil()),
                    Unary::Round => each!($T, |x| x.round_ties_even()),
                    _ => return None,
                })
            }

            fn binary(op: Binary) -> fn(&[$T], &[$T]) -> Data {
                match op {
                    Binary::Add => each!($T, |a, b| a + b),
                    Binary::Sub => each!($T, |a, b| a - b),
                    Binary::Mul => each!($T, |a, b| a * b),
                    Binary::Div => each!($T, |a, b| a / b),
                    Binary::Pow => each!($T, |a, b| a.powf(b)),
                    Binary::Maximum => each!($T, |a, b| if a.is_nan() || b.is_nan() { $T::NAN } else { a.max(b) }),
                    Binary::Minimum => each!($T, |a, b| if a.is_nan() || b.is_nan() { $T::NAN } else { a.min(b) }),
                }
            }
        }
    )*};
}

floats! {
    f32 erf libm::erff, erfc libm::erfcf;
    f64 erf libm::erf, erfc libm::erfc;
}

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
        Data::F32(v) => f32::unary(op)?(v),
        Data::F64(v) => f64::unary(op)?(v),
        Data::I32(v) => ints(op, v)?,
        Data::I64(v) => ints(op, v)?,
        Data::U32(v) => ints(op, v)?,
        Data::U8(v) => ints(op, v)?,
        Data::Bool(_) => return None,
    };
    Some(like(x, data))
}

pub(crate) fn binary(op: Binary, a: &Array, b: &Array) -> Result<Option<Array>, Ill> {
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
        (Data::F32(x), Data::F32(y)) => Some(like(a, f32::binary(op)(x, y))),
        (Data::F64(x), Data::F64(y)) => Some(like(a, f64::binary(op)(x, y))),
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

pub(crate) fn select(condition: &Array, a: &Array, b: &Array) -> Array {
    fn run<T: Element>(condition: &[bool], a: &[T], b: &[T]) -> Data {
        collected(a.len(), condition.iter().zip(a.iter().zip(b)).map(|(&c, (&a, &b))| if c { a } else { b }))
    }
    let condition = condition.slice::<bool>().expect("the type rule wants bool");
    backprop_core::with_both!(a, b, |x, y| like(a, run(condition, x, y)))
}

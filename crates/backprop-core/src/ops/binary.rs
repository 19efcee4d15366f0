//! Pointwise ops of two operands of one type, and the broadcasting that `a + b` inserts.

use super::family::{Family, Pointwise, Pull};
use super::sample::{self, Registered, Sample};
use super::shape::broadcast_shapes;
use super::unary::map_reference;
use super::{Arrays, Op, Rule, Types, Unary, one, want, want_inputs};
use crate::array::Array;
use crate::graph::fault::Ill;
use crate::graph::records::Records;
use crate::number::Number;
use crate::tensor::{IntoOperand, Tensor, emit};
use crate::text::Given;
use crate::types::{Shape, Type};

/// A pointwise op of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// a + b
    Add,
    /// a − b
    Sub,
    /// a·b
    Mul,
    /// a / b; of integers, truncated, and a division by zero is a fault.
    Div,
    /// aᵇ
    Pow,
    /// The larger; NaN where either is NaN. Equal operands share the gradient.
    Maximum,
    /// The smaller; NaN where either is NaN. Equal operands share the gradient.
    Minimum,
}

impl Binary {
    /// Every op of the table.
    pub const ALL: &'static [Binary] =
        &[Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Pow, Binary::Maximum, Binary::Minimum];

    /// The name in text.
    pub fn name(self) -> &'static str {
        match self {
            Binary::Add => "add",
            Binary::Sub => "sub",
            Binary::Mul => "mul",
            Binary::Div => "div",
            Binary::Pow => "pow",
            Binary::Maximum => "maximum",
            Binary::Minimum => "minimum",
        }
    }

    /// The reference value for floats.
    pub fn reference(self, a: f64, b: f64) -> f64 {
        match self {
            Binary::Add => a + b,
            Binary::Sub => a - b,
            Binary::Mul => a * b,
            Binary::Div => a / b,
            Binary::Pow => a.powf(b),
            Binary::Maximum if a.is_nan() || b.is_nan() => f64::NAN,
            Binary::Minimum if a.is_nan() || b.is_nan() => f64::NAN,
            Binary::Maximum => a.max(b),
            Binary::Minimum => a.min(b),
        }
    }

    /// The reference value for integers. Division by zero is refused before.
    pub fn reference_int(self, a: i64, b: i64) -> i64 {
        match self {
            Binary::Add => a.wrapping_add(b),
            Binary::Sub => a.wrapping_sub(b),
            Binary::Mul => a.wrapping_mul(b),
            Binary::Div => a.wrapping_div(b),
            Binary::Pow => int_pow(a, b),
            Binary::Maximum => a.max(b),
            Binary::Minimum => a.min(b),
        }
    }

    /// `d·∂y/∂a` for slot 0, `d·∂y/∂b` for slot 1.
    ///
    /// `pow`: where the plain formulas say 0·∞, functions stand in for them that have the same limits,
    /// and whose own derivatives diverge where the true ones do (never a wrong finite number):
    ///
    /// b·a^(b−1) at a = b = 0 is 0 for every a, but its slope along b is 1/a: so √b/(1 + a).
    /// aᵇ·ln a at a = 0 < b is 0, and its m-th derivative along a diverges from m = ⌈b⌉ on: so does that
    /// of −a^(⌈b⌉ − ½).
    #[track_caller]
    pub fn pull<N: Number>(self, slot: usize, d: N, a: N, b: N, y: N) -> N {
        match (self, slot) {
            (Binary::Add, _) | (Binary::Sub, 0) => d,
            (Binary::Sub, _) => -d,
            (Binary::Mul, 0) => d * b,
            (Binary::Mul, _) => d * a,
            (Binary::Div, 0) => d / b,
            (Binary::Div, _) => -(d * y / b),
            (Binary::Pow, 0) => {
                let slope = b * a.pow(b - b.lit(1.0));
                if b.is_known_nonzero() {
                    // A literal exponent: nothing to guard.
                    return d * slope;
                }
                let both_zero = N::and(a.equals(a.lit(0.0)), b.equals(b.lit(0.0)));
                d * N::select(both_zero, b.unary(Unary::Sqrt) / (a + a.lit(1.0)), slope)
            }
            (Binary::Pow, _) => {
                let flat = N::and(a.equals(a.lit(0.0)), b.above(b.lit(0.0)));
                let limit = -a.pow(b.unary(Unary::Ceil) - b.lit(0.5));
                d * N::select(flat, limit, y * a.log())
            }
            (Binary::Maximum, 0) => share(d, a, b),
            (Binary::Maximum, _) => share(d, b, a),
            (Binary::Minimum, 0) => share(d, b, a),
            (Binary::Minimum, _) => share(d, a, b),
        }
    }
}

/// `d` where `taken > other`, half of it at a tie, zero elsewhere; a NaN counts as taken.
#[track_caller]
fn share<N: Number>(d: N, taken: N, other: N) -> N {
    let half = d * d.lit(0.5);
    let tie_or_lost = N::select(other.above(taken), d.lit(0.0), d);
    N::select(taken.equals(other), half, tie_or_lost)
}

fn int_pow(a: i64, b: i64) -> i64 {
    match (a, b) {
        (_, 0..) => {
            let mut power = 1i64;
            let (mut base, mut rest) = (a, b);
            while rest > 0 {
                if rest & 1 == 1 {
                    power = power.wrapping_mul(base);
                }
                base = base.wrapping_mul(base);
                rest >>= 1;
            }
            power
        }
        (1, _) => 1,
        (-1, _) => 1 - 2 * (b & 1),
        _ => 0,
    }
}

impl Registered for Binary {
    fn names() -> Vec<&'static str> {
        Binary::ALL.iter().map(|op| op.name()).collect()
    }

    fn from_text(name: &str, _given: &Given) -> Result<Op, String> {
        sample::find(Binary::ALL, name)
    }

    fn samples() -> Vec<Sample> {
        let shown = vec![sample::vector(&[3.0, 1.5]), sample::vector(&[2.0, 4.0])];
        let of = |&op: &Binary| {
            [vec![(op.into(), shown.clone())], sample::over_shapes(op, 2, sample::wave)].concat()
        };
        Binary::ALL.iter().flat_map(of).collect()
    }
}

impl Rule for Binary {
    fn name(&self) -> &str {
        Binary::name(*self)
    }

    fn equation(&self) -> (&'static str, &'static str) {
        match self {
            Binary::Add => ("y = a + b", "da = d, db = d"),
            Binary::Sub => ("y = a − b", "da = d, db = −d"),
            Binary::Mul => ("y = a·b", "da = d·b, db = d·a"),
            Binary::Div => ("y = a/b", "da = d/b, db = −d·y/b"),
            Binary::Pow => ("y = aᵇ", "da = d·b·a^(b−1), db = d·y·ln a"),
            Binary::Maximum => ("y = max(a, b)", "d to the larger, half to each at a tie"),
            Binary::Minimum => ("y = min(a, b)", "d to the smaller, half to each at a tie"),
        }
    }

    fn roles(&self) -> &'static [&'static str] {
        &["lhs", "rhs"]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        want_inputs(inputs, 2)?;
        same_types(inputs, 0, 1)?;
        want(inputs[0].dtype.is_number(), 0, inputs[0], "numbers")?;
        Ok(one(inputs[0]))
    }

    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        let (a, b) = (inputs[0], inputs[1]);
        if *self == Binary::Div {
            refuse_zero_divisor(b)?;
        }
        Ok(smallvec::smallvec![map_reference(
            outputs[0].dtype,
            &[a, b],
            |x| self.reference(x[0], x[1]),
            |x| self.reference_int(x[0], x[1]),
        )])
    }

    fn family(&self) -> Family<'_> {
        Family::Pointwise(self)
    }
}

impl Pointwise for Binary {
    fn pull(&self, slot: usize, d: Tensor, x: &[Tensor], y: Tensor) -> Pull {
        let (a, b) = (x[0], x[1]);
        let dx = Binary::pull(*self, slot, d, a, b, y);
        match self {
            Binary::Add | Binary::Sub => Pull::Handed(dx),
            Binary::Mul | Binary::Div | Binary::Pow => Pull::Product(dx),
            Binary::Maximum | Binary::Minimum => {
                let lost = if (*self == Binary::Maximum) == (slot == 0) { a.lt(b) } else { b.lt(a) };
                Pull::Masked(dx, lost.not())
            }
        }
    }
}

/// An integer divisor of zero is a fault in the data.
pub fn refuse_zero_divisor(divisor: &Array) -> Result<(), Ill> {
    if divisor.dtype().is_float() {
        return Ok(());
    }
    match divisor.to_i64s().iter().position(|&x| x == 0) {
        None => Ok(()),
        Some(at) => Err(Ill::new(format!("integer division by zero at element {at}"))),
    }
}

/// Refuses operands of different types.
#[inline]
pub(crate) fn same_types(inputs: &[Type], i: usize, j: usize) -> Result<(), Ill> {
    if inputs[i] == inputs[j] { Ok(()) } else { Err(types_differ(inputs, i, j)) }
}

#[cold]
fn types_differ(inputs: &[Type], i: usize, j: usize) -> Ill {
    let (a, b) = (inputs[i], inputs[j]);
    if a.dtype == b.dtype {
        return Ill::new("shapes differ");
    }
    Ill::new("element types differ")
        .note(i, format!("is {}", a.dtype))
        .note(j, format!("is {}", b.dtype))
        .hint(format!("cast one of them: nothing is converted unasked, e.g. cast({:?})", a.dtype))
}

/// Calls a pointwise op on two operands, broadcasting either to the common shape first. Only a
/// literal 1 stretches, never a name that happens to be 1.
#[track_caller]
pub fn broadcast_binary(op: impl Into<Op>, a: Tensor, b: Tensor) -> Tensor {
    let (a, b) = broadcast_pair(a, b);
    emit(op, &[a, b]).one()
}

/// Both operands broadcast to their common shape; unchanged where there is none, for the op itself
/// to say so.
#[track_caller]
#[inline]
pub(crate) fn broadcast_pair(a: Tensor, b: Tensor) -> (Tensor, Tensor) {
    let (Some(left), Some(right)) = shapes(a, b) else { return (a, b) };
    if left == right { (a, b) } else { stretched(a, left, b, right) }
}

/// Three operands, each broadcast to the common shape of all; as they are where there is none, likewise.
#[track_caller]
pub(crate) fn broadcast_three(x: Tensor, y: Tensor, z: Tensor) -> [Tensor; 3] {
    let (y, z) = broadcast_pair(y, z);
    let (x, y) = broadcast_pair(x, y);
    let (y, z) = broadcast_pair(y, z);
    [x, y, z]
}

/// The shapes of two operands, which nearly always share their records.
#[inline]
fn shapes(a: Tensor, b: Tensor) -> (Option<Shape>, Option<Shape>) {
    if a.context() != b.context() {
        return (a.shape(), b.shape());
    }
    let shape = |records: &Records, id| records.ty(id).map(|ty| records.assumed_type(ty).shape);
    let both = |records: &Records| (shape(records, a.id()), shape(records, b.id()));
    a.context().read(both).unwrap_or((None, None))
}

#[track_caller]
fn stretched(a: Tensor, left: Shape, b: Tensor, right: Shape) -> (Tensor, Tensor) {
    match broadcast_shapes(left, right) {
        Ok(shape) => (a.stretched_to(shape), b.stretched_to(shape)),
        Err(_) => (a, b),
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident $variant:ident;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(self, other: impl IntoOperand) -> Tensor {
                broadcast_binary(Binary::$variant, self, other.into_operand(self))
            }
        )*}
    };
}

methods! {
    /// `self` to the power `other`.
    pow Pow;
    /// The larger of both; ties share the gradient.
    maximum Maximum;
    /// The smaller of both; ties share the gradient.
    minimum Minimum;
}

//! What a number is: the one vocabulary in which pointwise rules are written.
//!
//! A rule over [`Number`] runs on [`Tensor`] (it emits gradient nodes), on `f64` (it computes), and
//! on [`Reg`] (it writes scalar code for a compiler).

use std::cell::RefCell;
use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::ops::{Binary, Compare, Logic, Op, Select, Unary};
use crate::tensor::{Tensor, emit};

/// Something that pointwise rules compute with.
pub trait Number:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self>
{
    /// The truth value that goes with it.
    type Truth: Copy;

    /// The constant `value`, of the kind and shape of `self`.
    fn lit(self, value: f64) -> Self;
    /// A pointwise op of one operand.
    fn unary(self, op: Unary) -> Self;
    /// A pointwise op of two operands.
    fn binary(self, op: Binary, other: Self) -> Self;
    /// A comparison.
    fn compare(self, op: Compare, other: Self) -> Self::Truth;
    /// Both hold.
    fn and(a: Self::Truth, b: Self::Truth) -> Self::Truth;
    /// `a` where the condition holds, otherwise `b`.
    fn select(condition: Self::Truth, a: Self, b: Self) -> Self;

    /// Whether every element is known, before anything is computed, to be one number other than 0.
    fn is_known_nonzero(self) -> bool {
        false
    }
    /// eˣ
    fn exp(self) -> Self {
        self.unary(Unary::Exp)
    }
    /// ln x
    fn log(self) -> Self {
        self.unary(Unary::Log)
    }
    /// sin x
    fn sin(self) -> Self {
        self.unary(Unary::Sin)
    }
    /// cos x
    fn cos(self) -> Self {
        self.unary(Unary::Cos)
    }
    /// sign x
    fn sign(self) -> Self {
        self.unary(Unary::Sign)
    }
    /// 1/(1 + e⁻ˣ)
    fn sigmoid(self) -> Self {
        self.unary(Unary::Sigmoid)
    }
    /// xᵖ
    fn pow(self, power: Self) -> Self {
        self.binary(Binary::Pow, power)
    }
    /// x = other
    fn equals(self, other: Self) -> Self::Truth {
        self.compare(Compare::Eq, other)
    }
    /// x > other
    fn above(self, other: Self) -> Self::Truth {
        self.compare(Compare::Gt, other)
    }
}

impl Number for Tensor {
    type Truth = Tensor;
    fn lit(self, value: f64) -> Tensor {
        self.full_like(value)
    }
    fn unary(self, op: Unary) -> Tensor {
        emit(op, &[self]).one()
    }
    fn binary(self, op: Binary, other: Tensor) -> Tensor {
        emit(op, &[self, other]).one()
    }
    fn compare(self, op: Compare, other: Tensor) -> Tensor {
        emit(op, &[self, other]).one()
    }
    fn and(a: Tensor, b: Tensor) -> Tensor {
        emit(Logic::And, &[a, b]).one()
    }
    fn select(condition: Tensor, a: Tensor, b: Tensor) -> Tensor {
        emit(Select, &[condition, a, b]).one()
    }
    fn is_known_nonzero(self) -> bool {
        matches!(self.get_operation(), Some(Op::Full(full)) if full.as_f64() != 0.0)
    }
}

impl Number for f64 {
    type Truth = bool;
    fn lit(self, value: f64) -> f64 {
        value
    }
    fn unary(self, op: Unary) -> f64 {
        op.reference(self)
    }
    fn binary(self, op: Binary, other: f64) -> f64 {
        op.reference(self, other)
    }
    fn compare(self, op: Compare, other: f64) -> bool {
        op.reference(self, other)
    }
    fn and(a: bool, b: bool) -> bool {
        a && b
    }
    fn select(condition: bool, a: f64, b: f64) -> f64 {
        if condition { a } else { b }
    }
}

/// One instruction of scalar code; operands are the numbers of earlier instructions.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Instr {
    Input(u32),
    Lit(f64),
    Unary(Unary, u32),
    Binary(Binary, u32, u32),
    Compare(Compare, u32, u32),
    And(u32, u32),
    Select(u32, u32, u32),
}

/// Straight-line scalar code: what a backend sees instead of op names.
#[derive(Debug, Default)]
pub struct ScalarCode {
    instrs: RefCell<Vec<Instr>>,
}

/// A register of [`ScalarCode`].
#[derive(Clone, Copy)]
pub struct Reg<'a> {
    code: &'a ScalarCode,
    number: u32,
}

/// A register that holds a truth value.
#[derive(Clone, Copy)]
pub struct Truth<'a>(Reg<'a>);

impl ScalarCode {
    /// The register of input `number`.
    pub fn input(&self, number: u32) -> Reg<'_> {
        self.push(Instr::Input(number))
    }

    /// The instructions written so far.
    pub fn instrs(&self) -> Vec<Instr> {
        self.instrs.borrow().clone()
    }

    /// Runs the code, in order, for one element; the value of each instruction.
    pub fn run(&self, inputs: &[f64]) -> Vec<f64> {
        let mut values: Vec<f64> = Vec::new();
        for instr in self.instrs.borrow().iter() {
            let at = |register: &u32| values[*register as usize];
            let value = match instr {
                Instr::Input(number) => inputs[*number as usize],
                Instr::Lit(value) => *value,
                Instr::Unary(op, x) => op.reference(at(x)),
                Instr::Binary(op, a, b) => op.reference(at(a), at(b)),
                Instr::Compare(op, a, b) => f64::from(u8::from(op.reference(at(a), at(b)))),
                Instr::And(a, b) => at(a) * at(b),
                Instr::Select(c, a, b) => {
                    if at(c) != 0.0 {
                        at(a)
                    } else {
                        at(b)
                    }
                }
            };
            values.push(value);
        }
        values
    }

    fn push(&self, instr: Instr) -> Reg<'_> {
        let mut instrs = self.instrs.borrow_mut();
        instrs.push(instr);
        Reg { code: self, number: instrs.len() as u32 - 1 }
    }
}

impl Reg<'_> {
    /// The number of the instruction that computes it.
    pub fn number(self) -> u32 {
        self.number
    }
}

macro_rules! arithmetic {
    ($($trait:ident $method:ident)*) => {$(
        impl<'a> $trait for Reg<'a> {
            type Output = Reg<'a>;
            fn $method(self, other: Reg<'a>) -> Reg<'a> {
                self.binary(Binary::$trait, other)
            }
        }
    )*};
}

arithmetic! { Add add Sub sub Mul mul Div div }

impl<'a> Neg for Reg<'a> {
    type Output = Reg<'a>;
    fn neg(self) -> Reg<'a> {
        self.unary(Unary::Neg)
    }
}

impl<'a> Number for Reg<'a> {
    type Truth = Truth<'a>;
    fn lit(self, value: f64) -> Self {
        self.code.push(Instr::Lit(value))
    }
    fn unary(self, op: Unary) -> Self {
        self.code.push(Instr::Unary(op, self.number))
    }
    fn binary(self, op: Binary, other: Self) -> Self {
        self.code.push(Instr::Binary(op, self.number, other.number))
    }
    fn compare(self, op: Compare, other: Self) -> Truth<'a> {
        Truth(self.code.push(Instr::Compare(op, self.number, other.number)))
    }
    fn and(a: Truth<'a>, b: Truth<'a>) -> Truth<'a> {
        Truth(a.0.code.push(Instr::And(a.0.number, b.0.number)))
    }
    fn select(condition: Truth<'a>, a: Self, b: Self) -> Self {
        a.code.push(Instr::Select(condition.0.number, a.number, b.number))
    }
}

//! A rewrite as a row: name, left, right, licence.

use backprop_core::{Op, ValueId};

use super::build::{Build, Values};

/// What a rewrite may change (DESIGN.md, law 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Licence {
    /// Nothing: every result keeps its bits. (Any NaN counts as any other: which one an operation gives is
    /// not defined.)
    Exact,
    /// How results round: they stay within the error bound of the operations, and the sign of a zero may
    /// change.
    Reassociate,
    /// A non-finite or cancelled result may become a better one, never the reverse.
    Stabilise,
}

impl std::fmt::Display for Licence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Licence::Exact => "keeps each bit",
            Licence::Reassociate => "rounds differently, within the bounds of the operations",
            Licence::Stabilise => "loses fewer digits",
        })
    }
}

/// The kinds of calls that rows begin at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Unary,
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Extremum,
    Compare,
    Logic,
    Select,
    Cast,
    Fused,
    Hand,
    Leaf,
    Reshape,
    Transpose,
    Broadcast,
    Part,
    Reduction,
    Composite,
    Contract,
    Control,
    Other,
}

impl Kind {
    pub const COUNT: usize = Kind::Other as usize + 1;

    /// Element by element.
    pub const POINTWISE: &'static [Kind] = &[
        Kind::Unary,
        Kind::Add,
        Kind::Sub,
        Kind::Mul,
        Kind::Div,
        Kind::Pow,
        Kind::Extremum,
        Kind::Compare,
        Kind::Logic,
        Kind::Select,
        Kind::Cast,
        Kind::Fused,
    ];

    pub fn of(op: &Op) -> Kind {
        use backprop_core::ops::Binary;
        match op {
            Op::Unary(_) => Kind::Unary,
            Op::Binary(Binary::Add) => Kind::Add,
            Op::Binary(Binary::Sub) => Kind::Sub,
            Op::Binary(Binary::Mul) => Kind::Mul,
            Op::Binary(Binary::Div) => Kind::Div,
            Op::Binary(Binary::Pow) => Kind::Pow,
            Op::Binary(Binary::Maximum | Binary::Minimum) => Kind::Extremum,
            Op::Compare(_) => Kind::Compare,
            Op::Logic(_) => Kind::Logic,
            Op::Select(_) => Kind::Select,
            Op::Cast(_) => Kind::Cast,
            Op::Fma(_) => Kind::Fused,
            Op::Identity(_) | Op::StopGradient(_) => Kind::Hand,
            Op::Constant(_) | Op::DimValue(_) => Kind::Leaf,
            Op::Reshape(_) => Kind::Reshape,
            Op::Transpose(_) => Kind::Transpose,
            Op::Broadcast(_) => Kind::Broadcast,
            Op::Slice(_) | Op::Pad(_) | Op::Concat(_) => Kind::Part,
            Op::Sum(_) | Op::Max(_) | Op::Any(_) => Kind::Reduction,
            Op::LogSumExp(_) | Op::LogSoftmax(_) | Op::Norm(_) | Op::OneHot(_) => Kind::Composite,
            Op::Contract(_) => Kind::Contract,
            Op::Cond(_) | Op::Scan(_) => Kind::Control,
            _ => Kind::Other,
        }
    }
}

/// A rewrite. [`Row::before`] and [`Row::after`] are graphs as text, and the test of the row.
pub struct Row {
    /// What it is called in logs.
    pub name: &'static str,
    /// The rewrite as an equation.
    pub equation: &'static str,
    /// What it needs.
    pub licence: Licence,
    /// A graph on which it works; `;` ends a line.
    pub before: &'static str,
    /// What becomes of that graph.
    pub after: &'static str,
    /// The kinds of calls that it begins at.
    pub(super) at: &'static [Kind],
    pub(super) apply: Apply,
}

/// The right side of a row for a call on simplified operands; `None` where the left side does not match.
#[derive(Clone, Copy)]
pub(super) enum Apply {
    /// Of a call with one result.
    One(fn(&mut Build, &Op, &[ValueId]) -> Option<ValueId>),
    /// Of a call with any number of results.
    All(fn(&mut Build, &Op, &[ValueId]) -> Option<Values>),
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({:?}): {}", self.name, self.licence, self.equation)
    }
}

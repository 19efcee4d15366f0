//! The matrix: rows are ops, columns are checks, a cell counts what was compared.

use std::fmt;

use crate::compare::f32_stated;

/// A check that every op undergoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// Golden values in every element type that it takes; refusal of the others.
    DTypes,
    /// Values against golden ones.
    Value,
    /// Vector-Jacobian products against golden ones.
    Gradient,
    /// Hessian-vector products against golden ones.
    Order2,
    /// f32 against f64, orders 0 to 2.
    F32,
    /// NaN, infinities, signed zeros.
    Special,
    /// Tape, graph and reference evaluation agree, orders 0 to 2.
    Modes,
    /// ⟨D, J·t⟩ = ⟨Jᵀ·D, t⟩.
    Jvp,
    /// Extrapolated differences, orders 1 and 2: [`backprop_run::check`].
    Differences,
    /// The explicit Jacobian, transposed, times D is what bprop gives.
    JacobianTimesD,
    /// The gradient of f∘reshape is the reshaped gradient of f.
    Flatten,
    /// Printed and parsed, it and its derivatives have the same ops and give the same bits.
    Text,
    /// An operand without elements.
    Empty,
    /// Operands of rank 0.
    Rank0,
    /// Operands whose sizes all differ.
    NonSquare,
    /// A branch not taken, over an operand with an infinite slope.
    Masks,
}

impl Column {
    /// Every column, in order.
    pub const ALL: [Column; 16] = {
        use Column::*;
        [
            DTypes,
            Value,
            Gradient,
            Order2,
            F32,
            Special,
            Modes,
            Jvp,
            Differences,
            JacobianTimesD,
            Flatten,
            Text,
            Empty,
            Rank0,
            NonSquare,
            Masks,
        ]
    };

    fn title(self) -> &'static str {
        match self {
            Column::DTypes => "dtypes",
            Column::Value => "value",
            Column::Gradient => "grad",
            Column::Order2 => "order2",
            Column::F32 => "f32",
            Column::Special => "special",
            Column::Modes => "modes",
            Column::Jvp => "jvp",
            Column::Differences => "diff",
            Column::JacobianTimesD => "JᵀD",
            Column::Flatten => "flatten",
            Column::Text => "text",
            Column::Empty => "empty",
            Column::Rank0 => "rank0",
            Column::NonSquare => "shapes",
            Column::Masks => "masks",
        }
    }
}

/// Why a check does not apply. The list is closed: a new reason is a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Integers, truth values, steps.
    NoDerivative,
    /// Reads no value.
    Leaf,
    /// Hands its operand on: there is nothing to be golden.
    Identity,
    /// A composite: the ops that it consists of are held to this.
    ItsOps,
    /// An axis belongs to it, so there is no rank 0.
    NeedsAxis,
    /// Its operand has one fixed type and shape.
    FixedOperand,
    /// Not defined for operands without elements.
    NotOfNothing,
    /// Its operands are integers or truth values.
    NoFloats,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 8] = {
        use Reason::*;
        [NoDerivative, Leaf, Identity, ItsOps, NeedsAxis, FixedOperand, NotOfNothing, NoFloats]
    };

    /// The letter in a cell.
    pub fn letter(self) -> char {
        char::from(b'a' + self as u8)
    }

    fn text(self) -> &'static str {
        match self {
            Reason::NoDerivative => "has no derivative: integers, truth values or steps",
            Reason::Leaf => "reads no value",
            Reason::Identity => "hands its operand on",
            Reason::ItsOps => "a composite: its ops are held to this",
            Reason::NeedsAxis => "has an axis, so there is no rank 0",
            Reason::FixedOperand => "its operand has one fixed type and shape",
            Reason::NotOfNothing => "not defined for operands without elements",
            Reason::NoFloats => "its operands are integers or truth values",
        }
    }
}

/// What a check found for one op.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// So much was compared, and this was wrong.
    Done(usize, Vec<String>),
    /// Does not apply.
    NotApplicable(Reason),
}

impl Cell {
    /// Nothing compared yet.
    pub fn new() -> Cell {
        Cell::Done(0, Vec::new())
    }

    /// Counts one comparison; `wrong` says what is wrong if it is.
    pub fn count(&mut self, holds: bool, wrong: impl FnOnce() -> String) {
        if let Cell::Done(n, faults) = self {
            *n += 1;
            if !holds {
                faults.push(wrong());
            }
        }
    }

    /// Both cells' comparisons.
    pub fn join(self, other: Cell) -> Cell {
        match (self, other) {
            (Cell::Done(n, faults), Cell::Done(m, more)) => Cell::Done(n + m, [faults, more].concat()),
            (Cell::NotApplicable(_), cell) | (cell, Cell::NotApplicable(_)) => cell,
        }
    }

    fn is_red(&self) -> bool {
        matches!(self, Cell::Done(n, faults) if *n == 0 || !faults.is_empty())
    }
}

impl Default for Cell {
    fn default() -> Cell {
        Cell::new()
    }
}

/// All cells.
#[derive(Debug, Default)]
pub struct Matrix {
    rows: Vec<(String, Vec<(Column, Cell)>)>,
    /// How far f32 is from f64, by name.
    measured: Vec<(String, f64)>,
}

impl Matrix {
    /// Adds an op's cells.
    pub fn add(&mut self, name: &str, cells: Vec<(Column, Cell)>) {
        self.rows.push((name.to_string(), cells));
    }

    /// Notes how far f32 results of an op were from those of f64.
    pub fn measured(&mut self, name: &str, units: f64) {
        if units > 0.0 {
            self.measured.push((name.to_string(), units));
        }
    }

    /// Every cell that is empty or holds something wrong, in words; a row lacks no column.
    pub fn red(&self) -> Vec<String> {
        let mut red = Vec::new();
        for (name, cells) in &self.rows {
            for column in Column::ALL {
                match cells.iter().find(|(own, _)| *own == column) {
                    None => red.push(format!("{name}, {}: no cell", column.title())),
                    Some((_, Cell::Done(0, faults))) if faults.is_empty() => {
                        red.push(format!(
                            "{name}, {}: nothing was compared; goldens/README.md, at its end, says how to add golden values",
                            column.title()
                        ));
                    }
                    Some((_, Cell::Done(_, faults))) => {
                        let line = |fault: &String| format!("{name}, {}: {fault}", column.title());
                        red.extend(faults.iter().take(4).map(line));
                    }
                    Some(_) => {}
                }
            }
        }
        red
    }

    /// The number of comparisons.
    pub fn total(&self) -> usize {
        let counts = self.rows.iter().flat_map(|(_, cells)| cells);
        counts.map(|(_, cell)| if let Cell::Done(n, _) = cell { *n } else { 0 }).sum()
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:17}", "")?;
        for column in Column::ALL {
            write!(f, "{:>8}", column.title())?;
        }
        let mut used = Vec::new();
        for (name, cells) in &self.rows {
            write!(f, "\n{name:17}")?;
            for (_, cell) in cells {
                match cell {
                    Cell::NotApplicable(reason) => {
                        used.push(*reason);
                        write!(f, "{:>8}", reason.letter())?;
                    }
                    Cell::Done(n, _) if cell.is_red() => write!(f, "{:>8}", format!("{n}!"))?,
                    Cell::Done(n, _) => write!(f, "{n:>8}")?,
                }
            }
        }
        used.sort_unstable();
        used.dedup();
        for reason in used {
            write!(f, "\n{}: {}", reason.letter(), reason.text())?;
        }
        let far = self.measured.iter().map(|(name, units)| format!("{name} {units:.1}/{}", f32_stated(name)));
        write!(
            f,
            "\nf32 from f64 in units in the last place of max(1, |f64|∞), orders 0 to 2, measured/stated: {}",
            far.collect::<Vec<_>>().join(", ")
        )
    }
}

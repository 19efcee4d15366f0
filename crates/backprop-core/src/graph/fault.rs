//! Faults: what is wrong with an operation, said where it was called and reported when it is read.

use std::fmt;
use std::sync::Arc;

use super::place::PlaceText;
use crate::array::ArrayError;

/// Why a type rule refuses its operands. The records add names, types and places.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Ill {
    /// The rule that is broken, in lower case: `inner dimensions differ`.
    pub rule: String,
    /// What to say beside operand `i`.
    pub notes: Vec<(usize, String)>,
    /// What to do, when that is sure.
    pub hint: Option<String>,
    /// The name that the call goes by for its user, where that is not the op's own.
    pub called: Option<&'static str>,
}

impl Ill {
    /// A broken rule.
    pub fn new(rule: impl Into<String>) -> Ill {
        Ill { rule: rule.into(), ..Ill::default() }
    }

    /// Adds a remark beside operand `operand_idx`.
    pub fn note(mut self, operand_idx: usize, note: impl Into<String>) -> Ill {
        self.notes.push((operand_idx, note.into()));
        self
    }

    /// Adds what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Ill {
        self.hint = Some(hint.into());
        self
    }

    /// Says that the call goes by `name` for its user.
    pub fn called(mut self, name: &'static str) -> Ill {
        self.called = Some(name);
        self
    }
}

/// One operand in a fault's report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operand {
    /// The role: `lhs`, `rhs`, `x`, ...
    pub role: String,
    /// The user's name or the value's number.
    pub name: String,
    /// The type, or `?` for a value that is ill itself.
    pub ty: String,
    /// A remark of the rule.
    pub note: String,
    /// Where the operand was made.
    pub made_at: Option<PlaceText>,
}

/// One thing that is wrong: op, broken rule, operands, place, hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The name of the op.
    pub op: String,
    /// The rule that was broken.
    pub rule: String,
    /// The operands with their types.
    pub operands: Vec<Operand>,
    /// The user's line.
    pub place: Option<PlaceText>,
    /// What to do.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault that is about no operand in particular.
    pub fn new(op: impl Into<String>, rule: impl Into<String>) -> Fault {
        Fault { op: op.into(), rule: rule.into(), operands: Vec::new(), place: None, hint: None }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = format!("{}: {}", self.op, self.rule);
        match &self.place {
            None => f.write_str(&head)?,
            Some(place) => write!(f, "{head:<51}  {place}")?,
        }
        let width = |part: fn(&Operand) -> &str| {
            self.operands.iter().map(|operand| part(operand).chars().count()).max().unwrap_or(0)
        };
        let (roles, names, types, notes) =
            (width(|o| &o.role), width(|o| &o.name), width(|o| &o.ty), width(|o| &o.note));
        for Operand { role, name, ty, note, made_at } in &self.operands {
            let row = format!("\n  {role:<roles$}  {name:<names$}  {ty:<types$}  {note:<notes$}");
            f.write_str(row.trim_end())?;
            if let Some(place) = made_at {
                let gap = row.chars().count() - row.trim_end().chars().count();
                write!(f, "{:gap$}  made at {place}", "")?;
            }
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// Every fault that stands in the way of a result; at least one.
///
/// Cheap to clone, so that it can be remembered and returned again.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Arc<Vec<Fault>>);

impl Error {
    /// An error of these faults.
    pub fn new(faults: Vec<Fault>) -> Error {
        assert!(!faults.is_empty(), "an error needs a fault");
        Error(Arc::new(faults))
    }

    /// The faults, in the order in which their operations were called.
    pub fn faults(&self) -> &[Fault] {
        &self.0
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        Error::new(vec![fault])
    }
}

/// So that a function which makes arrays can return [`Error`] alone.
///
/// ```
/// use backprop_core::{Array, Error};
/// fn column(values: Vec<f32>) -> Result<Array, Error> {
///     Ok(Array::new([3, 1], values)?)
/// }
/// let error = column(vec![1.0, 2.0]).unwrap_err().to_string();
/// assert!(error.contains("sizes [3, 1] hold 3 elements, but 2 were given"), "{error}");
/// ```
impl From<ArrayError> for Error {
    #[track_caller]
    fn from(error: ArrayError) -> Error {
        Fault::new("array", error.to_string()).into()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, fault) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    /// The same text as `Display`: it is what `main() -> Result<(), Error>` and `unwrap` print.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{self}")
    }
}

impl std::error::Error for Error {}

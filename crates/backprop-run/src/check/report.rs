//! What a check found, in words.

use std::fmt;

use backprop_core::Error;
use backprop_core::graph::place::PlaceText;

/// An entry of a Jacobian: the derivative of one element of an output by one element of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// 1 for the function; 2 for its gradient, whose Jacobian holds the second derivatives.
    pub order: usize,
    /// Which output: of the function, or (order 2) the gradient of which float input.
    pub output: usize,
    /// Which of its elements.
    pub output_element: Vec<usize>,
    /// Which input.
    pub input: usize,
    /// Which of its elements.
    pub input_element: Vec<usize>,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { order, output, output_element, input, input_element } = self;
        let y = if *order == 1 { format!("y{output}") } else { format!("(gradient of x{output})") };
        write!(f, "∂{y}{output_element:?}/∂x{input}{input_element:?}")
    }
}

/// An entry that could not be compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Skipped {
    /// Which.
    pub entry: Entry,
    /// Why: the function has a kink there, or the differences are too rough to judge by.
    pub why: &'static str,
    /// What differences that are too rough give, and by how much that may be wrong.
    pub differences: Option<(f64, f64)>,
    /// What backpropagation gives there.
    pub gradient: f64,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: backpropagation gives {:?}", self.entry, self.gradient)?;
        match self.differences {
            Some((value, error)) => write!(f, ", differences {value:?} ± {error:.0e}"),
            None => Ok(()),
        }
    }
}

/// A check that found nothing wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The number of entries that agreed.
    pub n_entries: usize,
    /// The largest |gradient − difference| / max(1, |J|∞) among them.
    pub largest_error: f64,
    /// Entries where the function is not differentiable.
    pub kinks: Vec<Skipped>,
    /// Entries where differences are too rough: say, a value of 10²⁰ beside a slope of 1.
    pub unclear: Vec<Skipped>,
}

impl Report {
    pub(super) fn add(&mut self, other: Report) {
        self.n_entries += other.n_entries;
        self.largest_error = self.largest_error.max(other.largest_error);
        self.kinks.extend(other.kinks);
        self.unclear.extend(other.unclear);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} derivatives agree, to {:.1e}", self.n_entries, self.largest_error)?;
        sum_up(f, "not differentiable here", &self.kinks)?;
        sum_up(f, "not checked", &self.unclear)
    }
}

/// By reason: how many, and the first of them.
fn sum_up(f: &mut fmt::Formatter<'_>, what: &str, skipped: &[Skipped]) -> fmt::Result {
    const SHOWN: usize = 3;
    let mut reasons: Vec<&str> = Vec::new();
    for Skipped { why, .. } in skipped {
        if !reasons.contains(why) {
            reasons.push(why);
        }
    }
    for why in reasons {
        let own: Vec<&Skipped> = skipped.iter().filter(|skipped| skipped.why == why).collect();
        let entries = if own.len() == 1 { "entry" } else { "entries" };
        write!(f, "\n  {what}, {} {entries}: {why}", own.len())?;
        for skipped in own.iter().take(SHOWN) {
            write!(f, "\n    {skipped}")?;
        }
        if own.len() > SHOWN {
            write!(f, "\n    and {} more", own.len() - SHOWN)?;
        }
    }
    Ok(())
}

/// The two computations of a derivative that disagree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Against {
    /// Backpropagation and differences of the function, which admit this error.
    Differences(f64),
    /// Backpropagation and forward mode (jvp).
    Forward,
    /// A graph and a tape.
    Modes,
}

/// A derivative that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Wrong {
    /// Which.
    pub entry: Entry,
    /// What it was compared with.
    pub against: Against,
    /// What backpropagation gives.
    pub gradient: f64,
    /// What the other computation gives.
    pub other: f64,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Wrong { entry, against, gradient, other } = self;
        write!(f, "{entry} is ")?;
        match against {
            Against::Differences(error) => {
                write!(f, "{gradient:?} by backpropagation, {other:?} ± {error:.0e} by differences")
            }
            Against::Forward => write!(f, "{gradient:?} by backpropagation, {other:?} by forward mode"),
            Against::Modes => write!(f, "{gradient:?} in a graph, {other:?} on a tape"),
        }
    }
}

/// The op whose rule is wrong, found by checking each op of the function on its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Culprit {
    /// The op's name.
    pub op: String,
    /// Where it was called.
    pub place: PlaceText,
    /// What is wrong with it, the op being the function and its operands the inputs.
    pub wrong: Wrong,
    /// What the operand is called: `lhs`, `x`.
    pub role: String,
}

impl fmt::Display for Culprit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Culprit { op, place, wrong, role } = self;
        let rule = if wrong.against == Against::Forward { "jvp or bprop" } else { "bprop" };
        write!(f, "{op}: its {rule} is wrong for `{role}`, called at {place}\n  on its own, {wrong}")
    }
}

/// A check that failed.
#[derive(Clone, Debug)]
pub enum CheckError {
    /// The function itself is ill-typed, or its data break a rule.
    Fault(Error),
    /// The check does not apply: an input of f32, say. The text says what and why.
    Unfit(String),
    /// A derivative is wrong.
    Wrong(Box<Wrong>, Option<Box<Culprit>>),
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckError::Fault(error) => write!(f, "{error}"),
            CheckError::Unfit(why) => f.write_str(why),
            CheckError::Wrong(wrong, Some(culprit)) => write!(f, "{culprit}\n  in the whole, {wrong}"),
            CheckError::Wrong(wrong, None) => {
                write!(f, "{wrong}\n  each op on its own is right: it is in how they are put together")
            }
        }
    }
}

impl std::error::Error for CheckError {}

impl From<Error> for CheckError {
    fn from(error: Error) -> CheckError {
        CheckError::Fault(error)
    }
}

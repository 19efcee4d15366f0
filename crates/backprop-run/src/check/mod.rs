//! The gradient checker: every derivative of a function, computed four ways and compared.
//!
//! ```text
//! f ─┬─ backpropagation in a graph ───► J    the judged
//!    ├─ the same on a tape ───────────► Jᵀ·d, the same bits
//!    ├─ forward mode ─────────────────► J
//!    └─ extrapolated differences ─────► J ± its own error
//! f's gradient, as a function ────────► the same once more: order 2
//! ```
//!
//! Where they disagree, each op of f is checked on its own, with the operands that it had, and the
//! first that fails is named with its line.

mod differences;
mod report;
mod verify;

pub use report::{Against, CheckError, Culprit, Entry, Report, Skipped, Wrong};

use backprop_ad::vjp;
use backprop_core::graph::place::Line;
use backprop_core::ops::Constant;
use backprop_core::{Array, Op, Tensor, emit};

use crate::Tape;
use verify::{verify, weights};

/// Checks the derivatives of `f` at `inputs`, of orders 1 and 2; see [`Check`].
///
/// ```
/// use backprop_core::Array;
/// use backprop_run::check;
/// let report = check(|x| vec![(x[0] * x[1]).tanh()], &[Array::from([0.3, -0.2]), Array::from([1.5, 0.7])])?;
/// assert!(report.kinks.is_empty() && report.largest_error < 1e-9);
///
/// // The maximum has a kink at a tie: that is reported, and is no error.
/// let report = check(|x| vec![x[0].maximum(0.0)], &[Array::from([0.0, 2.0])])?;
/// assert!(!report.kinks.is_empty() && report.kinks.iter().all(|kink| kink.entry.input_element == [0]));
/// # Ok::<(), backprop_run::CheckError>(())
/// ```
///
/// # Errors
/// A derivative is wrong; `f` is ill; the inputs do not fit.
#[track_caller]
pub fn check(f: impl Fn(&[Tensor]) -> Vec<Tensor>, inputs: &[Array]) -> Result<Report, CheckError> {
    Check::default().run(f, inputs)
}

/// How to check.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Check {
    /// Gradient and difference may differ by this times max(1, |J|∞); 10⁻⁷ unless set.
    pub tolerance: f64,
    /// 1, or 2 (unless set): the gradient is checked as a function too.
    pub order: usize,
}

impl Default for Check {
    fn default() -> Check {
        Check { tolerance: 1e-7, order: 2 }
    }
}

impl Check {
    /// Checks the derivatives of `f` at `inputs`.
    ///
    /// `f` is called several times, with tensors of a tape and of a graph, and must be the same
    /// function each time. Floats must be f64: f32 leaves too few digits to differences. Integers and
    /// truth values are held fixed, and so is what stands behind a `stop_gradient`. The whole Jacobian
    /// is computed, with 24 evaluations for each input element, 48 near 0: give it small inputs.
    ///
    /// # Errors
    /// A derivative is wrong; `f` is ill; the inputs do not fit.
    pub fn run(&self, f: impl Fn(&[Tensor]) -> Vec<Tensor>, inputs: &[Array]) -> Result<Report, CheckError> {
        self.judge(&f, inputs).map_err(|error| match error {
            CheckError::Wrong(wrong, None) => {
                CheckError::Wrong(wrong, self.culprit(&f, inputs).map(Box::new))
            }
            other => other,
        })
    }

    fn judge(&self, f: &dyn Fn(&[Tensor]) -> Vec<Tensor>, inputs: &[Array]) -> Result<Report, CheckError> {
        let mut report = verify(f, inputs, 1, self.tolerance)?;
        if self.order >= 2 {
            report.add(verify(&|x| weighted_gradient(f, x), inputs, 2, self.tolerance)?);
        }
        Ok(report)
    }

    /// The first op of `f` that fails on its own.
    fn culprit(&self, f: &dyn Fn(&[Tensor]) -> Vec<Tensor>, inputs: &[Array]) -> Option<Culprit> {
        let tape = Tape::new();
        let x: Vec<Tensor> = inputs.iter().map(|array| tape.value(array.clone())).collect();
        f(&x);
        let n_nodes = tape.records().n_nodes() as u32;
        (0..n_nodes).find_map(|id| {
            let node = tape.records().node(id).clone();
            if node.inputs.is_empty() || matches!(node.op, Op::StopGradient(_)) {
                return None;
            }
            let read = |&input: &u32| Tensor::new(tape.id(), input).value().ok();
            let operands: Vec<Array> = node.inputs.iter().map(read).collect::<Option<_>>()?;
            let alone = |x: &[Tensor]| emit(node.op.clone(), x).iter().collect();
            match self.judge(&alone, &operands) {
                Err(CheckError::Wrong(wrong, _)) => Some(Culprit {
                    op: node.op.name().to_string(),
                    place: tape.records().place(node.place),
                    role: node.op.role(wrong.entry.input, operands.len()),
                    wrong: *wrong,
                }),
                _ => None,
            }
        })
    }
}

/// The gradients of Σ⟨dₖ, yₖ⟩ by the float inputs, for fixed dₖ without pattern.
fn weighted_gradient(f: &dyn Fn(&[Tensor]) -> Vec<Tensor>, x: &[Tensor]) -> Vec<Tensor> {
    let is_float = |x: &Tensor| x.dtype().is_some_and(|dtype| dtype.is_float());
    let seed = |y: Tensor| {
        let array = weights(y.shape()?.sizes()?);
        let line = Line::Code(std::panic::Location::caller());
        let d = y.context().emit(Constant { array: array.into() }.into(), &[], line).one();
        Some((y, d))
    };
    let seeds: Vec<(Tensor, Tensor)> = f(x).into_iter().filter(is_float).filter_map(seed).collect();
    let targets: Vec<Tensor> = x.iter().copied().filter(is_float).collect();
    if seeds.is_empty() { Vec::new() } else { vjp(&seeds, &targets).gradients().to_vec() }
}

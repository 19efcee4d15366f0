//! The objective of a run.

use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use backprop_core::Tensor;
use backprop_core::graph::context::in_module;

/// A loss: from the outputs of a network and the targets of a batch to a scalar, a mean over the
/// examples.
///
/// ```
/// use backprop_train::{Fit, Loss};
/// // Huber (1964): square for small errors, linear for large ones.
/// let huber = |delta: f64| {
///     Loss::new(move |y, t| {
///         let e = (y - t).abs();
///         e.le(delta).select(e.square() * 0.5, e * delta - 0.5 * delta * delta).mean(())
///     })
/// };
/// let config = Fit { loss: huber(1.0), ..Fit::default() };
/// ```
#[derive(Clone)]
pub struct Loss {
    of: Rc<dyn Fn(Tensor, Tensor) -> Tensor>,
    /// Where a loss of this library was chosen: faults in it tell that line. A user's own tells its own.
    chosen_at: Option<&'static Location<'static>>,
}

impl Loss {
    /// A loss of one's own.
    pub fn new(of: impl Fn(Tensor, Tensor) -> Tensor + 'static) -> Loss {
        Loss { of: Rc::new(of), chosen_at: None }
    }

    /// [`Tensor::cross_entropy`]: logits `[n, classes]` and class numbers `[n]`.
    #[track_caller]
    pub fn cross_entropy() -> Loss {
        Loss { chosen_at: Some(Location::caller()), ..Loss::new(|y, t| y.cross_entropy(t)) }
    }

    /// [`Tensor::mse_loss`]: outputs and targets of one shape.
    #[track_caller]
    pub fn mse() -> Loss {
        Loss { chosen_at: Some(Location::caller()), ..Loss::new(|y, t| y.mse_loss(t)) }
    }

    /// [`Tensor::binary_cross_entropy_with_logits`]: logits and targets 0 to 1, of one shape.
    #[track_caller]
    pub fn binary_cross_entropy_with_logits() -> Loss {
        let of = |y: Tensor, t: Tensor| y.binary_cross_entropy_with_logits(t);
        Loss { chosen_at: Some(Location::caller()), ..Loss::new(of) }
    }

    /// The loss of `outputs` for `targets`, f \[\].
    pub fn of(&self, outputs: Tensor, targets: Tensor) -> Tensor {
        match self.chosen_at {
            None => (self.of)(outputs, targets),
            Some(at) => in_module(outputs.context(), &"loss".into(), at, || (self.of)(outputs, targets)),
        }
    }
}

impl fmt::Debug for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loss").field("chosen_at", &self.chosen_at.map(ToString::to_string)).finish()
    }
}

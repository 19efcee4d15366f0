//! Optimizers: new values of parameters and state, as operations of the same graph or tape.

mod rules;
mod schedule;
mod updates;

use std::panic::Location;
use std::rc::Rc;

use backprop_ad::grad_table;
use backprop_core::ops::full;
use backprop_core::{DType, Error, Fault, Tensor, Type, concat};

use crate::bound::Bound;
use crate::params::STEP;

pub use rules::{Adam, AdamW, Sgd, Slots, UpdateRule};
pub use schedule::Schedule;
pub use updates::Updates;
pub(crate) use updates::{NewValue, Target, new_state, not_finite, same_parameters};

/// PyTorch's `clip_grad_norm_` adds this to the norm that it divides by.
const CLIP_EPS: f64 = 1e-6;

/// An update rule with what every rule can have: a schedule and clipping.
///
/// ```
/// use backprop_nn::{AdamW, Optimizer, Schedule};
/// let optimizer = Optimizer::from(AdamW::new(1e-3).weight_decay(0.1))
///     .schedule(Schedule::warm_up_cosine(100, 1000))
///     .clip_norm(1.0);
/// ```
#[derive(Clone)]
pub struct Optimizer {
    rule: Rc<dyn UpdateRule>,
    schedule: Schedule,
    clip_norm: Option<f64>,
    allows_missing: bool,
}

impl<R: UpdateRule + 'static> From<R> for Optimizer {
    fn from(rule: R) -> Optimizer {
        Optimizer {
            rule: Rc::new(rule),
            schedule: Schedule::Constant,
            clip_norm: None,
            allows_missing: false,
        }
    }
}

impl Optimizer {
    /// Makes the learning rate depend on the step.
    pub fn schedule(self, schedule: Schedule) -> Optimizer {
        Optimizer { schedule, ..self }
    }

    /// Whether it has a schedule.
    pub fn has_schedule(&self) -> bool {
        self.schedule != Schedule::Constant
    }

    /// Multiplies all gradients by min(1, `max_norm`/(norm + 1e-6)), with the norm over all of them
    /// together (PyTorch's `clip_grad_norm_`; Pascanu, Mikolov, Bengio 2013).
    pub fn clip_norm(self, max_norm: f64) -> Optimizer {
        Optimizer { clip_norm: Some(max_norm), ..self }
    }

    /// Leaves trainable parameters that the loss does not depend on as they are, instead of
    /// refusing them.
    pub fn allow_missing_gradients(self) -> Optimizer {
        Optimizer { allows_missing: true, ..self }
    }

    /// Differentiates `loss` with respect to every trainable parameter, and computes what the
    /// parameters and the optimizer's state become.
    ///
    /// On a tape the updates hold the new numbers, for [`Params::apply`](crate::Params::apply); in a
    /// graph they are nodes, for [`TrainStep`](crate::TrainStep).
    ///
    /// # Errors
    /// A trainable parameter gets no gradient (the reason is given; freeze it, or see
    /// [`Optimizer::allow_missing_gradients`]); a hyper-parameter is out of its range. On a tape also:
    /// every fault of the loss, and a loss, gradient or new value that is not finite, with the
    /// operation where the first such value arose.
    #[track_caller]
    pub fn updates(&self, p: &Bound, loss: Tensor) -> Result<Updates, Error> {
        self.updates_at(p, loss, Location::caller())
    }

    /// As [`Optimizer::updates`], on behalf of the line `at`: for training loops, whose own lines tell
    /// a user nothing.
    ///
    /// # Errors
    /// As for [`Optimizer::updates`].
    pub fn updates_at(
        &self,
        p: &Bound,
        loss: Tensor,
        at: &'static Location<'static>,
    ) -> Result<Updates, Error> {
        p.shared.in_module(loss, &"optimizer".into(), at, || self.emit(p, loss))
    }

    fn emit(&self, p: &Bound, loss: Tensor) -> Result<Updates, Error> {
        let refuse = |rule: String| -> Error { Fault::new("optimizer", rule).into() };
        self.rule.check().and(self.schedule.check()).map_err(refuse)?;
        if let Some(max_norm) = self.clip_norm.filter(|norm| norm.is_nan() || *norm <= 0.0) {
            return Err(refuse(format!("the norm to clip at is above 0, not {max_norm}")));
        }
        let entries = &p.shared.entries;
        let trainable: Vec<usize> = (0..entries.len()).filter(|&at| entries[at].trainable).collect();
        let targets: Vec<Tensor> = trainable.iter().map(|&at| p.shared.tensors[at]).collect();
        let table = grad_table(loss, &targets);
        let mut parameters: Vec<(usize, Tensor)> = Vec::with_capacity(trainable.len());
        for (idx, &at) in trainable.iter().enumerate() {
            match table.reason(idx) {
                None => parameters.push((at, table.gradients()[idx])),
                Some(_) if self.allows_missing => {}
                Some(reason) => {
                    let mut fault =
                        Fault::new("optimizer", format!("`{}` gets no gradient: {reason}", entries[at].path));
                    fault.hint = Some(format!("params.freeze(\"{}\")? if that is meant", entries[at].path));
                    return Err(fault.into());
                }
            }
        }
        let gradients: Vec<Tensor> = parameters.iter().map(|&(_, gradient)| gradient).collect();
        let mut grad_norm = None;
        let norm = self.clip_norm.and_then(|_| norm_of(&gradients));
        let mut checked = if self.rule.keeps_not_finite() { Vec::new() } else { gradients };
        if let (Some(max_norm), Some(norm)) = (self.clip_norm, norm) {
            // An infinite norm of finite gradients would make them vanish: it counts as not finite.
            checked.push(norm);
            grad_norm = Some(norm);
            let factor = (max_norm / (norm + CLIP_EPS)).minimum(1.0);
            for (_, gradient) in &mut parameters {
                *gradient = *gradient * like(factor, *gradient);
            }
        }
        let step = p.step();
        let t = step.cast(DType::F64);
        let lr = self.schedule.lr(full(p.shared.context, Type::scalar(DType::F64), self.rule.lr()), t);
        let mut new = vec![NewValue { target: Target::State(STEP.into()), value: step + 1i64 }];
        for (at, gradient) in parameters {
            let own_lr = match entries[at].lr_multiplier {
                1.0 => lr,
                factor => lr * factor,
            };
            let mut slots = Slots::new(p, at);
            let value = self.rule.update(p.shared.tensors[at], gradient, own_lr, &mut slots);
            new.push(NewValue { target: Target::Parameter(at), value });
            new.extend(slots.into_new());
        }
        Updates::new(p, loss, lr, grad_norm, checked, new)
    }
}

/// √Σg² over all elements of all gradients, f64 \[\]: finite wherever they are, as far as f64 goes.
#[track_caller]
fn norm_of(gradients: &[Tensor]) -> Option<Tensor> {
    let mut norms = Vec::with_capacity(gradients.len());
    for gradient in gradients {
        norms.push(gradient.cast(DType::F64).norm().reshape([1]));
    }
    (!norms.is_empty()).then(|| concat(&norms, 0).norm())
}

/// A scalar in the element type of `x`.
fn like(scalar: Tensor, x: Tensor) -> Tensor {
    match x.dtype() {
        Some(dtype) if scalar.dtype() != Some(dtype) => scalar.cast(dtype),
        _ => scalar,
    }
}

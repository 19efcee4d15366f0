//! What a step would change: nodes in a graph, numbers on a tape.

use std::sync::Arc;

use backprop_core::{Array, Error, Fault, Tensor};
use backprop_run::{first_not_finite, is_finite};

use crate::bound::{Bound, Shared};
use crate::params::{Kind, NewState, Parameter, Params};

/// What a new value belongs to.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Parameter(usize),
    State(Arc<str>),
    Slot(usize, &'static str),
}

/// A new value of a parameter or a state.
#[derive(Clone)]
pub(crate) struct NewValue {
    pub target: Target,
    pub value: Tensor,
}

/// The outcome of [`Optimizer::updates`](crate::Optimizer::updates): every new value of one step.
///
/// Made on a tape it holds numbers that are known to be finite, and outlives the scope.
pub struct Updates {
    pub(crate) bound: Bound,
    pub(crate) loss: Tensor,
    /// What must be finite beside the loss and the new values.
    pub(crate) checked: Vec<Tensor>,
    pub(crate) new: Vec<NewValue>,
    lr: Tensor,
    grad_norm: Option<Tensor>,
    numbers: Option<Numbers>,
}

/// What was computed on a tape.
struct Numbers {
    loss: f64,
    parameters: Vec<(usize, Array)>,
    states: Vec<NewState>,
}

impl Updates {
    pub(crate) fn new(
        bound: &Bound,
        loss: Tensor,
        lr: Tensor,
        grad_norm: Option<Tensor>,
        checked: Vec<Tensor>,
        new: Vec<NewValue>,
    ) -> Result<Updates, Error> {
        let bound = bound.clone();
        let mut updates = Updates { bound, loss, checked, new, lr, grad_norm, numbers: None };
        if updates.bound.shared.is_eager {
            updates.numbers = Some(updates.read()?);
        }
        Ok(updates)
    }

    /// The loss, where it was computed on a tape.
    pub fn loss(&self) -> Option<f64> {
        self.numbers.as_ref().map(|numbers| numbers.loss)
    }

    /// The learning rate of the step, f64 \[\], as a handle.
    pub fn lr(&self) -> Tensor {
        self.lr
    }

    /// The norm of all gradients before clipping, f64 \[\], as a handle; only where they are clipped.
    pub fn grad_norm(&self) -> Option<Tensor> {
        self.grad_norm
    }

    fn read(&self) -> Result<Numbers, Error> {
        let loss = self.loss.value()?;
        let mut all_finite = is_finite(&loss);
        for tensor in &self.checked {
            all_finite &= is_finite(&tensor.value()?);
        }
        let (mut parameters, mut states) = (Vec::new(), Vec::new());
        for NewValue { target, value } in &self.new {
            let array = value.value()?;
            all_finite &= is_finite(&array);
            match target {
                Target::Parameter(position) => parameters.push((*position, array)),
                other => states.push(new_state(&self.bound.shared, other, array)),
            }
        }
        if all_finite {
            return Ok(Numbers { loss: loss.item().unwrap_or(f64::NAN), parameters, states });
        }
        let mut roots = vec![self.loss];
        roots.extend(self.checked.iter().copied().chain(self.new.iter().map(|new| new.value)));
        Err(not_finite(first_not_finite(&roots)))
    }

    /// Writes the numbers into `params`: all of them, or none.
    pub(crate) fn write_to(self, params: &mut Params) -> Result<(), Error> {
        let bound = &self.bound.shared.entries;
        if !Arc::ptr_eq(bound, &params.entries) {
            same_parameters(&bound.iter().map(Parameter::kind).collect::<Vec<_>>(), params)?;
        }
        let Some(Numbers { parameters, states, .. }) = self.numbers else {
            let mut fault = Fault::new("apply", "updates of a graph hold no numbers");
            fault.hint = Some("TrainStep::new(&graph, inputs, metrics, updates)? runs them".to_string());
            return Err(fault.into());
        };
        let (from, now) = (self.bound.shared.step_number(), params.step());
        if from != now {
            return refuse(format!("the updates are of step {from}, but the parameters are at step {now}"));
        }
        let mut pairs = bound.iter().zip(params.entries.iter());
        if let Some((own, _)) = pairs.find(|(old, new)| !old.array.shares(&new.array)) {
            return refuse(format!("`{}` holds other numbers than those that were bound", own.path));
        }
        // The handles keep the old numbers alive; without them the store writes in place.
        drop(self.bound);
        params.write(parameters, states);
        Ok(())
    }
}

/// A state with its name.
pub(crate) fn new_state(shared: &Shared, target: &Target, array: Array) -> NewState {
    let (name, slot_of) = match target {
        Target::Parameter(position) => (shared.entries[*position].path.clone(), None),
        Target::State(name) => (name.clone(), None),
        Target::Slot(position, slot) => {
            let states = shared.bound_states.borrow();
            let known = states.slot(*position, slot).map(|state| state.name.clone());
            let name = known.unwrap_or_else(|| format!("{}.{slot}", shared.entries[*position].path).into());
            (name, Some((*position, *slot)))
        }
    };
    NewState { name, slot_of, array }
}

/// The error of a step that was not taken.
pub(crate) fn not_finite(first: Option<Error>) -> Error {
    let mut faults = match first {
        Some(error) => error.faults().to_vec(),
        None => vec![Fault::new("step", "the loss, a gradient or a new value is not finite")],
    };
    if let Some(fault) = faults.last_mut() {
        let done = "the step was not taken: parameters and state are as they were";
        fault.hint =
            Some(fault.hint.take().map_or_else(|| done.to_string(), |hint| format!("{hint}; {done}")));
    }
    Error::new(faults)
}

/// Refuses parameters that are not those that were bound, or that are treated otherwise since.
pub(crate) fn same_parameters(bound: &[Kind], params: &Params) -> Result<(), Error> {
    if bound.len() != params.entries.len() {
        let (then, now) = (bound.len(), params.entries.len());
        return refuse(format!("there were {then} parameters when the step was built, now there are {now}"));
    }
    for (old, new) in bound.iter().zip(params.entries.iter()) {
        if new.is(old) {
            continue;
        }
        if !new.has_name_and_type(&old.path, old.ty) {
            return refuse(format!("`{}` is not the parameter that the step was built for", new.path));
        }
        let what = "was frozen, unfrozen or given another learning-rate multiplier";
        return refuse(format!("`{}` {what} after the step was built", new.path));
    }
    Ok(())
}

fn refuse(rule: String) -> Result<(), Error> {
    let mut fault = Fault::new("step", rule);
    fault.hint = Some("bind the parameters and build the step again".to_string());
    Err(fault.into())
}

//! A training step of a graph: forward, backward and update in one executable.

use std::sync::{Arc, Mutex, PoisonError};

use backprop_core::{Array, Error, Fault, Graph, Tensor, Type};
use backprop_run::{CompileOptions, Executable, Plan, StepProfile, compile};

use crate::bound::BoundState;
use crate::optim::{Target, Updates};
use crate::optim::{new_state, not_finite, same_parameters};
use crate::params::{Kind, NewState, Parameter, Params};

/// A compiled training step. It holds no number: each run takes the parameters and the state from
/// a [`Params`] and writes the new ones there, all of them or none.
///
/// ```
/// use backprop_core::{Array, Graph, Seed};
/// use backprop_nn::{Layer, Optimizer, Sequential, Sgd, TrainStep};
///
/// let net = Sequential::new().linear(3, 2);
/// let mut params = net.init(Seed(0))?;
/// let g = Graph::new();
/// let (x, y) = (g.input("x", "f32[B, 3]"), g.input("y", "i64[B]"));
/// let p = params.bind(&g);
/// let loss = net.forward(&p, x).cross_entropy(y);
/// let step = TrainStep::new(&g, &[x, y], &[loss], Optimizer::from(Sgd::new(0.1)).updates(&p, loss)?)?;
///
/// let batch = [Array::from([[1.0f32, 0.0, 2.0], [0.0, 1.0, 0.5]]), Array::from([1i64, 0])];
/// let before = step.run(&mut params, &batch)?[0].item()?;
/// let after = step.run(&mut params, &batch)?[0].item()?;
/// assert!(after < before);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TrainStep {
    executable: Executable,
    n_inputs: usize,
    n_metrics: usize,
    kinds: Vec<Kind>,
    states: Vec<StepState>,
    /// What the outputs after the metrics and the checked values are.
    new: Vec<StepTarget>,
    /// Room that nobody uses now: as much as there were callers at a time.
    idle: Mutex<Vec<Room>>,
}

/// What a run needs beside the parameters, kept from step to step.
#[derive(Default)]
struct Room {
    inputs: Vec<Array>,
    outputs: Vec<Array>,
}

/// A state that the step reads.
struct StepState {
    name: Arc<str>,
    slot_of: Option<(usize, &'static str)>,
    ty: Type,
}

enum StepTarget {
    Parameter(usize),
    State { name: Arc<str>, slot_of: Option<(usize, &'static str)> },
}

impl TrainStep {
    /// Compiles a step of `graph` that computes `metrics` and makes `updates`, from `inputs`.
    ///
    /// # Errors
    /// Every fault in the graph that the step depends on; an input that is missing; updates of
    /// another graph, or of a tape.
    pub fn new(
        graph: &Graph,
        inputs: &[Tensor],
        metrics: &[Tensor],
        updates: Updates,
    ) -> Result<TrainStep, Error> {
        let shared = &updates.bound.shared;
        let bound_states = shared.bound_states.borrow();
        let mut all_inputs = inputs.to_vec();
        all_inputs.extend(&shared.tensors);
        all_inputs.extend(bound_states.all.iter().map(|state| state.tensor));
        let mut outputs = metrics.to_vec();
        outputs.push(updates.loss);
        outputs.extend(&updates.checked);
        outputs.extend(updates.new.iter().map(|new| new.value));
        let watched = (0..outputs.len()).map(|position| position >= metrics.len()).collect();
        let executable = compile(graph, &all_inputs, &outputs)?.watching(watched);
        let states = bound_states.all.iter().map(|BoundState { name, slot_of, ty, .. }| StepState {
            name: name.clone(),
            slot_of: *slot_of,
            ty: *ty,
        });
        let new = updates.new.iter().map(|new| match &new.target {
            Target::Parameter(position) => StepTarget::Parameter(*position),
            other => {
                let NewState { name, slot_of, .. } = new_state(shared, other, Array::scalar(0.0f32));
                StepTarget::State { name, slot_of }
            }
        });
        Ok(TrainStep {
            executable,
            n_inputs: inputs.len(),
            n_metrics: metrics.len(),
            kinds: shared.entries.iter().map(Parameter::kind).collect(),
            states: states.collect(),
            new: new.collect(),
            idle: Mutex::default(),
        })
    }

    /// The same, run in another way.
    pub fn with_options(self, options: CompileOptions) -> TrainStep {
        TrainStep { executable: self.executable.with_options(options), ..self }
    }

    /// Takes one step: returns the metrics and writes the new parameters and state into `params`.
    ///
    /// # Errors
    /// Inputs of the wrong type or size, a fault in the data; a loss, gradient or new value that is
    /// not finite (the error names the operation where the first one arose); parameters other than
    /// those the step was built for. Then nothing is written.
    pub fn run(&self, params: &mut Params, inputs: &[Array]) -> Result<Vec<Array>, Error> {
        self.with_room(params, inputs, |room| {
            // A place that is left empty is filled before the next step.
            let taken = |output: &mut Array| std::mem::replace(output, Array::scalar(false));
            room.outputs[..self.n_metrics].iter_mut().map(taken).collect()
        })
    }

    /// As [`TrainStep::run`], with the metrics in arrays that are there already. Nothing is allocated once the
    /// sizes have been run before and the optimizer has its state.
    ///
    /// # Errors
    /// As [`TrainStep::run`]; another number of metrics.
    pub fn run_into(
        &self,
        params: &mut Params,
        inputs: &[Array],
        metrics: &mut [Array],
    ) -> Result<(), Error> {
        if metrics.len() != self.n_metrics {
            let (wanted, given) = (self.n_metrics, metrics.len());
            let rule = format!("there are {wanted} metrics, but {given} arrays were given for them");
            return Err(Fault::new("step", rule).into());
        }
        self.with_room(params, inputs, |room| metrics.swap_with_slice(&mut room.outputs[..self.n_metrics]))
    }

    /// Takes a step, and hands its outputs on before the next one may use their memory.
    fn with_room<R>(
        &self,
        params: &mut Params,
        inputs: &[Array],
        take: impl FnOnce(&mut Room) -> R,
    ) -> Result<R, Error> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut room = idle().pop().unwrap_or_default();
        let done = self.step(params, inputs, &mut room);
        room.inputs.clear();
        let taken = done.map(|()| take(&mut room));
        idle().push(room);
        taken
    }

    fn step(&self, params: &mut Params, inputs: &[Array], room: &mut Room) -> Result<(), Error> {
        self.gather(params, inputs, &mut room.inputs)?;
        if !self.executable.run_watching(&room.inputs, &mut room.outputs)? {
            return Err(not_finite(self.executable.first_not_finite(&room.inputs)));
        }
        // What the store held becomes the room of the next step's results.
        room.inputs.clear();
        let first = room.outputs.len() - self.new.len();
        params.swap(self.new.iter().zip(&mut room.outputs[first..]).filter_map(|(target, array)| {
            let StepTarget::Parameter(position) = target else { return None };
            Some((*position, array))
        }));
        for (target, array) in self.new.iter().zip(&mut room.outputs[first..]) {
            if let StepTarget::State { name, slot_of } = target {
                params.swap_state(name, *slot_of, array);
            }
        }
        Ok(())
    }

    /// All inputs of the executable: the caller's, the parameters, the state.
    fn gather(&self, params: &Params, inputs: &[Array], all: &mut Vec<Array>) -> Result<(), Error> {
        same_parameters(&self.kinds, params)?;
        if inputs.len() != self.n_inputs {
            let rule = format!("{} inputs are wanted, but {} were given", self.n_inputs, inputs.len());
            return Err(Fault::new("step", rule).into());
        }
        all.extend(inputs.iter().chain(params.entries.iter().map(|entry| &entry.array)).cloned());
        for state in &self.states {
            all.push(self.state(params, state)?);
        }
        Ok(())
    }

    /// The graph after each pass, and the loops that run for these inputs.
    ///
    /// # Errors
    /// As [`TrainStep::run`], of types and sizes alone.
    pub fn plan(&self, params: &Params, inputs: &[Array]) -> Result<Plan, Error> {
        let mut all = Vec::new();
        self.gather(params, inputs, &mut all)?;
        self.executable.plan(&all)
    }

    /// The bytes that a step on these inputs takes beside them, the parameters and the new parameters.
    ///
    /// # Errors
    /// As [`TrainStep::run`], of types and sizes alone.
    pub fn arena_bytes(&self, params: &Params, inputs: &[Array]) -> Result<usize, Error> {
        let mut all = Vec::new();
        self.gather(params, inputs, &mut all)?;
        self.executable.arena_bytes(&all)
    }

    /// The threads that compute a step; see [`Executable::n_threads`].
    pub fn n_threads(&self) -> usize {
        self.executable.n_threads()
    }

    /// Measures each step of the program; `params` stays as it is.
    ///
    /// # Errors
    /// As [`TrainStep::run`].
    pub fn profile(
        &self,
        params: &Params,
        inputs: &[Array],
        n_runs: usize,
    ) -> Result<Vec<StepProfile>, Error> {
        let mut all = Vec::new();
        self.gather(params, inputs, &mut all)?;
        self.executable.profile(&all, n_runs)
    }

    fn state(&self, params: &Params, state: &StepState) -> Result<Array, Error> {
        let StepState { name, slot_of, ty } = state;
        let at = slot_of.and_then(|(position, slot)| params.slot(position, slot));
        let at = at.or_else(|| params.states.position_of(name));
        let stored = at.map(|at| &params.states[at].array);
        match stored {
            Some(array) => Ok(array.clone()),
            None => {
                let sizes = ty.shape.sizes().unwrap_or_default();
                Array::zeros(ty.dtype, sizes).map_err(|e| Fault::new("step", e.to_string()).into())
            }
        }
    }
}

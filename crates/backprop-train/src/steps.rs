//! One training step, by either engine.

use std::cell::RefCell;
use std::panic::Location;

use backprop_core::array::pool;
use backprop_core::graph::context::{ContextId, in_module};
use backprop_core::{Array, Error, Graph, Tensor, Type};
use backprop_nn::{Bound, Layer, Optimizer, Params, TrainStep};
use backprop_run::{CompileOptions, Tape};

use crate::loss::Loss;

/// What a step tells: the loss before it and the outputs of the network.
pub(crate) struct Outcome {
    pub loss: f64,
    pub outputs: Array,
    pub lr: f64,
}

/// What a step minimises: J = loss + l1·Σ|w| + l2/2·Σw².
pub(crate) struct Objective<'a> {
    pub net: &'a dyn Layer,
    pub loss: Loss,
    pub l1: f64,
    pub l2: f64,
    /// The line that asked for training: the place of what is computed for it here.
    pub at: &'static Location<'static>,
}

impl Objective<'_> {
    /// The outputs of the network, and J.
    fn of(&self, p: &Bound, x: Tensor, y: Tensor) -> [Tensor; 2] {
        let outputs = self.net.forward(p, x);
        let loss = self.loss.of(outputs, y);
        let penalised = self.placed(x.context(), || {
            let loss = if self.l1 > 0.0 { loss + p.l1(self.l1) } else { loss };
            if self.l2 > 0.0 { loss + p.l2(self.l2) } else { loss }
        });
        [outputs, penalised]
    }

    fn placed<R>(&self, context: ContextId, body: impl FnOnce() -> R) -> R {
        in_module(context, &"".into(), self.at, body)
    }
}

/// A step that is ready to be taken.
pub(crate) enum Steps<'a> {
    Eager {
        objective: Objective<'a>,
        optimizer: Optimizer,
        tape: Tape,
    },
    /// With the metrics of the last step, whose memory is the next one's.
    Graph(Box<TrainStep>, RefCell<[Array; 3]>),
}

impl<'a> Steps<'a> {
    /// Compiled in the way `how` says, else on a tape. `x` and `y` tell the types of the batches; only their
    /// first size may differ.
    pub fn new(
        how: Option<CompileOptions>,
        objective: Objective<'a>,
        params: &Params,
        optimizer: Optimizer,
        [x, y]: [&Array; 2],
    ) -> Result<Steps<'a>, Error> {
        let Some(how) = how else {
            return Ok(Steps::Eager { objective, optimizer, tape: Tape::new() });
        };
        let graph = Graph::new();
        let input = |name: &str, array: &Array| {
            let ty = Type::new(array.dtype(), array.sizes());
            let text = ty.shape.iter().skip(1).map(|dim| format!(", {dim}")).collect::<String>();
            graph.input(name, format!("{}[B{text}]", ty.dtype).as_str())
        };
        let (x, y, p) = objective.placed(graph.id(), || (input("x", x), input("y", y), params.bind(&graph)));
        let [outputs, loss] = objective.of(&p, x, y);
        let updates = optimizer.updates_at(&p, loss, objective.at)?;
        let lr = updates.lr();
        let step = TrainStep::new(&graph, &[x, y], &[loss, outputs, lr], updates)?;
        let metrics = RefCell::new([0.0; 3].map(Array::scalar::<f32>));
        Ok(Steps::Graph(Box::new(step.with_options(how)), metrics))
    }

    /// The threads that compute a step.
    pub fn n_threads(&self) -> usize {
        match self {
            Steps::Eager { .. } => 1,
            Steps::Graph(step, _) => step.n_threads(),
        }
    }

    /// Takes a step: `params` holds its outcome, or on an error what it held before.
    pub fn take(&self, params: &mut Params, [x, y]: [Array; 2]) -> Result<Outcome, Error> {
        match self {
            Steps::Graph(step, metrics) => {
                let mut metrics = metrics.borrow_mut();
                let batch = [x, y];
                step.run_into(params, &batch, &mut metrics[..])?;
                batch.into_iter().for_each(pool::give);
                let [loss, lr] = [&metrics[0], &metrics[2]].map(|metric| metric.item().unwrap_or(f64::NAN));
                Ok(Outcome { loss, outputs: metrics[1].clone(), lr })
            }
            Steps::Eager { objective, optimizer, tape } => {
                let (updates, outcome) = tape.scope(|t| {
                    let (x, y, p) = objective.placed(t.id(), || (t.value(x), t.value(y), params.bind(t)));
                    let [outputs, loss] = objective.of(&p, x, y);
                    let updates = optimizer.updates_at(&p, loss, objective.at)?;
                    let (loss, lr) = (updates.loss().unwrap_or(f64::NAN), updates.lr().item()?);
                    Ok::<_, Error>((updates, Outcome { loss, outputs: outputs.value()?, lr }))
                })?;
                params.apply(updates)?;
                Ok(outcome)
            }
        }
    }
}

//! One training step, by either engine.

use backprop_core::{Array, Error, Graph, Tensor, Type};
use backprop_nn::{Layer, Optimizer, Params, TrainStep};
use backprop_run::Tape;

use crate::fit::Engine;

/// What a step tells: the loss before it and the outputs of the network.
pub(crate) struct Outcome {
    pub loss: f64,
    pub logits: Array,
    pub lr: f64,
}

/// A step that is ready to be taken.
pub(crate) enum Steps<'a> {
    Eager { net: &'a dyn Layer, optimizer: Optimizer, tape: Tape, loss: Loss },
    Graph(Box<TrainStep>),
}

/// From outputs and labels to the objective.
pub(crate) type Loss = fn(Tensor, Tensor) -> Tensor;

impl<'a> Steps<'a> {
    /// `x` and `y` tell the types of the batches; only their first size may differ.
    pub fn new(
        engine: Engine,
        net: &'a dyn Layer,
        params: &Params,
        optimizer: Optimizer,
        loss: Loss,
        [x, y]: [&Array; 2],
    ) -> Result<Steps<'a>, Error> {
        if engine == Engine::Eager {
            return Ok(Steps::Eager { net, optimizer, tape: Tape::new(), loss });
        }
        let graph = Graph::new();
        let input = |name: &str, array: &Array| {
            let ty = Type::new(array.dtype(), array.sizes());
            let text = ty.shape.iter().skip(1).map(|dim| format!(", {dim}")).collect::<String>();
            graph.input(name, format!("{}[B{text}]", ty.dtype).as_str())
        };
        let (x, y) = (input("x", x), input("y", y));
        let p = params.bind(&graph);
        let logits = net.forward(&p, x);
        let loss = loss(logits, y);
        let updates = optimizer.updates(&p, loss)?;
        let lr = updates.lr();
        let step = TrainStep::new(&graph, &[x, y], &[loss, logits, lr], updates)?;
        Ok(Steps::Graph(Box::new(step)))
    }

    /// Takes a step: `params` holds its outcome, or on an error what it held before.
    pub fn take(&self, params: &mut Params, [x, y]: [Array; 2]) -> Result<Outcome, Error> {
        match self {
            Steps::Graph(step) => {
                let mut metrics = step.run(params, &[x, y])?;
                let [loss, lr] = [&metrics[0], &metrics[2]].map(|metric| metric.item().unwrap_or(f64::NAN));
                Ok(Outcome { loss, logits: metrics.swap_remove(1), lr })
            }
            Steps::Eager { net, optimizer, tape, loss } => {
                let (updates, outcome) = tape.scope(|t| {
                    let p = params.bind(t);
                    let logits = net.forward(&p, t.value(x));
                    let loss = loss(logits, t.value(y));
                    let updates = optimizer.updates(&p, loss)?;
                    let (loss, lr) = (updates.loss().unwrap_or(f64::NAN), updates.lr().item()?);
                    Ok::<_, Error>((updates, Outcome { loss, logits: logits.value()?, lr }))
                })?;
                params.apply(updates)?;
                Ok(outcome)
            }
        }
    }
}

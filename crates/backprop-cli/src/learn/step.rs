//! One step of training: forward, backward, update; all of it or nothing.

use std::fmt;

use backprop_ad::grad_table;
use backprop_core::{Array, DType, Error, Graph, Tensor};
use backprop_run::{Executable, Tape, compile};

use super::network::Network;
use super::update::{factors, n_slots, update};
use crate::config::{Config, Engine};

/// A network on its way: parameters, slots, and how a step is computed.
pub struct Learner {
    network: Network,
    config: Config,
    parameters: Vec<Array>,
    slots: Vec<Array>,
    step: u64,
    engine: Prepared,
}

enum Prepared {
    /// The tape holds nothing between steps.
    Eager(Tape),
    /// Boxed, as it is large.
    Graph(Box<Executable>),
}

/// What a step saw, before it updated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// The mean loss of the batch.
    pub loss: f64,
    /// How many of the batch were right.
    pub right: usize,
}

/// Why a step did not happen. Nothing was updated.
#[derive(Debug)]
pub enum StepFault {
    /// A fault of the graph or the data.
    Fault(Error),
    /// The loss, a gradient or an updated parameter is not finite.
    NotFinite {
        /// Which step, from 1.
        step: u64,
        /// Where the first such number arose: op and place.
        origin: String,
    },
}

impl fmt::Display for StepFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StepFault::Fault(error) => error.fmt(f),
            StepFault::NotFinite { step, origin } => {
                write!(f, "step {step} gives numbers that are not finite; the first arises in {origin}")
            }
        }
    }
}

impl From<Error> for StepFault {
    fn from(error: Error) -> StepFault {
        StepFault::Fault(error)
    }
}

/// The results of a step, in the order: loss, number right, parameters, slots.
struct Results {
    loss: Tensor,
    right: Tensor,
    parameters: Vec<Tensor>,
    slots: Vec<Tensor>,
}

impl Results {
    fn all(&self) -> Vec<Tensor> {
        let head = [self.loss, self.right];
        head.into_iter().chain(self.parameters.iter().copied()).chain(self.slots.iter().copied()).collect()
    }
}

impl Learner {
    /// A network with initial parameters.
    pub fn new(network: Network, config: &Config) -> Result<Learner, Error> {
        let parameters = network.init(config.seed);
        let zeros = |array: &Array| Array::zeros(DType::F32, array.sizes()).expect("the sizes of an array");
        let per_parameter = n_slots(config.optimizer);
        let slots: Vec<Array> =
            parameters.iter().flat_map(|array| vec![zeros(array); per_parameter]).collect();
        let engine = match config.engine {
            Engine::Eager => Prepared::Eager(Tape::new()),
            Engine::Graph => {
                let (graph, inputs, outputs) = step_graph(&network, config, &parameters);
                Prepared::Graph(Box::new(compile(&graph, &inputs, &outputs)?))
            }
        };
        Ok(Learner { network, config: config.clone(), parameters, slots, step: 0, engine })
    }

    /// The parameters, in the order of [`Network::parameters`].
    pub fn parameters(&self) -> &[Array] {
        &self.parameters
    }

    /// One step on a batch, with a learning rate.
    ///
    /// # Errors
    /// A number that is not finite: then nothing was updated.
    pub fn step(&mut self, x: Array, y: Array, lr: f64) -> Result<Tally, StepFault> {
        let step = self.step + 1;
        let factors = factors(lr, step).map(|x| Array::scalar(x as f32));
        let arrays: Vec<Array> = [x, y]
            .into_iter()
            .chain(factors)
            .chain(self.parameters.iter().cloned())
            .chain(self.slots.iter().cloned())
            .collect();
        let results = match &self.engine {
            Prepared::Graph(executable) => executable.run(&arrays)?,
            Prepared::Eager(tape) => self.on_tape(tape, &arrays, |outputs, _| read(&outputs.all()))?,
        };
        if !results.iter().all(is_finite) {
            let origin = self.on_tape(&Tape::new(), &arrays, |_, tape| Ok(first_bad(tape)))?;
            return Err(StepFault::NotFinite { step, origin });
        }
        let tally = Tally { loss: results[0].to_f64s()[0], right: results[1].to_i64s()[0] as usize };
        self.step = step;
        let n = self.parameters.len();
        self.slots = results[2 + n..].to_vec();
        self.parameters = results[2..2 + n].to_vec();
        Ok(tally)
    }

    fn on_tape<R>(
        &self,
        tape: &Tape,
        arrays: &[Array],
        then: impl FnOnce(&Results, &Tape) -> Result<R, Error>,
    ) -> Result<R, Error> {
        tape.scope(|tape| {
            let inputs: Vec<Tensor> = arrays.iter().map(|array| tape.value(array.clone())).collect();
            then(&compute(&self.network, &self.config, &inputs), tape)
        })
    }
}

/// The step as a graph: inputs x, y, the factors, the parameters and the slots.
fn step_graph(network: &Network, config: &Config, parameters: &[Array]) -> (Graph, Vec<Tensor>, Vec<Tensor>) {
    let graph = Graph::new();
    let mut inputs =
        vec![graph.input("x", format!("f32[B, {}]", network.sizes[0]).as_str()), graph.input("y", "i64[B]")];
    inputs.extend(["lr", "c1", "c2"].map(|name| graph.input(name, "f32[]")));
    let typed = |array: &Array| format!("f32{:?}", array.sizes());
    for ((name, _), array) in network.parameters().iter().zip(parameters) {
        inputs.push(graph.input(name, typed(array).as_str()));
    }
    for ((name, _), array) in network.parameters().iter().zip(parameters) {
        for slot in 0..n_slots(config.optimizer) {
            inputs.push(graph.input(&format!("{name}.slot{slot}"), typed(array).as_str()));
        }
    }
    let outputs = compute(network, config, &inputs).all();
    (graph, inputs, outputs)
}

/// Forward, backward and update, in either mode; `inputs` as in [`step_graph`].
fn compute(network: &Network, config: &Config, inputs: &[Tensor]) -> Results {
    let (x, y, factors) = (inputs[0], inputs[1], [inputs[2], inputs[3], inputs[4]]);
    let (p, slots) = inputs[5..].split_at(network.parameters().len());
    let logits = network.forward(p, x);
    let loss = logits.cross_entropy(y);
    let right = logits.argmax(-1).eq(y).cast(DType::I64).sum(());
    let table = grad_table(loss, p);
    let per_parameter = n_slots(config.optimizer);
    let mut results = Results { loss, right, parameters: Vec::new(), slots: Vec::new() };
    for ((&p, &d), slots) in p.iter().zip(table.gradients()).zip(slots.chunks(per_parameter)) {
        let (p, slots) = update(config, p, d, slots, factors);
        results.parameters.push(p);
        results.slots.extend(slots);
    }
    results
}

fn read(tensors: &[Tensor]) -> Result<Vec<Array>, Error> {
    tensors.iter().map(|tensor| tensor.value()).collect()
}

fn is_finite(array: &Array) -> bool {
    match array.slice::<f32>() {
        Ok(values) => values.iter().all(|x| x.is_finite()),
        Err(_) => true,
    }
}

/// The first operation whose result is not finite though its operands are: `exp, in layer 2 linear`.
fn first_bad(tape: &Tape) -> String {
    let records = tape.records();
    let bad = |value| Tensor::new(tape.id(), value).value().is_ok_and(|array| !is_finite(&array));
    let found = records.nodes().iter().find(|node| node.outputs().any(bad));
    match found {
        None => "nothing that could be found again".to_string(),
        Some(node) => format!("{}, called at {}", node.op.name(), records.place(node.place)),
    }
}

//! One function, computed in every way that there is: on a tape, through a graph, by the reference
//! interpreter, and through the graph's text; its results, their gradients and the gradients of those.

use backprop_ad::vjp;
use backprop_core::text::{Registry, parse, print};
use backprop_core::{Array, ContextId, DType, Graph, Tensor, Type, interpret};
use backprop_run::{Executable, Tape, compile};

use crate::checks::{floats, read, text};
use crate::compare::{F32_SUM, F64_SUM, distance};
use crate::functions::{Function, constant};
use crate::rows::Sample;
use backprop_core::ops::sample::wave;

/// The results; then, for each order, the vector-Jacobian product of what came before, by every float
/// operand.
pub(crate) fn orders(context: ContextId, f: &Function, x: &[Tensor], n_orders: usize) -> Vec<Tensor> {
    let mut all = f(context, x);
    let (x, mut last) = (floats(x), floats(&all));
    for order in 0..n_orders {
        if x.is_empty() || last.is_empty() {
            break;
        }
        let seed = |(idx, y): (usize, &Tensor)| -> Option<(Tensor, Tensor)> {
            let d = wave(y.shape()?.sizes()?, 7 + 4 * order + idx).cast(y.dtype()?);
            Some((*y, constant(context, d)))
        };
        let seeds: Vec<(Tensor, Tensor)> = last.iter().enumerate().filter_map(seed).collect();
        last = vjp(&seeds, &x).gradients().to_vec();
        all.extend(&last);
    }
    all
}

/// The sample through a graph.
pub(crate) struct Symbolic {
    pub graph: Graph,
    pub inputs: Vec<Array>,
    pub x: Vec<Tensor>,
    pub y: Vec<Tensor>,
}

impl Symbolic {
    /// The graph of the results and of so many orders of derivatives.
    pub fn new(sample: &Sample, n_orders: usize) -> Symbolic {
        let graph = Graph::new();
        let x: Vec<Tensor> = (sample.inputs.iter().enumerate())
            .map(|(idx, array)| graph.input(&format!("x{idx}"), Type::new(array.dtype(), array.sizes())))
            .collect();
        let y = orders(graph.id(), &sample.f, &x, n_orders);
        Symbolic { graph, inputs: sample.inputs.clone(), x, y }
    }

    fn compiled(&self) -> Result<Executable, String> {
        compile(&self.graph, &self.x, &self.y).map_err(text)
    }
}

/// Tape and graph, walked, give the same bits; compiled code and the reference agree within rounding.
pub(crate) fn modes(sample: &Sample, n_orders: usize) -> Result<usize, String> {
    let tape = Tape::new();
    let x: Vec<Tensor> = sample.inputs.iter().map(|array| tape.value(array.clone())).collect();
    let eager = read(&orders(tape.id(), &sample.f, &x, n_orders))?;
    let symbolic = Symbolic::new(sample, n_orders);
    let executable = symbolic.compiled()?;
    let walked = executable.walk(&symbolic.inputs).map_err(text)?;
    let compiled = executable.run(&symbolic.inputs).map_err(text)?;
    let given: Vec<(u32, Array)> =
        symbolic.x.iter().map(|x| x.id()).zip(symbolic.inputs.iter().cloned()).collect();
    let outputs: Vec<u32> = symbolic.y.iter().map(|y| y.id()).collect();
    let reference = interpret(&symbolic.graph.records(), &given, &outputs).map_err(text)?;
    let counts = [eager.len(), walked.len(), compiled.len()];
    if counts != [reference.len(); 3] {
        return Err(format!("{counts:?} and {} results", reference.len()));
    }
    for (idx, (eager, walked)) in eager.iter().zip(&walked).enumerate() {
        if !eager.same_bits(walked) {
            return Err(format!("result {idx}: tape {eager:?}, graph {walked:?}"));
        }
    }
    for (found, way) in [(&eager, "engine"), (&compiled, "compiled")] {
        for (idx, (found, reference)) in found.iter().zip(&reference).enumerate() {
            let bound = match found.dtype() {
                DType::F64 => F64_SUM,
                DType::F32 => f64::from(F32_SUM),
                _ => 0.0,
            };
            let is_right = match found.dtype().is_float() {
                true => found.dtype() == reference.dtype() && distance(found, reference) <= bound,
                false => found.same_bits(reference),
            };
            if !is_right {
                return Err(format!("result {idx}: {way} {found:?}, reference {reference:?}"));
            }
        }
    }
    Ok(eager.len())
}

/// Printed and parsed, the graph has the same ops under the same parameters, prints as before, and gives
/// the same bits.
pub(crate) fn round_trip(sample: &Sample) -> Result<usize, String> {
    let symbolic = Symbolic::new(sample, 2);
    let named: Vec<(String, u32)> =
        symbolic.y.iter().enumerate().map(|(idx, y)| (format!("out{idx}"), y.id())).collect();
    let records = symbolic.graph.records();
    let printed = print(&records, &named);
    let constants =
        |name: &str| printed.constants.iter().find(|(own, _)| own == name).map(|(_, array)| array.clone());
    let document = parse(&printed.text, "sample.graph", &constants, &Registry::new())
        .map_err(|error| format!("{error}\n{}", printed.text))?;
    let again = document.print().text;
    if again != printed.text {
        return Err(format!("{again}is not\n{}", printed.text));
    }
    if records.n_nodes() != document.records.n_nodes() {
        return Err(format!("{} nodes, {} parsed", records.n_nodes(), document.records.n_nodes()));
    }
    let mut n_compared = 1;
    for (own, parsed) in records.nodes().iter().zip(document.records.nodes()) {
        if own.op != parsed.op || own.inputs != parsed.inputs {
            return Err(format!("{:?} is parsed as {:?}", own.op, parsed.op));
        }
        n_compared += 1;
    }
    let outputs = document.outputs.iter().map(|&(_, value)| value).collect();
    let inputs = symbolic.x.iter().map(|x| x.id()).collect();
    let found = Executable::new(document.records, inputs, outputs)
        .and_then(|run| run.walk(&symbolic.inputs))
        .map_err(text)?;
    let expect = symbolic.compiled()?.walk(&symbolic.inputs).map_err(text)?;
    match found.len() == expect.len() && found.iter().zip(&expect).all(|(a, b)| a.same_bits(b)) {
        true => Ok(n_compared + found.len()),
        false => Err(format!("parsed {found:?} is not {expect:?}")),
    }
}

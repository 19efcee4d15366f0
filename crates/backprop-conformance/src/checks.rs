//! The checks that need no golden values: the op against itself, computed another way.

use backprop_ad::{jacobian, jvp, vjp};
use backprop_core::{Array, ContextId, DType, Error, Graph, Op, Tensor, Type};
use backprop_run::{Tape, compile};

use crate::compare::{F64_SUM, distance};
use crate::dtypes::dtypes;
use crate::functions::Function;
use crate::masks::{is_strict, masks};
use crate::matrix::{Cell, Column};
use crate::rows::{Row, Sample};
use crate::samples::wave;

/// The cell of a check, counted over the row's samples.
pub fn cell(row: &Row, column: Column) -> Cell {
    let mut cell = Cell::new();
    match column {
        Column::DTypes => dtypes(row, &mut cell),
        Column::Modes => row.samples.iter().for_each(|sample| cell.note(1, modes(sample))),
        Column::Jvp => each_smooth(row, &mut cell, forward_is_reverse_transposed),
        Column::Differences => each_smooth(row, &mut cell, differences),
        Column::JacobianTimesD => each_smooth(row, &mut cell, jacobian_times_d),
        Column::Flatten => each_smooth(row, &mut cell, flatten),
        Column::Empty => shaped(row, &mut cell, |sizes| sizes.contains(&0)),
        Column::Rank0 => shaped(row, &mut cell, |sizes| sizes.is_empty()),
        Column::NonSquare => shaped(row, &mut cell, |sizes| {
            let differ = (1..sizes.len()).all(|axis| !sizes[..axis].contains(&sizes[axis]));
            sizes.len() >= 2 && differ && !sizes.contains(&0)
        }),
        Column::Masks => each_smooth(row, &mut cell, |sample| masks(sample, is_strict(row))),
        Column::Special => row.samples.iter().for_each(|sample| cell.note(1, special(sample))),
        Column::Value | Column::Gradient | Column::Order2 | Column::Text => {}
    }
    cell
}

impl Cell {
    /// Counts `n` comparisons, or the one that failed.
    pub fn note(&mut self, n: usize, result: Result<(), String>) {
        let fault = result.err();
        (0..n.max(1))
            .for_each(|at| self.count(at > 0 || fault.is_none(), || fault.clone().unwrap_or_default()));
    }
}

pub(crate) fn is_float(x: &Tensor) -> bool {
    x.dtype().is_some_and(|dtype| dtype.is_float())
}

pub(crate) fn floats(x: &[Tensor]) -> Vec<Tensor> {
    x.iter().copied().filter(is_float).collect()
}

fn text(error: Error) -> String {
    error.to_string()
}

/// The operands on a tape, and what the function makes of them.
pub fn on_tape(tape: &Tape, f: &Function, inputs: &[Array]) -> (Vec<Tensor>, Vec<Tensor>) {
    let x: Vec<Tensor> = inputs.iter().map(|array| tape.value(array.clone())).collect();
    let y = f(tape.id(), &x);
    (x, y)
}

/// The values of tensors.
///
/// # Errors
/// The faults of those that are ill.
pub fn read(tensors: &[Tensor]) -> Result<Vec<Array>, String> {
    tensors.iter().map(|tensor| tensor.value().map_err(text)).collect()
}

/// The reference: every node by its own definition, in order.
fn interpret(graph: &Graph, x: &[Tensor], inputs: &[Array], y: &[Tensor]) -> Result<Vec<Array>, String> {
    let records = graph.records();
    let mut values: Vec<Option<Array>> = vec![None; records.n_values()];
    x.iter().zip(inputs).for_each(|(x, array)| values[x.id() as usize] = Some(array.clone()));
    for node in records.nodes().iter().filter(|node| !matches!(node.op, Op::Input(_))) {
        let operands: Option<Vec<&Array>> =
            node.inputs.iter().map(|&at| values[at as usize].as_ref()).collect();
        let types: Option<Vec<Type>> = node.outputs().map(|at| records.ty(at)).collect();
        let (operands, types) = operands.zip(types).ok_or("an operand has no value")?;
        let computed = node.op.rule().eval(&operands, &types).map_err(|ill| ill.rule)?;
        node.outputs().zip(computed).for_each(|(at, array)| values[at as usize] = Some(array));
    }
    y.iter().map(|y| values[y.id() as usize].clone().ok_or_else(|| "not computed".to_string())).collect()
}

/// Tape and graph give the same bits; the reference agrees within rounding.
fn modes(sample: &Sample) -> Result<(), String> {
    let tape = Tape::new();
    let eager = read(&on_tape(&tape, &sample.f, &sample.inputs).1)?;
    let graph = Graph::new();
    let x: Vec<Tensor> = (sample.inputs.iter().enumerate())
        .map(|(idx, array)| graph.input(&format!("x{idx}"), Type::new(array.dtype(), array.sizes())))
        .collect();
    let y = (sample.f)(graph.id(), &x);
    let symbolic = compile(&graph, &x, &y).and_then(|run| run.run(&sample.inputs)).map_err(text)?;
    let reference = interpret(&graph, &x, &sample.inputs, &y)?;
    for ((eager, symbolic), reference) in eager.iter().zip(&symbolic).zip(&reference) {
        if !eager.same_bits(symbolic) {
            return Err(format!("tape {eager:?}, graph {symbolic:?}"));
        }
        let apart = distance(eager, reference);
        if eager.dtype() != reference.dtype() || apart > F64_SUM || !eager.dtype().is_float() && apart > 0.0 {
            return Err(format!("engine {eager:?}, reference {reference:?}"));
        }
    }
    Ok(())
}

/// NaN, infinities and signed zeros: the engine against the definition, elementwise.
fn special(sample: &Sample) -> Result<(), String> {
    let cycle = [f64::NAN, f64::INFINITY, -0.0, f64::NEG_INFINITY, 0.0, 1.5, -1.5];
    let fill = |array: &Array| match array.dtype() {
        DType::F64 => {
            let values = (0..array.len()).map(|i| cycle[(3 * i + array.rank()) % cycle.len()]).collect();
            Array::new(array.sizes(), values).expect("as many as before")
        }
        _ => array.clone(),
    };
    let inputs = sample.inputs.iter().map(fill).collect();
    modes(&Sample { f: sample.f.clone(), op: sample.op.clone(), inputs })
}

fn shaped(row: &Row, cell: &mut Cell, fits: impl Fn(&[usize]) -> bool) {
    for sample in &row.samples {
        let tape = Tape::new();
        let (x, y) = on_tape(&tape, &sample.f, &sample.inputs);
        let is_drawn = matches!(row.op, Some(Op::Uniform(_) | Op::Normal(_)));
        let sizes = |x: &Tensor| x.shape().and_then(|shape| shape.sizes());
        let judged = if x.is_empty() || is_drawn { &y } else { &x };
        if !judged.iter().filter_map(sizes).any(&fits) {
            continue;
        }
        cell.note(1, modes(sample));
        let (x, y) = (floats(&x), floats(&y));
        if !x.is_empty() && !y.is_empty() {
            let seeds: Vec<(Tensor, Tensor)> = y.iter().map(|&y| (y, y.ones_like())).collect();
            let table = vjp(&seeds, &x);
            let result = read(table.gradients()).and_then(|gradients| {
                let is_like = |(x, dx): (&Tensor, &Array)| x.ty() == Some(Type::new(dx.dtype(), dx.sizes()));
                match x.iter().zip(&gradients).all(is_like) {
                    true => Ok(()),
                    false => Err("a gradient has another type than its operand".to_string()),
                }
            });
            cell.note(1, result);
        }
    }
}

/// Over the samples that have something to differentiate, and are small.
fn each_smooth(row: &Row, cell: &mut Cell, check: impl Fn(&Sample) -> Result<usize, String>) {
    for sample in &row.samples {
        let count =
            |arrays: &[Array]| arrays.iter().filter(|x| x.dtype().is_float()).map(Array::len).sum::<usize>();
        if (1..=64).contains(&count(&sample.inputs)) {
            match check(sample) {
                Ok(n) => cell.note(n, Ok(())),
                Err(fault) => cell.note(1, Err(fault)),
            }
        }
    }
}

fn differences(sample: &Sample) -> Result<usize, String> {
    let nowhere = || Tape::new().id();
    let f = |x: &[Tensor]| (sample.f)(x.first().map_or_else(nowhere, |x| x.context()), x);
    let report = backprop_run::check(f, &sample.inputs).map_err(|error| error.to_string())?;
    match report.kinks.is_empty() && report.unclear.is_empty() {
        true => Ok(report.n_entries),
        false => Err(report.to_string()),
    }
}

/// Operands and results that have derivatives, with a cotangent for each result.
struct Smooth {
    tape: Tape,
    x: Vec<Tensor>,
    y: Vec<Tensor>,
    d: Vec<Tensor>,
}

impl Smooth {
    fn new(sample: &Sample) -> Result<Smooth, String> {
        let tape = Tape::new();
        let (x, y) = on_tape(&tape, &sample.f, &sample.inputs);
        let (x, y) = (floats(&x), floats(&y));
        let d = read(&y)?.iter().enumerate().map(|(idx, y)| tape.value(wave(y.sizes(), idx + 7))).collect();
        Ok(Smooth { tape, x, y, d })
    }

    fn vjp(&self) -> Result<Vec<Array>, String> {
        let seeds: Vec<(Tensor, Tensor)> = self.y.iter().copied().zip(self.d.iter().copied()).collect();
        read(vjp(&seeds, &self.x).gradients())
    }
}

fn dot(a: &[Array], b: &[Array]) -> f64 {
    let product =
        |(a, b): (&Array, &Array)| -> f64 { a.to_f64s().iter().zip(b.to_f64s()).map(|(a, b)| a * b).sum() };
    a.iter().zip(b).map(product).sum()
}

fn forward_is_reverse_transposed(sample: &Sample) -> Result<usize, String> {
    let at = Smooth::new(sample)?;
    let t: Vec<Array> = read(&at.x)?.iter().enumerate().map(|(idx, x)| wave(x.sizes(), idx + 3)).collect();
    let pairs: Vec<(Tensor, Tensor)> =
        at.x.iter().zip(&t).map(|(&x, t)| (x, at.tape.value(t.clone()))).collect();
    let forward = dot(&read(jvp(&at.y, &pairs).tangents())?, &read(&at.d)?);
    let reverse = dot(&at.vjp()?, &t);
    match (forward - reverse).abs() <= F64_SUM * forward.abs().max(1.0) {
        true => Ok(1),
        false => Err(format!("⟨D, J·t⟩ = {forward:?}, ⟨Jᵀ·D, t⟩ = {reverse:?}")),
    }
}

fn jacobian_times_d(sample: &Sample) -> Result<usize, String> {
    let at = Smooth::new(sample)?;
    let (dx, d) = (at.vjp()?, read(&at.d)?);
    let blocks = jacobian(&at.y, &at.x);
    for (input, dx) in dx.iter().enumerate() {
        let mut sum = vec![0.0; dx.len()];
        for (block, d) in blocks.iter().zip(&d) {
            let j = read(&block[input..=input])?.remove(0).to_f64s();
            for (row, d) in d.to_f64s().iter().enumerate() {
                sum.iter_mut().enumerate().for_each(|(column, sum)| *sum += j[row * dx.len() + column] * d);
            }
        }
        let product = Array::new(dx.sizes(), sum).map_err(|e| e.to_string())?;
        if distance(dx, &product) > F64_SUM {
            return Err(format!("bprop {dx:?}, Jᵀ·D {product:?}"));
        }
    }
    Ok(dx.len())
}

/// f∘reshape has the reshaped gradient, to the bit.
fn flatten(sample: &Sample) -> Result<usize, String> {
    let plain = Smooth::new(sample)?.vjp()?;
    let f = sample.f.clone();
    let shapes: Vec<Vec<usize>> = sample.inputs.iter().map(|x| x.sizes().to_vec()).collect();
    let reshaped: Function = std::rc::Rc::new(move |context: ContextId, x: &[Tensor]| {
        let shape = |sizes: &Vec<usize>| backprop_core::Shape::of_sizes(sizes);
        let x: Vec<Tensor> = x.iter().zip(&shapes).map(|(x, sizes)| x.reshape(shape(sizes))).collect();
        f(context, &x)
    });
    let flat = |x: &Array| x.reshape(&[x.len()]).expect("as many elements");
    let inputs = sample.inputs.iter().map(flat).collect();
    let flattened = Smooth::new(&Sample { f: reshaped, op: None, inputs })?.vjp()?;
    match plain.iter().zip(&flattened).all(|(a, b)| flat(a).same_bits(b)) {
        true => Ok(plain.len()),
        false => Err(format!("gradient {plain:?}, of the flattened {flattened:?}")),
    }
}

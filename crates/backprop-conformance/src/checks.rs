//! The checks that need no golden values: the op against itself, computed another way.

use backprop_ad::{jacobian, jvp, vjp};
use backprop_core::{Array, ContextId, DType, Error, Op, Tensor, Type};
use backprop_run::Tape;

use crate::compare::{F64_SUM, distance};
use crate::functions::Function;
use crate::masks::{Mask, masks};
use crate::matrix::{Cell, Column};
use crate::modes::{modes, round_trip};
use crate::rows::{Row, Sample};
use backprop_core::ops::sample::wave;

/// The cell of a check, counted over the row's samples.
pub fn cell(row: &Row, column: Column) -> Cell {
    let mut cell = Cell::new();
    match column {
        Column::Modes => each(row, &mut cell, |sample| modes(sample, 2)),
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
        Column::Masks => each_smooth(row, &mut cell, |sample| masks(sample, Mask::of(row))),
        Column::Special => each(row, &mut cell, special),
        Column::Text => each(row, &mut cell, round_trip),
        // Golden values: `golden_checks` and `dtypes`.
        Column::DTypes | Column::Value | Column::Gradient | Column::Order2 | Column::F32 => {}
    }
    cell
}

/// Over all samples.
fn each(row: &Row, cell: &mut Cell, check: impl Fn(&Sample) -> Result<usize, String>) {
    row.samples.iter().for_each(|sample| cell.record(check(sample)));
}

impl Cell {
    /// Counts `n` comparisons, or the one that failed.
    pub fn note(&mut self, n: usize, result: Result<(), String>) {
        let fault = result.err();
        (0..n.max(1))
            .for_each(|at| self.count(at > 0 || fault.is_none(), || fault.clone().unwrap_or_default()));
    }

    /// Counts the comparisons that a check made, or the one that failed.
    pub fn record(&mut self, result: Result<usize, String>) {
        match result {
            Ok(n) => self.note(n, Ok(())),
            Err(fault) => self.note(1, Err(fault)),
        }
    }
}

pub(crate) fn is_float(x: &Tensor) -> bool {
    x.dtype().is_some_and(|dtype| dtype.is_float())
}

pub(crate) fn floats(x: &[Tensor]) -> Vec<Tensor> {
    x.iter().copied().filter(is_float).collect()
}

pub(crate) fn text(error: Error) -> String {
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

/// NaN, infinities and signed zeros: the engine against the definition, elementwise.
fn special(sample: &Sample) -> Result<usize, String> {
    let cycle = [f64::NAN, f64::INFINITY, -0.0, f64::NEG_INFINITY, 0.0, 1.5, -1.5];
    let fill = |array: &Array| match array.dtype() {
        DType::F64 => {
            let values = (0..array.len()).map(|i| cycle[(3 * i + array.rank()) % cycle.len()]).collect();
            Array::new(array.sizes(), values).expect("as many as before")
        }
        _ => array.clone(),
    };
    let inputs = sample.inputs.iter().map(fill).collect();
    modes(&Sample { f: sample.f.clone(), op: sample.op.clone(), inputs }, 0)
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
        cell.record(modes(sample, 2));
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

fn gives_floats(sample: &Sample) -> bool {
    let tape = Tape::new();
    !floats(&on_tape(&tape, &sample.f, &sample.inputs).1).is_empty()
}

/// Over the samples that have something to differentiate, and are small.
fn each_smooth(row: &Row, cell: &mut Cell, check: impl Fn(&Sample) -> Result<usize, String>) {
    for sample in &row.samples {
        let count =
            |arrays: &[Array]| arrays.iter().filter(|x| x.dtype().is_float()).map(Array::len).sum::<usize>();
        if (1..=64).contains(&count(&sample.inputs)) && gives_floats(sample) {
            cell.record(check(sample));
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

//! One function, one point: its Jacobian by backpropagation against everything else.

use backprop_ad::{jvp, vjp};
use backprop_core::{Array, DType, Error, Graph, Node, Op, Part, Tensor, Type};

use super::differences::{Slope, slopes};
use super::report::{Against, CheckError, Entry, Report, Skipped, Wrong};
use crate::{Executable, Tape, compile};

/// Reverse and forward mode round differently, and nothing else: 10⁴ units in the last place.
const FORWARD_TOLERANCE: f64 = 1e-12;

type Function<'a> = &'a dyn Fn(&[Tensor]) -> Vec<Tensor>;

/// Fixed numbers in (−1, 1) without pattern, as a cotangent.
pub(super) fn weights(sizes: &[usize]) -> Array {
    let n: usize = sizes.iter().product();
    // Weyl's sequence of the golden ratio: never near 0 twice in a row, never twice the same.
    let values = (0..n).map(|i| 2.0 * ((i as f64 + 0.7) * 0.618_033_988_749_894_9).fract() - 1.0).collect();
    Array::new(sizes, values).expect("as many values as the sizes hold")
}

/// A graph of f with everything that is compared, and the point.
struct Bench {
    values: Executable,
    reverse: Executable,
    forward: Executable,
    /// The inputs, then what stands behind a `stop_gradient`, held at its value.
    point: Vec<Array>,
    /// The inputs that have derivatives.
    wrt: Vec<usize>,
    /// The outputs that have derivatives, and their values.
    outputs: Vec<usize>,
    f0: Vec<Array>,
}

/// Compares every entry of the Jacobian of `f` at `inputs`.
pub(super) fn verify(
    f: Function,
    inputs: &[Array],
    order: usize,
    tolerance: f64,
) -> Result<Report, CheckError> {
    if let Some(idx) = inputs.iter().position(|input| input.dtype() == DType::F32) {
        return Err(CheckError::Unfit(format!(
            "input {idx} is f32, which leaves too few digits to differences; give f64"
        )));
    }
    let Some(bench) = Bench::new(f, inputs)? else { return Ok(Report::default()) };
    bench.same_on_a_tape(f, inputs, order)?;
    let reverse = bench.jacobian(Direction::Reverse)?;
    let forward = bench.jacobian(Direction::Forward)?;
    let slopes = bench.differences()?;
    bench.compare(&reverse, &forward, &slopes, order, tolerance)
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Reverse,
    Forward,
}

impl Bench {
    /// `None` where f has nothing to differentiate.
    fn new(f: Function, inputs: &[Array]) -> Result<Option<Bench>, CheckError> {
        let graph = Graph::new();
        // No name of a graph in text has a blank: `f` may give any to its own values.
        let place = |name: String, array: &Array| graph.input(&name, Type::new(array.dtype(), array.sizes()));
        let x: Vec<Tensor> =
            inputs.iter().enumerate().map(|(idx, array)| place(format!("check x{idx}"), array)).collect();
        let y = f(&x);
        graph.check(&y)?;
        let is_float = |y: &Tensor| y.dtype().is_some_and(|dtype| dtype.is_float());
        if let Some(idx) = y.iter().position(|y| y.dtype() == Some(DType::F32)) {
            return Err(CheckError::Unfit(format!(
                "output {idx} is f32, which leaves too few digits to differences; cast it to f64 before rounding to f32"
            )));
        }
        let wrt: Vec<usize> = (0..x.len()).filter(|&idx| is_float(&x[idx])).collect();
        let outputs: Vec<usize> = (0..y.len()).filter(|&idx| is_float(&y[idx])).collect();
        if wrt.is_empty() || outputs.is_empty() {
            return Ok(None);
        }
        let y: Vec<Tensor> = outputs.iter().map(|&idx| y[idx]).collect();
        let targets: Vec<Tensor> = wrt.iter().map(|&idx| x[idx]).collect();
        let frozen: Vec<Tensor> = {
            let records = graph.records();
            // What a gradient rule stops is not held: a rule that hides its own derivatives is wrong.
            let is_held = |node: &&Node| matches!(node.op, Op::StopGradient(_)) && node.part == Part::Forward;
            let stopped = records.nodes().iter().filter(is_held);
            stopped.map(|node| graph.tensor(node.first)).collect()
        };
        let behind = compile(&graph, &x, &frozen)?.walk(inputs)?;
        let like = |name: String, like: &Tensor| match like.ty() {
            Some(ty) => graph.input(&name, ty),
            None => *like,
        };
        let d: Vec<Tensor> = y.iter().enumerate().map(|(idx, y)| like(format!("check d{idx}"), y)).collect();
        let t: Vec<Tensor> =
            targets.iter().enumerate().map(|(idx, x)| like(format!("check t{idx}"), x)).collect();
        let seeds: Vec<(Tensor, Tensor)> = y.iter().copied().zip(d.iter().copied()).collect();
        let tangents: Vec<(Tensor, Tensor)> = targets.iter().copied().zip(t.iter().copied()).collect();
        let dx = vjp(&seeds, &targets).gradients().to_vec();
        let ty = jvp(&y, &tangents).tangents().to_vec();
        let given = |more: &[Tensor]| [&x, &frozen[..], more].concat();
        let values = compile(&graph, &given(&[]), &y)?;
        let point = [inputs, &behind].concat();
        let f0 = values.walk(&point)?;
        let reverse = compile(&graph, &given(&d), &dx)?;
        let forward = compile(&graph, &given(&t), &ty)?;
        Ok(Some(Bench { values, reverse, forward, point, wrt, outputs, f0 }))
    }

    /// Values, and gradients for one cotangent, must have the same bits in both modes.
    fn same_on_a_tape(&self, f: Function, inputs: &[Array], order: usize) -> Result<(), CheckError> {
        let tape = Tape::new();
        let x: Vec<Tensor> = inputs.iter().map(|array| tape.value(array.clone())).collect();
        let y = f(&x);
        let y: Vec<Tensor> = self.outputs.iter().map(|&idx| y[idx]).collect();
        let d: Vec<Array> = self.f0.iter().map(|y| weights(y.sizes())).collect();
        let seeds: Vec<(Tensor, Tensor)> =
            y.iter().zip(&d).map(|(&y, d)| (y, tape.value(d.clone()))).collect();
        let targets: Vec<Tensor> = self.wrt.iter().map(|&idx| x[idx]).collect();
        let eager: Vec<Tensor> = [y, vjp(&seeds, &targets).gradients().to_vec()].concat();
        let symbolic = [self.f0.clone(), self.reverse.walk(&[&self.point[..], &d].concat())?].concat();
        for (idx, (eager, symbolic)) in eager.iter().zip(symbolic).enumerate() {
            let (a, b) = (symbolic.to_f64s(), eager.value()?.to_f64s());
            let differ = |(a, b): (&f64, &f64)| a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan());
            if let Some(at) = a.iter().zip(&b).position(differ) {
                let element = position(symbolic.sizes(), at);
                let n_outputs = self.outputs.len();
                let entry = match idx.checked_sub(n_outputs) {
                    None => Entry {
                        order,
                        output: self.outputs[idx],
                        output_element: element,
                        input: 0,
                        input_element: Vec::new(),
                    },
                    Some(at) => Entry {
                        order,
                        output: 0,
                        output_element: Vec::new(),
                        input: self.wrt[at],
                        input_element: element,
                    },
                };
                let wrong = Wrong { entry, against: Against::Modes, gradient: a[at], other: b[at] };
                return Err(CheckError::Wrong(Box::new(wrong), None));
            }
        }
        Ok(())
    }

    fn n_columns(&self) -> usize {
        self.wrt.iter().map(|&idx| self.point[idx].len()).sum()
    }

    fn n_rows(&self) -> usize {
        self.f0.iter().map(Array::len).sum()
    }

    /// J, row-major over all output elements and all input elements: one run for each row or column.
    fn jacobian(&self, direction: Direction) -> Result<Vec<f64>, Error> {
        let (rows, columns) = (self.n_rows(), self.n_columns());
        let inputs: Vec<&Array> = self.wrt.iter().map(|&idx| &self.point[idx]).collect();
        let outputs: Vec<&Array> = self.f0.iter().collect();
        let (seeds, executable) = match direction {
            Direction::Reverse => (outputs, &self.reverse),
            Direction::Forward => (inputs, &self.forward),
        };
        let mut jacobian = vec![0.0; rows * columns];
        let mut line = 0;
        for hot in 0..seeds.len() {
            for element in 0..seeds[hot].len() {
                let seed = |(idx, like): (usize, &&Array)| {
                    let mut values = vec![0.0; like.len()];
                    if idx == hot {
                        values[element] = 1.0;
                    }
                    Array::new(like.sizes(), values).expect("as many as it is like")
                };
                let given: Vec<Array> = seeds.iter().enumerate().map(seed).collect();
                let found = flat(&executable.walk(&[&self.point[..], &given].concat())?);
                for (across, value) in found.into_iter().enumerate() {
                    match direction {
                        Direction::Reverse => jacobian[line * columns + across] = value,
                        Direction::Forward => jacobian[across * columns + line] = value,
                    }
                }
                line += 1;
            }
        }
        Ok(jacobian)
    }

    /// The slopes of all outputs along each input element.
    fn differences(&self) -> Result<Vec<Vec<Slope>>, Error> {
        let f0 = flat(&self.f0);
        let mut columns = Vec::with_capacity(self.n_columns());
        let mut point = self.point.clone();
        for &input in &self.wrt {
            let own = self.point[input].to_f64s();
            for element in 0..own.len() {
                let mut at = |x: f64| {
                    let mut moved = own.clone();
                    moved[element] = x;
                    point[input] = Array::new(self.point[input].sizes(), moved).ok()?;
                    // A fault beside the point (an index out of range) is like a value that is not finite.
                    self.values.walk(&point).ok().map(|outputs| flat(&outputs))
                };
                columns.push(slopes(own[element], &f0, &mut at));
            }
            point[input] = self.point[input].clone();
        }
        Ok(columns)
    }

    fn compare(
        &self,
        reverse: &[f64],
        forward: &[f64],
        slopes: &[Vec<Slope>],
        order: usize,
        tolerance: f64,
    ) -> Result<Report, CheckError> {
        let mut report = Report::default();
        let columns = self.n_columns();
        let largest = |values: &mut dyn Iterator<Item = f64>| {
            values.filter(|value| value.is_finite()).fold(1.0f64, |max, value| max.max(value.abs()))
        };
        let scale = largest(&mut slopes.iter().flatten().map(|slope| slope.central.value));
        let own_scale = largest(&mut reverse.iter().copied());
        for row in 0..self.n_rows() {
            for column in 0..columns {
                let (gradient, tangent) = (reverse[row * columns + column], forward[row * columns + column]);
                let Slope { central, kink } = slopes[column][row];
                let entry = || self.entry(order, row, column);
                let wrong = |against, other| {
                    let wrong = Wrong { entry: entry(), against, gradient, other };
                    CheckError::Wrong(Box::new(wrong), None)
                };
                let apart = (gradient - tangent).abs();
                let agree = apart <= FORWARD_TOLERANCE * own_scale
                    || gradient == tangent
                    || gradient.is_nan() && tangent.is_nan();
                // At √x in 0 the derivatives of other elements come out as 0·∞ = NaN too.
                let beside = || match (gradient.is_nan(), tangent.is_nan()) {
                    (true, _) => slopes[column].iter().find_map(|slope| slope.kink),
                    (_, true) => slopes.iter().find_map(|slopes| slopes[row].kink),
                    _ => None,
                };
                if let Some(why) = kink.or_else(beside) {
                    report.kinks.push(Skipped { entry: entry(), why, differences: None, gradient });
                    continue;
                }
                let error = (gradient - central.value).abs();
                if error <= tolerance * scale {
                    if !agree {
                        return Err(wrong(Against::Forward, tangent));
                    }
                    report.n_entries += 1;
                    report.largest_error = report.largest_error.max(error / scale);
                } else if central.value.is_finite()
                    && (error > 10.0 * central.error || error.is_nan() && central.error <= tolerance * scale)
                {
                    return Err(wrong(Against::Differences(central.error), central.value));
                } else {
                    let why = "differences are too rough to judge by";
                    let differences = Some((central.value, central.error));
                    report.unclear.push(Skipped { entry: entry(), why, differences, gradient });
                }
            }
        }
        Ok(report)
    }

    fn entry(&self, order: usize, row: usize, column: usize) -> Entry {
        let inputs: Vec<&Array> = self.wrt.iter().map(|&idx| &self.point[idx]).collect();
        let (output, output_element) = locate(&self.f0.iter().collect::<Vec<_>>(), row);
        let (input, input_element) = locate(&inputs, column);
        Entry { order, output: self.outputs[output], output_element, input: self.wrt[input], input_element }
    }
}

fn flat(arrays: &[Array]) -> Vec<f64> {
    arrays.iter().flat_map(Array::to_f64s).collect()
}

/// The array that flat element `at` belongs to, and its place there.
fn locate(arrays: &[&Array], mut at: usize) -> (usize, Vec<usize>) {
    for (idx, array) in arrays.iter().enumerate() {
        if at < array.len() {
            return (idx, position(array.sizes(), at));
        }
        at -= array.len();
    }
    (0, Vec::new())
}

fn position(sizes: &[usize], at: usize) -> Vec<usize> {
    let strides = backprop_core::array::strides(sizes);
    sizes.iter().zip(&strides).map(|(size, stride)| at / stride % size).collect()
}

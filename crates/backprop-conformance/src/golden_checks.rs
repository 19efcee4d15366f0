//! The checks against golden values.

use backprop_ad::{GradTable, vjp};
use backprop_core::{Array, Tensor};
use backprop_run::Tape;

use crate::checks::{on_tape, read};
use crate::compare::{F64_GRADIENT, F64_SUM, F64_VALUE_ULP, distance, ulps};
use crate::functions::{Function, named};
use crate::golden::{Case, Pointwise};
use crate::matrix::Cell;
use crate::narrow::Narrow;

/// What the golden values of one op give.
#[derive(Default)]
pub struct Golden {
    /// Values.
    pub value: Cell,
    /// Order 1.
    pub gradient: Cell,
    /// Order 2.
    pub order2: Cell,
    /// Points that are not finite.
    pub special: Cell,
    /// f32 against f64.
    pub narrow: Narrow,
}

pub(crate) fn is_finite(arrays: &[Array]) -> bool {
    arrays.iter().all(|array| !array.dtype().is_float() || array.to_f64s().iter().all(|x| x.is_finite()))
}

const UNKNOWN: &str = "the golden file knows an op that is not here";

/// Results, and their derivatives along the cotangents and directions of a case.
pub(crate) struct Computed {
    // Keeps the tensors alive.
    _tape: Tape,
    pub y: Vec<Tensor>,
    pub first: Option<GradTable>,
    pub second: Option<GradTable>,
}

impl Computed {
    pub fn new(
        f: &Function,
        inputs: &[Array],
        d: Option<&[Option<Array>]>,
        v: Option<&[Option<Array>]>,
    ) -> Computed {
        let tape = Tape::new();
        let (x, y) = on_tape(&tape, f, inputs);
        let pull = |y: &[Tensor], d: &[Option<Array>]| {
            let seeds: Vec<(Tensor, Tensor)> =
                y.iter().zip(d).filter_map(|(&y, d)| Some((y, tape.value(d.clone()?)))).collect();
            vjp(&seeds, &x)
        };
        let first = d.map(|d| pull(&y, d));
        let second = first.as_ref().zip(v).map(|(first, v)| pull(first.gradients(), v));
        Computed { y, first, second, _tape: tape }
    }
}

/// Values agree: floats within the rounding of a sum, everything else to the bit.
pub(crate) fn same_values(got: &[Array], want: &[Array], tolerance: f64) -> bool {
    let same = |(got, want): (&Array, &Array)| {
        got.dtype() == want.dtype()
            && match want.dtype().is_float() {
                true => distance(got, want) <= tolerance,
                false => got.same_bits(want),
            }
    };
    got.len() == want.len() && got.iter().zip(want).all(same)
}

/// A case of `ops.json` or `reductions.json`.
pub fn case(case: &Case, golden: &mut Golden) {
    let Some(f) = named(&case.op, &case.params, case.outputs.len()) else {
        return golden.value.note(1, Err(UNKNOWN.to_string()));
    };
    let describe = |what: &str, got: &dyn std::fmt::Debug, want: &dyn std::fmt::Debug| {
        format!("{what} {} {}: {got:?} is not {want:?}", case.params, case.note)
    };
    let (d, v) = (case.d.as_deref(), case.v.as_deref());
    let computed = Computed::new(&f, &case.inputs, d, v);
    let value = read(&computed.y).and_then(|got| match same_values(&got, &case.outputs, F64_SUM) {
        true => Ok(()),
        false => Err(describe("value", &got, &case.outputs)),
    });
    match is_finite(&case.inputs) && is_finite(&case.outputs) {
        true => golden.narrow.case(case, &f),
        false => golden.special.note(1, value.clone()),
    }
    golden.value.note(1, value);
    if let (Some(table), Some(dx)) = (&computed.first, &case.dx) {
        golden.gradient.note(1, compare(table, dx).map_err(|(a, b)| describe("dx", &a, &b)));
    }
    if let (Some(table), Some(hvp)) = (&computed.second, &case.hvp) {
        golden.order2.note(1, compare(table, hvp).map_err(|(a, b)| describe("hvp", &a, &b)));
    }
}

/// Each gradient is the golden one; where there is none, it is a zero with a reason.
fn compare(table: &GradTable, want: &[Option<Array>]) -> Result<(), (String, String)> {
    if table.gradients().len() != want.len() {
        return Err((format!("{} gradients", table.gradients().len()), want.len().to_string()));
    }
    for (idx, (got, want)) in table.gradients().iter().zip(want).enumerate() {
        let fault = match (got.value(), want) {
            (Err(fault), _) => Some(fault.to_string()),
            (Ok(got), Some(want)) if distance(&got, want) <= F64_GRADIENT => None,
            (Ok(_), None) if table.reason(idx).is_some() => None,
            (Ok(got), _) => Some(format!("{got:?}")),
        };
        if let Some(fault) = fault {
            return Err((fault, format!("{want:?}")));
        }
    }
    Ok(())
}

/// An op of `pointwise.json`.
pub fn pointwise(op: &Pointwise, golden: &mut Golden) {
    let Some(f) = named(&op.name, &serde_json::Value::Null, 1) else {
        return golden.value.note(1, Err(UNKNOWN.to_string()));
    };
    let close = |got: f64, want: f64| match op.is_composite() {
        true => (got - want).abs() <= F64_SUM * want.abs().max(1.0),
        false => ulps(got, want) <= F64_VALUE_ULP,
    };
    let near = |got: f64, want: f64| (got - want).abs() <= F64_GRADIENT * want.abs().max(1.0);
    let n = op.arity;
    for rows in [&op.points, &op.ties] {
        let columns = derivatives(&f, &columns(rows, n), n);
        for (at, row) in rows.iter().enumerate() {
            let got: Vec<f64> = columns.iter().map(|column| column[at]).collect();
            let fault = || format!("at {:?}: {got:?} is not {:?}", &row[..n], &row[n..]);
            golden.value.count(close(got[0], row[n]), fault);
            let slopes = |range: std::ops::Range<usize>| range.into_iter().all(|i| near(got[i], row[n + i]));
            golden.gradient.count(slopes(1..1 + n), fault);
            golden.order2.count(slopes(1 + n..got.len()), fault);
        }
    }
    golden.narrow.pointwise(op, &f);
    let special = derivatives(&f, &columns(&op.special, n), n);
    for (at, row) in op.special.iter().enumerate() {
        let (got, want) = (special[0][at], row[n]);
        let same_sign = want != 0.0 || got.is_sign_negative() == want.is_sign_negative();
        golden.special.count(same_sign && (close(got, want) || ulps(got, want) == 0), || {
            format!("at {:?}: {got:?} is not {want:?}", &row[..n])
        });
    }
    // A constant exponent: by x alone.
    let columns = derivatives(&f, &columns(&op.pow_const, 2), 2);
    for (at, row) in op.pow_const.iter().enumerate() {
        let [y, dx, d2x] = [columns[0][at], columns[1][at], columns[3][at]];
        let fault = || format!("{:?}^{:?}: {y:?}, {dx:?}, {d2x:?} are not {:?}", row[0], row[1], &row[2..]);
        golden.value.count(close(y, row[2]), fault);
        golden.gradient.count(near(dx, row[3]), fault);
        golden.order2.count(near(d2x, row[4]), fault);
        // aⁿ·ln a tends to 0 with a, for n above 0.
        if row[0] == 0.0 && row[1] > 0.0 {
            golden.gradient.count(columns[2][at] == 0.0, fault);
        }
    }
}

impl Pointwise {
    /// Composites add and multiply: their values are held as sums are.
    pub(crate) fn is_composite(&self) -> bool {
        matches!(self.name.as_str(), "gelu" | "gelu_tanh" | "silu" | "relu")
    }
}

/// The first `n` numbers of each row, as `n` arrays.
pub(crate) fn columns(rows: &[Vec<f64>], n: usize) -> Vec<Array> {
    (0..n).map(|at| Array::vector(rows.iter().map(|row| row[at]).collect::<Vec<f64>>())).collect()
}

/// Value, slopes, and curvatures (xx, or xx, xy, yy), each over all points.
pub(crate) fn derivatives(f: &Function, inputs: &[Array], n: usize) -> Vec<Vec<f64>> {
    let tape = Tape::new();
    let (x, y) = on_tape(&tape, f, inputs);
    let slope = |z: Tensor, x: &[Tensor]| vjp(&[(z, z.ones_like())], x).gradients().to_vec();
    let first = slope(y[0], &x);
    let second = (0..n).flat_map(|at| slope(first[at], &x[at..]));
    let all: Vec<Tensor> = [y[0]].into_iter().chain(first.iter().copied()).chain(second).collect();
    let none = vec![f64::NAN; inputs[0].len()];
    all.iter().map(|tensor| tensor.value().map_or_else(|_| none.clone(), |array| array.to_f64s())).collect()
}

//! The checks against golden values.

use backprop_ad::vjp;
use backprop_core::{Array, DType, Tensor};
use backprop_run::Tape;

use crate::checks::{on_tape, read};
use crate::compare::{F32_SUM, F32_ULP, F64_GRADIENT, F64_SUM, F64_VALUE_ULP, distance, ulps, ulps_f32};
use crate::functions::{Function, named};
use crate::golden::{Case, Pointwise};
use crate::matrix::Cell;

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
    /// Values in f32, at the points that f32 holds.
    pub narrow: Cell,
}

fn is_finite(arrays: &[Array]) -> bool {
    arrays.iter().all(|array| !array.dtype().is_float() || array.to_f64s().iter().all(|x| x.is_finite()))
}

/// A case of `ops.json`.
pub fn case(case: &Case, golden: &mut Golden) {
    let Some(f) = named(&case.op, &case.params) else {
        return golden.value.note(1, Err("the golden file knows an op that is not here".to_string()));
    };
    let describe = |what: &str, got: &dyn std::fmt::Debug, want: &dyn std::fmt::Debug| {
        format!("{what} {} {}: {got:?} is not {want:?}", case.params, case.note)
    };
    let tape = Tape::new();
    let (x, y) = on_tape(&tape, &f, &case.inputs);
    let value = read(&y).and_then(|got| {
        let same = |(got, want): (&Array, &Array)| {
            let apart = distance(got, want);
            got.dtype() == want.dtype() && (apart == 0.0 || want.dtype().is_float() && apart <= F64_SUM)
        };
        match got.iter().zip(&case.outputs).all(same) {
            true => Ok(()),
            false => Err(describe("value", &got, &case.outputs)),
        }
    });
    if !is_finite(&case.inputs) || !is_finite(&case.outputs) {
        golden.special.note(1, value.clone());
    }
    golden.value.note(1, value);
    let (Some(d), Some(dx)) = (&case.d, &case.dx) else { return };
    let seeds: Vec<(Tensor, Tensor)> =
        y.iter().zip(d).filter_map(|(&y, d)| Some((y, tape.value(d.clone()?)))).collect();
    let first = vjp(&seeds, &x).gradients().to_vec();
    golden.gradient.note(1, compare(&first, dx, F64_GRADIENT).map_err(|(a, b)| describe("dx", &a, &b)));
    let (Some(v), Some(hvp)) = (&case.v, &case.hvp) else { return };
    let seeds: Vec<(Tensor, Tensor)> =
        first.iter().zip(v).filter_map(|(&dx, v)| Some((dx, tape.value(v.clone()?)))).collect();
    let second = vjp(&seeds, &x).gradients().to_vec();
    golden.order2.note(1, compare(&second, hvp, F64_GRADIENT).map_err(|(a, b)| describe("hvp", &a, &b)));
}

fn compare(got: &[Tensor], want: &[Option<Array>], tolerance: f64) -> Result<(), (String, String)> {
    for (got, want) in got.iter().zip(want) {
        let Some(want) = want else { continue };
        match got.value() {
            Ok(got) if distance(&got, want) <= tolerance => {}
            Ok(got) => return Err((format!("{got:?}"), format!("{want:?}"))),
            Err(fault) => return Err((fault.to_string(), String::new())),
        }
    }
    Ok(())
}

/// An op of `pointwise.json`.
pub fn pointwise(op: &Pointwise, golden: &mut Golden) {
    let Some(f) = named(&op.name, &serde_json::Value::Null) else {
        return golden.value.note(1, Err("the golden file knows an op that is not here".to_string()));
    };
    let close = |got: f64, want: f64| match is_composite(op) {
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
    narrow_values(op, &f, golden);
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
    }
}

/// In f32, at the points that it holds and where the result is one of its normal numbers.
fn narrow_values(op: &Pointwise, f: &Function, golden: &mut Golden) {
    let holds = |x: f64| f64::from(x as f32) == x;
    let is_normal = |x: f64| x == 0.0 || (x as f32).is_normal();
    let fits = |row: &&Vec<f64>| row[..op.arity].iter().all(|&x| holds(x)) && is_normal(row[op.arity]);
    let rows: Vec<Vec<f64>> = op.points.iter().filter(fits).cloned().collect();
    let inputs: Vec<Array> = columns(&rows, op.arity).iter().map(|x| x.cast(DType::F32)).collect();
    let tape = Tape::new();
    let (_, y) = on_tape(&tape, f, &inputs);
    let got = read(&y[..1]).map_or_else(|_| vec![f64::NAN; rows.len()], |y| y[0].to_f64s());
    for (row, got) in rows.iter().zip(got) {
        let want = row[op.arity] as f32;
        let close = match is_composite(op) {
            true => (got as f32 - want).abs() <= F32_SUM * want.abs().max(1.0),
            false => ulps_f32(got as f32, want) <= F32_ULP,
        };
        golden.narrow.count(close, || format!("f32 at {:?}: {got:?} is not {want:?}", &row[..op.arity]));
    }
}

/// Composites add and multiply: their values are held as sums are.
fn is_composite(op: &Pointwise) -> bool {
    matches!(op.name.as_str(), "gelu" | "gelu_tanh" | "silu" | "relu")
}

fn columns(rows: &[Vec<f64>], n: usize) -> Vec<Array> {
    (0..n).map(|at| Array::vector(rows.iter().map(|row| row[at]).collect::<Vec<f64>>())).collect()
}

/// Value, slopes, and curvatures (xx, or xx, xy, yy), each over all points.
fn derivatives(f: &Function, inputs: &[Array], n: usize) -> Vec<Vec<f64>> {
    let tape = Tape::new();
    let (x, y) = on_tape(&tape, f, inputs);
    let slope = |z: Tensor, x: &[Tensor]| vjp(&[(z, z.ones_like())], x).gradients().to_vec();
    let first = slope(y[0], &x);
    let second = (0..n).flat_map(|at| slope(first[at], &x[at..]));
    let all: Vec<Tensor> = [y[0]].into_iter().chain(first.iter().copied()).chain(second).collect();
    let none = vec![f64::NAN; inputs[0].len()];
    all.iter().map(|tensor| tensor.value().map_or_else(|_| none.clone(), |array| array.to_f64s())).collect()
}

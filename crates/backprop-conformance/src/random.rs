//! The random ops: known answers, and moments at 5 σ.

use backprop_core::random::philox;
use backprop_core::{Array, DType, Op};
use backprop_run::Tape;

use crate::compare::{F32_SUM, F64_SUM, distance_of};
use crate::golden;
use crate::matrix::Cell;

/// What the op makes of the generator's words.
fn draws(op: &Op, cell: &mut Cell) {
    for golden::Draws { key, uniform_f32, uniform_f64, normal } in golden::draws() {
        let tape = Tape::new();
        let operand = tape.value(Array::from(key));
        let n = normal.len();
        let drawn: Vec<(DType, Vec<f64>, backprop_core::Tensor)> = match op {
            Op::Normal(_) => [DType::F32, DType::F64]
                .map(|dtype| (dtype, normal.clone(), operand.normal(dtype, [n])))
                .into(),
            _ => vec![
                (DType::F32, uniform_f32, operand.uniform(DType::F32, [n])),
                (DType::F64, uniform_f64, operand.uniform(DType::F64, [n])),
            ],
        };
        for (dtype, want, drawn) in drawn {
            let got = drawn.value().map_or_else(|_| Vec::new(), |array| array.to_f64s());
            let bound = if dtype == DType::F32 { F32_SUM.into() } else { F64_SUM };
            // A uniform number is a multiple of a power of two: exact.
            let bound = if matches!(op, Op::Uniform(_)) { 0.0 } else { bound };
            let is_right = got.len() == n && distance_of(&got, &want) <= bound;
            cell.count(is_right, || format!("{dtype} under {key:?}: {got:?} is not {want:?}"));
        }
    }
}

/// The generator's known answers, what the op makes of them, and the moments of what it draws.
pub fn value(op: &Op) -> Cell {
    let mut cell = Cell::new();
    draws(op, &mut cell);
    for (counter, key, words) in golden::words() {
        let got = philox(counter, key);
        cell.count(got == words, || format!("{counter:?} under {key:?}: {got:?} is not {words:?}"));
    }
    let n = 50_000usize;
    // Mean, variance and fourth central moment.
    let (mean, variance, fourth) = match op {
        Op::Normal(_) => (0.0, 1.0, 3.0),
        _ => (0.5, 1.0 / 12.0, 1.0 / 80.0),
    };
    for (stream, dtype) in [DType::F32, DType::F64, DType::F64].into_iter().enumerate() {
        let tape = Tape::new();
        let key = tape.value(Array::from([1u32, 2, stream as u32, 4]));
        let drawn = match op {
            Op::Normal(_) => key.normal(dtype, [n]),
            _ => key.uniform(dtype, [n]),
        };
        let x = drawn.value().map_or_else(|_| vec![f64::NAN], |array| array.to_f64s());
        let m = x.iter().sum::<f64>() / n as f64;
        let v = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
        // Neighbours are independent: their products have mean 0 and variance σ⁴.
        let c = x.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum::<f64>() / n as f64;
        let within = |found: f64, expect: f64, variance: f64| {
            (found - expect).abs() < 5.0 * (variance / n as f64).sqrt()
        };
        cell.count(within(m, mean, variance), || format!("{dtype}: mean {m}"));
        cell.count(within(v, variance, fourth - variance * variance), || format!("{dtype}: variance {v}"));
        cell.count(within(c, 0.0, variance * variance), || format!("{dtype}: neighbours covary by {c}"));
    }
    cell
}

//! The random ops: known answers, and moments at 5 σ.

use backprop_core::random::philox;
use backprop_core::{Array, DType, Op};
use backprop_run::Tape;

use crate::golden;
use crate::matrix::Cell;

/// The generator's known answers, and the moments of what the op draws.
pub fn value(op: &Op) -> Cell {
    let mut cell = Cell::new();
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

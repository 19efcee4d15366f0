//! Every element type: values where the type rule accepts it, a refusal elsewhere.

use backprop_core::{Array, DType, Op, Type, with_dtype};
use backprop_run::Tape;

use crate::checks::{on_tape, read};
use crate::compare::{F32_ULP, F64_VALUE_ULP, ulps, ulps_f32};
use crate::functions::of_op;
use crate::matrix::Cell;
use crate::rows::{Row, Sample};

/// Each element type: the right value, or a refusal.
pub(crate) fn dtypes(row: &Row, cell: &mut Cell) {
    let Some(sample) = row.samples.iter().find(|sample| sample.inputs.iter().any(|x| x.len() > 1)) else {
        return;
    };
    let Some(op) = &sample.op else { return };
    let any_f64 = sample.inputs.iter().any(|x| x.dtype() == DType::F64);
    let varies = |x: &Array| !any_f64 || x.dtype() == DType::F64;
    for dtype in DType::ALL {
        let inputs: Vec<Array> = (sample.inputs.iter())
            .map(|x| match varies(x) {
                true if any_f64 && !dtype.is_float() => whole(x).cast(dtype),
                true => x.cast(dtype),
                false => x.clone(),
            })
            .collect();
        let types: Vec<Type> = inputs.iter().map(|x| Type::new(x.dtype(), x.sizes())).collect();
        match (op.infer(&types), row.accepts(dtype)) {
            (Err(ill), false) => {
                cell.count(!ill.rule.is_empty(), || format!("refuses {dtype} without a word"))
            }
            (Ok(_), true) => cell.note(1, right_value(op, &inputs, &varies, sample)),
            (Err(ill), true) => cell.count(false, || format!("refuses {dtype}: {}", ill.rule)),
            (Ok(_), false) => cell.count(false, || format!("accepts {dtype}")),
        }
    }
}

/// 1 to 5: whole numbers that every type holds.
fn whole(x: &Array) -> Array {
    let values = x.to_f64s().iter().map(|x| (4.0 * x).floor().max(1.0)).collect();
    Array::new(x.sizes(), values).expect("as many elements")
}

/// The result is the f64 result of the same operands, in this type.
fn right_value(
    op: &Op,
    inputs: &[Array],
    varies: &dyn Fn(&Array) -> bool,
    sample: &Sample,
) -> Result<(), String> {
    let tape = Tape::new();
    let got = read(&on_tape(&tape, &of_op(op), inputs).1)?;
    // Indices and truth values stay what they are; in f64 everything else is exact here.
    let in_f64: Vec<Array> = (inputs.iter().zip(&sample.inputs))
        .map(
            |(x, own)| {
                if own.dtype() == DType::F64 && varies(own) { x.cast(DType::F64) } else { own.clone() }
            },
        )
        .collect();
    let want = read(&on_tape(&tape, &of_op(op), &in_f64).1)?;
    for (got, want) in got.iter().zip(&want) {
        let is_right = got.sizes() == want.sizes()
            && match got.dtype() {
                DType::F64 => {
                    got.to_f64s().iter().zip(want.to_f64s()).all(|(&a, b)| ulps(a, b) <= F64_VALUE_ULP)
                }
                DType::F32 => {
                    let pairs = got.to_f64s().into_iter().zip(want.to_f64s());
                    pairs.into_iter().all(|(a, b)| ulps_f32(a as f32, b as f32) <= F32_ULP)
                }
                dtype => with_dtype!(dtype, |T| {
                    let whole: Vec<T> = want.to_f64s().iter().map(|&x| wrapped::<T>(x)).collect();
                    got.slice::<T>().is_ok_and(|got| got == whole)
                }),
            };
        if !is_right {
            return Err(format!("{}: {got:?} is not {want:?}", inputs[0].dtype()));
        }
    }
    Ok(())
}

fn wrapped<T: backprop_core::Element>(x: f64) -> T {
    T::from_i64_wrapping(x.trunc() as i64)
}

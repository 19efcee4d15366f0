//! What tests compare with: a contraction as the IR's documentation says it, element by element.

use backprop_core::DType;
use backprop_core::ops::{Binary, Compare, Logic, Unary};
use backprop_opt::loops::{Access, Contraction, Factor, Instr, Outcome, Place};

/// Reads and writes numbers as f64; f32 arithmetic is done in f32.
pub fn read(bytes: &[u8], dtype: DType, at: usize) -> f64 {
    match dtype {
        DType::F32 => f32::from_ne_bytes(bytes[4 * at..4 * at + 4].try_into().unwrap()).into(),
        DType::F64 => f64::from_ne_bytes(bytes[8 * at..8 * at + 8].try_into().unwrap()),
        _ => bytes[at].into(),
    }
}

pub fn write(bytes: &mut [u8], dtype: DType, at: usize, x: f64) {
    match dtype {
        DType::F32 => bytes[4 * at..4 * at + 4].copy_from_slice(&(x as f32).to_ne_bytes()),
        DType::F64 => bytes[8 * at..8 * at + 8].copy_from_slice(&x.to_ne_bytes()),
        _ => bytes[at] = x as u8,
    }
}

/// Runs a contraction as the IR's documentation says, element by element.
pub fn reference(contraction: &Contraction, buffers: &mut [(DType, Vec<u8>)]) -> Outcome {
    let c = contraction;
    let wide = c.dtype == DType::F64;
    let round = |x: f64| if wide { x } else { f64::from(x as f32) };
    let fma = |a: f64, b: f64, c: f64| match wide {
        true => a.mul_add(b, c),
        false => (a as f32).mul_add(b as f32, c as f32).into(),
    };
    let mut outcome = Outcome::default();
    for batch in 0..c.batch.iter().product() {
        let mut index = vec![0; c.batch.len()];
        let mut rest = batch;
        for axis in (0..c.batch.len()).rev() {
            index[axis] = rest % c.batch[axis];
            rest /= c.batch[axis];
        }
        for i in 0..c.m {
            for j in 0..c.n {
                let factor = |f: &Factor, row: usize, column: usize| {
                    let batch: isize = index.iter().zip(&f.batch_strides).map(|(&i, s)| i as isize * s).sum();
                    let at =
                        f.offset + batch + row as isize * f.row_stride + column as isize * f.column_stride;
                    read(&buffers[f.buffer as usize].1, c.dtype, at as usize)
                };
                let mut y = 0.0;
                for start in (0..c.k).step_by(c.k_block) {
                    let mut p = 0.0;
                    for k in start..c.k.min(start + c.k_block) {
                        p = fma(factor(&c.a, i, k), factor(&c.b, k, j), p);
                    }
                    y = if start == 0 { p } else { round(y + p) };
                }
                let place = |access: &Access| {
                    let rows = index.iter().copied().chain([i]);
                    let along = rows.zip(&access.rows).map(|(i, s)| i as isize * s).sum::<isize>();
                    let Place::Buffer(buffer) = access.place else { panic!("a local") };
                    (buffer as usize, (access.offset + along + j as isize * access.columns[0]) as usize)
                };
                let code = &c.stage.code;
                let mut values: Vec<f64> = Vec::new();
                for instr in &code.instrs {
                    let v = |reg: u32| values[reg as usize];
                    let truth = |holds: bool| f64::from(u8::from(holds));
                    values.push(match *instr {
                        Instr::Product => y,
                        Instr::Load(number) => {
                            let (buffer, at) = place(&code.accesses[number as usize]);
                            read(&buffers[buffer].1, buffers[buffer].0, at)
                        }
                        Instr::Literal(bits) if wide => f64::from_bits(bits),
                        Instr::Literal(bits) => f32::from_bits(bits as u32).into(),
                        Instr::Unary(Unary::Neg, x) => -v(x),
                        Instr::Unary(Unary::Abs, x) => v(x).abs(),
                        Instr::Unary(Unary::Square, x) => round(v(x) * v(x)),
                        Instr::Unary(Unary::Sqrt, x) => round(v(x).sqrt()),
                        Instr::Unary(Unary::Reciprocal, x) => round(1.0 / v(x)),
                        Instr::Binary(Binary::Add, a, b) => round(v(a) + v(b)),
                        Instr::Binary(Binary::Sub, a, b) => round(v(a) - v(b)),
                        Instr::Binary(Binary::Mul, a, b) => round(v(a) * v(b)),
                        Instr::Binary(Binary::Div, a, b) => round(v(a) / v(b)),
                        Instr::Binary(Binary::Maximum, a, b) => {
                            if v(b) > v(a) || v(b).is_nan() {
                                v(b)
                            } else {
                                v(a)
                            }
                        }
                        Instr::Binary(Binary::Minimum, a, b) => {
                            if v(b) < v(a) || v(b).is_nan() {
                                v(b)
                            } else {
                                v(a)
                            }
                        }
                        Instr::Fma(a, b, c) => fma(v(a), v(b), v(c)),
                        Instr::Compare(Compare::Gt, a, b) => truth(v(a) > v(b)),
                        Instr::Compare(Compare::Ge, a, b) => truth(v(a) >= v(b)),
                        Instr::Compare(Compare::Ne, a, b) => truth(v(a) != v(b)),
                        Instr::Logic(Logic::Not, a, _) => 1.0 - v(a),
                        Instr::Logic(Logic::Or, a, b) => v(a).max(v(b)),
                        Instr::Select(c, a, b) => {
                            if v(c) != 0.0 {
                                v(a)
                            } else {
                                v(b)
                            }
                        }
                        other => panic!("{other:?} is in no test"),
                    });
                }
                for store in &c.stage.stores {
                    let (buffer, at) = place(&store.to);
                    let x = values[store.value as usize];
                    outcome.is_not_finite |= store.watched && !x.is_finite();
                    let (dtype, bytes) = &mut buffers[buffer];
                    write(bytes, *dtype, at, x);
                }
            }
        }
    }
    outcome
}

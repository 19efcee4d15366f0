//! Samples of every op: operands at which it is smooth, of rank 0, of several ranks with unequal
//! sizes, and without elements.
//!
//! The match has no wildcard: an op without samples does not build.

use backprop_core::ops::*;
use backprop_core::{Array, DType, Dim, Op, Seed, Shape, Type};

/// An op with its parameters, and operands.
pub type Sample = (Op, Vec<Array>);

/// Numbers without pattern in (0.2, 1.2): no two equal, none an integer, none beside a kink.
pub fn wave(sizes: &[usize], seed: usize) -> Array {
    let n: usize = sizes.iter().product();
    let at = |i: usize| 0.2 + (0.618_033_988_749_895 * (i as f64 + 1.3 * seed as f64 + 1.0)).fract();
    Array::new(sizes, (0..n).map(at).collect()).expect("as many values as the sizes hold")
}

fn truth(sizes: &[usize], seed: usize) -> Array {
    let values = wave(sizes, seed).to_f64s().iter().map(|&x| x > 0.7).collect();
    Array::new(sizes, values).expect("as many values as the sizes hold")
}

fn indices(sizes: &[usize], below: usize) -> Array {
    let n: usize = sizes.iter().product();
    let values = (0..n).map(|i| ((5 * i + 2) % below) as i64).collect();
    Array::new(sizes, values).expect("as many values as the sizes hold")
}

/// Rank 0, 1, 2, 3, and nothing.
const SHAPES: [&[usize]; 5] = [&[], &[5], &[3, 2], &[2, 3, 5], &[0, 3]];

fn shape(sizes: &[usize]) -> Shape {
    Shape::of_sizes(sizes)
}

fn over_shapes(op: impl Into<Op>, n_inputs: usize) -> Vec<Sample> {
    let op = op.into();
    let inputs = |sizes: &[usize]| (0..n_inputs).map(|seed| wave(sizes, seed)).collect();
    SHAPES.iter().map(|sizes| (op.clone(), inputs(sizes))).collect()
}

fn of_truths(op: impl Into<Op>, n_inputs: usize) -> Vec<Sample> {
    let op = op.into();
    let inputs = |sizes: &[usize]| (0..n_inputs).map(|seed| truth(sizes, seed)).collect();
    SHAPES.iter().map(|sizes| (op.clone(), inputs(sizes))).collect()
}

/// Over no axis of rank 0, one axis, several axes, and nothing left.
fn over_axes<T: Into<Op>>(make: impl Fn(Axes) -> T, operand: fn(&[usize], usize) -> Array) -> Vec<Sample> {
    let rows: [(&[usize], &[usize]); 6] = [
        (&[], &[]),
        (&[5], &[0]),
        (&[3, 2], &[1]),
        (&[2, 3, 5], &[0, 2]),
        (&[3, 2], &[0, 1]),
        (&[0, 3], &[1]),
    ];
    rows.iter().map(|(sizes, axes)| (make(Axes::new(axes)).into(), vec![operand(sizes, 0)])).collect()
}

fn along_axis<T: Into<Op>>(make: impl Fn(usize) -> T) -> Vec<Sample> {
    let rows: [(&[usize], usize); 4] = [(&[5], 0), (&[3, 2], 1), (&[2, 3, 5], 1), (&[0, 3], 1)];
    rows.iter().map(|&(sizes, axis)| (make(axis).into(), vec![wave(sizes, 0)])).collect()
}

/// The samples of an op; its parameters count for the tables of pointwise ops only.
pub fn samples(op: &Op) -> Vec<Sample> {
    match op {
        Op::Unary(op) => over_shapes(*op, 1),
        Op::Binary(op) => over_shapes(*op, 2),
        Op::Compare(op) => over_shapes(*op, 2),
        Op::Logic(op) => of_truths(*op, if *op == Logic::Not { 1 } else { 2 }),
        Op::Select(_) => {
            let operands = |sizes: &&[usize]| vec![truth(sizes, 2), wave(sizes, 0), wave(sizes, 1)];
            SHAPES.iter().map(|sizes| (Select.into(), operands(sizes))).collect()
        }
        Op::Cond(_) | Op::Scan(_) => Vec::new(),
        Op::Cast(_) => over_shapes(Cast { dtype: DType::F64 }, 1),
        Op::StopGradient(_) => over_shapes(StopGradient, 1),
        Op::Identity(_) => over_shapes(Identity, 1),
        Op::Reshape(_) => {
            let rows: [(&[usize], &[usize]); 5] =
                [(&[], &[1, 1]), (&[1], &[]), (&[6], &[2, 3]), (&[2, 3, 5], &[5, 6]), (&[0, 3], &[2, 0])];
            let row = |&(from, to): &(&[usize], &[usize])| {
                (Reshape { shape: shape(to) }.into(), vec![wave(from, 0)])
            };
            rows.iter().map(row).collect()
        }
        Op::Transpose(_) => {
            let rows: [(&[usize], &[usize]); 4] =
                [(&[], &[]), (&[3, 2], &[1, 0]), (&[2, 3, 5], &[1, 2, 0]), (&[0, 3], &[1, 0])];
            let row = |&(sizes, perm): &(&[usize], &[usize])| {
                (Transpose { perm: Axes::new(perm) }.into(), vec![wave(sizes, 0)])
            };
            rows.iter().map(row).collect()
        }
        Op::Broadcast(_) => {
            let rows: [(&[usize], &[usize]); 6] = [
                (&[], &[]),
                (&[], &[2, 3]),
                (&[3, 1], &[2, 3, 5]),
                (&[1, 3], &[0, 3]),
                (&[0, 3], &[2, 0, 3]),
                (&[2, 3], &[2, 3]),
            ];
            let row = |&(from, to): &(&[usize], &[usize])| {
                (Broadcast { shape: shape(to) }.into(), vec![wave(from, 0)])
            };
            rows.iter().map(row).collect()
        }
        Op::Slice(_) => {
            let row = |sizes: &[usize], start: &[usize], stop: &[usize], step: &[usize]| -> Sample {
                let op = Slice { start: start.into(), stop: stop.into(), step: step.into() };
                (op.into(), vec![wave(sizes, 0)])
            };
            vec![
                row(&[], &[], &[], &[]),
                row(&[7], &[1], &[6], &[2]),
                row(&[3, 5], &[0, 2], &[2, 5], &[1, 2]),
                row(&[5, 2], &[2, 0], &[2, 2], &[1, 1]),
                row(&[0, 3], &[0, 1], &[0, 3], &[1, 1]),
            ]
        }
        Op::Pad(_) => {
            let row = |sizes: &[usize], low: &[usize], high: &[usize], interior: &[usize]| -> Sample {
                let op = Pad { low: low.into(), high: high.into(), interior: interior.into() };
                (op.into(), vec![wave(sizes, 0)])
            };
            vec![
                row(&[], &[], &[], &[]),
                row(&[5], &[2], &[0], &[0]),
                row(&[3, 2], &[0, 1], &[2, 3], &[0, 2]),
                row(&[0, 3], &[2, 0], &[1, 1], &[0, 0]),
            ]
        }
        Op::Concat(_) => {
            let row = |axis: usize, parts: &[&[usize]]| -> Sample {
                let operands = parts.iter().enumerate().map(|(seed, sizes)| wave(sizes, seed)).collect();
                (Concat { axis }.into(), operands)
            };
            vec![row(0, &[&[3], &[2]]), row(1, &[&[2, 3], &[2, 1], &[2, 5]]), row(0, &[&[2, 3], &[0, 3]])]
        }
        Op::Gather(_) => {
            let row = |axis, sizes: &[usize], at: &[usize]| -> Sample {
                (Gather { axis }.into(), vec![wave(sizes, 0), indices(at, sizes[axis])])
            };
            vec![row(0, &[5], &[]), row(0, &[5, 2], &[3]), row(1, &[2, 3, 5], &[7]), row(0, &[3, 2], &[0])]
        }
        Op::ScatterAdd(_) => {
            let row = |axis, sizes: &[usize], at: &[usize], updates: &[usize]| -> Sample {
                let operands = vec![wave(sizes, 0), indices(at, sizes[axis]), wave(updates, 1)];
                (ScatterAdd { axis }.into(), operands)
            };
            vec![
                row(0, &[5], &[], &[]),
                row(0, &[3, 2], &[5], &[5, 2]),
                row(1, &[2, 3, 5], &[7], &[2, 7, 5]),
                row(0, &[3, 2], &[0], &[0, 2]),
            ]
        }
        Op::OneHot(_) => SHAPES
            .iter()
            .map(|sizes| {
                let op = OneHot { depth: Dim::Size(4), dtype: DType::F64 };
                (op.into(), vec![indices(sizes, 4)])
            })
            .collect(),
        Op::ArgMax(_) => along_axis(|axis| ArgMax { axis }),
        Op::MaxWithIndex(_) => along_axis(|axis| MaxWithIndex { axis }),
        Op::Sum(_) => over_axes(|axes| Sum { axes }, wave),
        Op::Max(_) => over_axes(|axes| Max { axes }, wave),
        Op::Any(_) => over_axes(|axes| Any { axes }, truth),
        Op::LogSumExp(_) => over_axes(|axes| LogSumExp { axes }, wave),
        Op::Contract(_) => {
            let row = |a: &[usize], b: &[usize], contract: [&[usize]; 2], batch: [&[usize]; 2]| -> Sample {
                let op = Contract {
                    lhs_contract: Axes::new(contract[0]),
                    rhs_contract: Axes::new(contract[1]),
                    lhs_batch: Axes::new(batch[0]),
                    rhs_batch: Axes::new(batch[1]),
                };
                (op.into(), vec![wave(a, 0), wave(b, 1)])
            };
            vec![
                row(&[], &[], [&[], &[]], [&[], &[]]),
                row(&[3, 2], &[2, 5], [&[1], &[0]], [&[], &[]]),
                row(&[3, 2, 4], &[4, 5, 3], [&[2], &[0]], [&[0], &[2]]),
                row(&[2, 3], &[3, 2, 5], [&[1, 0], &[0, 1]], [&[], &[]]),
                row(&[0, 3], &[3, 2], [&[1], &[0]], [&[], &[]]),
                row(&[2, 0], &[0, 3], [&[1], &[0]], [&[], &[]]),
            ]
        }
        Op::Uniform(_) => drawn(|ty| Uniform { ty }.into()),
        Op::Normal(_) => drawn(|ty| Normal { ty }.into()),
        Op::Input(_) => SHAPES.iter().map(|sizes| (Input { ty: f64s(sizes) }.into(), vec![])).collect(),
        Op::Constant(_) => {
            SHAPES.iter().map(|sizes| (Constant { array: wave(sizes, 0).into() }.into(), vec![])).collect()
        }
        Op::Full(_) => {
            let full = |sizes: &&[usize]| Full::new(f64s(sizes), 2.5).expect("f64 holds it").into();
            SHAPES.iter().map(|sizes| (full(sizes), vec![])).collect()
        }
        Op::Iota(_) => {
            let rows: [(&[usize], usize); 3] = [(&[5], 0), (&[3, 2], 1), (&[0, 3], 0)];
            rows.iter().map(|&(sizes, axis)| (Iota { ty: f64s(sizes), axis }.into(), vec![])).collect()
        }
        Op::DimValue(_) => vec![(DimValue { dim: Dim::Size(7) }.into(), vec![])],
        // These stand for what is wrong; `Custom` is held to everything by the checker's own tests.
        Op::Missing(_) | Op::IllCall(_) | Op::Custom(_) => Vec::new(),
    }
}

fn f64s(sizes: &[usize]) -> Type {
    Type::new(DType::F64, sizes)
}

fn drawn(op: impl Fn(Type) -> Op) -> Vec<Sample> {
    let Seed(seed) = Seed(0x1234_5678_9abc);
    let key = Array::from([seed as u32, (seed >> 32) as u32, 3, 4]);
    SHAPES.iter().map(|sizes| (op(f64s(sizes)), vec![key.clone()])).collect()
}

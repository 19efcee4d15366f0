//! The list of bugs, and of changes that are none.

use backprop_core::graph::records::ValueId;
use backprop_core::ops::{
    ArgMax, Axes, Binary, Cast, Compare, Cond, Contract, Logic, Pad, Scan, Slice, Sum, Transpose, Unary,
};
use backprop_core::{DType, Dim, Dims, Node, Op, Part, Records, Shape};

use super::{At, Bug};

fn is_gradient(node: &Node) -> bool {
    node.part == Part::Gradient
}

/// The sizes of an operand, where they are numbers.
fn sizes(records: &Records, node: &Node, slot: usize) -> Option<&'static [usize]> {
    records.ty(*node.inputs.get(slot)?)?.shape.sizes()
}

fn dtype(records: &Records, node: &Node) -> Option<DType> {
    Some(records.ty(*node.inputs.first()?)?.dtype)
}

fn is_zero(records: &Records, value: ValueId) -> bool {
    matches!(&records.node(records.producer(value)).op, Op::Full(full) if full.as_f64() == 0.0)
}

/// The only axis of a sum, and its size, if that is a number.
fn summed(records: &Records, node: &Node) -> Option<(usize, usize)> {
    let Op::Sum(Sum { axes }) = node.op else { return None };
    let axis = axes.iter().next().filter(|_| axes.len() == 1)?;
    Some((axis, *sizes(records, node, 0)?.get(axis)?))
}

/// The first pair of contracted axes of a contraction, with their size.
fn contracted(records: &Records, node: &Node) -> Option<(Contract, usize)> {
    let Op::Contract(op) = node.op else { return None };
    let axis = op.lhs_contract.iter().next()?;
    sizes(records, node, 1)?;
    Some((op, sizes(records, node, 0)?[axis]))
}

/// The first axis along which a slice could start one later.
fn movable(records: &Records, node: &Node) -> Option<(Slice, usize)> {
    let Op::Slice(op) = &node.op else { return None };
    let (whole, stop) = (sizes(records, node, 0)?, op.stop.sizes()?);
    let is_full = records.ty(node.first)?.shape.n_elements()? > 0;
    let axis = (0..whole.len()).find(|&axis| is_full && stop[axis] < whole[axis])?;
    Some((op.clone(), axis))
}

/// An op before `node` that reads an operand of it and has a result of the same type: the slot, and the op's
/// result.
fn overwriter(records: &Records, node: &Node) -> Option<(usize, ValueId)> {
    let before = records.nodes().iter().take_while(|other| other.first < node.first);
    let pointwise = before.filter(|other| matches!(other.op, Op::Unary(_) | Op::Binary(_)));
    pointwise.into_iter().find_map(|other| {
        let slot = node.inputs.iter().position(|input| other.inputs.contains(input))?;
        (records.ty(node.inputs[slot]) == records.ty(other.first)).then_some((slot, other.first))
    })
}

const APPLIES: &str = "a bug is seeded only where it applies";

/// Each must be found.
pub const BUGS: &[Bug] = &[
    Bug {
        name: "a sign flipped in a gradient",
        applies: |_, node| is_gradient(node) && matches!(node.op, Op::Unary(Unary::Neg)),
        write: |_, at| at.x[0],
    },
    Bug {
        name: "a missing sum over a broadcast: the first row alone",
        applies: |records, node| is_gradient(node) && summed(records, node).is_some_and(|(_, n)| n > 1),
        write: |copy, At { records, node, x }| {
            let (axis, _) = summed(records, node).expect(APPLIES);
            let row = copy.part(node, x[0], axis, Dim::Size(0), Dim::Size(1));
            let shape = copy.ty(x[0]).shape.without(&[axis]);
            copy.reshaped(node, row, shape)
        },
    },
    Bug {
        name: "an operand of a contraction read as if it were transposed",
        applies: |records, node| {
            let sizes = sizes(records, node, 0);
            matches!(node.op, Op::Contract(_))
                && sizes.is_some_and(|own| own.len() == 2 && own.iter().all(|&n| n > 1))
        },
        write: |copy, At { node, x, .. }| {
            let shape = copy.ty(x[0]).shape;
            let turned = copy.reshaped(node, x[0], Shape::new(&[shape[1], shape[0]]));
            let a = copy.push(node, Transpose { perm: Axes::new(&[1, 0]) }, &[turned]);
            copy.push(node, node.op.clone(), &[a, x[1]])
        },
    },
    Bug {
        name: "a contraction that forgets its last product",
        applies: |records, node| contracted(records, node).is_some_and(|(_, n)| n > 1),
        write: |copy, At { records, node, x }| {
            let (op, n) = contracted(records, node).expect(APPLIES);
            let mut less =
                |x: ValueId, axes: Axes| copy.part(node, x, axes.get(0), Dim::Size(0), Dim::Size(n - 1));
            let shorter = [less(x[0], op.lhs_contract), less(x[1], op.rhs_contract)];
            copy.push(node, op, &shorter)
        },
    },
    Bug {
        name: "a dropped mask: the branch not taken lets its cotangent through",
        applies: |records, node| {
            let is_masked =
                |node: &Node| is_zero(records, node.inputs[1]) != is_zero(records, node.inputs[2]);
            is_gradient(node) && matches!(node.op, Op::Select(_)) && is_masked(node)
        },
        write: |_, At { records, node, x }| if is_zero(records, node.inputs[1]) { x[2] } else { x[1] },
    },
    Bug {
        name: "a wrong alias: a value overwritten before it is read for the last time",
        applies: |records, node| overwriter(records, node).is_some(),
        write: |copy, At { records, node, x }| {
            let (slot, by) = overwriter(records, node).expect(APPLIES);
            let mut read = x.to_vec();
            read[slot] = copy.map[by as usize];
            copy.push(node, node.op.clone(), &read)
        },
    },
    Bug {
        name: "an off-by-one slice",
        applies: |records, node| movable(records, node).is_some(),
        write: |copy, At { records, node, x }| {
            let (op, axis) = movable(records, node).expect(APPLIES);
            let later = |dims: &Dims| {
                (0..dims.len()).map(|own| if own == axis { dims[own] + 1 } else { dims[own] }).collect()
            };
            copy.push(
                node,
                Slice { start: later(&op.start), stop: later(&op.stop), step: op.step.clone() },
                x,
            )
        },
    },
    Bug {
        name: "equal operands of a maximum that do not share: each gets the whole gradient",
        applies: |_, node| is_gradient(node) && matches!(node.op, Op::Compare(Compare::Eq)),
        write: |copy, At { node, x, .. }| {
            let differ = copy.push(node, Compare::Ne, x);
            let equal = copy.push(node, Logic::Not, &[differ]);
            copy.push(node, Logic::And, &[differ, equal])
        },
    },
    Bug {
        name: "the last of several largest elements instead of the first",
        applies: |records, node| {
            let Op::ArgMax(ArgMax { axis }) = node.op else { return false };
            sizes(records, node, 0).is_some_and(|own| own[axis] > 1)
        },
        write: |copy, At { records, node, x }| {
            let Op::ArgMax(ArgMax { axis }) = node.op else { unreachable!("{APPLIES}") };
            let n = sizes(records, node, 0).expect(APPLIES)[axis];
            let reversed = copy.reversed(node, x[0], axis, n);
            let first = copy.push(node, ArgMax { axis }, &[reversed]);
            let last = copy.full(node, first, n as i64 - 1);
            copy.push(node, Binary::Sub, &[last, first])
        },
    },
    Bug {
        name: "branches swapped",
        applies: |_, node| matches!(node.op, Op::Cond(_)),
        write: |copy, At { node, x, .. }| {
            let Op::Cond(Cond { then, otherwise }) = &node.op else { unreachable!("{APPLIES}") };
            copy.push(node, Cond { then: otherwise.clone(), otherwise: then.clone() }, x)
        },
    },
    Bug {
        name: "a loop that runs the other way",
        applies: |_, node| matches!(&node.op, Op::Scan(op) if op.length.size().is_some_and(|n| n > 1)),
        write: |copy, At { node, x, .. }| {
            let Op::Scan(op) = &node.op else { unreachable!("{APPLIES}") };
            copy.push(node, Scan { reverse: !op.reverse, ..(**op).clone() }, x)
        },
    },
    Bug {
        name: "a rounding too many: an f64 op computed in f32",
        applies: |records, node| {
            let is_arithmetic = matches!(node.op, Op::Binary(Binary::Add | Binary::Mul | Binary::Div));
            is_arithmetic && dtype(records, node) == Some(DType::F64)
        },
        write: |copy, At { node, x, .. }| {
            let narrow = [0, 1].map(|slot| copy.push(node, Cast { dtype: DType::F32 }, &[x[slot]]));
            let y = copy.push(node, node.op.clone(), &narrow);
            copy.push(node, Cast { dtype: DType::F64 }, &[y])
        },
    },
    Bug {
        name: "a tail that is not computed: the last element stays 0",
        applies: |records, node| {
            matches!(node.op, Op::Unary(_))
                && sizes(records, node, 0).is_some_and(|own| own.len() == 1 && own[0] > 1)
        },
        write: |copy, At { records, node, x }| {
            let n = sizes(records, node, 0).expect(APPLIES)[0];
            let y = copy.push(node, node.op.clone(), x);
            let most = copy.part(node, y, 0, Dim::Size(0), Dim::Size(n - 1));
            let [low, high, interior] = [[0], [1], [0]].map(Dims::from);
            copy.push(node, Pad { low, high, interior }, &[most])
        },
    },
    Bug {
        name: "an approximation of 3 units in the last place: tanh from exponentials",
        applies: |records, node| {
            matches!(node.op, Op::Unary(Unary::Tanh)) && dtype(records, node) == Some(DType::F32)
        },
        write: |copy, At { node, x, .. }| {
            // 1 − 2/(e²ˣ + 1): near 0 it cancels.
            let double = copy.push(node, Binary::Add, &[x[0], x[0]]);
            let e = copy.push(node, Unary::Exp, &[double]);
            let (one, two) = (copy.full(node, x[0], 1), copy.full(node, x[0], 2));
            let below = copy.push(node, Binary::Add, &[e, one]);
            let share = copy.push(node, Binary::Div, &[two, below]);
            copy.push(node, Binary::Sub, &[one, share])
        },
    },
];

/// None is to be found: a reduction's order, or an operand's place, is no bug.
pub const HARMLESS: &[Bug] = &[
    Bug {
        name: "a sum in the other order",
        applies: |records, node| summed(records, node).is_some_and(|(_, n)| (2..100).contains(&n)),
        write: |copy, At { records, node, x }| {
            let (axis, n) = summed(records, node).expect(APPLIES);
            let reversed = copy.reversed(node, x[0], axis, n);
            copy.push(node, node.op.clone(), &[reversed])
        },
    },
    Bug {
        name: "a contraction in two halves",
        applies: |records, node| contracted(records, node).is_some_and(|(_, n)| n > 1),
        write: |copy, At { records, node, x }| {
            let (op, n) = contracted(records, node).expect(APPLIES);
            let mut half = |from: usize, to: usize| {
                let mut part =
                    |x: ValueId, axes: Axes| copy.part(node, x, axes.get(0), Dim::Size(from), Dim::Size(to));
                let parts = [part(x[0], op.lhs_contract), part(x[1], op.rhs_contract)];
                copy.push(node, op, &parts)
            };
            let halves = [half(0, n / 2), half(n / 2, n)];
            copy.push(node, Binary::Add, &halves)
        },
    },
    Bug {
        name: "operands of a sum or product swapped",
        applies: |_, node| matches!(node.op, Op::Binary(Binary::Add | Binary::Mul)),
        write: |copy, At { node, x, .. }| copy.push(node, node.op.clone(), &[x[1], x[0]]),
    },
    Bug {
        name: "f32 arithmetic in f64, rounded once",
        applies: |records, node| {
            matches!(node.op, Op::Unary(_) | Op::Binary(_)) && dtype(records, node) == Some(DType::F32)
        },
        write: |copy, At { node, x, .. }| {
            let wide: Vec<ValueId> =
                x.iter().map(|&x| copy.push(node, Cast { dtype: DType::F64 }, &[x])).collect();
            let y = copy.push(node, node.op.clone(), &wide);
            copy.push(node, Cast { dtype: DType::F32 }, &[y])
        },
    },
];

//! One pointwise rule, three numbers: plain `f64`, scalar code, and gradient nodes of a graph all
//! come from the same formula and agree bit for bit.

use backprop_core::number::{Number, ScalarCode};
use backprop_core::ops::{Binary, Op, Unary};
use backprop_core::{Graph, Tensor};

const POINTS: [f64; 6] = [-2.5, -0.75, 0.0, 0.3, 1.0, 4.0];

/// The value of a graph of rank-0 f64 nodes, by the ops' own definitions.
fn evaluate(z: Tensor, inputs: &[(Tensor, f64)]) -> f64 {
    let values = z.with_records(|records| {
        let mut values: Vec<f64> = Vec::new();
        for node in records.nodes() {
            let x: Vec<f64> = node.inputs.iter().map(|&input| values[input as usize]).collect();
            let given = inputs.iter().find(|(input, _)| input.id() == node.first);
            values.push(match &node.op {
                Op::Input(_) => given.map_or(f64::NAN, |&(_, x)| x),
                Op::Full(full) => full.as_f64(),
                Op::Unary(op) => op.reference(x[0]),
                Op::Binary(op) => op.reference(x[0], x[1]),
                Op::Compare(op) => f64::from(u8::from(op.reference(x[0], x[1]))),
                Op::Logic(_) => x[0] * x[1],
                Op::Select(_) => {
                    if x[0] != 0.0 {
                        x[1]
                    } else {
                        x[2]
                    }
                }
                op => panic!("{} in a pointwise rule", op.name()),
            });
        }
        values[z.id() as usize]
    });
    values.expect("the graph lives")
}

fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}

#[test]
fn unary_rules_agree_on_every_kind_of_number() {
    for &op in Unary::ALL {
        let code = ScalarCode::default();
        let (x, d) = (code.input(0), code.input(1));
        let slope = op.pull(d, x, x.unary(op)).number() as usize;
        let graph = Graph::new();
        let (gx, gd) = (graph.input("x", "f64[]"), graph.input("d", "f64[]"));
        let node = op.pull(gd, gx, Number::unary(gx, op));
        for point in POINTS {
            let plain = op.pull(1.5, point, op.reference(point));
            let scalar = code.run(&[point, 1.5])[slope];
            let graph = evaluate(node, &[(gx, point), (gd, 1.5)]);
            assert!(same(plain, scalar) && same(plain, graph), "{op:?} at {point}: {plain} {scalar} {graph}");
        }
    }
}

#[test]
fn binary_rules_agree_on_every_kind_of_number() {
    for &op in Binary::ALL {
        for slot in [0, 1] {
            let code = ScalarCode::default();
            let (a, b, d) = (code.input(0), code.input(1), code.input(2));
            let slope = op.pull(slot, d, a, b, a.binary(op, b)).number() as usize;
            let graph = Graph::new();
            let (ga, gb) = (graph.input("a", "f64[]"), graph.input("b", "f64[]"));
            let gd = graph.input("d", "f64[]");
            let node = op.pull(slot, gd, ga, gb, Number::binary(ga, op, gb));
            for (p, q) in POINTS.iter().flat_map(|&p| POINTS.map(|q| (p, q))) {
                let plain = op.pull(slot, 1.5, p, q, op.reference(p, q));
                let scalar = code.run(&[p, q, 1.5])[slope];
                let graph = evaluate(node, &[(ga, p), (gb, q), (gd, 1.5)]);
                assert!(same(plain, scalar) && same(plain, graph), "{op:?} at {p}, {q}");
            }
        }
    }
}

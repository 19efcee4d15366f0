//! The op in both modes, at orders 1 and 2, forward and reverse.

use backprop::core::text::{Registry, parse, print};
use backprop::prelude::*;
use custom_op::{hypot, register};

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-12
}

/// For a = 3, b = 4: y = 5, ∂y/∂a = a/y = 0.6, ∂²y/∂a² = b²/y³ = 0.128.
#[test]
fn both_modes_and_two_orders() {
    let derivatives = |a: Tensor, b: Tensor| {
        let y = hypot(a, b);
        let [da] = grad(y, [a]);
        let [daa] = grad(da, [a]);
        let tangent = jvp(&[y], &[(a, a.ones_like())]).tangents()[0];
        [y, da, daa, tangent]
    };
    let expect = [5.0, 0.6, 0.128, 0.6];
    let tape = Tape::new();
    let eager = derivatives(tape.value(3.0), tape.value(4.0));
    for (y, expect) in eager.iter().zip(expect) {
        assert!(close(y.item().unwrap(), expect));
    }
    let g = Graph::new();
    let outputs = derivatives(g.input("a", "f64[]"), g.input("b", "f64[]"));
    let arrays = run(&g, &[("a", 3.0.into()), ("b", 4.0.into())], &outputs).unwrap();
    for (y, expect) in arrays.iter().zip(expect) {
        assert!(close(y.item().unwrap(), expect));
    }
}

/// Every derivative of orders 1 and 2 against differences, forward against reverse, tape against graph.
#[test]
fn the_checker_finds_nothing_wrong() {
    let inputs =
        [Array::from([[0.3, -1.2, 2.0], [4.0, 0.5, -0.7]]), Array::from([[1.0, 0.4, -3.0], [0.1, 2.0, 0.9]])];
    let report = check(|x| vec![hypot(x[0].sin(), x[1]) * x[0]], &inputs).unwrap();
    assert!(report.kinks.is_empty() && report.unclear.is_empty(), "{report}");
    assert!(report.n_entries == 6 * 12 + 12 * 12, "{report}");
}

/// A graph with the op and its second derivatives, as text and back: the same text, the same bits.
#[test]
fn printed_and_parsed() {
    let g = Graph::new();
    let (a, b) = (g.input("a", "f64[N]"), g.input("b", "f64[N]"));
    let loss = hypot(a, b).square().sum(()).named("loss");
    let [da] = grad(loss, [a]);
    let [daa] = grad(da.tanh().sum(()), [a]);
    let outputs: Vec<_> =
        [("loss", loss), ("da", da), ("daa", daa)].map(|(name, y)| (name.to_string(), y.id())).into();
    let printed = print(&g.records(), &outputs);
    assert!(printed.text.contains("= hypot(a, b) : f64[N]"), "{}", printed.text);

    let mut registry = Registry::new();
    register(&mut registry).unwrap();
    let back = parse(&printed.text, "hypot.graph", &|_| None, &registry).unwrap();
    assert_eq!(back.print().text, printed.text);
    let unknown = parse(&printed.text, "hypot.graph", &|_| None, &Registry::new()).unwrap_err();
    assert!(unknown.to_string().contains("unknown op `hypot`"), "{unknown}");

    let again = Graph::from_records(back.records.clone());
    let parsed: Vec<Tensor> = back.outputs.iter().map(|&(_, y)| again.tensor(y)).collect();
    let given: [(&str, Array); 2] = [("a", [3.0, -0.5].into()), ("b", [4.0, 1e-3].into())];
    let (first, second) = (run(&g, &given, &[loss, da, daa]).unwrap(), run(&again, &given, &parsed).unwrap());
    assert!(first.iter().zip(&second).all(|(a, b)| a.same_bits(b)));
}

#[test]
fn wrong_operands_are_named() {
    let tape = Tape::new();
    let text = hypot(tape.value(1.0), tape.value(1.0f32)).value().unwrap_err().to_string();
    assert!(text.contains("hypot: needs two floats of one type") && text.contains("hypot.rs"), "{text}");
}

//! The op in both modes, at orders 1 and 2, forward and reverse.

use backprop::prelude::*;
use custom_op::hypot;

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

#[test]
fn wrong_operands_are_named() {
    let tape = Tape::new();
    let text = hypot(tape.value(1.0), tape.value(1.0f32)).value().unwrap_err().to_string();
    assert!(text.contains("hypot: needs two floats of one type") && text.contains("hypot.rs"), "{text}");
}

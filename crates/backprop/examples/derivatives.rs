//! Derivatives of any order: `cargo run -p backprop --example derivatives`.

use backprop::prelude::*;

fn main() -> Result<(), Error> {
    // A second and a third derivative, on a tape.
    let tape = Tape::new();
    let x = tape.value(0.5);
    let y = x.tanh() * x;
    let [d1] = grad(y, [x]);
    let [d2] = grad(d1, [x]);
    let [d3] = grad(d2, [x]);
    println!("x·tanh x at 0.5: {} {} {} {}", y.item()?, d1.item()?, d2.item()?, d3.item()?);

    // The same as formulas, from a graph.
    let g = Graph::new();
    let (w, x) = (g.input("w", "f64[]"), g.input("x", "f64[]"));
    let y = (w * x).tanh().named("y");
    let [dw] = grad(y, [w]);
    println!("dy/dw = {}", dw.formula());

    // A Jacobian: for s = softmax(x) it is diag(s) − s·sᵀ.
    let x = tape.value([0.5, 1.0, 2.0]);
    println!("J =\n{}", jacobian(&[x.softmax(-1)], &[x])[0][0].value()?);

    // Forward mode: the derivative of several outputs along one direction.
    let x = tape.value([1.0, 2.0, 3.0]);
    let direction = tape.value([1.0, 0.0, -1.0]);
    let outputs = [x.square(), x.sum(()).exp()];
    let forward = jvp(&outputs, &[(x, direction)]);
    println!("J·t = {} and {}", forward.tangents()[0].value()?, forward.tangents()[1].value()?);

    // Why is a gradient zero?
    let table = grad_table(x.stop_gradient().square().sum(()), &[x]);
    if let Some(reason) = table.reason(0) {
        println!("zero, because {reason}");
    }

    // What backpropagation did, step by step, as on the board.
    println!("{}", grad_table((x * x.sin()).sum(()), &[x]).explain());
    Ok(())
}

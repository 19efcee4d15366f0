//! The op from this crate like any other: `cargo run --example triangle`.

use backprop::prelude::*;
use custom_op::hypot;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // At once; the second derivative comes from the rule that was written once.
    let tape = Tape::new();
    let (a, b) = (tape.value(3.0), tape.value(4.0));
    let y = hypot(a, b);
    let [da] = grad(y, [a]);
    let [daa] = grad(da, [a]);
    println!("hypot(3, 4) = {}, d/da = {}, d²/da² = {}", y.item()?, da.item()?, daa.item()?);

    // As a graph.
    let g = Graph::new();
    let (a, b) = (g.input("a", "f64[]"), g.input("b", "f64[]"));
    let y = hypot(a, b).named("y");
    let [da] = grad(y, [a]);
    println!("dy/da = {}", da.formula());

    // Its derivatives against differences, of both orders and in both directions.
    let report = check(|x| vec![hypot(x[0], x[1])], &[3.0.into(), 4.0.into()])?;
    println!("largest error against differences: {:.1e}", report.largest_error);
    Ok(())
}

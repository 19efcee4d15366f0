//! The lecture's two graphs: `cargo run -p backprop --example lecture_graphs`.

use backprop::prelude::*;

fn main() -> Result<(), Error> {
    // ŷ = σ(wᵀx + b)
    let tape = Tape::new();
    let (w, x, b) = (tape.value([1.0, -2.0]), tape.value([0.5, 0.25]), tape.value(0.1));
    let u1 = w.matmul(x);
    let u2 = u1 + b;
    let y = u2.sigmoid();
    let [dw, dx, db] = grad(y, [w, x, b]);
    println!("ŷ = {}\n∇w = {}\n∇x = {}\ndŷ/db = {}", y.item()?, dw.value()?, dx.value()?, db.item()?);

    // H = max{0, WᵀX + b}, and its gradient as more graph.
    let g = Graph::new();
    let (w, x) = (g.input("W", "f64[3, 2]"), g.input("X", "f64[3, N]"));
    let b = g.input("b", "f64[2, 1]");
    let h = (w.t().matmul(x) + b).relu().named("H");
    let [dw] = grad(h.sum(()), [w]);
    println!("∇W ΣH = {}", dw.formula());
    Ok(())
}

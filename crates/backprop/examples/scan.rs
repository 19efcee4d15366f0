//! A loop that is differentiated: `cargo run -p backprop --example scan`.
//!
//! A damped oscillator, ẍ = −k·x − c·ẋ, integrated by a thousand small steps; how its last position
//! depends on the stiffness k and on the damping c.

use backprop::prelude::*;

const STEPS: usize = 1000;
const DT: f64 = 0.01;

fn last_position(k: Tensor, c: Tensor, start: Tensor) -> Tensor {
    let ((position, _velocity), ()) = scan_n(STEPS, (start, start.zeros_like()), |_step, (x, v)| {
        let v = v - (k * x + c * v) * DT;
        ((x + v * DT, v), ())
    });
    position
}

fn main() -> Result<(), Error> {
    // In both modes the loop is one operation, however many steps it takes.
    let tape = Tape::new();
    let (k, c, start) = (tape.value(4.0), tape.value(0.2), tape.value(1.0));
    let x = last_position(k, c, start);
    let [dk, dc] = grad(x, [k, c]);
    let [dkk] = grad(dk, [k]);
    println!("x = {}, dx/dk = {}, dx/dc = {}, d²x/dk² = {}", x.item()?, dk.item()?, dc.item()?, dkk.item()?);

    let g = Graph::new();
    let (k, c, start) = (g.input("k", "f64[]"), g.input("c", "f64[]"), g.input("start", "f64[]"));
    let x = last_position(k, c, start);
    let [dk] = grad(x, [k]);
    let inputs = [("k", 4.0.into()), ("c", 0.2.into()), ("start", 1.0.into())];
    println!("the same through a graph: {}", run(&g, &inputs, &[dk])?[0]);
    Ok(())
}

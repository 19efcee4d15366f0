//! Graphs: names, substitution, errors: `cargo run -p backprop --example graphs`.

use backprop::prelude::*;

fn main() -> Result<(), Error> {
    let g = Graph::new();
    let x = g.input("x", "f32[B, 3]");
    let w = g.input("w", "f32[2, 3]");
    let y = x.matmul(w.t()).named("y");

    // The lecture's subroutines.
    println!("{y:?} is computed by {:?}", y.get_operation().map(|op| op.name().to_string()));
    println!("its inputs: {:?}; consumers of x: {:?}", y.get_inputs(), x.get_consumers());

    // Givens: the same graph with x replaced by a function of another input.
    let z = g.input("z", "f32[B, 3]");
    let [y_of_z] = substitute(&[y], &[(x, z.tanh())])[..] else { unreachable!("one for each output") };
    let inputs = [
        ("z", Array::from([[0.0f32, 1.0, -1.0]])),
        ("w", Array::from([[1.0f32, 2.0, 3.0], [0.0, 1.0, 0.0]])),
    ];
    println!("y(tanh z) = {}", run(&g, &inputs, &[y_of_z])?[0]);

    // An ill-typed call is reported when something that depends on it is run: op, operands, lines.
    let wrong = x.matmul(w).relu().sum(());
    if let Err(error) = g.check(&[wrong]) {
        println!("\n{error}");
    }
    Ok(())
}

//! A network trained by hand, in both modes: `cargo run --release -p backprop --example by_hand`.

use backprop::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let digits = Dataset::digits(0)?;
    let net = Sequential::new().linear(64, 32).relu().linear(32, 10);
    let optimizer = Optimizer::from(Sgd::new(0.1).momentum(0.9));
    // What is minimised: the same lines in both modes.
    let objective = |p: &Bound, x: Tensor, y: Tensor| net.forward(p, x).cross_entropy(y) + p.l2(1e-4);

    // At once, on a tape.
    let mut params = net.init(Seed(7))?;
    let tape = Tape::new();
    for epoch in 0..10 {
        for [x, y] in digits.batches(32, Seed(0), epoch) {
            let updates = tape.scope(|t| {
                let p = params.bind(t);
                optimizer.updates(&p, objective(&p, t.value(x), t.value(y)))
            })?;
            params.apply(updates)?;
        }
    }
    println!("eager: {:.3}", evaluate(&net, &params, &digits.test_x, &digits.test_y)?.accuracy);

    // As one graph: forward, backward and update, for batches of any size B.
    let mut params = net.init(Seed(7))?;
    let g = Graph::new();
    let (p, x, y) = (params.bind(&g), g.input("x", "f32[B, 64]"), g.input("y", "i64[B]"));
    let loss = objective(&p, x, y);
    let step = TrainStep::new(&g, &[x, y], &[loss], optimizer.updates(&p, loss)?)?;
    for epoch in 0..10 {
        for batch in digits.batches(32, Seed(0), epoch) {
            step.run(&mut params, &batch)?;
        }
    }
    println!("graph: {:.3}", evaluate(&net, &params, &digits.test_x, &digits.test_y)?.accuracy);
    Ok(())
}

//! Dropout and a frozen layer: `cargo run -p backprop --example networks`.

use backprop::prelude::*;

fn main() -> Result<(), Error> {
    let net = Sequential::new().linear(2, 16).relu().dropout(0.1).linear(16, 2);
    let mut params = net.init(Seed(7))?;
    params.freeze("0")?;
    let before = params.get("0.weight")?.clone();

    let x = Array::from([[0.0f32, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]);
    let y = Array::from([0i64, 1, 1, 0]);
    let optimizer = Optimizer::from(AdamW::new(0.05));
    let tape = Tape::new();
    for step in 0..200 {
        let (updates, loss) = tape.scope(|t| {
            let p = params.bind(t);
            let loss = net.forward(&p, t.value(x.clone())).cross_entropy(t.value(y.clone()));
            (optimizer.updates(&p, loss), loss.item())
        });
        params.apply(updates?)?;
        if step % 50 == 0 {
            println!("step {step}: loss {:.4}", loss?);
        }
    }
    println!("the frozen layer is what it was: {}", params.get("0.weight")?.same_bits(&before));
    Ok(())
}

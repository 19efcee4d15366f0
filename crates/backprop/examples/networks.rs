//! Dropout, and a layer that is frozen and thawed: `cargo run -p backprop --example networks`.

use backprop::prelude::*;

fn main() -> Result<(), Error> {
    let net = Sequential::new().linear(2, 16).relu().dropout(0.1).linear(16, 2);
    let x = Array::from([[0.0f32, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]);
    let y = Array::from([0i64, 1, 1, 0]);
    let optimizer = Optimizer::from(AdamW::new(0.05));
    let tape = Tape::new();
    let train = |params: &mut Params| -> Result<(), Error> {
        for _ in 0..100 {
            let updates = tape.scope(|t| {
                let p = params.bind(t);
                optimizer.updates(&p, net.forward(&p, t.value(x.clone())).cross_entropy(t.value(y.clone())))
            })?;
            params.apply(updates)?;
        }
        Ok(())
    };

    let mut params = net.init(Seed(7))?;
    let before = params.get("0.weight")?.clone();
    params.freeze("0")?;
    train(&mut params)?;
    println!("a frozen layer keeps its bits: {}", params.get("0.weight")?.same_bits(&before));
    params.unfreeze("0")?;
    train(&mut params)?;
    println!("a thawed one does not: {}", !params.get("0.weight")?.same_bits(&before));

    // For prediction, dropout lets everything through.
    let p = params.bind(&tape);
    let (trained, predicted) =
        (net.forward(&p, tape.value(x.clone())), net.forward(&p.eval(), tape.value(x.clone())));
    println!("with dropout:\n{}\nwithout:\n{}", trained.softmax(-1).value()?, predicted.softmax(-1).value()?);
    Ok(())
}

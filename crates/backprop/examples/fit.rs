//! A network trained by `fit`, with both engines: `cargo run --release -p backprop --example fit`.

use std::ops::ControlFlow;

use backprop::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let digits = Dataset::digits(0)?;
    let net = Sequential::mlp(&[64, 128, 10]);
    for engine in [Engine::Eager, Engine::Graph] {
        let mut params = net.init(Seed(0))?;
        let config = Fit { epochs: 10, engine, ..Fit::default() };
        fit(&net, &mut params, &digits, &config, |epoch| {
            println!("{engine:?} {epoch}");
            ControlFlow::Continue(())
        })?;
    }
    Ok(())
}

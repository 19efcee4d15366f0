//! Four graphs as SVG: `cargo run -p backprop --example pictures -- DIRECTORY`.

use std::path::Path;

use backprop::picture::picture_with;
use backprop_ad::grad;
use backprop_core::{Graph, Tensor, ValueId};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).ok_or("usage: pictures DIRECTORY")?;
    std::fs::create_dir_all(&directory)?;
    let pictures: [(&str, &str, Build); 4] = [
        ("logistic-regression", "logistic regression", logistic_regression),
        ("relu-layer", "H = max(0, X·W + b)", relu_layer),
        ("mlp-gradient", "MLP 4-3-2 and its gradient", mlp),
        ("forty-nodes", "forty nodes", forty_nodes),
    ];
    for (file, title, build) in pictures {
        let g = Graph::new();
        let Drawn { outputs, parameters } = build(&g);
        let ids = |list: &[Tensor]| list.iter().map(|tensor| tensor.id()).collect::<Vec<ValueId>>();
        let picture = picture_with(&g.records(), &ids(&outputs), &ids(&parameters), title);
        let path = Path::new(&directory).join(format!("{file}.svg"));
        std::fs::write(&path, backprop_draw::svg(&picture)?)?;
        println!("{}: {} nodes", path.display(), picture.nodes.len());
    }
    Ok(())
}

type Build = fn(&Graph) -> Drawn;

/// What to draw.
struct Drawn {
    outputs: Vec<Tensor>,
    parameters: Vec<Tensor>,
}

fn logistic_regression(g: &Graph) -> Drawn {
    let (x, w, b) = (g.input("x", "f32[B, 4]"), g.input("w", "f32[4]"), g.input("b", "f32[]"));
    let y = (x.matmul(w) + b).sigmoid().named("y");
    Drawn { outputs: vec![y], parameters: vec![w, b] }
}

fn relu_layer(g: &Graph) -> Drawn {
    let (x, w, b) = (g.input("X", "f32[B, 4]"), g.input("W", "f32[4, 3]"), g.input("b", "f32[3]"));
    let h = (x.matmul(w) + b).named("U").relu().named("H");
    Drawn { outputs: vec![h], parameters: vec![w, b] }
}

fn mlp(g: &Graph) -> Drawn {
    let (x, t) = (g.input("x", "f32[B, 4]"), g.input("t", "i64[B]"));
    let (w1, b1) = (g.input("W1", "f32[3, 4]"), g.input("b1", "f32[3]"));
    let (w2, b2) = (g.input("W2", "f32[2, 3]"), g.input("b2", "f32[2]"));
    let h = (x.matmul(w1.t()) + b1).relu().named("h");
    let loss = (h.matmul(w2.t()) + b2).named("logits").cross_entropy(t).named("loss");
    let gradients = grad(loss, [w1, b1, w2, b2]);
    let mut outputs = vec![loss];
    for (gradient, name) in gradients.into_iter().zip(["dW1", "db1", "dW2", "db2"]) {
        outputs.push(gradient.named(name));
    }
    Drawn { outputs, parameters: vec![w1, b1, w2, b2] }
}

/// Forward and gradient of a function with many paths.
fn forty_nodes(g: &Graph) -> Drawn {
    let (x, y) = (g.input("x", "f64[]"), g.input("y", "f64[]"));
    let a = (x * y).sin().named("a");
    let b = (a + x.exp()).tanh().named("b");
    let z = (a * b + y.square() / b + x.cos().sqrt()).named("z");
    let [dx, dy] = grad(z, [x, y]);
    Drawn { outputs: vec![z, dx.named("dz/dx"), dy.named("dz/dy")], parameters: Vec::new() }
}

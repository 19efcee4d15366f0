//! Writes sample pictures: `cargo run -p backprop-draw --example gallery -- DIRECTORY`.

use backprop_draw::{Chart, Edge, Kind, Node, Panel, Part, Picture, Series, chart_svg, dot, svg};
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).ok_or("usage: gallery DIRECTORY")?;
    let directory = Path::new(&directory);
    std::fs::create_dir_all(directory)?;
    let pictures = [
        ("logistic", logistic_regression()),
        ("relu-layer", relu_layer()),
        ("mlp-gradient", mlp_with_gradient()),
        ("random-40", random(40)),
        ("labels", labels()),
    ];
    for (name, picture) in pictures {
        std::fs::write(directory.join(format!("{name}.svg")), svg(&picture)?)?;
        std::fs::write(directory.join(format!("{name}.dot")), dot(&picture))?;
    }
    std::fs::write(directory.join("curves.svg"), chart_svg(&curves()))?;
    std::fs::write(directory.join("step-times.svg"), chart_svg(&step_times()))?;
    Ok(())
}

fn logistic_regression() -> Picture {
    let mut g = Builder::new("logistic regression");
    let (x, w, b) = (g.input("x", "f32[32, 4]"), g.parameter("w", "f32[4, 1]"), g.parameter("b", "f32[1]"));
    let u = g.op("matmul", "f32[32, 1]", &[x, w]);
    let v = g.op("add", "f32[32, 1]", &[u, b]);
    let y = g.op("sigmoid", "f32[32, 1]", &[v]);
    g.result(y, "y");
    g.picture
}

fn relu_layer() -> Picture {
    let mut g = Builder::new("h = max(0, XW + b)");
    let (x, w, b) =
        (g.input("X", "f32[B, 784]"), g.parameter("W", "f32[784, 128]"), g.parameter("b", "f32[128]"));
    let u = g.op("matmul", "f32[B, 128]", &[x, w]);
    let wide = g.op("broadcast", "f32[B, 128]", &[b]);
    let v = g.op("add", "f32[B, 128]", &[u, wide]);
    let zero = g.constant("0", "f32[]");
    let mask = g.op("le", "bool[B, 128]", &[v, zero]);
    let h = g.op("select", "f32[B, 128]", &[mask, zero, v]);
    g.result(h, "h");
    g.picture
}

fn mlp_with_gradient() -> Picture {
    let mut g = Builder::new("two-layer network and its gradient");
    let x = g.input("x", "f32[32, 64]");
    let labels = g.input("labels", "i64[32]");
    let mut h = x;
    let mut layers = Vec::new();
    for (index, (from, to)) in [(64, 128), (128, 10)].into_iter().enumerate() {
        g.cluster = Some(format!("{index}.linear"));
        let w = g.parameter(&format!("w{index}"), &format!("f32[{to}, {from}]"));
        let b = g.parameter(&format!("b{index}"), &format!("f32[{to}]"));
        let ty = format!("f32[32, {to}]");
        let wt = g.op("transpose", &format!("f32[{from}, {to}]"), &[w]);
        let u = g.op("matmul", &ty, &[h, wt]);
        let wide = g.op("broadcast", &ty, &[b]);
        let v = g.op("add", &ty, &[u, wide]);
        g.cluster = None;
        layers.push((h, w, b, wt, v, ty.clone(), (from, to)));
        h = if index == 0 { g.op("relu", &ty, &[v]) } else { v };
    }
    g.name(h, "logits");
    let lse = g.op("logsumexp", "f32[32]", &[h]);
    let one_hot = g.op("one_hot", "f32[32, 10]", &[labels]);
    let picked = g.op("mul", "f32[32, 10]", &[h, one_hot]);
    let picked = g.op("sum", "f32[32]", &[picked]);
    let losses = g.op("sub", "f32[32]", &[lse, picked]);
    let total = g.op("sum", "f32[]", &[losses]);
    let count = g.constant("1/32", "f32[]");
    let loss = g.op("mul", "f32[]", &[total, count]);
    g.result(loss, "loss");

    g.part = Part::Gradient;
    let one = g.constant("1", "f32[]");
    let d = g.op("mul", "f32[]", &[one, count]);
    let d = g.op("broadcast", "f32[32]", &[d]);
    let minus = g.op("neg", "f32[32]", &[d]);
    let wide = g.op("broadcast", "f32[32, 10]", &[minus]);
    let d_picked = g.op("mul", "f32[32, 10]", &[wide, one_hot]);
    let shifted = g.op("sub", "f32[32, 10]", &[h, lse]);
    let softmax = g.op("exp", "f32[32, 10]", &[shifted]);
    let wide = g.op("broadcast", "f32[32, 10]", &[d]);
    let d_lse = g.op("mul", "f32[32, 10]", &[wide, softmax]);
    let mut d = g.op("add", "f32[32, 10]", &[d_lse, d_picked]);
    for (index, (h, _, _, wt, v, ty, (from, to))) in layers.into_iter().enumerate().rev() {
        if index == 0 {
            let zero = g.constant("0", "f32[]");
            let mask = g.op("gt", &ty.replace("f32", "bool"), &[v, zero]);
            d = g.op("select", &ty, &[mask, d, zero]);
        }
        g.cluster = Some(format!("{index}.linear"));
        let db = g.op("sum", &format!("f32[{to}]"), &[d]);
        g.result(db, &format!("∂loss/∂b{index}"));
        let ht = g.op("transpose", &format!("f32[{from}, 32]"), &[h]);
        let dwt = g.op("matmul", &format!("f32[{from}, {to}]"), &[ht, d]);
        let dw = g.op("transpose", &format!("f32[{to}, {from}]"), &[dwt]);
        g.result(dw, &format!("∂loss/∂w{index}"));
        if index > 0 {
            let w = g.op("transpose", &format!("f32[{to}, {from}]"), &[wt]);
            d = g.op("matmul", &format!("f32[32, {from}]"), &[d, w]);
        }
        g.cluster = None;
    }
    g.picture
}

fn random(count: usize) -> Picture {
    let mut state = 12_345u64;
    let mut draw = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below.max(1)
    };
    let ops = ["matmul", "add", "mul", "tanh", "exp", "concat", "softmax"];
    let mut g = Builder::new("40 nodes at random");
    for v in 0..count {
        if v < 5 {
            if v % 2 == 0 {
                g.input(&format!("x{v}"), "f32[32, 10]")
            } else {
                g.parameter(&format!("w{v}"), "f32[10]")
            };
        } else {
            let inputs: Vec<usize> = (0..1 + draw(2)).map(|_| v - 1 - draw(v.min(11))).collect();
            g.op(ops[draw(ops.len())], &format!("f32[32, {}]", 1 + draw(2000)), &inputs);
        }
    }
    g.picture
}

fn labels() -> Picture {
    let mut g = Builder::new("operands named");
    let (a, b) = (g.input("A", "f64[2, 3]"), g.input("B", "f64[3, 5]"));
    let c = g.op("matmul", "f64[2, 5]", &[]);
    let square = g.op("mul", "f64[2, 5]", &[c, c]);
    g.result(square, "C²");
    for (from, label) in [(a, "lhs [i, k]"), (b, "rhs [k, j]")] {
        g.picture.edges.push(Edge { from, to: c, label: Some(label.to_owned()) });
    }
    g.picture
}

fn curves() -> Chart {
    let decay = |rate: f64, floor: f64, bump: f64| -> Vec<(f64, f64)> {
        (1..=20)
            .map(|e| {
                (
                    f64::from(e),
                    floor
                        + 2.2 * (-f64::from(e) * rate).exp()
                        + bump * (f64::from(e) * 1.7).sin() / f64::from(e),
                )
            })
            .collect()
    };
    let accuracy = |points: &[(f64, f64)]| points.iter().map(|&(e, l)| (e, 1.0 - l * 0.3)).collect();
    let (train, test) = (decay(0.35, 0.02, 0.02), decay(0.33, 0.09, 0.06));
    let series = |name: &str, points: Vec<(f64, f64)>| Series { name: name.to_owned(), points };
    Chart {
        title: "digits, 64-128-10".to_owned(),
        x_label: "epoch".to_owned(),
        panels: vec![
            Panel {
                y_label: "loss".to_owned(),
                log_y: true,
                series: vec![series("train", train.clone()), series("test", test.clone())],
            },
            Panel {
                y_label: "accuracy".to_owned(),
                log_y: false,
                series: vec![series("train", accuracy(&train)), series("test", accuracy(&test))],
            },
        ],
    }
}

fn step_times() -> Chart {
    let wave = |step: u32| 1.1 + 0.2 * (f64::from(step) * 0.013).sin() + 0.1 * (f64::from(step) * 1.3).cos();
    let points = (0..5_000)
        .map(|s| (f64::from(s), if (2_000..2_300).contains(&s) { f64::NAN } else { wave(s) }))
        .collect();
    let series = vec![
        Series { name: "step".to_owned(), points },
        Series { name: "mean".to_owned(), points: vec![(0.0, 1.1), (4_999.0, 1.12)] },
        Series { name: "none yet".to_owned(), points: Vec::new() },
    ];
    let panel = Panel { y_label: "time per step / ms".to_owned(), log_y: false, series };
    Chart { title: String::new(), x_label: "step".to_owned(), panels: vec![panel] }
}

struct Builder {
    picture: Picture,
    part: Part,
    cluster: Option<String>,
}

impl Builder {
    fn new(title: &str) -> Builder {
        Builder { picture: Picture::new(title), part: Part::Forward, cluster: None }
    }

    fn add(&mut self, kind: Kind, name: Option<&str>, label: &[&str], inputs: &[usize]) -> usize {
        let mut node = Node::new(kind, self.part, label);
        node.name = name.map(str::to_owned);
        node.cluster.clone_from(&self.cluster);
        let index = self.picture.node(node);
        inputs.iter().for_each(|&input| self.picture.edge(input, index));
        index
    }

    fn input(&mut self, name: &str, ty: &str) -> usize {
        self.add(Kind::Input, Some(name), &[ty], &[])
    }

    fn parameter(&mut self, name: &str, ty: &str) -> usize {
        self.add(Kind::Parameter, Some(name), &[ty], &[])
    }

    fn constant(&mut self, value: &str, ty: &str) -> usize {
        self.add(Kind::Constant, None, &[value, ty], &[])
    }

    fn op(&mut self, op: &str, ty: &str, inputs: &[usize]) -> usize {
        self.add(Kind::Operation, None, &[op, ty], inputs)
    }

    fn name(&mut self, node: usize, name: &str) {
        self.picture.nodes[node].name = Some(name.to_owned());
    }

    fn result(&mut self, node: usize, name: &str) {
        self.name(node, name);
        self.picture.nodes[node].kind = Kind::Output;
    }
}

//! What the passes cost on a large graph: `cargo run --release -p backprop-opt --example simplify_cost [N]
//! [grad]`.
//!
//! A random DAG of N scalar nodes (default 10⁶), and its gradient; prints seconds on the clock and of the
//! processor, and the process's high-water mark in bytes per node (Linux).

use std::time::Instant;

use backprop_core::{Graph, Tensor};
use backprop_opt::simplify::{Options, simplify};

fn main() {
    let n: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let start = Instant::now();
    let (g, y, x) = random(n);
    let built = start.elapsed();
    let records = g.records();
    drop(g);
    let before = high_water();
    report("value", &records, &[y]);
    println!(
        "build {built:?}; peak {:.0} bytes a node before, {:.0} after",
        before / n as f64,
        high_water() / n as f64
    );
    if std::env::args().nth(2).is_some() {
        let g = Graph::from_records((*records).clone());
        drop(records);
        let start = Instant::now();
        let [dx] = backprop_ad::grad(g.tensor(y), [g.tensor(x)]);
        println!("grad {:?}", start.elapsed());
        let (records, dx) = (g.records(), dx.id());
        drop(g);
        println!("peak {:.0} bytes a node", high_water() / n as f64);
        report("value and gradient", &records, &[y, dx]);
        println!("peak {:.0} bytes a node", high_water() / n as f64);
    }
}

fn report(what: &str, records: &backprop_core::Records, roots: &[u32]) {
    for (name, options) in [("exact", Options::EXACT), ("fast", Options::FAST)] {
        let (start, began) = (Instant::now(), worked());
        let simplified = simplify(records, roots, options).expect("well-typed");
        let (before, after) = (records.n_nodes(), simplified.records.n_nodes());
        let (clock, worked) = (start.elapsed().as_secs_f64(), worked() - began);
        println!(
            "{what}, {name}: {before} nodes to {after} in {clock:.2} s ({worked:.2} s of the processor)"
        );
    }
}

/// A DAG whose nodes read others of the last hundred.
fn random(n: usize) -> (Graph, u32, u32) {
    let g = Graph::new();
    let x = g.input("x", "f64[]");
    let mut recent: Vec<Tensor> = vec![x; 100];
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for at in 0..n {
        let (a, b) = (recent[draw(100)], recent[draw(100)]);
        let y = match draw(6) {
            0 => a.sin(),
            1 => a.tanh(),
            2 => a + b,
            3 => a - b,
            4 => a * b,
            _ => a.maximum(b),
        };
        recent[at % 100] = y;
    }
    let sum = recent.iter().skip(1).fold(recent[0], |sum, &y| sum + y);
    (g, sum.id(), x.id())
}

/// Seconds that the processor worked for this process, in its own and the system's code; 0 where that is not told.
fn worked() -> f64 {
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or("").split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// The most memory that the process held, in bytes; 0 where that is not told.
fn high_water() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).map_or(0.0, |kb| kb * 1024.0)
}

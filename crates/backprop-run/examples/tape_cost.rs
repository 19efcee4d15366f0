//! What a small operation costs on a recording tape: `cargo run --release -p backprop-run --example
//! tape_cost`. Prints nanoseconds per operation, the median and the smallest of the rounds.

use std::hint::black_box;
use std::time::Instant;

use backprop_core::{Array, Tensor};
use backprop_run::Tape;

const OPS: usize = 500;
const ROUNDS: usize = 200;

fn measure(name: &str, op: impl Fn(Tensor, Tensor) -> Tensor) {
    let tape = Tape::new();
    let array = |value: f32| Array::new([1, 16], vec![value; 16]).expect("16 elements");
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            tape.scope(|scope| {
                let (mut z, y) = (scope.value(array(1.0)), scope.value(array(1e-3)));
                for _ in 0..OPS {
                    z = op(z, y);
                }
                black_box(z);
            });
            start.elapsed().as_nanos() as f64 / OPS as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{name:<24} median {:6.1} ns   min {:6.1} ns", rounds[ROUNDS / 2], rounds[0]);
}

fn main() {
    measure("1×16 add", |z, y| z + y);
    measure("1×16 tanh", |z, _| z.tanh());
    measure("1×16 times a literal", |z, _| z * 0.5);
    measure("1×16 summed", |_, y| y.sum(1));
}

//! The speed of the functions, over 16,384 elements in L1 and L2: `throughput` (best of 200 runs).

use std::time::Instant;

use backprop_core::ops::{Binary, Unary};
use backprop_cpu::math::{Scalar, binary_block, unary_block};

const N: usize = 16_384;

fn main() {
    println!("{:12} {:>8} {:>8}   billion elements a second", "", "f32", "f64");
    for &op in Unary::ALL {
        println!("{:12} {:8.2} {:8.2}", op.name(), unary::<f32>(op), unary::<f64>(op));
    }
    for &op in Binary::ALL {
        println!("{:12} {:8.2} {:8.2}", op.name(), binary::<f32>(op), binary::<f64>(op));
    }
}

/// Numbers of −4 ..= 4, or of 0 ..= 4 where others have no image.
fn inputs<T: Scalar>(low: f64) -> Vec<T> {
    (0..N).map(|i| T::default().lit(low + (4.0 - low) * (i as f64 / N as f64))).collect()
}

fn unary<T: Scalar>(op: Unary) -> f64 {
    let x = inputs::<T>(if op == Unary::Log { 0.001 } else { -4.0 });
    let mut y = x.clone();
    best(|| unary_block(op, &x, &mut y))
}

fn binary<T: Scalar>(op: Binary) -> f64 {
    let (a, b) = (inputs::<T>(0.001), inputs::<T>(-4.0));
    let mut y = a.clone();
    best(|| binary_block(op, &a, &b, &mut y))
}

/// Elements a nanosecond.
fn best(mut run: impl FnMut()) -> f64 {
    let time = |_| {
        let start = Instant::now();
        run();
        start.elapsed().as_nanos() as f64
    };
    N as f64 / (0..200).map(time).fold(f64::INFINITY, f64::min)
}

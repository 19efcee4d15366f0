//! How far the functions are from the truth; those of f32 over all 2³² inputs:
//!
//! ```text
//! cargo run --release -p backprop-cpu --example ulp -- exp            each input
//! cargo run --release -p backprop-cpu --example ulp -- all 97         every 97th input, of each function
//! cargo run --release -p backprop-cpu --example ulp -- pow 1000000    random pairs
//! cargo run --release -p backprop-cpu --example ulp -- f64 FILE       f64, lines of math-script/goldens.py
//! ```
//!
//! For f32 the truth is the same function in f64, of `std` and `libm`. One ULP is the distance of the two f32s that
//! the truth lies between (2⁻¹⁴⁹ at least); ∞ counts as 2¹²⁸.

use std::collections::BTreeMap;

use backprop_core::ops::{Binary, Unary};
use backprop_cpu::math::{binary, binary_block, unary, unary_block};

const BLOCK: usize = 4096;

fn main() {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_else(|| "all".to_owned());
    if name == "f64" {
        return digits(&args.next().expect("f64 takes a file"));
    }
    let number = args.next().map(|text| text.parse::<u64>().expect("the second argument is a number"));
    if name == "pow" {
        return pow(number.unwrap_or(100_000_000));
    }
    let ops = Unary::ALL.iter().filter(|op| name == "all" || op.name() == name);
    ops.for_each(|&op| sweep(op, number.unwrap_or(1)));
}

/// The largest error so far, and where.
#[derive(Default)]
struct Worst {
    ulp: f64,
    at: String,
    n_wrong: u64,
}

impl Worst {
    fn take(&mut self, y: f32, truth: f64, at: impl Fn() -> String) {
        let ulp = error(y, truth);
        if ulp.is_infinite() {
            self.n_wrong += 1;
            if self.n_wrong <= 3 {
                println!("  wrong: {} = {y:e}, should be {truth:e}", at());
            }
        } else if ulp > self.ulp {
            *self = Worst { ulp, at: at(), n_wrong: self.n_wrong };
        }
    }

    fn print(&self, name: &str) {
        println!("{name:10} {:.4} ULP at {}; wrong NaN, ∞ or sign: {}", self.ulp, self.at, self.n_wrong);
    }
}

/// f64 against the digits in a file.
fn digits(path: &str) {
    let text = std::fs::read_to_string(path).expect("the file can be read");
    let mut worst = BTreeMap::<&str, Worst>::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let name = words.next().expect("a name");
        let mut number =
            || f64::from_bits(u64::from_str_radix(words.next().expect("bits"), 16).expect("hex"));
        let (a, b, high, rest) = (number(), number(), number(), number());
        let y = match Unary::ALL.iter().find(|op| op.name() == name) {
            Some(&op) => unary(op, a),
            None => binary(Binary::Pow, a, b),
        };
        let exponent = ((high.to_bits() >> 52) & 0x7ff) as i32 - 1023;
        // In two steps: 2⁻¹⁰⁷⁴ at once would be made of its reciprocal, ∞.
        let ulp = 2f64.powi(exponent.max(-1022) - 52 + 500) * 2f64.powi(-500);
        let error = ((y - high) / ulp - rest).abs();
        let worst = worst.entry(name).or_default();
        if error.is_nan() || error > worst.ulp {
            *worst = Worst { ulp: error, at: format!("{a:e}, {b:e}"), n_wrong: 0 };
        }
    }
    worst.iter().for_each(|(name, worst)| worst.print(name));
}

/// In ULP; ∞ for a NaN too many or too few, or a wrong sign of 0.
#[inline(always)]
fn error(y: f32, truth: f64) -> f64 {
    const AFTER_THE_LAST: f64 = (1u128 << 127) as f64 * 2.0;
    let wide = f64::from(y);
    if wide == truth {
        let is_same = truth != 0.0 || wide.is_sign_negative() == truth.is_sign_negative();
        return if is_same { 0.0 } else { f64::INFINITY };
    }
    if wide.is_nan() && truth.is_nan() {
        return 0.0;
    }
    // A zero is no subnormal number, however small.
    if truth == 0.0 || truth.is_nan() {
        return f64::INFINITY;
    }
    let biased = ((truth.to_bits() >> 52) & 0x7ff).clamp(1023 - 126, 1023 + 127);
    let ulp = f64::from_bits((biased - 23) << 52);
    let bounded = |v: f64| v.clamp(-AFTER_THE_LAST, AFTER_THE_LAST);
    let ulp = (bounded(wide) - bounded(truth)).abs() / ulp;
    if ulp.is_nan() { f64::INFINITY } else { ulp }
}

fn sweep(op: Unary, step: u64) {
    let mut worst = Worst::default();
    let (mut x, mut y) = (vec![0f32; BLOCK], vec![0f32; BLOCK]);
    let mut next = 0;
    while next < 1 << 32 {
        x.iter_mut().enumerate().for_each(|(i, x)| {
            *x = f32::from_bits((next + step * i as u64).min(u64::from(u32::MAX)) as u32);
        });
        next += step * BLOCK as u64;
        unary_block(op, &x, &mut y);
        for (&x, &y) in x.iter().zip(&y) {
            worst.take(y, op.reference(f64::from(x)), || format!("{x:e} ({:#010x})", x.to_bits()));
        }
    }
    worst.print(op.name());
}

fn pow(n_pairs: u64) {
    let mut worst = Worst::default();
    let mut state = 1u64;
    let mut random = || {
        // SplitMix64: Steele, Lea and Flood 2014.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let (mut a, mut b, mut y) = (vec![0f32; BLOCK], vec![0f32; BLOCK], vec![0f32; BLOCK]);
    for _ in 0..n_pairs.div_ceil(BLOCK as u64) {
        for (a, b) in a.iter_mut().zip(&mut b) {
            let bits = random();
            // Half of the bases near 1; exponents such that most results are finite.
            *a = match bits & 3 {
                0 => f32::from_bits((bits >> 32) as u32),
                1 => f32::from_bits((bits >> 33) as u32),
                _ => 1.0 + ((bits >> 40) as f32 / 16_777_216.0 - 0.5) * 2f32.powi(-((bits >> 4) as i32 & 15)),
            };
            let reach = 110.0 / f64::from(*a).abs().ln();
            *b = ((random() >> 11) as f64 / 2f64.powi(52) * reach - reach) as f32;
            if bits & 0x70 == 0 {
                *b = b.round();
            }
        }
        binary_block(Binary::Pow, &a, &b, &mut y);
        for ((&a, &b), &y) in a.iter().zip(&b).zip(&y) {
            worst.take(y, Binary::Pow.reference(f64::from(a), f64::from(b)), || format!("{a:e}, {b:e}"));
        }
    }
    worst.print("pow");
}

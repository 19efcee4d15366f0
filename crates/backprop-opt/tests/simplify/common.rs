//! Graphs as text, arrays that are special, and what equal means.

use backprop_core::text::{Document, Registry, parse};
use backprop_core::{Array, DType, Element, Op, Records, ValueId, with_dtype};

/// The graph of a row's text, where `;` ends a line.
#[track_caller]
pub fn graph(text: &str) -> Document {
    let text = format!("graph {{\n{}\n}}\n", text.replace(';', "\n"));
    parse(&text, "row.graph", &|_| None, &Registry::new()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Every input with numbers among which NaN, infinities, both zeros and subnormals are.
pub fn special_inputs(records: &Records, seed: usize) -> Vec<(ValueId, Array)> {
    let floats = [
        f64::NAN,
        1.5,
        f64::INFINITY,
        -0.0,
        -2.25,
        f64::NEG_INFINITY,
        0.0,
        1e-40,
        -3e38,
        0.7,
        -1e-310,
        1.7e308,
        -1.0,
        5.0,
    ];
    let ints = [0, 1, -1, 3, 7, i64::MAX, i64::MIN, 255, -128, 2, 1 << 31, 40];
    inputs(records, |dtype, idx| {
        let at = 5 * idx + 3 * seed + idx * idx * seed;
        let int = if dtype == DType::Bool { (at / 3 % 2) as i64 } else { ints[at % ints.len()] };
        (floats[at % floats.len()], int)
    })
}

/// Every input with numbers of everyday size.
pub fn plain_inputs(records: &Records, seed: usize) -> Vec<(ValueId, Array)> {
    inputs(records, |dtype, idx| {
        let wave = (0.618_033_988_749_895 * (idx + 7 * seed + 1) as f64).fract();
        let int = if dtype == DType::Bool { (wave > 0.5) as i64 } else { (wave * 3.0) as i64 };
        (0.1 + 2.0 * wave, int)
    })
}

fn inputs(records: &Records, at: impl Fn(DType, usize) -> (f64, i64)) -> Vec<(ValueId, Array)> {
    let mut offset = 0;
    let mut all = Vec::new();
    for node in records.nodes() {
        let Op::Input(input) = &node.op else { continue };
        let sizes: Vec<usize> = input.ty.shape.iter().map(|dim| dim.size().unwrap_or(5)).collect();
        let n: usize = sizes.iter().product();
        let array = with_dtype!(input.ty.dtype, |T| {
            let value = |idx: usize| {
                let (float, int) = at(T::DTYPE, offset + idx);
                if T::DTYPE.is_float() { T::from_f64(float) } else { T::from_i64_wrapping(int) }
            };
            Array::new(&sizes[..], (0..n).map(value).collect::<Vec<T>>()).expect("as many as the sizes say")
        });
        offset += n + 1;
        all.push((node.first, array));
    }
    all
}

/// Whether both hold the same bits; any NaN is as good as any other.
pub fn same(a: &Array, b: &Array) -> bool {
    a.dtype() == b.dtype()
        && a.sizes() == b.sizes()
        && if a.dtype().is_float() {
            let bits = |x: f64| if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() };
            a.to_f64s().into_iter().map(bits).eq(b.to_f64s().into_iter().map(bits))
        } else {
            a.same_bits(b)
        }
}

/// The largest difference, relative to the largest element; infinite where one is finite and the other is not.
pub fn distance(a: &Array, b: &Array) -> f64 {
    assert_eq!((a.dtype(), a.sizes()), (b.dtype(), b.sizes()));
    let (a, b) = (a.to_f64s(), b.to_f64s());
    let scale = a.iter().chain(&b).filter(|x| x.is_finite()).fold(1e-300f64, |m, x| m.max(x.abs()));
    let apart = |(&x, &y): (&f64, &f64)| match (x.is_nan() && y.is_nan()) || x == y {
        true => 0.0,
        false if x.is_finite() && y.is_finite() => (x - y).abs() / scale,
        false => f64::INFINITY,
    };
    a.iter().zip(&b).map(apart).fold(0.0, f64::max)
}

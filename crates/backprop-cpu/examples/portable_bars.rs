//! The portable engine against a copy and against a library: median, 10 % and 90 % of alternating pairs.
//!
//! ```text
//! cargo run --release -p backprop-cpu --example portable_bars [pairs]
//! ```

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use backprop_core::ops::{Binary, Compare};
use backprop_core::{Array, DType};
use backprop_cpu::engine::{Choice, Compiled, Engine};
use backprop_cpu::isa::Isa;
use backprop_opt::loops::{
    Access, Buffer, Code, Contraction, Factor, Home, Instr, Kind, Nest, Place, Program, Reg, Stage, Step,
    Store,
};
use smallvec::smallvec;

fn main() {
    let pairs = std::env::args().nth(1).and_then(|pairs| pairs.parse().ok()).unwrap_or(30);
    for isa in [Isa::Avx2, Isa::Avx512].into_iter().filter(|isa| isa.is_available()) {
        pointwise(isa, pairs);
        contraction(isa, 512, pairs);
    }
    steps();
}

/// What a step costs besides its work: 100 steps of 8 elements.
fn steps() {
    const N: usize = 100;
    let mut code = Code::default();
    let x = code.access(line(0));
    let x = code.push(Instr::Load(x), DType::F32);
    let y = code.push(Instr::Binary(Binary::Add, x, x), DType::F32);
    let stores = vec![Store { value: y, to: line(1), watched: false }];
    let stage = Stage { columns: smallvec![8], code, stores, reduces: Vec::new() };
    let kind = Kind::Nest(Nest { stages: vec![stage], ..Nest::default() });
    let mut program = program(&[8], 8, kind);
    program.steps = vec![program.steps[0].clone(); N];
    let compiled = Compiled::new(Arc::new(program), Choice::default()).expect("the program is sound");
    let mut arena = compiled.arena(1).expect("there is memory");
    let x = Array::vector(vec![1f32; 8]);
    let mut y = [Array::vector(vec![0f32; 8])];
    let mut times = Vec::new();
    for _ in 0..1000 {
        let start = Instant::now();
        compiled.run(&mut arena, &[&x], &mut y).expect("inputs and outputs fit");
        times.push(start.elapsed().as_secs_f64() * 1e9 / N as f64);
    }
    times.sort_by(f64::total_cmp);
    println!("a step of 8 elements: {:.0} ns (least {:.0})", times[500], times[0]);
}

/// 20 ops (add, mul, max, fma, select, four times each) over 10^7 f32, against a copy of as many bytes.
fn pointwise(isa: Isa, pairs: usize) {
    const N: usize = 10_000_000;
    let mut code = Code::default();
    let x = code.access(line(0));
    let mut y = code.push(Instr::Load(x), DType::F32);
    let literal = |code: &mut Code, x: f32| code.push(Instr::Literal(x.to_bits().into()), DType::F32);
    for round in 0..4 {
        let c: Vec<Reg> = (0..7).map(|i| literal(&mut code, 0.25 * (round * 7 + i) as f32 - 3.0)).collect();
        y = code.push(Instr::Binary(Binary::Add, y, c[0]), DType::F32);
        y = code.push(Instr::Binary(Binary::Mul, y, c[1]), DType::F32);
        y = code.push(Instr::Binary(Binary::Maximum, y, c[2]), DType::F32);
        y = code.push(Instr::Fma(y, c[3], c[4]), DType::F32);
        let is_below = code.push(Instr::Compare(Compare::Lt, y, c[5]), DType::Bool);
        y = code.push(Instr::Select(is_below, y, c[6]), DType::F32);
    }
    let stores = vec![Store { value: y, to: line(1), watched: false }];
    let stage = Stage { columns: smallvec![N], code, stores, reduces: Vec::new() };
    let step = Kind::Nest(Nest { stages: vec![stage], ..Nest::default() });
    let program = program(&[N], N, step);
    let x = Array::vector((0..N).map(|i| (i % 1013) as f32 / 100.0 - 5.0).collect::<Vec<f32>>());
    let from = x.slice::<f32>().expect("made as f32").to_vec();
    let mut to = vec![0f32; N];
    compare(&format!("{isa:?}: 20 ops over 10^7, time over a copy's"), program, isa, &[&x], N, pairs, |_| {
        to.copy_from_slice(black_box(&from));
        black_box(&mut to);
    });
}

/// y = a·b, n × n, against `matrixmultiply`.
fn contraction(isa: Isa, n: usize, pairs: usize) {
    let mut code = Code::default();
    let product = code.push(Instr::Product, DType::F32);
    let to =
        Access { place: Place::Buffer(2), offset: 0, rows: smallvec![n as isize], columns: smallvec![1] };
    let stores = vec![Store { value: product, to, watched: false }];
    let stage = Stage { columns: smallvec![n], code, stores, reduces: Vec::new() };
    let factor = |buffer| Factor {
        buffer,
        offset: 0,
        batch_strides: smallvec![],
        row_stride: n as isize,
        column_stride: 1,
    };
    let kind = Kind::Contraction(Box::new(Contraction {
        dtype: DType::F32,
        batch: smallvec![],
        m: n,
        n,
        k: n,
        k_block: 512,
        a: factor(0),
        b: factor(1),
        stage,
    }));
    let program = program(&[n * n, n * n], n * n, kind);
    let matrix =
        |step: usize| Array::vector((0..n * n).map(|i| (i * step % 31) as f32 - 15.0).collect::<Vec<_>>());
    let (a, b) = (matrix(7), matrix(11));
    let (left, right) = (a.slice::<f32>().expect("f32").to_vec(), b.slice::<f32>().expect("f32").to_vec());
    let mut y = vec![0f32; n * n];
    let name = format!("{isa:?}: contraction {n}^3, time over matrixmultiply's");
    compare(&name, program, isa, &[&a, &b], n * n, pairs, |_| {
        // SAFETY: three matrices of n × n elements.
        unsafe {
            let n = n as isize;
            let (a, b) = (left.as_ptr(), right.as_ptr());
            let size = n as usize;
            matrixmultiply::sgemm(size, size, size, 1.0, a, n, 1, b, n, 1, 0.0, y.as_mut_ptr(), n, 1);
        }
        black_box(&mut y);
    });
}

/// A row-major access of one column loop.
fn line(buffer: u32) -> Access {
    Access { place: Place::Buffer(buffer), offset: 0, rows: smallvec![], columns: smallvec![1] }
}

/// A program of one step, from f32 inputs to an f32 output, buffers in this order.
fn program(inputs: &[usize], output: usize, kind: Kind) -> Program {
    let input = |(at, &len): (usize, &usize)| (Home::Input(at), len);
    let homes = inputs.iter().enumerate().map(input).chain([(Home::Output(0), output)]);
    let buffer = |(home, len)| Buffer { dtype: DType::F32, len, home, label: String::new() };
    let buffers = homes.map(buffer).collect();
    let n = inputs.len() as u32;
    let steps = vec![Step { kind, nodes: Vec::new(), begins: Vec::new() }];
    Program { buffers, steps, inputs: (0..n).collect(), outputs: vec![n], arena_bytes: 0 }
}

fn compare(
    name: &str,
    program: Program,
    isa: Isa,
    inputs: &[&Array],
    n: usize,
    pairs: usize,
    mut other: impl FnMut(usize),
) {
    let choice = Choice { isa, engine: Engine::Portable, ..Choice::default() };
    let compiled = Compiled::new(Arc::new(program), choice).expect("the program is sound");
    let mut arena = compiled.arena(1).expect("there is memory");
    let mut outputs = [Array::zeros(DType::F32, &[n]).expect("there is memory")];
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..pairs + 2 {
        let start = Instant::now();
        compiled.run(&mut arena, inputs, &mut outputs).expect("inputs and outputs fit");
        let own = start.elapsed().as_secs_f64();
        let start = Instant::now();
        other(pair);
        let reference = start.elapsed().as_secs_f64();
        if pair >= 2 {
            ours.push(own * 1e3);
            theirs.push(reference * 1e3);
            ratios.push(own / reference);
        }
    }
    let quantiles = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        [0, 10, 50, 90].map(|percent| values[(values.len() - 1) * percent / 100])
    };
    let [_, low, median, high] = quantiles(ratios);
    let ([own_least, _, own, _], [least, _, reference, _]) = (quantiles(ours), quantiles(theirs));
    println!("{name}: {median:.3} ({low:.3} to {high:.3})");
    println!("    medians {own:.3} and {reference:.3} ms, least {own_least:.3} and {least:.3} ms");
}

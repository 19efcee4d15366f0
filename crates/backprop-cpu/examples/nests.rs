//! Machine code for three nests against the memory that they move: bars 6, 7 and 9 of `docs/benchmarks.md`.
//!
//! `cargo run --release -p backprop-cpu --example nests`
//!
//! Each nest alternates with its floor, in this thread's own time: `memcpy`, or a loop that reads and writes the same arrays and computes
//! nothing. Printed: the medians of both; the median of the pairs' ratios, and what 10 and 90 % of them lie
//! below; the ratio of the best times, which a busy machine moves least.

use std::hint::black_box;
use std::time::Instant;

use backprop_core::DType;
use backprop_core::ops::{Binary, Compare, Unary};
use backprop_cpu::native::{self, Isa};
use backprop_opt::loops::{
    Access, Buffer, Code, Fold, Home, Instr, Kind, Local, Nest, Place, Program, Reduce, Reg, Stage, Step,
    Store,
};

/// Pairs of a nest and its floor.
const PAIRS: usize = 40;

/// A program of one nest over f32s.
struct Draft {
    program: Program,
    nest: Nest,
}

impl Draft {
    fn new(rows: &[usize]) -> Draft {
        Draft {
            program: Program::default(),
            nest: Nest { rows: rows.iter().copied().collect(), ..Nest::default() },
        }
    }

    fn buffer(&mut self, dtype: DType, len: usize, is_written: bool) -> Place {
        let id = self.program.buffers.len() as u32;
        let list = if is_written { &mut self.program.outputs } else { &mut self.program.inputs };
        list.push(id);
        let position = list.len() - 1;
        let home = if is_written { Home::Output(position) } else { Home::Input(position) };
        self.program.buffers.push(Buffer { dtype, len, home, label: String::new() });
        Place::Buffer(id)
    }

    fn local(&mut self, len: usize) -> Place {
        self.nest.locals.push(Local { dtype: DType::F32, len });
        Place::Local(self.nest.locals.len() as u32 - 1)
    }

    fn finish(mut self) -> Program {
        self.program.steps.push(Step { kind: Kind::Nest(self.nest), nodes: Vec::new() });
        self.program.verify().expect("a sound program");
        self.program
    }
}

fn access(place: Place, rows: &[isize], columns: &[isize]) -> Access {
    Access { place, offset: 0, rows: rows.into(), columns: columns.into() }
}

/// Writes code down.
#[derive(Default)]
struct Write(Code);

impl Write {
    fn load(&mut self, access: Access) -> Reg {
        let access = self.0.access(access);
        self.0.push(Instr::Load(access), DType::F32)
    }

    fn literal(&mut self, value: f32) -> Reg {
        self.0.push(Instr::Literal(u64::from(value.to_bits())), DType::F32)
    }

    fn f32(&mut self, instr: Instr) -> Reg {
        self.0.push(instr, DType::F32)
    }

    fn binary(&mut self, op: Binary, a: Reg, b: Reg) -> Reg {
        self.f32(Instr::Binary(op, a, b))
    }
}

/// Four each of add, mul, max, fma, select.
fn pointwise(n: usize) -> Program {
    let mut draft = Draft::new(&[]);
    let (x, y) = (draft.buffer(DType::F32, n, false), draft.buffer(DType::F32, n, true));
    let mut write = Write::default();
    let mut v = write.load(access(x, &[], &[1]));
    for round in 0..4 {
        let [a, b, c, d] = [0.5, 1.25, -0.75, 0.125].map(|value| write.literal(value + round as f32));
        v = write.binary(Binary::Add, v, a);
        v = write.binary(Binary::Mul, v, b);
        v = write.binary(Binary::Maximum, v, c);
        v = write.f32(Instr::Fma(v, d, a));
        let above = write.0.push(Instr::Compare(Compare::Gt, v, b), DType::Bool);
        v = write.f32(Instr::Select(above, c, v));
    }
    let stores = vec![Store { value: v, to: access(y, &[], &[1]), watched: false }];
    draft.nest.stages.push(Stage { columns: [n][..].into(), code: write.0, stores, reduces: Vec::new() });
    draft.finish()
}

/// Adam: p, m and v are updated in place; the steps of p, m and v are watched.
fn adam(n: usize) -> Program {
    let mut draft = Draft::new(&[]);
    let g = draft.buffer(DType::F32, n, false);
    let [p, m, v] = [0; 3].map(|_| draft.buffer(DType::F32, n, true));
    let mut write = Write::default();
    let [g, old_p, old_m, old_v] = [g, p, m, v].map(|place| write.load(access(place, &[], &[1])));
    let [b1, b1c, b2, b2c, rate, epsilon, c1, c2] =
        [0.9, 0.1, 0.999, 0.001, 1e-3, 1e-8, 0.19, 0.002].map(|value| write.literal(value));
    let scaled = write.binary(Binary::Mul, g, b1c);
    let new_m = write.f32(Instr::Fma(old_m, b1, scaled));
    let square = write.binary(Binary::Mul, g, g);
    let scaled = write.binary(Binary::Mul, square, b2c);
    let new_v = write.f32(Instr::Fma(old_v, b2, scaled));
    let m_hat = write.binary(Binary::Div, new_m, c1);
    let v_hat = write.binary(Binary::Div, new_v, c2);
    let root = write.f32(Instr::Unary(Unary::Sqrt, v_hat));
    let root = write.binary(Binary::Add, root, epsilon);
    let step = write.binary(Binary::Mul, m_hat, rate);
    let step = write.binary(Binary::Div, step, root);
    let new_p = write.binary(Binary::Sub, old_p, step);
    let to = [(new_p, p), (new_m, m), (new_v, v)];
    let stores = to
        .map(|(value, place)| Store { value, to: access(place, &[], &[1]), watched: true })
        .into_iter()
        .collect();
    draft.nest.stages.push(Stage { columns: [n][..].into(), code: write.0, stores, reduces: Vec::new() });
    draft.finish()
}

/// Softmax cross-entropy of [rows, classes] against labels, and its gradient.
fn cross_entropy(rows: usize, classes: usize) -> Program {
    let mut draft = Draft::new(&[rows]);
    let x = draft.buffer(DType::F32, rows * classes, false);
    let label = draft.buffer(DType::I64, rows, false);
    let loss = draft.buffer(DType::F32, 1, true);
    let dx = draft.buffer(DType::F32, rows * classes, true);
    let [most, sum, at_label] = [0; 3].map(|_| draft.local(1));
    let exps = draft.local(classes);
    draft.nest.accumulators = vec![(most, Fold::Max), (sum, Fold::Sum), (loss, Fold::Sum)];
    let (row, one) = (classes as isize, access(most, &[0], &[0]));
    let at = |place: Place| Access { place, ..one.clone() };
    let each = access(x, &[row], &[1]);
    let columns = || [classes][..].into();

    let mut write = Write::default();
    let value = write.load(each.clone());
    let reduces = vec![Reduce { fold: Fold::Max, value, into: at(most), lanes: 64 }];
    draft.nest.stages.push(Stage { columns: columns(), code: write.0, stores: Vec::new(), reduces });

    let mut write = Write::default();
    let (value, largest) = (write.load(each.clone()), write.load(at(most)));
    let less = write.binary(Binary::Sub, value, largest);
    let exp = write.f32(Instr::Unary(Unary::Exp, less));
    let stores = vec![Store { value: exp, to: access(exps, &[0], &[1]), watched: false }];
    let reduces = vec![Reduce { fold: Fold::Sum, value: exp, into: at(sum), lanes: 64 }];
    draft.nest.stages.push(Stage { columns: columns(), code: write.0, stores, reduces });

    // The row's loss: ln Σ + max − x[label].
    let mut write = Write::default();
    let still = |place: Place| access(place, &[0], &[]);
    let (total, largest) = (write.load(still(sum)), write.load(still(most)));
    let labels = write.0.access(access(label, &[1], &[]));
    let index = write.0.push(Instr::Load(labels), DType::I64);
    let first = write.0.access(access(x, &[row], &[]));
    let chosen = write.f32(Instr::Gather { access: first, index, stride: 1, bound: classes as u64 });
    let log = write.f32(Instr::Unary(Unary::Log, total));
    let log = write.binary(Binary::Add, log, largest);
    let row_loss = write.binary(Binary::Sub, log, chosen);
    let share = write.literal(1.0 / rows as f32);
    let scale = write.binary(Binary::Div, share, total);
    let stores = vec![Store { value: scale, to: still(at_label), watched: false }];
    let reduces = vec![Reduce { fold: Fold::Sum, value: row_loss, into: still(loss), lanes: 1 }];
    draft.nest.stages.push(Stage { columns: [][..].into(), code: write.0, stores, reduces });

    let mut write = Write::default();
    let (exp, scale) = (write.load(access(exps, &[0], &[1])), write.load(at(at_label)));
    let labels = write.0.access(access(label, &[1], &[0]));
    let index = write.0.push(Instr::Load(labels), DType::I64);
    let index = write.0.push(Instr::Cast(index), DType::I32);
    let count = write.0.access(access(x, &[0], &[1]));
    let count = write.0.push(Instr::Count(count), DType::I64);
    let count = write.0.push(Instr::Cast(count), DType::I32);
    let is_label = write.0.push(Instr::Compare(Compare::Eq, count, index), DType::Bool);
    let (share, zero) = (write.literal(1.0 / rows as f32), write.literal(0.0));
    let chosen = write.f32(Instr::Select(is_label, share, zero));
    let slope = write.f32(Instr::Binary(Binary::Mul, exp, scale));
    let slope = write.binary(Binary::Sub, slope, chosen);
    let stores = vec![Store { value: slope, to: access(dx, &[row], &[1]), watched: true }];
    draft.nest.stages.push(Stage { columns: columns(), code: write.0, stores, reduces: Vec::new() });
    draft.finish()
}

/// f32s that start `shift` elements behind a multiple of 64 bytes.
struct Floats {
    room: Vec<f32>,
    start: usize,
    len: usize,
}

impl Floats {
    fn new(len: usize, shift: usize) -> Floats {
        let room: Vec<f32> = (0..len + 32).map(|i| (i % 1013) as f32 * 0.01 + 0.5).collect();
        let start = room.as_ptr().align_offset(64) + shift;
        Floats { room, start, len }
    }

    fn slice(&mut self) -> &mut [f32] {
        &mut self.room[self.start..][..self.len]
    }

    fn base(&mut self) -> *mut u8 {
        self.slice().as_mut_ptr().cast()
    }
}

/// The seconds that this thread has run for: others on the machine do not count.
#[cfg(unix)]
fn own_time() -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is there to be written.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut now) };
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

#[cfg(not(unix))]
fn own_time() -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

/// Runs a program and its floor in turn, and prints what was measured.
fn compare(name: &str, program: &Program, bases: &[*mut u8], mut floor: impl FnMut()) {
    let Kind::Nest(nest) = &program.steps[0].kind else { return };
    for isa in Isa::available() {
        let start = Instant::now();
        let Some(kernel) = native::nest(program, nest, isa) else {
            println!("{name} {isa:?}: no code");
            continue;
        };
        let compiled = start.elapsed();
        let mut scratch = Floats::new(kernel.scratch_bytes() / 4 + 16, 0);
        let mut run = || {
            // SAFETY: the program is verified; the buffers are as long as it says, and nobody else's.
            black_box(unsafe { kernel.run(bases, scratch.base(), 0..kernel.n_units()) });
        };
        let time = |work: &mut dyn FnMut()| {
            let start = own_time();
            work();
            (own_time() - start) * 1e3
        };
        run();
        floor();
        let pairs: Vec<(f64, f64)> = (0..PAIRS).map(|_| (time(&mut run), time(&mut floor))).collect();
        let quantile = |values: Vec<f64>, at: f64| {
            let mut sorted = values;
            sorted.sort_by(f64::total_cmp);
            sorted[((sorted.len() - 1) as f64 * at) as usize]
        };
        let ratios = || pairs.iter().map(|(run, floor)| run / floor).collect::<Vec<_>>();
        let best = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).fold(f64::INFINITY, f64::min);
        println!(
            "{name} {isa:?}: {:.2} ms, floor {:.2} ms, ratio {:.3} ({:.3} to {:.3}), of the best {:.3}, compiled in {:.0} us",
            quantile(pairs.iter().map(|pair| pair.0).collect(), 0.5),
            quantile(pairs.iter().map(|pair| pair.1).collect(), 0.5),
            quantile(ratios(), 0.5),
            quantile(ratios(), 0.1),
            quantile(ratios(), 0.9),
            best(|pair| pair.0) / best(|pair| pair.1),
            compiled.as_secs_f64() * 1e6,
        );
    }
}

/// Reads four arrays and writes three of them; the sums of bits stand for nothing, and cost nothing.
fn touch(g: &[f32], p: &mut [f32], m: &mut [f32], v: &mut [f32]) {
    let all = p.iter_mut().zip(m.iter_mut()).zip(v.iter_mut()).zip(g);
    for (((p, m), v), g) in all {
        let bits = g.to_bits() & 1;
        *p = f32::from_bits(p.to_bits() ^ bits);
        *m = f32::from_bits(m.to_bits() ^ bits);
        *v = f32::from_bits(v.to_bits() ^ bits);
    }
}

fn main() {
    let n = 10_000_000;
    for shift in [0, 4] {
        let (mut x, mut y, mut copy) = (Floats::new(n, shift), Floats::new(n, shift), Floats::new(n, shift));
        let bases = [x.base(), y.base()];
        let memcpy = || black_box(copy.slice()).copy_from_slice(black_box(x.slice()));
        compare(&format!("bar 6, 20 ops, {} bytes off", 4 * shift), &pointwise(n), &bases, memcpy);
    }
    {
        let (rows, classes) = (16384, 1000);
        let n = rows * classes;
        let (mut x, mut dx, mut copy) = (Floats::new(n, 0), Floats::new(n, 0), Floats::new(n, 0));
        let mut loss = Floats::new(1, 0);
        let mut labels: Vec<i64> = (0..rows as i64).map(|row| row * 7919 % classes as i64).collect();
        let bases = [x.base(), labels.as_mut_ptr().cast(), loss.base(), dx.base()];
        let memcpy = || black_box(copy.slice()).copy_from_slice(black_box(x.slice()));
        compare("bar 7, softmax cross-entropy", &cross_entropy(rows, classes), &bases, memcpy);
    }
    {
        let [mut g, mut p, mut m, mut v] = [0; 4].map(|_| Floats::new(n, 0));
        let bases = [g.base(), p.base(), m.base(), v.base()];
        let floor = || touch(black_box(g.slice()), p.slice(), m.slice(), v.slice());
        compare("bar 9, Adam", &adam(n), &bases, floor);
    }
}

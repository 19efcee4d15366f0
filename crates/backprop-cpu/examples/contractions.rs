//! How fast contractions run: GFLOP/s, the fraction of the FMA peak of the same run, and the ratio to
//! `matrixmultiply`, interleaved. Packing and the stage are counted. Times are of the processor, so that a
//! neighbour on the core counts only for what it does to the caches.
//!
//! ```text
//! cargo run --release -p backprop-cpu --example contractions [-- PART OF A NAME [Avx512 | Avx2]]
//! ```

#[cfg(not(all(unix, target_arch = "x86_64")))]
fn main() {
    println!("there is machine code for x86-64 only");
}

#[cfg(all(unix, target_arch = "x86_64"))]
fn main() {
    measuring::main();
}

#[cfg(all(unix, target_arch = "x86_64"))]
mod measuring {

    use std::hint::black_box;
    use std::time::{Duration, Instant};

    use backprop_core::DType;
    use backprop_core::ops::{Binary, Compare};
    use backprop_cpu::native::{self, Isa};
    use backprop_opt::loops::{
        Access, Buffer, Code, Contraction, Factor, Home, Instr, Kind, Place, Program, Stage, Step, Store,
    };

    /// What is done with each product.
    #[derive(Clone, Copy, PartialEq)]
    enum Work {
        /// y = p
        Store,
        /// y = max(p + bias, 0)
        Forward,
        /// w' = w − η·p, and w' is the next one's w
        Update,
        /// y = p where h > 0, else 0
        Backward,
    }

    /// A product [m, k]·[k, n]; strides are (row, column).
    struct Case {
        name: &'static str,
        sizes: (usize, usize, usize),
        a: (usize, usize),
        b: (usize, usize),
        y: (usize, usize),
        work: Work,
    }

    /// A layer's three products, its weight [out, in] as `Linear` has it.
    fn layer(name: &'static str, batch: usize, n_in: usize, n_out: usize) -> [Case; 3] {
        [
            Case {
                name: leak(format!("{name} forward")),
                sizes: (batch, n_in, n_out),
                a: (n_in, 1),
                b: (1, n_in),
                y: (n_out, 1),
                work: Work::Forward,
            },
            Case {
                name: leak(format!("{name} dW")),
                sizes: (n_out, batch, n_in),
                a: (1, n_out),
                b: (n_in, 1),
                y: (n_in, 1),
                work: Work::Update,
            },
            Case {
                name: leak(format!("{name} dX")),
                sizes: (batch, n_out, n_in),
                a: (n_out, 1),
                b: (n_in, 1),
                y: (n_in, 1),
                work: Work::Backward,
            },
        ]
    }

    fn leak(text: String) -> &'static str {
        Box::leak(text.into_boxed_str())
    }

    fn square(name: &'static str, m: usize, k: usize, n: usize) -> Case {
        Case { name, sizes: (m, k, n), a: (k, 1), b: (n, 1), y: (n, 1), work: Work::Store }
    }

    /// The layouts that a compiler which owns them would choose.
    fn owned(name: &'static str, batch: usize, n_in: usize, n_out: usize) -> [Case; 3] {
        [
            // x transposed, w [out, in], y transposed
            Case {
                name: leak(format!("{name} forward, activations [features, batch]")),
                sizes: (n_out, n_in, batch),
                a: (n_in, 1),
                b: (batch, 1),
                y: (batch, 1),
                work: Work::Forward,
            },
            // w [in, out]
            Case {
                name: leak(format!("{name} forward, w [in, out]")),
                sizes: (batch, n_in, n_out),
                a: (n_in, 1),
                b: (n_out, 1),
                y: (n_out, 1),
                work: Work::Forward,
            },
            Case {
                name: leak(format!("{name} dX, activations [features, batch]")),
                sizes: (n_in, n_out, batch),
                a: (1, n_in),
                b: (batch, 1),
                y: (batch, 1),
                work: Work::Backward,
            },
        ]
    }

    impl Case {
        fn program(&self, k_block: usize) -> Program {
            let (m, k, n) = self.sizes;
            let mut program = Program::default();
            let reach = |sizes: (usize, usize), strides: (usize, usize)| {
                (sizes.0 - 1) * strides.0 + (sizes.1 - 1) * strides.1 + 1
            };
            let lens = [
                reach((m, k), self.a),
                reach((k, n), self.b),
                reach((m, n), self.y),
                n,
                reach((m, n), self.y),
            ];
            for (id, len) in lens.into_iter().enumerate() {
                let list = if id == 2 { &mut program.outputs } else { &mut program.inputs };
                let home = if id == 2 { Home::Output(list.len()) } else { Home::Input(list.len()) };
                list.push(id as u32);
                program.buffers.push(Buffer { dtype: DType::F32, len, home, label: String::new() });
            }
            let access = |buffer: u32, strides: (usize, usize)| Access {
                place: Place::Buffer(buffer),
                offset: 0,
                rows: [strides.0 as isize].into_iter().collect(),
                columns: [strides.1 as isize].into_iter().collect(),
            };
            let mut code = Code::default();
            let d = DType::F32;
            let p = code.push(Instr::Product, d);
            let value = match self.work {
                Work::Store => p,
                Work::Forward => {
                    let number = code.access(access(3, (0, 1)));
                    let bias = code.push(Instr::Load(number), d);
                    let sum = code.push(Instr::Binary(Binary::Add, p, bias), d);
                    let zero = code.push(Instr::Literal(0), d);
                    code.push(Instr::Binary(Binary::Maximum, sum, zero), d)
                }
                Work::Update => {
                    let number = code.access(access(4, self.y));
                    let w = code.push(Instr::Load(number), d);
                    let rate = code.push(Instr::Literal((-1e-9f32).to_bits().into()), d);
                    code.push(Instr::Fma(p, rate, w), d)
                }
                Work::Backward => {
                    let number = code.access(access(4, self.y));
                    let h = code.push(Instr::Load(number), d);
                    let zero = code.push(Instr::Literal(0), d);
                    let mask = code.push(Instr::Compare(Compare::Gt, h, zero), DType::Bool);
                    code.push(Instr::Select(mask, p, zero), d)
                }
            };
            let stores = vec![Store { value, to: access(2, self.y), watched: self.work == Work::Update }];
            let stage = Stage { columns: [n].into_iter().collect(), code, stores, reduces: Vec::new() };
            let factor = |buffer: u32, strides: (usize, usize)| Factor {
                buffer,
                offset: 0,
                batch_strides: Default::default(),
                row_stride: strides.0 as isize,
                column_stride: strides.1 as isize,
            };
            let contraction = Contraction {
                dtype: d,
                batch: Default::default(),
                m,
                n,
                k,
                k_block,
                a: factor(0, self.a),
                b: factor(1, self.b),
                stage,
            };
            program.steps.push(Step {
                kind: Kind::Contraction(Box::new(contraction)),
                nodes: Vec::new(),
                begins: Vec::new(),
            });
            program.verify().expect("the program is sound");
            program
        }
    }

    /// The best of a few loops of FMAs on registers, in GFLOP/s.
    fn peak(isa: Isa) -> f64 {
        let mut best = 0.0f64;
        for _ in 0..3 {
            let start = processor_time();
            // SAFETY: the CPU has the instruction set.
            let flops = unsafe {
                match isa {
                    Isa::Avx512 => fma_512(3000),
                    Isa::Avx2 => fma_256(3000),
                }
            };
            best = best.max(flops / (processor_time() - start).as_secs_f64() / 1e9);
        }
        best
    }

    macro_rules! fma_loop {
        ($name:ident, $features:literal, $lanes:literal, $set:path, $fma:path) => {
            #[target_feature(enable = $features)]
            fn $name(n: usize) -> f64 {
                use core::arch::x86_64::*;
                let mut sums = [$set(0.0); 12];
                let (x, y) = (black_box($set(1.0)), black_box($set(0.5)));
                for _ in 0..n {
                    for sum in &mut sums {
                        *sum = $fma(x, y, *sum);
                    }
                }
                black_box(sums);
                (n * 12 * $lanes * 2) as f64
            }
        };
    }
    fma_loop!(fma_512, "avx512f", 16, _mm512_set1_ps, _mm512_fmadd_ps);
    fma_loop!(fma_256, "avx2,fma", 8, _mm256_set1_ps, _mm256_fmadd_ps);

    /// The time that this thread has run: what a neighbour on the core takes is not counted, though what it does to
    /// the caches is.
    fn processor_time() -> Duration {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the clock writes the time to where it is told to.
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut now) };
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    }

    /// Memory aligned to a cache line.
    fn aligned(bytes: usize) -> *mut u8 {
        let align = if bytes >= 1 << 20 { 2 << 20 } else { 64 };
        let layout = std::alloc::Layout::from_size_align(bytes.max(64), align).expect("a layout");
        // SAFETY: the size is not 0.
        unsafe {
            let start = std::alloc::alloc(layout);
            // Large pages: with small ones the products of 2048 × 2048 are 5 to 7 % slower.
            #[cfg(target_os = "linux")]
            if align > 64 {
                libc::madvise(start.cast(), bytes, libc::MADV_HUGEPAGE);
            }
            start.write_bytes(0, bytes);
            start
        }
    }

    fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
        values.sort_by(f64::total_cmp);
        let at = |q: f64| values[((values.len() - 1) as f64 * q) as usize];
        (at(0.5), at(0.1), at(0.9))
    }

    pub fn main() {
        let wanted = std::env::args().nth(1).unwrap_or_default();
        let mut cases = Vec::new();
        cases.extend(layer("784-512 B 128", 128, 784, 512));
        cases.extend(layer("512-512 B 128", 128, 512, 512));
        cases.extend(layer("512-10 B 128", 128, 512, 10));
        cases.extend(layer("784-2048 B 256", 256, 784, 2048));
        cases.extend(layer("2048-2048 B 256", 256, 2048, 2048));
        cases.extend(layer("2048-10 B 256", 256, 2048, 10));
        cases.extend(layer("64-32 B 32", 32, 64, 32));
        cases.extend(layer("32-10 B 32", 32, 32, 10));
        cases.extend(layer("64-64 B 1", 1, 64, 64));
        cases.extend(owned("784-512 B 128", 128, 784, 512));
        cases.extend(owned("512-512 B 128", 128, 512, 512));
        cases.extend(owned("2048-2048 B 256", 256, 2048, 2048));
        cases.extend(owned("64-32 B 32", 32, 64, 32));
        cases.extend(owned("32-10 B 32", 32, 32, 10));
        cases.extend(owned("64-64 B 1", 1, 64, 64));
        cases.push(square("512³", 512, 512, 512));
        cases.push(square("1024³", 1024, 1024, 1024));
        cases.push(square("odd 127·311·257", 127, 311, 257));
        cases.push(square("odd 1021·1013·1019", 1021, 1013, 1019));
        println!(
            "{:48} {:>12}  {:>5} {:>13}  {:>13} {:>8} {:>9}",
            "product (M K N)", "GFLOP/s", "peak", "10-90 %", "matrixmult. ×", "µs", "compile"
        );
        let only = std::env::args().nth(2).unwrap_or_default();
        for isa in Isa::available().into_iter().filter(|isa| format!("{isa:?}").contains(&only)) {
            println!("{isa:?}");
            for case in cases.iter().filter(|case| case.name.contains(&wanted)) {
                measure(case, isa);
            }
        }
    }

    fn measure(case: &Case, isa: Isa) {
        let k = case.sizes.1;
        // Blocks as lowering makes them: as equal as can be, of at most 512 products.
        let program = case.program(k.div_ceil(k.div_ceil(512)));
        let Kind::Contraction(contraction_step) = &program.steps[0].kind else {
            unreachable!("the one step")
        };
        let compile = |_| {
            let start = Instant::now();
            let kernel = native::contraction(&program, contraction_step, isa).expect("there is code");
            (start.elapsed().as_secs_f64() * 1e6, kernel)
        };
        let (compile_us, kernel) =
            (0..5).map(compile).min_by(|a, b| a.0.total_cmp(&b.0)).expect("five tries");
        let (m, k, n) = case.sizes;
        let flops = 2.0 * (m * k * n) as f64;
        let bases: Vec<*mut u8> = program.buffers.iter().map(|buffer| aligned(buffer.bytes())).collect();
        for (&base, buffer) in bases.iter().zip(&program.buffers) {
            for at in 0..buffer.len {
                // SAFETY: the element lies in its buffer.
                unsafe { base.cast::<f32>().add(at).write((at % 17) as f32 / 16.0 - 0.5) };
            }
        }
        let scratch = aligned(kernel.scratch_bytes());
        let n_units = kernel.n_units();
        let n_runs = (2e7 / flops).ceil() as usize;
        let bases = std::cell::RefCell::new(bases);
        let ours = || {
            let mut bases = bases.borrow_mut();
            for _ in 0..n_runs {
                if case.work == Work::Update {
                    bases.swap(2, 4);
                }
                // SAFETY: the program was verified, and the memory is as long as it says.
                black_box(unsafe { kernel.run(&bases, scratch, 0..n_units) });
            }
        };
        let theirs = || {
            let is_update = case.work == Work::Update;
            let (alpha, beta) = if is_update { (-1e-9, 1.0) } else { (1.0, 0.0) };
            let [a, b, y] = [0, 1, 2].map(|id: usize| bases.borrow()[id].cast::<f32>());
            let strides = |(row, column): (usize, usize)| (row as isize, column as isize);
            let ((ra, ca), (rb, cb), (ry, cy)) = (strides(case.a), strides(case.b), strides(case.y));
            for _ in 0..n_runs {
                // SAFETY: the strides stay inside the buffers: the program was verified.
                unsafe { matrixmultiply::sgemm(m, k, n, alpha, a, ra, ca, b, rb, cb, beta, y, ry, cy) };
            }
        };
        let time = |work: &dyn Fn()| {
            let start = processor_time();
            work();
            (processor_time() - start).as_secs_f64() / n_runs as f64
        };
        let (mut fractions, mut ratios, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..32 {
            let best = peak(isa);
            let ours = time(&ours);
            if round % 4 == 0 {
                ratios.push(time(&theirs) / ours);
            }
            fractions.push(flops / ours / 1e9 / best);
            times.push(ours);
        }
        let best_time = times.iter().copied().fold(f64::INFINITY, f64::min);
        let (fraction, low, high) = spread(fractions);
        let (ratio, ratio_low, ratio_high) = spread(ratios);
        let (seconds, ..) = spread(times);
        println!(
            "{:48} {:12.1}  {fraction:5.3} ({low:.3}-{high:.3})  {ratio:.2} ({ratio_low:.2}-{ratio_high:.2}) {:8.2} {compile_us:6.0} µs min {:8.2}",
            format!("{} ({m} {k} {n})", case.name),
            flops / seconds / 1e9,
            seconds * 1e6,
            best_time * 1e6,
        );
    }
}

//! Random nests that hold what `Program::verify` asks for, and bytes for their buffers.

use super::*;
use backprop_opt::loops::{Local, Strides};

/// A random generator: SplitMix64 (Steele, Lea and Flood 2014).
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, choice: &[T]) -> T {
        choice[self.below(choice.len())]
    }

    /// A number of a type: small ones mostly, and all that is special.
    fn bits(&mut self, dtype: DType) -> u64 {
        let small = self.below(21) as i64 - 10;
        match dtype {
            DType::F32 | DType::F64 => {
                let x = match self.below(12) {
                    0 => self.of(&[
                        f64::NAN,
                        f64::INFINITY,
                        -f64::INFINITY,
                        0.0,
                        -0.0,
                        1e-310,
                        3e9,
                        -3e9,
                        5e9,
                        1e19,
                        -1e19,
                        0.5,
                        2.5,
                    ]),
                    1 => (self.next() as f64 / 1e19 - 0.9) * self.of(&[1e-40, 1.0, 300.0, 1e10, 1e30]),
                    _ => small as f64 * self.of(&[1.0, 0.25, 0.3]),
                };
                if dtype == DType::F32 { u64::from((x as f32).to_bits()) } else { x.to_bits() }
            }
            DType::Bool => self.next() & 1,
            DType::I64 => {
                if self.one_in(4) {
                    self.next()
                } else {
                    small as u64
                }
            }
            DType::U8 => self.next() & 0xff,
            _ => {
                if self.one_in(4) {
                    self.next() & 0xffff_ffff
                } else {
                    u64::from(small as u32)
                }
            }
        }
    }

    fn dtype(&mut self) -> DType {
        use DType::*;
        self.of(&[F32, F32, F32, F32, F32, F64, F64, I32, I32, U32, I64, U8, Bool, Bool])
    }

    fn shuffled(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        (1..n).for_each(|i| order.swap(i, self.below(i + 1)));
        order
    }
}

struct Generator<'a> {
    random: &'a mut Random,
    program: Program,
    given: Vec<Vec<u8>>,
    nest: Nest,
    /// Locals that hold a number, or a row of so many columns.
    ready: Vec<(u32, Option<Vec<usize>>)>,
    dtypes: Vec<DType>,
}

/// A program of one nest, and the bytes of its buffers.
pub fn random_program(random: &mut Random) -> (Program, Vec<Vec<u8>>) {
    let rows = match random.below(6) {
        0 | 1 => vec![],
        2 | 3 => vec![random.of(&[1, 2, 3, 5])],
        4 => vec![random.of(&[1, 2, 3]), random.of(&[2, 5])],
        _ => vec![random.of(&[0, 2, 3]), random.of(&[1, 2]), random.of(&[2, 3])],
    };
    let n_dtypes = 1 + random.below(3);
    let mut dtypes: Vec<DType> = (0..n_dtypes).map(|_| random.dtype()).collect();
    dtypes.push(DType::F32);
    let mut generator = Generator {
        random,
        program: Program::default(),
        given: Vec::new(),
        nest: Nest { rows: rows.into_iter().collect(), ..Nest::default() },
        ready: Vec::new(),
        dtypes,
    };
    for _ in 0..generator.random.of(&[1, 1, 1, 2, 3]) {
        generator.stage();
    }
    let Generator { mut program, given, nest, .. } = generator;
    program.steps.push(Step { kind: Kind::Nest(nest), nodes: Vec::new(), begins: Vec::new() });
    (program, given)
}

impl Generator<'_> {
    fn columns(&mut self) -> Vec<usize> {
        let sizes = [1, 2, 3, 4, 5, 7, 8, 11, 13, 16, 17, 19, 31, 32, 37, 67];
        match self.random.below(12) {
            0 | 1 => vec![],
            2 => vec![self.random.of(&[64, 128, 131, 259, 1033])],
            3..=8 => vec![self.random.of(&sizes)],
            9 => vec![self.random.of(&[2, 3, 5]), self.random.of(&sizes)],
            10 => vec![self.random.of(&[2, 3]), self.random.of(&[1, 2, 4]), self.random.of(&sizes)],
            _ => vec![self.random.of(&[0, 3, 17]), self.random.of(&[1, 3, 16])],
        }
    }

    /// A buffer whose elements an access reaches, from its offset on.
    fn buffer(&mut self, dtype: DType, access: &mut Access, columns: &[usize], is_written: bool) -> u32 {
        access.offset = 0;
        let (low, high) = access.range(&self.nest.rows, columns).unwrap_or((0, 0));
        access.offset = -low + self.random.below(3) as isize;
        let len = (high - low + 1) as usize + access.offset as usize - (-low) as usize + self.random.below(2);
        let id = self.program.buffers.len() as u32;
        let home = if is_written {
            self.program.outputs.push(id);
            Home::Output(self.program.outputs.len() - 1)
        } else {
            self.program.inputs.push(id);
            Home::Input(self.program.inputs.len() - 1)
        };
        self.program.buffers.push(Buffer { dtype, len, home, label: String::new() });
        let bytes = (0..len).flat_map(|_| self.random.bits(dtype).to_le_bytes()[..dtype.size()].to_vec());
        self.given.push(bytes.collect());
        access.place = Place::Buffer(id);
        id
    }

    /// An access that reaches each element once at most: loops in any order, each as far as the ones before.
    fn distinct(&mut self, columns: &[usize], is_moved: impl Fn(usize) -> bool) -> Access {
        let first = self.random.of(&[1, 1, 1, 1, 2, 3]);
        self.distinct_from(first, columns, is_moved)
    }

    fn distinct_from(&mut self, first: isize, columns: &[usize], is_moved: impl Fn(usize) -> bool) -> Access {
        let n_rows = self.nest.rows.len();
        let sizes: Vec<usize> = self.nest.rows.iter().chain(columns).copied().collect();
        let mut strides: Strides = sizes.iter().map(|_| 0).collect();
        let order: Vec<usize> = match self.random.below(3) {
            0 => self.random.shuffled(sizes.len()),
            _ => (0..sizes.len()).rev().collect(),
        };
        let mut reach = first;
        for position in order {
            if is_moved(position) {
                let sign = if self.random.one_in(6) { -1 } else { 1 };
                strides[position] = sign * reach;
                reach *= sizes[position].max(1) as isize;
            }
        }
        let (rows, columns) = strides.split_at(n_rows);
        Access { place: Place::Buffer(0), offset: 0, rows: rows.into(), columns: columns.into() }
    }

    fn load(&mut self, code: &mut Code, dtype: DType, columns: &[usize]) -> u32 {
        let n_rows = self.nest.rows.len();
        let ready: Vec<(u32, Option<Vec<usize>>)> = self
            .ready
            .iter()
            .filter(|(local, _)| self.nest.locals[*local as usize].dtype == dtype)
            .cloned()
            .collect();
        if !ready.is_empty() && self.random.one_in(2) {
            let (local, shape) = ready[self.random.below(ready.len())].clone();
            let rows: Strides = (0..n_rows).map(|_| 0).collect();
            let strides: Option<Strides> = match shape {
                None => Some(columns.iter().map(|_| 0).collect()),
                Some(shape) => (shape == columns).then(|| row_major(columns)),
            };
            if let Some(strides) = strides {
                let access =
                    code.access(Access { place: Place::Local(local), offset: 0, rows, columns: strides });
                return code.push(Instr::Load(access), dtype);
            }
        }
        let mut access = match self.random.below(4) {
            0 => {
                let any = |random: &mut Random| random.of(&[0, 0, 1, -1, 2, 3, -3]);
                let rows: Strides = (0..n_rows).map(|_| any(self.random)).collect();
                let columns: Strides = columns.iter().map(|_| any(self.random)).collect();
                Access { place: Place::Buffer(0), offset: 0, rows, columns }
            }
            1 => {
                let still = self.random.next();
                self.distinct(columns, |position| still >> position & 1 == 1)
            }
            _ => self.distinct(columns, |_| true),
        };
        self.buffer(dtype, &mut access, columns, false);
        if self.random.one_in(12) {
            return self.gather(code, access, dtype, columns);
        }
        let access = code.access(access);
        code.push(Instr::Load(access), dtype)
    }

    /// The elements of a buffer, moved by an index that mostly lies within.
    fn gather(&mut self, code: &mut Code, access: Access, dtype: DType, columns: &[usize]) -> u32 {
        let Place::Buffer(id) = access.place else { panic!("a buffer") };
        let (stride, bound) = (self.random.of(&[1, 2, 5]), 1 + self.random.below(5));
        let more = stride as usize * (bound - 1);
        let buffer = &mut self.program.buffers[id as usize];
        buffer.len += more;
        for _ in 0..more {
            let bits = self.random.bits(dtype);
            self.given[id as usize].extend(&bits.to_le_bytes()[..dtype.size()]);
        }
        let index_dtype = self.random.of(&[DType::I64, DType::I32, DType::U32]);
        let still = self.random.one_in(2);
        let n_rows = self.nest.rows.len();
        let mut at = self.distinct(columns, |position| position < n_rows || !still);
        let indices = self.buffer(index_dtype, &mut at, columns, false);
        let is_faulty = self.random.one_in(4);
        let len = self.program.buffers[indices as usize].len;
        let index = |random: &mut Random| {
            if is_faulty && random.one_in(9) {
                random.of(&[-1i64, bound as i64, i64::MIN])
            } else {
                random.below(bound) as i64
            }
        };
        let bytes: Vec<u8> =
            (0..len).flat_map(|_| index(self.random).to_le_bytes()[..index_dtype.size()].to_vec()).collect();
        self.given[indices as usize] = bytes;
        let at = code.access(at);
        let index = code.push(Instr::Load(at), index_dtype);
        let access = code.access(access);
        code.push(Instr::Gather { access, index, stride, bound: bound as u64 }, dtype)
    }

    fn any_of(&mut self, code: &Code, dtype: DType) -> Option<u32> {
        let of: Vec<u32> = (0..code.instrs.len() as u32).filter(|&reg| code.dtype(reg) == dtype).collect();
        (!of.is_empty()).then(|| self.random.of(&of))
    }

    fn want(&mut self, code: &mut Code, dtype: DType, columns: &[usize]) -> u32 {
        match self.any_of(code, dtype) {
            Some(reg) if !self.random.one_in(5) => reg,
            _ if self.random.one_in(3) => {
                let bits = match dtype {
                    DType::I32 => self.random.bits(dtype) as u32 as i32 as i64 as u64,
                    _ => self.random.bits(dtype),
                };
                code.push(Instr::Literal(bits), dtype)
            }
            _ => self.load(code, dtype, columns),
        }
    }

    fn instr(&mut self, code: &mut Code, columns: &[usize]) {
        let dtype = self.random.of(&self.dtypes.clone());
        let a = self.want(code, dtype, columns);
        let b = self.want(code, dtype, columns);
        match self.random.below(11) {
            0 => {
                let reg = self.want(code, DType::Bool, columns);
                code.push(Instr::Select(reg, a, b), dtype);
            }
            1 => {
                code.push(Instr::Compare(self.random.of(Compare::ALL), a, b), DType::Bool);
            }
            2 => {
                let to = if self.random.one_in(3) {
                    self.random.dtype()
                } else {
                    self.random.of(&self.dtypes.clone())
                };
                code.push(Instr::Cast(a), to);
            }
            3 if self.random.one_in(4) => {
                let still = self.random.next();
                let mut access = self.distinct(columns, |position| still >> position & 1 == 1);
                access.offset = self.random.below(5) as isize;
                let access = code.access(access);
                code.push(Instr::Count(access), DType::I64);
            }
            _ if dtype == DType::Bool => {
                code.push(Instr::Logic(self.random.of(Logic::ALL), a, b), dtype);
            }
            3 | 4 if dtype.is_float() => {
                let op = self.random.of(Unary::ALL);
                code.push(Instr::Unary(op, a), dtype);
            }
            3 | 4 => {
                let op = self.random.of(&[Unary::Neg, Unary::Abs, Unary::Sign, Unary::Square]);
                code.push(Instr::Unary(op, a), dtype);
            }
            5 | 6 if dtype.is_float() => {
                let c = self.want(code, dtype, columns);
                code.push(Instr::Fma(a, b, c), dtype);
            }
            _ => {
                use Binary::*;
                let op = self.random.of(&[Add, Sub, Mul, Maximum, Minimum, Div, Pow]);
                let op = if matches!(op, Div | Pow) && !dtype.is_float() { Add } else { op };
                code.push(Instr::Binary(op, a, b), dtype);
            }
        }
    }

    fn stage(&mut self) {
        let last = self.nest.stages.last().map(|stage| stage.columns.to_vec());
        let columns = match last {
            Some(columns) if self.random.one_in(2) => columns,
            _ => self.columns(),
        };
        let mut code = Code::default();
        let dtype = self.random.of(&self.dtypes.clone());
        let mut stage = Stage { columns: columns.iter().copied().collect(), ..Stage::default() };
        if self.random.one_in(4) {
            // Overwrites what it reads.
            let mut access = self.distinct(&columns, |_| true);
            self.buffer(dtype, &mut access, &columns, true);
            let read = code.access(access.clone());
            code.push(Instr::Load(read), dtype);
            stage.stores.push(Store { value: 0, to: access, watched: self.random.one_in(2) });
        } else {
            self.load(&mut code, dtype, &columns);
        }
        let n = if self.random.one_in(80) { 300 } else { self.random.of(&[1, 3, 6, 12, 40]) };
        (0..n).for_each(|_| self.instr(&mut code, &columns));
        if let Some(store) = stage.stores.first_mut() {
            store.value = self.any_of(&code, dtype).expect("the load");
        }
        let n_registers = code.instrs.len();
        let any = |random: &mut Random| (n_registers - 1 - random.below(n_registers.min(6))) as u32;
        for _ in 0..self.random.of(&[0, 1, 1, 2]) {
            let value = any(self.random);
            let dtype = code.dtype(value);
            let mut to = self.distinct(&columns, |_| true);
            self.buffer(dtype, &mut to, &columns, true);
            stage.stores.push(Store { value, to, watched: self.random.one_in(3) });
        }
        for _ in 0..self.random.of(&[0, 0, 1, 1, 2]) {
            let value = any(self.random);
            let dtype = code.dtype(value);
            self.reduce(&mut stage, value, dtype, &columns);
            if self.random.one_in(2) {
                // A second value into the same accumulator.
                let value = self.any_of(&code, dtype).expect("the first");
                let first = stage.reduces.last().expect("it was just pushed").clone();
                stage.reduces.push(Reduce { value, ..first });
            }
        }
        if self.random.one_in(3) {
            // A row for later stages.
            let value = any(self.random);
            let local = self.nest.locals.len() as u32;
            let len = columns.iter().product::<usize>().max(1);
            self.nest.locals.push(Local { dtype: code.dtype(value), len });
            let rows: Strides = self.nest.rows.iter().map(|_| 0).collect();
            let to = Access { place: Place::Local(local), offset: 0, rows, columns: row_major(&columns) };
            stage.stores.push(Store { value, to, watched: false });
            if !columns.contains(&0) {
                self.ready.push((local, Some(columns)));
            }
        }
        stage.code = code;
        self.nest.stages.push(stage);
    }

    fn reduce(&mut self, stage: &mut Stage, value: u32, dtype: DType, columns: &[usize]) {
        let fold = if dtype == DType::Bool { Fold::Any } else { self.random.of(&[Fold::Sum, Fold::Max]) };
        let lanes = 1 << self.random.below(7);
        let n_rows = self.nest.rows.len();
        let into = if self.random.one_in(3) {
            let local = self.nest.locals.len() as u32;
            self.nest.locals.push(Local { dtype, len: 1 });
            self.ready.push((local, None));
            let rows: Strides = self.nest.rows.iter().map(|_| 0).collect();
            let still = columns.iter().map(|_| 0).collect();
            Access { place: Place::Local(local), offset: 0, rows, columns: still }
        } else {
            // By all columns, by those within a block of rows, or by any.
            let (of_columns, which) = (self.random.one_in(2), self.random.below(3));
            let moved: Vec<bool> = (0..columns.len())
                .map(|at| match which {
                    0 => true,
                    1 => at + 1 == columns.len(),
                    _ => self.random.one_in(2),
                })
                .collect();
            let n_moved = self.random.below(n_rows + 1);
            let mut into = self.distinct_from(1, columns, |position| {
                if position < n_rows {
                    position < n_moved
                } else {
                    of_columns && moved[position - n_rows] && columns[position - n_rows] > 0
                }
            });
            let id = self.buffer(dtype, &mut into, columns, true);
            // Every element belongs to some iteration: what units start is what the whole nest starts.
            let reach = |size: &usize| (*size).max(1);
            let rows: Vec<usize> = self.nest.rows.iter().map(reach).collect();
            let columns: Vec<usize> = columns.iter().map(reach).collect();
            into.offset = 0;
            let (low, high) = into.range(&rows, &columns).expect("no loop is empty");
            into.offset = -low;
            let len = (high - low + 1) as usize;
            let bytes = len * dtype.size();
            self.given[id as usize].resize(bytes, 0);
            self.program.buffers[id as usize].len = len;
            into
        };
        self.nest.accumulators.push((into.place, fold));
        stage.reduces.push(Reduce { fold, value, into, lanes });
    }
}

fn row_major(sizes: &[usize]) -> Strides {
    let mut strides: Strides = sizes.iter().map(|_| 0).collect();
    let mut reach = 1;
    for (stride, &size) in strides.iter_mut().zip(sizes).rev() {
        *stride = reach;
        reach *= size as isize;
    }
    strides
}

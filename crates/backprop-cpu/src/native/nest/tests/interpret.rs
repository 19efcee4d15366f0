//! The loop IR, word by word: one element at a time, numbers as bits.

use super::*;
use crate::math;

/// The elements of a buffer or local, as bits.
fn read(dtype: DType, bytes: &[u8], element: usize) -> u64 {
    let size = dtype.size();
    let mut bits = [0; 8];
    bits[..size].copy_from_slice(&bytes[element * size..][..size]);
    u64::from_le_bytes(bits)
}

fn write(dtype: DType, bytes: &mut [u8], element: usize, bits: u64) {
    let size = dtype.size();
    bytes[element * size..][..size].copy_from_slice(&bits.to_le_bytes()[..size]);
}

/// The elements, for a message.
pub fn shown(dtype: DType, bytes: &[u8]) -> String {
    let elements = (0..bytes.len() / dtype.size()).map(|element| read(dtype, bytes, element));
    let shown = elements.map(|bits| {
        if dtype.is_float() {
            format!("{:?}", to_f64(dtype, bits))
        } else {
            format!("{}", to_i64(dtype, bits))
        }
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn to_i64(dtype: DType, bits: u64) -> i64 {
    match dtype {
        DType::I32 => i64::from(bits as u32 as i32),
        DType::U32 => i64::from(bits as u32),
        DType::U8 | DType::Bool => i64::from(bits as u8),
        _ => bits as i64,
    }
}

fn to_f64(dtype: DType, bits: u64) -> f64 {
    if dtype == DType::F32 { f64::from(f32::from_bits(bits as u32)) } else { f64::from_bits(bits) }
}

/// A number rounded, or wrapped, to a type.
fn from_f64(dtype: DType, x: f64) -> u64 {
    if dtype == DType::F32 { u64::from((x as f32).to_bits()) } else { x.to_bits() }
}

fn from_i64(dtype: DType, x: i64) -> u64 {
    match dtype.size() {
        8 => x as u64,
        4 => u64::from(x as u32),
        _ => u64::from(x as u8),
    }
}

fn cast(from: DType, to: DType, x: u64) -> u64 {
    use DType::*;
    match (from, to) {
        (F32 | F64, Bool) => u64::from(to_f64(from, x) != 0.0),
        (_, Bool) => u64::from(to_i64(from, x) != 0),
        (F32 | F64, F32 | F64) => from_f64(to, to_f64(from, x)),
        (F32 | F64, _) => {
            let x = to_f64(from, x);
            match to {
                I32 => u64::from(x as i32 as u32),
                U32 => u64::from(x as u32),
                U8 => u64::from(x as u8),
                _ => x as i64 as u64,
            }
        }
        (_, F32) => u64::from((to_i64(from, x) as f32).to_bits()),
        (_, F64) => (to_i64(from, x) as f64).to_bits(),
        _ => from_i64(to, to_i64(from, x)),
    }
}

fn binary(op: Binary, dtype: DType, a: u64, b: u64) -> u64 {
    if !dtype.is_float() {
        return from_i64(dtype, op.reference_int(to_i64(dtype, a), to_i64(dtype, b)));
    }
    match dtype {
        DType::F32 => {
            let [a, b] = [a, b].map(|bits| f32::from_bits(bits as u32));
            u64::from(math::binary(op, a, b).to_bits())
        }
        _ => math::binary(op, f64::from_bits(a), f64::from_bits(b)).to_bits(),
    }
}

fn compare(op: Compare, dtype: DType, a: u64, b: u64) -> u64 {
    u64::from(if dtype.is_float() {
        op.reference(to_f64(dtype, a), to_f64(dtype, b))
    } else {
        op.reference(to_i64(dtype, a), to_i64(dtype, b))
    })
}

fn unary(op: Unary, dtype: DType, x: u64) -> u64 {
    if !dtype.is_float() {
        return from_i64(dtype, op.reference_int().expect("a function of integers")(to_i64(dtype, x)));
    }
    match dtype {
        DType::F32 => u64::from(math::unary(op, f32::from_bits(x as u32)).to_bits()),
        _ => math::unary(op, f64::from_bits(x)).to_bits(),
    }
}

fn fma(dtype: DType, a: u64, b: u64, c: u64) -> u64 {
    match dtype {
        DType::F32 => {
            let [a, b, c] = [a, b, c].map(|bits| f32::from_bits(bits as u32));
            u64::from(a.mul_add(b, c).to_bits())
        }
        _ => {
            let [a, b, c] = [a, b, c].map(f64::from_bits);
            a.mul_add(b, c).to_bits()
        }
    }
}

fn start(fold: Fold, dtype: DType) -> u64 {
    match (fold, dtype) {
        (Fold::Max, DType::F32 | DType::F64) => from_f64(dtype, f64::NEG_INFINITY),
        (Fold::Max, DType::I32) => from_i64(dtype, i64::from(i32::MIN)),
        (Fold::Max, DType::I64) => i64::MIN as u64,
        _ => 0,
    }
}

fn fold(how: Fold, dtype: DType, acc: u64, x: u64) -> u64 {
    match how {
        Fold::Sum => binary(Binary::Add, dtype, acc, x),
        Fold::Any => acc | x,
        Fold::Max if dtype.is_float() => {
            let is_taken = to_f64(dtype, x) > to_f64(dtype, acc) || to_f64(dtype, x).is_nan();
            if is_taken { x } else { acc }
        }
        Fold::Max => {
            if to_i64(dtype, x) > to_i64(dtype, acc) {
                x
            } else {
                acc
            }
        }
    }
}

/// Every index of loops of these sizes, in order.
fn indices(sizes: &[usize]) -> Vec<Vec<usize>> {
    let count: usize = sizes.iter().product();
    let index = |mut number: usize| {
        let mut index = vec![0; sizes.len()];
        for (at, &size) in index.iter_mut().zip(sizes).rev() {
            *at = number % size;
            number /= size;
        }
        index
    };
    (0..count).map(index).collect()
}

struct State<'a> {
    program: &'a Program,
    nest: &'a Nest,
    buffers: &'a mut [Vec<u8>],
    locals: Vec<Vec<u8>>,
    outcome: Outcome,
}

impl State<'_> {
    fn dtype(&self, place: Place) -> DType {
        match place {
            Place::Buffer(id) => self.program.buffers[id as usize].dtype,
            Place::Local(number) => self.nest.locals[number as usize].dtype,
        }
    }

    fn bytes(&mut self, place: Place) -> &mut [u8] {
        match place {
            Place::Buffer(id) => &mut self.buffers[id as usize],
            Place::Local(number) => &mut self.locals[number as usize],
        }
    }

    fn get(&mut self, place: Place, element: isize) -> u64 {
        let dtype = self.dtype(place);
        read(dtype, self.bytes(place), usize::try_from(element).expect("an element"))
    }

    fn set(&mut self, place: Place, element: isize, bits: u64) {
        let dtype = self.dtype(place);
        write(dtype, self.bytes(place), usize::try_from(element).expect("an element"), bits);
    }

    fn start(&mut self, is_wanted: impl Fn(Place) -> bool) {
        for &(place, how) in &self.nest.accumulators {
            if is_wanted(place) {
                let dtype = self.dtype(place);
                for element in 0..self.bytes(place).len() / dtype.size() {
                    self.set(place, element as isize, start(how, dtype));
                }
            }
        }
    }

    fn element(access: &Access, row: &[usize], column: &[usize]) -> isize {
        let moved = |strides: &[isize], index: &[usize]| -> isize {
            strides.iter().zip(index).map(|(stride, &at)| stride * at as isize).sum()
        };
        access.offset + moved(&access.rows, row) + moved(&access.columns, column)
    }

    fn code(&mut self, code: &Code, row: &[usize], column: &[usize]) -> Vec<u64> {
        let mut values: Vec<u64> = Vec::new();
        for (instr, &dtype) in code.instrs.iter().zip(&code.dtypes) {
            let v = |reg: u32| values[reg as usize];
            let of = |reg: u32| code.dtype(reg);
            let at = |access: u32| Self::element(&code.accesses[access as usize], row, column);
            let y = match *instr {
                Instr::Load(access) => self.get(code.accesses[access as usize].place, at(access)),
                Instr::Gather { access, index, stride, bound } => {
                    let index = to_i64(of(index), v(index));
                    if (0..bound as i64).contains(&index) {
                        self.get(code.accesses[access as usize].place, at(access) + (index * stride) as isize)
                    } else {
                        self.outcome.is_faulty = true;
                        0
                    }
                }
                Instr::Literal(bits) if dtype.is_float() => bits,
                Instr::Literal(bits) => from_i64(dtype, bits as i64),
                Instr::Count(access) => at(access) as u64,
                Instr::Product => panic!("no contraction"),
                Instr::Unary(op, x) => unary(op, dtype, v(x)),
                Instr::Binary(op, a, b) => binary(op, dtype, v(a), v(b)),
                Instr::Fma(a, b, c) => fma(dtype, v(a), v(b), v(c)),
                Instr::Compare(op, a, b) => compare(op, of(a), v(a), v(b)),
                Instr::Logic(Logic::And, a, b) => v(a) & v(b),
                Instr::Logic(Logic::Or, a, b) => v(a) | v(b),
                Instr::Logic(Logic::Not, a, _) => 1 - v(a),
                Instr::Select(c, a, b) => {
                    if v(c) != 0 {
                        v(a)
                    } else {
                        v(b)
                    }
                }
                Instr::Cast(x) => cast(of(x), dtype, v(x)),
            };
            values.push(y);
        }
        values
    }

    fn stage(&mut self, stage: &Stage, row: &[usize]) {
        let started =
            |reduce: &Reduce| vec![start(reduce.fold, stage.code.dtype(reduce.value)); reduce.lanes];
        let mut partials: Vec<Vec<u64>> = stage.reduces.iter().map(started).collect();
        for column in &indices(&stage.columns) {
            let values = self.code(&stage.code, row, column);
            for Store { value, to, watched } in &stage.stores {
                let (bits, dtype) = (values[*value as usize], stage.code.dtype(*value));
                self.outcome.is_not_finite |=
                    *watched && dtype.is_float() && !to_f64(dtype, bits).is_finite();
                self.set(to.place, Self::element(to, row, column), bits);
            }
            for (reduce, partials) in stage.reduces.iter().zip(&mut partials) {
                let (mut x, dtype) = (values[reduce.value as usize], stage.code.dtype(reduce.value));
                if reduce.folds_columns(&stage.columns) {
                    let lane = column.last().copied().unwrap_or(0) % reduce.lanes;
                    partials[lane] = fold(reduce.fold, dtype, partials[lane], x);
                    let mut inner = column.iter().zip(&stage.columns).skip(reduce.n_around(&stage.columns));
                    if inner.any(|(&at, &size)| at + 1 < size) {
                        continue;
                    }
                    let mut all = std::mem::replace(partials, started(reduce));
                    while all.len() > 1 {
                        let upper = all.split_off(all.len() / 2);
                        all.iter_mut()
                            .zip(upper)
                            .for_each(|(acc, x)| *acc = fold(reduce.fold, dtype, *acc, x));
                    }
                    x = all[0];
                }
                let element = Self::element(&reduce.into, row, column);
                let acc = self.get(reduce.into.place, element);
                self.set(reduce.into.place, element, fold(reduce.fold, dtype, acc, x));
            }
        }
    }
}

/// Runs a nest on the bytes of its program's buffers.
pub fn interpret(program: &Program, nest: &Nest, buffers: &mut [Vec<u8>]) -> Outcome {
    let locals = nest.locals.iter().map(|local| vec![0; local.len * local.dtype.size()]).collect();
    let mut state = State { program, nest, buffers, locals, outcome: Outcome::default() };
    state.start(|place| matches!(place, Place::Buffer(_)));
    for row in indices(&nest.rows) {
        state.start(|place| matches!(place, Place::Local(_)));
        for stage in &nest.stages {
            state.stage(stage, &row);
        }
    }
    state.outcome
}

//! The loop IR, read word by word: one iteration after the other, one number at a time.

use backprop_core::DType;
use backprop_core::ops::{Binary, Compare, Logic, Unary};
use backprop_opt::loops::{
    Access, Code, Contraction, Factor, Fold, Home, Instr, Kind, Nest, Outcome, Place, Program, Reduce, Stage,
};

/// A number; bools are integers.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub enum Value {
    F32(f32),
    F64(f64),
    Int(i64),
}

use Value::{F32, F64, Int};

impl Value {
    pub fn read(bytes: &[u8], dtype: DType, at: usize) -> Value {
        let size = dtype.size();
        let bytes = &bytes[at * size..][..size];
        match dtype {
            DType::F32 => F32(f32::from_ne_bytes(bytes.try_into().unwrap())),
            DType::F64 => F64(f64::from_ne_bytes(bytes.try_into().unwrap())),
            DType::I32 => Int(i32::from_ne_bytes(bytes.try_into().unwrap()).into()),
            DType::I64 => Int(i64::from_ne_bytes(bytes.try_into().unwrap())),
            DType::U32 => Int(u32::from_ne_bytes(bytes.try_into().unwrap()).into()),
            DType::U8 | DType::Bool => Int(bytes[0].into()),
        }
    }

    pub fn write(self, bytes: &mut [u8], dtype: DType, at: usize) {
        let size = dtype.size();
        let to = &mut bytes[at * size..][..size];
        match (self, dtype) {
            (F32(x), _) => to.copy_from_slice(&x.to_ne_bytes()),
            (F64(x), _) => to.copy_from_slice(&x.to_ne_bytes()),
            (Int(x), DType::I64) => to.copy_from_slice(&x.to_ne_bytes()),
            (Int(x), DType::I32 | DType::U32) => to.copy_from_slice(&(x as u32).to_ne_bytes()),
            (Int(x), _) => to[0] = x as u8,
        }
    }

    fn int(self) -> i64 {
        match self {
            Int(x) => x,
            other => panic!("{other:?} is no integer"),
        }
    }

    /// The integer that `dtype` makes of it.
    fn wrapped(x: i64, dtype: DType) -> Value {
        Int(match dtype {
            DType::I32 => (x as i32).into(),
            DType::U32 => (x as u32).into(),
            DType::U8 => (x as u8).into(),
            _ => x,
        })
    }

    fn cast(self, dtype: DType) -> Value {
        macro_rules! as_rust_does {
            ($x:expr) => {
                match dtype {
                    DType::F32 => F32($x as f32),
                    DType::F64 => F64($x as f64),
                    DType::I32 => Int($x as i32 as i64),
                    DType::I64 => Int($x as i64),
                    DType::U32 => Int($x as u32 as i64),
                    DType::U8 => Int($x as u8 as i64),
                    DType::Bool => Int(i64::from($x as f64 != 0.0)),
                }
            };
        }
        match self {
            F32(x) => as_rust_does!(x),
            F64(x) => as_rust_does!(x),
            Int(x) => as_rust_does!(x),
        }
    }

    fn start(fold: Fold, dtype: DType) -> Value {
        match (fold, dtype) {
            (Fold::Max, DType::F32) => F32(f32::NEG_INFINITY),
            (Fold::Max, DType::F64) => F64(f64::NEG_INFINITY),
            (Fold::Max, DType::I32) => Int(i32::MIN.into()),
            (Fold::Max, DType::I64) => Int(i64::MIN),
            (_, DType::F32) => F32(0.0),
            (_, DType::F64) => F64(0.0),
            _ => Int(0),
        }
    }

    fn fold(self, fold: Fold, x: Value, dtype: DType) -> Value {
        match (fold, self, x) {
            (Fold::Sum, F32(a), F32(x)) => F32(a + x),
            (Fold::Sum, F64(a), F64(x)) => F64(a + x),
            (Fold::Sum, Int(a), Int(x)) => Value::wrapped(a.wrapping_add(x), dtype),
            (Fold::Max, F32(a), F32(b)) => {
                if b > a || b.is_nan() {
                    x
                } else {
                    F32(a)
                }
            }
            (Fold::Max, F64(a), F64(b)) => {
                if b > a || b.is_nan() {
                    x
                } else {
                    F64(a)
                }
            }
            (Fold::Max, Int(a), Int(x)) => Int(a.max(x)),
            (Fold::Any, Int(a), Int(x)) => Int(a | x),
            other => panic!("{other:?}"),
        }
    }

    pub fn is_nan(self) -> bool {
        match self {
            F32(x) => x.is_nan(),
            F64(x) => x.is_nan(),
            Int(_) => false,
        }
    }

    fn is_finite(self) -> bool {
        match self {
            F32(x) => x.is_finite(),
            F64(x) => x.is_finite(),
            Int(_) => true,
        }
    }
}

/// The buffers of a program: the arena's in one piece, others each in its own.
pub struct Machine<'a> {
    pub program: &'a Program,
    pub pieces: Vec<Vec<u8>>,
    pub outcome: Outcome,
}

struct Around<'a> {
    locals: Vec<(DType, Vec<u8>)>,
    rows: &'a [usize],
    columns: &'a [usize],
    product: Option<Value>,
}

impl<'a> Machine<'a> {
    /// A machine whose inputs hold these bytes.
    pub fn new(program: &'a Program, inputs: &[Vec<u8>]) -> Machine<'a> {
        let mut pieces = vec![vec![0; program.arena_bytes]];
        pieces.extend(program.buffers.iter().map(|buffer| match &buffer.home {
            Home::Input(at) => inputs[*at].clone(),
            _ => vec![0xAA; buffer.bytes()],
        }));
        Machine { program, pieces, outcome: Outcome::default() }
    }

    pub fn run(&mut self) {
        for step in &self.program.steps {
            match &step.kind {
                Kind::Nest(nest) => self.nest(nest),
                Kind::Contraction(contraction) => self.contraction(contraction),
                other => panic!("{other:?}"),
            }
        }
    }

    fn memory(&mut self, id: u32) -> (DType, &mut [u8]) {
        let buffer = self.program.buffer(id);
        match buffer.home {
            Home::Arena(offset) => (buffer.dtype, &mut self.pieces[0][offset..][..buffer.bytes()]),
            _ => (buffer.dtype, &mut self.pieces[1 + id as usize]),
        }
    }

    fn get(&mut self, place: Place, around: &mut Around, at: isize) -> Value {
        let (dtype, bytes) = match place {
            Place::Buffer(id) => self.memory(id),
            Place::Local(local) => {
                let local = &mut around.locals[local as usize];
                (local.0, &mut local.1[..])
            }
        };
        Value::read(bytes, dtype, at.try_into().unwrap())
    }

    fn set(&mut self, place: Place, around: &mut Around, at: isize, value: Value) {
        let (dtype, bytes) = match place {
            Place::Buffer(id) => self.memory(id),
            Place::Local(local) => {
                let local = &mut around.locals[local as usize];
                (local.0, &mut local.1[..])
            }
        };
        value.write(bytes, dtype, at.try_into().unwrap());
    }

    fn nest(&mut self, nest: &Nest) {
        for &(place, fold) in &nest.accumulators {
            if let Place::Buffer(id) = place {
                let (dtype, bytes) = self.memory(id);
                (0..bytes.len() / dtype.size())
                    .for_each(|at| Value::start(fold, dtype).write(bytes, dtype, at));
            }
        }
        each(&nest.rows, |rows| {
            let locals = nest.locals.iter().map(|l| (l.dtype, vec![0; l.len * l.dtype.size()])).collect();
            let mut around = Around { locals, rows, columns: &[], product: None };
            for &(place, fold) in &nest.accumulators {
                if let Place::Local(local) = place {
                    let Local { dtype, len } = nest.locals[local as usize].into();
                    (0..len).for_each(|at| {
                        Value::start(fold, dtype).write(&mut around.locals[local as usize].1, dtype, at)
                    });
                }
            }
            for stage in &nest.stages {
                self.stage(stage, around.rows, &mut around.locals);
            }
        });
    }

    fn stage(&mut self, stage: &Stage, rows: &[usize], locals: &mut Vec<(DType, Vec<u8>)>) {
        let dtype = |value| stage.code.dtype(value);
        let start = |r: &Reduce| vec![Value::start(r.fold, dtype(r.value)); r.lanes];
        let mut partial: Vec<Vec<Value>> = stage.reduces.iter().map(start).collect();
        each(&stage.columns, |columns| {
            let mut around = Around { locals: std::mem::take(locals), rows, columns, product: None };
            let values = self.code(&stage.code, &mut around);
            self.stores(stage, &values, &mut around);
            for (reduce, partial) in stage.reduces.iter().zip(&mut partial) {
                let (value, dtype) = (values[reduce.value as usize], dtype(reduce.value));
                let mut folded = value;
                if reduce.folds_columns(&stage.columns) {
                    let lane = columns.last().copied().unwrap_or(0) % reduce.lanes;
                    partial[lane] = partial[lane].fold(reduce.fold, value, dtype);
                    let inner = columns.iter().zip(&stage.columns).skip(reduce.n_around(&stage.columns));
                    if inner.clone().any(|(&at, &size)| at + 1 < size) {
                        continue;
                    }
                    let mut all = std::mem::replace(partial, start(reduce));
                    while all.len() > 1 {
                        let upper = all.split_off(all.len() / 2);
                        all.iter_mut().zip(upper).for_each(|(p, x)| *p = p.fold(reduce.fold, x, dtype));
                    }
                    folded = all[0];
                }
                let at = around.at(&reduce.into);
                let acc = self.get(reduce.into.place, &mut around, at);
                self.set(reduce.into.place, &mut around, at, acc.fold(reduce.fold, folded, dtype));
            }
            *locals = around.locals;
        });
    }

    fn contraction(&mut self, contraction: &Contraction) {
        let Contraction { dtype, k, k_block, a, b, stage, .. } = contraction;
        let element = |machine: &mut Self, factor: &Factor, batch: &[usize], row: usize, column: usize| {
            let at =
                factor.offset + row as isize * factor.row_stride + column as isize * factor.column_stride;
            let batch = batch.iter().zip(&factor.batch_strides).map(|(&at, stride)| at as isize * stride);
            let (dtype, bytes) = machine.memory(factor.buffer);
            Value::read(bytes, dtype, (at + batch.sum::<isize>()).try_into().unwrap())
        };
        each(&contraction.rows(), |rows| {
            each(&stage.columns, |columns| {
                let (&i, batch) = rows.split_last().unwrap();
                let mut y = Value::start(Fold::Sum, *dtype);
                for (block, first) in (0..*k).step_by(*k_block).enumerate() {
                    let mut p = Value::start(Fold::Sum, *dtype);
                    for k in first..(*k).min(first.saturating_add(*k_block)) {
                        let (a, b) = (element(self, a, batch, i, k), element(self, b, batch, k, columns[0]));
                        p = match (a, b, p) {
                            (F32(a), F32(b), F32(p)) => F32(a.mul_add(b, p)),
                            (F64(a), F64(b), F64(p)) => F64(a.mul_add(b, p)),
                            (a, b, p) => {
                                let product = a.int().wrapping_mul(b.int());
                                Value::wrapped(product.wrapping_add(p.int()), *dtype)
                            }
                        };
                    }
                    y = if block == 0 { p } else { y.fold(Fold::Sum, p, *dtype) };
                }
                let mut around = Around { locals: Vec::new(), rows, columns, product: Some(y) };
                let values = self.code(&stage.code, &mut around);
                self.stores(stage, &values, &mut around);
            });
        });
    }

    fn stores(&mut self, stage: &Stage, values: &[Value], around: &mut Around) {
        for store in &stage.stores {
            let value = values[store.value as usize];
            let at = around.at(&store.to);
            self.outcome.is_not_finite |= store.watched && !value.is_finite();
            self.set(store.to.place, around, at, value);
        }
    }

    fn code(&mut self, code: &Code, around: &mut Around) -> Vec<Value> {
        let mut values: Vec<Value> = Vec::new();
        for (position, (instr, &dtype)) in code.instrs.iter().zip(&code.dtypes).enumerate() {
            let of = |reg: u32| values[reg as usize];
            let is_true = |reg: u32| of(reg).int() != 0;
            let value = match *instr {
                Instr::Load(access) => {
                    let access = &code.accesses[access as usize];
                    let at = around.at(access);
                    self.get(access.place, around, at)
                }
                Instr::Gather { access, index, stride, bound } => {
                    let access = &code.accesses[access as usize];
                    match u64::try_from(of(index).int()).ok().filter(|&index| index < bound) {
                        Some(index) => {
                            let at = around.at(access) + index as isize * stride as isize;
                            self.get(access.place, around, at)
                        }
                        None => {
                            self.outcome.is_faulty = true;
                            Int(0).cast(dtype)
                        }
                    }
                }
                Instr::Literal(bits) => match dtype {
                    DType::F32 => F32(f32::from_bits(bits as u32)),
                    DType::F64 => F64(f64::from_bits(bits)),
                    _ => Int(bits as i64),
                },
                Instr::Count(access) => Int(around.at(&code.accesses[access as usize]) as i64),
                Instr::Product => around.product.unwrap(),
                Instr::Unary(op, x) => unary(op, of(x), dtype),
                Instr::Binary(Binary::Div, a, b) if of(b) == Int(0) => {
                    let _ = a;
                    self.outcome.is_faulty = true;
                    Int(0)
                }
                Instr::Binary(op, a, b) => binary(op, of(a), of(b), dtype),
                Instr::Fma(a, b, c) => match (of(a), of(b), of(c)) {
                    (F32(a), F32(b), F32(c)) => F32(a.mul_add(b, c)),
                    (F64(a), F64(b), F64(c)) => F64(a.mul_add(b, c)),
                    other => panic!("{other:?}"),
                },
                Instr::Compare(op, a, b) => {
                    let (a, b) = (of(a), of(b));
                    Int(i64::from(match op {
                        Compare::Eq => a == b,
                        Compare::Ne => a != b,
                        Compare::Lt => a < b,
                        Compare::Le => a <= b,
                        Compare::Gt => a > b,
                        Compare::Ge => a >= b,
                    }))
                }
                Instr::Logic(op, a, b) => Int(i64::from(match op {
                    Logic::And => is_true(a) && is_true(b),
                    Logic::Or => is_true(a) || is_true(b),
                    Logic::Not => !is_true(a),
                })),
                Instr::Select(c, a, b) => {
                    if is_true(c) {
                        of(a)
                    } else {
                        of(b)
                    }
                }
                Instr::Cast(x) => of(x).cast(dtype),
            };
            assert!(values.len() == position);
            values.push(value);
        }
        values
    }
}

struct Local {
    dtype: DType,
    len: usize,
}

impl From<backprop_opt::loops::Local> for Local {
    fn from(local: backprop_opt::loops::Local) -> Local {
        Local { dtype: local.dtype, len: local.len }
    }
}

impl Around<'_> {
    fn at(&self, access: &Access) -> isize {
        let rows = access.rows.iter().zip(self.rows);
        let steps = rows.chain(access.columns.iter().zip(self.columns));
        access.offset + steps.map(|(stride, &at)| stride * at as isize).sum::<isize>()
    }
}

fn unary(op: Unary, x: Value, dtype: DType) -> Value {
    macro_rules! float {
        ($x:expr) => {
            match op {
                Unary::Neg => -$x,
                Unary::Abs => $x.abs(),
                Unary::Sqrt => $x.sqrt(),
                Unary::Square => $x * $x,
                Unary::Reciprocal => 1.0 / $x,
                Unary::Floor => $x.floor(),
                Unary::Ceil => $x.ceil(),
                Unary::Round => $x.round_ties_even(),
                Unary::Sign if $x > 0.0 => 1.0,
                Unary::Sign if $x < 0.0 => -1.0,
                Unary::Sign => $x,
                other => panic!("{other:?} is not exact"),
            }
        };
    }
    match x {
        F32(x) => F32(float!(x)),
        F64(x) => F64(float!(x)),
        Int(x) => Value::wrapped(op.reference_int().unwrap()(x), dtype),
    }
}

fn binary(op: Binary, a: Value, b: Value, dtype: DType) -> Value {
    macro_rules! float {
        ($a:expr, $b:expr) => {
            match op {
                Binary::Add => $a + $b,
                Binary::Sub => $a - $b,
                Binary::Mul => $a * $b,
                Binary::Div => $a / $b,
                Binary::Maximum if $b > $a || $b.is_nan() => $b,
                Binary::Minimum if $b < $a || $b.is_nan() => $b,
                Binary::Maximum | Binary::Minimum => $a,
                Binary::Pow => panic!("pow is not exact"),
            }
        };
    }
    match (a, b) {
        (F32(a), F32(b)) => F32(float!(a, b)),
        (F64(a), F64(b)) => F64(float!(a, b)),
        (a, b) => Value::wrapped(op.reference_int(a.int(), b.int()), dtype),
    }
}

/// Calls `visit` for each iteration of loops, outermost first.
fn each(sizes: &[usize], mut visit: impl FnMut(&[usize])) {
    let n: usize = sizes.iter().product();
    for number in 0..n {
        let mut at = vec![0; sizes.len()];
        let mut rest = number;
        for (at, &size) in at.iter_mut().zip(sizes).rev() {
            (*at, rest) = (rest % size, rest / size);
        }
        visit(&at);
    }
}

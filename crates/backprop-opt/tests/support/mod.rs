//! The loop IR as its documents say it, one element at a time: slow, and independent of every engine.

use backprop_core::ops::Logic;
use backprop_core::{Array, DType, with_dtype};
use backprop_opt::loops::{
    Access, BufferId, Code, Contraction, Fold, Home, Instr, Kind, Nest, Place, Program, Reduce, Scan, Stage,
};

/// A number of any type: floats as f64, the others as i64.
#[derive(Clone, Copy, Debug)]
enum Value {
    Float(f64),
    Int(i64),
}

impl Value {
    fn float(self) -> f64 {
        match self {
            Value::Float(x) => x,
            Value::Int(x) => x as f64,
        }
    }

    fn int(self) -> i64 {
        match self {
            Value::Float(x) => x as i64,
            Value::Int(x) => x,
        }
    }

    fn holds(self) -> bool {
        self.int() != 0
    }

    /// Rounded, wrapped or saturated to a type, as Rust's `as` does it.
    fn cast(self, from: DType, to: DType) -> Value {
        let array = match self {
            Value::Float(x) => Array::scalar(x).cast(from),
            Value::Int(x) => Array::scalar(x).cast(from),
        };
        let array = array.cast(to);
        match to.is_float() {
            true => Value::Float(array.to_f64s()[0]),
            false => Value::Int(array.to_i64s()[0]),
        }
    }
}

/// Rounds or wraps a result to its type.
fn fit(value: Value, dtype: DType) -> Value {
    match value {
        Value::Float(x) if dtype == DType::F32 => Value::Float(f64::from(x as f32)),
        Value::Int(x) if !dtype.is_float() => {
            with_dtype!(dtype, |T| Value::Int(backprop_core::Element::to_i64(
                <T as backprop_core::Element>::from_i64_wrapping(x)
            )))
        }
        value => value,
    }
}

type Memory = Vec<Vec<Value>>;

/// Runs a program.
pub fn run(program: &Program, inputs: &[Array]) -> Vec<Array> {
    let given = inputs.iter().map(values_of).collect();
    let outputs = run_on(program, given);
    let array = |(id, values): (&BufferId, Vec<Value>)| {
        let dtype = program.buffer(*id).dtype;
        match dtype.is_float() {
            true => Array::vector(values.iter().map(|x| x.float()).collect::<Vec<f64>>()).cast(dtype),
            false => Array::vector(values.iter().map(|x| x.int()).collect::<Vec<i64>>()).cast(dtype),
        }
    };
    program.outputs.iter().zip(outputs).map(array).collect()
}

fn values_of(array: &Array) -> Vec<Value> {
    match array.dtype().is_float() {
        true => array.to_f64s().iter().map(|&x| Value::Float(x)).collect(),
        false => array.to_i64s().iter().map(|&x| Value::Int(x)).collect(),
    }
}

/// Buffers that share a place share it here as well: every buffer of the arena is read and written through
/// bytes that are as far apart as the plan says. Here by checking instead: who writes a place ends the life of
/// what overlaps it.
fn run_on(program: &Program, inputs: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
    program.verify().expect("a program keeps the rules");
    let mut memory: Memory = Vec::new();
    for buffer in &program.buffers {
        memory.push(match &buffer.home {
            Home::Input(at) => inputs[*at].clone(),
            Home::Constant(array) => values_of(array),
            _ => vec![Value::Float(f64::NAN); buffer.len],
        });
    }
    for step in &program.steps {
        kill_overlapped(program, &step.kind, &mut memory);
        match &step.kind {
            Kind::Nest(nest) => run_nest(program, nest, &mut memory),
            Kind::Contraction(contraction) => run_contraction(contraction, &mut memory),
            Kind::Call(call) => {
                let arrays: Vec<Array> = call
                    .inputs
                    .iter()
                    .map(|&(id, ty)| {
                        let sizes = ty.shape.sizes().expect("numbers");
                        let floats = memory[id as usize].iter().map(|x| x.float()).collect::<Vec<f64>>();
                        let ints = memory[id as usize].iter().map(|x| x.int()).collect::<Vec<i64>>();
                        match ty.dtype.is_float() {
                            true => Array::new(sizes, floats).expect("as many").cast(ty.dtype),
                            false => Array::new(sizes, ints).expect("as many").cast(ty.dtype),
                        }
                    })
                    .collect();
                let types: Vec<_> = call.outputs.iter().map(|&(_, ty)| ty).collect();
                let given: Vec<&Array> = arrays.iter().collect();
                let made = call.op.rule().eval(&given, &types).expect("no fault in the data");
                for (&(id, _), array) in call.outputs.iter().zip(&made) {
                    if let Some(id) = id {
                        memory[id as usize] = values_of(array);
                    }
                }
            }
            Kind::Cond(cond) => {
                let taken =
                    if memory[cond.condition as usize][0].holds() { &cond.then } else { &cond.otherwise };
                let given = cond.inputs.iter().map(|&id| memory[id as usize].clone()).collect();
                for (&id, values) in cond.outputs.iter().zip(run_on(taken, given)) {
                    memory[id as usize] = values;
                }
            }
            Kind::Scan(scan) => run_scan(scan, &mut memory),
        }
    }
    program.outputs.iter().map(|&id| memory[id as usize].clone()).collect()
}

/// What a step writes makes everything unreadable that the plan put at the same place, before the step where
/// another element could be read after its place was written.
fn kill_overlapped(program: &Program, kind: &Kind, memory: &mut Memory) {
    let place = |id: BufferId| match program.buffer(id).home {
        Home::Arena(offset) => Some((offset, offset + program.buffer(id).bytes())),
        _ => None,
    };
    let mut written = Vec::new();
    let mut touched = Vec::new();
    kind.visit(&mut |id| touched.push(id));
    let mut stores = |stage: &Stage| {
        for to in stage.stores.iter().map(|x| &x.to).chain(stage.reduces.iter().map(|x| &x.into)) {
            if let Place::Buffer(id) = to.place {
                written.push(id);
            }
        }
    };
    match kind {
        Kind::Nest(nest) => nest.stages.iter().for_each(&mut stores),
        Kind::Contraction(contraction) => stores(&contraction.stage),
        Kind::Call(call) => written.extend(call.outputs.iter().filter_map(|(id, _)| *id)),
        Kind::Cond(cond) => written.extend(&cond.outputs),
        Kind::Scan(scan) => {
            written.extend(scan.last.iter().chain(&scan.ys).chain(scan.room.as_flattened()));
        }
    }
    for &id in &written {
        let Some((start, end)) = place(id) else { continue };
        for other in (0..program.buffers.len() as BufferId).filter(|&other| other != id) {
            let overlaps = place(other).is_some_and(|(s, e)| s < end && start < e);
            // In place: read in this very step, each element before its place is written (`lower/plan.rs`).
            let is_as_wide = program.buffer(other).dtype.size() == program.buffer(id).dtype.size();
            if overlaps && !(is_as_wide && touched.contains(&other) && !written.contains(&other)) {
                memory[other as usize] = vec![Value::Float(f64::NAN); program.buffer(other).len];
            }
        }
    }
}

fn indices(sizes: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for &size in sizes {
        all =
            all.iter().flat_map(|index| (0..size).map(move |i| [index.as_slice(), &[i]].concat())).collect();
    }
    all
}

fn element(access: &Access, row: &[usize], column: &[usize]) -> isize {
    let loops = access.rows.iter().zip(row).chain(access.columns.iter().zip(column));
    access.offset + loops.map(|(stride, &at)| stride * at as isize).sum::<isize>()
}

fn start(fold: Fold, dtype: DType) -> Value {
    match (fold, dtype.is_float()) {
        (Fold::Max, true) => Value::Float(f64::NEG_INFINITY),
        (Fold::Max, false) => Value::Int(match dtype {
            DType::I32 => i32::MIN.into(),
            DType::I64 => i64::MIN,
            _ => 0,
        }),
        (_, true) => Value::Float(0.0),
        (_, false) => Value::Int(0),
    }
}

fn folded(fold: Fold, acc: Value, x: Value, dtype: DType) -> Value {
    match (fold, acc, x) {
        (Fold::Sum, Value::Float(acc), Value::Float(x)) => fit(Value::Float(acc + x), dtype),
        (Fold::Sum, _, _) => fit(Value::Int(acc.int().wrapping_add(x.int())), dtype),
        (Fold::Max, Value::Float(a), Value::Float(b)) => {
            if b > a || b.is_nan() {
                x
            } else {
                acc
            }
        }
        (Fold::Max, _, _) => {
            if x.int() > acc.int() {
                x
            } else {
                acc
            }
        }
        (Fold::Any, _, _) => Value::Int((acc.holds() || x.holds()).into()),
    }
}

struct State<'m> {
    memory: &'m mut Memory,
    locals: Vec<Vec<Value>>,
}

impl State<'_> {
    fn at(&mut self, access: &Access, row: &[usize], column: &[usize]) -> &mut Value {
        let at = element(access, row, column) as usize;
        match access.place {
            Place::Buffer(id) => &mut self.memory[id as usize][at],
            Place::Local(id) => &mut self.locals[id as usize][at],
        }
    }
}

fn run_nest(program: &Program, nest: &Nest, memory: &mut Memory) {
    for &(place, fold) in &nest.accumulators {
        if let Place::Buffer(id) = place {
            let dtype = program.buffer(id).dtype;
            memory[id as usize] = vec![start(fold, dtype); program.buffer(id).len];
        }
    }
    let locals = nest.locals.iter().map(|local| vec![Value::Float(f64::NAN); local.len]).collect();
    let mut state = State { memory, locals };
    for row in indices(&nest.rows) {
        for &(place, fold) in &nest.accumulators {
            if let Place::Local(id) = place {
                let Local { dtype, len } = nest.locals[id as usize];
                state.locals[id as usize] = vec![start(fold, dtype); len];
            }
        }
        for stage in &nest.stages {
            run_stage(stage, &row, None, &mut state);
        }
    }
}

use backprop_opt::loops::Local;

fn run_stage(stage: &Stage, row: &[usize], product: Option<&[Value]>, state: &mut State) {
    let started = |reduce: &Reduce| vec![start(reduce.fold, stage.code.dtype(reduce.value)); reduce.lanes];
    let mut partial: Vec<Vec<Value>> = stage.reduces.iter().map(started).collect();
    for column in indices(&stage.columns) {
        let regs = run_code(&stage.code, row, &column, product, state);
        for store in &stage.stores {
            *state.at(&store.to, row, &column) = regs[store.value as usize];
        }
        for (reduce, partial) in stage.reduces.iter().zip(&mut partial) {
            let (mut x, dtype) = (regs[reduce.value as usize], stage.code.dtype(reduce.value));
            if reduce.folds_columns(&stage.columns) {
                let lane = column.last().copied().unwrap_or(0) % reduce.lanes;
                partial[lane] = folded(reduce.fold, partial[lane], x, dtype);
                let mut inner = column.iter().zip(&stage.columns).skip(reduce.n_around(&stage.columns));
                if inner.any(|(&at, &size)| at + 1 < size) {
                    continue;
                }
                let mut all = std::mem::replace(partial, started(reduce));
                while all.len() > 1 {
                    let upper = all.split_off(all.len() / 2);
                    all.iter_mut().zip(upper).for_each(|(p, x)| *p = folded(reduce.fold, *p, x, dtype));
                }
                x = all[0];
            }
            let acc = state.at(&reduce.into, row, &column);
            *acc = folded(reduce.fold, *acc, x, dtype);
        }
    }
}

fn run_code(
    code: &Code,
    row: &[usize],
    column: &[usize],
    product: Option<&[Value]>,
    state: &mut State,
) -> Vec<Value> {
    let mut regs: Vec<Value> = Vec::new();
    for (instr, &dtype) in code.instrs.iter().zip(&code.dtypes) {
        let of = |reg: u32| regs[reg as usize];
        let value = match *instr {
            Instr::Load(access) => *state.at(&code.accesses[access as usize], row, column),
            Instr::Gather { access, index, stride, bound } => {
                let index = of(index).int();
                assert!((0..bound as i64).contains(&index), "an index out of range");
                let mut access = code.accesses[access as usize].clone();
                access.offset += (index * stride) as isize;
                *state.at(&access, row, column)
            }
            Instr::Literal(bits) => match dtype {
                DType::F32 => Value::Float(f64::from(f32::from_bits(bits as u32))),
                DType::F64 => Value::Float(f64::from_bits(bits)),
                _ => Value::Int(bits as i64),
            },
            Instr::Count(access) => Value::Int(element(&code.accesses[access as usize], row, column) as i64),
            Instr::Product => product.expect("in a contraction")[column[0]],
            Instr::Unary(op, x) => match of(x) {
                Value::Float(x) => Value::Float(op.reference(x)),
                Value::Int(x) => Value::Int(op.reference_int().expect("of integers")(x)),
            },
            Instr::Binary(op, a, b) => match (of(a), of(b)) {
                (Value::Float(a), Value::Float(b)) => Value::Float(op.reference(a, b)),
                (a, b) => Value::Int(op.reference_int(a.int(), b.int())),
            },
            Instr::Fma(a, b, c) => Value::Float(of(a).float().mul_add(of(b).float(), of(c).float())),
            Instr::Compare(op, a, b) => Value::Int(i64::from(match (of(a), of(b)) {
                (Value::Float(a), Value::Float(b)) => op.reference(a, b),
                (a, b) => op.reference(a.int(), b.int()),
            })),
            Instr::Logic(op, a, b) => Value::Int(i64::from(match op {
                Logic::Not => !of(a).holds(),
                Logic::And => of(a).holds() && of(b).holds(),
                Logic::Or => of(a).holds() || of(b).holds(),
            })),
            Instr::Select(c, a, b) => {
                if of(c).holds() {
                    of(a)
                } else {
                    of(b)
                }
            }
            Instr::Cast(x) => of(x).cast(code.dtype(x), dtype),
        };
        regs.push(fit(value, dtype));
    }
    regs
}

fn run_contraction(contraction: &Contraction, memory: &mut Memory) {
    let Contraction { dtype, batch, m, n, k, k_block, a, b, stage } = contraction;
    for at in indices(batch) {
        let base = |strides: &[isize], offset: isize| {
            offset + strides.iter().zip(&at).map(|(stride, &i)| stride * i as isize).sum::<isize>()
        };
        let (a_base, b_base) = (base(&a.batch_strides, a.offset), base(&b.batch_strides, b.offset));
        // All products first: the stage may write over what it reads, never over a factor.
        let mut products = Vec::new();
        for i in 0..*m {
            let product = |j: usize| {
                let mut sum: Option<Value> = None;
                for block in (0..*k).step_by(*k_block) {
                    let mut p = if dtype.is_float() { Value::Float(0.0) } else { Value::Int(0) };
                    for l in block..(block + k_block).min(*k) {
                        let x = a_base + i as isize * a.row_stride + l as isize * a.column_stride;
                        let y = b_base + l as isize * b.row_stride + j as isize * b.column_stride;
                        let (x, y) =
                            (memory[a.buffer as usize][x as usize], memory[b.buffer as usize][y as usize]);
                        p = match (x, y, p) {
                            (Value::Float(x), Value::Float(y), Value::Float(p)) => {
                                Value::Float(x.mul_add(y, p))
                            }
                            (x, y, p) => Value::Int(p.int().wrapping_add(x.int().wrapping_mul(y.int()))),
                        };
                        p = fit(p, *dtype);
                    }
                    sum = Some(sum.map_or(p, |sum| folded(Fold::Sum, sum, p, *dtype)));
                }
                sum.unwrap_or(if dtype.is_float() { Value::Float(0.0) } else { Value::Int(0) })
            };
            products.push((0..*n).map(product).collect::<Vec<Value>>());
        }
        for (i, products) in products.iter().enumerate() {
            let row = [at.as_slice(), &[i]].concat();
            let mut state = State { memory, locals: Vec::new() };
            run_stage(stage, &row, Some(products), &mut state);
        }
    }
}

fn run_scan(scan: &Scan, memory: &mut Memory) {
    let read = |memory: &Memory, ids: &[BufferId]| -> Vec<Vec<Value>> {
        ids.iter().map(|&id| memory[id as usize].clone()).collect()
    };
    let mut carries = read(memory, &scan.carries);
    for round in 0..scan.length {
        let k = if scan.reverse { scan.length - 1 - round } else { round };
        let mut given = vec![vec![Value::Int(k as i64)]];
        given.extend(carries);
        for xs in read(memory, &scan.xs) {
            let len = xs.len() / scan.length;
            given.push(xs[k * len..(k + 1) * len].to_vec());
        }
        given.extend(read(memory, &scan.captures));
        let mut made = run_on(&scan.body, given);
        for (&id, y) in scan.ys.iter().zip(made.split_off(scan.carries.len())) {
            let len = y.len();
            memory[id as usize][k * len..(k + 1) * len].copy_from_slice(&y);
        }
        carries = made;
    }
    for (&id, carry) in scan.last.iter().zip(carries) {
        memory[id as usize] = carry;
    }
}

//! An op of the tape as a program of its own: lowered for the types of its operands, kept from call to call while it
//! is among those called last.
//!
//! It runs as plain loops until its calls have done what it takes to make machine code, then as machine code. Both
//! give the same bits, so nobody sees when.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use backprop_core::array::pool;
use backprop_core::graph::place::{Line, Place};
use backprop_core::graph::records::{Inputs, Part};
use backprop_core::ops::{Broadcast, Input};
use backprop_core::{Array, Op, Records, Type, ValueId, with_dtype};
use backprop_opt::loops::{Kind, Program};
use backprop_opt::lower::{self, lower};
use backprop_opt::simplify::decompose;
use smallvec::SmallVec;

use crate::engine::{Arena, Choice, Compiled, Engine};

/// Operations and bytes that portable loops take about as long for as machine code takes to be made, by estimate.
const MAKING_CODE: u64 = if cfg!(miri) { 1 << 12 } else { 1 << 22 };

/// The most ops that are kept. A step of a network has some dozens.
const MOST_KEPT: usize = if cfg!(miri) { 16 } else { 512 };

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
    /// Memory that all of them scribble on; taken while one runs.
    static ARENA: Cell<Option<Arena>> = const { Cell::new(None) };
}

/// The ops that were called last.
#[derive(Default)]
struct Kept {
    /// By the hash of op and types.
    ops: HashMap<u64, Alone, BuildHasherDefault<Quick>>,
    n_calls: u64,
}

/// An op for operands of these types.
struct Alone {
    op: Op,
    operands: SmallVec<[Type; 3]>,
    output: Type,
    /// `None` where there is no program: then the op has kernels elsewhere.
    compiled: Option<Rc<Compiled>>,
    is_native: bool,
    /// What a call computes and moves.
    work: u64,
    /// What all calls have.
    done: u64,
    /// The number of the last call, among those of all ops.
    last_call: u64,
}

/// The result of an op whose program has loops for it. Operands of a pointwise op may be smaller than the result:
/// they are repeated to its shape, as by `broadcast`. `None` where there is no such program, or for a fault in the
/// data, which the op's other kernels find again and describe.
pub(crate) fn run(op: &Op, inputs: &[&Array], output: Type) -> Option<Array> {
    let compiled = KEPT.with_borrow_mut(|kept| kept.ready(op, inputs, output))?;
    let mut arena = match ARENA.take() {
        Some(arena) => arena,
        None => compiled.arena(1).ok()?,
    };
    compiled.take_over(&mut arena).ok()?;
    let n = output.shape.n_elements()?;
    let data = with_dtype!(output.dtype, |T| pool::overwritten::<T>(n, |_| ()));
    let mut results = [Array::with_shape(output.shape, data)];
    let outcome = compiled.run(&mut arena, inputs, &mut results);
    ARENA.set(Some(arena));
    let [result] = results;
    match outcome {
        Ok(outcome) if !outcome.is_faulty => Some(result),
        _ => None,
    }
}

fn key(op: &Op, inputs: &[&Array], output: Type) -> u64 {
    let mut hasher = Quick::default();
    op.hash(&mut hasher);
    inputs.iter().for_each(|array| type_of(array).hash(&mut hasher));
    output.hash(&mut hasher);
    hasher.finish()
}

/// A hash for keys that nobody forges, of a few words (Fx, as in Firefox and rustc): the standard one takes longer
/// than a small op.
#[derive(Default)]
struct Quick(u64);

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_ne_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_u8(&mut self, word: u8) {
        self.write_u64(word.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
}

fn type_of(array: &Array) -> Type {
    Type::new(array.dtype(), array.shape())
}

impl Kept {
    /// What runs the call of an op that is made now.
    fn ready(&mut self, op: &Op, inputs: &[&Array], output: Type) -> Option<Rc<Compiled>> {
        self.n_calls += 1;
        let key = key(op, inputs, output);
        let known = self.ops.get_mut(&key).filter(|alone| alone.is_for(op, inputs, output));
        if let Some(alone) = known {
            return alone.ready(self.n_calls);
        }
        if self.ops.len() >= MOST_KEPT {
            self.forget();
        }
        let mut alone = Alone::new(op, inputs, output);
        let ready = alone.ready(self.n_calls);
        self.ops.insert(key, alone);
        ready
    }

    /// Forgets the half of the ops that was called longest ago, and the memory that one of them may have made large.
    fn forget(&mut self) {
        let mut calls: Vec<u64> = self.ops.values().map(|alone| alone.last_call).collect();
        let middle = calls.len() / 2;
        let (_, &mut first, _) = calls.select_nth_unstable(middle);
        self.ops.retain(|_, alone| alone.last_call >= first);
        ARENA.set(None);
    }
}

impl Alone {
    fn new(op: &Op, inputs: &[&Array], output: Type) -> Alone {
        let operands: SmallVec<[Type; 3]> = inputs.iter().map(|array| type_of(array)).collect();
        let compiled =
            program(op, &operands, output).map(|program| compiled(Arc::new(program), Engine::Portable));
        let work = compiled.as_ref().map_or(0, |compiled| work(compiled.program()));
        Alone { op: op.clone(), operands, output, compiled, is_native: false, work, done: 0, last_call: 0 }
    }

    fn is_for(&self, op: &Op, inputs: &[&Array], output: Type) -> bool {
        let same_types = || self.operands.iter().zip(inputs).all(|(&ty, array)| ty == type_of(array));
        self.op == *op && self.output == output && self.operands.len() == inputs.len() && same_types()
    }

    /// What runs the next call, which is the `call`th of all.
    fn ready(&mut self, call: u64) -> Option<Rc<Compiled>> {
        self.last_call = call;
        let compiled_now = self.compiled.as_mut()?;
        self.done = self.done.saturating_add(self.work);
        if !self.is_native && self.done >= MAKING_CODE {
            self.is_native = true;
            *compiled_now = compiled(compiled_now.shared_program(), Engine::Native);
        }
        Some(compiled_now.clone())
    }
}

fn compiled(program: Arc<Program>, engine: Engine) -> Rc<Compiled> {
    let choice = Choice { engine, ..Choice::default() };
    let compiled = Compiled::new(program, choice);
    Rc::new(compiled.expect("lowering keeps the rules of programs"))
}

fn work(program: &Program) -> u64 {
    let works = program.steps.iter().map(|step| step.kind.work(program));
    works.map(|work| work.flops.saturating_add(work.bytes)).fold(0, u64::saturating_add)
}

/// The loops of an op; `None` where a part of it would run by its definition.
fn program(op: &Op, operands: &[Type], output: Type) -> Option<Program> {
    let mut records = Records::default();
    let mut push = |op: Op, inputs: Inputs| -> ValueId {
        let place = Place { line: Line::Code(Location::caller()), module: 0 };
        let node = records.push(op, inputs, place, Part::Forward);
        records.node(node).first
    };
    let given: Vec<ValueId> = operands.iter().map(|&ty| push(Input { ty }.into(), Inputs::new())).collect();
    let whole = given.iter().zip(operands).map(|(&value, ty)| {
        match op.is_elementwise() && ty.shape != output.shape {
            true => push(Broadcast { shape: output.shape }.into(), Inputs::from_slice(&[value])),
            false => value,
        }
    });
    let whole: Inputs = whole.collect();
    let result = push(op.clone(), whole);
    let roots = [given, vec![result]].concat();
    let spelt_out = decompose(&records, &roots).ok()?;
    let (inputs, outputs) = spelt_out.roots.split_at(operands.len());
    let options =
        lower::Options { vector_bytes: Choice::default().isa.vector_bytes(), ..lower::Options::default() };
    let program = lower(&spelt_out.records, inputs, outputs, &options);
    let has_calls =
        program.steps.iter().any(|step| !matches!(step.kind, Kind::Nest(_) | Kind::Contraction(_)));
    (!has_calls).then_some(program)
}

#[cfg(test)]
mod tests {
    use backprop_core::ops::{Axes, Binary, Contract, LogSoftmax, Select, Sum, Unary};

    use super::*;

    fn wave(sizes: &[usize]) -> Array {
        let values =
            (0..sizes.iter().product::<usize>()).map(|at| (at as f32 * 0.7).sin()).collect::<Vec<_>>();
        Array::new(sizes, values).expect("as many as the sizes say")
    }

    /// The bits of an op's result do not depend on how often it was called.
    fn check(op: impl Into<Op>, inputs: &[&Array], sizes: &[usize]) -> Array {
        let op = op.into();
        let ty = Type::new(backprop_core::DType::F32, sizes);
        let first = run(&op, inputs, ty).expect("there is a program");
        let compiled = || {
            let find = |kept: &Kept| kept.ops[&key(&op, inputs, ty)].is_native;
            KEPT.with_borrow(find)
        };
        let work = KEPT.with_borrow(|kept| kept.ops[&key(&op, inputs, ty)].work);
        for _ in 0..MAKING_CODE / work.max(1) + 1 {
            let again = run(&op, inputs, ty).expect("there is a program");
            let bits = |array: &Array| {
                array.slice::<f32>().map(|x| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
            };
            assert_eq!(bits(&again).ok(), bits(&first).ok(), "{op:?}");
            pool::give(again);
        }
        assert!(compiled(), "{op:?} has done {work} operations again and again");
        first
    }

    /// Rows, columns, other rows.
    const SIZES: [usize; 3] = if cfg!(miri) { [7, 19, 5] } else { [97, 101, 103] };

    #[test]
    fn loops_and_machine_code_give_the_same_bits() {
        let [n, k, m] = SIZES;
        let (a, b) = (wave(&[n, k]), wave(&[m, k]));
        let product =
            Contract { lhs_contract: Axes::new(&[1]), rhs_contract: Axes::new(&[1]), ..Contract::default() };
        check(product, &[&a, &b], &[n, m]);
        check(Sum { axes: Axes::new(&[0]) }, &[&a], &[k]);
        check(Sum { axes: Axes::new(&[0, 1]) }, &[&a], &[]);
    }

    #[test]
    fn smaller_operands_of_a_pointwise_op_are_repeated() {
        let [n, k, _] = SIZES;
        let (a, row, one) = (wave(&[n, k]), wave(&[k]), wave(&[]));
        let whole = |x: &Array| crate::movement::broadcast(x, type_of(&a));
        assert_eq!(
            check(Binary::Mul, &[&a, &row], &[n, k]),
            check(Binary::Mul, &[&a, &whole(&row)], &[n, k])
        );
        let column = wave(&[n, 1]);
        assert_eq!(
            check(Binary::Sub, &[&column, &one], &[n, k]),
            check(Binary::Sub, &[&whole(&column), &whole(&one)], &[n, k])
        );
        let condition = Array::new([k], (0..k).map(|at| at % 3 == 0).collect::<Vec<_>>()).expect("as many");
        check(Select, &[&condition, &a, &one], &[n, k]);
    }

    #[test]
    fn nothing_is_computed_of_nothing() {
        let none = wave(&[0, 7]);
        let ty = type_of(&none);
        assert_eq!(run(&Binary::Add.into(), &[&none, &wave(&[7])], ty).map(|y| y.len()), Some(0));
        assert_eq!(
            run(&Binary::Add.into(), &[&wave(&[]), &wave(&[])], type_of(&wave(&[]))).map(|y| y.len()),
            Some(1)
        );
    }

    /// The cache after a call of `negate` for each of these numbers of elements.
    fn kept_after(sizes: impl IntoIterator<Item = usize>) -> Kept {
        let mut kept = Kept::default();
        for n in sizes {
            let x = wave(&[n]);
            kept.ready(&Unary::Neg.into(), &[&x], type_of(&x)).expect("there is a program");
        }
        kept
    }

    #[test]
    fn the_half_called_longest_ago_is_forgotten() {
        let is_kept = |kept: &Kept, n| {
            let x = wave(&[n]);
            kept.ops.contains_key(&key(&Unary::Neg.into(), &[&x], type_of(&x)))
        };
        // The first is called again when all the room is taken, so the next is the oldest.
        let kept = kept_after((0..MOST_KEPT).chain([0, MOST_KEPT]));
        let found: Vec<usize> = (0..=MOST_KEPT).filter(|&n| is_kept(&kept, n)).collect();
        let wanted: Vec<usize> = [0].into_iter().chain(MOST_KEPT / 2 + 1..=MOST_KEPT).collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn no_more_are_kept_than_there_is_room_for() {
        assert_eq!(kept_after(0..3 * MOST_KEPT).ops.len(), MOST_KEPT);
    }

    #[test]
    fn memory_for_ops_that_are_forgotten_is_given_back() {
        let held = || {
            let arena = ARENA.take();
            let bytes = arena.as_ref().map_or(0, |arena| arena.bytes());
            ARENA.set(arena);
            bytes
        };
        let columns = |n: usize| {
            let x = wave(&[5, n]);
            let op = LogSoftmax { axes: Axes::new(&[0]) };
            run(&op.into(), &[&x], type_of(&x)).expect("there is a program");
        };
        columns(if cfg!(miri) { 640 } else { 64_000 });
        let large = held();
        columns(7);
        assert_eq!(held(), large, "kept while the op is");
        KEPT.with_borrow_mut(Kept::forget);
        columns(7);
        assert!(held() < large / 8, "{} of {large} bytes", held());
    }
}

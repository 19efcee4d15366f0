//! The tape (symbol-to-number): operations on its tensors are computed at once and recorded, so
//! that they can be differentiated.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use backprop_core::array::pool;
use backprop_core::graph::context::{self, Closed, Cursor, Emitted};
use backprop_core::graph::place::{Line, Place};
use backprop_core::graph::records::{Inputs, RecordsCell};
use backprop_core::ops::{Full, IllCall, Input, IntoAxis, Literal, Tree, iota};
use backprop_core::random::Streams;
use backprop_core::{
    Array, ContextId, Emit, Error, Fault, Ill, IntoType, Op, Part, Records, Tensor, Type, ValueId, with_data,
};
use smallvec::SmallVec;

/// A tape: what is called on its tensors is computed at once.
///
/// Values live as long as their tape, or the [`scope`](Tape::scope) that they were made in: a loop of
/// steps opens a scope per step, else it holds every value of every step.
///
/// ```
/// use backprop_run::Tape;
/// use backprop_ad::grad;
/// let tape = Tape::new();
/// let x = tape.value(3.0f64);
/// let y = x * x + 1.0;
/// assert_eq!(y.item()?, 10.0);
/// let [dy] = grad(y, [x]);
/// let [d2y] = grad(dy, [x]);
/// assert_eq!((dy.item()?, d2y.item()?), (6.0, 2.0));
/// # Ok::<(), backprop_core::Error>(())
/// ```
pub struct Tape {
    context: Rc<TapeContext>,
    /// The length of the records when this scope was opened.
    mark: usize,
}

/// What a tape and its scopes share.
struct Shared {
    records: RecordsCell,
    /// By value; `None` for what is ill. Large numbers that only repeat are kept in a smaller shape than their
    /// type's, until somebody needs the whole of them: see [`whole`].
    values: RefCell<Vec<Option<Array>>>,
    no_grad: Cell<bool>,
}

struct TapeContext {
    id: ContextId,
    shared: Rc<Shared>,
    cursor: Cell<Cursor>,
    streams: RefCell<Streams>,
}

impl Default for Tape {
    fn default() -> Tape {
        Tape::new()
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        context::close(self.context.id);
        let shared = &self.context.shared;
        shared.records.borrow_mut().truncate(self.mark);
        let n_values = shared.records.borrow().n_values();
        let mut values = shared.values.borrow_mut();
        values.drain(n_values..).flatten().for_each(pool::give);
    }
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Tape {
        let shared = Rc::new(Shared {
            records: RecordsCell::default(),
            values: RefCell::default(),
            no_grad: Cell::new(false),
        });
        Tape::open(None, shared, Cursor::default(), Closed::Dropped)
    }

    fn open(parent: Option<ContextId>, shared: Rc<Shared>, cursor: Cursor, why: Closed) -> Tape {
        let mark = shared.records.borrow().n_nodes();
        let context = context::open(parent, why, |id| {
            let cursor = Cell::new(cursor);
            Rc::new(TapeContext { id, shared, cursor, streams: RefCell::default() })
        });
        Tape { context, mark }
    }

    /// The number of its context.
    pub fn id(&self) -> ContextId {
        self.context.id
    }

    /// What has been recorded.
    pub fn records(&self) -> Arc<Records> {
        self.context.shared.records.snapshot()
    }

    /// An array on the tape; gradients with respect to it can be asked for.
    #[track_caller]
    pub fn value(&self, array: impl Into<Array>) -> Tensor {
        self.hold(array.into(), Line::Code(Location::caller()), Part::Forward)
    }

    fn hold(&self, array: Array, line: Line, part: Part) -> Tensor {
        let home = self.id().innermost_scope();
        let shared = &self.context.shared;
        let ty = Type::new(array.dtype(), array.shape());
        let place = Place { line, module: self.context.cursor.get().module };
        let mut records = shared.records.borrow_mut();
        let node = records.push(Input { ty }.into(), Inputs::new(), place, part);
        shared.values.borrow_mut().push(Some(array));
        Tensor::new(home, records.node(node).first)
    }

    /// A value whose elements are all `value`; the type is written `"f32[32, 784]"`.
    #[track_caller]
    pub fn full(&self, ty: impl IntoType, value: impl Into<Literal>) -> Tensor {
        let op: Op = match ty.into_type().map_err(Ill::new).and_then(|ty| Full::new(ty, value)) {
            Ok(op) => op.into(),
            Err(ill) => IllCall::new("full", ill).into(),
        };
        self.id().emit(op, &[], Line::Code(Location::caller())).one()
    }

    /// 0, 1, 2, ... along `axis` (−1: the last): `tape.iota("i64[5]", 0)`.
    #[track_caller]
    pub fn iota(&self, ty: impl IntoType, axis: impl IntoAxis) -> Tensor {
        match ty.into_type() {
            Ok(ty) => iota(self.id(), ty, axis),
            Err(error) => {
                let op = IllCall::new("iota", Ill::new(error)).into();
                self.id().emit(op, &[], Line::Code(Location::caller())).one()
            }
        }
    }

    /// Runs `body` with a tape whose values are freed at its end. Values from outside may be used
    /// inside, and gradients with respect to them asked for; handles made inside are stale after.
    /// While the body of a loop or branch is being built, nothing is computed, so nothing is freed.
    pub fn scope<R>(&self, body: impl FnOnce(&Tape) -> R) -> R {
        if self.id().innermost_scope() != self.id().innermost() {
            return body(self);
        }
        let outer = self.id().innermost().get();
        let cursor = outer.map_or_else(Cursor::default, |outer| outer.cursor().get());
        let shared = self.context.shared.clone();
        let scope = Tape::open(Some(self.id().innermost()), shared, cursor, Closed::Scope);
        body(&scope)
    }

    /// As [`Tape::scope`], and the tensors that `body` returns live on, on this tape: all else is freed.
    /// For computing without derivatives ([`Tape::no_grad`]). A tape that records would lose them at
    /// the scope's end, so there the results are ill, and say so.
    ///
    /// ```
    /// use backprop_run::Tape;
    /// let tape = Tape::new();
    /// let x = tape.value(0.5);
    /// let y = tape.no_grad(|| tape.scope_keeping(|_| (x * 8.0).sqrt()));
    /// assert_eq!(y.item()?, 2.0);
    /// # Ok::<(), backprop_core::Error>(())
    /// ```
    #[track_caller]
    pub fn scope_keeping<T: Tree>(&self, body: impl FnOnce(&Tape) -> T) -> T {
        let line = Line::Code(Location::caller());
        let (results, values) = self.scope(|scope| {
            let results = body(scope);
            // Values of the surroundings stay what they are.
            let keep = |result: Tensor| (result.context() == scope.id()).then(|| result.value());
            let is_own = scope.id() != self.id();
            let values: Vec<_> = results
                .leaves()
                .into_iter()
                .map(|result| (result, is_own.then(|| keep(result)).flatten()))
                .collect();
            (results, values)
        });
        let kept: Vec<Tensor> = values
            .into_iter()
            .map(|(result, value)| value.map_or(result, |value| self.keep(value, line)))
            .collect();
        results.rebuild(&mut kept.into_iter())
    }

    /// A result of a scope that has ended.
    fn keep(&self, value: Result<Array, Error>, line: Line) -> Tensor {
        let home = self.id().innermost_scope();
        let refused = |ill: Ill| home.emit(IllCall::new("scope", ill).into(), &[], line).one();
        match value {
            Err(error) => {
                let faults: Vec<String> = error.faults().iter().map(ToString::to_string).collect();
                refused(Ill::new(faults.join("; ")))
            }
            Ok(_) if !self.context.shared.no_grad.get() => refused(
                Ill::new(
                    "a tensor cannot leave a scope of a tape that records: its derivative would be lost",
                )
                .hint("compute it under no_grad, or return its numbers: value()"),
            ),
            Ok(array) => self.hold(array, line, Part::NoGrad),
        }
    }

    /// Runs `body` without recording derivatives: what it computes is a constant to `grad`.
    pub fn no_grad<R>(&self, body: impl FnOnce() -> R) -> R {
        struct Restore<'a>(&'a Cell<bool>, bool);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.set(self.1);
            }
        }
        let flag = &self.context.shared.no_grad;
        let _restore = Restore(flag, flag.replace(true));
        body()
    }

    /// The bytes that the values of the tape hold; what several of them share counts once.
    pub fn bytes(&self) -> usize {
        let values = self.context.shared.values.borrow();
        let mut seen = HashSet::new();
        let own = values
            .iter()
            .flatten()
            .filter(|array| seen.insert(with_data!(array.data(), |elements| elements.as_ptr().cast::<u8>())));
        own.map(|array| array.len() * array.dtype().size()).sum()
    }
}

impl Shared {
    /// Records a node and computes its outputs.
    fn push(&self, op: Op, inputs: Inputs, place: &Place, part: Part) -> Emitted {
        let part = if self.no_grad.get() { Part::NoGrad } else { part };
        // The usual case, whose cost is that of a small operation: nothing is wrong, there is a
        // kernel, and the node is written once, after the numbers are known.
        if !matches!(op, Op::Custom(_) | Op::Cond(_) | Op::Scan(_)) {
            let mut records = self.records.borrow_mut();
            let mut values = self.values.borrow_mut();
            if let Some(ty) = eval_one(&records, &mut values, &op, &inputs) {
                return Emitted { first: records.push_typed(op, inputs, ty, place, part), n: 1 };
            }
        }
        self.push_any(op, inputs, place, part)
    }

    /// As [`Shared::push`], for what has no kernel. The op, or one in its bodies, may be a user's: its
    /// code runs on copies of the operands' handles while nothing is borrowed, and when it panics,
    /// nothing has been recorded.
    fn push_any(&self, op: Op, inputs: Inputs, place: &Place, part: Part) -> Emitted {
        let records = self.records.snapshot();
        let pending = records.consider(op, inputs, *place, part);
        let operands: Option<SmallVec<[Array; 4]>> = {
            let mut values = self.values.borrow_mut();
            pending.inputs().iter().map(|&input| whole(&records, &mut values, input).cloned()).collect()
        };
        let computed = pending.types().zip(operands).map(|(types, operands)| {
            let operands: SmallVec<[&Array; 4]> = operands.iter().collect();
            let computed = backprop_cpu::eval(pending.op(), &operands, types);
            computed.map_err(|ill| Box::new(records.describe_pending(&pending, ill)))
        });
        drop(records);
        let mut records = self.records.borrow_mut();
        let mut values = self.values.borrow_mut();
        let node = records.record(pending);
        match computed {
            Some(Ok(arrays)) => values.extend(arrays.into_iter().map(Some)),
            Some(Err(fault)) => records.poison(node, *fault),
            None => {}
        }
        values.resize(records.n_values(), None);
        let node = records.node(node);
        Emitted { first: node.first, n: node.n_outputs }
    }
}

/// Computes the only output of a well-typed op that has a kernel, or what stands for it; its type.
#[inline]
fn eval_one(records: &Records, values: &mut Vec<Option<Array>>, op: &Op, inputs: &[ValueId]) -> Option<Type> {
    let ty = records.infer_one(op, inputs)?;
    if !backprop_cpu::repeats(op, ty) && !matches!(op, Op::Broadcast(_)) {
        for &input in inputs {
            whole(records, values, input)?;
        }
    }
    let value = |input: ValueId| values[input as usize].as_ref();
    let run = |inputs: &[&Array]| match backprop_cpu::stands_for(op, inputs, ty) {
        Ok(None) => backprop_cpu::eval_one(op, inputs, &[ty]).ok().flatten(),
        Ok(standing) => standing,
        Err(_) => None,
    };
    // The usual numbers of operands need no list.
    let array = match *inputs {
        [a] => run(&[value(a)?]),
        [a, b] => run(&[value(a)?, value(b)?]),
        _ => run(&inputs.iter().map(|&input| value(input)).collect::<Option<Vec<_>>>()?),
    };
    values.push(Some(array?));
    Some(ty)
}

/// All numbers of a value, from now on kept as such.
#[inline]
fn whole<'a>(records: &Records, values: &'a mut [Option<Array>], value: ValueId) -> Option<&'a Array> {
    let array = values.get_mut(value as usize)?.as_mut()?;
    if let Some(ty) = records.ty(value)
        && array.shape() != ty.shape
    {
        *array = backprop_cpu::whole(array, ty);
    }
    Some(array)
}

impl Emit for TapeContext {
    fn id(&self) -> ContextId {
        self.id
    }

    fn records(&self) -> &RecordsCell {
        &self.shared.records
    }

    fn cursor(&self) -> &Cell<Cursor> {
        &self.cursor
    }

    fn streams(&self) -> &RefCell<Streams> {
        &self.streams
    }

    fn is_no_grad(&self) -> bool {
        self.shared.no_grad.get()
    }

    fn emit(&self, op: Op, inputs: Inputs, place: &Place, part: Part) -> Emitted {
        self.shared.push(op, inputs, place, part)
    }

    fn missing(&self) -> ValueId {
        self.shared.values.borrow_mut().push(None);
        self.shared.records.borrow_mut().push_missing()
    }

    fn capture(&self, outer: Tensor) -> ValueId {
        // A tape and its scopes keep one list of values.
        outer.id()
    }

    fn value(&self, value: ValueId) -> Result<Array, Error> {
        let records = self.shared.records.borrow();
        records.check([value])?;
        let mut values = self.shared.values.borrow_mut();
        let array = whole(&records, &mut values, value).cloned();
        array.ok_or_else(|| Fault::new("read", "the value has not been computed").into())
    }
}

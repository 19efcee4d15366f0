//! Contexts: where operations land.
//!
//! A [`Tensor`] is three numbers: a context, its generation, a value. Contexts live in a table of
//! the thread. Dropping a graph or closing a scope bumps the generation, so an old handle is found
//! out and never reads somebody else's data. A generation that runs out retires its place.
//!
//! An operation lands in the innermost open context below its operands: while a body is being
//! built, what it computes from values of the surrounding graph belongs to the body.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use smallvec::SmallVec;

use super::fault::{Error, Fault, Ill};
use super::place::{Line, Module, Place};
use super::records::{Inputs, NodeId, Part, Records, RecordsCell, ValueId};
use crate::array::Array;
use crate::ops::Op;
use crate::random::Streams;
use crate::tensor::{Outputs, Tensor};

/// The number of a context and its generation, in one word: handles move in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContextId(u64);

impl ContextId {
    fn new(index: u32, generation: u32) -> ContextId {
        ContextId(u64::from(generation) << 32 | u64::from(index))
    }

    fn index(self) -> usize {
        self.0 as u32 as usize
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// The outputs of an operation that was recorded: the first, and how many.
#[derive(Clone, Copy, Debug)]
pub struct Emitted {
    /// The first output; the others follow.
    pub first: ValueId,
    /// The number of outputs.
    pub n: u32,
}

/// Where the next operation belongs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    /// The layer whose operations are being called.
    pub module: u32,
    /// The forward node's place, while its derivative is being emitted.
    pub origin: Option<Place>,
}

/// A context that operations are emitted into.
///
/// A graph records them (symbol-to-symbol); a tape also computes them (symbol-to-number).
pub trait Emit {
    /// The context's number.
    fn id(&self) -> ContextId;

    /// What has been recorded.
    fn records(&self) -> &RecordsCell;

    /// Where the next operation belongs.
    fn cursor(&self) -> &Cell<Cursor>;

    /// The streams of random numbers that were handed out.
    fn streams(&self) -> &RefCell<Streams>;

    /// Records an operation, and computes it where values are numbers.
    fn emit(&self, op: Op, inputs: Inputs, place: &Place, part: Part) -> Emitted;

    /// Calls an operation on values of any context, at a line of the user's.
    fn call(&self, op: Op, inputs: &[Tensor], line: Line) -> Emitted {
        let cursor = self.cursor().get();
        let (place, part) = match cursor.origin {
            None => (Place { line, module: cursor.module }, Part::Forward),
            Some(origin) => (origin, Part::Gradient),
        };
        match own_values(self.id(), inputs) {
            Some(inputs) => self.emit(op, inputs, &place, part),
            None => emit_across(self, op, inputs, &place, part),
        }
    }

    /// A new ill value that stands for an operand that cannot be used here.
    fn missing(&self) -> ValueId {
        self.records().borrow_mut().push_missing()
    }

    /// The value of these records that stands for `outer`, a value of a surrounding context.
    fn capture(&self, outer: Tensor) -> ValueId;

    /// Whether what is called now is a constant to derivatives.
    fn is_no_grad(&self) -> bool {
        false
    }

    /// The iteration's number, where this is the body of a loop.
    fn iteration(&self) -> Option<Tensor> {
        None
    }

    /// The numbers of a value.
    ///
    /// # Errors
    /// The value is ill, or has no numbers in this context.
    fn value(&self, value: ValueId) -> Result<Array, Error>;
}

/// Why a context will be no more. A place in the table serves one kind only, so a stale handle of
/// any age tells what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Its graph or tape was dropped.
    Dropped,
    /// A body was finished.
    Body,
    /// A scope of a tape ended.
    Scope,
    /// A body was finished that had no tensor to say which graph or tape it belongs to.
    Homeless,
}

struct Slot {
    generation: u32,
    emit: Option<Rc<dyn Emit>>,
    parent: Option<ContextId>,
    open: Option<ContextId>,
    closed: Closed,
}

#[derive(Default)]
struct Table {
    slots: Vec<Slot>,
    /// Free places, by kind.
    free: [Vec<u32>; 4],
}

thread_local! {
    static TABLE: RefCell<Table> = RefCell::default();
}

impl Table {
    #[inline]
    fn live(&self, id: ContextId) -> Option<&Slot> {
        self.slots.get(id.index()).filter(|slot| slot.generation == id.generation() && slot.emit.is_some())
    }

    fn live_mut(&mut self, id: ContextId) -> Option<&mut Slot> {
        self.slots
            .get_mut(id.index())
            .filter(|slot| slot.generation == id.generation() && slot.emit.is_some())
    }

    /// A place of this kind that is free.
    fn vacant(&mut self, closed: Closed) -> ContextId {
        let index = self.free[closed as usize].pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, emit: None, parent: None, open: None, closed });
            self.slots.len() as u32 - 1
        });
        ContextId::new(index, self.slots[index as usize].generation)
    }

    /// Makes handles of this place stale, and the place free; the last generation is never reused: its
    /// place stays empty for good.
    fn retire(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free[slot.closed as usize].push(index as u32);
        }
    }

    #[inline]
    fn innermost(&self, mut id: ContextId) -> ContextId {
        while let Some(inner) = self.live(id).and_then(|slot| slot.open) {
            id = inner;
        }
        id
    }
}

/// Opens a context. While it is open, operations on values of `parent` land in it.
pub fn open<E: Emit + 'static>(
    parent: Option<ContextId>,
    closed: Closed,
    make: impl FnOnce(ContextId) -> Rc<E>,
) -> Rc<E> {
    let id = TABLE.with_borrow_mut(|table| table.vacant(closed));
    let emit = make(id);
    TABLE.with_borrow_mut(|table| {
        let slot = &mut table.slots[id.index()];
        slot.emit = Some(emit.clone());
        slot.parent = parent;
        slot.open = None;
        if let Some(outer) = parent.and_then(|parent| table.live_mut(parent)) {
            outer.open = Some(id);
        }
    });
    emit
}

/// A context that no operation can land in: that of what is called on no tensor at all.
#[cold]
pub(crate) fn nowhere() -> ContextId {
    let id = TABLE.with_borrow_mut(|table| table.vacant(Closed::Homeless));
    TABLE.with_borrow_mut(|table| table.retire(id.index()));
    id
}

/// Closes a context: its handles are stale from now on.
pub fn close(id: ContextId) {
    // The context is dropped after the table is released: its values may own other contexts.
    let _dropped = TABLE.try_with(|table| {
        let mut table = table.borrow_mut();
        let slot = table.live_mut(id)?;
        let emit = slot.emit.take();
        let parent = slot.parent.take();
        slot.open = None;
        table.retire(id.index());
        if let Some(outer) = parent.and_then(|parent| table.live_mut(parent)) {
            outer.open = None;
        }
        emit
    });
}

impl ContextId {
    /// The context, while it lives.
    pub fn get(self) -> Option<Rc<dyn Emit>> {
        TABLE.with_borrow(|table| table.live(self).and_then(|slot| slot.emit.clone()))
    }

    /// Reads the records of the context, while it lives; `read` calls no operation.
    #[inline]
    pub(crate) fn read<R>(self, read: impl FnOnce(&Records) -> R) -> Option<R> {
        TABLE.with_borrow(|table| {
            let emit = table.live(self)?.emit.as_ref()?;
            Some(read(&emit.records().borrow()))
        })
    }

    /// The context that is open directly below this one.
    pub fn inner(self) -> Option<ContextId> {
        TABLE.with_borrow(|table| table.live(self)?.open)
    }

    /// The innermost context that is open below this one: where its next operation lands.
    pub fn innermost(self) -> ContextId {
        TABLE.with_borrow(|table| table.innermost(self))
    }

    /// The context directly above this one.
    fn outer(self) -> Option<ContextId> {
        TABLE.with_borrow(|table| table.live(self)?.parent)
    }

    /// The iterations' numbers of the loops whose bodies are open around the next operation, outermost
    /// first.
    pub fn iterations(self) -> Vec<Tensor> {
        let bodies = std::iter::successors(Some(self.innermost()), |body| body.outer());
        let mut numbers: Vec<Tensor> = bodies.filter_map(|body| body.get()?.iteration()).collect();
        numbers.reverse();
        numbers
    }

    /// The innermost open scope of a tape; this context itself where it is a graph or a body. What is
    /// recorded now in the records that they share ends with that scope.
    pub fn innermost_scope(self) -> ContextId {
        let shares = |inner: &ContextId| match (self.get(), inner.get()) {
            (Some(own), Some(inner)) => std::ptr::eq(own.records(), inner.records()),
            _ => false,
        };
        let scopes = std::iter::successors(Some(self), |id| id.inner().filter(shares));
        scopes.last().unwrap_or(self)
    }

    /// Calls `op`, which has no operands, outside of any body that is open below this context.
    pub fn emit_outside(self, op: Op, line: Line) -> Outputs {
        let home = self.innermost_scope();
        match home.get() {
            Some(emit) => {
                let Emitted { first, n } = emit.call(op, &[], line);
                Outputs { context: home, first, n }
            }
            None => self.emit(op, &[], line),
        }
    }

    /// Whether values of this context may be used in `inner`.
    pub fn encloses(self, inner: ContextId) -> bool {
        TABLE.with_borrow(|table| {
            let mut at = Some(inner);
            while let Some(id) = at {
                if id == self {
                    return table.live(self).is_some();
                }
                at = table.live(id).and_then(|slot| slot.parent);
            }
            false
        })
    }

    /// Why the context is no more, in words.
    fn epitaph(self) -> &'static str {
        let closed = TABLE.with_borrow(|table| table.slots.get(self.index()).map(|slot| slot.closed));
        match closed {
            Some(Closed::Body) => "it escaped its body: values of a body are only its own",
            Some(Closed::Scope) => "it is stale: the scope that it was made in has ended",
            Some(Closed::Homeless) => {
                "it belongs to no graph or tape: it was made from no tensor, or only from stale ones"
            }
            _ => "it is stale: its graph or tape was dropped",
        }
    }

    /// Why a value of this context cannot be used in a context that it does not enclose.
    pub fn stray(self) -> &'static str {
        match self.get() {
            Some(_) => "it belongs to another graph or tape",
            None => self.epitaph(),
        }
    }

    /// Calls `op` on `inputs`. Lands in the innermost open context below this one and the inputs.
    pub fn emit(self, op: Op, inputs: &[Tensor], line: Line) -> Outputs {
        let Some(home) = self.home(inputs) else {
            let (context, first) = inputs.first().map_or((self, 0), |input| (input.context, input.value));
            return Outputs { context, first, n: op.n_outputs() as u32 };
        };
        let Emitted { first, n } = home.call(op, inputs, line);
        Outputs { context: home.id(), first, n }
    }

    #[inline]
    fn home(self, inputs: &[Tensor]) -> Option<Rc<dyn Emit>> {
        TABLE.with_borrow(|table| {
            let alive = || inputs.iter().find_map(|input| table.live(input.context));
            let slot = table.live(self).or_else(alive)?;
            match slot.open {
                None => slot.emit.clone(),
                Some(inner) => table.live(table.innermost(inner))?.emit.clone(),
            }
        })
    }
}

/// The numbers of `inputs` in the records of `context`, if all belong to it.
#[inline]
fn own_values(context: ContextId, inputs: &[Tensor]) -> Option<Inputs> {
    Some(match *inputs {
        // The usual numbers of operands need no loop.
        [a] if a.context == context => Inputs::from_buf_and_len([a.value, 0, 0, 0], 1),
        [a, b] if a.context == context && b.context == context => {
            Inputs::from_buf_and_len([a.value, b.value, 0, 0], 2)
        }
        _ if inputs.iter().all(|input| input.context == context) => {
            inputs.iter().map(|input| input.value).collect()
        }
        _ => return None,
    })
}

/// Calls `op` on values of several contexts: some are captured, some refused.
fn emit_across<E: Emit + ?Sized>(home: &E, op: Op, inputs: &[Tensor], place: &Place, part: Part) -> Emitted {
    let id = home.id();
    let mut refused: SmallVec<[(usize, Tensor); 1]> = SmallVec::new();
    let mut ids = Inputs::new();
    for (idx, &input) in inputs.iter().enumerate() {
        ids.push(if input.context == id {
            input.value
        } else if input.context.encloses(id) {
            home.capture(input)
        } else {
            refused.push((idx, input));
            home.missing()
        });
    }
    let emitted = home.emit(op, ids, place, part);
    if !refused.is_empty() {
        let node = home.records().borrow().last_node();
        refuse(home, node, &refused);
    }
    emitted
}

/// Writes the fault of an operation whose operands do not belong here.
#[cold]
fn refuse<E: Emit + ?Sized>(home: &E, node: NodeId, refused: &[(usize, Tensor)]) {
    // What a foreign operand is called where it lives; of a stale one nothing is left.
    let known = |operand: Tensor| {
        operand.with_records(|own| {
            let ty = own.ty(operand.value).map_or_else(|| "?".to_string(), |ty| ty.to_string());
            (own.label(operand.value), ty, own.place(own.node(own.producer(operand.value)).place))
        })
    };
    let known: Vec<_> = refused.iter().map(|&(_, operand)| known(operand)).collect();
    let mut fault = home.records().snapshot().describe_node(node, Ill::default());
    let mut rules = Vec::with_capacity(refused.len());
    for (&(idx, stray), known) in refused.iter().zip(known) {
        let operand = &mut fault.operands[idx];
        rules.push(format!("operand {}: {}", operand.role, stray.context.stray()));
        (operand.name, operand.ty, operand.made_at) = match known {
            Some((name, ty, place)) => (name, ty, Some(place)),
            None => ("?".to_string(), "?".to_string(), None),
        };
    }
    fault.rule = rules.join("; ");
    home.records().borrow_mut().poison(node, fault);
}

/// The error of reading a value whose context is no more.
pub(crate) fn stale(id: ContextId) -> Error {
    Fault::new("read", format!("the value: {}", id.epitaph())).into()
}

/// Runs `body` with the cursor of `context` changed, and puts it back.
pub fn with_cursor<R>(context: ContextId, change: impl FnOnce(&mut Cursor), body: impl FnOnce() -> R) -> R {
    struct Restore(Option<(Rc<dyn Emit>, Cursor)>);
    impl Drop for Restore {
        fn drop(&mut self) {
            if let Some((emit, cursor)) = self.0.take() {
                emit.cursor().set(cursor);
            }
        }
    }
    let _restore = Restore(context.innermost().get().map(|emit| {
        let before = emit.cursor().get();
        let mut cursor = before;
        change(&mut cursor);
        emit.cursor().set(cursor);
        (emit, before)
    }));
    body()
}

/// Runs `body` inside a layer: what it calls belongs to the module at `path`, made at `made_at`.
pub fn in_module<R>(
    context: ContextId,
    path: &Arc<str>,
    made_at: &'static Location<'static>,
    body: impl FnOnce() -> R,
) -> R {
    let module = context.innermost().get().map(|emit| {
        let module = Module { path: path.clone(), made_at };
        emit.records().borrow_mut().add_module(module)
    });
    with_cursor(context, |cursor| cursor.module = module.unwrap_or(cursor.module), body)
}

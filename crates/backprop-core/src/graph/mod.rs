//! The computational graph: records of operations, and the contexts that they are called in.

pub mod body;
pub mod context;
pub mod draft;
pub mod fault;
pub mod place;
pub mod records;
pub mod replay;
mod sizes;
pub mod smooth;

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use crate::array::Array;
use crate::ops::{self, IntoAxis, Op};
use crate::random::Streams;
use crate::tensor::Tensor;
use crate::types::{Dim, IntoType, Type};
use context::{Closed, ContextId, Cursor, Emit, Emitted};
use fault::{Error, Fault, Ill};
use place::{Line, Place};
use records::{Inputs, Part, Records, RecordsCell, ValueId};

/// A computational graph (symbol-to-symbol): operations on its tensors add nodes and compute nothing.
///
/// ```
/// use backprop_core::Graph;
/// let g = Graph::new();
/// let x = g.input("x", "f32[B, 784]");
/// let w = g.input("w", "f32[10, 784]");
/// let y = x.matmul(w.t()).named("y");
/// assert_eq!(y.ty().map(|ty| ty.to_string()).as_deref(), Some("f32[B, 10]"));
/// ```
pub struct Graph {
    context: Rc<GraphContext>,
}

/// The context behind a graph or a body.
pub struct GraphContext {
    id: ContextId,
    records: RecordsCell,
    cursor: Cell<Cursor>,
    streams: RefCell<Streams>,
    /// For a body: values of the surrounding context, with the parameters that stand for them.
    captures: RefCell<draft::Captures>,
    /// For a body: the surrounding context.
    parent: Option<ContextId>,
    /// For the body of a loop: the iteration's number.
    iteration: Cell<Option<ValueId>>,
    kind: Closed,
}

impl GraphContext {
    fn new(id: ContextId, records: Records, cursor: Cursor) -> GraphContext {
        GraphContext {
            id,
            records: RecordsCell::new(records),
            cursor: Cell::new(cursor),
            streams: RefCell::default(),
            captures: RefCell::default(),
            parent: None,
            iteration: Cell::new(None),
            kind: Closed::Dropped,
        }
    }
}

impl Emit for GraphContext {
    fn id(&self) -> ContextId {
        self.id
    }

    fn records(&self) -> &RecordsCell {
        &self.records
    }

    fn cursor(&self) -> &Cell<Cursor> {
        &self.cursor
    }

    fn streams(&self) -> &RefCell<Streams> {
        &self.streams
    }

    fn emit(&self, op: Op, inputs: Inputs, place: &Place, part: Part) -> Emitted {
        let part = if self.is_no_grad() { Part::NoGrad } else { part };
        let stray = self.kind != Closed::Dropped && matches!(op, Op::Input(_));
        let node = self.records.push(op, inputs, *place, part);
        let mut records = self.records.borrow_mut();
        if stray {
            let rule = "an input belongs to the graph, not to a body";
            records.fault(node, Ill::new(rule).hint("make it before the body; the body captures it"));
        }
        records.node(node).emitted()
    }

    fn iteration(&self) -> Option<Tensor> {
        Some(Tensor::new(self.id, self.iteration.get()?))
    }

    fn is_no_grad(&self) -> bool {
        self.parent.and_then(ContextId::get).is_some_and(|parent| parent.is_no_grad())
    }

    fn capture(&self, outer: Tensor) -> ValueId {
        let known = self.captures.borrow().get(outer);
        known.unwrap_or_else(|| {
            let value = draft::parameter(&mut self.records.borrow_mut(), outer);
            self.captures.borrow_mut().insert(outer, value);
            value
        })
    }

    fn value(&self, value: ValueId) -> Result<Array, Error> {
        let records = self.records.borrow();
        records.check([value])?;
        match &records.node(records.producer(value)).op {
            Op::Constant(constant) => Ok(constant.array.as_ref().clone()),
            op => Err(Fault::new(
                "read",
                format!(
                    "{} (a result of {}) has no numbers until the graph is run",
                    records.label(value),
                    op.name()
                ),
            )
            .into()),
        }
    }
}

impl Default for Graph {
    fn default() -> Graph {
        Graph::new()
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        context::close(self.context.id);
    }
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Graph {
        Graph::from_records(Records::default())
    }

    /// The graph with these records.
    pub fn from_records(records: Records) -> Graph {
        let make = |id| Rc::new(GraphContext::new(id, records, Cursor::default()));
        let context = context::open(None, Closed::Dropped, make);
        Graph { context }
    }

    /// The records, for good: the graph ends.
    pub(crate) fn into_records(self) -> Records {
        std::mem::take(&mut *self.context.records.borrow_mut())
    }

    /// The number of its context.
    pub fn id(&self) -> ContextId {
        self.context.id
    }

    /// What has been recorded.
    pub fn records(&self) -> Arc<Records> {
        self.context.records.snapshot()
    }

    /// An input called `name`, given when the graph is run. The type is written `"f32[B, 784]"`.
    #[track_caller]
    pub fn input(&self, name: &str, ty: impl IntoType) -> Tensor {
        match ty.into_type() {
            Ok(ty) => self.call(ops::Input { ty }).named(name),
            Err(error) => self.call(ops::IllCall::new("input", Ill::new(error))),
        }
    }

    /// A known array.
    #[track_caller]
    pub fn constant(&self, array: impl Into<Array>) -> Tensor {
        self.call(ops::Constant { array: Arc::new(array.into()) })
    }

    /// A value whose elements are all `value`.
    #[track_caller]
    pub fn full(&self, ty: impl IntoType, value: impl Into<ops::Literal>) -> Tensor {
        match ty.into_type() {
            Ok(ty) => ops::full(self.id(), ty, value),
            Err(error) => self.call(ops::IllCall::new("full", Ill::new(error))),
        }
    }

    /// 0, 1, 2, ... along `axis` (−1: the last): `g.iota("i64[B]", 0)`.
    #[track_caller]
    pub fn iota(&self, ty: impl IntoType, axis: impl IntoAxis) -> Tensor {
        match ty.into_type() {
            Ok(ty) => ops::iota(self.id(), ty, axis),
            Err(error) => self.call(ops::IllCall::new("iota", Ill::new(error))),
        }
    }

    /// Declares that the dimension `name` equals `dim`, for every operation from here on.
    pub fn assume(&self, name: &str, dim: impl Into<Dim>) {
        self.context.records.borrow_mut().assume(name, dim.into());
    }

    /// The value called `name`.
    pub fn get(&self, name: &str) -> Option<Tensor> {
        self.records().by_name(name).map(|value| self.tensor(value))
    }

    /// The handle of a value of this graph.
    pub fn tensor(&self, value: ValueId) -> Tensor {
        Tensor::new(self.id(), value)
    }

    /// The inputs, in the order in which they were made.
    pub fn inputs(&self) -> Vec<(Tensor, Type)> {
        let records = self.records();
        let inputs = records.nodes().iter().filter_map(|node| match node.op {
            Op::Input(input) => Some((self.tensor(node.first), input.ty)),
            _ => None,
        });
        inputs.collect()
    }

    /// Checks that `values` and all that they depend on are well-typed.
    ///
    /// # Errors
    /// Every fault among them, with its place; a value that is stale or belongs to another graph.
    pub fn check(&self, values: &[Tensor]) -> Result<(), Error> {
        let strays = values.iter().filter(|value| value.context() != self.id());
        let mut faults: Vec<Fault> = strays
            .map(|value| Fault::new("check", format!("a value: {}", value.context().stray())))
            .collect();
        let own = values.iter().filter(|value| value.context() == self.id()).map(|value| value.id());
        if let Err(error) = self.records().check(own) {
            faults.extend(error.faults().iter().cloned());
        }
        if faults.is_empty() { Ok(()) } else { Err(Error::new(faults)) }
    }

    #[track_caller]
    fn call(&self, op: impl Into<Op>) -> Tensor {
        self.id().emit(op.into(), &[], Line::Code(Location::caller())).one()
    }
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let records = self.records();
        write!(f, "Graph({} nodes, {} values)", records.n_nodes(), records.n_values())
    }
}

//! The records of a context: every operation that was called, in order.
//!
//! Graphs, bodies and tapes all keep their operations here, so differentiation, printing, checking
//! and execution read one structure. Records are plain data: `Send + Sync`, without handles.

use std::cell::{Ref, RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter::once_with;
use std::sync::Arc;

use smallvec::SmallVec;

use super::context::Emitted;
use super::fault::{Error, Fault, Ill, Operand};
use super::place::{Line, Module, Place, PlaceText};
use crate::array::DType;
use crate::ops::{Op, Types};
use crate::types::{Dim, Shape, Type};

/// A value's number in its records.
pub type ValueId = u32;

/// A node's number in its records.
pub type NodeId = u32;

/// The values that an operation reads.
pub type Inputs = SmallVec<[ValueId; 4]>;

/// The part of a computation that a node belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Written by the user.
    Forward,
    /// Emitted by a derivative.
    Gradient,
    /// Computed under `no_grad`: a constant to derivatives.
    NoGrad,
}

/// One operation: what it computes, from what, where it was called.
#[derive(Clone, Debug)]
pub struct Node {
    /// The operation.
    pub op: Op,
    /// The values it reads; always made by earlier nodes.
    pub inputs: Inputs,
    /// Its first output; the others follow.
    pub first: ValueId,
    /// The number of outputs.
    pub n_outputs: u32,
    /// Where it was called.
    pub place: Place,
    /// Whether the user or a derivative called it.
    pub part: Part,
}

impl Node {
    /// The values that this operation computes.
    pub fn outputs(&self) -> std::ops::Range<ValueId> {
        self.first..self.first + self.n_outputs
    }

    pub(crate) fn emitted(&self) -> Emitted {
        Emitted { first: self.first, n: self.n_outputs }
    }
}

/// Of a value: the node that computes it and its type; `None` for a value that is ill. The parts of the type
/// stand by themselves, so that a value takes 16 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value {
    shape: Option<Shape>,
    pub node: NodeId,
    dtype: DType,
}

impl Value {
    #[inline(always)]
    fn new(node: NodeId, ty: Option<Type>) -> Value {
        let (shape, dtype) = ty.map_or((None, DType::F32), |ty| (Some(ty.shape), ty.dtype));
        Value { shape, node, dtype }
    }

    fn ty(self) -> Option<Type> {
        self.shape.map(|shape| Type { dtype: self.dtype, shape })
    }

    pub(crate) fn set_ty(&mut self, ty: Option<Type>) {
        *self = Value::new(self.node, ty);
    }
}

// A graph may have millions of each.
const _: () = assert!(size_of::<Value>() == 16 && size_of::<Node>() <= 96);

/// The types of an operation's outputs.
pub(crate) enum Inferred {
    One(Type),
    Several(Types),
}

impl Inferred {
    pub(crate) fn types(&self) -> &[Type] {
        match self {
            Inferred::One(ty) => std::slice::from_ref(ty),
            Inferred::Several(types) => types,
        }
    }
}

/// An operation that is about to be recorded, and what its rules say of it.
///
/// The rules may be a user's ([`Op::Custom`]), and a user's code may panic or call operations. So they
/// are asked before the records are borrowed to be changed.
pub struct Pending {
    op: Op,
    inputs: Inputs,
    place: Place,
    part: Part,
    n_outputs: usize,
    types: Option<Inferred>,
    fault: Option<Box<Fault>>,
}

impl Pending {
    /// The operation.
    pub fn op(&self) -> &Op {
        &self.op
    }

    /// The values that it reads.
    pub fn inputs(&self) -> &[ValueId] {
        &self.inputs
    }

    /// The types of its outputs; `None` where it is ill.
    pub fn types(&self) -> Option<&[Type]> {
        self.types.as_ref().map(Inferred::types)
    }
}

/// Operations in the order of their calls, which is a topological order, and what is known of them.
///
/// [`verify`](crate::verify) numbers and checks what must hold between the fields; it and the text
/// form read them directly.
#[derive(Clone, Debug, Default)]
pub struct Records {
    pub(crate) nodes: Vec<Node>,
    pub(crate) values: Vec<Value>,
    pub(crate) names: BTreeMap<ValueId, Arc<str>>,
    pub(crate) by_name: HashMap<Arc<str>, ValueId>,
    pub(crate) faults: BTreeMap<NodeId, Fault>,
    pub(crate) modules: Vec<Module>,
    pub(crate) files: Vec<Arc<str>>,
    pub(crate) assumptions: Vec<(String, Dim)>,
    /// For each assumption, the first node that it holds for.
    pub(crate) assumed_from: Vec<NodeId>,
    /// Values whose names are lent.
    pub(crate) lent: BTreeSet<ValueId>,
}

/// The records of a context. Whoever reads them gets a snapshot, which stays as it is: the next
/// operation copies them first if a snapshot is still held.
#[derive(Debug, Default)]
pub struct RecordsCell(RefCell<Arc<Records>>);

impl RecordsCell {
    /// A cell of these records.
    pub fn new(records: Records) -> RecordsCell {
        RecordsCell(RefCell::new(Arc::new(records)))
    }

    /// The records as they are now.
    pub fn snapshot(&self) -> Arc<Records> {
        self.0.borrow().clone()
    }

    /// Looks at the records; for code that calls no operation meanwhile.
    #[inline]
    pub fn borrow(&self) -> Ref<'_, Records> {
        Ref::map(self.0.borrow(), |records| &**records)
    }

    /// Changes the records; for code that calls no operation meanwhile.
    #[inline]
    pub fn borrow_mut(&self) -> RefMut<'_, Records> {
        RefMut::map(self.0.borrow_mut(), Arc::make_mut)
    }
}

impl RecordsCell {
    /// Records one operation; see [`Records::push`]. Nothing is borrowed while its rules are asked.
    pub fn push(&self, op: Op, inputs: Inputs, place: Place, part: Part) -> NodeId {
        let pending = self.snapshot().consider(op, inputs, place, part);
        self.borrow_mut().record(pending)
    }
}

impl Records {
    /// Empty records for a body within these: the same layers, files and assumptions.
    pub fn within(&self) -> Records {
        Records {
            modules: self.modules.clone(),
            files: self.files.clone(),
            assumptions: self.assumptions.clone(),
            assumed_from: vec![0; self.assumptions.len()],
            ..Records::default()
        }
    }

    /// The number of nodes.
    pub fn n_nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The number of values.
    pub fn n_values(&self) -> usize {
        self.values.len()
    }

    /// A node.
    #[inline]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    /// The node that was recorded last.
    ///
    /// # Panics
    /// There is none.
    pub fn last_node(&self) -> NodeId {
        self.nodes.len().checked_sub(1).expect("an operation was recorded") as NodeId
    }

    /// All nodes, in topological order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node that computes `value`.
    pub fn producer(&self, value: ValueId) -> NodeId {
        self.values[value as usize].node
    }

    /// The type of `value`; `None` when it is ill.
    #[inline]
    pub fn ty(&self, value: ValueId) -> Option<Type> {
        self.values[value as usize].ty()
    }

    /// The name that the user gave to `value`.
    pub fn name(&self, value: ValueId) -> Option<&Arc<str>> {
        self.names.get(&value)
    }

    /// The value called `name`.
    pub fn by_name(&self, name: &str) -> Option<ValueId> {
        self.by_name.get(name).copied()
    }

    /// Every name with its value, in the order of the values.
    pub fn names(&self) -> impl Iterator<Item = (ValueId, &Arc<str>)> {
        self.names.iter().map(|(&value, name)| (value, name))
    }

    /// What to call `value`: its name, or `%7`.
    pub fn label(&self, value: ValueId) -> String {
        self.name(value).map_or_else(|| format!("%{value}"), |name| name.to_string())
    }

    /// Calls `value` by `name`.
    ///
    /// # Errors
    /// Another value has that name already, or the value has another name.
    pub fn set_name(&mut self, value: ValueId, name: &str) -> Result<(), String> {
        if let Some(other) = self.by_name(name).filter(|&other| other != value) {
            if !self.lent.remove(&other) {
                return Err(format!("another value is called `{name}` already"));
            }
            self.names.remove(&other);
        }
        // A name that was only lent gives way.
        let is_lent = self.lent.remove(&value);
        match self.names.get(&value) {
            Some(own) if **own == *name => return Ok(()),
            Some(own) if !is_lent => return Err(format!("the value is called `{own}` already")),
            Some(own) => {
                self.by_name.remove(own);
            }
            None => {}
        }
        let name: Arc<str> = name.into();
        self.names.insert(value, name.clone());
        self.by_name.insert(name, value);
        Ok(())
    }

    /// Calls `value` by `name` where that is free, until another value is given the name: a parameter
    /// that stands for a value of the surroundings must not take a name from the user.
    pub fn lend_name(&mut self, value: ValueId, name: &str) {
        if self.by_name(name).is_none() && self.set_name(value, name).is_ok() {
            self.lent.insert(value);
        }
    }

    /// Records one operation with one output, whose type is known to be `ty`.
    #[inline]
    pub fn push_typed(&mut self, op: Op, inputs: Inputs, ty: Type, place: &Place, part: Part) -> ValueId {
        let (node, first) = (self.nodes.len() as NodeId, self.values.len() as ValueId);
        // Written where they stay: on the way over the stack, small stores would be read back as a large one, which
        // waits for all of them.
        self.values.extend(once_with(|| Value::new(node, Some(ty))));
        self.nodes.extend(once_with(|| Node { op, inputs, first, n_outputs: 1, place: *place, part }));
        first
    }

    /// Records one operation. An ill-typed one is recorded as well, with ill outputs and its fault.
    pub fn push(&mut self, op: Op, inputs: Inputs, place: Place, part: Part) -> NodeId {
        let pending = self.consider(op, inputs, place, part);
        self.record(pending)
    }

    /// Asks an operation's rules what would be recorded of it.
    pub fn consider(&self, op: Op, inputs: Inputs, place: Place, part: Part) -> Pending {
        let op = if self.assumptions.is_empty() { op } else { self.assumed_op(op) };
        let (types, fault) = match self.infer(&op, &inputs) {
            None => (None, None),
            Some(Ok(types)) => (Some(types), None),
            Some(Err(ill)) => (None, Some(Box::new(self.describe(&op, &inputs, place, ill)))),
        };
        let n_outputs = types.as_ref().map_or_else(|| op.n_outputs(), |types| types.types().len());
        Pending { op, inputs, place, part, n_outputs, types, fault }
    }

    /// Records an operation whose rules were asked. What was recorded meanwhile stands before it.
    pub fn record(&mut self, pending: Pending) -> NodeId {
        let Pending { op, inputs, place, part, n_outputs, types, fault } = pending;
        let (node, first) = (self.nodes.len() as NodeId, self.values.len() as ValueId);
        match types {
            Some(types) => {
                self.values.extend(types.types().iter().map(|&ty| Value::new(node, Some(ty))));
            }
            None => self.values.extend((0..n_outputs).map(|_| Value::new(node, None))),
        }
        if let Some(fault) = fault {
            self.faults.insert(node, *fault);
        }
        self.nodes.push(Node { op, inputs, first, n_outputs: n_outputs as u32, place, part });
        node
    }

    /// The fault of an operation that breaks a rule, before it is recorded.
    pub fn describe_pending(&self, pending: &Pending, ill: Ill) -> Fault {
        self.describe(&pending.op, &pending.inputs, pending.place, ill)
    }

    /// The type of an operation's only output; `None` when there is not exactly one, or it is ill.
    #[inline]
    pub fn infer_one(&self, op: &Op, inputs: &[ValueId]) -> Option<Type> {
        match self.infer(op, inputs)?.ok()? {
            Inferred::One(ty) => Some(ty),
            Inferred::Several(types) => (types.len() == 1).then(|| types[0]),
        }
    }

    /// The types of an operation's outputs; `None` when an operand is ill itself.
    #[inline]
    pub(crate) fn infer(&self, op: &Op, inputs: &[ValueId]) -> Option<Result<Inferred, Ill>> {
        // The usual numbers of operands need no list.
        Some(match *inputs {
            [a] => self.infer_on(op, [self.ty(a)?]),
            [a, b] => self.infer_on(op, [self.ty(a)?, self.ty(b)?]),
            _ => {
                let types: Option<Vec<Type>> = inputs.iter().map(|&input| self.ty(input)).collect();
                self.infer_on(op, types?)
            }
        })
    }

    #[inline]
    fn infer_on(&self, op: &Op, mut types: impl AsMut<[Type]>) -> Result<Inferred, Ill> {
        let types = types.as_mut();
        if let Some(ty) = op.infer_pointwise(types) {
            return Ok(Inferred::One(ty));
        }
        if !self.assumptions.is_empty() {
            types.iter_mut().for_each(|ty| *ty = self.assumed_type(*ty));
        }
        let outputs = op.infer(types)?;
        for ty in outputs.iter().filter(|ty| ty.shape.sizes().is_none()) {
            if let Some(dim) = ty.shape.dims().iter().find(|dim| dim.is_negative()) {
                return Err(Ill::new(format!("a size comes out as {dim}")));
            }
            if ty.shape.dims().iter().any(|dim| dim.is_overlong()) {
                return Err(Ill::new("a size has too many terms"));
            }
        }
        Ok(Inferred::Several(outputs))
    }

    /// Records a value that stands for an operand that cannot be used here.
    pub fn push_missing(&mut self) -> ValueId {
        let (node, value) = (self.nodes.len() as NodeId, self.values.len() as ValueId);
        let place = Place { line: Line::Code(std::panic::Location::caller()), module: 0 };
        let op = Op::from(crate::ops::Missing);
        self.values.push(Value::new(node, None));
        self.nodes.push(Node {
            op,
            inputs: Inputs::new(),
            first: value,
            n_outputs: 1,
            place,
            part: Part::Forward,
        });
        value
    }

    /// Marks a node's outputs as ill because of `fault` (a fault in data, or in a handle).
    pub fn poison(&mut self, node: NodeId, fault: Fault) {
        for output in self.nodes[node as usize].outputs() {
            self.values[output as usize].set_ty(None);
        }
        self.faults.insert(node, fault);
    }

    /// Marks a node's outputs as ill: its data break a rule.
    pub fn fault(&mut self, node: NodeId, ill: Ill) {
        let fault = self.describe_node(node, ill);
        self.poison(node, fault);
    }

    /// The error of a node whose data break a rule.
    pub fn faulted(&self, node: NodeId, ill: Ill) -> Error {
        self.describe_node(node, ill).into()
    }

    /// The fault of a node that breaks a rule.
    pub(crate) fn describe_node(&self, node: NodeId, ill: Ill) -> Fault {
        let Node { op, inputs, place, .. } = self.node(node);
        self.describe(op, inputs, *place, ill)
    }

    /// Forgets every node from `n_nodes` on.
    pub fn truncate(&mut self, n_nodes: usize) {
        let Some(first) = self.nodes.get(n_nodes).map(|node| node.first) else { return };
        self.nodes.truncate(n_nodes);
        self.values.truncate(first as usize);
        if !self.faults.is_empty() {
            self.faults.split_off(&(n_nodes as NodeId));
        }
        if !self.names.is_empty() {
            for name in self.names.split_off(&first).values() {
                self.by_name.remove(name);
            }
        }
    }

    /// Keeps the nodes for which `kept` holds, in their order, and says where each value went:
    /// [`ValueId::MAX`] for one that is gone. Works in place, for graphs that fill the memory.
    ///
    /// # Panics
    /// A node that is kept reads a value of one that is not.
    pub fn retain(&mut self, kept: &[bool]) -> Vec<ValueId> {
        const GONE: ValueId = ValueId::MAX;
        let mut moved = vec![GONE; self.values.len()];
        let mut nodes: Vec<NodeId> = vec![NodeId::MAX; self.nodes.len()];
        let (mut id, mut n_nodes, mut n_values) = (0, 0, 0);
        self.nodes.retain_mut(|node| {
            let is_kept = kept[id];
            if is_kept {
                nodes[id] = n_nodes;
                for (at, value) in node.outputs().enumerate() {
                    moved[value as usize] = n_values + at as ValueId;
                }
                for input in &mut node.inputs {
                    *input = moved[*input as usize];
                    assert_ne!(*input, GONE, "{} reads a value that is not kept", node.op.name());
                }
                node.first = n_values;
                n_nodes += 1;
                n_values += node.n_outputs;
            }
            id += 1;
            is_kept
        });
        self.values.retain_mut(|value| {
            value.node = nodes[value.node as usize];
            value.node != NodeId::MAX
        });
        self.nodes.shrink_to_fit();
        self.values.shrink_to_fit();
        // The first node that is kept from there on.
        for from in &mut self.assumed_from {
            *from = kept[..(*from as usize).min(kept.len())].iter().filter(|&&kept| kept).count() as NodeId;
        }
        let to = |value: ValueId| Some(moved[value as usize]).filter(|&value| value != GONE);
        self.names = std::mem::take(&mut self.names)
            .into_iter()
            .filter_map(|(v, name)| Some((to(v)?, name)))
            .collect();
        self.by_name.retain(|_, value| match to(*value) {
            Some(new) => {
                *value = new;
                true
            }
            None => false,
        });
        self.lent = std::mem::take(&mut self.lent).into_iter().filter_map(to).collect();
        let faults = std::mem::take(&mut self.faults).into_iter();
        self.faults = faults
            .map(|(node, fault)| (nodes[node as usize], fault))
            .filter(|&(node, _)| node != NodeId::MAX)
            .collect();
        moved
    }

    /// Every fault that `values` depend on.
    ///
    /// # Errors
    /// There is one.
    pub fn check(&self, values: impl IntoIterator<Item = ValueId>) -> Result<(), Error> {
        let ill: Vec<ValueId> = values.into_iter().filter(|&value| self.ty(value).is_none()).collect();
        if ill.is_empty() {
            return Ok(());
        }
        let mut faults = self.faults_of(ill);
        if faults.is_empty() {
            faults.push(Fault::new("check", "the value depends on an ill operand of a surrounding context"));
        }
        Err(Error::new(faults))
    }

    /// Every fault that `values` depend on, those inside bodies included, in the order of the calls.
    pub fn faults_of(&self, values: impl IntoIterator<Item = ValueId>) -> Vec<Fault> {
        let mut stack: Vec<ValueId> = values.into_iter().filter(|&value| self.ty(value).is_none()).collect();
        let mut seen = std::collections::HashSet::new();
        let mut found: BTreeMap<NodeId, Vec<Fault>> = BTreeMap::new();
        while let Some(value) = stack.pop() {
            let id = self.producer(value);
            if !seen.insert(id) {
                continue;
            }
            let node = self.node(id);
            let inner = node.op.rule().bodies().into_iter().flat_map(|body| body.faults());
            found.insert(id, self.faults.get(&id).cloned().into_iter().chain(inner).collect());
            stack.extend(node.inputs.iter().filter(|&&input| self.ty(input).is_none()));
        }
        found.into_values().flatten().collect()
    }

    /// Every fault with its node, reachable or not.
    pub fn faults(&self) -> impl Iterator<Item = (NodeId, &Fault)> {
        self.faults.iter().map(|(&node, fault)| (node, fault))
    }

    /// What is wrong with this node itself.
    pub fn fault_of(&self, node: NodeId) -> Option<&Fault> {
        self.faults.get(&node)
    }

    /// The name of a file of [`Line::File`].
    pub fn file(&self, id: u32) -> Option<&str> {
        self.files.get(id as usize).map(|name| &**name)
    }

    /// The same place in these records' numbers, for a place of `from`.
    pub fn import_place(&mut self, from: &Records, place: Place) -> Place {
        let line = match place.line {
            Line::Code(_) => place.line,
            Line::File { file, line } => Line::File { file: self.add_file(&from.files[file as usize]), line },
        };
        let module = from.module(place.module).map_or(0, |module| self.add_module(module.clone()));
        Place { line, module }
    }

    /// A place in words.
    pub fn place(&self, place: Place) -> PlaceText {
        let line = match place.line {
            Line::Code(location) => format!("{}:{}", location.file(), location.line()),
            Line::File { file, line } => format!("{}:{line}", self.files[file as usize]),
        };
        match self.module(place.module) {
            None => PlaceText { line, module: None },
            Some(Module { path, made_at }) if path.is_empty() => PlaceText::of_code(made_at),
            Some(Module { path, made_at }) => {
                let made_at = format!("{}:{}", made_at.file(), made_at.line());
                PlaceText { line, module: Some((path.to_string(), made_at)) }
            }
        }
    }

    /// The module of a place; number 0 is none.
    pub fn module(&self, id: u32) -> Option<&Module> {
        self.modules.get((id as usize).checked_sub(1)?)
    }

    /// The number of a module, new or known.
    pub fn add_module(&mut self, module: Module) -> u32 {
        let known = self.modules.iter().rposition(|known| *known == module);
        let position = known.unwrap_or_else(|| {
            self.modules.push(module);
            self.modules.len() - 1
        });
        position as u32 + 1
    }

    /// The number of a file for [`Line::File`], new or known.
    pub fn add_file(&mut self, name: &str) -> u32 {
        let known = self.files.iter().position(|known| &**known == name);
        let position = known.unwrap_or_else(|| {
            self.files.push(name.into());
            self.files.len() - 1
        });
        position as u32
    }

    fn describe(&self, op: &Op, inputs: &[ValueId], place: Place, ill: Ill) -> Fault {
        let operands = inputs
            .iter()
            .enumerate()
            .map(|(idx, &input)| {
                let notes: Vec<&str> =
                    ill.notes.iter().filter(|(at, _)| *at == idx).map(|(_, note)| note.as_str()).collect();
                Operand {
                    role: op.role(idx, inputs.len()),
                    name: self.label(input),
                    ty: self.ty(input).map_or_else(|| "?".to_string(), |ty| ty.to_string()),
                    note: notes.join("; "),
                    made_at: Some(self.place(self.node(self.producer(input)).place)),
                }
            })
            .collect();
        Fault {
            op: ill.called.unwrap_or(op.name()).to_string(),
            rule: ill.rule,
            operands,
            place: Some(self.place(place)),
            hint: ill.hint,
        }
    }
}

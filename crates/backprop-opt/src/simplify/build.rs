//! The records being written: what is emitted is folded, rewritten, merged with what is there, or added.

use std::collections::BTreeMap;
use std::sync::Arc;

use backprop_core::graph::place::Place;
use backprop_core::graph::records::Inputs;
use backprop_core::ops::{Binary, Full, Literal};
use backprop_core::{Body, DType, Dim, Node, NodeId, Op, Part, Records, Type, ValueId};
use smallvec::{SmallVec, smallvec};

use super::Options;
use super::fold::fold;
use super::known::{Known, hash, is_merged};
use super::row::{Apply, Kind, Licence, Row};

/// The results of one call.
pub(super) type Values = SmallVec<[ValueId; 2]>;

/// The rows of a pass, by the kind of call that they begin at.
pub(super) struct Rules {
    by_kind: Vec<Vec<&'static Row>>,
}

impl Rules {
    pub fn new(tables: &[&'static [Row]], options: Options) -> Rules {
        let mut by_kind = vec![Vec::new(); Kind::COUNT];
        for row in tables.iter().flat_map(|table| table.iter()).filter(|row| options.allows(row.licence)) {
            row.at.iter().for_each(|&kind| by_kind[kind as usize].push(row));
        }
        Rules { by_kind }
    }
}

/// A rewrite that was done: the call on the left, and the results that took its place.
#[derive(Clone, Debug)]
pub(super) struct Rewrite {
    pub row: &'static Row,
    pub op: Op,
    pub inputs: Inputs,
    pub outputs: Values,
    /// What it needed, with the rewrites of what it emitted.
    pub licence: Licence,
    /// The old node that it was done for.
    pub node: NodeId,
}

/// Rewrites for one old node end after so many: a cycle among rows would be a mistake, not a hang.
const FUEL: u32 = 64;
/// How deep rows may emit within rows.
const DEPTH: u32 = 16;

/// Records being written for one pass.
pub(super) struct Build<'a> {
    pub records: Records,
    rules: &'a Rules,
    /// The calls that others can be merged with.
    known: Known,
    may_fault: Vec<bool>,
    /// Which old node each node was made for, or merged with.
    pub origins: Vec<(NodeId, NodeId)>,
    pub applied: BTreeMap<&'static str, usize>,
    /// How often a call was another one that was there.
    pub n_merged: usize,
    /// Every rewrite, where somebody wants to see them.
    pub trace: Option<Vec<Rewrite>>,
    old: NodeId,
    place: Place,
    part: Part,
    /// The name that the old node's result has.
    name: Option<Arc<str>>,
    /// Of the old node's operands, those that nothing else reads: a bit for each slot.
    own_operands: u64,
    fuel: u32,
    depth: u32,
    /// The widest licence of the rewrites within the one that is being done.
    licence: Licence,
}

impl<'a> Build<'a> {
    /// Records to write about `n_nodes` nodes into.
    pub fn new(records: Records, rules: &'a Rules, n_nodes: usize) -> Build<'a> {
        let line = backprop_core::graph::place::Line::Code(std::panic::Location::caller());
        Build {
            records,
            rules,
            known: Known::new(n_nodes),
            may_fault: Vec::new(),
            origins: Vec::new(),
            applied: BTreeMap::new(),
            n_merged: 0,
            trace: None,
            old: 0,
            place: Place { line, module: 0 },
            part: Part::Forward,
            name: None,
            own_operands: 0,
            fuel: 0,
            depth: 0,
            licence: Licence::Exact,
        }
    }

    /// From here on, calls are made for this old node. `is_own` says of a value whether one operand alone reads it.
    pub fn begin(
        &mut self,
        id: NodeId,
        node: &Node,
        name: Option<Arc<str>>,
        is_own: impl Fn(ValueId) -> bool,
    ) {
        let slots = node.inputs.iter().take(64).enumerate();
        self.own_operands = slots.fold(0, |bits, (slot, &x)| bits | u64::from(is_own(x)) << slot);
        (self.old, self.place, self.part, self.name) = (id, node.place, node.part, name);
        (self.fuel, self.depth) = (FUEL, 0);
    }

    /// Whether nothing but the old node reads its operand `slot`.
    pub fn is_own_operand(&self, slot: usize) -> bool {
        self.own_operands >> slot & 1 == 1
    }

    /// Calls `op`; its only result. `None` where the call would be ill.
    pub fn emit(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Option<ValueId> {
        self.add(op.into(), inputs.iter().copied().collect()).map(|values| values[0])
    }

    /// Calls `op`; all its results. `None` where the call would be ill.
    pub fn add(&mut self, op: Op, inputs: Inputs) -> Option<Values> {
        match self.rewrite(&op, &inputs) {
            Some(values) => Some(values),
            None => self.intern(op, inputs),
        }
    }

    fn rewrite(&mut self, op: &Op, inputs: &[ValueId]) -> Option<Values> {
        if self.fuel == 0 || self.depth > DEPTH {
            return None;
        }
        if let Some(full) = fold(self, op, inputs) {
            let value = self.intern(full, Inputs::new())?;
            *self.applied.entry("constants").or_default() += 1;
            return Some(value);
        }
        let rules = self.rules;
        self.depth += 1;
        let around = std::mem::replace(&mut self.licence, Licence::Exact);
        let mut done = None;
        for row in &rules.by_kind[Kind::of(op) as usize] {
            let outputs = match row.apply {
                Apply::One(apply) => apply(self, op, inputs).map(|value| smallvec![value]),
                Apply::All(apply) => apply(self, op, inputs),
            };
            if let Some(outputs) = outputs {
                done = Some((*row, outputs));
                break;
            }
        }
        self.depth -= 1;
        let within = std::mem::replace(&mut self.licence, around);
        let (row, outputs) = done?;
        let licence = row.licence.max(within);
        self.licence = around.max(licence);
        self.fuel = self.fuel.saturating_sub(1);
        *self.applied.entry(row.name).or_default() += 1;
        if let Some(trace) = &mut self.trace {
            let (op, inputs, outputs) = (op.clone(), inputs.iter().copied().collect(), outputs.clone());
            trace.push(Rewrite { row, op, inputs, outputs, licence, node: self.old });
        }
        Some(outputs)
    }

    /// The results of this call as it stands: those of an equal one, or of a new node.
    fn intern(&mut self, op: Op, inputs: Inputs) -> Option<Values> {
        let pending = self.records.consider(op, inputs, self.place, self.part);
        pending.types()?;
        let key = is_merged(pending.op()).then(|| hash(pending.op(), pending.inputs()));
        let known = key.and_then(|key| self.known.get(key, &self.records, pending.op(), pending.inputs()));
        if let Some(known) = known.filter(|&known| !self.stands_apart(known)) {
            self.note(known);
            self.n_merged += 1;
            return Some(self.records.node(known).outputs().collect());
        }
        let may_fault = op_may_fault(self, pending.op(), pending.inputs())
            || pending.inputs().iter().any(|&input| self.may_fault(input));
        let id = self.records.record(pending);
        self.may_fault.push(may_fault);
        self.origins.push((id, self.old));
        if let (Some(key), None) = (key, known) {
            self.known.insert(key, id, &self.records);
        }
        Some(self.records.node(id).outputs().collect())
    }

    /// A node for the old one as it stands: an input.
    pub fn copy(&mut self, op: Op) -> ValueId {
        let id = self.records.push(op, Inputs::new(), self.place, self.part);
        self.may_fault.push(false);
        self.origins.push((id, self.old));
        self.records.node(id).first
    }

    /// Remembers that `node` stands for the old one too.
    pub fn note(&mut self, node: NodeId) {
        if self.origins.last() != Some(&(node, self.old)) {
            self.origins.push((node, self.old));
        }
    }

    /// Whether `node` and the old one have two names, which must stay those of two nodes.
    fn stands_apart(&self, node: NodeId) -> bool {
        self.depth == 0
            && self.name.as_ref().is_some_and(|own| {
                self.records
                    .node(node)
                    .outputs()
                    .any(|value| self.records.name(value).is_some_and(|name| name != own))
            })
    }

    // What rows ask.

    /// The op that computes a value.
    pub fn op(&self, value: ValueId) -> &Op {
        &self.node(value).op
    }

    /// The operands of the op that computes a value.
    pub fn inputs(&self, value: ValueId) -> Inputs {
        self.node(value).inputs.clone()
    }

    /// The operand of the op that computes a value, where it is `wanted`.
    pub fn through(&self, value: ValueId, wanted: impl Fn(&Op) -> bool) -> Option<ValueId> {
        let node = self.node(value);
        wanted(&node.op).then(|| node.inputs[0])
    }

    fn node(&self, value: ValueId) -> &Node {
        self.records.node(self.records.producer(value))
    }

    /// The type of a value, with what is assumed of dimensions.
    pub fn ty(&self, value: ValueId) -> Type {
        self.records.assumed_type(self.records.ty(value).expect("only well-typed calls are recorded"))
    }

    /// Whether computing a value may find a fault in the data.
    pub fn may_fault(&self, value: ValueId) -> bool {
        self.may_fault[self.records.producer(value) as usize]
    }

    /// The element that all elements of a value are known to be.
    pub fn uniform(&self, value: ValueId) -> Option<Literal> {
        match self.op(value) {
            Op::Full(full) => Some(full.value()),
            _ => None,
        }
    }

    /// Whether all elements are known to be this number, to the sign of a zero.
    pub fn is(&self, value: ValueId, number: f64) -> bool {
        match self.uniform(value) {
            Some(Literal::Float(x)) => x.to_bits() == number.to_bits(),
            Some(Literal::Int(x)) => x as f64 == number,
            None => false,
        }
    }

    /// A value of one element everywhere.
    pub fn full(&mut self, ty: Type, value: impl Into<Literal>) -> Option<ValueId> {
        let full = Full::new(ty, value).ok()?;
        self.emit(full, &[])
    }

    /// A uniform value under another shape.
    pub fn refilled(&mut self, value: ValueId, shape: backprop_core::Shape) -> Option<ValueId> {
        let element = self.uniform(value)?;
        let ty = Type { shape, ..self.ty(value) };
        self.full(ty, element)
    }

    /// Calls the operations of a body here, on these arguments.
    pub fn inline(&mut self, body: &Body, arguments: &[ValueId]) -> Option<Values> {
        let records = body.records();
        let mut map: Vec<ValueId> = vec![super::GONE; records.n_values()];
        for (&parameter, &argument) in body.parameters().iter().zip(arguments) {
            map[parameter as usize] = argument;
        }
        let outer = self.place;
        for &(id, _) in body.plan() {
            let node = records.node(id);
            self.place = self.records.import_place(records, node.place);
            let inputs = node.inputs.iter().map(|&input| map[input as usize]).collect();
            let outputs = self.add(node.op.clone(), inputs);
            self.place = outer;
            for (value, new) in node.outputs().zip(outputs?) {
                map[value as usize] = new;
            }
        }
        Some(body.outputs().iter().map(|&output| map[output as usize]).collect())
    }
}

/// Whether the op itself may find a fault in its data, or in sizes that are not known yet.
fn op_may_fault(build: &Build, op: &Op, inputs: &[ValueId]) -> bool {
    let is_named = |value: ValueId, axis: usize| matches!(build.ty(value).shape[axis], Dim::Poly(_));
    match op {
        Op::Binary(Binary::Div) if is_int(build, inputs[1]) => match build.op(inputs[1]) {
            Op::Full(full) => full.as_f64() == 0.0,
            Op::Constant(constant) => constant.array.to_i64s().contains(&0),
            _ => true,
        },
        Op::Gather(_) | Op::ScatterAdd(_) | Op::OneHot(_) => true,
        Op::Cond(_) | Op::Scan(_) | Op::Custom(_) => true,
        // A largest element of nothing.
        Op::Max(max) => max.axes.iter().any(|axis| is_named(inputs[0], axis)),
        Op::ArgMax(op) => is_named(inputs[0], op.axis),
        Op::MaxWithIndex(op) => is_named(inputs[0], op.axis),
        Op::Slice(_) | Op::Pad(_) => build.ty(inputs[0]).shape.sizes().is_none(),
        _ => false,
    }
}

fn is_int(build: &Build, value: ValueId) -> bool {
    let dtype: DType = build.ty(value).dtype;
    dtype.is_int()
}

//! Groups become steps.

use backprop_core::{NodeId, Records, Shape};

use super::Options;
use super::axes::Loops;
use super::group::{GroupId, GroupKind, Groups, contraction_of, maker};
use super::item::{DatumId, ItemId, ItemKind, Items, Operand, Product, Source};
use super::nest::NestWriter;
use super::turn::Turns;
use super::view::View;
use crate::loops::{
    Access, Buffer, BufferId, Call, Code, Cond, Contraction, Factor, Home, Instr, Kind, Nest, Place, Program,
    Scan, Stage, Step, Store, Strides,
};

/// The steps of a graph, with every buffer that is no input, output or constant still without a place.
pub struct Emitter<'a> {
    pub items: &'a mut Items,
    pub groups: &'a Groups,
    pub stored: &'a [bool],
    turns: &'a Turns,
    pub options: &'a Options,
    records: &'a Records,
    /// For each datum, the output that it is, and whether that is watched.
    outputs: Vec<Option<(usize, bool)>>,
    /// For each datum, its buffer.
    buffers: Vec<Option<BufferId>>,
    /// For each item, its position among the members of its group, once that is being written.
    pub position: Vec<u32>,
    program: Program,
}

/// Where a buffer is put whose place is not known yet.
const UNPLACED: Home = Home::Arena(usize::MAX);

impl<'a> Emitter<'a> {
    pub fn new(
        records: &'a Records,
        items: &'a mut Items,
        groups: &'a Groups,
        stored: &'a [bool],
        turns: &'a Turns,
        outputs: &[DatumId],
        options: &'a Options,
    ) -> Emitter<'a> {
        let mut places = vec![None; items.data.len()];
        for (position, &output) in outputs.iter().enumerate() {
            let is_watched = options.watched.get(position).copied().unwrap_or(false);
            places[output as usize] = Some((position, is_watched));
        }
        let buffers = vec![None; items.data.len()];
        let position = vec![0; items.items.len()];
        let mut emitter = Emitter {
            items,
            groups,
            stored,
            turns,
            options,
            records,
            outputs: places,
            buffers,
            position,
            program: Program::default(),
        };
        for id in 0..emitter.items.data.len() as DatumId {
            if matches!(emitter.items.datum(id).source, Source::Given(_)) {
                let input = emitter.buffer(id);
                emitter.program.inputs.push(input);
            }
        }
        emitter.program.outputs = outputs.iter().map(|&output| emitter.buffer(output)).collect();
        emitter
    }

    /// All steps, in order.
    pub fn run(mut self) -> Program {
        for id in self.groups.order() {
            let group = &self.groups.groups[id as usize];
            match group.kind {
                GroupKind::Nest => self.nest(id),
                GroupKind::Contraction => self.contraction(id),
                GroupKind::Alone => self.alone(group.members[0]),
            }
        }
        self.program
    }

    /// The buffer of a datum.
    pub fn buffer(&mut self, id: DatumId) -> BufferId {
        if let Some(buffer) = self.buffers[id as usize] {
            return buffer;
        }
        let datum = self.items.datum(id);
        let home = match (&datum.source, self.outputs[id as usize]) {
            (Source::Given(position), _) => Home::Input(*position),
            (Source::Constant(array), _) => Home::Constant(array.clone()),
            (_, Some((position, _))) => Home::Output(position),
            _ => UNPLACED,
        };
        let label = self.records.label(datum.value);
        let buffer = self.new_buffer(Buffer { dtype: datum.dtype, len: datum.len, home, label });
        self.buffers[id as usize] = Some(buffer);
        buffer
    }

    fn new_buffer(&mut self, buffer: Buffer) -> BufferId {
        self.program.buffers.push(buffer);
        self.program.buffers.len() as BufferId - 1
    }

    /// What a view of a datum is of its buffer.
    pub fn seen(&self, id: DatumId, view: &View) -> View {
        self.turns.seen(id, view)
    }

    /// Whether a value of a datum that is not finite is told.
    pub fn is_watched(&self, id: DatumId) -> bool {
        self.outputs[id as usize].is_some_and(|(_, is_watched)| is_watched)
            && self.items.datum(id).dtype.is_float()
    }

    fn push(&mut self, kind: Kind, members: &[ItemId]) {
        let mut nodes: Vec<NodeId> = members.iter().map(|&id| self.items.item(id).node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let group = self.groups.of[members[0] as usize];
        let begins = self.groups.groups[group as usize].begins.into_iter().collect();
        self.program.steps.push(Step { kind, nodes, begins });
    }

    fn nest(&mut self, id: GroupId) {
        let group = &self.groups.groups[id as usize];
        let loops = match self.turns.groups[id as usize] {
            Some(block) => Loops::Block(block),
            None => Loops::Split(group.split.unwrap_or(0)),
        };
        let nest = NestWriter::new(self, id, loops).run();
        if let Some(nest) = nest {
            self.push(Kind::Nest(nest), &group.members);
        }
    }

    fn contraction(&mut self, id: GroupId) {
        let group = &self.groups.groups[id as usize];
        let product = contraction_of(self.items, group);
        let domain = group.domain.sizes().expect("a domain is of numbers");
        let item = self.items.item(group.members[0]).clone();
        let written = NestWriter::new(self, id, Loops::Product(product)).run();
        let Some(stage) = written.and_then(|nest| nest.stages.into_iter().next()) else { return };
        let (left, right) = domain.split_at(product.n_batch + product.n_left);
        let (batch, left) = left.split_at(product.n_batch);
        let contraction = Contraction {
            dtype: self.items.datum(item.first).dtype,
            batch: batch.into(),
            m: left.iter().product(),
            n: right.iter().product(),
            k: product.k,
            k_block: k_block(product.k),
            a: self.factor(item.operands[0], product, product.a_stride, true),
            b: self.factor(item.operands[1], product, product.b_stride, false),
            stage,
        };
        self.push(Kind::Contraction(Box::new(contraction)), &group.members);
    }

    fn factor(&mut self, operand: Operand, product: Product, k_stride: isize, is_left: bool) -> Factor {
        let buffer = self.buffer(operand.datum);
        let mut view = self.items.views.get(operand.view).clone();
        view.sizes.push(product.k);
        view.strides.push(k_stride);
        let mut view = self.seen(operand.datum, &view);
        view.sizes.pop();
        let k_stride = view.strides.pop().expect("that of k was put there");
        let (batch, free) = view.strides.split_at(product.n_batch);
        let free =
            super::view::collapsed(&view.sizes[product.n_batch..], free).expect("checked when it was made");
        let (row_stride, column_stride) = if is_left { (free, k_stride) } else { (k_stride, free) };
        Factor { buffer, offset: view.offset, batch_strides: batch.into(), row_stride, column_stride }
    }

    fn alone(&mut self, id: ItemId) {
        let item = self.items.item(id).clone();
        let kind = match &item.kind {
            ItemKind::Write(targets) => return self.write(id, targets, item.first, &item.operands),
            ItemKind::Call(call) => {
                let inputs = item.operands.iter().zip(&call.inputs);
                let inputs = inputs.map(|(operand, &ty)| (self.buffer(operand.datum), ty)).collect();
                let outputs = (item.first..).zip(&call.outputs);
                let outputs = outputs.map(|(datum, &ty)| (Some(self.buffer(datum)), ty)).collect();
                Kind::Call(Call { op: call.op.clone(), inputs, outputs })
            }
            ItemKind::Cond(branches) => {
                let [then, otherwise] =
                    [0, 1].map(|at| Box::new(super::lower_body(&branches[at], self.options)));
                let mut given: Vec<BufferId> =
                    item.operands.iter().map(|operand| self.buffer(operand.datum)).collect();
                let condition = given.remove(0);
                let outputs =
                    (item.first..).take(then.outputs.len()).map(|datum| self.buffer(datum)).collect();
                Kind::Cond(Cond { condition, inputs: given, outputs, then, otherwise, arena: usize::MAX })
            }
            ItemKind::Scan(op) => {
                let body = Box::new(super::lower_body(&op.body, self.options));
                let length = op.length.size().expect("sizes are numbers when a graph is lowered");
                let mut given =
                    item.operands.iter().map(|operand| operand.datum).collect::<Vec<_>>().into_iter();
                let mut taken = |n: usize| given.by_ref().take(n).collect::<Vec<DatumId>>();
                let (carries, xs, captures) = (taken(op.n_carry), taken(op.n_xs), taken(usize::MAX));
                let [carries, xs, captures] = [carries, xs, captures]
                    .map(|list| list.iter().map(|&datum| self.buffer(datum)).collect());
                let mut made: Vec<BufferId> =
                    (item.first..).take(body.outputs.len()).map(|datum| self.buffer(datum)).collect();
                let ys = made.split_off(op.n_carry);
                let room = made.iter().map(|&last| [0; 2].map(|_| self.room(last))).collect();
                let counter = self.new_buffer(Buffer {
                    dtype: backprop_core::DType::I64,
                    len: 1,
                    home: UNPLACED,
                    label: "k".to_string(),
                });
                Kind::Scan(Scan {
                    body,
                    length,
                    reverse: op.reverse,
                    carries,
                    xs,
                    captures,
                    last: made,
                    ys,
                    room,
                    counter,
                    arena: usize::MAX,
                })
            }
            ItemKind::Point(_) | ItemKind::Reduce(..) | ItemKind::Contract(_) => {
                unreachable!("grouped with others")
            }
        };
        self.push(kind, &[id]);
    }

    fn room(&mut self, like: BufferId) -> BufferId {
        let buffer = Buffer { home: UNPLACED, ..self.program.buffer(like).clone() };
        self.new_buffer(buffer)
    }

    /// A nest for each operand, and before them zeros where none of them writes.
    fn write(&mut self, id: ItemId, targets: &[super::item::Target], to: DatumId, operands: &[Operand]) {
        let (len, dtype) = (self.items.datum(to).len, self.items.datum(to).dtype);
        let is_watched = self.is_watched(to);
        let buffer = self.buffer(to);
        let count = |domain: Shape| domain.n_elements().unwrap_or(0);
        if targets.iter().map(|target| count(target.domain)).sum::<usize>() < len {
            let mut code = Code::default();
            let value = code.push(Instr::Literal(0), dtype);
            let whole = Access {
                place: Place::Buffer(buffer),
                offset: 0,
                rows: Strides::new(),
                columns: [1].into_iter().collect(),
            };
            let stores = vec![Store { value, to: whole, watched: false }];
            let stage = Stage { columns: [len].into_iter().collect(), code, stores, reduces: Vec::new() };
            self.push(Kind::Nest(Nest { stages: vec![stage], ..Nest::default() }), &[id]);
        }
        for (target, &operand) in targets.iter().zip(operands) {
            let mut writer = NestWriter::copying(self, target.domain);
            let value = writer.value(operand);
            let view = writer.emitter.items.views.get(target.view).clone();
            let to = Access {
                place: Place::Buffer(buffer),
                offset: view.offset,
                rows: Strides::new(),
                columns: view.strides,
            };
            let stage = writer.finish(vec![Store { value, to, watched: is_watched }]);
            self.push(Kind::Nest(Nest { stages: vec![stage], ..Nest::default() }), &[id]);
        }
    }

    /// Whether an operand is made by an item of the group; which.
    pub fn made_in(&self, operand: Operand, group: GroupId) -> Option<ItemId> {
        maker(self.items, operand).filter(|&item| self.groups.of[item as usize] == group)
    }
}

/// How many products a block has: blocks as equal as can be, of at most 512 products, so that a block of the
/// right factor stays in cache and the error of a long sum grows with its blocks, not with its length.
fn k_block(k: usize) -> usize {
    const MOST: usize = 512;
    k.div_ceil(k.div_ceil(MOST).max(1)).max(1)
}

//! Long straight-line code on scalars: one stage, written in one pass.
//!
//! A graph of a million scalars needs no grouping and no plan, and the tables of these would be larger than the
//! graph.

use backprop_core::ops::Logic;
use backprop_core::{NodeId, Op, Records, ValueId};

use super::Options;
use super::read::{literal, needed};
use crate::loops::{
    Access, Buffer, Code, Home, Instr, Kind, Nest, Place, Program, Reg, Stage, Step, Store, Strides,
};

/// From how many nodes on it pays.
const MANY: usize = 4096;

const NONE: Reg = Reg::MAX;

/// The program of a large graph whose values all have one element, and that does nothing but pointwise ops.
pub fn lower(
    records: &Records,
    inputs: &[ValueId],
    outputs: &[ValueId],
    options: &Options,
) -> Option<Program> {
    if records.n_nodes() < MANY {
        return None;
    }
    let nodes = needed(records, inputs, outputs);
    if nodes.len() < MANY || !nodes.iter().all(|&id| is_scalar(records, id)) {
        return None;
    }
    let mut writer = Writer { records, regs: vec![NONE; records.n_values()], code: Code::default() };
    let mut program = Program::default();
    for (position, &value) in inputs.iter().enumerate() {
        program.inputs.push(program.buffers.len() as u32);
        program.buffers.push(writer.buffer(value, Home::Input(position)));
    }
    for (position, &value) in inputs.iter().enumerate() {
        // An input that is larger is none of this code's.
        if records.ty(value)?.shape.n_elements() == Some(1) {
            writer.regs[value as usize] = writer.load(position as u32, value);
        }
    }
    nodes.iter().for_each(|&id| writer.node(id));
    let mut stores = Vec::new();
    for (position, &value) in outputs.iter().enumerate() {
        let id = program.buffers.len() as u32;
        program.outputs.push(id);
        program.buffers.push(writer.buffer(value, Home::Output(position)));
        let watched = options.watched.get(position) == Some(&true) && program.buffer(id).dtype.is_float();
        stores.push(Store { value: writer.regs[value as usize], to: element(id), watched });
    }
    let stage = Stage { code: writer.code, stores, ..Stage::default() };
    let kind = Kind::Nest(Nest { stages: vec![stage], ..Nest::default() });
    program.steps.push(Step { kind, nodes, begins: Vec::new() });
    Some(program)
}

struct Writer<'a> {
    records: &'a Records,
    /// For each value, its register.
    regs: Vec<Reg>,
    code: Code,
}

impl Writer<'_> {
    fn buffer(&self, value: ValueId, home: Home) -> Buffer {
        let ty = self.records.ty(value).expect("ill values are refused before");
        let len = ty.shape.n_elements().expect("sizes are numbers when a graph is lowered");
        Buffer { dtype: ty.dtype, len, home, label: self.records.label(value) }
    }

    fn load(&mut self, buffer: u32, value: ValueId) -> Reg {
        let access = self.code.access(element(buffer));
        let dtype = self.records.ty(value).expect("ill values are refused before").dtype;
        self.code.push(Instr::Load(access), dtype)
    }

    fn node(&mut self, id: NodeId) {
        let node = self.records.node(id);
        if self.regs[node.first as usize] != NONE {
            return;
        }
        let dtype = self.records.ty(node.first).expect("ill values are refused before").dtype;
        let x = |slot: usize| self.regs[node.inputs[slot] as usize];
        let instr = match &node.op {
            Op::Unary(op) => Instr::Unary(*op, x(0)),
            Op::Binary(op) => Instr::Binary(*op, x(0), x(1)),
            Op::Compare(op) => Instr::Compare(*op, x(0), x(1)),
            Op::Logic(Logic::Not) => Instr::Logic(Logic::Not, x(0), x(0)),
            Op::Logic(op) => Instr::Logic(*op, x(0), x(1)),
            Op::Select(_) => Instr::Select(x(0), x(1), x(2)),
            Op::Fma(_) => Instr::Fma(x(0), x(1), x(2)),
            Op::Cast(_) if self.code.dtype(x(0)) != dtype => Instr::Cast(x(0)),
            op => match literal(op, dtype) {
                Some(bits) => Instr::Literal(bits),
                // What changes only the shape of one element changes nothing.
                None => {
                    self.regs[node.first as usize] = x(0);
                    return;
                }
            },
        };
        self.regs[node.first as usize] = self.code.push(instr, dtype);
    }
}

/// The one element of a buffer.
fn element(buffer: u32) -> Access {
    Access { place: Place::Buffer(buffer), offset: 0, rows: Strides::new(), columns: Strides::new() }
}

fn is_scalar(records: &Records, id: NodeId) -> bool {
    let node = records.node(id);
    let is_one = |value: ValueId| records.ty(value).is_some_and(|ty| ty.shape.n_elements() == Some(1));
    let is_seen = matches!(
        node.op,
        Op::Identity(_) | Op::StopGradient(_) | Op::Reshape(_) | Op::Transpose(_) | Op::Broadcast(_)
    );
    let is_leaf = || records.ty(node.first).is_some_and(|ty| literal(&node.op, ty.dtype).is_some());
    let is_known = is_seen || node.op.is_elementwise();
    is_one(node.first) && (is_leaf() || is_known && node.inputs.iter().all(|&input| is_one(input)))
}

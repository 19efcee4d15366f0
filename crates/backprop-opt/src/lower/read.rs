//! Nodes read as items: shape ops as views, leaves as data, all else as something that is computed.

use backprop_core::array::{DType, Sizes};
use backprop_core::ops::{Concat, Pad};
use backprop_core::{Node, NodeId, Op, Records, Shape, Type, ValueId, with_data};
use smallvec::{SmallVec, smallvec};

use super::item::{Call, DatumId, Item, ItemId, ItemKind, Items, Operand, Point, Seen, Source, Target};
use super::view::{View, Views, squeezed};
use crate::loops::Fold;

impl Items {
    /// The items that `outputs` need. All sizes in `records` are numbers.
    pub fn new(records: &Records, inputs: &[ValueId], outputs: &[ValueId]) -> Items {
        let mut items = Items {
            views: Views::default(),
            data: Vec::new(),
            items: Vec::new(),
            values: vec![None; records.n_values()],
        };
        for (position, &value) in inputs.iter().enumerate() {
            let ty = type_of(records, value);
            items.put(value, ty, Source::Given(position));
        }
        for id in needed(records, inputs, outputs) {
            items.node(records, id);
        }
        items
    }

    fn node(&mut self, records: &Records, id: NodeId) {
        let node = records.node(id);
        let value = node.first;
        if node.n_outputs == 1 && self.values[value as usize].is_some() {
            return;
        }
        let ty = type_of(records, value);
        let sizes = sizes_of(ty);
        let point = match &node.op {
            Op::Unary(op) => Some(Point::Unary(*op)),
            Op::Binary(op) => Some(Point::Binary(*op)),
            Op::Compare(op) => Some(Point::Compare(*op)),
            Op::Logic(op) => Some(Point::Logic(*op)),
            Op::Select(_) => Some(Point::Select),
            Op::Fma(_) => Some(Point::Fma),
            Op::Cast(op) if records.ty(node.inputs[0]).is_some_and(|ty| ty.dtype == op.dtype) => {
                self.values[value as usize] = self.values[node.inputs[0] as usize];
                return;
            }
            Op::Cast(_) => Some(Point::Cast),
            _ => None,
        };
        if let Some(point) = point {
            let operands = node.inputs.iter().map(|&input| self.operand(input)).collect();
            let datum = self.make(ItemKind::Point(point), sizes, operands, ty.dtype, value, id);
            self.see(value, datum, View::whole(sizes));
            return;
        }
        if self.leaf(node, ty) || self.reshaped(records, id, ty) {
            return;
        }
        match &node.op {
            Op::Sum(op) => self.reduce(id, node, Fold::Sum, op.axes.iter(), ty),
            Op::Max(op) => self.reduce(id, node, Fold::Max, op.axes.iter(), ty),
            Op::Any(op) => self.reduce(id, node, Fold::Any, op.axes.iter(), ty),
            Op::Contract(op) if ty.dtype != DType::Bool => self.contract(records, id, op, ty),
            Op::Pad(op) => self.pad(node, id, op, ty),
            Op::Concat(op) => self.concat(records, id, op, ty),
            Op::Gather(op) => self.gather(records, id, op.axis, ty),
            _ => self.call(records, id),
        }
    }

    /// Leaves: nothing is computed for them.
    fn leaf(&mut self, node: &Node, ty: Type) -> bool {
        let (value, sizes) = (node.first, sizes_of(ty));
        if let Some(bits) = literal(&node.op, ty.dtype) {
            let datum = self.new_datum(ty.dtype, 1, Source::Literal(bits), value);
            self.see(value, datum, View::one(sizes));
            return true;
        }
        match &node.op {
            Op::Constant(constant) => {
                self.put(value, ty, Source::Constant(constant.array.clone()));
            }
            Op::Iota(op) => {
                let datum =
                    self.new_datum(ty.dtype, ty.shape.n_elements().unwrap_or(0), Source::Count, value);
                let mut view = View::one(sizes);
                view.strides[op.axis] = 1;
                self.see(value, datum, view);
            }
            _ => return false,
        }
        true
    }

    /// Ops that only change how a datum is seen.
    fn reshaped(&mut self, records: &Records, id: NodeId, ty: Type) -> bool {
        let node = records.node(id);
        let (value, sizes) = (node.first, sizes_of(ty));
        let Some(&input) = node.inputs.first() else { return false };
        if !matches!(
            node.op,
            Op::Identity(_)
                | Op::StopGradient(_)
                | Op::Transpose(_)
                | Op::Broadcast(_)
                | Op::Slice(_)
                | Op::Reshape(_)
        ) {
            return false;
        }
        let Seen { datum, view } = self.seen(input);
        let old = self.views.get(view);
        let new = match &node.op {
            Op::Transpose(op) => old.transposed(op.perm.iter()),
            Op::Broadcast(_) => old.broadcast(sizes),
            Op::Slice(op) => old.sliced(&numbers(&op.start), &numbers(&op.step), sizes),
            Op::Reshape(_) => match old.reshaped(sizes) {
                Some(new) => new,
                None => {
                    let datum = self.whole(input, id);
                    self.see(value, datum, View::whole(sizes));
                    return true;
                }
            },
            _ => old.clone(),
        };
        self.see(value, datum, new);
        true
    }

    fn reduce(&mut self, id: NodeId, node: &Node, fold: Fold, axes: impl Iterator<Item = usize>, ty: Type) {
        let Seen { view, .. } = self.seen(node.inputs[0]);
        let all = self.views.get(view).sizes.clone();
        let mut bits = 0;
        for axis in axes.filter(|&axis| all[axis] != 1) {
            let squeezed = all[..axis].iter().filter(|&&size| size != 1).count();
            bits |= 1 << squeezed;
        }
        let operand = self.operand(node.inputs[0]);
        // Over no axis, or axes of size 1, a value is its own sum.
        let kind = if bits == 0 { ItemKind::Point(Point::Copy) } else { ItemKind::Reduce(fold, bits) };
        let datum = self.make(kind, &all, smallvec![operand], ty.dtype, node.first, id);
        self.data[datum as usize].len = ty.shape.n_elements().unwrap_or(0);
        self.see(node.first, datum, View::whole(sizes_of(ty)));
    }

    fn pad(&mut self, node: &Node, id: NodeId, op: &Pad, ty: Type) {
        let view = View::whole(sizes_of(ty));
        let step: Vec<usize> = numbers(&op.interior).iter().map(|&interior| interior + 1).collect();
        let own = self.views.get(self.seen(node.inputs[0]).view).sizes.clone();
        let target = self.target(&view.sliced(&numbers(&op.low), &step, &own));
        self.write(node.first, id, [(node.inputs[0], target)].into_iter(), ty);
    }

    fn concat(&mut self, records: &Records, id: NodeId, op: &Concat, ty: Type) {
        let node = records.node(id);
        let (whole, mut start) = (View::whole(sizes_of(ty)), vec![0; ty.shape.rank()]);
        let ones = vec![1; ty.shape.rank()];
        let mut parts = Vec::new();
        for &input in &node.inputs {
            let sizes = sizes_of(type_of(records, input));
            let target = self.target(&whole.sliced(&start, &ones, sizes));
            parts.push((input, target));
            start[op.axis] += sizes[op.axis];
        }
        self.write(node.first, id, parts.into_iter(), ty);
    }

    fn target(&mut self, view: &View) -> Target {
        let view = view.squeezed();
        Target { domain: Shape::of_sizes(&view.sizes), view: self.views.id(view) }
    }

    fn write(
        &mut self,
        value: ValueId,
        id: NodeId,
        parts: impl Iterator<Item = (ValueId, Target)>,
        ty: Type,
    ) {
        let (operands, targets): (SmallVec<[Operand; 3]>, Vec<Target>) =
            parts.map(|(input, target)| (self.operand(input), target)).unzip();
        let kind = ItemKind::Write(targets.into());
        let datum = self.make(kind, sizes_of(ty), operands, ty.dtype, value, id);
        self.see(value, datum, View::whole(sizes_of(ty)));
    }

    fn gather(&mut self, records: &Records, id: NodeId, axis: usize, ty: Type) {
        let node = records.node(id);
        let [mut x, indices] = [node.inputs[0], node.inputs[1]].map(|input| self.seen(input));
        if matches!(self.datum(x.datum).source, Source::Literal(_) | Source::Count) {
            // Only numbers in a buffer can be looked up.
            let whole = View::whole(&self.views.get(x.view).sizes);
            x = Seen { datum: self.copy(node.inputs[0], id), view: self.views.id(whole) };
        }
        let sizes = sizes_of(ty);
        let own = self.views.get(x.view).clone();
        let index = self.views.get(indices.view).clone();
        let rank = index.sizes.len();
        // The axes of the indices stand where `axis` was.
        let mut base = View { offset: own.offset, ..View::one(sizes) };
        let mut at = View { offset: index.offset, ..View::one(sizes) };
        for result in 0..sizes.len() {
            if result < axis {
                base.strides[result] = own.strides[result];
            } else if result < axis + rank {
                at.strides[result] = index.strides[result - axis];
            } else {
                base.strides[result] = own.strides[result + 1 - rank];
            }
        }
        let point = Point::Gather { stride: own.strides[axis] as i64, bound: own.sizes[axis] as u64 };
        let operands = [(x.datum, base), (indices.datum, at)]
            .into_iter()
            .map(|(datum, view)| Operand { datum, view: self.views.id(view.squeezed()) })
            .collect();
        let datum = self.make(ItemKind::Point(point), sizes, operands, ty.dtype, node.first, id);
        self.see(node.first, datum, View::whole(sizes));
    }

    /// Anything else: control flow, and ops by their own definition.
    fn call(&mut self, records: &Records, id: NodeId) {
        let node = records.node(id);
        let operands: SmallVec<[Operand; 3]> = (node.inputs.iter())
            .map(|&input| {
                let datum = self.whole(input, id);
                let sizes = squeezed(sizes_of(type_of(records, input)));
                Operand { datum, view: self.views.whole(&sizes) }
            })
            .collect();
        let outputs: Vec<Type> = node.outputs().map(|value| type_of(records, value)).collect();
        let kind = match &node.op {
            Op::Cond(op) => ItemKind::Cond(Box::new([op.then.clone(), op.otherwise.clone()])),
            Op::Scan(op) => ItemKind::Scan(op.clone()),
            op => {
                let inputs = node.inputs.iter().map(|&input| type_of(records, input)).collect();
                ItemKind::Call(Box::new(Call { op: op.clone(), inputs, outputs: outputs.clone() }))
            }
        };
        let item = self.items.len() as ItemId;
        let first = self.data.len() as DatumId;
        for (value, &ty) in node.outputs().zip(&outputs) {
            // A value that was given stays.
            let kept = self.values[value as usize];
            self.put(value, ty, Source::Made(item));
            if kept.is_some() {
                self.values[value as usize] = kept;
            }
        }
        let domain = Shape::of_sizes(&[]);
        self.items.push(Item { kind, domain, operands, first, node: id });
    }
}

/// The bits of an op whose elements are all one known number; see [`Instr::Literal`](crate::loops::Instr::Literal).
pub fn literal(op: &Op, dtype: DType) -> Option<u64> {
    use backprop_core::ops::Literal;
    match op {
        Op::Full(full) => Some(match full.value() {
            Literal::Float(x) if dtype == DType::F32 => (x as f32).to_bits().into(),
            Literal::Float(x) => x.to_bits(),
            Literal::Int(x) => x as u64,
        }),
        Op::DimValue(op) => Some(op.dim.size().expect("sizes are numbers when a graph is lowered") as u64),
        Op::Constant(constant) if constant.array.len() == 1 => {
            Some(with_data!(constant.array.data(), |values| bits_of(values[0])))
        }
        _ => None,
    }
}

fn bits_of<T: backprop_core::Element>(x: T) -> u64 {
    match T::DTYPE {
        DType::F32 => u64::from((x.to_f64() as f32).to_bits()),
        DType::F64 => x.to_f64().to_bits(),
        _ => x.to_i64() as u64,
    }
}

fn type_of(records: &Records, value: ValueId) -> Type {
    records.ty(value).expect("ill values are refused before")
}

pub(super) fn sizes_of(ty: Type) -> &'static [usize] {
    ty.shape.sizes().expect("sizes are numbers when a graph is lowered")
}

fn numbers(dims: &[backprop_core::Dim]) -> Sizes {
    dims.iter().map(|dim| dim.size().expect("sizes are numbers when a graph is lowered")).collect()
}

/// The nodes that `outputs` need, in order.
pub fn needed(records: &Records, inputs: &[ValueId], outputs: &[ValueId]) -> Vec<NodeId> {
    let mut is_given = vec![false; records.n_values()];
    inputs.iter().for_each(|&input| is_given[input as usize] = true);
    let mut is_needed = vec![false; records.n_nodes()];
    let want = |value: ValueId, is_needed: &mut Vec<bool>| {
        if !is_given[value as usize] {
            is_needed[records.producer(value) as usize] = true;
        }
    };
    outputs.iter().for_each(|&output| want(output, &mut is_needed));
    let mut nodes = Vec::new();
    for id in (0..records.n_nodes() as NodeId).rev() {
        if is_needed[id as usize] {
            records.node(id).inputs.iter().for_each(|&input| want(input, &mut is_needed));
            nodes.push(id);
        }
    }
    nodes.reverse();
    nodes
}

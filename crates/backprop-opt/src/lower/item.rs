//! Items: the operations of a graph with their operands seen through views.
//!
//! ```text
//! y = exp(transpose(x)) ──►  item Point(exp), domain [3, 2], operand (x, strides [1, 3])
//! ```
//!
//! Shape ops are gone: they only change how a datum is seen. What is left computes on a *domain*, the sizes
//! of its loops without those that are 1.

use std::collections::HashSet;
use std::sync::Arc;

use backprop_core::array::DType;
use backprop_core::ops::{Binary, Compare, Logic, Unary};
use backprop_core::{Array, Body, NodeId, Op, Records, Shape, Type, ValueId};
use smallvec::{SmallVec, smallvec};

use super::read::sizes_of;
use super::view::{View, ViewId, Views, squeezed};
use crate::loops::Fold;

/// A datum's number.
pub type DatumId = u32;

/// An item's number.
pub type ItemId = u32;

/// Numbers that a buffer may hold, row-major.
#[derive(Clone, Debug)]
pub struct Datum {
    pub dtype: DType,
    pub len: usize,
    pub source: Source,
    /// The value that it is, for labels.
    pub value: ValueId,
}

/// Where a datum comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Input of the program.
    Given(usize),
    Constant(Arc<Array>),
    /// Every element has these bits; see [`Instr::Literal`](crate::loops::Instr::Literal).
    Literal(u64),
    /// Where a view of it points is its value.
    Count,
    /// An output of an item.
    Made(ItemId),
}

/// A datum as an operand sees it, without axes of size 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Operand {
    pub datum: DatumId,
    pub view: ViewId,
}

/// An operation.
#[derive(Clone, Debug)]
pub struct Item {
    pub kind: ItemKind,
    /// The sizes of its loops, none of them 1. Of a contraction: those of its result.
    pub domain: Shape,
    pub operands: SmallVec<[Operand; 3]>,
    /// Its first output; the others follow.
    pub first: DatumId,
    pub node: NodeId,
}

/// What an item does.
#[derive(Clone, Debug)]
pub enum ItemKind {
    /// On each element of its domain.
    Point(Point),
    /// Folds its operand over the axes of the domain whose bits are set.
    Reduce(Fold, u16),
    /// Adjacent axes of the domain are batch, left and right, as many as said.
    Contract(Product),
    /// Writes its operands, one after the other, at places of one datum; what is left is 0.
    Write(Box<[Target]>),
    Call(Box<Call>),
    Cond(Box<[Arc<Body>; 2]>),
    Scan(Box<backprop_core::ops::Scan>),
}

/// A pointwise operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    Copy,
    Cast,
    Unary(Unary),
    Binary(Binary),
    Compare(Compare),
    Logic(Logic),
    Select,
    Fma,
    /// Operand 0 at the index that operand 1 says. The domain of operand 0 is that of the item: it is seen as
    /// if the index were 0.
    Gather {
        stride: i64,
        bound: u64,
    },
}

/// The sizes of a contraction.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// How many axes of the domain are batch axes, and how many come from the left operand.
    pub n_batch: usize,
    pub n_left: usize,
    pub k: usize,
    /// The strides of the operands along k.
    pub a_stride: isize,
    pub b_stride: isize,
}

/// Where a [`ItemKind::Write`] puts an operand.
#[derive(Clone, Debug)]
pub struct Target {
    /// The loops.
    pub domain: Shape,
    /// Where they go in the datum.
    pub view: ViewId,
}

/// An op by its own definition.
#[derive(Clone, Debug)]
pub struct Call {
    pub op: Op,
    pub inputs: Vec<Type>,
    pub outputs: Vec<Type>,
}

/// The items of a graph.
pub struct Items {
    pub views: Views,
    pub data: Vec<Datum>,
    pub items: Vec<Item>,
    /// For each value, what it is; `None` for values that nobody needs.
    pub(super) values: Vec<Option<Seen>>,
}

/// A value: a view of a datum, with all its axes.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub datum: DatumId,
    pub view: ViewId,
}

impl Items {
    /// Each output as a datum of its own that some item makes; copies where it is none.
    pub fn outputs(&mut self, records: &Records, outputs: &[ValueId], watched: &[bool]) -> Vec<DatumId> {
        let mut taken = HashSet::new();
        let mut list = Vec::with_capacity(outputs.len());
        for (position, &value) in outputs.iter().enumerate() {
            let node = records.producer(value);
            let whole = self.whole(value, node);
            let is_free = match self.datum(whole).source {
                // Only stores are watched: a fold over rows ends without one, and so does what is no loop.
                Source::Made(item) => {
                    let is_storeless = matches!(
                        self.item(item).kind,
                        ItemKind::Reduce(..) | ItemKind::Call(_) | ItemKind::Cond(_) | ItemKind::Scan(_)
                    );
                    !(is_storeless && watched.get(position) == Some(&true))
                }
                _ => false,
            };
            let datum = match is_free && taken.insert(whole) {
                true => whole,
                false => self.copy(value, node),
            };
            list.push(datum);
        }
        list
    }

    /// A value as an operand.
    pub fn operand(&mut self, value: ValueId) -> Operand {
        let Seen { datum, view } = self.seen(value);
        let view = self.views.get(view).squeezed();
        Operand { datum, view: self.views.id(view) }
    }

    pub fn datum(&self, id: DatumId) -> &Datum {
        &self.data[id as usize]
    }

    pub fn item(&self, id: ItemId) -> &Item {
        &self.items[id as usize]
    }

    /// A value in row-major order as a datum of its own: itself, or a copy.
    pub fn whole(&mut self, value: ValueId, node: NodeId) -> DatumId {
        let Seen { datum, view } = self.seen(value);
        let is_stored = matches!(
            self.data[datum as usize].source,
            Source::Given(_) | Source::Constant(_) | Source::Made(_)
        );
        if is_stored && self.views.get(view).is_whole(self.data[datum as usize].len) {
            return datum;
        }
        self.copy(value, node)
    }

    pub(super) fn copy(&mut self, value: ValueId, node: NodeId) -> DatumId {
        let Seen { datum, view } = self.seen(value);
        let sizes = self.views.get(view).sizes.clone();
        let operand = self.operand(value);
        let dtype = self.datum(datum).dtype;
        self.make(ItemKind::Point(Point::Copy), &sizes, smallvec![operand], dtype, value, node)
    }

    pub(super) fn seen(&self, value: ValueId) -> Seen {
        self.values[value as usize].expect("earlier values are known")
    }

    pub(super) fn put(&mut self, value: ValueId, ty: Type, source: Source) -> DatumId {
        let sizes = sizes_of(ty);
        let len = sizes.iter().product();
        let datum = self.new_datum(ty.dtype, len, source, value);
        let view = self.views.whole(sizes);
        self.values[value as usize] = Some(Seen { datum, view });
        datum
    }

    pub(super) fn new_datum(&mut self, dtype: DType, len: usize, source: Source, value: ValueId) -> DatumId {
        self.data.push(Datum { dtype, len, source, value });
        self.data.len() as DatumId - 1
    }

    pub(super) fn see(&mut self, value: ValueId, datum: DatumId, view: View) {
        let view = self.views.id(view);
        self.values[value as usize] = Some(Seen { datum, view });
    }

    /// Adds an item of one output over `sizes`; its datum.
    pub(super) fn make(
        &mut self,
        kind: ItemKind,
        sizes: &[usize],
        operands: SmallVec<[Operand; 3]>,
        dtype: DType,
        value: ValueId,
        node: NodeId,
    ) -> DatumId {
        let len = sizes.iter().product();
        let source = Source::Made(self.items.len() as ItemId);
        let first = self.new_datum(dtype, len, source, value);
        let domain = Shape::of_sizes(&squeezed(sizes));
        self.items.push(Item { kind, domain, operands, first, node });
        first
    }
}

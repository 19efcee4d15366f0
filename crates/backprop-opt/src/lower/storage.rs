//! Which data are stored, and which are computed again where they are read.
//!
//! What one group computes and another reads is stored, unless it is cheap to compute from what is stored
//! anyway: then the reader does it again, and the memory is not touched.

use backprop_core::DType;
use backprop_core::ops::{Binary, Unary};

use super::group::{GroupKind, Groups, Level, contraction_of, loops_of, maker};
use super::item::{DatumId, ItemKind, Items, Operand, Point, Product, Source};
use super::view::ViewId;

/// The most that is computed again for one read, in units of an addition.
const MAX_COST: u32 = 6;

/// The same where an element is read more than once.
const MAX_COST_REPEATED: u32 = 2;

/// The most data that are read for one that is computed again.
const MAX_LEAVES: u32 = 2;

/// For each datum, whether it is stored.
pub fn stored(items: &mut Items, groups: &Groups, outputs: &[DatumId]) -> Vec<bool> {
    let mut stored = vec![false; items.data.len()];
    outputs.iter().for_each(|&output| stored[output as usize] = true);
    for id in 0..items.items.len() as u32 {
        let item = items.item(id);
        match item.kind {
            ItemKind::Reduce(..) => stored[item.first as usize] |= groups.level[id as usize] == Level::After,
            ItemKind::Call(_) | ItemKind::Cond(_) | ItemKind::Scan(_) | ItemKind::Contract(_) => {
                item.operands.iter().for_each(|operand| stored[operand.datum as usize] = true);
            }
            ItemKind::Point(Point::Gather { .. }) => stored[item.operands[0].datum as usize] = true,
            _ => {}
        }
    }
    // What a step by itself makes is stored; a step of several outputs has some that nobody reads.
    for id in 0..items.items.len() as u32 {
        let (own, operands) = (groups.of[id as usize], items.item(id).operands.clone());
        let group = &groups.groups[own as usize];
        let product = (group.kind == GroupKind::Contraction).then(|| contraction_of(items, group));
        for operand in operands {
            let Some(maker) = maker(items, operand) else { continue };
            let is_alone = groups.groups[groups.of[maker as usize] as usize].kind == GroupKind::Alone;
            if stored[operand.datum as usize] || groups.of[maker as usize] == own && !is_alone {
                continue;
            }
            let n_read = items.views.get(operand.view).sizes.iter().product::<usize>();
            let limit = match n_read > items.datum(operand.datum).len {
                true => MAX_COST_REPEATED,
                false => MAX_COST,
            };
            let cost = cost(items, &stored, operand, limit, product.as_ref());
            stored[operand.datum as usize] = cost.is_none_or(|(_, leaves)| leaves > MAX_LEAVES);
        }
    }
    stored
}

/// What computing an operand again costs, from what is stored, and how many data it reads: nothing if it is
/// stored itself. `None` where it cannot be done, or costs more than `limit`; or where the loops of the
/// contraction that would do it cannot walk a view.
fn cost(
    items: &mut Items,
    stored: &[bool],
    operand: Operand,
    limit: u32,
    product: Option<&Product>,
) -> Option<(u32, u32)> {
    if let Some(product) = product {
        loops_of(items.views.get(operand.view), product)?;
    }
    match items.datum(operand.datum).source {
        Source::Literal(_) | Source::Count => return Some((0, 0)),
        Source::Given(_) | Source::Constant(_) => return Some((0, 1)),
        Source::Made(_) if stored[operand.datum as usize] => return Some((0, 1)),
        Source::Made(_) => {}
    }
    let (point, operands) = expression(items, operand)?;
    if point.may_fault(items.datum(operand.datum).dtype) && !reads_all(items, operand) {
        return None;
    }
    let mut total = (point.cost(), 0);
    // Each level costs something, so this ends after a few.
    for operand in operands {
        let rest = limit.checked_sub(total.0)?;
        let (own, leaves) = cost(items, stored, operand, rest, product)?;
        total = (total.0 + own, total.1 + leaves);
    }
    (total.0 <= limit).then_some(total)
}

/// Whether an operand reads every element of its datum: a fault of one that is not read would be lost.
fn reads_all(items: &Items, operand: Operand) -> bool {
    let view = items.views.get(operand.view);
    let moved = view.sizes.iter().zip(&view.strides).filter(|(_, stride)| **stride != 0);
    // Along axes that move it, a view names no element twice.
    let n_read = moved.map(|(size, _)| size).product::<usize>();
    n_read == items.datum(operand.datum).len && !view.sizes.contains(&0)
}

/// A datum that is made point by point, as its reader sees it: the operation, and the operands in the
/// reader's loops.
pub fn expression(items: &mut Items, operand: Operand) -> Option<(Point, Vec<Operand>)> {
    let item = items.item(maker(items, operand)?);
    let ItemKind::Point(point) = item.kind else { return None };
    let seen = |inner: &Operand| {
        let view = items.views.get(operand.view).through(items.views.get(inner.view))?;
        Some((inner.datum, view))
    };
    let seen: Vec<_> = item.operands.iter().map(seen).collect::<Option<_>>()?;
    let operands = seen.into_iter().map(|(datum, view)| {
        let view: ViewId = items.views.id(view);
        Operand { datum, view }
    });
    Some((point, operands.collect()))
}

impl Point {
    /// Whether data may be at fault in it: an index out of range, an integer divided by zero.
    fn may_fault(self, dtype: DType) -> bool {
        match self {
            Point::Gather { .. } => true,
            Point::Binary(Binary::Div) => dtype.is_int(),
            _ => false,
        }
    }

    /// What it costs, in units of an addition.
    pub fn cost(self) -> u32 {
        match self {
            Point::Unary(
                Unary::Neg | Unary::Abs | Unary::Square | Unary::Floor | Unary::Ceil | Unary::Round,
            ) => 1,
            Point::Unary(Unary::Sign) => 2,
            Point::Unary(Unary::Sqrt | Unary::Reciprocal) | Point::Binary(Binary::Div) => 4,
            Point::Unary(_) | Point::Binary(Binary::Pow) => 20,
            Point::Gather { .. } => 3,
            _ => 1,
        }
    }
}

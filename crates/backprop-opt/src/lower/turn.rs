//! Which nests have their rows turned to the innermost loop, and which data lie in memory column by column for it.
//!
//! ```text
//! softmax of f32[32, 10]     as it is   each row: 10 of 16 lanes, and four halvings for each sum or maximum
//!                            turned     10 × 32: vectors of 16 rows, sums add vectors, no lane is idle
//! ```
//!
//! Where columns are many, a block of rows around them still serves sums across lanes, of many rows at once. All this
//! changes the order of sums, so it is decided here, by sizes alone; both engines follow.

use super::axes::{Block, Side};
use super::group::{GroupId, GroupKind, Groups, Level, contraction_of, loops_of, maker};
use super::item::{DatumId, Item, ItemId, ItemKind, Items, Operand, Point, Product, Source};
use super::view::{View, collapsed};

/// As many columns as two vectors have lanes: with more, whole rows fill vectors, and halvings are few beside them.
const MOST_COLUMNS: usize = 32;

/// The fewest rows that fill a vector.
const FEWEST_ROWS: usize = 16;

/// The most elements of a block of rows: a few such locals stay in the L1 cache.
const BLOCK: usize = 4096;

/// The most elements of a block around its columns: in each stage, each is read where others were kept or are written,
/// three times over in the L1 cache.
const BLOCK_AROUND: usize = 2048;

/// The most rows of a block around the columns: as many as the longest vectors have lanes.
const MOST_AROUND: usize = 16;

/// The fewest rows for which that is worth it.
const FEWEST_AROUND: usize = 4;

/// What a row's sum or maximum costs across lanes, in instructions: extracting, shuffling, adding four times over, and
/// its accumulator's way through memory.
const ACROSS: usize = 25;

/// What an element costs that is read or written on its own, in instructions.
const APART: usize = 2;

/// What is turned.
#[derive(Debug, Default)]
pub struct Turns {
    /// For each group, how.
    pub groups: Vec<Option<Block>>,
    /// For each datum that lies column by column, its numbers of rows and columns.
    pub data: Vec<Option<[usize; 2]>>,
}

impl Turns {
    /// Decides for all groups; `is_output` says which data lie as others want them.
    pub fn new(
        items: &Items,
        groups: &Groups,
        stored: &[bool],
        is_output: impl Fn(DatumId) -> bool,
    ) -> Turns {
        let all = || 0..groups.groups.len() as GroupId;
        let candidates: Vec<Option<Block>> = all().map(|id| inside(items, groups, id)).collect();
        let mut turns = Turns { groups: vec![None; candidates.len()], data: vec![None; items.data.len()] };
        if candidates.iter().any(Option::is_some) {
            turns.turn(items, groups, stored, is_output, candidates);
        }
        for id in all().filter(|&id| turns.groups[id as usize].is_none()).collect::<Vec<_>>() {
            turns.groups[id as usize] = around(items, groups, id);
        }
        turns
    }

    /// Turns those of the candidates for which it pays, and the data that only they care for.
    fn turn(
        &mut self,
        items: &Items,
        groups: &Groups,
        stored: &[bool],
        is_output: impl Fn(DatumId) -> bool,
        candidates: Vec<Option<Block>>,
    ) {
        let readers = Readers::new(items, groups, stored);
        self.groups = candidates;
        for id in 0..items.data.len() as DatumId {
            if stored[id as usize] && !is_output(id) {
                self.data[id as usize] = self.lying(items, groups, &readers, id);
            }
        }
        for id in 0..groups.groups.len() as GroupId {
            if self.groups[id as usize].is_some() && !self.pays(items, groups, stored, id) {
                self.groups[id as usize] = None;
            }
        }
        // Whoever is left out wants rows.
        for id in 0..items.data.len() as DatumId {
            if self.data[id as usize].is_some() {
                self.data[id as usize] = self.lying(items, groups, &readers, id);
            }
        }
    }

    /// What a view of a datum is of the datum as it lies.
    pub fn seen(&self, id: DatumId, view: &View) -> View {
        match self.data.get(id as usize).copied().flatten() {
            Some([rows, columns]) => {
                view.turned(rows, columns).expect("checked when it was decided how the datum lies")
            }
            None => view.clone(),
        }
    }

    /// How a datum would lie for its makers and readers, if it may lie otherwise than row by row.
    fn lying(&self, items: &Items, groups: &Groups, readers: &Readers, id: DatumId) -> Option<[usize; 2]> {
        let datum = items.datum(id);
        let Source::Made(made_by) = datum.source else { return None };
        let sizes = items.item(made_by).domain.sizes()?;
        let (&[rows, columns], ItemKind::Point(_) | ItemKind::Contract(_)) =
            (sizes, &items.item(made_by).kind)
        else {
            return None;
        };
        let is_whole = |group: GroupId| {
            // One block: all rows are next to each other.
            let turned = self.groups[group as usize];
            turned == Some(Block { split: 1, n_rows: rows, side: Side::Inside })
                && groups.groups[group as usize].domain.sizes() == Some(sizes)
        };
        let made_in = Some(groups.of[made_by as usize]).filter(|&group| group != GroupId::MAX)?;
        let fits = |group: GroupId, view: &View| match groups.groups[group as usize].kind {
            GroupKind::Nest => is_whole(group),
            GroupKind::Contraction => {
                loops_of(view, &contraction_of(items, &groups.groups[group as usize])).is_some()
            }
            GroupKind::Alone => false,
        };
        let mut is_wanted = is_whole(made_in);
        if !fits(made_in, &View::whole(sizes).turned(rows, columns)?) {
            return None;
        }
        for &(reader, position) in &readers.of[id as usize] {
            let (item, group) = (items.item(reader), groups.of[reader as usize]);
            let operand = item.operands[position];
            match item.kind {
                ItemKind::Contract(product) => {
                    let view = of_factor(items, operand, product, position == 0).turned(rows, columns)?;
                    // Its free axes are one loop.
                    let free = product.n_batch..view.sizes.len() - 1;
                    collapsed(&view.sizes[free.clone()], &view.strides[free])?;
                }
                // A table that indices look into lies row by row.
                ItemKind::Point(Point::Gather { .. }) if position == 0 => return None,
                _ => {
                    let view = items.views.get(operand.view).turned(rows, columns)?;
                    (fits(group, &view) && !readers.is_again[reader as usize]).then_some(())?;
                }
            }
            is_wanted |= is_whole(group);
        }
        is_wanted.then_some([rows, columns])
    }

    /// Whether sums across lanes cost more than the elements that would be read and written one by one.
    fn pays(&self, items: &Items, groups: &Groups, stored: &[bool], id: GroupId) -> bool {
        let group = &groups.groups[id as usize];
        let split = group.split.expect("a turned group has rows");
        let sizes = group.domain.sizes().expect("a domain is of numbers");
        let n_columns: usize = sizes[split..].iter().product();
        let (mut across, mut apart) = (0, 0);
        let mut read: Vec<Operand> = Vec::new();
        for &member in &group.members {
            let item = items.item(member);
            if item.domain != group.domain {
                continue;
            }
            across += usize::from(is_of_rows(groups, member, item));
            for &operand in &item.operands {
                let is_inside = maker(items, operand).is_some_and(|maker| groups.of[maker as usize] == id);
                if !is_inside && !read.contains(&operand) {
                    read.push(operand);
                    let stride = items.views.get(operand.view).strides[split - 1];
                    let is_row_major = self.data[operand.datum as usize].is_none();
                    apart += usize::from(is_row_major && !matches!(stride, 0 | 1));
                }
            }
            let is_written = stored[item.first as usize] && !matches!(item.kind, ItemKind::Reduce(..));
            apart += usize::from(is_written && self.data[item.first as usize].is_none());
        }
        ACROSS * across > APART * n_columns * apart
    }
}

/// How a group's rows could be turned inside, if that is worth a thought.
fn inside(items: &Items, groups: &Groups, id: GroupId) -> Option<Block> {
    let group = &groups.groups[id as usize];
    let split = group.split.filter(|&split| split > 0 && group.kind == GroupKind::Nest)?;
    let sizes = group.domain.sizes()?;
    let (n_rows, n_columns) = (sizes[split - 1], sizes[split..].iter().product::<usize>());
    let folds = group.members.iter().any(|&member| is_of_rows(groups, member, items.item(member)));
    if !folds || !(2..=MOST_COLUMNS).contains(&n_columns) || n_rows < FEWEST_ROWS {
        return None;
    }
    let most = BLOCK / n_columns;
    let block = match n_rows <= most {
        true => n_rows,
        // Whole vectors, and blocks of one size.
        false => (1..=most / FEWEST_ROWS).rev().map(|n| n * FEWEST_ROWS).find(|block| n_rows % block == 0)?,
    };
    Some(Block { split, n_rows: block, side: Side::Inside })
}

/// How a block of a group's rows goes around its columns, if that is worth it.
fn around(items: &Items, groups: &Groups, id: GroupId) -> Option<Block> {
    let group = &groups.groups[id as usize];
    let split = group.split.filter(|&split| split > 0 && group.kind == GroupKind::Nest)?;
    let sizes = group.domain.sizes()?;
    let (n_rows, n_columns) = (sizes[split - 1], sizes[split..].iter().product::<usize>());
    let folds = group.members.iter().any(|&member| is_of_rows(groups, member, items.item(member)));
    let most = MOST_AROUND.min(n_rows).min(BLOCK_AROUND / n_columns.max(1));
    let n_rows = (FEWEST_AROUND..=most).rev().find(|&n| n_rows.is_multiple_of(n))?;
    folds.then_some(Block { split, n_rows, side: Side::Outside })
}

/// Whether an item folds the columns of each row.
fn is_of_rows(groups: &Groups, id: u32, item: &Item) -> bool {
    matches!(item.kind, ItemKind::Reduce(..)) && groups.level[id as usize] == Level::Row
}

/// Who reads each datum: an item, and which operand of it that is.
struct Readers {
    of: Vec<Vec<(ItemId, usize)>>,
    /// Whether an item is computed again in another group than its own.
    is_again: Vec<bool>,
}

impl Readers {
    fn new(items: &Items, groups: &Groups, stored: &[bool]) -> Readers {
        let mut of = vec![Vec::new(); items.data.len()];
        let mut is_again = vec![false; items.items.len()];
        for (id, item) in items.items.iter().enumerate().rev() {
            if groups.of[id] == GroupId::MAX {
                continue;
            }
            let is_elsewhere = |&(reader, _): &(ItemId, usize)| {
                groups.of[reader as usize] != groups.of[id] || is_again[reader as usize]
            };
            is_again[id] = !stored[item.first as usize] && of[item.first as usize].iter().any(is_elsewhere);
            for (position, &operand) in item.operands.iter().enumerate() {
                of[operand.datum as usize].push((id as ItemId, position));
            }
        }
        Readers { of, is_again }
    }
}

/// A factor's view, with an axis for k at the end.
fn of_factor(items: &Items, operand: Operand, product: Product, is_left: bool) -> View {
    let mut view = items.views.get(operand.view).clone();
    view.sizes.push(product.k);
    view.strides.push(if is_left { product.a_stride } else { product.b_stride });
    view
}

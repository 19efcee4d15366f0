//! Grouping: which items share loops.
//!
//! ```text
//! groups run in this order:   prologue groups (of inputs only), then the others as they were made
//! a group: a domain, cut into rows and columns once a reduction asks for it
//!     full items    on every element of the domain
//!     row items     once per row, from a reduction over the columns or from other row items
//! ```
//!
//! Items come in topological order. One joins the group of its latest operand where it fits; otherwise it
//! opens a new one, at the end. A pointwise item of inputs alone floats until somebody needs it, and then
//! joins that one's group, so that what is read together is computed together.

use std::collections::{HashMap, HashSet};

use backprop_core::Shape;

use super::item::{DatumId, Item, ItemId, ItemKind, Items, Operand, Point, Product, Source};
use super::view::{View, ViewId, collapsed, row_major};
use crate::loops::{Begins, Strides, Why};

/// A group's number.
pub type GroupId = u32;

/// Where an item stands in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// In no group yet.
    Floating,
    /// Computed on every element.
    Full,
    /// Computed once per row.
    Row,
    /// Known when the group has run.
    After,
}

/// Items that share loops.
#[derive(Debug)]
pub struct Group {
    pub kind: GroupKind,
    pub domain: Shape,
    /// How many axes of the domain are rows, once that is known.
    pub split: Option<usize>,
    /// In topological order.
    pub members: Vec<ItemId>,
    /// Why the first of them joined no other group, where one was looked at.
    pub begins: Option<Begins>,
    is_prologue: bool,
    /// A full item's view of a full item, and of a row item.
    whole: ViewId,
    of_row: Option<ViewId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupKind {
    /// Loops around scalar code.
    Nest,
    /// A contraction and what is done with its result.
    Contraction,
    /// One item that is a step by itself.
    Alone,
}

/// The groups of a graph.
pub struct Groups {
    pub groups: Vec<Group>,
    /// For each item, its group.
    pub of: Vec<GroupId>,
    /// For each item, where its result is known.
    pub level: Vec<Level>,
    /// The last group of each domain, of the prologue and of the rest.
    latest: HashMap<(Shape, bool), GroupId>,
    /// For each item, how many operands of items it is.
    n_readers: Vec<u32>,
}

/// Register pressure and code size grow with a group; beyond this many items it takes no more. (Scalars,
/// which need no loop, are exempt.)
const MAX_MEMBERS: usize = 400;

/// How an item would stand in a group.
struct Fit {
    /// Where its result would be known.
    result: Level,
    split: Option<usize>,
}

impl Groups {
    /// Groups all items that `outputs` need.
    pub fn new(items: &mut Items, outputs: &[DatumId]) -> Groups {
        let n = items.items.len();
        let mut groups = Groups {
            groups: Vec::new(),
            of: vec![GroupId::MAX; n],
            level: vec![Level::Floating; n],
            latest: HashMap::new(),
            n_readers: vec![0; n],
        };
        for reader in 0..n as ItemId {
            makers(items, reader).for_each(|maker| groups.n_readers[maker as usize] += 1);
        }
        for id in 0..n as ItemId {
            groups.place(items, id);
        }
        for &output in outputs {
            if let Source::Made(id) = items.datum(output).source {
                groups.settle_output(items, id);
            }
        }
        groups
    }

    /// The groups in the order in which they run.
    pub fn order(&self) -> Vec<GroupId> {
        let (prologue, rest): (Vec<GroupId>, Vec<GroupId>) =
            (0..self.groups.len() as GroupId).partition(|&id| self.groups[id as usize].is_prologue);
        [prologue, rest].concat()
    }

    fn key(&self, id: GroupId) -> (bool, GroupId) {
        (!self.groups[id as usize].is_prologue, id)
    }

    fn place(&mut self, items: &mut Items, id: ItemId) {
        let (kind, last) = (group_kind(items.item(id)), self.last(items, id));
        let is_pure = last.is_none_or(|last| self.groups[last as usize].is_prologue);
        if is_pure && matches!(items.item(id).kind, ItemKind::Point(_)) {
            return;
        }
        let domain = items.item(id).domain;
        // Scalars share one nest where they can; and what reads the same data shares loops.
        let latest = self.latest.get(&(domain, false)).copied();
        let latest = latest.filter(|&latest| {
            last.is_none_or(|last| self.key(latest) >= self.key(last))
                && (domain.rank() == 0 || self.shares_operand(items, id, latest))
        });
        let last = last.filter(|&last| !self.groups[last as usize].is_prologue);
        let mut begins = None;
        for candidate in [last, latest].into_iter().flatten() {
            let fit = match kind {
                GroupKind::Nest => self.fit(items, id, candidate),
                GroupKind::Contraction => Err(Why::Contraction),
                GroupKind::Alone => Err(Why::Alone),
            };
            match fit {
                Ok(fit) => return self.join(items, id, candidate, fit),
                // Most often told of the group of its latest operand.
                Err(why) if begins.is_none() => begins = Some(self.begins(items, id, candidate, why)),
                Err(_) => {}
            }
        }
        self.open(items, id, kind, false, begins);
    }

    /// Why an item could not join a group: as a rule because of what it reads.
    fn begins(&self, items: &Items, id: ItemId, group: GroupId, why: Why) -> Begins {
        let is_after =
            |&maker: &ItemId| self.of[maker as usize] == group && self.level[maker as usize] == Level::After;
        let head = self.groups[group as usize].members[0];
        let why = match self.groups[group as usize].kind {
            GroupKind::Nest if matches!(group_kind(items.item(id)), GroupKind::Nest) => {
                let unfinished = makers(items, id).find(is_after);
                unfinished.map_or(why, |maker| Why::Unfinished(items.item(maker).node))
            }
            _ => why,
        };
        Begins { node: items.item(id).node, beside: items.item(head).node, why }
    }

    /// Whether an item of the group reads what this item and the floating ones that come along read, or makes it.
    fn shares_operand(&self, items: &Items, id: ItemId, group: GroupId) -> bool {
        let along = self.floating(items, id);
        let own = along.iter().chain([&id]).flat_map(|&id| &items.item(id).operands);
        let own: HashSet<DatumId> = own.map(|operand| operand.datum).collect();
        let is_own = |datum: DatumId| own.contains(&datum);
        self.groups[group as usize].members.iter().any(|&member| {
            let member = items.item(member);
            is_own(member.first) || member.operands.iter().any(|operand| is_own(operand.datum))
        })
    }

    /// Puts a floating item that is wanted by itself where what it reads is read anyway; else into the prologue.
    fn settle_output(&mut self, items: &mut Items, id: ItemId) {
        let latest = self.latest.get(&(items.item(id).domain, false)).copied();
        let latest = latest.filter(|&latest| {
            // What others read as well must be there before them: in the prologue.
            self.level[id as usize] == Level::Floating
                && self.n_readers[id as usize] == 0
                && self.shares_operand(items, id, latest)
        });
        match latest.and_then(|latest| Some((latest, self.fit(items, id, latest).ok()?))) {
            Some((latest, fit)) => self.join(items, id, latest, fit),
            None => self.settle(items, id),
        }
    }

    /// Puts a floating item, and the floating ones that it needs, into the prologue: each as early as it can be.
    fn settle(&mut self, items: &mut Items, id: ItemId) {
        if self.level[id as usize] != Level::Floating {
            return;
        }
        for next in self.floating(items, id).into_iter().chain([id]) {
            let domain = items.item(next).domain;
            let last = self.last(items, next);
            let latest = self.latest.get(&(domain, true)).copied();
            let latest = latest.filter(|&latest| last.is_none_or(|last| self.key(latest) >= self.key(last)));
            let fitting = [last, latest].into_iter().flatten().find_map(|group| {
                let fit = self.fit(items, next, group).ok()?;
                Some((group, fit))
            });
            match fitting {
                Some((group, fit)) => self.join(items, next, group, fit),
                None => self.open(items, next, GroupKind::Nest, true, None),
            }
        }
    }

    /// The floating items that an item needs, in topological order.
    fn floating(&self, items: &Items, id: ItemId) -> Vec<ItemId> {
        let (mut found, mut seen, mut stack) = (Vec::new(), HashSet::new(), vec![id]);
        while let Some(next) = stack.pop() {
            for maker in makers(items, next) {
                if self.level[maker as usize] == Level::Floating && seen.insert(maker) {
                    found.push(maker);
                    stack.push(maker);
                }
            }
        }
        found.sort_unstable();
        found
    }

    /// The last group among those of an item's operands.
    fn last(&self, items: &Items, id: ItemId) -> Option<GroupId> {
        let placed = makers(items, id).filter(|&maker| self.level[maker as usize] != Level::Floating);
        placed.map(|maker| self.of[maker as usize]).max_by_key(|&group| self.key(group))
    }

    fn open(
        &mut self,
        items: &mut Items,
        id: ItemId,
        kind: GroupKind,
        is_prologue: bool,
        begins: Option<Begins>,
    ) {
        let domain = items.item(id).domain;
        let whole = items.views.whole(domain.sizes().expect("a domain is of numbers"));
        // What an item that stands alone needs is settled before it.
        if kind != GroupKind::Nest {
            for maker in makers(items, id).collect::<Vec<_>>() {
                self.settle(items, maker);
            }
        }
        let group = self.groups.len() as GroupId;
        let of_row = None;
        self.groups.push(Group {
            kind,
            domain,
            split: None,
            members: Vec::new(),
            begins,
            is_prologue,
            whole,
            of_row,
        });
        match kind {
            GroupKind::Nest => {
                self.latest.insert((domain, is_prologue), group);
                let fit = self
                    .fit(items, id, group)
                    .unwrap_or_else(|why| unreachable!("in a group of its own: {why:?}"));
                self.join(items, id, group, fit);
            }
            kind => {
                let level = if kind == GroupKind::Contraction { Level::Full } else { Level::After };
                self.put(id, group, level);
            }
        }
    }

    fn join(&mut self, items: &mut Items, id: ItemId, group: GroupId, fit: Fit) {
        let own = &mut self.groups[group as usize];
        if own.split != fit.split {
            own.split = fit.split;
            own.of_row = fit.split.map(|split| items.views.id(row_view(own.domain, split)));
        }
        if !own.is_prologue {
            self.pull(items, id, group, fit.result);
        }
        self.put(id, group, fit.result);
    }

    fn put(&mut self, id: ItemId, group: GroupId, level: Level) {
        self.groups[group as usize].members.push(id);
        self.of[id as usize] = group;
        self.level[id as usize] = level;
    }

    /// Brings the floating items that `id` needs along: into its group where all their readers are there and
    /// see them, else into the prologue.
    fn pull(&mut self, items: &mut Items, id: ItemId, group: GroupId, result: Level) {
        let found = self.floating(items, id);
        if found.is_empty() {
            return;
        }
        // A reduction reads on the whole domain, or on the rows.
        let is_full = items.item(id).domain == self.groups[group as usize].domain;
        let level = match items.item(id).kind {
            ItemKind::Reduce(..) if is_full => Level::Full,
            ItemKind::Reduce(..) => Level::Row,
            _ => result,
        };
        // From the last to the first: how many readers want an item at which level.
        let mut asked: HashMap<ItemId, (Level, usize)> = HashMap::new();
        let mut levels: HashMap<ItemId, Level> = [(id, level)].into();
        for &reader in [id].iter().chain(found.iter().rev()) {
            if let Some(&(level, n)) = asked.get(&reader)
                && n == self.n_readers[reader as usize] as usize
                && self.has_domain(items.item(reader).domain, group, level)
                && items.item(reader).operands.iter().all(|&operand| self.has_loops(items, operand, group))
            {
                levels.insert(reader, level);
            }
            let Some(&level) = levels.get(&reader) else { continue };
            let is_gather = matches!(items.item(reader).kind, ItemKind::Point(Point::Gather { .. }));
            for (position, operand) in items.item(reader).operands.clone().into_iter().enumerate() {
                if let Some(maker) = maker(items, operand)
                    && let Some(level) = self.asked(items, operand, group, level)
                    && !(is_gather && position == 0)
                {
                    let entry = asked.entry(maker).or_insert((level, 0));
                    entry.1 += usize::from(entry.0 == level);
                }
            }
        }
        let own = &self.groups[group as usize];
        let is_room = own.domain.rank() == 0 || own.members.len() + found.len() < MAX_MEMBERS;
        let is_opened = own.members.is_empty() && own.begins.is_none();
        for next in found {
            match levels.get(&next).filter(|_| is_room) {
                Some(&level) => self.put(next, group, level),
                None => {
                    self.settle(items, next);
                    if is_opened {
                        let [node, beside] = [id, next].map(|id| items.item(id).node);
                        let why = Why::Beforehand(beside);
                        self.groups[group as usize].begins = Some(Begins { node, beside, why });
                    }
                }
            }
        }
    }

    /// The level at which a floating operand would be known in a group, for a reader at `level`.
    fn asked(&self, items: &mut Items, operand: Operand, group: GroupId, level: Level) -> Option<Level> {
        let own = &self.groups[group as usize];
        match level {
            Level::Full if operand.view == own.whole => Some(Level::Full),
            Level::Full if Some(operand.view) == own.of_row => Some(Level::Row),
            Level::Row => {
                let rows = own.domain.sizes()?[..own.split?].to_vec();
                (operand.view == items.views.whole(&rows)).then_some(Level::Row)
            }
            _ => None,
        }
    }

    fn has_domain(&self, domain: Shape, group: GroupId, level: Level) -> bool {
        let own = &self.groups[group as usize];
        match (level, own.split) {
            (Level::Full, _) => domain == own.domain,
            (_, Some(split)) => domain.sizes() == own.domain.sizes().map(|sizes| &sizes[..split]),
            _ => false,
        }
    }

    /// Whether the loops of a group can walk a view of its domain.
    fn has_loops(&self, items: &Items, operand: Operand, group: GroupId) -> bool {
        let own = &self.groups[group as usize];
        own.kind != GroupKind::Contraction || {
            let product = contraction_of(items, own);
            loops_of(items.views.get(operand.view), &product).is_some()
        }
    }

    /// How an item would stand in a group, or why it does not fit. Its operands are known by then.
    fn fit(&self, items: &mut Items, id: ItemId, group: GroupId) -> Result<Fit, Why> {
        let own = &self.groups[group as usize];
        let item = items.item(id).clone();
        if own.kind == GroupKind::Alone {
            return Err(Why::BesideAlone);
        }
        if own.members.len() >= MAX_MEMBERS && own.domain.rank() > 0 {
            return Err(Why::Full);
        }
        let other_loops = Why::Loops(item.domain, own.domain);
        match item.kind {
            ItemKind::Point(point) => {
                let levels = [Level::Full, Level::Row].into_iter();
                let result = levels.into_iter().find(|&level| self.has_domain(item.domain, group, level));
                let result = result.ok_or(other_loops)?;
                let is_gather = matches!(point, Point::Gather { .. });
                for (position, &operand) in item.operands.iter().enumerate() {
                    if !self.sees(items, operand, group, result, own.split)? {
                        continue;
                    }
                    if is_gather && position == 0 {
                        return Err(Why::LooksUp);
                    }
                }
                Ok(Fit { result, split: own.split })
            }
            ItemKind::Reduce(_, axes) if own.kind == GroupKind::Nest => {
                if item.domain == own.domain {
                    let split = own.split.unwrap_or_else(|| wanted_split(item.domain.rank(), axes));
                    let result = reduced_level(item.domain.rank(), split, axes).ok_or(Why::Axes)?;
                    // A row item that is known already fixes the split.
                    self.sees(items, item.operands[0], group, Level::Full, own.split)?;
                    return Ok(Fit { result, split: Some(split) });
                }
                // Row items are folded over rows, into what is known afterwards.
                self.has_domain(item.domain, group, Level::Row).then_some(()).ok_or(other_loops)?;
                self.sees(items, item.operands[0], group, Level::Row, own.split)?;
                Ok(Fit { result: Level::After, split: own.split })
            }
            ItemKind::Reduce(..) => Err(Why::Folds),
            _ => Err(Why::Alone),
        }
    }

    /// Whether the operand is computed in the group; why an item at `level` cannot see it.
    fn sees(
        &self,
        items: &mut Items,
        operand: Operand,
        group: GroupId,
        level: Level,
        split: Option<usize>,
    ) -> Result<bool, Why> {
        let own = &self.groups[group as usize];
        let maker = maker(items, operand);
        let Some(maker) = maker.filter(|&maker| {
            self.level[maker as usize] != Level::Floating && self.of[maker as usize] == group
        }) else {
            return self.has_loops(items, operand, group).then_some(false).ok_or(Why::Strides);
        };
        let holds = match (level, self.level[maker as usize]) {
            (Level::Full, Level::Full) => operand.view == own.whole,
            (Level::Full, Level::Row) => Some(operand.view) == own.of_row,
            (Level::Row, Level::Row) => own.domain.sizes().zip(split).is_some_and(|(sizes, split)| {
                let rows = sizes[..split].to_vec();
                operand.view == items.views.whole(&rows)
            }),
            _ => false,
        };
        holds.then_some(true).ok_or(Why::Elsewhere(items.item(maker).node))
    }
}

pub fn maker(items: &Items, operand: Operand) -> Option<ItemId> {
    match items.datum(operand.datum).source {
        Source::Made(item) => Some(item),
        _ => None,
    }
}

/// The items that make an item's operands.
fn makers(items: &Items, id: ItemId) -> impl Iterator<Item = ItemId> {
    items.item(id).operands.iter().filter_map(|&operand| maker(items, operand))
}

fn group_kind(item: &Item) -> GroupKind {
    match item.kind {
        ItemKind::Point(_) | ItemKind::Reduce(..) => GroupKind::Nest,
        ItemKind::Contract(_) => GroupKind::Contraction,
        _ => GroupKind::Alone,
    }
}

/// Where a reduction would cut its domain: its last axes, all reduced or all kept, become the columns.
fn wanted_split(rank: usize, axes: u16) -> usize {
    let is_reduced = |axis: usize| axes >> axis & 1 == 1;
    let last = is_reduced(rank - 1);
    (0..rank).rev().take_while(|&axis| is_reduced(axis) == last).last().unwrap_or(0)
}

/// Where the result of a reduction is known: columns must be all reduced or all kept.
fn reduced_level(rank: usize, split: usize, axes: u16) -> Option<Level> {
    let is_reduced = |axis: usize| axes >> axis & 1 == 1;
    let n_columns = (split..rank).filter(|&axis| is_reduced(axis)).count();
    let n_rows = (0..split).filter(|&axis| is_reduced(axis)).count();
    match (n_rows, n_columns) {
        (0, n) if n == rank - split => Some(Level::Row),
        (_, n) if n == rank - split || n == 0 => Some(Level::After),
        _ => None,
    }
}

/// A full item's view of a row item.
fn row_view(domain: Shape, split: usize) -> View {
    let sizes = domain.sizes().expect("a domain is of numbers");
    let mut strides = row_major(&sizes[..split]);
    strides.resize(sizes.len(), 0);
    View { offset: 0, sizes: sizes.into(), strides }
}

/// The contraction that heads a group.
pub fn contraction_of(items: &Items, group: &Group) -> Product {
    match items.item(group.members[0]).kind {
        ItemKind::Contract(product) => product,
        _ => unreachable!("a contraction heads its group"),
    }
}

/// The strides of a view of a contraction's domain along its loops: batch and rows, and the columns.
pub fn loops_of(view: &View, product: &Product) -> Option<(Strides, Strides)> {
    let (n_batch, cut) = (product.n_batch, product.n_batch + product.n_left);
    let mut rows = Strides::from_slice(&view.strides[..n_batch]);
    rows.push(collapsed(&view.sizes[n_batch..cut], &view.strides[n_batch..cut])?);
    let columns = collapsed(&view.sizes[cut..], &view.strides[cut..])?;
    Some((rows, [columns].into_iter().collect()))
}

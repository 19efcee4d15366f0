//! Small nests become one: a step costs as much as some hundreds of elements do.
//!
//! ```text
//! nest [] × [10] · contraction · nest [32] × [32]  ──►  contraction · nest [] × [10] [32, 32]
//! ```
//!
//! Stages of a nest without row loops run one after the other, as steps do. A nest of one stage loses its row loops to
//! that, where no order of a fold changes; and it moves up or down past steps that have nothing to do with it.

use std::collections::HashSet;

use backprop_core::array::Sizes;

use crate::loops::{BufferId, Kind, Nest, Place, Reduce, Stage, Step};

/// The most elements, over all stages, of a nest that is small.
const SMALL: usize = 4096;

/// The most instructions of a joined nest: code stays in the cache.
const MOST_INSTRUCTIONS: usize = 400;

/// How many steps back a nest looks for another one.
const REACH: usize = 16;

/// The same steps, small nests joined.
pub fn joined(steps: Vec<Step>) -> Vec<Step> {
    let mut known: Vec<Known> = Vec::with_capacity(steps.len());
    for step in steps {
        let mut next = Known::new(step);
        let start = known.len().saturating_sub(REACH);
        let before = (start..known.len()).rev().find(|&at| known[at].flat.is_some());
        if let Some(at) = before.filter(|&at| known[at].takes(&next)) {
            let between = &known[at + 1..];
            if between.iter().all(|step| !step.meets(&next)) {
                known[at].append(next);
                continue;
            }
            if between.iter().all(|step| !step.meets(&known[at])) {
                let mut first = known.remove(at);
                first.append(next);
                next = first;
            }
        }
        known.push(next);
    }
    known.into_iter().map(|known| known.step).collect()
}

/// A step, and what is to be known of it.
struct Known {
    step: Step,
    touched: HashSet<BufferId>,
    written: HashSet<BufferId>,
    /// A small nest without its row loops.
    flat: Option<Nest>,
}

impl Known {
    fn new(step: Step) -> Known {
        let (mut touched, mut written) = (HashSet::new(), HashSet::new());
        step.kind.visit(&mut |id| {
            touched.insert(id);
        });
        let mut flat = None;
        match &step.kind {
            Kind::Nest(nest) => {
                let accumulators = nest.accumulators.iter().map(|&(place, _)| place);
                let stores = nest.stages.iter().flat_map(|stage| &stage.stores).map(|store| store.to.place);
                written.extend(accumulators.chain(stores).filter_map(buffer));
                flat = (n_elements(nest) <= SMALL).then(|| without_rows(nest)).flatten();
            }
            Kind::Contraction(contraction) => {
                let stores = contraction.stage.stores.iter().map(|store| store.to.place);
                written.extend(stores.filter_map(buffer));
            }
            // Whatever they touch.
            Kind::Call(_) | Kind::Cond(_) | Kind::Scan(_) => written.clone_from(&touched),
        }
        Known { step, touched, written, flat }
    }

    /// Whether the order of two steps matters.
    fn meets(&self, other: &Known) -> bool {
        !self.written.is_disjoint(&other.touched) || !self.touched.is_disjoint(&other.written)
    }

    /// Whether both are small nests, there is room for both, and no element is stored twice.
    fn takes(&self, other: &Known) -> bool {
        let n_instructions =
            |nest: &Nest| nest.stages.iter().map(|stage| stage.code.instrs.len()).sum::<usize>();
        let (Some(first), Some(second)) = (&self.flat, &other.flat) else { return false };
        n_instructions(first) + n_instructions(second) <= MOST_INSTRUCTIONS
            && self.written.is_disjoint(&other.written)
    }

    /// Does what `next`, which it takes, does, afterwards.
    fn append(&mut self, mut next: Known) {
        let (Some(own), Some(mut later)) = (&mut self.flat, next.flat) else { return };
        let n_locals = own.locals.len() as u32;
        let moved = |place: &mut Place| {
            if let Place::Local(local) = place {
                *local += n_locals;
            }
        };
        later.accumulators.iter_mut().for_each(|(place, _)| moved(place));
        for stage in &mut later.stages {
            stage.accesses_mut().for_each(|access| moved(&mut access.place));
        }
        own.locals.append(&mut later.locals);
        own.accumulators.append(&mut later.accumulators);
        own.stages.append(&mut later.stages);
        self.step.kind = Kind::Nest(own.clone());
        self.step.nodes.append(&mut next.step.nodes);
        self.step.nodes.sort_unstable();
        self.step.nodes.dedup();
        self.step.begins.append(&mut next.step.begins);
        self.touched.extend(next.touched);
        self.written.extend(next.written);
    }
}

fn buffer(place: Place) -> Option<BufferId> {
    match place {
        Place::Buffer(id) => Some(id),
        Place::Local(_) => None,
    }
}

fn n_elements(nest: &Nest) -> usize {
    let of = |stage: &Stage| stage.columns.iter().chain(&nest.rows).product::<usize>();
    nest.stages.iter().map(of).sum()
}

/// A nest whose row loops are column loops, where it can be said so.
fn without_rows(nest: &Nest) -> Option<Nest> {
    let mut flat = nest.clone();
    if nest.rows.is_empty() {
        return Some(flat);
    }
    let [stage] = &mut flat.stages[..] else { return None };
    let columns: Sizes = nest.rows.iter().chain(&stage.columns).copied().collect();
    let keeps_order = |reduce: &Reduce| {
        let mut whole = reduce.clone();
        whole.into.columns = reduce.into.rows.iter().chain(&reduce.into.columns).copied().collect();
        // As before: folded for each row, or each value on its own.
        let folds = !stage.columns.is_empty() && reduce.folds_columns(&stage.columns);
        folds == whole.folds_columns(&columns) && (!folds || whole.n_around(&columns) >= nest.rows.len())
    };
    if !nest.locals.is_empty() || !stage.reduces.iter().all(keeps_order) {
        return None;
    }
    flat.rows.clear();
    stage.columns = columns;
    for access in stage.accesses_mut() {
        let rows = std::mem::take(&mut access.rows);
        access.columns.insert_many(0, rows);
    }
    Some(flat)
}

//! The loops of a nest, made ready: those of size 1 dropped, neighbours made one where every access allows
//! it, and a long one chosen for blocks to run along. No order of any fold changes.

use backprop_opt::loops::{Access, Instr, Nest, Place, Reduce, Stage};
use smallvec::SmallVec;

use super::place::Along;

/// The nest with as few loops as possible.
pub(super) fn settled(nest: &Nest) -> Nest {
    let mut nest = nest.clone();
    for stage in &mut nest.stages {
        forget_unnamed(stage, nest.rows.len());
    }
    let is_pure = nest.stages.len() == 1 && nest.locals.is_empty() && nest.stages[0].reduces.is_empty();
    if is_pure {
        // Every loop is like every other: let all be rows, and a long one the column.
        let columns = std::mem::take(&mut nest.stages[0].columns);
        nest.rows.extend(columns);
        for access in accesses(&mut nest.stages[0]) {
            let columns = std::mem::take(&mut access.columns);
            access.rows.extend(columns);
        }
    }
    drop_ones(&mut nest);
    merge_rows(&mut nest);
    nest.stages.iter_mut().for_each(merge_columns);
    if is_pure {
        choose_column(&mut nest);
    }
    nest
}

/// Accesses that no instruction names may be anything: they get strides of 0.
pub(super) fn forget_unnamed(stage: &mut Stage, n_rows: usize) {
    let mut is_named = vec![false; stage.code.accesses.len()];
    for instr in &stage.code.instrs {
        match *instr {
            // The access of a gather of no elements is not verified.
            Instr::Gather { access, bound, .. } => is_named[access as usize] |= bound > 0,
            Instr::Load(access) | Instr::Count(access) => is_named[access as usize] = true,
            _ => {}
        }
    }
    let n_columns = stage.columns.len();
    for (access, is_named) in stage.code.accesses.iter_mut().zip(is_named) {
        if !is_named {
            let zeros = |n: usize| SmallVec::from_elem(0, n);
            (access.offset, access.rows, access.columns) = (0, zeros(n_rows), zeros(n_columns));
            access.place = Place::Buffer(0);
        }
    }
}

/// Every access of a stage.
fn accesses(stage: &mut Stage) -> impl Iterator<Item = &mut Access> {
    let stores = stage.stores.iter_mut().map(|store| &mut store.to);
    let reduces = stage.reduces.iter_mut().map(|reduce| &mut reduce.into);
    stage.code.accesses.iter_mut().chain(stores).chain(reduces)
}

fn drop_ones(nest: &mut Nest) {
    for row in (0..nest.rows.len()).rev().filter(|&row| nest.rows[row] == 1).collect::<Vec<_>>() {
        nest.rows.remove(row);
        for access in nest.stages.iter_mut().flat_map(accesses) {
            access.rows.remove(row);
        }
    }
    for stage in &mut nest.stages {
        if stage.columns.last() == Some(&1) {
            // Every column is the first of the last loop, so all go to the first partial result.
            stage.reduces.iter_mut().for_each(|reduce| reduce.lanes = 1);
        }
        for column in (0..stage.columns.len()).rev() {
            if stage.columns[column] == 1 {
                stage.columns.remove(column);
                accesses(stage).for_each(|access| {
                    access.columns.remove(column);
                });
            }
        }
    }
}

fn merge_rows(nest: &mut Nest) {
    for outer in (0..nest.rows.len().saturating_sub(1)).rev() {
        let size = nest.rows[outer + 1];
        let merges = |access: &mut Access| goes_on(&access.rows, outer, size);
        if nest.stages.iter_mut().flat_map(accesses).all(merges) {
            nest.rows[outer] *= size;
            nest.rows.remove(outer + 1);
            nest.stages.iter_mut().flat_map(accesses).for_each(|access| {
                access.rows.remove(outer);
            });
        }
    }
}

fn merge_columns(stage: &mut Stage) {
    for outer in (0..stage.columns.len().saturating_sub(1)).rev() {
        let size = stage.columns[outer + 1];
        // Of the last two, column c of the one goes on in the lanes of the other.
        let is_last = outer + 2 == stage.columns.len();
        let folds = |reduce: &Reduce| reduce.folds_columns(&stage.columns);
        let keeps_lanes = |reduce: &Reduce| !folds(reduce) || size.is_multiple_of(reduce.lanes);
        let can = !is_last || stage.reduces.iter().all(keeps_lanes);
        if can && accesses(stage).all(|access| goes_on(&access.columns, outer, size)) {
            stage.columns[outer] *= size;
            stage.columns.remove(outer + 1);
            accesses(stage).for_each(|access| {
                access.columns.remove(outer);
            });
        }
    }
}

/// Whether loop `outer` goes on where the next one, of this size, ends.
fn goes_on(strides: &[isize], outer: usize, size: usize) -> bool {
    strides[outer + 1].checked_mul(size as isize) == Some(strides[outer])
}

/// Makes a row loop the column loop of a nest that has only rows: the last, unless another is much longer.
fn choose_column(nest: &mut Nest) {
    /// A loop that is long enough.
    const LONG: usize = 64;
    let Some(last) = nest.rows.len().checked_sub(1) else { return };
    let longest = (0..=last).max_by_key(|&row| nest.rows[row]).unwrap_or(last);
    let is_short = nest.rows[last] < LONG && nest.rows[longest] >= 2 * nest.rows[last];
    let chosen = if is_short { longest } else { last };
    let size = nest.rows.remove(chosen);
    nest.stages[0].columns.push(size);
    accesses(&mut nest.stages[0]).for_each(|access| {
        let stride = access.rows.remove(chosen);
        access.columns.push(stride);
    });
}

/// The loop that blocks should run along: the columns, unless they are few and rows many and any order
/// that a fold has stays.
pub(super) fn along(nest: &Nest) -> Along {
    /// A run of columns that is worth a block.
    const FEW: usize = 32;
    /// Elements of locals that, as blocks of rows, stay near.
    const LOCALS: usize = 128;
    let Some((&rows, _)) = nest.rows.split_last() else { return Along::Columns };
    let last_columns = nest.stages.iter().map(|stage| stage.columns.last().copied().unwrap_or(1));
    let columns = last_columns.max().unwrap_or(1);
    let locals: usize = nest.locals.iter().map(|local| local.len).sum();
    let is_worth_it = columns < FEW && rows >= 2 * columns && locals <= LOCALS;
    let last = nest.rows.len() - 1;
    let reduces =
        || nest.stages.iter().flat_map(|stage| stage.reduces.iter().map(move |reduce| (stage, reduce)));
    let in_buffers = || reduces().filter(|(_, reduce)| matches!(reduce.into.place, Place::Buffer(_)));
    let in_order = in_buffers().all(|(stage, reduce)| {
        let is_alone = reduces().filter(|(_, other)| other.into.place == reduce.into.place).count() == 1;
        let row_stride = reduce.into.rows[last];
        // What is folded over columns as well is folded row by row.
        let columns = stage.columns.iter().zip(&reduce.into.columns);
        let is_of_rows = columns.filter(|&(&size, _)| size > 1).all(|(_, &stride)| stride != 0);
        is_alone
            && (row_stride != 0 || is_of_rows)
            && nest.reads(reduce.into.place).all(|access| access.rows[last] == row_stride && row_stride != 0)
    });
    if is_worth_it && in_order { Along::Rows } else { Along::Columns }
}

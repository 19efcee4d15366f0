//! Sums over a row in which one column counts: computed in that column alone.
//!
//! ```text
//! for k in columns:                            v = code at column i, if there is one
//!   v = code at column k                       acc += v, or 0
//!   acc += v where k = i, else 0               for k in columns:
//!   ..                                           ..
//! ```
//!
//! The other columns add zeros, which change nothing. (A sum starts from +0, which −0 does not change either.) Where the
//! sum goes on over the rows of a block, it has as many partial results as before, by row and no longer by column.

use backprop_core::DType;
use backprop_core::ops::{Binary, Compare, Logic};

use crate::loops::{Access, Code, Fold, Instr, Nest, Place, Reduce, Reg, Stage};

/// A row of fewer columns takes less time than finding the one.
const LEAST_COLUMNS: usize = 256;

/// Rewrites such sums of a nest.
pub fn pick(nest: &mut Nest) {
    let written = written(nest);
    for mut stage in std::mem::take(&mut nest.stages) {
        let mut kept = Vec::new();
        for reduce in std::mem::take(&mut stage.reduces) {
            match picked(&stage, &reduce, &written) {
                // Before the stage: its stores may overwrite what it reads.
                Some(row) => nest.stages.push(row),
                None => kept.push(reduce),
            }
        }
        stage.reduces = kept;
        if !stage.stores.is_empty() || !stage.reduces.is_empty() {
            without_unused(&mut stage);
            nest.stages.push(stage);
        }
    }
}

/// The places that a nest stores to. What is looked up there might not be of the same row, for all that is known of an
/// index.
fn written(nest: &Nest) -> Vec<Place> {
    nest.stages.iter().flat_map(|stage| &stage.stores).map(|store| store.to.place).collect()
}

/// The stage on a whole row that does what a reduction does, if one column counts.
fn picked(stage: &Stage, reduce: &Reduce, written: &[Place]) -> Option<Stage> {
    let code = &stage.code;
    // Around the columns there may be a block of rows.
    let (&n_columns, rows) = stage.columns.split_last()?;
    if reduce.fold != Fold::Sum || n_columns < LEAST_COLUMNS || reduce.into.columns.last() != Some(&0) {
        return None;
    }
    let Instr::Select(condition, taken, other) = code.instrs[reduce.value as usize] else { return None };
    let Instr::Compare(Compare::Eq, a, b) = code.instrs[condition as usize] else { return None };
    if code.instrs[other as usize] != Instr::Literal(0) || !code.dtype(reduce.value).is_float() {
        return None;
    }
    let index = match (is_column(code, a), is_column(code, b)) {
        (true, false) => b,
        (false, true) => a,
        _ => return None,
    };
    let mut row = Picker { code, written, n_columns: n_columns as u64, row: Code::default(), found: None };
    let index = row.copy(index)?;
    let dtype = row.row.dtype(index);
    let [first, end] = [0, n_columns as u64].map(|bound| row.row.push(Instr::Literal(bound), dtype));
    let above = row.row.push(Instr::Compare(Compare::Ge, index, first), DType::Bool);
    let below = row.row.push(Instr::Compare(Compare::Lt, index, end), DType::Bool);
    let is_there = row.row.push(Instr::Logic(Logic::And, above, below), DType::Bool);
    let inside = row.row.push(Instr::Select(is_there, index, first), dtype);
    row.found = Some(row.row.push(Instr::Cast(inside), DType::I64));
    let value = row.copy(taken)?;
    let dtype = code.dtype(reduce.value);
    let zero = row.row.push(Instr::Literal(0), dtype);
    let value = row.row.push(Instr::Select(is_there, value, zero), dtype);
    let into = without_columns(&reduce.into);
    let lanes = if into.columns.last() == Some(&0) { reduce.lanes } else { 1 };
    let reduces = vec![Reduce { fold: Fold::Sum, value, into, lanes }];
    Some(Stage { columns: rows.into(), code: row.row, stores: Vec::new(), reduces })
}

/// An access of the rows of a block, where its columns start.
fn without_columns(access: &Access) -> Access {
    let (_, rows) = access.columns.split_last().expect("a stage with columns");
    Access { columns: rows.into(), ..access.clone() }
}

/// By how much the innermost loop moves an access.
fn column_stride(access: &Access) -> isize {
    *access.columns.last().expect("a stage with columns")
}

/// Whether a register is the column's number.
fn is_column(code: &Code, reg: Reg) -> bool {
    let count = match code.instrs[reg as usize] {
        Instr::Cast(x) if code.dtype(reg) == DType::I32 => x,
        _ => reg,
    };
    let Instr::Count(access) = code.instrs[count as usize] else { return false };
    let Access { offset, rows, columns, .. } = &code.accesses[access as usize];
    let Some((&last, block)) = columns.split_last() else { return false };
    *offset == 0 && rows.iter().chain(block).all(|&stride| stride == 0) && last == 1
}

/// Copies code of a column to where there is one column, or none yet.
struct Picker<'a> {
    code: &'a Code,
    written: &'a [Place],
    n_columns: u64,
    row: Code,
    /// The column; until it is known, what columns move cannot be copied.
    found: Option<Reg>,
}

impl Picker<'_> {
    /// The register of the copy; `None` where a copy might find a fault that the code does not.
    fn copy(&mut self, reg: Reg) -> Option<Reg> {
        let mut copies: Vec<Option<Reg>> = vec![None; reg as usize + 1];
        for at in needed(self.code, [reg]) {
            copies[at as usize] = Some(self.copy_one(at, &copies)?);
        }
        copies[reg as usize]
    }

    fn copy_one(&mut self, at: Reg, copies: &[Option<Reg>]) -> Option<Reg> {
        let dtype = self.code.dtype(at);
        let of = |reg: Reg| copies[reg as usize].expect("operands come first");
        let instr = match self.code.instrs[at as usize] {
            Instr::Load(access) => {
                let old = &self.code.accesses[access as usize];
                let access = self.row.access(without_columns(old));
                match (column_stride(old), old.place) {
                    (0, _) => Instr::Load(access),
                    (stride, Place::Buffer(_)) if !self.written.contains(&old.place) => {
                        let (index, stride) = (self.found?, stride as i64);
                        Instr::Gather { access, index, stride, bound: self.n_columns }
                    }
                    _ => return None,
                }
            }
            Instr::Count(access) => {
                let old = &self.code.accesses[access as usize];
                if column_stride(old) != 0 {
                    return None;
                }
                Instr::Count(self.row.access(without_columns(old)))
            }
            Instr::Gather { .. } | Instr::Product => return None,
            Instr::Binary(Binary::Div, ..) if dtype.is_int() => return None,
            instr => instr.map(of),
        };
        Some(self.row.push(instr, dtype))
    }
}

/// The registers that some need, in order, these included.
fn needed(code: &Code, wanted: impl IntoIterator<Item = Reg>) -> Vec<Reg> {
    let mut is_needed = vec![false; code.instrs.len()];
    wanted.into_iter().for_each(|reg| is_needed[reg as usize] = true);
    for at in (0..code.instrs.len()).rev() {
        if is_needed[at] {
            code.instrs[at].operands().iter().for_each(|&operand| is_needed[operand as usize] = true);
        }
    }
    (0..code.instrs.len() as Reg).filter(|&at| is_needed[at as usize]).collect()
}

/// Leaves out instructions whose results nothing needs, but for those that may find a fault.
fn without_unused(stage: &mut Stage) {
    let code = std::mem::take(&mut stage.code);
    let may_fault = |&at: &Reg| match code.instrs[at as usize] {
        Instr::Gather { .. } => true,
        Instr::Binary(Binary::Div, ..) => code.dtype(at).is_int(),
        _ => false,
    };
    let faulting = (0..code.instrs.len() as Reg).filter(may_fault);
    let written = stage.stores.iter().map(|store| store.value);
    let written = written.chain(stage.reduces.iter().map(|reduce| reduce.value));
    let mut moved = vec![Reg::MAX; code.instrs.len()];
    for at in needed(&code, written.chain(faulting)) {
        let instr = match code.instrs[at as usize].map(|reg| moved[reg as usize]) {
            Instr::Load(access) => Instr::Load(stage.code.access(code.accesses[access as usize].clone())),
            Instr::Count(access) => Instr::Count(stage.code.access(code.accesses[access as usize].clone())),
            Instr::Gather { access, index, stride, bound } => {
                let access = stage.code.access(code.accesses[access as usize].clone());
                Instr::Gather { access, index, stride, bound }
            }
            instr => instr,
        };
        moved[at as usize] = stage.code.push(instr, code.dtype(at));
    }
    stage.stores.iter_mut().for_each(|store| store.value = moved[store.value as usize]);
    stage.reduces.iter_mut().for_each(|reduce| reduce.value = moved[reduce.value as usize]);
}

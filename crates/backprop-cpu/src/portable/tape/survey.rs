//! What is known of scalar code before steps are made of it.

use backprop_opt::loops::{Access, Code, Instr, Reg, Stage};
use smallvec::SmallVec;

use super::builder::Builder;
use crate::portable::chain::LinkOp;
use crate::portable::place::{Moving, may_meet};

/// When a register is computed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Before the first row.
    Once,
    /// Before the blocks of a line.
    Line,
    /// For each block.
    Block,
}

/// Above this many instructions nothing is computed ahead of the blocks: what is ahead keeps its slot.
const LARGE: usize = 512;

/// For each register of a stage's code, what decides how it is computed.
pub(super) struct Survey<'a> {
    pub code: &'a Code,
    pub levels: Vec<Level>,
    /// The last instruction that reads it.
    pub last: Vec<Reg>,
    /// How many instructions read it; two more where it is stored or folded.
    pub readers: Vec<u32>,
    /// The access that it is computed right into.
    pub placed: Vec<Option<&'a Access>>,
    /// Whether its load must be a copy: it is stored or folded, and stores come before.
    pub copied: Vec<bool>,
    /// For a choice, the comparison that is computed with it; for that comparison, itself.
    compared: Vec<Option<Reg>>,
}

impl<'a> Survey<'a> {
    pub fn new(builder: &Builder, stage: &'a Stage) -> Survey<'a> {
        let code = &stage.code;
        let n = code.instrs.len();
        let values = || stage.stores.iter().map(|store| store.value);
        let written = || values().chain(stage.reduces.iter().map(|reduce| reduce.value));
        let mut survey = Survey {
            code,
            levels: Vec::with_capacity(n),
            last: (0..n as Reg).collect(),
            readers: vec![0; n],
            placed: vec![None; n],
            copied: vec![false; n],
            compared: vec![None; n],
        };
        if written().count() > 1 && !stage.stores.is_empty() {
            written().for_each(|value| survey.copied[value as usize] = true);
        }
        survey.find_levels(builder);
        survey.find_choices(written());
        for reg in 0..n as Reg {
            for operand in survey.operands(reg) {
                survey.last[operand as usize] = reg;
                survey.readers[operand as usize] += 1;
            }
        }
        for value in written() {
            survey.last[value as usize] = Reg::MAX;
            survey.readers[value as usize] += 2;
        }
        survey.find_placed(builder, stage);
        survey
    }

    /// Whether it is a comparison that is computed with the choice that reads it.
    pub fn is_in_choice(&self, reg: Reg) -> bool {
        self.compared[reg as usize] == Some(reg)
    }

    fn find_levels(&mut self, builder: &Builder) {
        let is_ahead = builder.repeats && self.code.instrs.len() <= LARGE;
        let line = if builder.extent > 1 { Level::Line } else { Level::Block };
        let of = |moving: &Moving, once: Level| match moving {
            moving if moving.is_fixed() => once,
            moving if moving.lane == 0 => line,
            _ => Level::Block,
        };
        for instr in &self.code.instrs {
            let access = |number: u32| builder.layout.number(&self.code.accesses[number as usize]);
            let level = match *instr {
                _ if !is_ahead => Level::Block,
                Instr::Literal(_) => Level::Once,
                Instr::Count(number) => of(&access(number), Level::Once),
                Instr::Load(number) => {
                    let access = &self.code.accesses[number as usize];
                    let moving = builder.layout.moving(access, 1);
                    of(&moving, if builder.loads_once { Level::Once } else { line })
                }
                Instr::Gather { .. } | Instr::Product => Level::Block,
                _ => {
                    let operands = instr.operands();
                    operands.iter().map(|&x| self.levels[x as usize]).max().unwrap_or(Level::Block)
                }
            };
            self.levels.push(level);
        }
    }

    /// Finds the choices among floats whose comparison, of such floats, nobody else reads.
    fn find_choices(&mut self, written: impl Iterator<Item = Reg>) {
        let mut readers = vec![0u32; self.code.instrs.len()];
        for instr in &self.code.instrs {
            instr.operands().iter().for_each(|&operand| readers[operand as usize] += 1);
        }
        written.for_each(|value| readers[value as usize] += 1);
        for (reg, instr) in self.code.instrs.iter().enumerate() {
            let (&Instr::Select(condition, ..), dtype) = (instr, self.code.dtypes[reg]) else { continue };
            let Instr::Compare(_, a, _) = self.code.instrs[condition as usize] else { continue };
            let both = [reg, condition as usize].iter().all(|&reg| self.levels[reg] == Level::Block);
            if both && dtype.is_float() && self.code.dtype(a) == dtype && readers[condition as usize] == 1 {
                self.compared[reg] = Some(condition);
                self.compared[condition as usize] = Some(condition);
            }
        }
    }

    /// Finds the registers that can be computed right where they are stored: neighbours, of memory that the
    /// stage does not read and that no other store meets.
    fn find_placed(&mut self, builder: &Builder, stage: &'a Stage) {
        let program = builder.layout.program;
        if builder.layout.width == 1 || stage.stores.len() > 16 || self.code.instrs.len() > LARGE {
            return;
        }
        let read: Vec<_> = (self.code.instrs.iter())
            .filter_map(|instr| match *instr {
                Instr::Load(access) | Instr::Gather { access, .. } => Some(access),
                _ => None,
            })
            .map(|access| self.code.accesses[access as usize].place)
            .collect();
        for (position, store) in stage.stores.iter().enumerate() {
            let value = store.value as usize;
            let size = self.code.dtype(store.value).size();
            let is_computed = !matches!(self.code.instrs[value], Instr::Load(_) | Instr::Product)
                && self.levels[value] == Level::Block
                && self.placed[value].is_none();
            let is_alone = read.iter().all(|&place| !may_meet(program, place, store.to.place))
                && (stage.stores.iter().enumerate())
                    .all(|(other, to)| other == position || !may_meet(program, to.to.place, store.to.place));
            if is_computed && is_alone && builder.layout.moving(&store.to, size).lane == size as isize {
                self.placed[value] = Some(&store.to);
            }
        }
    }

    /// The registers that an instruction reads, each once; a choice also those of its comparison.
    pub fn operands(&self, reg: Reg) -> SmallVec<[Reg; 4]> {
        let mut operands = self.slots_of(reg);
        operands.sort_unstable();
        operands.dedup();
        operands
    }

    /// The same in their places.
    pub fn slots_of(&self, reg: Reg) -> SmallVec<[Reg; 4]> {
        let operands = |reg: Reg| self.code.instrs[reg as usize].operands();
        match self.compared[reg as usize] {
            Some(comparison) if comparison == reg => SmallVec::new(),
            Some(comparison) => {
                operands(comparison).into_iter().chain(operands(reg).into_iter().skip(1)).collect()
            }
            None => operands(reg).into_iter().collect(),
        }
    }

    /// What an instruction is in a chain, if it may be in one.
    pub fn link(&self, reg: Reg) -> Option<LinkOp> {
        let is_float = self.code.dtype(reg).is_float();
        if !is_float || self.levels[reg as usize] != Level::Block {
            return None;
        }
        match (self.code.instrs[reg as usize], self.compared[reg as usize]) {
            (Instr::Binary(op, ..), _) => LinkOp::of(op),
            (Instr::Fma(..), _) => Some(LinkOp::Fma),
            (Instr::Select(..), Some(comparison)) => match self.code.instrs[comparison as usize] {
                Instr::Compare(op, ..) => Some(LinkOp::Choose(op)),
                _ => None,
            },
            _ => None,
        }
    }
}

//! The stage of a contraction as machine code: scalar code on a vector of products.

use backprop_core::DType;
use backprop_core::ops::{Binary, Compare, Logic, Unary};
use backprop_opt::loops::{self, Contraction, Instr, Reg};
use iced_x86::Register;
use smallvec::{SmallVec, smallvec};

use super::assembly::{Assembly, Lanes, Operation, UNORDERED};
use super::call;
use super::elsewhere::over_products;
use super::roles::{Roles, Spot};
use crate::native::Isa;
use crate::native::assembler::Mem;

/// Along which axis of the product the stage's vectors lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    /// The lanes: vectors are as the tile makes them.
    Lanes,
    /// The rows: the product is transposed first.
    Rows,
}

/// Something in memory that the stage names; each has a pointer of its own in the call.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub spot: Spot,
    /// Bytes from one row of vectors to the next.
    pub row_step: isize,
    /// Bytes from element to element of a vector: 0 or the size of one.
    pub step: isize,
}

/// The stage, and what it names.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub axis: Axis,
    pub slots: Vec<Slot>,
    instrs: Vec<Instr>,
    dtypes: Vec<DType>,
    /// For each load, its slot.
    loads: Vec<Option<usize>>,
    /// Value, slot, and whether it is watched.
    stores: Vec<(Reg, usize, bool)>,
    /// How often each value is read. Nobody reads comparisons that only select: they are a part of that.
    uses: Vec<usize>,
    /// The stage over products in memory, where it is left to a nest: then slots are its accesses, in order, and
    /// there is no code here.
    pub elsewhere: Option<loops::Stage>,
}

/// Where code on one vector of products stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site {
    /// The vector register of the product; free afterwards.
    pub product: usize,
    /// The rows and the elements that lie between the slots' pointers and the vector.
    pub row: usize,
    pub element: usize,
    pub lanes: Lanes,
}

/// Values that are the same at all sites, in registers: for each instruction, if it has one. Of `Neg`, `Abs`, `Not`
/// and `Reciprocal` it is the constant that they take.
pub(super) type Fixed = Vec<Option<usize>>;

/// Registers that are left when values are fixed.
const N_LEFT: usize = 6;

impl Stage {
    /// `None` if the stage does what no machine code is written for here.
    pub fn new(contraction: &Contraction, roles: &Roles, axis: Axis, isa: Isa) -> Option<Stage> {
        let code = &contraction.stage.code;
        let n_instrs = code.instrs.len();
        let mut stage = Stage {
            axis,
            slots: Vec::new(),
            instrs: code.instrs.clone(),
            dtypes: code.dtypes.clone(),
            loads: vec![None; n_instrs],
            stores: Vec::new(),
            uses: vec![0; n_instrs],
            elsewhere: None,
        };
        let is_fit = |dtype: DType| dtype == roles.dtype || dtype == DType::Bool;
        if !code.dtypes.iter().all(|&dtype| is_fit(dtype)) {
            return None;
        }
        for (store, spot) in contraction.stage.stores.iter().zip(&roles.stores) {
            let slot = stage.slot(spot, roles, isa)?;
            if stage.slots[slot].step == 0 {
                return None;
            }
            stage.stores.push((store.value, slot, store.watched && spot.dtype != DType::Bool));
            stage.uses[store.value as usize] += 1;
        }
        // Last first, so that what nobody reads counts as no reader.
        for position in (0..n_instrs).rev().filter(|&position| code.instrs[position] != Instr::Product) {
            if stage.uses[position] > 0 {
                for operand in stage.operands(position) {
                    stage.uses[operand as usize] += 1;
                }
                if let Instr::Load(number) = code.instrs[position] {
                    let slot = stage.slot(&roles.accesses[number as usize], roles, isa)?;
                    stage.loads[position] = Some(slot);
                }
                stage.has_code(position).then_some(())?;
            }
        }
        (stage.slots.len() <= call::N_POINTERS).then_some(stage)
    }

    /// A stage that is left to a nest, over products whose rows are `pitch` elements apart.
    pub fn elsewhere(contraction: &Contraction, roles: &Roles, pitch: usize) -> Option<Stage> {
        let spots: Vec<Spot> = roles.accesses.iter().chain(&roles.stores).cloned().collect();
        let elsewhere = Some(over_products(contraction, pitch, &spots)?);
        let slots: Vec<Slot> = spots.into_iter().map(|spot| Slot { spot, row_step: 0, step: 0 }).collect();
        let (instrs, dtypes, loads, stores, uses) = Default::default();
        let stage = Stage { axis: Axis::Lanes, slots, instrs, dtypes, loads, stores, uses, elsewhere };
        (stage.slots.len() <= call::N_POINTERS).then_some(stage)
    }

    /// Whether there is code for an instruction; its operands' types are known to fit.
    fn has_code(&self, position: usize) -> bool {
        match self.instrs[position] {
            // One truth value for all lanes would want an instruction of its own.
            Instr::Load(_) => {
                let slot = self.loads[position].expect("a load has a slot");
                self.dtypes[position] != DType::Bool || self.slots[slot].step != 0
            }
            Instr::Compare(_, x, _) => self.dtypes[x as usize] != DType::Bool,
            Instr::Binary(op, ..) => op != Binary::Pow,
            Instr::Unary(op, _) => {
                matches!(op, Unary::Neg | Unary::Abs | Unary::Sqrt | Unary::Square | Unary::Reciprocal)
            }
            Instr::Literal(_) | Instr::Product | Instr::Fma(..) | Instr::Select(..) | Instr::Logic(..) => {
                true
            }
            Instr::Gather { .. } | Instr::Count(_) | Instr::Cast(_) => false,
        }
    }

    /// The slot of a spot; `None` if its elements are neither neighbours nor one and the same.
    fn slot(&mut self, spot: &Spot, roles: &Roles, isa: Isa) -> Option<usize> {
        if let Some(known) = self.slots.iter().position(|slot| slot.spot == *spot) {
            return Some(known);
        }
        let (row, along, extent) = match self.axis {
            Axis::Lanes => (spot.row, spot.lane, roles.n_lanes),
            Axis::Rows => (spot.lane, spot.row, roles.n_rows),
        };
        // One element is a vector of one lane, wherever the next one would be.
        let along = if extent == 1 { 1 } else { along };
        let size = spot.dtype.size() as isize;
        if !(0..=1).contains(&along) || spot.dtype == DType::Bool && isa != Isa::Avx512 {
            return None;
        }
        let row_step = row.checked_mul(size)?;
        // Distances within a block of rows are parts of instructions.
        i32::try_from(row_step.checked_mul(call::MOST_ROWS as isize)?).ok()?;
        self.slots.push(Slot { spot: spot.clone(), row_step, step: along * size });
        Some(self.slots.len() - 1)
    }

    /// Whether some store is watched.
    pub fn is_watching(&self) -> bool {
        self.stores.iter().any(|&(_, _, watched)| watched)
    }

    /// The values that an instruction reads where it has code.
    fn operands(&self, position: usize) -> SmallVec<[Reg; 4]> {
        match self.instrs[position] {
            Instr::Select(condition, a, b) => match self.selecting(condition) {
                Some((_, x, y)) => smallvec![x, y, a, b],
                None => smallvec![condition, a, b],
            },
            instr => instr.operands().into_iter().collect(),
        }
    }

    /// The comparison of numbers that a value is, if all that it does is to select.
    fn selecting(&self, condition: Reg) -> Option<(Compare, Reg, Reg)> {
        let Instr::Compare(op, x, y) = self.instrs[condition as usize] else { return None };
        let selects = |instr: &Instr| match *instr {
            Instr::Select(c, a, b) if c == condition => a != condition && b != condition,
            _ => !instr.operands().contains(&condition),
        };
        let is_stored = self.stores.iter().any(|&(value, ..)| value == condition);
        let is_selecting = self.dtypes[x as usize] != DType::Bool && !is_stored;
        (is_selecting && self.instrs.iter().all(selects)).then_some((op, x, y))
    }

    /// The number that an instruction takes beside its operands.
    fn constant(&self, position: usize) -> Option<u64> {
        let is_wide = self.dtypes[position] == DType::F64;
        let sign = if is_wide { 1 << 63 } else { 1 << 31 };
        match self.instrs[position] {
            Instr::Literal(bits) if self.dtypes[position] == DType::Bool => Some(0u64.wrapping_sub(bits & 1)),
            Instr::Literal(bits) => Some(bits),
            Instr::Unary(Unary::Neg, _) => Some(sign),
            Instr::Unary(Unary::Abs, _) => Some(sign - 1),
            Instr::Unary(Unary::Reciprocal, _) if is_wide => Some(1f64.to_bits()),
            Instr::Unary(Unary::Reciprocal, _) => Some(1f32.to_bits().into()),
            Instr::Logic(Logic::Not, ..) => Some(u64::MAX),
            _ => None,
        }
    }

    /// Puts values that are the same at all sites into registers of the pool, as long as enough are left.
    pub fn fix(&self, a: &mut Assembly, pool: &mut Vec<usize>, pointers: &[Option<Register>]) -> Fixed {
        let mut fixed = vec![None; self.instrs.len()];
        for position in (0..self.instrs.len()).filter(|&position| self.uses[position] > 0) {
            if pool.len() <= N_LEFT {
                break;
            }
            let slot = self.loads[position];
            let slot = slot.filter(|&slot| (self.slots[slot].row_step, self.slots[slot].step) == (0, 0));
            if let Some(bits) = self.constant(position) {
                let to = pool.remove(0);
                a.constant(to, bits);
                fixed[position] = Some(to);
            } else if let Some(slot) = slot {
                let to = pool.remove(0);
                let at = self.pointer(a, slot, pointers);
                a.broadcast(to, Mem::at(at, 0));
                fixed[position] = Some(to);
            }
        }
        fixed
    }

    /// Code for one vector. Registers of `pool` are free, before and after; the product's joins them.
    /// `None` if there are too few.
    pub fn site(
        &self,
        a: &mut Assembly,
        site: Site,
        pool: &mut Vec<usize>,
        fixed: &Fixed,
        pointers: &[Option<Register>],
    ) -> Option<()> {
        let is_product = |reg: Reg| self.instrs[reg as usize] == Instr::Product;
        let is_value = |position: usize| {
            matches!(self.instrs[position], Instr::Literal(_) | Instr::Load(_)) && fixed[position].is_some()
        };
        let mut left = self.uses.clone();
        // The product may be named more than once.
        let mut products_left = 0;
        let mut held: Vec<Option<usize>> = vec![None; self.instrs.len()];
        for position in 0..self.instrs.len() {
            if is_product(position as Reg) {
                products_left += left[position];
                held[position] = Some(site.product);
            } else if is_value(position) {
                held[position] = fixed[position];
            }
        }
        if products_left == 0 {
            pool.push(site.product);
        }
        // Whether a value is read for the last time.
        let mut is_last = |reg: Reg| {
            let left = if is_product(reg) { &mut products_left } else { &mut left[reg as usize] };
            *left -= 1;
            *left == 0 && !is_value(reg as usize)
        };
        for position in 0..self.instrs.len() {
            if self.uses[position] == 0 || held[position].is_some() {
                continue;
            }
            let at = |reg: Reg| held[reg as usize].expect("a register is computed before it is read");
            let operands = self.operands(position);
            let dying: SmallVec<[usize; 4]> =
                operands.iter().filter(|&&operand| is_last(operand)).map(|&operand| at(operand)).collect();
            let to = match self.instrs[position] {
                // The sum is where the result will be, if nobody else wants it.
                Instr::Fma(x, y, z) if dying.contains(&at(z)) && at(x) != at(z) && at(y) != at(z) => at(z),
                _ => pool.pop()?,
            };
            let spare = pool.last().copied();
            if let Some(slot) = self.loads[position] {
                self.load(a, slot, to, site, pointers);
            } else {
                self.instruction(a, position, to, spare, &at, fixed[position])?;
            }
            pool.extend(dying.into_iter().filter(|&register| register != to));
            held[position] = Some(to);
        }
        for &(value, slot, watched) in &self.stores {
            let from = held[value as usize].expect("a stored register is computed");
            let to = self.address(a, slot, site, pointers);
            if self.slots[slot].spot.dtype == DType::Bool {
                a.store_bools(to, from, *pool.last()?, site.lanes);
            } else {
                a.store(to, from, site.lanes);
            }
            if watched {
                a.watch(from, *pool.last()?, site.lanes, call::NOT_FINITE);
            }
            if is_last(value) {
                pool.push(from);
            }
        }
        Some(())
    }

    /// The register that points to a slot; RAX, overwritten, where there is none.
    fn pointer(&self, a: &mut Assembly, slot: usize, pointers: &[Option<Register>]) -> Register {
        pointers[slot].unwrap_or_else(|| {
            a.load_word(Register::RAX, call::pointer(slot));
            Register::RAX
        })
    }

    /// Where a slot's elements are, for a vector.
    fn address(&self, a: &mut Assembly, slot: usize, site: Site, pointers: &[Option<Register>]) -> Mem {
        let base = self.pointer(a, slot, pointers);
        let Slot { row_step, step, .. } = self.slots[slot];
        let distance = site.row as isize * row_step + site.element as isize * step;
        Mem::at(base, i32::try_from(distance).expect("distances within a block were checked"))
    }

    fn load(&self, a: &mut Assembly, slot: usize, to: usize, site: Site, pointers: &[Option<Register>]) {
        let from = self.address(a, slot, site, pointers);
        match (self.slots[slot].step, self.slots[slot].spot.dtype) {
            (0, _) => a.broadcast(to, from),
            (_, DType::Bool) => a.load_bools(to, from, site.lanes),
            _ => a.load(to, from, site.lanes),
        }
    }

    /// An instruction that reads registers only, and perhaps a constant, which may be in a register.
    fn instruction(
        &self,
        a: &mut Assembly,
        position: usize,
        to: usize,
        spare: Option<usize>,
        at: &impl Fn(Reg) -> usize,
        constant: Option<usize>,
    ) -> Option<()> {
        let constant = constant.unwrap_or_else(|| {
            if let Some(bits) = self.constant(position) {
                a.constant(to, bits);
            }
            to
        });
        match self.instrs[position] {
            Instr::Literal(_) => {}
            Instr::Unary(Unary::Neg, x) => a.operate(Operation::Xor, to, constant, at(x)),
            Instr::Unary(Unary::Abs, x) => a.operate(Operation::And, to, constant, at(x)),
            Instr::Unary(Unary::Reciprocal, x) => a.operate(Operation::Div, to, constant, at(x)),
            Instr::Unary(Unary::Square, x) => a.operate(Operation::Mul, to, at(x), at(x)),
            Instr::Unary(Unary::Sqrt, x) => a.square_root(to, at(x)),
            Instr::Binary(Binary::Add, x, y) => a.operate(Operation::Add, to, at(x), at(y)),
            Instr::Binary(Binary::Sub, x, y) => a.operate(Operation::Sub, to, at(x), at(y)),
            Instr::Binary(Binary::Mul, x, y) => a.operate(Operation::Mul, to, at(x), at(y)),
            Instr::Binary(Binary::Div, x, y) => a.operate(Operation::Div, to, at(x), at(y)),
            Instr::Binary(op @ (Binary::Maximum | Binary::Minimum), x, y) => {
                // y if y > x, else x; and y where it is NaN.
                let which = if op == Binary::Maximum { Operation::Max } else { Operation::Min };
                a.operate(which, to, at(y), at(x));
                if !self.is_number(y) {
                    let mask = spare?;
                    a.compare(mask, at(y), at(y), UNORDERED);
                    a.select(to, mask, at(y), to);
                }
            }
            Instr::Fma(x, y, z) => {
                if to != at(z) {
                    a.copy_vector(to, at(z));
                }
                a.operate(Operation::Fma, to, at(x), at(y));
            }
            Instr::Compare(op, x, y) => a.compare(to, at(x), at(y), predicate(op)),
            Instr::Logic(Logic::And, x, y) => a.operate(Operation::And, to, at(x), at(y)),
            Instr::Logic(Logic::Or, x, y) => a.operate(Operation::Or, to, at(x), at(y)),
            Instr::Logic(Logic::Not, x, _) => a.operate(Operation::Xor, to, constant, at(x)),
            Instr::Select(condition, x, y) => match self.selecting(condition) {
                Some((op, left, right)) => {
                    a.compare_select(to, [at(left), at(right)], predicate(op), at(x), at(y));
                }
                None => a.select(to, at(condition), at(x), at(y)),
            },
            _ => unreachable!("{:?} was refused", self.instrs[position]),
        }
        Some(())
    }

    /// Whether a value is a literal, and no NaN.
    fn is_number(&self, reg: Reg) -> bool {
        match (self.instrs[reg as usize], self.dtypes[reg as usize]) {
            (Instr::Literal(bits), DType::F64) => !f64::from_bits(bits).is_nan(),
            (Instr::Literal(bits), _) => !f32::from_bits(bits as u32).is_nan(),
            _ => false,
        }
    }
}

/// The predicate of `vcmpps` for a comparison that is false, `≠` true, where an operand is NaN.
fn predicate(op: Compare) -> u8 {
    match op {
        Compare::Eq => 0x00,
        Compare::Ne => 0x04,
        Compare::Lt => 0x11,
        Compare::Le => 0x12,
        Compare::Gt => 0x1e,
        Compare::Ge => 0x1d,
    }
}

//! The stage of a contraction as machine code: scalar code on a vector of products.

use backprop_core::DType;
use backprop_core::ops::{Binary, Compare, Logic, Unary};
use backprop_opt::loops::{self, Contraction, Instr, Reg};
use iced_x86::Register;

use super::assembly::{Address, Assembly, Lanes, Operation, UNORDERED};
use super::call;
use super::elsewhere::over_products;
use super::roles::{Roles, Spot};
use crate::native::Isa;

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
    pub source: Source,
    /// Bytes from one row of vectors to the next.
    pub row_step: isize,
    /// Bytes from element to element of a vector: 0 or the size of one.
    pub step: isize,
    dtype: DType,
}

/// Where a slot's elements are.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Spot(Spot),
    /// A constant, by number.
    Constant(usize),
}

/// The stage, and what it names.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub axis: Axis,
    pub slots: Vec<Slot>,
    /// The bits of constants.
    pub constants: Vec<u64>,
    instrs: Vec<Instr>,
    dtypes: Vec<DType>,
    /// For each instruction that reads memory, its slot. (`Neg`, `Abs`, `Not`, `Reciprocal`: a constant.)
    reads: Vec<Option<usize>>,
    /// Value, slot, and whether it is watched.
    stores: Vec<(Reg, usize, bool)>,
    /// How often each value is read.
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

impl Stage {
    /// `None` if the stage does what no machine code is written for here.
    pub fn new(contraction: &Contraction, roles: &Roles, axis: Axis, isa: Isa) -> Option<Stage> {
        let code = &contraction.stage.code;
        let mut stage = Stage {
            axis,
            slots: Vec::new(),
            constants: Vec::new(),
            instrs: code.instrs.clone(),
            dtypes: code.dtypes.clone(),
            reads: Vec::new(),
            stores: Vec::new(),
            uses: vec![0; code.instrs.len()],
            elsewhere: None,
        };
        let is_fit = |dtype: DType| dtype == roles.dtype || dtype == DType::Bool;
        if !code.dtypes.iter().all(|&dtype| is_fit(dtype)) {
            return None;
        }
        for (store, spot) in contraction.stage.stores.iter().zip(&roles.stores) {
            let slot = stage.spot(spot, roles, isa)?;
            if stage.slots[slot].step == 0 {
                return None;
            }
            stage.stores.push((store.value, slot, store.watched && spot.dtype != DType::Bool));
            stage.uses[store.value as usize] += 1;
        }
        // Last first, so that what nobody reads counts as no reader.
        for position in (0..code.instrs.len()).rev() {
            if stage.uses[position] > 0 {
                for operand in code.instrs[position].operands() {
                    stage.uses[operand as usize] += 1;
                }
            }
        }
        for position in 0..code.instrs.len() {
            let read = match stage.uses[position] {
                0 => None,
                _ => stage.read(position, roles, isa)?,
            };
            stage.reads.push(read);
        }
        (stage.slots.len() <= call::N_POINTERS).then_some(stage)
    }

    /// A stage that is left to a nest, over products whose rows are `pitch` elements apart.
    pub fn elsewhere(contraction: &Contraction, roles: &Roles, pitch: usize) -> Option<Stage> {
        let spots: Vec<Spot> = roles.accesses.iter().chain(&roles.stores).cloned().collect();
        let slot = |spot: &Spot| Slot {
            source: Source::Spot(spot.clone()),
            row_step: 0,
            step: 0,
            dtype: spot.dtype,
        };
        let slots: Vec<Slot> = spots.iter().map(slot).collect();
        let elsewhere = Some(over_products(contraction, pitch, &spots)?);
        let stage = Stage {
            axis: Axis::Lanes,
            slots,
            constants: Vec::new(),
            instrs: Vec::new(),
            dtypes: Vec::new(),
            reads: Vec::new(),
            stores: Vec::new(),
            uses: Vec::new(),
            elsewhere,
        };
        (stage.slots.len() <= call::N_POINTERS).then_some(stage)
    }

    /// The slot that an instruction reads, if any; `None` if there is no code for the instruction.
    fn read(&mut self, position: usize, roles: &Roles, isa: Isa) -> Option<Option<usize>> {
        let dtype = self.dtypes[position];
        let is_wide = roles.dtype == DType::F64;
        let sign = if is_wide { 1 << 63 } else { 1 << 31 };
        let one = if is_wide { 1f64.to_bits() } else { 1f32.to_bits().into() };
        Some(match self.instrs[position] {
            Instr::Load(number) => {
                let slot = self.spot(&roles.accesses[number as usize], roles, isa)?;
                let is_whole = dtype != DType::Bool || self.slots[slot].step != 0;
                Some(is_whole.then_some(slot)?)
            }
            Instr::Literal(bits) if dtype == DType::Bool => Some(self.constant(0u64.wrapping_sub(bits & 1))),
            Instr::Literal(bits) => Some(self.constant(bits)),
            Instr::Unary(Unary::Neg, _) => Some(self.constant(sign)),
            Instr::Unary(Unary::Abs, _) => Some(self.constant(sign - 1)),
            Instr::Unary(Unary::Reciprocal, _) => Some(self.constant(one)),
            Instr::Logic(Logic::Not, _, _) => Some(self.constant(u64::MAX)),
            Instr::Compare(_, x, _) if self.dtypes[x as usize] == DType::Bool => return None,
            Instr::Product | Instr::Fma(..) | Instr::Compare(..) | Instr::Select(..) | Instr::Logic(..) => {
                None
            }
            Instr::Unary(Unary::Sqrt | Unary::Square, _) => None,
            Instr::Binary(op, ..) if op != Binary::Pow => None,
            _ => return None,
        })
    }

    /// The slot of a spot; `None` if its elements are neither neighbours nor one and the same.
    fn spot(&mut self, spot: &Spot, roles: &Roles, isa: Isa) -> Option<usize> {
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
        i32::try_from(row_step.checked_mul(call::MAX_BLOCK_ROWS as isize)?).ok()?;
        self.slots.push(Slot {
            source: Source::Spot(spot.clone()),
            row_step,
            step: along * size,
            dtype: spot.dtype,
        });
        Some(self.slots.len() - 1)
    }

    fn constant(&mut self, bits: u64) -> usize {
        let number = self.constants.iter().position(|&known| known == bits).unwrap_or_else(|| {
            self.constants.push(bits);
            self.constants.len() - 1
        });
        let known = |slot: &Slot| matches!(slot.source, Source::Constant(other) if other == number);
        self.slots.iter().position(known).unwrap_or_else(|| {
            let dtype = DType::F64;
            self.slots.push(Slot { source: Source::Constant(number), row_step: 0, step: 0, dtype });
            self.slots.len() - 1
        })
    }

    /// Whether some store is watched.
    pub fn is_watching(&self) -> bool {
        self.stores.iter().any(|&(_, _, watched)| watched)
    }

    /// Code for one vector. Registers of `pool` are free, before and after; the product's joins them.
    /// `None` if there are too few.
    pub fn site(
        &self,
        a: &mut Assembly,
        site: Site,
        pool: &mut Vec<usize>,
        pointers: &[Option<Register>],
    ) -> Option<()> {
        let mut left = self.uses.clone();
        let mut held: Vec<Option<usize>> = vec![None; self.instrs.len()];
        let n_products: usize = self.each_product().map(|position| left[position]).sum();
        let mut products_left = n_products;
        if n_products == 0 {
            pool.push(site.product);
        }
        for position in self.each_product() {
            held[position] = Some(site.product);
        }
        let is_product = |reg: Reg| self.instrs[reg as usize] == Instr::Product;
        for (position, &instr) in self.instrs.iter().enumerate() {
            if left[position] == 0 || instr == Instr::Product {
                continue;
            }
            let at = |reg: Reg| held[reg as usize].expect("a register is computed before it is read");
            // What this instruction reads for the last time.
            let mut dying = Vec::new();
            for operand in instr.operands() {
                left[operand as usize] -= 1;
                let rest = match is_product(operand) {
                    true => {
                        products_left -= 1;
                        products_left
                    }
                    false => left[operand as usize],
                };
                if rest == 0 {
                    dying.push(at(operand));
                }
            }
            let to = match instr {
                // The sum is where the result will be, if nobody else wants it.
                Instr::Fma(x, y, z) if dying.contains(&at(z)) && at(x) != at(z) && at(y) != at(z) => at(z),
                _ => pool.pop()?,
            };
            let spare = pool.last().copied();
            self.instruction(a, position, to, spare, &at, site, pointers)?;
            pool.extend(dying.into_iter().filter(|&register| register != to));
            held[position] = Some(to);
        }
        for &(value, slot, watched) in &self.stores {
            let from = held[value as usize].expect("a stored register is computed");
            let address = self.address(a, slot, site, pointers);
            if self.slots[slot].dtype == DType::Bool {
                a.store_bools(address, from, *pool.last()?, site.lanes);
            } else {
                a.store(address, from, site.lanes);
            }
            if watched {
                a.watch(from, *pool.last()?, site.lanes, call::NOT_FINITE);
            }
            left[value as usize] -= 1;
            let rest = match is_product(value) {
                true => {
                    products_left -= 1;
                    products_left
                }
                false => left[value as usize],
            };
            if rest == 0 {
                pool.push(from);
            }
        }
        Some(())
    }

    fn each_product(&self) -> impl Iterator<Item = usize> {
        (0..self.instrs.len()).filter(|&position| self.instrs[position] == Instr::Product)
    }

    /// Where a slot's elements are, for a vector. RAX is overwritten where the pointer has no register.
    fn address(&self, a: &mut Assembly, slot: usize, site: Site, pointers: &[Option<Register>]) -> Address {
        let base = pointers[slot].unwrap_or_else(|| {
            a.load_word(Register::RAX, call::pointer(slot));
            Register::RAX
        });
        let Slot { row_step, step, .. } = self.slots[slot];
        let distance = site.row as isize * row_step + site.element as isize * step;
        (base, i32::try_from(distance).expect("distances within a block were checked"))
    }

    fn instruction(
        &self,
        a: &mut Assembly,
        position: usize,
        to: usize,
        spare: Option<usize>,
        at: &impl Fn(Reg) -> usize,
        site: Site,
        pointers: &[Option<Register>],
    ) -> Option<()> {
        if let Some(slot) = self.reads[position] {
            let address = self.address(a, slot, site, pointers);
            let Slot { step, dtype, .. } = self.slots[slot];
            match (step, dtype) {
                (0, _) => a.broadcast(to, address),
                (_, DType::Bool) => a.load_bools(to, address, site.lanes),
                _ => a.load(to, address, site.lanes),
            }
        }
        match self.instrs[position] {
            Instr::Load(_) | Instr::Literal(_) => {}
            Instr::Unary(Unary::Neg, x) => a.operate(Operation::Xor, to, to, at(x)),
            Instr::Unary(Unary::Abs, x) => a.operate(Operation::And, to, to, at(x)),
            Instr::Unary(Unary::Reciprocal, x) => a.operate(Operation::Div, to, to, at(x)),
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
                let is_number = match self.instrs[y as usize] {
                    Instr::Literal(bits) if a.vectors.dtype == DType::F64 => !f64::from_bits(bits).is_nan(),
                    Instr::Literal(bits) => !f32::from_bits(bits as u32).is_nan(),
                    _ => false,
                };
                if !is_number {
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
            Instr::Logic(Logic::Not, x, _) => a.operate(Operation::Xor, to, to, at(x)),
            Instr::Select(c, x, y) => a.select(to, at(c), at(x), at(y)),
            _ => unreachable!("{:?} was refused", self.instrs[position]),
        }
        Some(())
    }
}

/// The predicate of `vcmpps` for a comparison that is false, `≠` true, where an operand is NaN.
fn predicate(op: Compare) -> u32 {
    match op {
        Compare::Eq => 0x00,
        Compare::Ne => 0x04,
        Compare::Lt => 0x11,
        Compare::Le => 0x12,
        Compare::Gt => 0x1e,
        Compare::Ge => 0x1d,
    }
}

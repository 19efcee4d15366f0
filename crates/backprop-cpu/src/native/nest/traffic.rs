//! Traffic with memory, of buffers that caches do not hold: stores past the caches, and what the next row reads
//! fetched while this one is computed.
//!
//! A store to a line that is in no cache fetches the line first. A nest that writes a large buffer and does
//! not read it has no use for that, and nobody finds the buffer in a cache afterwards: it is written past them, 16
//! bytes at a time, as rows seldom start where lines do, and the processor joins neighbours to lines. Such stores
//! keep what comes after them waiting, so a nest that computes for longer than lines take to come does not use them.

use backprop_core::DType;
use backprop_opt::loops::{BufferId, Home, Instr, Nest, Place, Program, Stage, Store};
use iced_x86::Code;

use super::body::Body;
use super::machine::{is_byte, vector_register};
use super::plan::{Plan, Pointer};
use super::registers::Register;
use crate::native::Isa;
use crate::native::assembler::{Masking, Mem, Operand};

/// A buffer of so many bytes leaves the caches before it is read again: half of what last-level caches hold now.
pub const LARGE: usize = 16 << 20;

/// Operations for each byte that is written, from which on lines come while others are computed.
const BUSY: u64 = 4;

/// What is written past the caches is written in parts of so many bytes, at multiples of as many.
pub const PART: usize = 16;

/// A row of more bytes than this is left to the processor, which fetches what follows on its own.
const LONGEST_ROW: usize = 32 << 10;

/// Whether a store goes past the caches, if its buffer starts at a multiple of [`PART`]. `large` is how many
/// bytes a buffer has for that.
pub fn is_streamed(program: &Program, nest: &Nest, store: &Store, pointer: &Pointer, large: usize) -> bool {
    let Place::Buffer(id) = store.to.place else { return false };
    let (buffer, unit) = (program.buffer(id), pointer.unit);
    let Some((last, outer)) = pointer.columns.split_last() else { return false };
    let in_parts = |stride: &isize| (stride * unit as isize).unsigned_abs().is_multiple_of(PART);
    buffer.bytes() >= large
        && !is_byte(buffer.dtype)
        && *last == 1
        && in_parts(&pointer.offset)
        && outer.iter().chain(&pointer.rows).all(in_parts)
        && !reads(program, nest, id)
}

/// Whether a nest computes so little that it waits for memory.
pub fn is_idle(program: &Program, nest: &Nest) -> bool {
    let bytes = |store: &Store| match store.to.place {
        Place::Buffer(id) => program.buffer(id).bytes() as u64,
        Place::Local(_) => 0,
    };
    let written: u64 = nest.stages.iter().flat_map(|stage| &stage.stores).map(bytes).sum();
    let product = |sizes: &[usize]| sizes.iter().map(|&size| size as u64).product::<u64>();
    let per_row: u64 = nest.stages.iter().map(|stage| product(&stage.columns) * stage.flops()).sum();
    product(&nest.rows) * per_row < BUSY * written
}

/// Whether a nest reads memory of a buffer.
fn reads(program: &Program, nest: &Nest, id: BufferId) -> bool {
    let span = |id: BufferId| match program.buffer(id).home {
        Home::Arena(start) => Some(start..start + program.buffer(id).bytes()),
        _ => None,
    };
    let meets = |other: BufferId| match (span(id), span(other)) {
        (Some(a), Some(b)) => a.start < b.end && b.start < a.end,
        _ => id == other,
    };
    let mut found =
        nest.accumulators.iter().any(|&(place, _)| matches!(place, Place::Buffer(id) if meets(id)));
    for Stage { code, .. } in &nest.stages {
        for instr in &code.instrs {
            if let Instr::Load(access) | Instr::Gather { access, .. } = *instr
                && let Place::Buffer(other) = code.accesses[access as usize].place
            {
                found |= meets(other);
            }
        }
    }
    found
}

/// For each stage, the pointers that it reads along a row of a large buffer, and how many bytes further on the next row
/// lies: a stage that computes much has time to fetch them. Each row is fetched once, by the stage of those
/// that read it that computes most.
pub fn fetches(program: &Program, nest: &Nest, plan: &Plan, large: usize) -> Vec<Vec<(u32, i32)>> {
    let mut fetches = vec![Vec::new(); plan.stages.len()];
    for (number, pointer) in plan.pointers.iter().enumerate() {
        let super::plan::Origin::Buffer(id) = pointer.origin else { continue };
        let readers = (0..plan.stages.len()).filter(|&stage| {
            let planned = &plan.stages[stage];
            planned.accesses.contains(&(number as u32)) && pointer.columns == [1]
        });
        let Some(stage) = readers.max_by_key(|&stage| nest.stages[stage].flops()) else { continue };
        let row = pointer.rows.last().map_or(0, |stride| stride * pointer.unit as isize);
        let is_next = row == (plan.stages[stage].columns[0] * pointer.unit) as isize;
        if is_next
            && plan.stages.len() > 1
            && row as usize <= LONGEST_ROW
            && program.buffer(id).bytes() >= large
        {
            fetches[stage].push((number as u32, row as i32));
        }
    }
    fetches
}

impl Body<'_> {
    /// Fetches what lies so many bytes further on.
    pub(super) fn fetch(&mut self, mem: Mem, ahead: i32) {
        self.put(Code::Prefetcht0_m8, &[Operand::Mem(mem.plus(ahead))]);
    }

    /// Writes `bytes` bytes of a register past the caches, a multiple of [`PART`].
    pub(super) fn stream(&mut self, from: Register, mem: Mem, bytes: usize) {
        let is_avx512 = self.isa() == Isa::Avx512;
        let code = if is_avx512 { Code::EVEX_Vmovntps_m128_xmm } else { Code::VEX_Vmovntps_m128_xmm };
        let part = if bytes > PART { self.take(false) } else { from };
        for number in 0..bytes / PART {
            let source = if number == 0 { from } else { part };
            let source = Operand::Reg(vector_register(source, PART));
            if number > 0 {
                let whole = Operand::Reg(vector_register(from, bytes));
                let extract = match (is_avx512, bytes) {
                    (true, 64) => Code::EVEX_Vextracti32x4_xmmm128_k1z_zmm_imm8,
                    (true, _) => Code::EVEX_Vextracti32x4_xmmm128_k1z_ymm_imm8,
                    (false, _) => Code::VEX_Vextracti128_xmmm128_ymm_imm8,
                };
                self.put(extract, &[source, whole, Operand::Imm8(number as u8)]);
            }
            let to = Operand::Mem(mem.plus((number * PART) as i32));
            self.machine.asm.put_masked(code, &[to, source], Masking::All);
        }
    }

    /// Whether elements in use are whole parts of a store past the caches.
    pub(super) fn is_in_parts(&self, dtype: DType) -> bool {
        (self.at.n * dtype.size()).is_multiple_of(PART) && self.at.n.is_power_of_two()
    }
}

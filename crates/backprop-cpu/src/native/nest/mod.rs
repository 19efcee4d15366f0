//! Machine code for nests.
//!
//! ```text
//! Nest ─► plan        loops merged; accesses are pointers that loops move
//!      ─► translate   for each stage, scalar code as vector code (vector, cast)
//!      ─► stage       column loops, around
//!           written_out   few columns without a loop
//!           body      node by node (schedule, registers, values; access, bytes, gather, fold, rare)
//!      ─► assembler   (forms: the instructions)
//! ```
//!
//! ```text
//! for each unit:                       the row loops that `Nest::n_independent_rows` names,
//!     for each row:                    or blocks of columns where there are no rows
//!         for each stage: stage.rs
//! ```

mod access;
mod body;
mod bytes;
mod cast;
mod copies;
mod fold;
mod forms;
mod gather;
mod machine;
mod plan;
mod rare;
mod registers;
mod schedule;
mod stage;
mod traffic;
mod translate;
mod values;
mod vector;
mod written_out;

// Miri has no pages that nobody may touch.
#[cfg(all(test, unix, not(miri)))]
mod tests;

use std::ops::Range;

use backprop_core::DType;
use backprop_opt::loops::{Fold, Nest, Outcome, Place, Program};
use iced_x86::{Code, Register as Name};

use self::machine::{FRAME, Machine, frame};
use self::plan::{Origin, Plan};
use super::Isa;
use super::assembler::{Mem, Operand};
use super::memory::CodePages;
use crate::kernel::{Kernel, Routine};

/// Registers that a function of the System V ABI gives back as they were.
const SAVED: [Name; 6] = [Name::RBX, Name::RBP, Name::R12, Name::R13, Name::R14, Name::R15];

/// More row loops than this are left to others.
const MOST_UNIT_LOOPS: usize = 16;

/// The code of a nest, and how to call it.
pub struct NestKernel {
    pages: CodePages,
    frame_bytes: usize,
    /// Pointers into buffers, pointers into the frame, and numbers: where each starts.
    in_buffers: Vec<Start>,
    in_frame: Vec<Start>,
    numbers: Vec<Start>,
    /// For pointers that unit loops move: where they lie in the frame, and by how much each loop moves them.
    moved: Vec<(i32, Vec<isize>)>,
    /// The loops that are units: their sizes, and where the frame counts them.
    unit_loops: Vec<(usize, i32)>,
    units: Units,
    accumulators: Vec<Accumulator>,
    /// Whether stores of words, and of doubles, are watched.
    is_watching: [bool; 2],
    /// The buffers that are written past the caches.
    streamed: Vec<usize>,
    /// The same without that, for buffers that start where it cannot be done.
    elsewhere: Option<Box<NestKernel>>,
    /// Whether there is anything to run.
    is_empty: bool,
}

/// Where a pointer starts.
struct Start {
    /// Its buffer, if it has one.
    buffer: u32,
    /// Where it lies in the frame.
    at: i32,
    /// In bytes, or a number.
    offset: isize,
}

/// How the work is cut.
enum Units {
    /// By row loops.
    Rows(usize),
    /// By blocks of so many columns, up to an end.
    Blocks { block: usize, end: usize },
}

/// A buffer that reductions add to.
struct Accumulator {
    buffer: usize,
    len: usize,
    dtype: DType,
    fold: Fold,
    /// For each reduction into it, the elements of one unit.
    of_unit: Vec<UnitElements>,
}

/// Elements that belong to a unit.
struct UnitElements {
    /// That of the first unit.
    first: isize,
    /// By how much each unit loop moves it.
    moves: Vec<isize>,
    /// Sizes and strides of the other loops.
    inner: Vec<(usize, isize)>,
}

impl NestKernel {
    /// The kernel of a nest; `None` where there is no code for it.
    pub fn new(program: &Program, nest: &Nest, isa: Isa) -> Option<NestKernel> {
        NestKernel::with_large(program, nest, isa, traffic::LARGE)
    }

    /// The same, where caches do not hold buffers from `large` bytes on.
    fn with_large(program: &Program, nest: &Nest, isa: Isa, large: usize) -> Option<NestKernel> {
        let streams_from = if traffic::is_idle(program, nest) { large } else { usize::MAX };
        let plan = Plan::new(program, nest, streams_from);
        let mut kernel = NestKernel::with_plan(program, nest, isa, plan, large)?;
        if !kernel.streamed.is_empty() {
            let plan = Plan::new(program, nest, usize::MAX);
            kernel.elsewhere = Some(Box::new(NestKernel::with_plan(program, nest, isa, plan, large)?));
        }
        Some(kernel)
    }

    fn with_plan(program: &Program, nest: &Nest, isa: Isa, plan: Plan, large: usize) -> Option<NestKernel> {
        if plan.n_unit_loops > MOST_UNIT_LOOPS {
            return None;
        }
        let mut machine = Machine::new(isa);
        let locals: Vec<i32> =
            nest.locals.iter().map(|local| machine.room((local.len * local.dtype.size()).max(16))).collect();
        for pointer in &plan.pointers {
            machine.add_pointer(pointer.clone());
        }
        let fetches = traffic::fetches(program, nest, &plan, large);
        let (unit_loops, n_looped) = put_code(&mut machine, &plan, nest, &locals, fetches)?;
        let units = match plan.stages.first() {
            Some(stage) if plan.is_in_blocks => {
                Units::Blocks { block: stage::block_of(stage, isa), end: n_looped }
            }
            _ => Units::Rows(plan.rows[..plan.n_unit_loops].iter().product()),
        };
        let is_empty = plan.rows.contains(&0);
        let (mut in_buffers, mut in_frame, mut numbers, mut moved) = (vec![], vec![], vec![], vec![]);
        for (pointer, at) in machine.pointers() {
            let unit = pointer.unit as isize;
            let offset = pointer.offset * unit;
            match pointer.origin {
                Origin::Buffer(buffer) => in_buffers.push(Start { buffer, at, offset }),
                Origin::Local(number) => {
                    let offset = offset + locals[number as usize] as isize;
                    in_frame.push(Start { buffer: 0, at, offset });
                }
                Origin::Number => numbers.push(Start { buffer: 0, at, offset }),
                Origin::Computed => {}
            }
            let strides = pointer.rows.iter().take(plan.n_unit_loops).map(|stride| stride * unit);
            let strides: Vec<isize> = strides.collect();
            if strides.iter().any(|&stride| stride != 0) {
                moved.push((at, strides));
            }
        }
        let watched = nest.stages.iter().flat_map(|stage| {
            let watched = stage.stores.iter().filter(|store| store.watched);
            watched.map(|store| stage.code.dtype(store.value)).filter(|dtype| dtype.is_float())
        });
        let watched: Vec<DType> = watched.collect();
        let is_watching = [DType::F32, DType::F64].map(|dtype| watched.contains(&dtype));
        let accumulators = nest.accumulators.iter().filter_map(|&(place, fold)| {
            let Place::Buffer(id) = place else { return None };
            Some(accumulator(program, nest, &plan, id, fold))
        });
        let accumulators = accumulators.collect();
        let streamed: Vec<usize> = plan.streamed_buffers().collect();
        let frame_bytes = machine.frame_bytes();
        let pages = CodePages::new(&machine.asm.finish()?)?;
        Some(NestKernel {
            pages,
            frame_bytes,
            in_buffers,
            in_frame,
            numbers,
            moved,
            unit_loops,
            units,
            accumulators,
            is_watching,
            streamed,
            elsewhere: None,
            is_empty,
        })
    }
}

fn accumulator(program: &Program, nest: &Nest, plan: &Plan, id: u32, fold: Fold) -> Accumulator {
    let buffer = program.buffer(id);
    let n = plan.n_unit_loops;
    let reduces = nest.stages.iter().flat_map(|stage| {
        let into = stage.reduces.iter().filter(|reduce| reduce.into.place == Place::Buffer(id));
        into.map(move |reduce| (reduce, &stage.columns))
    });
    let of_unit = reduces.map(|(reduce, columns)| {
        let rows = nest.rows.iter().copied().zip(reduce.into.rows.iter().copied()).skip(n);
        let columns = columns.iter().copied().zip(reduce.into.columns.iter().copied());
        let inner = rows.chain(columns).filter(|&(_, stride)| stride != 0).collect();
        UnitElements { first: reduce.into.offset, moves: reduce.into.rows[..n].to_vec(), inner }
    });
    Accumulator {
        buffer: id as usize,
        len: buffer.len,
        dtype: buffer.dtype,
        fold,
        of_unit: of_unit.collect(),
    }
}

/// Puts the whole function; the loops that are units, and how many columns the last stage's loop covers.
fn put_code(
    machine: &mut Machine,
    plan: &Plan,
    nest: &Nest,
    locals: &[i32],
    fetches: Vec<Vec<(u32, i32)>>,
) -> Option<(Vec<(usize, i32)>, usize)> {
    for register in SAVED {
        machine.put(Code::Push_r64, &[Operand::Reg(register)]);
    }
    // Aligned to 16 for calls, with the room that other systems' calls want.
    let stack = Operand::Reg(Name::RSP);
    machine.put(Code::Sub_rm64_imm32, &[stack, Operand::Imm32To64(40)]);
    machine.put(Code::Mov_r64_rm64, &[Operand::Reg(FRAME), Operand::Reg(Name::RDI)]);
    let next_unit = machine.asm.here();

    let inner = &plan.rows[plan.n_unit_loops..];
    let loops: Vec<_> = inner.iter().map(|&size| machine.open_loop(size)).collect();
    for &(place, fold) in &nest.accumulators {
        if let Place::Local(number) = place {
            let local = nest.locals[number as usize];
            fold::put_start(machine, locals[number as usize], local.len, local.dtype, fold);
        }
    }
    let mut n_looped = 0;
    for (planned, fetches) in plan.stages.iter().zip(fetches) {
        n_looped = stage::put_stage(machine, plan, planned, fetches)?;
    }
    for (position, open) in loops.into_iter().enumerate().rev() {
        let position = plan.n_unit_loops + position;
        machine.close_loop(open, |_, pointer| pointer.rows.get(position).copied().unwrap_or(0));
    }

    let unit_loops: Vec<(usize, i32)> =
        plan.rows[..plan.n_unit_loops].iter().map(|&size| (size, machine.room(8))).collect();
    let done = machine.asm.label();
    if !unit_loops.is_empty() {
        let left = Operand::Mem(Mem::at(FRAME, frame::UNITS_LEFT));
        machine.put(Code::Sub_rm64_imm32, &[left, Operand::Imm32To64(1)]);
        machine.asm.jump(Code::Je_rel32_64, done);
        for (position, &(size, counter)) in unit_loops.iter().enumerate().rev() {
            let bytes = |_, pointer: &plan::Pointer| {
                let stride = pointer.rows.get(position).copied().unwrap_or(0) as i64;
                stride.checked_mul(pointer.unit as i64)
            };
            machine.advance(bytes);
            let counter = Operand::Mem(Mem::at(FRAME, counter));
            machine.put(Code::Sub_rm64_imm32, &[counter, Operand::Imm32To64(1)]);
            machine.asm.jump(Code::Jne_rel32_64, next_unit);
            let Ok(count) = i32::try_from(size) else { return None };
            machine.put(Code::Mov_rm64_imm32, &[counter, Operand::Imm32To64(count)]);
            machine.advance(|number, pointer| bytes(number, pointer)?.checked_mul(-(size as i64)));
        }
        machine.asm.place(done);
    }
    if plan.streamed_buffers().next().is_some() {
        // What goes past the caches is seen in no order by other threads, until it is fenced.
        machine.put(Code::Sfence, &[]);
    }
    machine.put(Code::VEX_Vzeroupper, &[]);
    machine.put(Code::Add_rm64_imm32, &[stack, Operand::Imm32To64(40)]);
    for register in SAVED.into_iter().rev() {
        machine.put(Code::Pop_r64, &[Operand::Reg(register)]);
    }
    machine.put(Code::Retnq, &[]);
    Some((unit_loops, n_looped))
}

impl Kernel for NestKernel {
    fn n_units(&self) -> usize {
        match self.units {
            Units::Rows(n) => n.max(1),
            Units::Blocks { block, end } => end.div_ceil(block).max(1),
        }
    }

    fn scratch_bytes(&self) -> usize {
        self.frame_bytes.max(self.elsewhere.as_ref().map_or(0, |other| other.frame_bytes))
    }

    fn machine_code(&self) -> Vec<Routine<'_>> {
        let into = self.in_buffers.iter().map(|start| (start.at, format!("into buffer {}", start.buffer)));
        let pointers = into.chain(self.in_frame.iter().map(|start| (start.at, "into a local".to_string())));
        let loops = self.unit_loops.iter().map(|&(size, at)| (at, format!("rows left, of {size}")));
        let known = [
            (frame::UNITS_LEFT, "units left"),
            (frame::FIRST_COLUMN, "the first column"),
            (frame::END_COLUMN, "the end of the columns"),
            (frame::FAULT, "faults"),
            (frame::NOT_FINITE[0], "what is not finite"),
            (frame::NOT_FINITE[1], "what is not finite"),
        ];
        let known = known.into_iter().map(|(at, name)| (at, name.to_string()));
        vec![Routine {
            name: "nest".to_string(),
            code: self.pages.code(),
            constants: &self.pages.bytes()[self.pages.code().len()..],
            frame: FRAME,
            words: known.chain(loops).chain(pointers).collect(),
        }]
    }

    unsafe fn run(&self, bases: &[*mut u8], scratch: *mut u8, units: Range<usize>) -> Outcome {
        let is_aligned = |&buffer: &usize| (bases[buffer] as usize).is_multiple_of(traffic::PART);
        if let Some(elsewhere) = self.elsewhere.as_ref().filter(|_| !self.streamed.iter().all(is_aligned)) {
            // SAFETY: the caller's promise; the frame of either kernel fits into `scratch`.
            return unsafe { elsewhere.run(bases, scratch, units) };
        }
        let is_whole = units.start == 0 && units.end == self.n_units();
        for accumulator in &self.accumulators {
            // SAFETY: the caller's promise on `bases`; nobody else runs these units.
            unsafe {
                accumulator.start(bases[accumulator.buffer], is_whole, &self.unit_loops, units.clone())
            };
        }
        if self.is_empty || units.is_empty() {
            return Outcome::default();
        }
        let set = |at: i32, value: u64| {
            // SAFETY: `at` is an offset in the frame, a multiple of 8, and the frame fits into `scratch`.
            unsafe { scratch.offset(at as isize).cast::<u64>().write(value) }
        };
        set(frame::FAULT, 0);
        for (kind, _) in self.is_watching.iter().enumerate().filter(|(_, watches)| **watches) {
            (0..8).for_each(|word| set(frame::NOT_FINITE[kind] + 8 * word, 0));
        }
        match self.units {
            Units::Rows(_) => set(frame::UNITS_LEFT, units.len() as u64),
            Units::Blocks { block, end } => {
                set(frame::FIRST_COLUMN, (units.start * block).min(end) as u64);
                set(frame::END_COLUMN, (units.end * block).min(end) as u64);
            }
        }
        for &Start { buffer, at, offset } in &self.in_buffers {
            set(at, bases[buffer as usize].wrapping_offset(offset) as u64);
        }
        for &Start { at, offset, .. } in &self.in_frame {
            set(at, scratch.wrapping_offset(offset) as u64);
        }
        for &Start { at, offset, .. } in &self.numbers {
            set(at, offset as u64);
        }
        self.unit_loops.iter().for_each(|&(size, counter)| set(counter, size as u64));
        if units.start > 0 {
            // Where the unit loops stand at the first unit.
            let mut at = [0isize; MOST_UNIT_LOOPS];
            let mut rest = units.start;
            for (position, &(size, counter)) in self.unit_loops.iter().enumerate().rev() {
                set(counter, (size - rest % size) as u64);
                at[position] = (rest % size) as isize;
                rest /= size;
            }
            for (home, strides) in &self.moved {
                let moved: isize = strides.iter().zip(at).map(|(stride, at)| stride * at).sum();
                // SAFETY: as for `set`, which has written it.
                unsafe {
                    let home = scratch.offset(*home as isize).cast::<isize>();
                    home.write(home.read().wrapping_add(moved));
                }
            }
        }
        // SAFETY: the code is a function of this type. It reads and writes the frame, and the elements that
        // the nest names, all within their buffers as the program was verified.
        unsafe {
            let code: unsafe extern "sysv64" fn(*mut u8) = std::mem::transmute(self.pages.start());
            code(scratch);
        }
        let told = |at: i32| {
            // SAFETY: as for `set`; the code, or `set`, has written it.
            unsafe { scratch.offset(at as isize).cast::<u64>().read() }
        };
        let [of_words, of_doubles] = self.is_watching;
        let words = |kind: usize| (0..8).map(move |word| told(frame::NOT_FINITE[kind] + 8 * word));
        // What was gathered is 0, or NaN: with an exponent of ones.
        let is_nan = |word: u64| [word, word >> 32].iter().any(|word| word & 0x7f80_0000 == 0x7f80_0000);
        Outcome {
            is_faulty: told(frame::FAULT) != 0,
            is_not_finite: of_words && words(0).fold(false, |found, word| found | is_nan(word))
                || of_doubles && words(1).any(|word| f64::from_bits(word).is_nan()),
        }
    }
}

impl Accumulator {
    /// Sets the elements of some units to the start of the fold; all elements, if these are all units.
    ///
    /// # Safety
    /// `base` points to the buffer's elements, and nobody else uses those of these units.
    unsafe fn start(&self, base: *mut u8, is_whole: bool, unit_loops: &[(usize, i32)], units: Range<usize>) {
        let bits = fold::start_bits(self.fold, self.dtype);
        let size = self.dtype.size();
        let write = |element: usize| {
            // SAFETY: the element lies in the buffer: it is below `len`.
            unsafe {
                match size {
                    8 => base.cast::<u64>().add(element).write(bits),
                    4 => base.cast::<u32>().add(element).write(bits as u32),
                    _ => base.add(element).write(bits as u8),
                }
            }
        };
        if is_whole {
            return (0..self.len).for_each(write);
        }
        for UnitElements { first: offset, moves, inner } in &self.of_unit {
            for unit in units.clone() {
                let mut rest = unit;
                let mut first = *offset;
                for (&(size, _), &stride) in unit_loops.iter().zip(moves).rev() {
                    first += stride * (rest % size) as isize;
                    rest /= size;
                }
                let count: usize = inner.iter().map(|&(size, _)| size).product();
                for number in 0..count {
                    let (mut rest, mut element) = (number, first);
                    for &(size, stride) in inner.iter().rev() {
                        element += stride * (rest % size) as isize;
                        rest /= size;
                    }
                    // Of loops without iterations, `Program::verify` does not ask where an access leads.
                    if (0..self.len as isize).contains(&element) {
                        write(element as usize);
                    }
                }
            }
        }
    }
}

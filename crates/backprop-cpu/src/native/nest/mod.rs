//! Machine code for nests.
//!
//! ```text
//! Nest ─► plan        loops merged; accesses are pointers that loops move
//!      ─► translate   for each stage, scalar code as vector code (vector, cast)
//!      ─► stage       column loops, around
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
mod fold;
mod forms;
mod gather;
mod machine;
mod plan;
mod rare;
mod registers;
mod schedule;
mod stage;
mod translate;
mod values;
mod vector;

#[cfg(all(test, unix))]
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
    /// For each pointer: where it starts, and where it lies in the frame.
    pointers: Vec<Start>,
    /// The loops that are units: their sizes, and where the frame counts them.
    unit_loops: Vec<(usize, i32)>,
    units: Units,
    accumulators: Vec<Accumulator>,
    /// Whether there is anything to run.
    is_empty: bool,
}

/// Where a pointer starts.
struct Start {
    /// A buffer, a place in the frame, or nothing.
    base: Base,
    /// In bytes, or a number.
    offset: isize,
    /// For each unit loop, by how much it is moved.
    strides: Vec<isize>,
    at: i32,
}

enum Base {
    Buffer(usize),
    Frame(isize),
    Nothing,
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
        let plan = Plan::new(program, nest);
        if plan.n_unit_loops > MOST_UNIT_LOOPS {
            return None;
        }
        let mut machine = Machine::new(isa);
        let locals: Vec<i32> =
            nest.locals.iter().map(|local| machine.room((local.len * local.dtype.size()).max(16))).collect();
        for pointer in &plan.pointers {
            machine.add_pointer(pointer.clone());
        }
        let unit_loops = put_code(&mut machine, &plan, nest, &locals)?;
        let units = match plan.stages.first() {
            Some(stage) if plan.is_in_blocks => {
                Units::Blocks { block: stage::block_of(stage, isa), end: stage::n_in_blocks(stage, isa) }
            }
            _ => Units::Rows(plan.rows[..plan.n_unit_loops].iter().product()),
        };
        let is_empty = plan.rows.contains(&0);
        let pointers = machine.pointers().map(|(pointer, at)| {
            let unit = pointer.unit as isize;
            let base = match pointer.origin {
                Origin::Buffer(id) => Base::Buffer(id as usize),
                Origin::Local(number) => Base::Frame(locals[number as usize] as isize),
                Origin::Number | Origin::Computed => Base::Nothing,
            };
            let strides = pointer.rows.iter().take(plan.n_unit_loops).map(|stride| stride * unit).collect();
            Start { base, offset: pointer.offset * unit, strides, at }
        });
        let pointers = pointers.collect();
        let accumulators = nest.accumulators.iter().filter_map(|&(place, fold)| {
            let Place::Buffer(id) = place else { return None };
            Some(accumulator(program, nest, &plan, id, fold))
        });
        let accumulators = accumulators.collect();
        let frame_bytes = machine.frame_bytes();
        let pages = CodePages::new(&machine.asm.finish()?)?;
        Some(NestKernel { pages, frame_bytes, pointers, unit_loops, units, accumulators, is_empty })
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

/// Puts the whole function; the loops that are units.
fn put_code(machine: &mut Machine, plan: &Plan, nest: &Nest, locals: &[i32]) -> Option<Vec<(usize, i32)>> {
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
    for planned in &plan.stages {
        stage::put_stage(machine, plan, planned)?;
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
    machine.put(Code::VEX_Vzeroupper, &[]);
    machine.put(Code::Add_rm64_imm32, &[stack, Operand::Imm32To64(40)]);
    for register in SAVED.into_iter().rev() {
        machine.put(Code::Pop_r64, &[Operand::Reg(register)]);
    }
    machine.put(Code::Retnq, &[]);
    Some(unit_loops)
}

impl Kernel for NestKernel {
    fn n_units(&self) -> usize {
        match self.units {
            Units::Rows(n) => n.max(1),
            Units::Blocks { block, end } => end.div_ceil(block).max(1),
        }
    }

    fn scratch_bytes(&self) -> usize {
        self.frame_bytes
    }

    fn machine_code(&self) -> Vec<Routine<'_>> {
        let pointers = self.pointers.iter().filter_map(|start| match start.base {
            Base::Buffer(id) => Some((start.at, format!("into buffer {id}"))),
            Base::Frame(_) => Some((start.at, "into a local".to_string())),
            Base::Nothing => None,
        });
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
        (0..16).for_each(|word| set(frame::NOT_FINITE[0] + 8 * word, 0));
        match self.units {
            Units::Rows(_) => set(frame::UNITS_LEFT, units.len() as u64),
            Units::Blocks { block, end } => {
                set(frame::FIRST_COLUMN, (units.start * block).min(end) as u64);
                set(frame::END_COLUMN, (units.end * block).min(end) as u64);
            }
        }
        // Where the unit loops stand at the first unit.
        let mut at = [0isize; MOST_UNIT_LOOPS];
        let mut rest = units.start;
        for (position, &(size, counter)) in self.unit_loops.iter().enumerate().rev() {
            set(counter, (size - rest % size) as u64);
            at[position] = (rest % size) as isize;
            rest /= size;
        }
        for Start { base, offset, strides, at: home } in &self.pointers {
            let start = match base {
                Base::Buffer(id) => bases[*id] as isize,
                Base::Frame(offset) => scratch as isize + offset,
                Base::Nothing => 0,
            };
            let moved: isize = strides.iter().zip(at).map(|(stride, at)| stride * at).sum();
            set(*home, (start.wrapping_add(*offset).wrapping_add(moved)) as u64);
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
        let words = (0..8).map(|word| told(frame::NOT_FINITE[0] + 8 * word));
        let is_nan =
            |word: u64| f32::from_bits(word as u32).is_nan() || f32::from_bits((word >> 32) as u32).is_nan();
        let mut doubles = (0..8).map(|word| told(frame::NOT_FINITE[1] + 8 * word));
        Outcome {
            is_faulty: told(frame::FAULT) != 0,
            is_not_finite: words.into_iter().any(is_nan) || doubles.any(|word| f64::from_bits(word).is_nan()),
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

//! What runs one step of a program: portable loops, or machine code.

use std::ops::Range;

use backprop_opt::loops::Outcome;
use iced_x86::Register;

/// A function of a kernel, in machine code.
#[derive(Clone, Debug)]
pub struct Routine<'a> {
    /// What it does.
    pub name: String,
    /// Its instructions.
    pub code: &'a [u8],
    /// What lies behind them: numbers that they read.
    pub constants: &'a [u8],
    /// The register that points to its frame.
    pub frame: Register,
    /// What words of the frame are: where they lie, in bytes from there.
    pub words: Vec<(i32, String)>,
}

/// A step of a program, made ready to run.
///
/// Its work is cut into units that do not meet: they may run in any order, on any threads, and give the
/// same bits. (A step whose iterations all meet, as in one sum, is one unit.)
pub trait Kernel: Send + Sync {
    /// The number of units, at least 1.
    fn n_units(&self) -> usize;

    /// The bytes that one call of [`Kernel::run`] may scribble on: locals, packed factors.
    fn scratch_bytes(&self) -> usize {
        0
    }

    /// The instructions, for people to see; none of portable loops.
    fn machine_code(&self) -> Vec<Routine<'_>> {
        Vec::new()
    }

    /// Runs some of the units.
    ///
    /// # Safety
    /// - The program has passed [`Program::verify`](backprop_opt::loops::Program::verify).
    /// - `bases[b]` points to the elements of buffer b, as many as the program says, aligned to their size,
    ///   valid for reads, and for writes where the program writes them. `bool`s hold 0 or 1.
    /// - Buffers overlap only where the program's plan lets them.
    /// - `scratch` is aligned to 64 bytes and valid for [`Kernel::scratch_bytes`]; no other call uses it
    ///   meanwhile.
    /// - `units` lies within the units, and no other call runs one of them meanwhile.
    unsafe fn run(&self, bases: &[*mut u8], scratch: *mut u8, units: Range<usize>) -> Outcome;
}

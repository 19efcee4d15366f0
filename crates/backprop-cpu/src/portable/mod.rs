//! Kernels in plain Rust: what every processor can run, and what machine code is compared with.
//!
//! ```text
//! loops        fewer and longer loops                         table      which block function is an instruction
//! place        where accesses lie                             functions  exp, tanh, ... of floats
//! tape         scalar code as steps on blocks of elements     memory     loads, stores, gathers
//! chain        floats from step to step in registers: vector  fold       reductions
//! nest         the loops around tapes                         block      one source for each instruction set
//! contraction  packing, tiles, and tapes on their rows
//! ```
//!
//! Every step runs on a block of up to 256 elements, in a loop that the compiler makes vector code of; what a
//! step costs besides is shared by the block.

mod block;
mod chain;
mod contraction;
mod fold;
mod functions;
mod loops;
mod memory;
mod nest;
mod place;
mod table;
mod tape;
mod vector;

use backprop_opt::loops::{Contraction, Nest, Program};

use crate::isa::Isa;
use crate::kernel::Kernel;

/// A kernel for a nest of `program`, which has passed [`Program::verify`].
pub fn nest(program: &Program, nest: &Nest, isa: Isa) -> Box<dyn Kernel> {
    Box::new(nest::nest(program, nest, isa))
}

/// A kernel for a contraction of `program`, which has passed [`Program::verify`].
pub fn contraction(program: &Program, contraction: &Contraction, isa: Isa) -> Box<dyn Kernel> {
    Box::new(contraction::contraction(program, contraction, isa))
}

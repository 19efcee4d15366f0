//! Running: at once on a [`Tape`], or a whole graph through an [`Executable`].

mod execute;
pub mod lecture;
mod tape;

pub use execute::{Executable, compile, compile_given, run};
pub use tape::Tape;

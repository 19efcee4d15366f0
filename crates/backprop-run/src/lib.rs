//! Running: at once on a [`Tape`], or a whole graph through an [`Executable`].

mod check;
mod execute;
pub mod lecture;
mod tape;

pub use check::{Against, Check, CheckError, Culprit, Entry, Report, Skipped, Wrong, check};
pub use execute::{Executable, compile, compile_given, run};
pub use tape::Tape;

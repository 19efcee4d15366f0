//! Running: at once on a [`Tape`], or a whole graph through an [`Executable`].

mod check;
mod execute;
mod tape;

pub use check::{Against, Check, CheckError, Culprit, Entry, Report, Skipped, Wrong, check};
pub use execute::{Executable, compile, run};
pub use tape::Tape;

//! Running: at once on a [`Tape`], or a whole graph through an [`Executable`].

mod bind;
mod check;
mod execute;
mod finite;
pub mod lecture;
mod tape;

pub use backprop_cpu::engine::{Engine, MAX_THREADS};
pub use bind::Bind;
pub use check::{Against, Check, CheckError, Culprit, Entry, Report, Skipped, Wrong, check};
pub use execute::{
    Applied, CompileOptions, Executable, Pass, Plan, StepProfile, compile, compile_given, run,
};
pub use finite::{first_not_finite, is_finite};
pub use tape::Tape;

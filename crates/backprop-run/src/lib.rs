//! Running: at once on a [`Tape`], or a whole graph through an [`Executable`].

mod execute;
pub mod lecture;
mod tape;

pub use execute::{Executable, compile, run};
pub use tape::Tape;

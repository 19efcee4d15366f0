//! Running: at once on a [`Tape`], or a whole graph through an [`Executable`].

mod bind;
mod execute;
mod finite;
mod tape;

pub use bind::Bind;
pub use execute::{Executable, compile, run};
pub use finite::{first_not_finite, is_finite};
pub use tape::Tape;

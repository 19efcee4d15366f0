//! The `backprop` command.
//!
//! ```text
//!   arguments ─▶ commands/NAME.rs ─▶ data on stdout, talk on stderr, exit code
//! ```
//!
//! Each file of `commands/` is one subcommand: its arguments, its help, what it does. Exit codes: 0 it
//! was done; 1 it was tried and failed (a missing file, a fault in a graph, a loss that is NaN); 2 it
//! cannot be done as asked (arguments, config).

mod allocations;
mod arrays;
mod commands;
mod config;
mod failure;
mod graph_file;
mod live;
mod network;
mod report;
mod run_dir;
mod samples;
mod suggest;
mod talk;
mod widen;

use std::process::ExitCode;

fn main() -> ExitCode {
    let matches = match commands::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            // Help and version go to stdout with code 0, usage errors to stderr with code 2.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match commands::run(&matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

//! Where words go: data to stdout, talk to stderr. Neither panics when nobody listens.

use std::fmt::Display;
use std::io::{self, Write};

use crate::failure::Failure;

/// Writes data to stdout, with a newline at its end.
pub fn print(data: impl Display) -> Result<(), Failure> {
    let mut text = data.to_string();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::stdout)
}

/// Says a line on stderr.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

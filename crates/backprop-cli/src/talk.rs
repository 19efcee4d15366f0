//! Where words go: data to stdout, talk to stderr. Neither panics when nobody listens.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

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

/// A line on stderr that the next one replaces, for terminals.
pub struct Live {
    on: bool,
    shown: bool,
}

impl Live {
    /// Live if stderr is a terminal.
    pub fn new() -> Live {
        Live { on: io::stderr().is_terminal(), shown: false }
    }

    /// Shows a line until the next; nothing where stderr is no terminal.
    pub fn show(&mut self, line: &str) {
        if self.on {
            // Carriage return, then erase to the end of the line (ECMA-48, EL).
            let _ = write!(io::stderr().lock(), "\r{line}\x1b[K");
            self.shown = true;
        }
    }

    /// Says a line that stays.
    pub fn say(&mut self, line: &str) {
        self.clear();
        say(line);
    }

    /// Takes the live line away.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.clear();
    }
}

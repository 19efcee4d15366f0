//! The line of the epoch that is under way: on a terminal it is rewritten in place.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Often enough to be alive, seldom enough to be read.
const PAUSE: Duration = Duration::from_millis(100);
/// To the start of the line, which is cleared; what is too long is cut, not wrapped.
const BEGIN: &str = "\r\x1b[K\x1b[?7l";
const END: &str = "\x1b[?7h";

/// A line on stderr that changes.
pub struct Live {
    state: Mutex<State>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// stderr is a file or a pipe: only whole lines are written.
    Plain,
    /// The last line is complete.
    Idle(Instant),
    /// An unfinished line stands there since then.
    Written(Instant),
}

impl Live {
    /// A line that changes only where stderr is a terminal that can move back.
    pub fn new() -> Live {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let state = match io::stderr().is_terminal() && !dumb {
            true => State::Idle(Instant::now()),
            false => State::Plain,
        };
        Live { state: Mutex::new(state) }
    }

    /// Shows a line for a while, if the last one has been seen long enough.
    pub fn show(&self, line: impl FnOnce() -> String) {
        let mut state = self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match *state {
            State::Idle(since) | State::Written(since) if since.elapsed() >= PAUSE => {
                let _ = write!(io::stderr().lock(), "{BEGIN}{}{END}", line());
                *state = State::Written(Instant::now());
            }
            _ => {}
        }
    }

    /// Writes a line that stays.
    pub fn end(&self, line: &str) {
        self.clear();
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// Takes an unfinished line away.
    fn clear(&self) {
        let mut state = self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let State::Written(_) = *state {
            let _ = write!(io::stderr().lock(), "{BEGIN}{END}");
            *state = State::Idle(Instant::now());
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.clear();
    }
}

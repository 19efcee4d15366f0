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

/// Says where a run has fewer threads than were asked for.
pub fn note_threads(wanted: usize, given: usize) {
    fewer_threads(wanted, given).into_iter().for_each(say);
}

fn fewer_threads(wanted: usize, given: usize) -> Option<String> {
    let of = || {
        format!("note: the system gave {given} of {wanted} threads; that changes the time, not the results")
    };
    (given < wanted).then(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_threads_than_asked_for_are_worth_a_note() {
        assert_eq!(fewer_threads(3, 3), None);
        let note = fewer_threads(7, 2).expect("five are missing");
        assert!(note.contains("2 of 7 threads"), "{note}");
    }
}

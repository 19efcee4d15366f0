//! What can be wrong with a file, in one line: which file, what, where, what to do.

use std::fmt;
use std::io;
use std::path::Path;

/// Why a file could not be read or written.
#[derive(Debug)]
#[non_exhaustive]
pub enum IoError {
    /// The operating system refused.
    System {
        /// The file.
        file: String,
        /// What was tried: `open`, `read`, `write`, ...
        doing: &'static str,
        /// Its answer.
        error: io::Error,
    },
    /// The bytes are not what the format demands.
    Malformed(Problem),
    /// The file may be right, but holds what this library does not.
    Unsupported(Problem),
    /// The caller asked for a file that cannot be.
    Refused(Problem),
}

/// A fault in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, or what stands for it where there is no path.
    pub file: String,
    /// Where in the file.
    pub place: Place,
    /// What is wrong.
    pub what: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// No place in particular.
    File,
    /// An offset in bytes from the start of the (decompressed) data.
    Byte(u64),
    /// A line and a field of that line, both counted from 1; field 0 is the whole line.
    Line(u64, u64),
    /// An array of the file, by name.
    Array(String),
}

/// What the file is called in errors when it is read from or written to a stream.
pub(crate) const STREAM: &str = "stream";

impl IoError {
    pub(crate) fn malformed(place: Place, what: impl Into<String>) -> IoError {
        IoError::Malformed(Problem::new(place, what.into(), ""))
    }

    pub(crate) fn unsupported(place: Place, what: impl Into<String>, hint: impl Into<String>) -> IoError {
        IoError::Unsupported(Problem::new(place, what.into(), hint))
    }

    pub(crate) fn refused(place: Place, what: impl Into<String>, hint: impl Into<String>) -> IoError {
        IoError::Refused(Problem::new(place, what.into(), hint))
    }

    /// The data ended at byte `at` although it should not have.
    pub(crate) fn truncated(at: u64, what: impl fmt::Display) -> IoError {
        let what = format!("the data ends before {what}");
        IoError::Malformed(Problem::new(Place::Byte(at), what, "the file is truncated: copy it again"))
    }

    pub(crate) fn system(doing: &'static str, error: io::Error) -> IoError {
        IoError::System { file: STREAM.to_string(), doing, error }
    }

    /// The same error about this file, if it did not know its file yet.
    pub(crate) fn in_file(mut self, path: &Path) -> IoError {
        let file = match &mut self {
            IoError::System { file, .. } => file,
            IoError::Malformed(problem) | IoError::Unsupported(problem) | IoError::Refused(problem) => {
                &mut problem.file
            }
        };
        if file == STREAM {
            *file = one_line(path.to_string_lossy().chars());
        }
        self
    }

    /// The same error about one array; an offset, counted from the start of `whole`, goes into the message.
    pub(crate) fn in_array(mut self, name: &str, whole: &str) -> IoError {
        if let IoError::Malformed(problem) | IoError::Unsupported(problem) | IoError::Refused(problem) =
            &mut self
        {
            if let Place::Byte(at) = problem.place {
                problem.what = format!("{} (byte {at} of {whole})", problem.what);
            }
            problem.place = Place::Array(printable(name));
        }
        self
    }
}

impl Problem {
    fn new(place: Place, what: String, hint: impl Into<String>) -> Problem {
        Problem { file: STREAM.to_string(), place, what, hint: hint.into() }
    }
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IoError::System { file, doing, error } => write!(f, "{file}: cannot {doing}: {error}"),
            IoError::Malformed(problem) | IoError::Unsupported(problem) | IoError::Refused(problem) => {
                problem.fmt(f)
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file)?;
        match &self.place {
            Place::File => {}
            Place::Byte(at) => write!(f, "byte {at}: ")?,
            Place::Line(line, 0) => write!(f, "line {line}: ")?,
            Place::Line(line, field) => write!(f, "line {line}, column {field}: ")?,
            Place::Array(name) => write!(f, "array \"{name}\": ")?,
        }
        f.write_str(&self.what)?;
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for IoError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            IoError::System { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// Foreign text for an error: one line, no control characters, at most 100 characters.
pub(crate) fn printable(text: &str) -> String {
    let mut out = one_line(text.chars().take(100));
    if text.chars().nth(100).is_some() {
        out.push_str("...");
    }
    out
}

/// Control characters as escapes.
fn one_line(text: impl Iterator<Item = char>) -> String {
    let mut out = String::new();
    for c in text {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

//! Where a value was made: the user's line, and the layer that it belongs to.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// A line of source: Rust code, or a graph file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// The caller's line in Rust code.
    Code(&'static Location<'static>),
    /// A line of a file; `file` indexes the names kept by the records.
    File {
        /// Which of the records' files.
        file: u32,
        /// The line, from 1.
        line: u32,
    },
}

/// The place of one node. [`Records::place`](super::Records::place) puts it into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The caller's line.
    pub line: Line,
    /// The layer: an index into the records' modules; 0 is "no layer".
    pub module: u32,
}

/// A layer that nodes belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// The path in its network, as `0.linear`; empty for what is no layer, but was made for the line
    /// `made_at`.
    pub path: Arc<str>,
    /// Where the layer was made.
    pub made_at: &'static Location<'static>,
}

/// A place in words: `src/model.rs:41`, with its layer where there is one.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PlaceText {
    /// `file:line`.
    pub line: String,
    /// Layer path, and the line where the layer was made.
    pub module: Option<(String, String)>,
}

impl PlaceText {
    /// The place of a line of Rust code, outside any layer.
    pub fn of_code(location: &Location<'_>) -> PlaceText {
        PlaceText { line: format!("{}:{}", location.file(), location.line()), module: None }
    }
}

impl fmt::Display for PlaceText {
    /// The nearest line of the user's own: inside a layer, that is where the layer was made.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.module {
            None => f.write_str(&self.line),
            Some((path, made_at)) => write!(f, "{made_at} (layer {path})"),
        }
    }
}

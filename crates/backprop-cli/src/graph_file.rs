//! Graphs from files: text, with large constants from an npz file that the user names.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use backprop_core::text::{Registry, parse};
use backprop_core::{Array, Graph, Tensor};
use backprop_io::npz;

use crate::failure::Failure;
use crate::suggest::suggest;

/// A graph and what it returns.
pub struct GraphFile {
    /// The graph.
    pub graph: Graph,
    /// What `return` names.
    pub outputs: Vec<(String, Tensor)>,
    /// The path, for messages.
    pub shown: String,
}

impl GraphFile {
    /// Reads a graph. Nothing but `path` and `constants` is opened.
    pub fn load(path: &Path, constants: Option<&Path>) -> Result<GraphFile, Failure> {
        let shown = path.display().to_string();
        let cannot = |why: String| Failure::failed(format!("{shown}: {why}"));
        let bytes = read(path).map_err(|error| cannot(format!("cannot read: {error}")))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            cannot(format!("byte {}: this is no text in UTF-8", error.utf8_error().valid_up_to()))
        })?;
        // Some editors begin a text with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let arrays: Vec<(String, Array)> = constants.map(npz::load).transpose()?.unwrap_or_default();
        let constant =
            |name: &str| arrays.iter().find(|(own, _)| own == name).map(|(_, array)| array.clone());
        let document = parse(text, &shown, &constant, &Registry::new()).map_err(Failure::failed)?;
        let graph = Graph::from_records(document.records);
        let outputs = document.outputs.into_iter().map(|(name, value)| (name, graph.tensor(value))).collect();
        Ok(GraphFile { graph, outputs, shown })
    }

    /// The value called `name`: an output, or any named value.
    pub fn value(&self, option: &str, name: &str) -> Result<Tensor, Failure> {
        let output = self.outputs.iter().find(|(own, _)| own == name).map(|&(_, value)| value);
        if let Some(value) = output.or_else(|| self.graph.get(name)) {
            return Ok(value);
        }
        let records = self.graph.records();
        let known =
            records.names().map(|(_, name)| &**name).chain(self.outputs.iter().map(|(n, _)| n.as_str()));
        let mut known: Vec<&str> = known.collect();
        let mut seen = std::collections::HashSet::new();
        known.retain(|name| seen.insert(*name));
        let hint = suggest(name, known);
        Err(Failure::usage(format!("{option}: {} has no value called `{name}`{hint}", self.shown)))
    }

    /// What the graph returns; without a `return`, that is an error.
    pub fn returned(&self) -> Result<Vec<Tensor>, Failure> {
        if self.outputs.is_empty() {
            return Err(Failure::failed(format!("{}: the graph returns nothing", self.shown)));
        }
        Ok(self.outputs.iter().map(|&(_, value)| value).collect())
    }
}

/// The whole of a file; of a pipe or a device, which may never end, only so much.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    if file.metadata()?.is_file() {
        file.read_to_end(&mut bytes)?;
    } else if file.take(MOST_PIPED).read_to_end(&mut bytes)? as u64 == MOST_PIPED {
        return Err(io::Error::other(format!("this is no file, and it goes on beyond {MOST_PIPED} bytes")));
    }
    Ok(bytes)
}

/// A graph of a million nodes.
const MOST_PIPED: u64 = 64 << 20;

/// Names a value that has no name, where the name is free: the user's own come first.
pub fn name_if_free(graph: &Graph, value: Tensor, name: &str) {
    if graph.get(name).is_none() && graph.records().name(value.id()).is_none() {
        value.named(name);
    }
}

//! A graph with arrays to run it on, as plain data.

use std::collections::HashMap;
use std::fmt::Write as _;

use backprop_core::graph::records::ValueId;
use backprop_core::text::print;
use backprop_core::{Array, Records};

/// So many elements of an array stand in a text.
const MOST_SHOWN: usize = 20;

/// A graph to run, and on what.
#[derive(Clone)]
pub struct Case {
    /// What it was made from.
    pub seed: u64,
    /// The highest order of derivative in it.
    pub order: usize,
    /// The graph.
    pub records: Records,
    /// What is computed.
    pub outputs: Vec<ValueId>,
    /// The inputs of each run: one set of sizes each.
    pub runs: Vec<Vec<(ValueId, Array)>>,
}

/// What a graph looks like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// Nodes, bodies aside.
    pub nodes: usize,
    /// Nodes on the longest path.
    pub depth: usize,
    /// Values that are read more than once.
    pub shared: usize,
    /// Whether a size is 0.
    pub has_empty: bool,
    /// Whether a size has a name.
    pub has_names: bool,
}

impl Case {
    /// What it looks like.
    pub fn facts(&self) -> Facts {
        let mut depths: HashMap<ValueId, usize> = HashMap::new();
        let mut readers: HashMap<ValueId, usize> = HashMap::new();
        let mut facts = Facts { nodes: self.records.n_nodes(), ..Facts::default() };
        for node in self.records.nodes() {
            let depth = 1 + node.inputs.iter().map(|input| depths[input]).max().unwrap_or(0);
            facts.depth = facts.depth.max(depth);
            node.inputs.iter().for_each(|input| *readers.entry(*input).or_default() += 1);
            for output in node.outputs() {
                depths.insert(output, depth);
                if let Some(ty) = self.records.ty(output) {
                    facts.has_empty |= ty.shape.iter().any(|dim| dim.size() == Some(0));
                    facts.has_names |= ty.shape.sizes().is_none();
                }
            }
        }
        facts.shared = readers.values().filter(|&&n| n > 1).count();
        facts
    }

    /// The graph and one run's inputs as text.
    pub fn text(&self, run: usize) -> String {
        let named: Vec<(String, ValueId)> =
            self.outputs.iter().enumerate().map(|(i, &output)| (format!("y{i}"), output)).collect();
        let printed = print(&self.records, &named);
        let mut text = printed.text;
        for (name, array) in &printed.constants {
            writeln!(text, "constant {name} = {:?} {:?}", array.sizes(), array.to_f64s()).expect("a string");
        }
        for (value, array) in &self.runs[run] {
            let label = self.records.label(*value);
            let (dtype, sizes, elements) = (array.dtype(), array.sizes(), array.to_f64s());
            let (shown, rest) = elements.split_at(elements.len().min(MOST_SHOWN));
            let rest = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
            writeln!(text, "{label}: {dtype}{sizes:?} = {shown:?}{rest}").expect("a string");
        }
        text
    }
}

//! A value as a formula, in the language of the expression: `dz/dw = (1 − y²)·x`.
//!
//! ```text
//! records ─ read, node by node ─▶ algebra (equal parts are one, simplified) ─▶ text
//! ```
//!
//! Values with names are written by their names. Ops that only move numbers into another shape
//! (broadcast, reshape by axes of size 1, identity) are left out. Between arrays `⊙` multiplies element
//! by element, `·` is the matrix product, and `ᵀ` swaps the last two axes; `Σ₀` sums over axis 0, `Σ`
//! over everything; `[c]` is 1 where c holds, else 0. What is large and used more than once gets a
//! letter, so the text is never longer than the graph. Simplifications hold for real numbers; how
//! rounding and infinities come out is up to the graph.

mod algebra;
mod ratio;
mod read;
mod shape;
mod sums;
mod text;

use std::collections::HashMap;

use crate::graph::records::{Records, ValueId};
use crate::graph::replay::needed;
use crate::tensor::Tensor;
use read::Reader;

impl Tensor {
    /// The value as a formula, after `name = ` if it has a name; the letters in it follow, one a line.
    /// An ill or stale value is `?`.
    ///
    /// ```
    /// use backprop_core::Graph;
    /// let g = Graph::new();
    /// let (w, x) = (g.input("w", "f64[]"), g.input("x", "f64[]"));
    /// let y = (w * x).tanh().named("y");
    /// assert_eq!(y.formula(), "y = tanh(w·x)");
    /// ```
    pub fn formula(self) -> String {
        let Some(emit) = self.context().get() else { return "?".to_string() };
        let records = emit.records().snapshot();
        let text = write(&records, self.id(), &|at| records.name(at).map(|name| name.to_string()));
        match records.name(self.id()) {
            Some(name) if **name != *text => format!("{name} = {text}"),
            _ => text,
        }
    }

    /// The formula alone, in which other values of the same graph or tape are called what `name` calls
    /// them by number; those without a name are written out.
    pub fn formula_with(self, name: &dyn Fn(ValueId) -> Option<String>) -> String {
        match self.context().get() {
            Some(emit) => write(&emit.records().snapshot(), self.id(), name),
            None => "?".to_string(),
        }
    }
}

fn write(records: &Records, value: ValueId, name: &dyn Fn(ValueId) -> Option<String>) -> String {
    let is_named = |at: ValueId| at != value && name(at).is_some();
    let mut reader = Reader {
        algebra: algebra::Algebra::new(),
        records,
        names: name,
        read: HashMap::new(),
        in_body: false,
    };
    for id in needed(records, &[value], is_named) {
        let node = records.node(id);
        for at in node.outputs().chain(node.inputs.iter().copied()) {
            reader.name(at);
        }
        reader.node(id, value);
    }
    let root = reader.read[&value].expr;
    let (mut text, definitions) = text::print(&reader.algebra, root);
    for (position, (letter, definition)) in definitions.iter().enumerate() {
        let lead = if position == 0 { "where" } else { "     " };
        text.push_str(&format!("\n  {lead} {letter} = {definition}"));
    }
    text
}

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
mod read;
mod text;

use std::collections::HashMap;

use crate::graph::records::{Records, ValueId};
use crate::graph::replay::needed;
use read::Reader;

/// The formula of `value`, after `name = ` if it has a name; the letters in it follow, one a line.
///
/// ```
/// use backprop_core::{Graph, formula};
/// let g = Graph::new();
/// let (w, x) = (g.input("w", "f64[]"), g.input("x", "f64[]"));
/// let y = (w * x).tanh().named("y");
/// assert_eq!(formula(&g.records(), y.id()), "y = tanh(w·x)");
/// ```
pub fn formula(records: &Records, value: ValueId) -> String {
    let is_named = |at: ValueId| at != value && records.name(at).is_some();
    let mut reader = Reader { algebra: algebra::Algebra::new(), records, read: HashMap::new() };
    for id in needed(records, &[value], is_named) {
        let node = records.node(id);
        for named in node.outputs().chain(node.inputs.iter().copied()) {
            reader.name(named);
        }
        reader.node(id, value);
    }
    let root = reader.read[&value].expr;
    let (text, definitions) = text::print(&reader.algebra, root);
    let mut whole = match records.name(value) {
        Some(name) if **name != *text => format!("{name} = {text}"),
        _ => text,
    };
    for (position, (letter, text)) in definitions.iter().enumerate() {
        let lead = if position == 0 { "where" } else { "     " };
        whole.push_str(&format!("\n  {lead} {letter} = {text}"));
    }
    whole
}

//! Graphs as text: to read, to keep in files, to write by hand.
//!
//! ```text
//! graph {
//!   x = input : f32[B, 784]
//!   w = input : f32[10, 784]
//!   %2 = transpose(w) {perm: [1, 0]} : f32[784, 10]
//!   y = contract(x, %2) {lhs_contract: [1], rhs_contract: [0]} : f32[B, 10]
//!   return y
//! }
//! ```
//!
//! [`print()`] writes any records, [`parse`] reads them back: the same nodes in the same order, under
//! the same names, with the same bits in every number. `docs/graph-format.md` holds the grammar.
//! Reading runs no code, opens no file, and allocates no more than the text itself holds.

mod error;
mod given;
mod lex;
mod literal;
mod parse;
mod print;
mod registry;
mod sugar;

pub use error::{Diagnostic, ParseError};
pub use given::Given;
pub(crate) use parse::is_dim_name;
pub use parse::parse;
pub use print::print;
pub use registry::{FromAttributes, Registry};

use crate::array::Array;
use crate::graph::records::{Records, ValueId};

/// What a text holds.
#[derive(Clone, Debug)]
pub struct Document {
    /// The operations.
    pub records: Records,
    /// What `return` names, in its order.
    pub outputs: Vec<(String, ValueId)>,
}

impl Document {
    /// The document as text; see [`print()`].
    pub fn print(&self) -> Printed {
        print(&self.records, &self.outputs)
    }
}

/// A graph as text.
#[derive(Clone, Debug)]
pub struct Printed {
    /// The text.
    pub text: String,
    /// The constants that are too large to stand in it, by the names that it has for them.
    pub constants: Vec<(String, Array)>,
}

/// Words that begin a line of their own; a value that is called so stands in quotes.
const KEYWORDS: [&str; 8] =
    ["graph", "return", "assume", "forward", "gradient", "no_grad", "body", "constant"];

/// Whether the name of a value may stand without quotes.
fn is_bare(name: &str) -> bool {
    is_plain(name) && !KEYWORDS.contains(&name)
}

/// Whether `name` is a word: letters, digits, `_` and `.`, with at least one letter or `_`.
fn is_plain(name: &str) -> bool {
    name.chars().all(lex::is_word) && name.chars().any(|c| c.is_alphabetic() || c == '_')
}

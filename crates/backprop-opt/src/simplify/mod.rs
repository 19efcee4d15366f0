//! Passes over graphs: the same values for less.
//!
//! ```text
//! Records + roots ──► sweep ──► Records + where each value went
//!                       │
//!                       │ first node first: each call is folded, rewritten by rows, merged, or added;
//!                       │ then what no root needs is left out
//! ```
//!
//! A rewrite is a [`Row`]: name, left, right and the licence that it needs (DESIGN.md, law 7). The text that a
//! row shows is the test that it passes. Operands are simplified before their readers, so one sweep is enough,
//! and its time is linear in the nodes.
//!
//! - **A named node is not merged with another named one, nor a random op or an input with anything.** A merged
//!   node keeps the lines of all ([`Simplified::origins`]).
//! - **A fault in data is neither lost, nor made, nor moved out of a `cond`**: what may fault is dropped only
//!   where nothing wanted depends on it.
//! - `identity` and `stop_gradient` mean nothing after differentiation, and vanish.

mod bind;
mod build;
mod check;
mod fold;
mod known;
mod narrow;
mod origins;
mod row;
mod rows;
mod sweep;

pub use bind::bind;
pub use check::{Broken, Replayed, check};
pub use row::{Licence, Row};
pub use rows::rows;

use backprop_core::{Error, NodeId, Records, ValueId};

use build::Rules;
use origins::Origins;

/// What a caller allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether rows may change how results round.
    pub rounding: Rounding,
    /// Whether rows may turn a non-finite or cancelled result into a better one.
    pub stability: Stability,
}

/// Whether rewriting keeps each bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Every result keeps its bits.
    Kept,
    /// Sums may be taken in another order, and `a·b + c` may round once: errors stay within their bounds.
    Bounded,
}

/// Whether `log(softmax x)` and the like may become the functions that do not lose digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// As it was written.
    AsWritten,
    /// Made stable where a row knows how.
    Improved,
}

impl Options {
    /// Every result keeps its bits.
    pub const EXACT: Options = Options { rounding: Rounding::Kept, stability: Stability::AsWritten };
    /// Results may round differently, within their bounds.
    pub const FAST: Options = Options { rounding: Rounding::Bounded, stability: Stability::AsWritten };

    /// Whether a row of this licence may be used.
    pub fn allows(self, licence: Licence) -> bool {
        match licence {
            Licence::Exact => true,
            Licence::Reassociate => self.rounding == Rounding::Bounded,
            Licence::Stabilise => self.stability == Stability::Improved,
        }
    }
}

/// A graph after a pass.
#[derive(Clone, Debug)]
pub struct Simplified {
    /// The operations.
    pub records: Records,
    /// Where the roots went, in the caller's order.
    pub roots: Vec<ValueId>,
    /// How often each row was used, bodies included, by name; `constants`, `equal calls` and `narrower control
    /// flow` are what is done without a row.
    pub applied: Vec<(&'static str, usize)>,
    values: Vec<ValueId>,
    origins: Origins,
}

/// Stands for a value that is no more.
const GONE: ValueId = ValueId::MAX;

impl Simplified {
    /// Where a value of the old records went; `None` where nothing needs it.
    pub fn value(&self, old: ValueId) -> Option<ValueId> {
        self.values.get(old as usize).copied().filter(|&new| new != GONE)
    }

    /// The old nodes that a node stands for, or was made for, each once and in order.
    pub fn origins(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        let olds = self.origins.of(node);
        olds.iter().enumerate().filter(|&(at, old)| at == 0 || olds[at - 1] != *old).map(|(_, &old)| old)
    }
}

/// The graph that computes `roots`, simplified. Every input stays, in its order; names of dimensions may
/// stay names, but more is known once they are numbers ([`bind`]).
///
/// # Errors
/// A root is ill: every fault that it depends on.
pub fn simplify(records: &Records, roots: &[ValueId], options: Options) -> Result<Simplified, Error> {
    sweep::sweep(records, roots, &Rules::new(rows::MAIN, options))
}

/// The graph that computes `roots` without `logsumexp`, `log_softmax`, `norm` and `one_hot`: they become
/// reductions and pointwise ops, with the special cases of their definitions, so that they are fused like
/// any others. To be called when sizes are numbers; what has named sizes stays.
///
/// # Errors
/// A root is ill: every fault that it depends on.
pub fn decompose(records: &Records, roots: &[ValueId]) -> Result<Simplified, Error> {
    sweep::sweep(records, roots, &Rules::new(&[rows::DECOMPOSED], Options::FAST))
}

impl Simplified {
    /// This pass and, on its result, another.
    pub fn then(self, next: Simplified) -> Simplified {
        let moved = |value: ValueId| if value == GONE { GONE } else { next.values[value as usize] };
        let values = self.values.iter().map(|&value| moved(value)).collect();
        let origins = self.origins.through(&next.origins, next.records.n_nodes());
        let mut applied = self.applied;
        for (name, count) in next.applied {
            match applied.iter_mut().find(|(own, _)| *own == name) {
                Some((_, own)) => *own += count,
                None => applied.push((name, count)),
            }
        }
        applied.sort_unstable();
        Simplified { records: next.records, roots: next.roots, applied, values, origins }
    }
}

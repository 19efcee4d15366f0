//! Ops by name: how each is built from what a text gives for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::nearest;
use super::given::Given;
use super::sugar;
use crate::ops::Op;

/// How an op is built from its attributes.
pub type FromAttributes = dyn Fn(&Given) -> Result<Op, String> + Send + Sync;

/// The ops that a text may name: those of this crate, and custom ones.
///
/// ```
/// use backprop_core::text::{Registry, parse};
/// let registry = Registry::new();
/// let text = "graph {\n  x = input : f32[B]\n  y = tanh(x)\n  return y\n}\n";
/// let document = parse(text, "tanh.graph", &|_| None, &registry)?;
/// assert_eq!(document.records.n_nodes(), 2);
/// # Ok::<(), backprop_core::text::ParseError>(())
/// ```
#[derive(Clone)]
pub struct Registry {
    ops: BTreeMap<String, Arc<FromAttributes>>,
}

impl Default for Registry {
    fn default() -> Registry {
        Registry::new()
    }
}

impl Registry {
    /// The ops of this crate.
    pub fn new() -> Registry {
        let mut registry = Registry { ops: BTreeMap::new() };
        for (name, build) in Op::texts() {
            registry.ops.insert(name.to_string(), Arc::new(move |given: &Given| build(name, given)));
        }
        registry
    }

    /// Adds a custom op: `from` builds it from what the text gives.
    ///
    /// # Errors
    /// An op or a shorthand of that name is known.
    pub fn add(
        &mut self,
        name: &str,
        from: impl Fn(&Given) -> Result<Op, String> + Send + Sync + 'static,
    ) -> Result<(), String> {
        if self.ops.contains_key(name) || sugar::find(name).is_some() {
            return Err(format!("there is an op called `{name}` already"));
        }
        self.ops.insert(name.to_string(), Arc::new(from));
        Ok(())
    }

    /// The names of all ops, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.ops.keys().map(String::as_str)
    }

    pub(super) fn get(&self, name: &str) -> Option<&FromAttributes> {
        self.ops.get(name).map(Arc::as_ref)
    }

    /// The known op or shorthand that `name` was probably meant to be.
    pub(super) fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.names().chain(sugar::SHORTHANDS.iter().map(|(name, _)| *name)))
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

//! Modules by path, so that a layer finds its parameters without putting strings together.

use std::collections::HashMap;
use std::sync::Arc;

/// A tree of module paths; number 0 is the root.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    modules: Vec<Module>,
}

#[derive(Clone, Debug)]
struct Module {
    path: Arc<str>,
    /// The modules inside, by their names.
    modules: HashMap<Arc<str>, usize>,
    /// The parameters directly inside, by their names, with their positions in the store.
    parameters: HashMap<Arc<str>, usize>,
}

impl Tree {
    pub fn new() -> Tree {
        Tree {
            modules: vec![Module { path: "".into(), modules: HashMap::new(), parameters: HashMap::new() }],
        }
    }

    /// Adds the parameter at `path`, which is the `position`-th of the store.
    pub fn insert(&mut self, path: &str, position: usize) {
        let (module, name) = match path.rsplit_once('.') {
            None => (0, path),
            Some((modules, name)) => (modules.split('.').fold(0, |at, name| self.made(at, name)), name),
        };
        self.modules[module].parameters.insert(name.into(), position);
    }

    /// The module called `name` in module `within`, if there is one.
    pub fn module(&self, within: usize, name: &str) -> Option<usize> {
        self.modules[within].modules.get(name).copied()
    }

    fn made(&mut self, within: usize, name: &str) -> usize {
        if let Some(known) = self.module(within, name) {
            return known;
        }
        let new = self.modules.len();
        let path = match &*self.modules[within].path {
            "" => name.into(),
            outer => format!("{outer}.{name}").into(),
        };
        self.modules.push(Module { path, modules: HashMap::new(), parameters: HashMap::new() });
        self.modules[within].modules.insert(name.into(), new);
        new
    }

    pub fn path(&self, module: usize) -> Arc<str> {
        self.modules[module].path.clone()
    }

    /// The position of the parameter called `name` in `module`.
    pub fn parameter(&self, module: usize, name: &str) -> Option<usize> {
        self.modules[module].parameters.get(name).copied()
    }

    /// The position of the parameter at `path`.
    pub fn find(&self, path: &str) -> Option<usize> {
        let (modules, name) =
            path.rsplit_once('.').map_or((None, path), |(modules, name)| (Some(modules), name));
        let mut module = 0;
        for inner in modules.into_iter().flat_map(|modules| modules.split('.')) {
            module = self.module(module, inner)?;
        }
        self.parameter(module, name)
    }
}

/// The name among `known` that `wanted` is most likely a misspelling of.
pub(crate) fn nearest<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let best = known.map(|known| (distance(wanted, known), known)).min_by_key(|&(distance, _)| distance)?;
    (best.0 <= wanted.chars().count().max(3) / 2).then_some(best.1)
}

/// Levenshtein's distance: insertions, deletions and replacements between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &b) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

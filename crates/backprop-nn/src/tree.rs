//! Modules by path, so that a layer finds its parameters without putting strings together.

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
    modules: Vec<(Arc<str>, usize)>,
    /// The parameters directly inside, by their names, with their positions in the store.
    parameters: Vec<(Arc<str>, usize)>,
}

impl Tree {
    pub fn new() -> Tree {
        Tree { modules: vec![Module { path: "".into(), modules: Vec::new(), parameters: Vec::new() }] }
    }

    /// Adds the parameter at `path`, which is the `position`-th of the store.
    pub fn insert(&mut self, path: &str, position: usize) {
        let (module, name) = match path.rsplit_once('.') {
            None => (0, path),
            Some((modules, name)) => (modules.split('.').fold(0, |at, name| self.module(at, name)), name),
        };
        self.modules[module].parameters.push((name.into(), position));
    }

    /// The module called `name` in module `within`, new or known.
    pub fn module(&mut self, within: usize, name: &str) -> usize {
        if let Some((_, known)) = self.modules[within].modules.iter().find(|(own, _)| **own == *name) {
            return *known;
        }
        let new = self.modules.len();
        let path = match &*self.modules[within].path {
            "" => name.into(),
            outer => format!("{outer}.{name}").into(),
        };
        self.modules.push(Module { path, modules: Vec::new(), parameters: Vec::new() });
        self.modules[within].modules.push((name.into(), new));
        new
    }

    pub fn path(&self, module: usize) -> Arc<str> {
        self.modules[module].path.clone()
    }

    /// The position of the parameter called `name` in `module`.
    pub fn parameter(&self, module: usize, name: &str) -> Option<usize> {
        let parameters = &self.modules[module].parameters;
        parameters.iter().find(|(own, _)| **own == *name).map(|&(_, position)| position)
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

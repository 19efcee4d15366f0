//! A list whose items are found by name.

use std::collections::HashMap;
use std::sync::Arc;

/// Something with a name of its own.
pub(crate) trait HasName {
    fn name(&self) -> &Arc<str>;
}

/// Items in the order in which they came, and where each name stands.
#[derive(Clone, Debug)]
pub(crate) struct Named<T> {
    items: Vec<T>,
    positions: HashMap<Arc<str>, usize>,
}

impl<T> Default for Named<T> {
    fn default() -> Named<T> {
        Named { items: Vec::new(), positions: HashMap::new() }
    }
}

impl<T: HasName> Named<T> {
    /// Adds an item of a new name; returns its position.
    pub fn push(&mut self, item: T) -> usize {
        self.positions.insert(item.name().clone(), self.items.len());
        self.items.push(item);
        self.items.len() - 1
    }

    pub fn position(&self, name: &str) -> Option<usize> {
        self.positions.get(name).copied()
    }

    /// As [`Named::position`]. A name that was shared with this list is mostly the same text in memory, and of a few
    /// that is found before one is hashed.
    pub fn position_of(&self, name: &Arc<str>) -> Option<usize> {
        const FEW: usize = 8;
        let few = &self.items[..self.items.len().min(FEW)];
        few.iter().position(|item| Arc::ptr_eq(item.name(), name)).or_else(|| self.position(name))
    }

    pub fn find(&self, name: &str) -> Option<&T> {
        self.position(name).map(|position| &self.items[position])
    }

    /// Puts the item in the place of the one of its name, or adds it; returns its position.
    pub fn put(&mut self, item: T) -> usize {
        match self.position(item.name()) {
            Some(position) => {
                self.items[position] = item;
                position
            }
            None => self.push(item),
        }
    }

    pub fn at_mut(&mut self, position: usize) -> &mut T {
        &mut self.items[position]
    }
}

impl<T> std::ops::Deref for Named<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

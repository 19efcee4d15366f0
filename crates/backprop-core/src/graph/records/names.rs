//! What values are called.

use std::sync::Arc;

use super::{Records, ValueId};

impl Records {
    /// The name that the user gave to `value`.
    pub fn name(&self, value: ValueId) -> Option<&Arc<str>> {
        self.names.get(&value)
    }

    /// The value called `name`.
    pub fn by_name(&self, name: &str) -> Option<ValueId> {
        self.by_name.get(name).copied()
    }

    /// Every name with its value, in the order of the values.
    pub fn names(&self) -> impl Iterator<Item = (ValueId, &Arc<str>)> {
        self.names.iter().map(|(&value, name)| (value, name))
    }

    /// What to call `value`: its name, or `%7`.
    pub fn label(&self, value: ValueId) -> String {
        self.name(value).map_or_else(|| format!("%{value}"), |name| name.to_string())
    }

    /// Calls `value` by `name`.
    ///
    /// # Errors
    /// Another value has that name already, or the value has another name.
    pub fn set_name(&mut self, value: ValueId, name: &str) -> Result<(), String> {
        if let Some(other) = self.by_name(name).filter(|&other| other != value) {
            if !self.lent.remove(&other) {
                return Err(format!("another value is called `{name}` already"));
            }
            self.names.remove(&other);
        }
        // A name that was only lent gives way.
        let is_lent = self.lent.remove(&value);
        match self.names.get(&value) {
            Some(own) if **own == *name => return Ok(()),
            Some(own) if !is_lent => return Err(format!("the value is called `{own}` already")),
            Some(own) => {
                self.by_name.remove(own);
            }
            None => {}
        }
        let name: Arc<str> = name.into();
        self.names.insert(value, name.clone());
        self.by_name.insert(name, value);
        Ok(())
    }

    /// Calls `value` by `name` where that is free, until another value is given the name: a parameter
    /// that stands for a value of the surroundings must not take a name from the user.
    pub fn lend_name(&mut self, value: ValueId, name: &str) {
        if self.by_name(name).is_none() && self.set_name(value, name).is_ok() {
            self.lent.insert(value);
        }
    }
}

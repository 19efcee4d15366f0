//! Where operations were called: files and modules by number.

use super::Records;
use crate::graph::place::{Line, Module, Place, PlaceText};

impl Records {
    /// The name of a file of [`Line::File`].
    pub fn file(&self, id: u32) -> Option<&str> {
        self.files.get(id as usize).map(|name| &**name)
    }

    /// The same place in these records' numbers, for a place of `from`.
    pub fn import_place(&mut self, from: &Records, place: Place) -> Place {
        let line = match place.line {
            Line::Code(_) => place.line,
            Line::File { file, line } => Line::File { file: self.add_file(&from.files[file as usize]), line },
        };
        let module = from.module(place.module).map_or(0, |module| self.add_module(module.clone()));
        Place { line, module }
    }

    /// A place in words.
    pub fn place(&self, place: Place) -> PlaceText {
        let line = match place.line {
            Line::Code(location) => format!("{}:{}", location.file(), location.line()),
            Line::File { file, line } => format!("{}:{line}", self.files[file as usize]),
        };
        match self.module(place.module) {
            None => PlaceText { line, module: None },
            Some(Module { path, made_at }) if path.is_empty() => PlaceText::of_code(made_at),
            Some(Module { path, made_at }) => {
                let made_at = format!("{}:{}", made_at.file(), made_at.line());
                PlaceText { line, module: Some((path.to_string(), made_at)) }
            }
        }
    }

    /// The module of a place; number 0 is none.
    pub fn module(&self, id: u32) -> Option<&Module> {
        self.modules.get((id as usize).checked_sub(1)?)
    }

    /// The number of a module, new or known.
    pub fn add_module(&mut self, module: Module) -> u32 {
        let known = self.modules.iter().rposition(|known| *known == module);
        let position = known.unwrap_or_else(|| {
            self.modules.push(module);
            self.modules.len() - 1
        });
        position as u32 + 1
    }

    /// The number of a file for [`Line::File`], new or known.
    pub fn add_file(&mut self, name: &str) -> u32 {
        let known = self.files.iter().position(|known| &**known == name);
        let position = known.unwrap_or_else(|| {
            self.files.push(name.into());
            self.files.len() - 1
        });
        position as u32
    }
}

//! The records of a context, shared by those who read them.

use std::cell::{Ref, RefCell, RefMut};
use std::sync::Arc;

use super::{Inputs, NodeId, Part, Records};
use crate::graph::place::Place;
use crate::ops::Op;

/// The records of a context. Whoever reads them gets a snapshot, which stays as it is: the next
/// operation copies them first if a snapshot is still held.
#[derive(Debug, Default)]
pub struct RecordsCell(RefCell<Arc<Records>>);

impl RecordsCell {
    /// A cell of these records.
    pub fn new(records: Records) -> RecordsCell {
        RecordsCell(RefCell::new(Arc::new(records)))
    }

    /// The records as they are now.
    pub fn snapshot(&self) -> Arc<Records> {
        self.0.borrow().clone()
    }

    /// Looks at the records; for code that calls no operation meanwhile.
    #[inline]
    pub fn borrow(&self) -> Ref<'_, Records> {
        Ref::map(self.0.borrow(), |records| &**records)
    }

    /// Changes the records; for code that calls no operation meanwhile.
    #[inline]
    pub fn borrow_mut(&self) -> RefMut<'_, Records> {
        RefMut::map(self.0.borrow_mut(), Arc::make_mut)
    }
}

impl RecordsCell {
    /// Records one operation; see [`Records::push`]. Nothing is borrowed while its rules are asked.
    pub fn push(&self, op: Op, inputs: Inputs, place: Place, part: Part) -> NodeId {
        let pending = self.snapshot().consider(op, inputs, place, part);
        self.borrow_mut().record(pending)
    }
}

//! When an item of a group is computed.
//!
//! ```text
//! time   −1    row items of what is outside
//!         0    full items; reductions over columns     (even: all columns of a row)
//!         1    row items of their results              (odd: once per row)
//!         2    full items of those ...
//! ```

/// A stage of a nest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(i32);

impl Time {
    /// Row items of what is outside.
    pub const BEFORE: Time = Time(-1);
    /// The first full items.
    pub const FIRST: Time = Time(0);

    /// Whether it is for all columns of a row.
    pub fn is_full(self) -> bool {
        self.0 % 2 == 0
    }

    /// The next stage, of the other kind.
    pub fn next(self) -> Time {
        Time(self.0 + 1)
    }

    /// The first stage from this one on that is for all columns.
    pub fn full(self) -> Time {
        if self.is_full() { self } else { self.next() }
    }
}

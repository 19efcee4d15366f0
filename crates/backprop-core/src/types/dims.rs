//! Lists of dimensions that are no shape: where a slice begins, how much padding.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use smallvec::SmallVec;

use super::{Dim, MapDim, Shape};
use crate::array::Sizes;

/// A list of numbers or dimensions, one for each axis. Unlike a [`Shape`] it is not interned: offsets
/// change from call to call, and each list is freed with its op.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Dims(Arc<SmallVec<[Dim; 4]>>);

impl Dims {
    /// The numbers, when all are.
    pub fn sizes(&self) -> Option<Sizes> {
        self.iter().map(|dim| dim.size()).collect()
    }

    /// The list with each dimension replaced; `None` where that changes nothing.
    ///
    /// # Errors
    /// Those of `map`.
    pub fn with_dims(&self, map: &MapDim) -> Result<Option<Dims>, String> {
        if self.iter().all(|dim| dim.size().is_some()) {
            return Ok(None);
        }
        let mapped: Dims = self.iter().map(|&dim| map(dim)).collect::<Result<_, _>>()?;
        Ok(Some(mapped).filter(|mapped| mapped != self))
    }
}

impl Deref for Dims {
    type Target = [Dim];
    fn deref(&self) -> &[Dim] {
        &self.0
    }
}

impl FromIterator<Dim> for Dims {
    fn from_iter<T: IntoIterator<Item = Dim>>(dims: T) -> Dims {
        Dims(Arc::new(dims.into_iter().collect()))
    }
}

impl fmt::Debug for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_list(self, f)
    }
}

/// `[B, 784]`.
pub(super) fn write_list(dims: &[Dim], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("[")?;
    for (axis, dim) in dims.iter().enumerate() {
        if axis > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{dim}")?;
    }
    f.write_str("]")
}

impl From<Shape> for Dims {
    fn from(shape: Shape) -> Dims {
        shape.iter().copied().collect()
    }
}

impl<const N: usize> From<[Dim; N]> for Dims {
    fn from(dims: [Dim; N]) -> Dims {
        dims.into_iter().collect()
    }
}

impl<const N: usize> From<[usize; N]> for Dims {
    fn from(sizes: [usize; N]) -> Dims {
        sizes.into_iter().map(Dim::Size).collect()
    }
}

impl From<&[usize]> for Dims {
    fn from(sizes: &[usize]) -> Dims {
        sizes.iter().copied().map(Dim::Size).collect()
    }
}

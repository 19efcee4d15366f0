//! The parameters of ops, in one form that text, listings and registries read.

use std::fmt;
use std::sync::Arc;

use crate::array::{DType, MAX_RANK};
use crate::graph::body::Body;
use crate::types::{Dim, Dims, Shape};

/// A parameter's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// A number of axes, an index, ...
    Int(i64),
    /// Exact: printed so that it parses to the same bits.
    Float(f64),
    /// Axes or other small numbers.
    Ints(Vec<i64>),
    /// One dimension.
    Dim(Dim),
    /// The dimensions of a value.
    Shape(Shape),
    /// Another list of dimensions.
    Dims(Dims),
    /// An element type.
    DType(DType),
    /// A name.
    Name(String),
    /// A body that the op runs.
    Body(Arc<Body>),
}

/// Parameters by name, in the order of the documentation.
pub type Attributes = Vec<(&'static str, Attribute)>;

/// A list of axes, at most eight, `Copy`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Axes {
    n: u8,
    /// Two in a byte.
    axes: [u8; MAX_RANK / 2],
}

impl Axes {
    /// A list of axes, in the order given.
    ///
    /// # Panics
    /// There are more than eight, or one is above 15: callers check against the rank first.
    pub fn new(axes: &[usize]) -> Axes {
        let mut list = Axes { n: axes.len() as u8, axes: [0; MAX_RANK / 2] };
        for (position, &axis) in axes.iter().enumerate() {
            assert!(axis < 16, "axis {axis} is below no rank");
            list.axes[position / 2] |= (axis as u8) << (position % 2 * 4);
        }
        list
    }

    /// The axes.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = usize> + ExactSizeIterator {
        (0..self.len()).map(move |position| self.get(position))
    }

    /// The axes as a list.
    pub fn to_vec(self) -> Vec<usize> {
        self.iter().collect()
    }

    /// The number of axes.
    pub fn len(self) -> usize {
        self.n as usize
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.n == 0
    }

    /// Whether `axis` is in the list.
    pub fn contains(self, axis: usize) -> bool {
        self.iter().any(|own| own == axis)
    }

    /// The axis at `position`.
    pub fn get(self, position: usize) -> usize {
        assert!(position < self.len(), "axis {position} of {self:?}");
        usize::from(self.axes[position / 2] >> (position % 2 * 4) & 15)
    }

    /// The same axes, the smallest first.
    pub fn sorted(self) -> Axes {
        let mut axes = self.to_vec();
        axes.sort_unstable();
        Axes::new(&axes)
    }

    /// The attribute of this list.
    pub fn attribute(self) -> Attribute {
        Attribute::Ints(self.iter().map(|axis| axis as i64).collect())
    }
}

impl fmt::Debug for Axes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A number written in Rust, before it takes an element type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Literal {
    /// A real number.
    Float(f64),
    /// An integer.
    Int(i64),
}

impl From<f64> for Literal {
    fn from(x: f64) -> Literal {
        Literal::Float(x)
    }
}

impl From<f32> for Literal {
    fn from(x: f32) -> Literal {
        Literal::Float(x as f64)
    }
}

impl From<i64> for Literal {
    fn from(x: i64) -> Literal {
        Literal::Int(x)
    }
}

impl From<i32> for Literal {
    fn from(x: i32) -> Literal {
        Literal::Int(x.into())
    }
}

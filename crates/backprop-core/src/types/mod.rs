//! What is known of a value before it is computed: its element type and its shape.

mod dim;
mod dims;
mod parse;

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::{LazyLock, Mutex, PoisonError};

pub use dim::{Bindings, Dim, Poly};
pub use dims::Dims;
pub use parse::parse_type;
pub(crate) use parse::{Reader, Wrong};

use crate::array::{DType, MAX_RANK, Sizes, element_count};

/// What stands for a dimension: its size, or what it is assumed to be.
pub type MapDim<'a> = dyn Fn(Dim) -> Result<Dim, String> + 'a;

/// The dimensions of a value, outermost first; rank 0 to 8.
///
/// Shapes are interned for the life of the process: one is a pointer, copying and comparing cost
/// nothing, and a step of an eager program that repeats its shapes allocates none. A program holds
/// as many as it uses distinct shapes.
#[derive(Clone, Copy)]
pub struct Shape(&'static Interned);

/// The dimensions of a shape; its sizes as well, when all are numbers.
struct Interned {
    dims: &'static [Dim],
    sizes: Option<&'static [usize]>,
    /// The product of the sizes, when it fits into memory.
    n_elements: Option<usize>,
}

static RANK_0: Interned = Interned { dims: &[], sizes: Some(&[]), n_elements: Some(1) };

static SHAPES: LazyLock<Mutex<HashMap<&'static [Dim], Shape>>> = LazyLock::new(Mutex::default);

const CACHE_SIZE: usize = 64;

thread_local! {
    /// The shapes that this thread used last, by hash: spares the lock.
    static CACHE: Cell<[Shape; CACHE_SIZE]> = const { Cell::new([Shape::SCALAR; CACHE_SIZE]) };
}

impl Interned {
    fn new(dims: &[Dim]) -> Interned {
        let sizes: Option<Vec<usize>> = dims.iter().map(|dim| dim.size()).collect();
        let n_elements = sizes.as_ref().and_then(|sizes| element_count(sizes).ok());
        Interned { dims: Box::leak(dims.into()), sizes: sizes.map(|sizes| &*sizes.leak()), n_elements }
    }
}

impl Shape {
    /// The shape of rank 0.
    pub const SCALAR: Shape = Shape(&RANK_0);

    /// The shape with these dimensions.
    ///
    /// # Panics
    /// More than [`MAX_RANK`] dimensions; type rules check before they build.
    pub fn new(dims: &[Dim]) -> Shape {
        if dims.is_empty() {
            return Shape::SCALAR;
        }
        assert!(dims.len() <= MAX_RANK, "rank {} was not refused by a type rule", dims.len());
        let slot = cache_slot(dims);
        CACHE.with(|cache| {
            let cache = cache.as_array_of_cells();
            let shape = cache[slot].get();
            if shape.dims() == dims {
                return shape;
            }
            let mut shapes = SHAPES.lock().unwrap_or_else(PoisonError::into_inner);
            let shape = match shapes.get(dims) {
                Some(&known) => known,
                None => {
                    let shape = Shape(Box::leak(Box::new(Interned::new(dims))));
                    shapes.insert(shape.dims(), shape);
                    shape
                }
            };
            cache[slot].set(shape);
            shape
        })
    }

    /// The shape with these sizes.
    pub fn of_sizes(sizes: &[usize]) -> Shape {
        let dims: smallvec::SmallVec<[Dim; MAX_RANK]> = sizes.iter().map(|&n| Dim::Size(n)).collect();
        Shape::new(&dims)
    }

    /// The dimensions, outermost first.
    pub fn dims(self) -> &'static [Dim] {
        self.0.dims
    }

    /// The number of axes.
    pub fn rank(self) -> usize {
        self.dims().len()
    }

    /// The sizes, when all are numbers.
    pub fn sizes(self) -> Option<&'static [usize]> {
        self.0.sizes
    }

    /// The number of elements, when all sizes are numbers and as many elements can be addressed.
    pub fn n_elements(self) -> Option<usize> {
        self.0.n_elements
    }

    /// The number of elements.
    pub fn count(self) -> Dim {
        self.dims().iter().fold(Dim::Size(1), |product, &dim| product * dim)
    }

    /// The sizes under `bindings`.
    ///
    /// # Errors
    /// A name without a size, or a size that comes out negative.
    pub fn eval(self, bindings: &Bindings) -> Result<Sizes, String> {
        self.dims().iter().map(|dim| dim.eval(bindings)).collect()
    }

    /// This shape with each dimension that is no number replaced; `None` where that changes nothing.
    ///
    /// # Errors
    /// Those of `map`.
    pub fn with_dims(self, map: &MapDim) -> Result<Option<Shape>, String> {
        if self.sizes().is_some() {
            return Ok(None);
        }
        let dims: Vec<Dim> = self.dims().iter().map(|&dim| map(dim)).collect::<Result<_, _>>()?;
        Ok(Some(Shape::new(&dims)).filter(|&shape| shape != self))
    }

    /// This shape with dimension `axis` left out.
    pub fn without(self, axes: &[usize]) -> Shape {
        let kept: Vec<Dim> =
            (0..self.rank()).filter(|axis| !axes.contains(axis)).map(|a| self.dims()[a]).collect();
        Shape::new(&kept)
    }

    /// This shape with the dimensions at `axes` set to 1.
    pub fn with_ones(self, axes: &[usize]) -> Shape {
        let dims: Vec<Dim> = self
            .dims()
            .iter()
            .enumerate()
            .map(|(axis, &dim)| if axes.contains(&axis) { Dim::Size(1) } else { dim })
            .collect();
        Shape::new(&dims)
    }

    /// This shape with dimension `axis` replaced.
    pub fn with(self, axis: usize, dim: Dim) -> Shape {
        let mut dims = self.dims().to_vec();
        dims[axis] = dim;
        Shape::new(&dims)
    }
}

fn cache_slot(dims: &[Dim]) -> usize {
    let mix = dims.iter().fold(dims.len(), |hash, dim| {
        let word = match dim {
            Dim::Size(n) => *n,
            Dim::Poly(_) => 0x9e37,
        };
        (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    mix >> (usize::BITS - CACHE_SIZE.ilog2())
}

impl Deref for Shape {
    type Target = [Dim];
    fn deref(&self) -> &[Dim] {
        self.0.dims
    }
}

impl PartialEq for Shape {
    fn eq(&self, other: &Shape) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Shape {}

impl Hash for Shape {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::hash(self.0, state);
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        dims::write_list(self.dims(), f)
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(sizes: [usize; N]) -> Shape {
        const { assert!(N <= MAX_RANK, "at most eight axes") };
        Shape::of_sizes(&sizes)
    }
}

impl<const N: usize> From<[Dim; N]> for Shape {
    fn from(dims: [Dim; N]) -> Shape {
        const { assert!(N <= MAX_RANK, "at most eight axes") };
        Shape::new(&dims)
    }
}

impl From<&[usize]> for Shape {
    fn from(sizes: &[usize]) -> Shape {
        Shape::of_sizes(sizes)
    }
}

/// Element type and shape: `f32[B, 784]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Type {
    /// The element type.
    pub dtype: DType,
    /// The shape.
    pub shape: Shape,
}

impl Type {
    /// A type from its parts.
    pub fn new(dtype: DType, shape: impl Into<Shape>) -> Type {
        Type { dtype, shape: shape.into() }
    }

    /// The type of a rank-0 value.
    pub fn scalar(dtype: DType) -> Type {
        Type { dtype, shape: Shape::SCALAR }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

/// What can stand for a type in a call: a [`Type`], or its text.
pub trait IntoType {
    /// The type, or why the text is none.
    ///
    /// # Errors
    /// The text is no type.
    fn into_type(self) -> Result<Type, String>;
}

impl IntoType for Type {
    fn into_type(self) -> Result<Type, String> {
        Ok(self)
    }
}

impl IntoType for &str {
    fn into_type(self) -> Result<Type, String> {
        parse_type(self)
    }
}

impl IntoType for &String {
    fn into_type(self) -> Result<Type, String> {
        parse_type(self)
    }
}

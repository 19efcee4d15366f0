//! Numbers in memory: an element type, sizes, and row-major elements.
//!
//! An [`Array`] is a value: it is `Send + Sync`, a clone shares the elements and the first write to
//! a shared array copies them. It knows nothing of graphs or derivatives.

pub mod buffer;
mod dtype;
pub mod pool;
mod print;

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::types::Shape;

pub use buffer::Buffer;
pub use dtype::{DType, Element};

/// The largest number of axes.
pub const MAX_RANK: usize = 8;

/// The sizes of an array's axes, outermost first.
pub type Sizes = SmallVec<[usize; 4]>;

/// A row-major array of rank 0 to 8.
///
/// ```
/// use backprop_core::Array;
/// let a = Array::new([2, 3], vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// assert_eq!(a.sizes(), [2, 3]);
/// assert_eq!(a.slice::<f32>()?[4], 5.0);
/// # Ok::<(), backprop_core::ArrayError>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Array {
    shape: Shape,
    data: Data,
}

/// The elements of an [`Array`], one variant per element type.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs)]
pub enum Data {
    F32(Arc<Buffer<f32>>),
    F64(Arc<Buffer<f64>>),
    I32(Arc<Buffer<i32>>),
    I64(Arc<Buffer<i64>>),
    U32(Arc<Buffer<u32>>),
    U8(Arc<Buffer<u8>>),
    Bool(Arc<Buffer<bool>>),
}

/// What can be wrong with a request to build or read an [`Array`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArrayError {
    /// The number of elements is not the product of the sizes.
    Count {
        /// The sizes asked for.
        sizes: Sizes,
        /// The number of elements given.
        given: usize,
    },
    /// More than [`MAX_RANK`] axes.
    Rank(usize),
    /// The product of the sizes does not fit into memory.
    TooLarge(Sizes),
    /// The elements were asked for under another type.
    DType {
        /// The element type asked for.
        wanted: DType,
        /// The element type of the array.
        found: DType,
    },
}

impl fmt::Display for ArrayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArrayError::Count { sizes, given } => {
                let count: usize = sizes.iter().product();
                write!(f, "sizes {sizes:?} hold {count} elements, but {given} were given")
            }
            ArrayError::Rank(rank) => {
                write!(f, "an array has at most {MAX_RANK} axes, but {rank} were given")
            }
            ArrayError::TooLarge(sizes) => {
                write!(f, "an array of sizes {sizes:?} does not fit into memory")
            }
            ArrayError::DType { wanted, found } => {
                write!(f, "the array holds {found}, not {wanted}")
            }
        }
    }
}

impl std::error::Error for ArrayError {}

/// Runs an expression with `$values` bound to the `Arc<Buffer<T>>` inside a [`Data`], whatever `T` is.
#[macro_export]
macro_rules! with_data {
    ($data:expr, |$values:ident| $body:expr) => {
        match $data {
            $crate::Data::F32($values) => $body,
            $crate::Data::F64($values) => $body,
            $crate::Data::I32($values) => $body,
            $crate::Data::I64($values) => $body,
            $crate::Data::U32($values) => $body,
            $crate::Data::U8($values) => $body,
            $crate::Data::Bool($values) => $body,
        }
    };
}

/// Runs an expression with `$T` naming the Rust type of a [`DType`].
#[macro_export]
macro_rules! with_dtype {
    ($dtype:expr, |$T:ident| $body:expr) => {
        match $dtype {
            $crate::DType::F32 => {
                type $T = f32;
                $body
            }
            $crate::DType::F64 => {
                type $T = f64;
                $body
            }
            $crate::DType::I32 => {
                type $T = i32;
                $body
            }
            $crate::DType::I64 => {
                type $T = i64;
                $body
            }
            $crate::DType::U32 => {
                type $T = u32;
                $body
            }
            $crate::DType::U8 => {
                type $T = u8;
                $body
            }
            $crate::DType::Bool => {
                type $T = bool;
                $body
            }
        }
    };
}

/// Runs an expression with the `Arc<Buffer<T>>`s of two arrays of one element type.
#[macro_export]
macro_rules! with_both {
    ($left:expr, $right:expr, |$a:ident, $b:ident| $body:expr) => {
        match ($left.data(), $right.data()) {
            ($crate::Data::F32($a), $crate::Data::F32($b)) => $body,
            ($crate::Data::F64($a), $crate::Data::F64($b)) => $body,
            ($crate::Data::I32($a), $crate::Data::I32($b)) => $body,
            ($crate::Data::I64($a), $crate::Data::I64($b)) => $body,
            ($crate::Data::U32($a), $crate::Data::U32($b)) => $body,
            ($crate::Data::U8($a), $crate::Data::U8($b)) => $body,
            ($crate::Data::Bool($a), $crate::Data::Bool($b)) => $body,
            (a, b) => unreachable!("a type rule let {a:?} and {b:?} meet"),
        }
    };
}

/// The number of elements of an array of these sizes.
///
/// # Errors
/// More than [`MAX_RANK`] axes, or a product above `isize::MAX` bytes of eight-byte elements.
pub fn element_count(sizes: &[usize]) -> Result<usize, ArrayError> {
    if sizes.len() > MAX_RANK {
        return Err(ArrayError::Rank(sizes.len()));
    }
    // Zeros count as ones here, so that products of some of the sizes (strides) fit as well.
    let bound = sizes.iter().try_fold(1usize, |n, &size| n.checked_mul(size.max(1)));
    match bound.filter(|&n| n <= isize::MAX as usize / 8) {
        Some(_) => Ok(sizes.iter().product()),
        None => Err(ArrayError::TooLarge(sizes.into())),
    }
}

/// The number of elements of an array of `sizes` of `T`, for which there is memory now.
///
/// # Errors
/// Too many axes, or there is no memory for so many.
pub fn want_room<T>(sizes: &[usize]) -> Result<usize, ArrayError> {
    // Asking costs a call of the allocator: only where it may say no.
    const LARGE: usize = 1 << 20;
    let count = element_count(sizes)?;
    match count < LARGE || Vec::<T>::new().try_reserve_exact(count).is_ok() {
        true => Ok(count),
        false => Err(ArrayError::TooLarge(sizes.into())),
    }
}

impl Array {
    /// An array of `sizes` from its elements in row-major order.
    ///
    /// # Errors
    /// The count of `values` is not the product of `sizes`, or there are too many axes.
    pub fn new<T: Element>(sizes: impl AsRef<[usize]>, values: Vec<T>) -> Result<Array, ArrayError> {
        let sizes = sizes.as_ref();
        if element_count(sizes)? != values.len() {
            return Err(ArrayError::Count { sizes: sizes.into(), given: values.len() });
        }
        Ok(Array::from_parts(sizes.into(), T::wrap(Arc::new(values.into()))))
    }

    /// An array from parts that are known to agree.
    pub fn from_parts(sizes: Sizes, data: Data) -> Array {
        let array = Array::with_shape(Shape::of_sizes(&sizes), data);
        assert_eq!(sizes.iter().product::<usize>(), array.len(), "sizes {sizes:?} and elements disagree");
        array
    }

    /// An array from a shape of numbers and as many elements.
    #[inline]
    pub fn with_shape(shape: Shape, data: Data) -> Array {
        let array = Array { shape, data };
        debug_assert_eq!(array.sizes().iter().product::<usize>(), array.len(), "sizes and elements disagree");
        array
    }

    /// A rank-0 array.
    pub fn scalar<T: Element>(value: T) -> Array {
        Array::from_parts(Sizes::new(), T::wrap(Arc::new(vec![value].into())))
    }

    /// A rank-1 array.
    pub fn vector<T: Element>(values: impl Into<Vec<T>>) -> Array {
        let values = values.into();
        Array::from_parts(Sizes::from_slice(&[values.len()]), T::wrap(Arc::new(values.into())))
    }

    /// An array whose elements are all `value`, converted to `dtype` as Rust's `as` does.
    ///
    /// # Errors
    /// Too many axes or too many elements.
    pub fn full(dtype: DType, sizes: &[usize], value: f64) -> Result<Array, ArrayError> {
        Ok(with_dtype!(dtype, |T| {
            let count = want_room::<T>(sizes)?;
            let values = match value.to_bits() {
                0 => Buffer::zeros(count),
                _ => vec![T::from_f64(value); count].into(),
            };
            Array::from_parts(sizes.into(), T::wrap(Arc::new(values)))
        }))
    }

    /// An array of zeros (`false` for `bool`).
    ///
    /// # Errors
    /// Too many axes or too many elements.
    pub fn zeros(dtype: DType, sizes: &[usize]) -> Result<Array, ArrayError> {
        Array::full(dtype, sizes, 0.0)
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        match &self.data {
            Data::F32(_) => DType::F32,
            Data::F64(_) => DType::F64,
            Data::I32(_) => DType::I32,
            Data::I64(_) => DType::I64,
            Data::U32(_) => DType::U32,
            Data::U8(_) => DType::U8,
            Data::Bool(_) => DType::Bool,
        }
    }

    /// The sizes of the axes, outermost first.
    #[inline]
    pub fn sizes(&self) -> &'static [usize] {
        self.shape.sizes().expect("the shape of an array is numbers")
    }

    /// The sizes as a shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.shape.rank()
    }

    /// The number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        with_data!(&self.data, |values| values.len())
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements with their type.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The elements with their type, for writing.
    pub fn data_mut(&mut self) -> &mut Data {
        &mut self.data
    }

    /// The elements with their type, by value.
    pub fn into_data(self) -> Data {
        self.data
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    /// The array holds another element type.
    pub fn slice<T: Element>(&self) -> Result<&[T], ArrayError> {
        match T::view(&self.data) {
            Some(values) => Ok(values),
            None => Err(self.holds_another::<T>()),
        }
    }

    /// The elements for writing; copies them first when another array shares them.
    ///
    /// # Errors
    /// The array holds another element type.
    pub fn slice_mut<T: Element>(&mut self) -> Result<&mut [T], ArrayError> {
        let error = self.holds_another::<T>();
        match T::view_mut(&mut self.data) {
            Some(values) => Ok(&mut **Arc::<Buffer<T>>::make_mut(values)),
            None => Err(error),
        }
    }

    fn holds_another<T: Element>(&self) -> ArrayError {
        ArrayError::DType { wanted: T::DTYPE, found: self.dtype() }
    }

    /// The elements converted to `f64`, in row-major order.
    pub fn to_f64s(&self) -> Vec<f64> {
        with_data!(&self.data, |values| values.iter().map(|&x| x.to_f64()).collect())
    }

    /// The elements converted to `i64` as Rust's `as` does, in row-major order.
    pub fn to_i64s(&self) -> Vec<i64> {
        with_data!(&self.data, |values| values.iter().map(|&x| x.to_i64()).collect())
    }

    /// The only element, as `f64`.
    ///
    /// # Errors
    /// The array does not hold exactly one element.
    pub fn item(&self) -> Result<f64, ArrayError> {
        if self.len() != 1 {
            return Err(ArrayError::Count { sizes: Sizes::new(), given: self.len() });
        }
        Ok(with_data!(&self.data, |values| values[0].to_f64()))
    }

    /// The same elements under other sizes, without a copy.
    ///
    /// # Errors
    /// The product of the sizes differs.
    pub fn reshape(&self, sizes: &[usize]) -> Result<Array, ArrayError> {
        if element_count(sizes)? != self.len() {
            return Err(ArrayError::Count { sizes: sizes.into(), given: self.len() });
        }
        Ok(Array { shape: Shape::of_sizes(sizes), data: self.data.clone() })
    }

    /// The same elements, where many of them start at a cache line: copied, unless they are there already.
    pub fn aligned(self) -> Array {
        fn moved<T: Element>(values: &Arc<Buffer<T>>) -> Option<Data> {
            values.aligned().map(|values| T::wrap(Arc::new(values)))
        }
        match with_data!(&self.data, |values| moved(values)) {
            Some(data) => Array { shape: self.shape, data },
            None => self,
        }
    }

    /// Each element converted to `dtype` as Rust's `as` does: floats round, integers wrap, a float
    /// becomes an integer by truncation and saturation, NaN becomes 0, anything but 0 becomes `true`.
    pub fn cast(&self, dtype: DType) -> Array {
        if dtype == self.dtype() {
            return self.clone();
        }
        // Integers go by i64, which holds them all: by f64 an i64 would be rounded twice on its way to f32.
        let by_i64 = self.dtype().is_int() && dtype != DType::Bool;
        with_dtype!(dtype, |T| with_data!(&self.data, |values| {
            let converted: Buffer<T> = if by_i64 {
                values.iter().map(|&x| T::from_i64_wrapping(x.to_i64())).collect()
            } else {
                values.iter().map(|&x| T::from_f64(x.to_f64())).collect()
            };
            Array { shape: self.shape, data: T::wrap(Arc::new(converted)) }
        }))
    }

    /// A new array of `sizes` whose element `i` (row-major) is this array's element `source(i)`.
    pub fn pick(&self, sizes: &[usize], source: impl Fn(usize) -> usize) -> Array {
        fn picked<T: Element>(from: &[T], count: usize, source: impl Fn(usize) -> usize) -> Data {
            T::wrap(Arc::new((0..count).map(|i| from[source(i)]).collect()))
        }
        let count = sizes.iter().product();
        Array { shape: Shape::of_sizes(sizes), data: with_data!(&self.data, |v| picked(v, count, source)) }
    }

    /// Whether both arrays hold one and the same buffer: one is an unchanged copy of the other.
    pub fn shares(&self, other: &Array) -> bool {
        self.dtype() == other.dtype()
            && self.shape == other.shape
            && crate::with_both!(self, other, |a, b| Arc::ptr_eq(a, b))
    }

    /// Whether both arrays have the same type, sizes and bit patterns (NaN equals the same NaN).
    pub fn same_bits(&self, other: &Array) -> bool {
        self.shape == other.shape
            && match (&self.data, &other.data) {
                (Data::F32(a), Data::F32(b)) => {
                    a.iter().zip(b.iter()).all(|(x, y)| x.to_bits() == y.to_bits())
                }
                (Data::F64(a), Data::F64(b)) => {
                    a.iter().zip(b.iter()).all(|(x, y)| x.to_bits() == y.to_bits())
                }
                (a, b) => a == b,
            }
    }
}

/// Row-major strides: how many elements apart neighbours along each axis are.
pub fn strides(sizes: &[usize]) -> Sizes {
    let mut strides: Sizes = SmallVec::from_elem(1, sizes.len());
    for axis in (1..sizes.len()).rev() {
        strides[axis - 1] = strides[axis] * sizes[axis];
    }
    strides
}

impl<T: Element> From<T> for Array {
    fn from(value: T) -> Array {
        Array::scalar(value)
    }
}

impl<T: Element> From<Vec<T>> for Array {
    fn from(values: Vec<T>) -> Array {
        Array::vector(values)
    }
}

impl<T: Element, const N: usize> From<[T; N]> for Array {
    fn from(values: [T; N]) -> Array {
        Array::vector(values.to_vec())
    }
}

impl<T: Element, const N: usize, const M: usize> From<[[T; M]; N]> for Array {
    fn from(rows: [[T; M]; N]) -> Array {
        let values: Buffer<T> = rows.iter().flatten().copied().collect();
        Array::from_parts(Sizes::from_slice(&[N, M]), T::wrap(Arc::new(values)))
    }
}

//! Element types, and the one trait that ties a Rust type to its `DType`.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use super::pool::Shelf;
use super::{Buffer, Data};

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64.
    F64,
    /// Two's complement 32-bit integer.
    I32,
    /// Two's complement 64-bit integer.
    I64,
    /// Unsigned 32-bit integer.
    U32,
    /// Unsigned 8-bit integer.
    U8,
    /// Truth value.
    Bool,
}

impl DType {
    /// Every element type, in the order of the documentation.
    pub const ALL: [DType; 7] =
        [DType::F32, DType::F64, DType::I32, DType::I64, DType::U32, DType::U8, DType::Bool];

    /// The name in text: `f32`, `i64`, `bool`, ...
    pub fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::I32 => "i32",
            DType::I64 => "i64",
            DType::U32 => "u32",
            DType::U8 => "u8",
            DType::Bool => "bool",
        }
    }

    /// The inverse of [`DType::name`].
    pub fn from_name(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|dtype| dtype.name() == name)
    }

    /// `f32` or `f64`: the types that have derivatives.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64)
    }

    /// `i32`, `i64`, `u32` or `u8`.
    pub fn is_int(self) -> bool {
        matches!(self, DType::I32 | DType::I64 | DType::U32 | DType::U8)
    }

    /// Anything but `bool`.
    pub fn is_number(self) -> bool {
        self != DType::Bool
    }

    /// Bytes per element.
    pub fn size(self) -> usize {
        match self {
            DType::F64 | DType::I64 => 8,
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::U8 | DType::Bool => 1,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No type of a user's is an element:
///
/// ```compile_fail,E0277
/// #[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
/// struct Text(&'static str);
/// impl backprop_core::Element for Text {
///     const DTYPE: backprop_core::DType = backprop_core::DType::I64;
///     fn from_f64(_: f64) -> Text { Text("") }
///     fn to_f64(self) -> f64 { 0.0 }
///     fn from_i64_wrapping(_: i64) -> Text { Text("") }
///     fn to_i64(self) -> i64 { 0 }
///     fn view(_: &backprop_core::Data) -> Option<&std::sync::Arc<backprop_core::array::Buffer<Text>>> { None }
///     fn view_mut(
///         _: &mut backprop_core::Data,
///     ) -> Option<&mut std::sync::Arc<backprop_core::array::Buffer<Text>>> { None }
///     fn with_shelf<R>(_: impl FnOnce(&mut backprop_core::array::pool::Shelf<Text>) -> R) -> R { todo!() }
///     fn wrap(_: std::sync::Arc<backprop_core::array::Buffer<Text>>) -> backprop_core::Data { todo!() }
/// }
/// ```
mod sealed {
    /// Types of which zero bytes are an element: the memory of a [`Buffer`](super::Buffer) starts as such.
    pub trait Sealed {}
}

/// A Rust type that an [`Array`](super::Array) can hold: one for each [`DType`], and no other.
pub trait Element:
    sealed::Sealed + Copy + Default + PartialEq + PartialOrd + fmt::Debug + Send + Sync + 'static
{
    /// The matching element type.
    const DTYPE: DType;
    /// Conversion as Rust's `as` does it: rounds, truncates towards zero, saturates; NaN becomes 0.
    fn from_f64(x: f64) -> Self;
    /// Conversion as Rust's `as` does it; `bool` is 0 or 1.
    fn to_f64(self) -> f64;
    /// Conversion from an integer, wrapping to the width of `Self`; `bool` is `x != 0`.
    fn from_i64_wrapping(x: i64) -> Self;
    /// Conversion as Rust's `as` does it; floats truncate and saturate.
    fn to_i64(self) -> i64;
    #[doc(hidden)]
    fn view(data: &Data) -> Option<&Arc<Buffer<Self>>>;
    #[doc(hidden)]
    fn view_mut(data: &mut Data) -> Option<&mut Arc<Buffer<Self>>>;
    #[doc(hidden)]
    fn with_shelf<R>(visit: impl FnOnce(&mut Shelf<Self>) -> R) -> R;
    #[doc(hidden)]
    fn wrap(values: Arc<Buffer<Self>>) -> Data;
}

macro_rules! element {
    ($($type:ty, $variant:ident, |$x:ident| $from_f64:expr, |$y:ident| $from_i64:expr;)*) => {$(
        impl sealed::Sealed for $type {}

        impl Element for $type {
            const DTYPE: DType = DType::$variant;
            fn from_f64($x: f64) -> Self {
                $from_f64
            }
            fn to_f64(self) -> f64 {
                element!(@number self $variant) as f64
            }
            fn from_i64_wrapping($y: i64) -> Self {
                $from_i64
            }
            fn to_i64(self) -> i64 {
                element!(@number self $variant) as i64
            }
            fn view(data: &Data) -> Option<&Arc<Buffer<Self>>> {
                match data {
                    Data::$variant(values) => Some(values),
                    _ => None,
                }
            }
            fn view_mut(data: &mut Data) -> Option<&mut Arc<Buffer<Self>>> {
                match data {
                    Data::$variant(values) => Some(values),
                    _ => None,
                }
            }
            fn with_shelf<R>(visit: impl FnOnce(&mut Shelf<$type>) -> R) -> R {
                thread_local! {
                    static SHELF: RefCell<Shelf<$type>> = const { RefCell::new(Shelf::new()) };
                }
                SHELF.with_borrow_mut(visit)
            }
            fn wrap(values: Arc<Buffer<Self>>) -> Data {
                Data::$variant(values)
            }
        }
    )*};
    (@number $x:ident Bool) => { u8::from($x) };
    (@number $x:ident $other:ident) => { $x };
}

element! {
    f32, F32, |x| x as f32, |y| y as f32;
    f64, F64, |x| x, |y| y as f64;
    i32, I32, |x| x as i32, |y| y as i32;
    i64, I64, |x| x as i64, |y| y;
    u32, U32, |x| x as u32, |y| y as u32;
    u8, U8, |x| x as u8, |y| y as u8;
    bool, Bool, |x| x != 0.0, |y| y != 0;
}

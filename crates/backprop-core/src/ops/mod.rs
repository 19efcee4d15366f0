//! The operations. Each stands in one place: equation, type rule, evaluation, gradient.
//!
//! An op belongs to a family, and the family says what its author writes and what is derived
//! (DESIGN.md, "An op is one place"). The enum [`Op`] is closed, so that a compiler can match
//! patterns; [`Custom`] is the door for operations from other crates.

mod argmax;
mod attribute;
mod axis;
mod binary;
mod contract;
mod control;
mod custom;
mod family;
mod fma;
mod gather;
mod leaf;
mod log_softmax;
mod logic;
mod norm;
mod one_hot;
mod part;
mod random;
mod reduce;
pub mod sample;
mod select;
mod shape;
mod unary;

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

pub use argmax::{ArgMax, MaxWithIndex};
pub use attribute::{Attribute, Attributes, Axes, Literal};
pub use axis::{IntoAxes, IntoAxis};
pub use binary::{Binary, broadcast_binary, refuse_zero_divisor};
pub use contract::Contract;
pub use control::{Cond, Scan, Tree, cond, scan, scan_indexed, scan_n, scan_reverse};
pub use custom::{Custom, OpRule};
pub use family::{BilinearRule, Bprop, Differentiate, Family, General, Gradient, Linear, Pointwise, Pull};
pub use fma::Fma;
pub use gather::{Gather, ScatterAdd, check_indices};
pub use leaf::{Constant, DimValue, Full, IllCall, Input, Iota, Missing, full, iota};
pub use log_softmax::LogSoftmax;
pub use logic::{Compare, Logic};
pub use norm::Norm;
pub use one_hot::OneHot;
pub use part::{Concat, Pad, Slice, concat};
pub use random::{Normal, Uniform, key_of};
pub use reduce::{Any, LogSumExp, Max, Sum};
pub use select::{Cast, Identity, Select, StopGradient};
pub use shape::{Broadcast, IntoSizes, Reshape, Transpose, broadcast_shapes};
pub use unary::Unary;

use crate::array::Array;
use crate::graph::body::Body;
use crate::graph::fault::Ill;
use crate::text::Given;
use crate::types::{Bindings, Dim, MapDim, Shape, Type};
use sample::{Registered, Sample};

/// The types of an op's outputs.
pub type Types = smallvec::SmallVec<[Type; 2]>;

/// The arrays that an op computes.
pub type Arrays = smallvec::SmallVec<[Array; 2]>;

/// What every op says of itself.
pub trait Rule: fmt::Debug {
    /// The name in text: `matmul`, `reduce_sum`, ...
    fn name(&self) -> &str;

    /// What it computes and its gradient, as one writes them: `("y = tanh x", "dx = d·(1 − y²)")`.
    fn equation(&self) -> (&'static str, &'static str);

    /// The parameters, for text and listings.
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }

    /// The names of the operands, in order; the last one repeats.
    fn roles(&self) -> &'static [&'static str] {
        &["x"]
    }

    /// The number of outputs.
    fn n_outputs(&self) -> usize {
        1
    }

    /// The types of the outputs.
    ///
    /// # Errors
    /// The rule that the operands break.
    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill>;

    /// The reference evaluation: the definition, element by element, from `std` and `libm`.
    /// `outputs` are the types, all sizes numbers.
    ///
    /// # Errors
    /// A fault in the data: an index out of range, an integer division by zero.
    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill>;

    /// How it is differentiated.
    fn family(&self) -> Family<'_>;

    /// The bodies that it runs, in the order of its attributes.
    fn bodies(&self) -> Vec<&Arc<Body>> {
        Vec::new()
    }

    /// The op with each dimension that it names replaced; `None` where that changes nothing. An op whose
    /// parameters hold dimensions says here where they are.
    ///
    /// # Errors
    /// Those of `map`.
    fn with_dims(&self, map: &MapDim) -> Result<Option<Op>, String> {
        let _ = map;
        Ok(None)
    }
}

/// Builds an op of a name from what a text gives for it.
pub(crate) type FromText = fn(&str, &Given) -> Result<Op, String>;

/// Writes the enum of ops from the list of their types. What takes many bytes stands `in Box`.
macro_rules! registry {
    ($($variant:ident $(in $home:ident)?;)*) => {
        /// An operation with its parameters.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum Op {
            $($variant(registry!(@held $variant $($home)?)),)*
        }

        impl Op {
            /// The names of the variants, for checks that cover them all.
            pub const VARIANTS: &'static [&'static str] = &[$(stringify!($variant),)*];

            /// Calls on which listings and checks try every op of this crate: for each name some, the
            /// first one fit to be shown.
            pub fn samples() -> Vec<Sample> {
                [$(<$variant as Registered>::samples(),)*].concat()
            }

            /// The names that a text has for the ops of this crate, and how each is built.
            pub(crate) fn texts() -> Vec<(&'static str, FromText)> {
                let mut all: Vec<(&'static str, FromText)> = Vec::new();
                $(all.extend(<$variant as Registered>::names().into_iter().map(|name| {
                    (name, <$variant as Registered>::from_text as FromText)
                }));)*
                all
            }

            /// The op's own rules.
            pub fn rule(&self) -> &dyn Rule {
                match self {
                    $(Op::$variant(op) => Borrow::<$variant>::borrow(op),)*
                }
            }
        }

        $(impl From<$variant> for Op {
            fn from(op: $variant) -> Op {
                Op::$variant(op.into())
            }
        })*
    };
    (@held $variant:ident) => { $variant };
    (@held $variant:ident $home:ident) => { $home<$variant> };
}

registry! {
    Input; Constant; Full; Iota; DimValue; Missing; IllCall;
    Unary; Binary; Fma; Compare; Logic; Select; Cast; StopGradient; Identity;
    Reshape; Transpose; Broadcast; Slice; Pad; Concat;
    Gather; ScatterAdd; OneHot; ArgMax; MaxWithIndex;
    Sum; Max; Any; LogSumExp; LogSoftmax; Norm;
    Contract;
    Uniform; Normal;
    Cond; Scan in Box;
    Custom;
}

impl Op {
    /// Whether each element of the result is computed from one element of each operand, by an op of this crate.
    pub fn is_elementwise(&self) -> bool {
        matches!(
            self,
            Op::Unary(_)
                | Op::Binary(_)
                | Op::Compare(_)
                | Op::Logic(_)
                | Op::Select(_)
                | Op::Fma(_)
                | Op::Cast(_)
        )
    }

    /// The name in text.
    pub fn name(&self) -> &str {
        self.rule().name()
    }

    /// The number of outputs.
    pub fn n_outputs(&self) -> usize {
        self.rule().n_outputs()
    }

    /// The name of operand `idx` of `n`.
    pub fn role(&self, idx: usize, n: usize) -> String {
        let roles = self.rule().roles();
        match roles.get(idx) {
            Some(role) if idx + 1 < roles.len() || n <= roles.len() => role.to_string(),
            _ => format!("{}{}", roles.last().unwrap_or(&"x"), idx + 1 - roles.len().min(1)),
        }
    }

    /// The type of the result of a pointwise op on well-typed operands: a shortcut of
    /// [`Op::infer`], which also says what is wrong otherwise.
    #[inline]
    pub(crate) fn infer_pointwise(&self, inputs: &[Type]) -> Option<Type> {
        match (self, inputs) {
            (Op::Unary(op), &[x]) => op.accepts(x.dtype).then_some(x),
            (Op::Binary(_), &[a, b]) => (a == b && a.dtype.is_number()).then_some(a),
            _ => None,
        }
    }

    /// The types of the outputs; see [`Rule::infer`].
    ///
    /// # Errors
    /// The rule that the operands break.
    #[inline]
    pub fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        self.rule().infer(inputs)
    }

    /// The op with the names of dimensions replaced by their sizes; `None` where it names none.
    ///
    /// # Errors
    /// A name without a size, or a size that comes out negative.
    pub fn bind(&self, sizes: &Bindings) -> Result<Option<Op>, String> {
        self.rule().with_dims(&|dim| Ok(Dim::Size(dim.eval(sizes)?)))
    }

    /// How it is differentiated.
    pub fn family(&self) -> Family<'_> {
        self.rule().family()
    }
}

/// The op that `with` makes of a shape with its dimensions replaced; `None` where nothing changes.
pub(crate) fn map_shape<T: Into<Op>>(
    shape: Shape,
    map: &MapDim,
    with: impl FnOnce(Shape) -> T,
) -> Result<Option<Op>, String> {
    Ok(shape.with_dims(map)?.map(|shape| with(shape).into()))
}

/// As [`map_shape`], of one dimension.
pub(crate) fn map_dim<T: Into<Op>>(
    dim: Dim,
    map: &MapDim,
    with: impl FnOnce(Dim) -> T,
) -> Result<Option<Op>, String> {
    match dim {
        Dim::Size(_) => Ok(None),
        Dim::Poly(_) => Ok(Some(map(dim)?).filter(|&mapped| mapped != dim).map(|dim| with(dim).into())),
    }
}

/// One output of type `ty`.
#[inline]
pub(crate) fn one(ty: Type) -> Types {
    smallvec::smallvec![ty]
}

/// Refuses a wrong number of operands, which only text and custom callers can give.
#[inline]
pub(crate) fn want_inputs(inputs: &[Type], n: usize) -> Result<(), Ill> {
    if inputs.len() == n {
        return Ok(());
    }
    let operands = if n == 1 { "operand" } else { "operands" };
    Err(Ill::new(format!("takes {n} {operands}, but {} were given", inputs.len())))
}

/// Refuses an axis that is not there.
pub(crate) fn want_axis(axis: usize, ty: Type) -> Result<(), Ill> {
    if axis < ty.shape.rank() {
        return Ok(());
    }
    Err(Ill::new(format!("axis {axis} is out of range for rank {}", ty.shape.rank())))
}

/// Refuses a type that is not of the wanted kind.
#[inline]
pub(crate) fn want(holds: bool, idx: usize, ty: Type, kind: &str) -> Result<(), Ill> {
    if holds { Ok(()) } else { Err(wrong_kind(idx, ty, kind)) }
}

#[cold]
fn wrong_kind(idx: usize, ty: Type, kind: &str) -> Ill {
    Ill::new(format!("needs {kind}, not {}", ty.dtype)).note(idx, format!("is {}", ty.dtype))
}

//! What the registry asks of every op of this crate, beside its rule: how a text names it, and calls on
//! which listings and checks try it.

use super::{Custom, IllCall, Missing, Op};
use crate::array::{Array, DType};
use crate::text::Given;
use crate::types::{Shape, Type};

/// A call: an op with its parameters, and operands.
pub type Sample = (Op, Vec<Array>);

/// An op that the registry knows. Whoever adds one says all of this beside its rule; nothing else in the
/// workspace has a list of ops.
pub(crate) trait Registered {
    /// The names in text.
    fn names() -> Vec<&'static str>;

    /// The op of that name as a text gives it.
    ///
    /// # Errors
    /// What is missing or wrong among the attributes.
    fn from_text(name: &str, given: &Given) -> Result<Op, String>;

    /// Calls at which the op is smooth, the first of each name fit to be shown: of rank 0 where that
    /// exists, of several ranks with unequal sizes, and without elements.
    fn samples() -> Vec<Sample>;
}

/// No name in text and no samples: what stands for something that is wrong, and the door for ops of other
/// crates, which bring their own.
macro_rules! nameless {
    ($($op:ty)*) => {$(
        impl Registered for $op {
            fn names() -> Vec<&'static str> {
                Vec::new()
            }

            fn from_text(name: &str, _given: &Given) -> Result<Op, String> {
                Err(format!("there is no op `{name}`"))
            }

            fn samples() -> Vec<Sample> {
                Vec::new()
            }
        }
    )*};
}

nameless! { Missing IllCall Custom }

/// The op called `name` in a table.
pub(crate) fn find<T: Copy + Into<Op>>(all: &[T], name: &str) -> Result<Op, String> {
    let found = all.iter().map(|&op| op.into()).find(|op: &Op| op.name() == name);
    found.ok_or_else(|| format!("there is no op `{name}`"))
}

/// Numbers without pattern in (0.2, 1.2): no two equal, none an integer, none beside a kink.
pub fn wave(sizes: &[usize], seed: usize) -> Array {
    let n: usize = sizes.iter().product();
    let at = |i: usize| 0.2 + (0.618_033_988_749_895 * (i as f64 + 1.3 * seed as f64 + 1.0)).fract();
    filled(sizes, (0..n).map(at).collect())
}

fn filled<T: crate::array::Element>(sizes: &[usize], values: Vec<T>) -> Array {
    Array::new(sizes, values).expect("as many values as the sizes hold")
}

/// Truth values without pattern.
pub(crate) fn truths(sizes: &[usize], seed: usize) -> Array {
    filled(sizes, wave(sizes, seed).to_f64s().iter().map(|&x| x > 0.7).collect())
}

/// Indices below `below`, some of them equal.
pub(crate) fn indices(sizes: &[usize], below: usize) -> Array {
    let n: usize = sizes.iter().product();
    filled(sizes, (0..n).map(|i| ((5 * i + 2) % below) as i64).collect())
}

/// The samples, the first one on 1, 2, 3, ...: fit to be shown.
pub(crate) fn shown(mut samples: Vec<Sample>) -> Vec<Sample> {
    for x in samples.first_mut().into_iter().flat_map(|(_, operands)| operands) {
        if x.dtype() == DType::F64 {
            *x = filled(x.sizes(), (1..=x.len()).map(|i| i as f64).collect());
        }
    }
    samples
}

/// A vector to be shown.
pub(crate) fn vector(values: &[f64]) -> Array {
    Array::vector(values)
}

/// A matrix to be shown.
pub(crate) fn matrix() -> Array {
    filled(&[2, 3], vec![1.0, 5.0, 2.0, 4.0, 0.5, 3.0])
}

/// An f64 type.
pub(crate) fn f64s(sizes: &[usize]) -> Type {
    Type::new(DType::F64, sizes)
}

/// A shape of these sizes.
pub(crate) fn shape(sizes: &[usize]) -> Shape {
    Shape::of_sizes(sizes)
}

/// Rank 0, 1, 2, 3, and nothing.
pub(crate) const SHAPES: [&[usize]; 5] = [&[], &[5], &[3, 2], &[2, 3, 5], &[0, 3]];

/// Calls on `n_inputs` operands of one shape, over [`SHAPES`].
pub(crate) fn over_shapes(
    op: impl Into<Op>,
    n_inputs: usize,
    operand: fn(&[usize], usize) -> Array,
) -> Vec<Sample> {
    let op = op.into();
    let inputs = |sizes: &[usize]| (0..n_inputs).map(|seed| operand(sizes, seed)).collect();
    SHAPES.iter().map(|sizes| (op.clone(), inputs(sizes))).collect()
}

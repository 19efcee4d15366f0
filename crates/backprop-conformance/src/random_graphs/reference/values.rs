//! Arrays of the reference: elements with bounds, or whole numbers and truth values.

use std::sync::Arc;

use backprop_core::array::strides;
use backprop_core::{Array, DType, Sizes, Type, with_dtype};

use super::super::real::Real;

/// An integer or truth value; `None` where it depends on rounding.
pub type Whole = Option<i64>;

/// The elements of [`Values`].
#[derive(Clone, Debug)]
pub enum Elements {
    /// Of floats.
    Reals(Arc<Vec<Real>>),
    /// Of integers, and of truth values as 0 and 1.
    Wholes(Arc<Vec<Whole>>),
}

/// An array of the reference.
#[derive(Clone, Debug)]
pub struct Values {
    /// The element type.
    pub dtype: DType,
    /// The sizes.
    pub sizes: Sizes,
    /// The elements, row-major.
    pub elements: Elements,
}

impl Values {
    /// Of floats.
    pub fn reals(ty: Type, elements: Vec<Real>) -> Values {
        Values::new(ty, Elements::Reals(Arc::new(elements)))
    }

    /// Of integers or truth values.
    pub fn wholes(ty: Type, elements: Vec<Whole>) -> Values {
        Values::new(ty, Elements::Wholes(Arc::new(elements)))
    }

    fn new(ty: Type, elements: Elements) -> Values {
        let sizes: Sizes = ty.shape.sizes().expect("every size has a number").into();
        let values = Values { dtype: ty.dtype, sizes, elements };
        assert_eq!(values.sizes.iter().product::<usize>(), values.n_elements(), "of type {ty}");
        values
    }

    /// A given array: exact.
    pub fn given(array: &Array) -> Values {
        let ty = Type::new(array.dtype(), array.sizes());
        match array.dtype().is_float() {
            true => Values::reals(ty, array.to_f64s().into_iter().map(Real::exact).collect()),
            false => Values::wholes(ty, array.to_i64s().into_iter().map(Some).collect()),
        }
    }

    /// All elements left out.
    pub fn left_out(ty: Type) -> Values {
        let n = ty.shape.n_elements().expect("every size has a number");
        match ty.dtype.is_float() {
            true => Values::reals(ty, vec![Real::LEFT_OUT; n]),
            false => Values::wholes(ty, vec![None; n]),
        }
    }

    /// The type.
    pub fn ty(&self) -> Type {
        Type::new(self.dtype, &self.sizes[..])
    }

    /// The number of elements.
    pub fn n_elements(&self) -> usize {
        match &self.elements {
            Elements::Reals(reals) => reals.len(),
            Elements::Wholes(wholes) => wholes.len(),
        }
    }

    /// How many elements are left out.
    pub fn n_left_out(&self) -> usize {
        match &self.elements {
            Elements::Reals(reals) => reals.iter().filter(|x| x.is_left_out()).count(),
            Elements::Wholes(wholes) => wholes.iter().filter(|x| x.is_none()).count(),
        }
    }

    /// Whether every element that is not left out is a finite number.
    pub fn is_finite(&self) -> bool {
        match &self.elements {
            Elements::Reals(reals) => reals.iter().all(|x| x.x.is_finite()),
            Elements::Wholes(_) => true,
        }
    }

    /// The elements of floats.
    pub fn as_reals(&self) -> &[Real] {
        match &self.elements {
            Elements::Reals(reals) => reals,
            Elements::Wholes(_) => unreachable!("the type rules want floats here, not {}", self.dtype),
        }
    }

    /// The elements of integers or truth values.
    pub fn as_wholes(&self) -> &[Whole] {
        match &self.elements {
            Elements::Wholes(wholes) => wholes,
            Elements::Reals(_) => unreachable!("the type rules want no floats here, not {}", self.dtype),
        }
    }

    /// Which element it is: equal for equal ones. A token, or the bits of what is exact.
    pub fn identity(&self, i: usize) -> (bool, u64) {
        match &self.elements {
            Elements::Reals(reals) if reals[i].token != 0 => (true, reals[i].token),
            Elements::Reals(reals) => (false, reals[i].x.hi.to_bits()),
            Elements::Wholes(wholes) => (false, wholes[i].unwrap_or(0) as u64),
        }
    }

    /// Values of type `ty` whose element i comes from `source(i)`.
    pub fn pick(&self, ty: Type, source: impl Fn(usize) -> Source) -> Values {
        let n = ty.shape.n_elements().expect("every size has a number");
        match &self.elements {
            Elements::Reals(from) => {
                let pick = |i| match source(i) {
                    Source::Element(at) => from[at],
                    Source::Zero => Real::ZERO,
                    Source::Unknown => Real::LEFT_OUT,
                };
                Values::reals(ty, (0..n).map(pick).collect())
            }
            Elements::Wholes(from) => {
                let pick = |i| match source(i) {
                    Source::Element(at) => from[at],
                    Source::Zero => Some(0),
                    Source::Unknown => None,
                };
                Values::wholes(ty, (0..n).map(pick).collect())
            }
        }
    }
}

/// Where an element that is moved comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// From this element.
    Element(usize),
    /// It is 0.
    Zero,
    /// It depends on rounding.
    Unknown,
}

/// An integer as its type holds it: it wraps.
pub fn wrapped(dtype: DType, x: i64) -> i64 {
    use backprop_core::Element;
    with_dtype!(dtype, |T| T::from_i64_wrapping(x).to_i64())
}

/// The place along each axis of row-major element `i`.
pub fn place(sizes: &[usize], i: usize) -> Sizes {
    strides(sizes).iter().zip(sizes).map(|(&stride, &size)| i / stride % size).collect()
}

/// The row-major element at a place.
pub fn element(sizes: &[usize], place: &[usize]) -> usize {
    strides(sizes).iter().zip(place).map(|(stride, at)| stride * at).sum()
}

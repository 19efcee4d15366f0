//! `one_hot`: an index as a row with one 1.

use super::family::Family;
use super::gather::check_indices;
use super::sample::{self, Registered, Sample};
use super::{Arrays, Attribute, Attributes, Op, Rule, Types, map_dim, one, want, want_inputs};
use crate::array::{Array, DType, Element};
use crate::graph::fault::Ill;
use crate::tensor::{Tensor, emit};
use crate::text::Given;
use crate::types::{Dim, MapDim, Shape, Type};
use crate::with_dtype;

/// 1 at the index, 0 elsewhere, along a new last axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OneHot {
    /// The size of the new axis.
    pub depth: Dim,
    /// The element type of the result.
    pub dtype: DType,
}

impl Registered for OneHot {
    fn names() -> Vec<&'static str> {
        vec!["one_hot"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        Ok(OneHot { depth: given.dim("depth")?, dtype: given.dtype("dtype")? }.into())
    }

    fn samples() -> Vec<Sample> {
        let op = Op::from(OneHot { depth: Dim::Size(4), dtype: DType::F64 });
        let shapes: [&[usize]; 5] = [&[2], &[], &[3, 2], &[2, 3, 5], &[0, 3]];
        shapes.iter().map(|sizes| (op.clone(), vec![sample::indices(sizes, 4)])).collect()
    }
}

impl Rule for OneHot {
    fn name(&self) -> &str {
        "one_hot"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("yᵢₖ = 1 where k = xᵢ, else 0", "none: integer indices")
    }

    fn attributes(&self) -> Attributes {
        vec![("depth", Attribute::Dim(self.depth)), ("dtype", Attribute::DType(self.dtype))]
    }

    fn roles(&self) -> &'static [&'static str] {
        &["indices"]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        want_inputs(inputs, 1)?;
        want(inputs[0].dtype.is_int(), 0, inputs[0], "integer indices")?;
        let mut dims = inputs[0].shape.to_vec();
        dims.push(self.depth);
        if dims.len() > crate::array::MAX_RANK {
            return Err(Ill::new(format!("the result would have {} axes", dims.len())));
        }
        Ok(one(Type { dtype: self.dtype, shape: Shape::new(&dims) }))
    }

    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        let sizes = outputs[0].shape.sizes().expect("sizes are numbers when an op is evaluated");
        let depth = sizes[sizes.len() - 1];
        let indices = inputs[0].to_i64s();
        check_indices(&indices, depth)?;
        let hot = with_dtype!(self.dtype, |T| {
            let mut values = vec![T::default(); indices.len() * depth];
            for (row, &index) in indices.iter().enumerate() {
                values[row * depth + index as usize] = T::from_f64(1.0);
            }
            Array::new(sizes, values).expect("one row for each index")
        });
        Ok(smallvec::smallvec![hot])
    }

    fn with_dims(&self, map: &MapDim) -> Result<Option<Op>, String> {
        map_dim(self.depth, map, |depth| OneHot { depth, ..*self })
    }

    fn family(&self) -> Family<'_> {
        Family::None("integer indices")
    }
}

impl Tensor {
    /// 1 at the index, 0 elsewhere, along a new last axis of size `depth`.
    #[track_caller]
    pub fn one_hot(self, depth: impl Into<Dim>, dtype: DType) -> Tensor {
        emit(OneHot { depth: depth.into(), dtype }, &[self]).one()
    }
}

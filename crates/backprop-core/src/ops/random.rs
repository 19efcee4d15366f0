//! Random ops: pure functions of an explicit key (see [`crate::random`]).

use super::family::Family;
use super::sample::{self, Registered, Sample};
use super::{Arrays, Op, Rule, Types, concat, map_shape, one, want_inputs};
use crate::array::{Array, DType, element_count};
use crate::graph::fault::Ill;
use crate::random::{self, Key};
use crate::tensor::{Tensor, emit};
use crate::text::Given;
use crate::types::{MapDim, Shape, Type};

/// Uniform in [0, 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Uniform {
    /// Element type (a float) and shape of the result.
    pub ty: Type,
}

/// Normal with mean 0 and variance 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Normal {
    /// Element type (a float) and shape of the result.
    pub ty: Type,
}

fn infer(ty: Type, inputs: &[Type]) -> Result<Types, Ill> {
    want_inputs(inputs, 1)?;
    if inputs[0] != Type::new(DType::U32, [4usize]) {
        return Err(Ill::new("the key must be u32[4]: seed (low, high), stream, step")
            .note(0, format!("is {}", inputs[0])));
    }
    if !ty.dtype.is_float() {
        return Err(Ill::new(format!("draws floats, not {}", ty.dtype)));
    }
    Ok(one(ty))
}

/// The key of a key operand.
pub fn key_of(array: &Array) -> Result<Key, Ill> {
    let words = array.slice::<u32>().map_err(|e| Ill::new(e.to_string()))?;
    words.try_into().map_err(|_| Ill::new("a key has four words"))
}

fn draw(
    inputs: &[&Array],
    outputs: &[Type],
    f32_at: impl Fn(Key, u64) -> f32,
    f64_at: impl Fn(Key, u64) -> f64,
) -> Result<Arrays, Ill> {
    let key = key_of(inputs[0])?;
    let sizes = outputs[0].shape.sizes().expect("sizes are numbers when an op is evaluated");
    let count = element_count(sizes).map_err(|e| Ill::new(e.to_string()))? as u64;
    let drawn = match outputs[0].dtype {
        DType::F32 => Array::new(sizes, (0..count).map(|i| f32_at(key, i)).collect()),
        _ => Array::new(sizes, (0..count).map(|i| f64_at(key, i)).collect()),
    };
    Ok(smallvec::smallvec![drawn.expect("counted above")])
}

/// Samples under one key.
fn drawn<T: Into<Op>>(make: impl Fn(Type) -> T) -> Vec<Sample> {
    let key = Array::from([0x5678_9abcu32, 0x1234, 3, 4]);
    let types = [sample::f64s(&[3]), Type::new(DType::F32, [3, 2])];
    let types = types.into_iter().chain(sample::SHAPES.map(sample::f64s));
    types.map(|ty| (make(ty).into(), vec![key.clone()])).collect()
}

impl Registered for Uniform {
    fn names() -> Vec<&'static str> {
        vec!["uniform"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        Ok(Uniform { ty: given.ty()? }.into())
    }

    fn samples() -> Vec<Sample> {
        drawn(|ty| Uniform { ty })
    }
}

impl Rule for Uniform {
    fn name(&self) -> &str {
        "uniform"
    }
    fn equation(&self) -> (&'static str, &'static str) {
        ("y uniform in [0, 1), a function of the key", "none: the key is integer")
    }
    fn roles(&self) -> &'static [&'static str] {
        &["key"]
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        infer(self.ty, inputs)
    }
    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        draw(inputs, outputs, random::uniform_f32, random::uniform_f64)
    }
    fn with_dims(&self, map: &MapDim) -> Result<Option<Op>, String> {
        map_shape(self.ty.shape, map, |shape| Uniform { ty: Type { shape, ..self.ty } })
    }

    fn family(&self) -> Family<'_> {
        Family::None("random numbers depend on an integer key")
    }
}

impl Registered for Normal {
    fn names() -> Vec<&'static str> {
        vec!["normal"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        Ok(Normal { ty: given.ty()? }.into())
    }

    fn samples() -> Vec<Sample> {
        drawn(|ty| Normal { ty })
    }
}

impl Rule for Normal {
    fn name(&self) -> &str {
        "normal"
    }
    fn equation(&self) -> (&'static str, &'static str) {
        ("y normal with mean 0, variance 1, a function of the key", "none: the key is integer")
    }
    fn roles(&self) -> &'static [&'static str] {
        &["key"]
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        infer(self.ty, inputs)
    }
    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        draw(inputs, outputs, |key, i| random::normal(key, i) as f32, random::normal)
    }
    fn with_dims(&self, map: &MapDim) -> Result<Option<Op>, String> {
        map_shape(self.ty.shape, map, |shape| Normal { ty: Type { shape, ..self.ty } })
    }

    fn family(&self) -> Family<'_> {
        Family::None("random numbers depend on an integer key")
    }
}

impl Tensor {
    /// Uniform numbers in [0, 1) under this key (`u32[4]`: seed low, seed high, stream, step).
    #[track_caller]
    pub fn uniform(self, dtype: DType, shape: impl Into<Shape>) -> Tensor {
        emit(Uniform { ty: Type::new(dtype, shape) }, &[self]).one()
    }

    /// Normal numbers with mean 0 and variance 1 under this key.
    #[track_caller]
    pub fn normal(self, dtype: DType, shape: impl Into<Shape>) -> Tensor {
        emit(Normal { ty: Type::new(dtype, shape) }, &[self]).one()
    }

    /// This key for iteration `k` (an integer scalar) of a loop: 64 bits that Philox makes of seed, k,
    /// stream and step take the place of stream and step. Fold once for each loop around a random op,
    /// outermost first.
    #[track_caller]
    pub fn fold_in(self, k: Tensor) -> Tensor {
        // k goes into the key of the bijection; the constant keeps k = 0 apart from what is drawn under
        // this key itself. Among n pairs (step, k), two meet with a chance of n²/2⁶⁵: a sum of the two
        // words in 32 bits would let everyday pairs meet.
        const APART: i64 = 0x9E37_79B9;
        let k = (k.cast(DType::U32) + APART).reshape([1]);
        let (low, high) = (self.slice_axis(0, 0, 1), self.slice_axis(0, 1, 2));
        let mixed = concat(&[low, high + k, self.slice_axis(0, 2, 4)], 0);
        // The first 32 bits of each number, exactly: it is a word of Philox and 21 bits more.
        let words = (mixed.uniform(DType::F64, [2usize]) * 4_294_967_296.0).floor().cast(DType::U32);
        concat(&[low, high, words], 0)
    }
}

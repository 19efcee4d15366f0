//! Ops that read no value: inputs, constants, and what stands for an operand that is wrong.

use std::hash::{Hash, Hasher};
use std::panic::Location;
use std::sync::Arc;

use super::attribute::Literal;
use super::axis::IntoAxis;
use super::family::Family;
use super::sample::{self, Registered, Sample};
use super::{Arrays, Attribute, Attributes, Op, Rule, Types, map_dim, map_shape, one, want_axis};
use crate::array::{Array, DType, Element};
use crate::graph::context::ContextId;
use crate::graph::fault::Ill;
use crate::graph::place::Line;
use crate::tensor::Tensor;
use crate::text::Given;
use crate::types::{Dim, MapDim, Type};
use crate::with_dtype;

/// A value that is given from outside: an input of a graph, a parameter of a body, an array on a tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Input {
    /// The type that a given array must have.
    pub ty: Type,
}

/// An array that is known when the graph is built.
#[derive(Clone, Debug)]
pub struct Constant {
    /// The array.
    pub array: Arc<Array>,
}

/// All elements equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Full {
    /// Element type and shape.
    pub ty: Type,
    /// The bits of the element as `f64` for floats, as `i64` otherwise.
    bits: u64,
}

/// 0, 1, 2, ... along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Iota {
    /// Element type and shape.
    pub ty: Type,
    /// The axis along which the elements count.
    pub axis: usize,
}

/// The size of a dimension as an i64 scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DimValue {
    /// The dimension.
    pub dim: Dim,
}

/// Stands for an operand that cannot be used where it was; always ill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Missing;

/// Stands for a call of a composite that broke a rule; always ill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IllCall(Box<(String, Ill)>);

impl IllCall {
    /// A call of `call` that broke a rule.
    pub fn new(call: &str, ill: Ill) -> IllCall {
        IllCall(Box::new((call.to_string(), ill)))
    }
}

impl Hash for IllCall {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.0.hash(state);
    }
}

impl PartialEq for Constant {
    fn eq(&self, other: &Constant) -> bool {
        Arc::ptr_eq(&self.array, &other.array) || self.array.same_bits(&other.array)
    }
}

impl Eq for Constant {}

impl Hash for Constant {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.array.sizes().hash(state);
        self.array.dtype().hash(state);
    }
}

/// The type of an array.
pub(crate) fn type_of(array: &Array) -> Type {
    Type::new(array.dtype(), array.shape())
}

impl Full {
    /// All elements equal to `value`.
    ///
    /// # Errors
    /// The element type cannot hold the value: a fraction in integers, 300 in u8.
    pub fn new(ty: Type, value: impl Into<Literal>) -> Result<Full, Ill> {
        let value = value.into();
        let bits = match (ty.dtype.is_float(), value) {
            (true, Literal::Float(x)) => Some(x.to_bits()),
            (true, Literal::Int(x)) => Some((x as f64).to_bits()),
            (false, Literal::Int(x)) => Some(x as u64),
            (false, Literal::Float(x)) => (x == x.trunc() && x.abs() < 9e18).then_some(x as i64 as u64),
        };
        let held = bits.filter(|&bits| {
            ty.dtype.is_float()
                || with_dtype!(ty.dtype, |T| T::from_i64_wrapping(bits as i64).to_i64() == bits as i64)
        });
        match held {
            Some(bits) => Ok(Full { ty, bits }),
            None => {
                let number = match value {
                    Literal::Float(x) => x.to_string(),
                    Literal::Int(x) => x.to_string(),
                };
                Err(Ill::new(format!("{} cannot hold {number}", ty.dtype))
                    .hint("cast the tensor to a type that holds it first"))
            }
        }
    }

    /// The element.
    pub fn value(self) -> Literal {
        if self.ty.dtype.is_float() {
            Literal::Float(f64::from_bits(self.bits))
        } else {
            Literal::Int(self.bits as i64)
        }
    }

    /// The element as `f64`.
    pub fn as_f64(self) -> f64 {
        match self.value() {
            Literal::Float(x) => x,
            Literal::Int(x) => x as f64,
        }
    }
}

fn no_family() -> Family<'static> {
    Family::None("a leaf")
}

fn numeric(ty: Type) -> &'static [usize] {
    ty.shape.sizes().expect("sizes are numbers when an op is evaluated")
}

impl Registered for Input {
    fn names() -> Vec<&'static str> {
        vec!["input"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        Ok(Input { ty: given.ty()? }.into())
    }

    fn samples() -> Vec<Sample> {
        sample::SHAPES.iter().map(|sizes| (Input { ty: sample::f64s(sizes) }.into(), vec![])).collect()
    }
}

impl Rule for Input {
    fn name(&self) -> &str {
        "input"
    }
    fn equation(&self) -> (&'static str, &'static str) {
        ("given from outside", "a leaf")
    }
    fn roles(&self) -> &'static [&'static str] {
        &[]
    }
    fn infer(&self, _inputs: &[Type]) -> Result<Types, Ill> {
        Ok(one(self.ty))
    }
    fn eval(&self, _inputs: &[&Array], _outputs: &[Type]) -> Result<Arrays, Ill> {
        Err(Ill::new("an input was not given"))
    }
    fn with_dims(&self, map: &MapDim) -> Result<Option<Op>, String> {
        map_shape(self.ty.shape, map, |shape| Input { ty: Type { shape, ..self.ty } })
    }

    fn family(&self) -> Family<'_> {
        no_family()
    }
}

impl Registered for Constant {
    fn names() -> Vec<&'static str> {
        vec!["constant"]
    }

    // A constant's array is no attribute; the parser reads it.
    fn from_text(_name: &str, _given: &Given) -> Result<Op, String> {
        Err("a constant has no attributes".to_string())
    }

    fn samples() -> Vec<Sample> {
        let constant = |array: Array| (Constant { array: array.into() }.into(), Vec::new());
        let shown = sample::vector(&[1.0, 2.0, 3.0]);
        let shapes = sample::SHAPES.map(|sizes| sample::wave(sizes, 0));
        let dtypes = DType::ALL.map(|dtype| Array::vector(vec![0.0, 1.0, 200.0]).cast(dtype));
        // More elements than stand in a text.
        let large = sample::wave(&[3, 67], 1);
        [shown, large].into_iter().chain(shapes).chain(dtypes).map(constant).collect()
    }
}

impl Rule for Constant {
    fn name(&self) -> &str {
        "constant"
    }
    fn equation(&self) -> (&'static str, &'static str) {
        ("a known array", "a leaf")
    }
    fn roles(&self) -> &'static [&'static str] {
        &[]
    }
    fn infer(&self, _inputs: &[Type]) -> Result<Types, Ill> {
        Ok(one(type_of(&self.array)))
    }
    fn eval(&self, _inputs: &[&Array], _outputs: &[Type]) -> Result<Arrays, Ill> {
        Ok(smallvec::smallvec![self.array.as_ref().clone()])
    }
    fn family(&self) -> Family<'_> {
        no_family()
    }
}

impl Registered for Full {
    fn names() -> Vec<&'static str> {
        vec!["full"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        let ty = given.ty()?;
        let full = Full::new(ty, given.number("value", ty.dtype)?);
        full.map(Op::from).map_err(|ill| ill.rule)
    }

    fn samples() -> Vec<Sample> {
        let full =
            |ty: Type, value: Literal| (Full::new(ty, value).expect("the type holds it").into(), Vec::new());
        let shapes = [&[2usize] as &[usize]].into_iter().chain(sample::SHAPES);
        let others = [(DType::F32, Literal::Float(0.1f32.into())), (DType::U8, Literal::Int(255))];
        (shapes.map(|sizes| full(sample::f64s(sizes), Literal::Float(2.5))))
            .chain(others.map(|(dtype, value)| full(Type::new(dtype, [3, 2]), value)))
            .collect()
    }
}

impl Rule for Full {
    fn name(&self) -> &str {
        "full"
    }
    fn equation(&self) -> (&'static str, &'static str) {
        ("yᵢ = value", "a leaf")
    }
    fn attributes(&self) -> Attributes {
        let value = match self.value() {
            Literal::Float(x) => Attribute::Float(x),
            Literal::Int(x) => Attribute::Int(x),
        };
        vec![("value", value)]
    }
    fn roles(&self) -> &'static [&'static str] {
        &[]
    }
    fn infer(&self, _inputs: &[Type]) -> Result<Types, Ill> {
        Ok(one(self.ty))
    }
    fn eval(&self, _inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        let sizes = numeric(outputs[0]);
        let count = crate::array::element_count(sizes).map_err(|e| Ill::new(e.to_string()))?;
        let array = with_dtype!(self.ty.dtype, |T| {
            let element = match self.value() {
                Literal::Float(x) => T::from_f64(x),
                Literal::Int(x) => T::from_i64_wrapping(x),
            };
            Array::new(sizes, vec![element; count]).expect("counted above")
        });
        Ok(smallvec::smallvec![array])
    }
    fn with_dims(&self, map: &MapDim) -> Result<Option<Op>, String> {
        map_shape(self.ty.shape, map, |shape| Full { ty: Type { shape, ..self.ty }, ..*self })
    }

    fn family(&self) -> Family<'_> {
        no_family()
    }
}

impl Registered for Iota {
    fn names() -> Vec<&'static str> {
        vec!["iota"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        let ty = given.ty()?;
        Ok(Iota { ty, axis: given.axis("axis", ty.shape.rank())? }.into())
    }

    fn samples() -> Vec<Sample> {
        let rows: [(&[usize], usize); 4] = [(&[4], 0), (&[3, 2], 1), (&[2, 3, 5], 1), (&[0, 3], 0)];
        rows.iter().map(|&(sizes, axis)| (Iota { ty: sample::f64s(sizes), axis }.into(), vec![])).collect()
    }
}

impl Rule for Iota {
    fn name(&self) -> &str {
        "iota"
    }
    fn equation(&self) -> (&'static str, &'static str) {
        ("yᵢ = i along the axis", "a leaf")
    }
    fn attributes(&self) -> Attributes {
        vec![("axis", Attribute::Int(self.axis as i64))]
    }
    fn roles(&self) -> &'static [&'static str] {
        &[]
    }
    fn infer(&self, _inputs: &[Type]) -> Result<Types, Ill> {
        want_axis(self.axis, self.ty)?;
        if !self.ty.dtype.is_number() {
            return Err(Ill::new("counts in numbers, not in bool"));
        }
        Ok(one(self.ty))
    }
    fn eval(&self, _inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        let sizes = numeric(outputs[0]);
        let count = crate::array::element_count(sizes).map_err(|e| Ill::new(e.to_string()))?;
        let stride = crate::array::strides(sizes)[self.axis];
        let size = sizes[self.axis].max(1);
        let array = with_dtype!(self.ty.dtype, |T| {
            let values: Vec<T> =
                (0..count).map(|i| T::from_i64_wrapping(((i / stride) % size) as i64)).collect();
            Array::new(sizes, values).expect("counted above")
        });
        Ok(smallvec::smallvec![array])
    }
    fn with_dims(&self, map: &MapDim) -> Result<Option<Op>, String> {
        map_shape(self.ty.shape, map, |shape| Iota { ty: Type { shape, ..self.ty }, ..*self })
    }

    fn family(&self) -> Family<'_> {
        no_family()
    }
}

impl Registered for DimValue {
    fn names() -> Vec<&'static str> {
        vec!["dim_value"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        Ok(DimValue { dim: given.dim("dim")? }.into())
    }

    fn samples() -> Vec<Sample> {
        vec![(DimValue { dim: Dim::Size(7) }.into(), vec![])]
    }
}

impl Rule for DimValue {
    fn name(&self) -> &str {
        "dim_value"
    }
    fn equation(&self) -> (&'static str, &'static str) {
        ("y = dim", "a leaf")
    }
    fn attributes(&self) -> Attributes {
        vec![("dim", Attribute::Dim(self.dim))]
    }
    fn roles(&self) -> &'static [&'static str] {
        &[]
    }
    fn infer(&self, _inputs: &[Type]) -> Result<Types, Ill> {
        Ok(one(Type::scalar(DType::I64)))
    }
    fn eval(&self, _inputs: &[&Array], _outputs: &[Type]) -> Result<Arrays, Ill> {
        let size = self.dim.size().ok_or_else(|| Ill::new(format!("dimension {} has no size", self.dim)))?;
        Ok(smallvec::smallvec![Array::scalar(size as i64)])
    }
    fn with_dims(&self, map: &MapDim) -> Result<Option<Op>, String> {
        map_dim(self.dim, map, |dim| DimValue { dim })
    }

    fn family(&self) -> Family<'_> {
        no_family()
    }
}

impl Rule for Missing {
    fn name(&self) -> &str {
        "missing"
    }
    fn equation(&self) -> (&'static str, &'static str) {
        ("an operand that cannot be used", "a leaf")
    }
    fn infer(&self, _inputs: &[Type]) -> Result<Types, Ill> {
        Err(Ill::new("the operand cannot be used here"))
    }
    fn eval(&self, _inputs: &[&Array], _outputs: &[Type]) -> Result<Arrays, Ill> {
        Err(Ill::new("the operand cannot be used here"))
    }
    fn family(&self) -> Family<'_> {
        no_family()
    }
}

impl Rule for IllCall {
    fn name(&self) -> &str {
        &self.0.0
    }
    fn equation(&self) -> (&'static str, &'static str) {
        ("a call that broke a rule", "a leaf")
    }
    fn infer(&self, _inputs: &[Type]) -> Result<Types, Ill> {
        Err(self.0.1.clone())
    }
    fn eval(&self, _inputs: &[&Array], _outputs: &[Type]) -> Result<Arrays, Ill> {
        Err(self.0.1.clone())
    }
    fn family(&self) -> Family<'_> {
        no_family()
    }
}

/// A value of type `ty` whose elements are all `value`, in `context`.
#[track_caller]
pub fn full(context: ContextId, ty: Type, value: impl Into<Literal>) -> Tensor {
    let line = Line::Code(Location::caller());
    match Full::new(ty, value) {
        Ok(op) => context.emit(op.into(), &[], line).one(),
        Err(ill) => context.emit(IllCall::new("full", ill).into(), &[], line).one(),
    }
}

impl Tensor {
    /// The size of dimension `axis` (−1: the last) as an i64 scalar, without gradient.
    #[track_caller]
    pub fn dim_value(self, axis: impl IntoAxis) -> Tensor {
        let Some(shape) = self.shape() else { return self.identity() };
        match self.axis("dim_value", axis) {
            Ok(axis) => {
                let op = DimValue { dim: shape[axis] };
                self.context().emit(op.into(), &[], Line::Code(Location::caller())).one()
            }
            Err(ill) => ill,
        }
    }

    /// 0, 1, 2, ... along `axis` (−1: the last), in the shape of this tensor, as `dtype`.
    #[track_caller]
    pub fn iota_like(self, axis: impl IntoAxis, dtype: DType) -> Tensor {
        let Some(shape) = self.shape() else { return self.identity() };
        match self.axis("iota", axis) {
            Ok(axis) => iota(self.context(), Type { dtype, shape }, axis),
            Err(ill) => ill,
        }
    }
}

/// 0, 1, 2, ... along `axis` (−1: the last).
#[track_caller]
pub fn iota(context: ContextId, ty: Type, axis: impl IntoAxis) -> Tensor {
    let line = Line::Code(Location::caller());
    match axis.counted(ty.shape) {
        Ok(axis) => context.emit(Iota { ty, axis }.into(), &[], line).one(),
        Err(ill) => context.emit(IllCall::new("iota", ill).into(), &[], line).one(),
    }
}

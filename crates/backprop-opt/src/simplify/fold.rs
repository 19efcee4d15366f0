//! Constants: what depends on nothing is computed by the op's own definition.

use std::sync::Arc;

use backprop_core::ops::{Constant, Full, Literal, Types};
use backprop_core::{Array, Data, Op, Type, ValueId};
use smallvec::SmallVec;

use super::build::Build;

/// As many elements are computed here at most: more would cost memory, where an op costs none.
const MOST_ELEMENTS: usize = 1024;
/// As many products of a contraction.
const MOST_PRODUCTS: usize = 1 << 16;

/// The leaf that a call on constants equals. A call that would find a fault stays: it is found when it runs.
pub(super) fn fold(build: &Build, op: &Op, inputs: &[ValueId]) -> Option<Op> {
    match op {
        Op::Constant(constant) => uniform(&constant.array),
        Op::DimValue(dim) => {
            Full::new(Type::scalar(backprop_core::DType::I64), dim.dim.size()? as i64).ok().map(Op::from)
        }
        op if op.is_elementwise() => pointwise(build, op, inputs).or_else(|| evaluated(build, op, inputs)),
        Op::Sum(_) | Op::Max(_) | Op::Any(_) | Op::LogSumExp(_) | Op::LogSoftmax(_) | Op::Norm(_) => {
            evaluated(build, op, inputs)
        }
        Op::Reshape(_) | Op::Transpose(_) | Op::Slice(_) | Op::Concat(_) | Op::Gather(_) | Op::OneHot(_) => {
            evaluated(build, op, inputs)
        }
        Op::ArgMax(_) | Op::ScatterAdd(_) => evaluated(build, op, inputs),
        Op::Contract(contract) => {
            let sizes = build.ty(inputs[0]).shape.sizes()?;
            let n: usize = contract.lhs_contract.iter().map(|axis| sizes[axis]).product();
            let outputs = op.infer(&[build.ty(inputs[0]), build.ty(inputs[1])]).ok()?;
            let products = n.checked_mul(outputs[0].shape.n_elements()?)?;
            (products <= MOST_PRODUCTS).then(|| evaluated(build, op, inputs))?
        }
        _ => None,
    }
}

/// A pointwise op on uniform values, of any shape.
fn pointwise(build: &Build, op: &Op, inputs: &[ValueId]) -> Option<Op> {
    let fulls: Option<SmallVec<[Full; 3]>> = inputs
        .iter()
        .map(|&input| match build.op(input) {
            Op::Full(full) => Some(*full),
            _ => None,
        })
        .collect();
    let fulls = fulls?;
    let shape = build.ty(inputs[0]).shape;
    let element = |full: &Full| {
        let ty = Type::scalar(full.ty.dtype);
        let scalar = Op::from(Full::new(ty, full.value()).ok()?);
        scalar.rule().eval(&[], &[ty]).ok().map(|mut arrays| arrays.remove(0))
    };
    let arrays: Option<SmallVec<[Array; 3]>> = fulls.iter().map(element).collect();
    let arrays = arrays?;
    let result = eval(op, &arrays.iter().collect::<SmallVec<[&Array; 3]>>())?;
    let value = first(&result)?;
    Full::new(Type { dtype: result.dtype(), shape }, value).ok().map(Op::from)
}

/// Any op on small constants.
fn evaluated(build: &Build, op: &Op, inputs: &[ValueId]) -> Option<Op> {
    let is_known = |&value: &ValueId| matches!(build.op(value), Op::Full(_) | Op::Constant(_) | Op::Iota(_));
    if !inputs.iter().all(is_known) {
        return None;
    }
    let small = |ty: Type| ty.shape.n_elements().is_some_and(|n| n <= MOST_ELEMENTS);
    let types: SmallVec<[Type; 4]> = inputs.iter().map(|&input| build.ty(input)).collect();
    let outputs = op.infer(&types).ok()?;
    if outputs.len() != 1 || !types.iter().chain(&outputs).all(|&ty| small(ty)) {
        return None;
    }
    let arrays: Option<SmallVec<[Array; 4]>> =
        inputs.iter().zip(&types).map(|(&input, &ty)| eval_leaf(build.op(input), ty)).collect();
    let arrays = arrays?;
    let result = eval(op, &arrays.iter().collect::<SmallVec<[&Array; 4]>>())?;
    Some(uniform(&result).unwrap_or_else(|| Constant { array: Arc::new(result) }.into()))
}

fn eval_leaf(op: &Op, ty: Type) -> Option<Array> {
    op.rule().eval(&[], &[ty]).ok().map(|mut arrays| arrays.remove(0))
}

fn eval(op: &Op, inputs: &[&Array]) -> Option<Array> {
    let types: SmallVec<[Type; 4]> = inputs.iter().map(|x| Type::new(x.dtype(), x.shape())).collect();
    let outputs: Types = op.infer(&types).ok()?;
    op.rule().eval(inputs, &outputs).ok().map(|mut arrays| arrays.remove(0))
}

/// The array as one element everywhere, where it is that.
fn uniform(array: &Array) -> Option<Op> {
    fn same<T: Copy>(x: &[T], bits: impl Fn(T) -> u64) -> bool {
        x.windows(2).all(|pair| bits(pair[0]) == bits(pair[1]))
    }
    let same = match array.data() {
        Data::F32(x) => same(x, |x| x.to_bits().into()),
        Data::F64(x) => same(x, f64::to_bits),
        Data::I32(x) => same(x, |x| x as u64),
        Data::I64(x) => same(x, |x| x as u64),
        Data::U32(x) => same(x, u64::from),
        Data::U8(x) => same(x, u64::from),
        Data::Bool(x) => same(x, u64::from),
    };
    let value = if array.is_empty() { Some(Literal::Int(0)) } else { first(array) };
    let full = value.filter(|_| same).and_then(|value| Full::new(type_of(array), value).ok())?;
    // A NaN's payload may not survive its way through f64.
    let held = array.is_empty() || eval_leaf(&full.into(), type_of(array))?.same_bits(array);
    held.then(|| full.into())
}

fn type_of(array: &Array) -> Type {
    Type::new(array.dtype(), array.shape())
}

/// The first element.
fn first(array: &Array) -> Option<Literal> {
    Some(match array.data() {
        Data::F32(x) => Literal::Float((*x.first()?).into()),
        Data::F64(x) => Literal::Float(*x.first()?),
        Data::I32(x) => Literal::Int((*x.first()?).into()),
        Data::I64(x) => Literal::Int(*x.first()?),
        Data::U32(x) => Literal::Int((*x.first()?).into()),
        Data::U8(x) => Literal::Int((*x.first()?).into()),
        Data::Bool(x) => Literal::Int((*x.first()?).into()),
    })
}

//! Ops that take a part of a value, or put parts together: slice, pad, concat. All linear, all exact.

use super::axis::IntoAxis;
use super::family::{Family, Linear};
use super::sample::{self, Registered, Sample};
use super::shape::{picked, sizes_of, walk};
use super::{Arrays, Attribute, Attributes, Op, Rule, Types, one, want_axis, want_inputs};
use crate::array::{Array, Sizes, strides};
use crate::graph::fault::Ill;
use crate::tensor::{Tensor, emit};
use crate::text::Given;
use crate::types::{Dim, Dims, MapDim, Shape, Type};

/// Every `step`-th element from `start` up to, not including, `stop`, along each axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// First index, for each axis.
    pub start: Dims,
    /// One past the last index, for each axis.
    pub stop: Dims,
    /// Distance between elements, for each axis.
    pub step: Dims,
}

/// Zeros (`false`) around and between the elements. Without elements there are `low` + `high` −
/// `interior`: then the gaps between them are one less than none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pad {
    /// How many before, for each axis.
    pub low: Dims,
    /// How many after, for each axis.
    pub high: Dims,
    /// How many between neighbours, for each axis.
    pub interior: Dims,
}

/// The operands one after another along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Concat {
    /// The axis.
    pub axis: usize,
}

impl Registered for Slice {
    fn names() -> Vec<&'static str> {
        vec!["slice"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        let (start, stop) = (given.dims("start")?, given.dims("stop")?);
        let step = given.has("step").then(|| given.dims("step")).transpose()?;
        let ones = all(1, start.len());
        Ok(Slice { start, stop, step: step.unwrap_or(ones) }.into())
    }

    fn samples() -> Vec<Sample> {
        let row = |sizes: &[usize], start: &[usize], stop: &[usize], step: &[usize]| -> Sample {
            let [start, stop, step] = [start, stop, step].map(Dims::from);
            (Slice { start, stop, step }.into(), vec![sample::wave(sizes, 0)])
        };
        sample::shown(vec![
            row(&[7], &[1], &[6], &[2]),
            row(&[], &[], &[], &[]),
            row(&[3, 5], &[0, 2], &[2, 5], &[1, 2]),
            row(&[5, 2], &[2, 0], &[2, 2], &[1, 1]),
            row(&[0, 3], &[0, 1], &[0, 3], &[1, 1]),
        ])
    }
}

impl Rule for Slice {
    fn name(&self) -> &str {
        "slice"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("yᵢ = x[start + i·step]", "dx = d in its place, zeros elsewhere")
    }

    fn attributes(&self) -> Attributes {
        vec![
            ("start", Attribute::Dims(self.start.clone())),
            ("stop", Attribute::Dims(self.stop.clone())),
            ("step", Attribute::Dims(self.step.clone())),
        ]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        want_inputs(inputs, 1)?;
        let x = inputs[0].shape;
        let lists = [&self.start, &self.stop, &self.step];
        if lists.iter().any(|list| list.len() != x.rank()) {
            return Err(Ill::new(format!("needs start, stop and step for each of the {} axes", x.rank())));
        }
        let mut dims = Vec::with_capacity(x.rank());
        for axis in 0..x.rank() {
            let (start, stop, step) = (self.start[axis], self.stop[axis], self.step[axis]);
            if let (Some(a), Some(b)) = (start.size(), stop.size())
                && (a > b || x[axis].size().is_some_and(|n| b > n))
            {
                return Err(Ill::new(format!(
                    "{a}..{b} is out of range for axis {axis} of size {}",
                    x[axis]
                )));
            }
            if let (Some(a), Some(n)) = (start.size(), x[axis].size())
                && a > n
            {
                return Err(Ill::new(format!("start {a} is out of range for axis {axis} of size {n}")));
            }
            let length = (stop - start + step - 1).div_floor(step);
            dims.push(length.ok_or_else(|| Ill::new(format!("the step of axis {axis} is 0")))?);
        }
        Ok(one(Type { dtype: inputs[0].dtype, shape: Shape::new(&dims) }))
    }

    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        let (sizes, own) = (sizes_of(outputs[0]), strides(inputs[0].sizes()));
        let (start, step) = (numbers(&self.start)?, numbers(&self.step)?);
        let moved: Sizes = own.iter().zip(&step).map(|(stride, step)| stride * step).collect();
        let origin: usize = own.iter().zip(&start).map(|(stride, start)| stride * start).sum();
        let at = walk(sizes, &moved);
        picked(inputs[0].pick(sizes, |i| origin + at(i)))
    }

    fn with_dims(&self, map: &MapDim) -> Result<Option<Op>, String> {
        let mapped = |list: &Dims| Ok::<_, String>(list.with_dims(map)?.unwrap_or_else(|| list.clone()));
        let op = Slice { start: mapped(&self.start)?, stop: mapped(&self.stop)?, step: mapped(&self.step)? };
        Ok(Some(op).filter(|op| op != self).map(Op::from))
    }

    fn family(&self) -> Family<'_> {
        Family::Linear(self)
    }
}

/// `n` for each of `rank` axes.
fn all(n: usize, rank: usize) -> Dims {
    std::iter::repeat_n(Dim::Size(n), rank).collect()
}

fn numbers(dims: &Dims) -> Result<Sizes, Ill> {
    dims.sizes().ok_or_else(|| Ill::new(format!("{dims} has a dimension without a size")))
}

impl Linear for Slice {
    fn transpose(&self, _slot: usize, x: &[Tensor], d: Tensor) -> Tensor {
        let (Some(whole), Some(part)) = (x[0].shape(), d.shape()) else { return d };
        let (mut high, mut interior) = (Vec::new(), Vec::new());
        for axis in 0..whole.rank() {
            let (start, stop, step) = (self.start[axis], self.stop[axis], self.step[axis]);
            let used = match step {
                Dim::Size(1) => stop - start,
                _ => (part[axis] - 1) * step + 1,
            };
            high.push(whole[axis] - start - used);
            interior.push(step - 1);
        }
        let (high, interior) = (high.into_iter().collect(), interior.into_iter().collect());
        emit(Pad { low: self.start.clone(), high, interior }, &[d]).one()
    }
}

impl Registered for Pad {
    fn names() -> Vec<&'static str> {
        vec!["pad"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        let (low, high) = (given.dims("low")?, given.dims("high")?);
        let interior = given.has("interior").then(|| given.dims("interior")).transpose()?;
        let zeros = all(0, low.len());
        Ok(Pad { low, high, interior: interior.unwrap_or(zeros) }.into())
    }

    fn samples() -> Vec<Sample> {
        let row = |sizes: &[usize], low: &[usize], high: &[usize], interior: &[usize]| -> Sample {
            let [low, high, interior] = [low, high, interior].map(Dims::from);
            (Pad { low, high, interior }.into(), vec![sample::wave(sizes, 0)])
        };
        sample::shown(vec![
            row(&[3], &[1], &[2], &[0]),
            row(&[], &[], &[], &[]),
            row(&[3, 2], &[0, 1], &[2, 3], &[0, 2]),
            row(&[0, 3], &[2, 0], &[1, 1], &[0, 0]),
        ])
    }
}

impl Rule for Pad {
    fn name(&self) -> &str {
        "pad"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("y = x between zeros", "dx = d at the places of x")
    }

    fn attributes(&self) -> Attributes {
        vec![
            ("low", Attribute::Dims(self.low.clone())),
            ("high", Attribute::Dims(self.high.clone())),
            ("interior", Attribute::Dims(self.interior.clone())),
        ]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        want_inputs(inputs, 1)?;
        let x = inputs[0].shape;
        if [&self.low, &self.high, &self.interior].iter().any(|list| list.len() != x.rank()) {
            return Err(Ill::new(format!("needs low, high and interior for each of the {} axes", x.rank())));
        }
        let dims: Vec<Dim> = (0..x.rank())
            .map(|axis| {
                // Of 0 elements too: a size that is only a name may turn out to be 0.
                let inner = x[axis] + (x[axis] - 1) * self.interior[axis];
                self.low[axis] + inner + self.high[axis]
            })
            .collect();
        Ok(one(Type { dtype: inputs[0].dtype, shape: Shape::new(&dims) }))
    }

    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        let (sizes, x) = (sizes_of(outputs[0]), inputs[0]);
        let (low, gap) = (numbers(&self.low)?, numbers(&self.interior)?);
        let (own, out) = (strides(x.sizes()), strides(sizes));
        // One more element, a zero, is what the padding reads.
        let source = |i: usize| -> Option<usize> {
            let mut from = 0;
            for axis in 0..sizes.len() {
                let at = ((i / out[axis]) % sizes[axis]).checked_sub(low[axis])?;
                let (at, rest) = (at / (gap[axis] + 1), at % (gap[axis] + 1));
                if rest != 0 || at >= x.sizes()[axis] {
                    return None;
                }
                from += at * own[axis];
            }
            Some(from)
        };
        let with_zero = append_zero(x);
        picked(with_zero.pick(sizes, |i| source(i).unwrap_or(x.len())))
    }

    fn with_dims(&self, map: &MapDim) -> Result<Option<Op>, String> {
        let mapped = |list: &Dims| Ok::<_, String>(list.with_dims(map)?.unwrap_or_else(|| list.clone()));
        let op =
            Pad { low: mapped(&self.low)?, high: mapped(&self.high)?, interior: mapped(&self.interior)? };
        Ok(Some(op).filter(|op| op != self).map(Op::from))
    }

    fn family(&self) -> Family<'_> {
        Family::Linear(self)
    }
}

fn append_zero(x: &Array) -> Array {
    crate::with_data!(x.data(), |values| {
        let mut values = values.to_vec();
        values.push(Default::default());
        Array::vector(values)
    })
}

impl Linear for Pad {
    fn transpose(&self, _slot: usize, x: &[Tensor], d: Tensor) -> Tensor {
        let Some(inner) = x[0].shape() else { return d };
        let (mut stop, mut step) = (Vec::new(), Vec::new());
        for axis in 0..inner.rank() {
            let used = match inner[axis] {
                Dim::Size(0) => Dim::Size(0),
                n => n + (n - 1) * self.interior[axis],
            };
            stop.push(self.low[axis] + used);
            step.push(self.interior[axis] + 1);
        }
        let (stop, step) = (stop.into_iter().collect(), step.into_iter().collect());
        emit(Slice { start: self.low.clone(), stop, step }, &[d]).one()
    }
}

impl Registered for Concat {
    fn names() -> Vec<&'static str> {
        vec!["concat"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        Ok(Concat { axis: given.axis("axis", given.rank(0))? }.into())
    }

    fn samples() -> Vec<Sample> {
        let row = |axis: usize, parts: &[&[usize]]| -> Sample {
            let operands = parts.iter().enumerate();
            (Concat { axis }.into(), operands.map(|(seed, sizes)| sample::wave(sizes, seed)).collect())
        };
        sample::shown(vec![
            row(0, &[&[3], &[2]]),
            row(1, &[&[2, 3], &[2, 1], &[2, 5]]),
            row(0, &[&[2, 3], &[0, 3]]),
        ])
    }
}

impl Rule for Concat {
    fn name(&self) -> &str {
        "concat"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("y = x₀, x₁, ... along an axis", "dxₖ = its part of d")
    }

    fn attributes(&self) -> Attributes {
        vec![("axis", Attribute::Int(self.axis as i64))]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        let first = *inputs.first().ok_or_else(|| Ill::new("needs at least one operand"))?;
        want_axis(self.axis, first)?;
        let mut total = Dim::Size(0);
        for (idx, ty) in inputs.iter().enumerate() {
            if ty.dtype != first.dtype {
                return Err(Ill::new("element types differ").note(idx, format!("is {}", ty.dtype)));
            }
            if ty.shape.rank() != first.shape.rank()
                || ty.shape.with(self.axis, Dim::Size(0)) != first.shape.with(self.axis, Dim::Size(0))
            {
                return Err(Ill::new(format!("shapes differ apart from axis {}", self.axis))
                    .note(idx, format!("is {}", ty.shape)));
            }
            total = total + ty.shape[self.axis];
        }
        Ok(one(Type { dtype: first.dtype, shape: first.shape.with(self.axis, total) }))
    }

    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        let sizes = sizes_of(outputs[0]);
        let inner: usize = sizes[self.axis + 1..].iter().product();
        let outer: usize = sizes[..self.axis].iter().product();
        let joined = crate::with_dtype!(outputs[0].dtype, |T| {
            let mut values: Vec<T> = Vec::with_capacity(sizes.iter().product());
            for row in 0..outer {
                for x in inputs {
                    let part = x.sizes()[self.axis] * inner;
                    let from = x.slice::<T>().map_err(|e| Ill::new(e.to_string()))?;
                    values.extend_from_slice(&from[row * part..(row + 1) * part]);
                }
            }
            Array::new(sizes, values).map_err(|e| Ill::new(e.to_string()))?
        });
        picked(joined)
    }

    fn family(&self) -> Family<'_> {
        Family::Linear(self)
    }
}

impl Linear for Concat {
    fn is_linear_in(&self, _slot: usize) -> bool {
        true
    }

    fn transpose(&self, slot: usize, x: &[Tensor], d: Tensor) -> Tensor {
        let wanted: Vec<bool> = (0..x.len()).map(|at| at == slot).collect();
        self.transposes(x, d, &wanted)[slot].unwrap_or(d)
    }

    fn transposes(&self, x: &[Tensor], d: Tensor, wanted: &[bool]) -> Vec<Option<Tensor>> {
        // One pass: each operand begins where the one before it ends.
        let mut start = Dim::Size(0);
        let mut parts = Vec::with_capacity(x.len());
        for (x, &wanted) in x.iter().zip(wanted) {
            let Some(shape) = x.shape() else {
                parts.push(wanted.then_some(*x));
                continue;
            };
            let stop = start + shape[self.axis];
            parts.push(wanted.then(|| d.slice_axis(self.axis, start, stop)));
            start = stop;
        }
        parts
    }
}

impl Tensor {
    /// Elements `start..stop` along one axis (−1: the last), everything along the others.
    #[track_caller]
    pub fn slice_axis(self, axis: impl IntoAxis, start: impl Into<Dim>, stop: impl Into<Dim>) -> Tensor {
        let Some(shape) = self.shape() else { return self.identity() };
        let axis = match self.axis("slice", axis) {
            Ok(axis) => axis,
            Err(ill) => return ill,
        };
        let at = |own: usize, chosen: Dim, other: Dim| if own == axis { chosen } else { other };
        let (start, stop) = (start.into(), stop.into());
        let first = (0..shape.rank()).map(|own| at(own, start, Dim::Size(0))).collect();
        let end = (0..shape.rank()).map(|own| at(own, stop, shape[own])).collect();
        emit(Slice { start: first, stop: end, step: all(1, shape.rank()) }, &[self]).one()
    }

    /// Every `step`-th element of `start..stop` along each axis.
    #[track_caller]
    pub fn slice(self, start: impl Into<Dims>, stop: impl Into<Dims>, step: impl Into<Dims>) -> Tensor {
        emit(Slice { start: start.into(), stop: stop.into(), step: step.into() }, &[self]).one()
    }

    /// `low` zeros before and `high` zeros after the elements of each axis.
    #[track_caller]
    pub fn pad(self, low: impl Into<Dims>, high: impl Into<Dims>) -> Tensor {
        let low = low.into();
        let interior = all(0, low.len());
        emit(Pad { low, high: high.into(), interior }, &[self]).one()
    }
}

/// The operands one after another along `axis` (−1: the last). Of no operand there is no result: reading it is an
/// error.
#[track_caller]
pub fn concat(operands: &[Tensor], axis: impl IntoAxis) -> Tensor {
    let counted = match operands.first() {
        Some(first) => first.axis("concat", axis),
        None => Ok(0),
    };
    match counted {
        Ok(axis) => emit(Concat { axis }, operands).one(),
        Err(ill) => ill,
    }
}

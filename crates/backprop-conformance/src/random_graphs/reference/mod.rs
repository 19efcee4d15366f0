//! The reference: a graph's values in double-double, each with a bound on what an engine may make of it.
//!
//! It walks the records op by op, bodies too, and shares no evaluation with an interpreter, kernel or
//! compiler: what it knows of an op stands in this folder. From the core come only types, names and sizes.

mod contract;
mod movement;
mod pointwise;
mod reduce;
pub mod values;

use std::collections::{BTreeMap, HashMap};

use backprop_core::graph::records::ValueId;
use backprop_core::graph::replay::needed;
use backprop_core::ops::{Binary, Full, Iota, Literal, Scan, Types};
use backprop_core::random::{Key, philox};
use backprop_core::{Array, Body, DType, Element, NodeId, Op, Records, Type, with_dtype};

use super::double::Double;
use super::functions;
use super::real::{Format, Real};
use super::ulps::{Promise, ROUNDED};
use values::{Elements, Source, Values};

/// Of an op: how often it was called, how many elements it computed, how many of them are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Calls: each iteration of a body counts.
    pub calls: usize,
    /// Elements.
    pub elements: usize,
    /// Elements that depend on rounding.
    pub left_out: usize,
}

/// What the reference found.
pub struct Evaluation {
    /// The outputs.
    pub outputs: Vec<Values>,
    /// For each op what it computed.
    pub counts: BTreeMap<String, Count>,
}

/// The values of `outputs` from given arrays, with the bounds of engines that promise `promise`.
///
/// # Errors
/// A fault: in types, in sizes or in the data.
pub fn evaluate(
    records: &Records,
    given: &[(ValueId, Array)],
    outputs: &[ValueId],
    promise: Promise,
) -> Result<Evaluation, String> {
    let borrowed: Vec<(ValueId, &Array)> = given.iter().map(|(value, array)| (*value, array)).collect();
    let sizes = records.sizes(&borrowed, "reference").map_err(|error| error.to_string())?;
    let mut walk = Walk { promise, counts: BTreeMap::new(), n_tokens: 0 };
    let known = |value: ValueId| given.iter().any(|(own, _)| *own == value);
    let mut nodes = Vec::new();
    for id in needed(records, outputs, known) {
        let op = &records.node(id).op;
        nodes.push((id, op.bind(&sizes)?.unwrap_or_else(|| op.clone())));
    }
    let given = given.iter().map(|(value, array)| (*value, Values::given(array))).collect();
    let outputs = walk.run(records, nodes.iter().map(|(id, op)| (*id, op)), given, outputs)?;
    Ok(Evaluation { outputs, counts: walk.counts })
}

struct Walk {
    promise: Promise,
    counts: BTreeMap<String, Count>,
    n_tokens: u64,
}

impl Walk {
    fn run<'a>(
        &mut self,
        records: &Records,
        nodes: impl Iterator<Item = (NodeId, &'a Op)>,
        mut values: HashMap<ValueId, Values>,
        outputs: &[ValueId],
    ) -> Result<Vec<Values>, String> {
        for (id, op) in nodes {
            let node = records.node(id);
            let computed = {
                let x: Vec<&Values> = node.inputs.iter().map(|input| &values[input]).collect();
                self.node(op, &x).map_err(|rule| format!("{} (node {id}): {rule}", op.name()))?
            };
            for (output, computed) in node.outputs().zip(computed) {
                values.entry(output).or_insert(computed);
            }
        }
        Ok(outputs.iter().map(|output| values[output].clone()).collect())
    }

    fn body(&mut self, body: &Body, arguments: Vec<Values>) -> Result<Vec<Values>, String> {
        let given = body.parameters().iter().copied().zip(arguments).collect();
        let nodes = body.plan().iter().map(|(id, _)| (*id, &body.records().node(*id).op));
        self.run(body.records(), nodes, given, body.outputs())
    }

    fn node(&mut self, op: &Op, x: &[&Values]) -> Result<Vec<Values>, String> {
        let types: Vec<Type> = x.iter().map(|x| x.ty()).collect();
        let types = op.infer(&types).map_err(|ill| ill.rule)?;
        let mut computed = self.compute(op, x, &types)?;
        for (values, ty) in computed.iter_mut().zip(&types) {
            assert_eq!(values.ty(), *ty, "the reference of {}", op.name());
            self.tell_apart(op, x, values);
        }
        let count = self.counts.entry(op.name().to_string()).or_default();
        count.calls += 1;
        count.elements += computed.iter().map(Values::n_elements).sum::<usize>();
        count.left_out += computed.iter().map(Values::n_left_out).sum::<usize>();
        Ok(computed)
    }

    /// Gives a token to each new element. One pointwise node makes of equal operands equal results, wherever
    /// they stand (no bit depends on a neighbour): those get one token.
    fn tell_apart(&mut self, op: &Op, x: &[&Values], values: &mut Values) {
        let Elements::Reals(reals) = &mut values.elements else { return };
        let is_new = |real: &Real| real.token == 0 && !real.is_exact() && !real.is_left_out();
        if !reals.iter().any(is_new) {
            return;
        }
        let is_pointwise =
            matches!(op, Op::Unary(_) | Op::Binary(_) | Op::Fma(_) | Op::Cast(_) | Op::Custom(_));
        let mut known: HashMap<Vec<(bool, u64)>, u64> = HashMap::new();
        for (i, real) in
            std::sync::Arc::make_mut(reals).iter_mut().enumerate().filter(|(_, real)| is_new(real))
        {
            self.n_tokens += 1;
            real.token = match is_pointwise {
                true => *known.entry(x.iter().map(|x| x.identity(i)).collect()).or_insert(self.n_tokens),
                false => self.n_tokens,
            };
        }
    }

    fn compute(&mut self, op: &Op, x: &[&Values], types: &Types) -> Result<Vec<Values>, String> {
        let (promise, ty) = (self.promise, types[0]);
        Ok(vec![match op {
            Op::Constant(op) => Values::given(&op.array),
            Op::Full(op) => full(*op, ty),
            Op::Iota(op) => iota(*op, ty),
            Op::DimValue(op) => {
                Values::wholes(ty, vec![Some(op.dim.size().ok_or("a size without a number")? as i64)])
            }
            Op::Unary(op) => pointwise::unary(*op, x[0], promise),
            Op::Binary(op) => pointwise::binary(*op, x[0], x[1], promise)?,
            Op::Compare(op) => pointwise::compare(*op, x[0], x[1]),
            Op::Logic(op) => pointwise::logic(*op, x),
            Op::Fma(_) => pointwise::fma(x[0], x[1], x[2]),
            Op::Select(_) => pointwise::select(x[0], x[1], x[2]),
            Op::Cast(op) => pointwise::cast(*op, x[0]),
            Op::StopGradient(_) | Op::Identity(_) => x[0].clone(),
            Op::Reshape(_) => movement::reshape(x[0], ty),
            Op::Transpose(op) => movement::transpose(op, x[0], ty),
            Op::Broadcast(_) => movement::broadcast(x[0], ty),
            Op::Slice(op) => movement::slice(op, x[0], ty),
            Op::Pad(op) => movement::pad(op, x[0], ty),
            Op::Concat(op) => movement::concat(op, x, ty),
            Op::Gather(op) => movement::gather(op, x[0], x[1], ty)?,
            Op::ScatterAdd(op) => movement::scatter_add(op, x[0], x[1], x[2])?,
            Op::OneHot(op) => movement::one_hot(op, x[0], ty)?,
            Op::ArgMax(op) => reduce::max_with_index(x[0], op.axis, ty).1,
            Op::MaxWithIndex(op) => {
                let (largest, places) = reduce::max_with_index(x[0], op.axis, ty);
                return Ok(vec![largest, places]);
            }
            Op::Sum(op) => reduce::sum(x[0], op.axes, ty),
            Op::Max(op) => reduce::max(x[0], op.axes, ty),
            Op::Any(op) => reduce::any(x[0], op.axes, ty),
            Op::LogSumExp(op) => reduce::logsumexp(x[0], op.axes, ty, promise),
            Op::LogSoftmax(op) => reduce::log_softmax(x[0], op.axes, promise),
            Op::Norm(_) => reduce::norm(x[0], ty),
            Op::Contract(op) => contract::contract(op, x[0], x[1], ty),
            Op::Uniform(_) => drawn(x[0], ty, uniform),
            Op::Normal(_) => drawn(x[0], ty, |key, i, format| normal(key, i, format, promise)),
            Op::Cond(op) => {
                let arguments = || x[1..].iter().map(|&x| x.clone()).collect();
                return match x[0].as_wholes()[0] {
                    Some(0) => self.body(&op.otherwise, arguments()),
                    Some(_) => self.body(&op.then, arguments()),
                    None => Ok(types.iter().map(|&ty| Values::left_out(ty)).collect()),
                };
            }
            Op::Scan(op) => return self.scan(op, x, types),
            Op::Custom(op) if backprop_core::ops::Rule::name(op) == super::cube::NAME => cube(x[0]),
            Op::Input(_) => return Err("an input was not given".to_string()),
            Op::Missing(_) | Op::IllCall(_) | Op::Custom(_) => {
                return Err("nothing is known of it".to_string());
            }
        }])
    }

    fn scan(&mut self, op: &Scan, x: &[&Values], types: &Types) -> Result<Vec<Values>, String> {
        let length = op.length.size().ok_or("a length without a number")?;
        let (carries, rest) = x.split_at(op.n_carry);
        let (xs, captures) = rest.split_at(op.n_xs);
        let mut carries: Vec<Values> = carries.iter().map(|&x| x.clone()).collect();
        let mut rows: Vec<Vec<Values>> =
            vec![vec![Values::wholes(Type::new(DType::I64, [0]), vec![]); length]; types.len() - op.n_carry];
        for round in 0..length {
            let k = if op.reverse { length - 1 - round } else { round };
            let row = |xs: &&Values| {
                let ty = Type::new(xs.dtype, &xs.sizes[1..]);
                let n = ty.shape.n_elements().expect("every size has a number");
                xs.pick(ty, |i| Source::Element(k * n + i))
            };
            let arguments = std::iter::once(Values::wholes(Type::scalar(DType::I64), vec![Some(k as i64)]))
                .chain(carries)
                .chain(xs.iter().map(row))
                .chain(captures.iter().map(|&x| x.clone()))
                .collect();
            carries = self.body(&op.body, arguments)?;
            for (rows, y) in rows.iter_mut().zip(carries.split_off(op.n_carry)) {
                rows[k] = y;
            }
        }
        let stacked = rows.iter().zip(&types[op.n_carry..]).map(|(rows, &ty)| match ty.dtype.is_float() {
            true => Values::reals(ty, rows.iter().flat_map(|row| row.as_reals()).copied().collect()),
            false => Values::wholes(ty, rows.iter().flat_map(|row| row.as_wholes()).copied().collect()),
        });
        let stacked: Vec<Values> = stacked.collect();
        Ok(carries.into_iter().chain(stacked).collect())
    }
}

fn full(op: Full, ty: Type) -> Values {
    let n = ty.shape.n_elements().expect("every size has a number");
    match (op.value(), ty.dtype.is_float()) {
        (Literal::Float(x), true) => {
            let held = with_dtype!(ty.dtype, |T| T::from_f64(x).to_f64());
            Values::reals(ty, vec![Real::exact(held); n])
        }
        (Literal::Int(x), false) => Values::wholes(ty, vec![Some(x); n]),
        (value, _) => unreachable!("{value:?} in a full of {ty}"),
    }
}

fn iota(op: Iota, ty: Type) -> Values {
    let n = ty.shape.n_elements().expect("every size has a number");
    let sizes = ty.shape.sizes().expect("every size has a number");
    let counts = (0..n).map(|i| values::place(sizes, i)[op.axis] as i64);
    match ty.dtype.is_float() {
        true => Values::reals(
            ty,
            counts
                .map(|i| Real::exact(with_dtype!(ty.dtype, |T| T::from_i64_wrapping(i).to_f64())))
                .collect(),
        ),
        false => Values::wholes(ty, counts.map(|i| Some(values::wrapped(ty.dtype, i))).collect()),
    }
}

/// x³ as the custom op computes it: in f64, then rounded.
fn cube(x: &Values) -> Values {
    let format = Format::of(x.dtype);
    let each = |&real: &Real| {
        let once = |a, b| pointwise::binary_real(Binary::Mul, a, b, format, Promise::System);
        once(once(real, real), real)
    };
    Values::reals(x.ty(), x.as_reals().iter().map(each).collect())
}

fn drawn(key: &Values, ty: Type, draw: impl Fn(Key, u64, Format) -> Real) -> Values {
    let words: Option<Vec<u32>> = key.as_wholes().iter().map(|word| Some((*word)? as u32)).collect();
    let Some(words) = words else { return Values::left_out(ty) };
    let key: Key = words.try_into().expect("the type rule wants four words");
    let n = ty.shape.n_elements().expect("every size has a number") as u64;
    Values::reals(ty, (0..n).map(|i| draw(key, i, Format::of(ty.dtype))).collect())
}

/// The words of a block of elements: seed as Philox's key; block, stream and step as its counter.
fn block(key: Key, block: u64) -> [u32; 4] {
    philox([block as u32, (block >> 32) as u32, key[2], key[3]], [key[0], key[1]])
}

/// 53 bits of two words.
fn bits(words: [u32; 4], half: usize) -> u64 {
    (u64::from(words[2 * half]) | u64::from(words[2 * half + 1]) << 32) >> 11
}

/// A multiple of 2⁻²⁴ or 2⁻⁵³: exact.
fn uniform(key: Key, i: u64, format: Format) -> Real {
    Real::exact(match format.dtype {
        DType::F32 => f64::from(block(key, i / 4)[(i % 4) as usize] >> 8) * 2f64.powi(-24),
        _ => bits(block(key, i / 2), (i % 2) as usize) as f64 * 2f64.powi(-53),
    })
}

/// √(−2 ln u)·cos(2πv) with u, v in (0, 1], computed in f64 and rounded.
fn normal(key: Key, i: u64, format: Format, promise: Promise) -> Real {
    let words = block(key, i);
    let unit = |half| Double::from((bits(words, half) + 1) as f64 * 2f64.powi(-53));
    let radius = (functions::log(unit(0)) * Double::from(-2.0)).sqrt();
    let angle = functions::TWO_PI * unit(1);
    let (sine, cosine) = functions::sin_cos(angle);
    let f64s = Format::of(DType::F64);
    // The angle is rounded once, as is the 2π in it; the logarithm counts half under the root.
    let ulps = promise.exponential(DType::F64);
    let of_angle = radius.hi * sine.hi.abs() * 2.0 * f64s.rounding(angle.hi);
    let of_rest = radius.hi * f64s.rounding(1.0) * (cosine.hi.abs() * (ulps + 2.0) + 2.0 * ulps);
    format.real(radius * cosine, of_angle + of_rest, ROUNDED)
}

//! `scan`: a body is run once for each slice of its inputs, and hands a carry on.

use std::panic::Location;
use std::sync::Arc;

use super::differentiate;
use super::tree::Tree;
use super::{called, home_of, told, want_parameter};
use crate::array::{Array, DType, MAX_RANK};
use crate::graph::Graph;
use crate::graph::body::Body;
use crate::graph::context::ContextId;
use crate::graph::draft::{Draft, OpenBody};
use crate::graph::fault::Ill;
use crate::graph::place::Line;
use crate::ops::sample::{self, Registered, Sample};
use crate::ops::{
    Arrays, Attribute, Attributes, Bprop, Differentiate, Family, General, Gradient, IllCall, Op, Rule, Types,
};
use crate::tensor::{Outputs, Tensor};
use crate::text::Given;
use crate::types::{Dim, MapDim, Shape, Type};
use crate::with_dtype;

/// cₖ₊₁, yₖ = body(k, cₖ, xₖ, captures) for k = 0, 1, ..., length − 1.
///
/// Operands: the carries c₀, the xs (xₖ is the slice k of axis 0), the captures. Outputs: the last
/// carries, and the ys, stacked along a new axis 0. A length of 0 hands the carries on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scan {
    /// One iteration. Parameters: k (an i64 scalar), carries, slices of xs, captures. Outputs:
    /// carries, slices of ys.
    pub body: Arc<Body>,
    /// The number of carries.
    pub n_carry: usize,
    /// The number of xs.
    pub n_xs: usize,
    /// The number of iterations.
    pub length: Dim,
    /// Whether k runs from length − 1 down to 0.
    pub reverse: bool,
}

/// A loop that hands a carry on: `step(carry, x)` gives the next carry and y for each slice x of
/// `xs` along axis 0. Returns the last carry and the ys, stacked along a new axis 0.
///
/// `step` is called once, to build the loop's body; it may use any tensor of the surroundings. The
/// cost of running is linear in the iterations; values inside are freed in each. For derivatives the
/// carry that enters each iteration is kept (n carries of memory, one more forward pass).
///
/// At least one tensor must be in `init` or `xs`: it says which graph or tape the loop belongs to.
///
/// A random key of one's own must be folded with the iteration, or all iterations draw the same
/// numbers: use [`scan_indexed`] and [`Tensor::fold_in`]. Layers such as dropout do so.
///
/// ```
/// use backprop_core::{Graph, scan};
/// let g = Graph::new();
/// let (x, h0) = (g.input("x", "f32[T, 3]"), g.input("h0", "f32[5]"));
/// let (w, u) = (g.input("w", "f32[5, 5]"), g.input("u", "f32[5, 3]"));
/// let (h, all) = scan(h0, x, |h, x| {
///     let h = (w.matmul(h) + u.matmul(x)).tanh();
///     (h, h)
/// });
/// assert_eq!(h.ty().map(|ty| ty.to_string()).as_deref(), Some("f32[5]"));
/// assert_eq!(all.ty().map(|ty| ty.to_string()).as_deref(), Some("f32[T, 5]"));
/// ```
#[track_caller]
pub fn scan<C: Tree, X: Tree, Y: Tree>(init: C, xs: X, step: impl FnOnce(C, X) -> (C, Y)) -> (C, Y) {
    run(init, xs, None, false, |_, carry, x| step(carry, x))
}

/// As [`scan`], from the last slice to the first.
#[track_caller]
pub fn scan_reverse<C: Tree, X: Tree, Y: Tree>(init: C, xs: X, step: impl FnOnce(C, X) -> (C, Y)) -> (C, Y) {
    run(init, xs, None, true, |_, carry, x| step(carry, x))
}

/// As [`scan`]; `step` also gets the iteration's number, an i64 scalar.
#[track_caller]
pub fn scan_indexed<C: Tree, X: Tree, Y: Tree>(
    init: C,
    xs: X,
    step: impl FnOnce(Tensor, C, X) -> (C, Y),
) -> (C, Y) {
    run(init, xs, None, false, step)
}

/// `length` iterations without xs: `step(k, carry)` gives the next carry and y; see [`scan`].
///
/// ```
/// use backprop_core::{Graph, scan_n};
/// let g = Graph::new();
/// let x = g.input("x", "f64[]");
/// let (power, ()) = scan_n(5, x.ones_like(), |_, y| (y * x, ()));
/// assert!(g.check(&[power]).is_ok());
/// ```
#[track_caller]
pub fn scan_n<C: Tree, Y: Tree>(
    length: impl Into<Dim>,
    init: C,
    step: impl FnOnce(Tensor, C) -> (C, Y),
) -> (C, Y) {
    run(init, (), Some(length.into()), false, |k, carry, ()| step(k, carry))
}

#[track_caller]
fn run<C: Tree, X: Tree, Y: Tree>(
    init: C,
    xs: X,
    length: Option<Dim>,
    reverse: bool,
    step: impl FnOnce(Tensor, C, X) -> (C, Y),
) -> (C, Y) {
    let line = Line::Code(Location::caller());
    let (carries, slices) = (init.leaves(), xs.leaves());
    let operands: Vec<Tensor> = carries.iter().chain(&slices).copied().collect();
    let home = home_of(&operands);
    let known = length.or_else(|| slices.iter().find_map(|x| x.shape()?.first().copied()));
    let spec =
        Loop { n_carry: carries.len(), n_xs: slices.len(), length: known.unwrap_or(Dim::Size(0)), reverse };
    let mut results = None;
    let body = spec.draft(home, line, &operands, |own| {
        let mut own = own.iter().copied();
        let k = own.next().expect("the first parameter is the iteration's number");
        let (next, y) = step(k, init.rebuild(&mut own), xs.rebuild(&mut own));
        let leaves = next.leaves().into_iter().chain(y.leaves()).collect();
        results = Some((next.leaves().len(), y));
        leaves
    });
    let (n_next, y) = results.expect("the body was built");
    let Some(home) = home else {
        // Without a live operand the handles stay stale, and say why when they are read.
        let rule = "the loop starts from no tensor, or only from stale ones";
        let ill = Ill::new(rule).hint("a tensor in init or xs says where the loop belongs");
        let stray = |y: Tensor| if y.context().get().is_some() { y.ill("scan", ill.clone()) } else { y };
        let y = y.rebuild(&mut y.leaves().into_iter().map(stray));
        return (init, y);
    };
    let wrong = if n_next != carries.len() {
        Some(format!("the carry has {} tensors, but the body gives {n_next}", carries.len()))
    } else if known.is_none() && slices.is_empty() {
        Some("there are no xs to give the number of iterations".to_string())
    } else {
        None
    };
    if let Some(rule) = wrong {
        let ill = Ill::new(rule).hint("scan_n(length, init, |k, carry| ...) runs without xs");
        let ill = home.emit(IllCall::new("scan", ill).into(), &[], line).one();
        let mut all = std::iter::repeat(ill);
        return (init.rebuild(&mut all), y.rebuild(&mut all));
    }
    let outputs = spec.call(home, &operands, body, line);
    let mut outputs = outputs.iter();
    (init.rebuild(&mut outputs), y.rebuild(&mut outputs))
}

/// A loop before it has its body.
#[derive(Clone, Copy)]
pub(super) struct Loop {
    pub n_carry: usize,
    pub n_xs: usize,
    pub length: Dim,
    pub reverse: bool,
}

impl Loop {
    /// The body for these operands (carries, xs, then any that each iteration gets whole).
    pub fn draft(
        &self,
        home: Option<ContextId>,
        line: Line,
        operands: &[Tensor],
        step: impl FnOnce(&[Tensor]) -> Vec<Tensor>,
    ) -> Draft {
        let types = operands.iter().map(|operand| operand.ty()).collect::<Vec<_>>();
        self.draft_of_types(home, line, &types, step)
    }

    /// As [`Loop::draft`], from the types of the operands.
    pub fn draft_of_types(
        &self,
        home: Option<ContextId>,
        line: Line,
        operands: &[Option<Type>],
        step: impl FnOnce(&[Tensor]) -> Vec<Tensor>,
    ) -> Draft {
        let xs = self.n_carry..self.n_carry + self.n_xs;
        let types = operands.iter().enumerate().map(|(idx, &ty)| match xs.contains(&idx) {
            true => ty.and_then(slice_type),
            false => ty,
        });
        let mut body = OpenBody::new(home);
        let mut own = vec![body.iteration(line)];
        own.extend(types.map(|ty| body.parameter(ty, line)));
        let outputs = step(&own);
        body.close(&outputs, line)
    }

    /// Calls `scan` on `operands`, for which `body` has its explicit parameters.
    pub fn call(&self, home: ContextId, operands: &[Tensor], body: Draft, line: Line) -> Outputs {
        let captures: Vec<Tensor> = body.captures().collect();
        let inputs: Vec<Tensor> = operands.iter().chain(&captures).copied().collect();
        let Loop { n_carry, n_xs, reverse, .. } = *self;
        let length = home.get().map_or(self.length, |home| home.records().borrow().assumed(self.length));
        let body = Arc::new(body.finish(&captures, 1 + n_carry + n_xs));
        home.emit(Scan { body, n_carry, n_xs, length, reverse }.into(), &inputs, line)
    }
}

/// The type of a slice along axis 0.
fn slice_type(ty: Type) -> Option<Type> {
    let dims = ty.shape.dims().get(1..)?;
    Some(Type { shape: Shape::new(dims), ..ty })
}

impl Registered for Scan {
    fn names() -> Vec<&'static str> {
        vec!["scan"]
    }

    fn from_text(_name: &str, given: &Given) -> Result<Op, String> {
        Ok(Scan {
            n_carry: given.count("n_carry")?,
            n_xs: given.count("n_xs")?,
            length: given.dim("length")?,
            reverse: given.has("reverse") && given.truth("reverse")?,
            body: given.body("body")?,
        }
        .into())
    }

    fn samples() -> Vec<Sample> {
        let g = Graph::new();
        let (c, xs) = (g.input("c", "f64[]"), g.input("xs", "f64[3]"));
        let (sum, _) = scan(c, xs, |sum, x| (sum + x, sum + x));
        let (h, rows, w) = (g.input("h", "f64[2]"), g.input("rows", "f64[4, 2]"), g.input("w", "f64[2, 2]"));
        let step = |h: Tensor, x: Tensor| {
            let h = (w.matmul(h) + x).tanh();
            (h, h * x)
        };
        let ((last, _), (back, _)) = (scan(h, rows, step), scan_reverse(h, rows, step));
        let (power, ()) = scan_n(3usize, w, |_, y| (y * w, ()));
        let (e, none) = (g.input("e", "f64[0, 3]"), g.input("none", "f64[0, 2]"));
        let (empty, ()) = scan_n(2usize, e, |_, y| (y.sin(), ()));
        let (unmoved, _) = scan(h, none, step);
        let wave = sample::wave;
        let operands = [
            (c, Array::scalar(4.0)),
            (xs, sample::vector(&[1.0, 2.0, 3.0])),
            (h, wave(&[2], 0)),
            (rows, wave(&[4, 2], 1)),
            (w, wave(&[2, 2], 2)),
            (e, wave(&[0, 3], 0)),
            (none, wave(&[0, 2], 0)),
        ];
        [sum, last, back, power, empty, unmoved].iter().filter_map(|&y| called(y, &operands)).collect()
    }
}

impl Rule for Scan {
    fn name(&self) -> &str {
        "scan"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("cₖ₊₁, yₖ = body(k, cₖ, xₖ)", "dcₖ, dxₖ = body's vjp(dcₖ₊₁, dyₖ), from the last k")
    }

    fn attributes(&self) -> Attributes {
        vec![
            ("n_carry", Attribute::Int(self.n_carry as i64)),
            ("n_xs", Attribute::Int(self.n_xs as i64)),
            ("length", Attribute::Dim(self.length)),
            ("reverse", Attribute::Int(self.reverse.into())),
            ("body", Attribute::Body(self.body.clone())),
        ]
    }

    fn n_outputs(&self) -> usize {
        self.body.outputs().len()
    }

    fn bodies(&self) -> Vec<&Arc<Body>> {
        vec![&self.body]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        let Scan { body, n_carry, n_xs, length, .. } = self;
        let (n_carry, n_xs, n) = (*n_carry, *n_xs, inputs.len());
        if body.outputs().len() < n_carry || n < n_carry + n_xs || body.parameters().len() != n + 1 {
            let (n_parameters, n_outputs) = (body.parameters().len(), body.outputs().len());
            return Err(Ill::new(format!(
                "{n} operands, {n_carry} carries and {n_xs} xs do not fit a body of {n_parameters} \
                 parameters and {n_outputs} outputs"
            )));
        }
        for (idx, ty) in inputs.iter().enumerate().skip(n_carry).take(n_xs) {
            match ty.shape.dims().first() {
                Some(own) if own == length => {}
                Some(own) => {
                    return Err(Ill::new(format!("the xs differ in length: {length} and {own}"))
                        .note(idx, format!("axis 0 = {own}")));
                }
                None => return Err(Ill::new("xs need an axis to go along").note(idx, "is a scalar")),
            }
        }
        if !body.faults().is_empty() {
            return Err(Ill::new("the body is ill"));
        }
        let index = Type::scalar(DType::I64);
        want_parameter("the body's first parameter", index, body.parameter_type(0), 0)?;
        for (idx, &ty) in inputs.iter().enumerate() {
            let is_x = (n_carry..n_carry + n_xs).contains(&idx);
            let ty = if is_x { slice_type(ty).unwrap_or(ty) } else { ty };
            want_parameter("the body", ty, body.parameter_type(idx + 1), idx)?;
        }
        let mut types = Types::new();
        for (idx, &output) in body.outputs().iter().enumerate() {
            types.push(match body.records().ty(output) {
                Some(ty) if idx >= n_carry => stacked(ty, *length)?,
                Some(ty) if ty == inputs[idx] => ty,
                ty => {
                    let rule = format!(
                        "the body changes the type of carry {idx}: {} goes in, {} comes out",
                        inputs[idx],
                        told(ty)
                    );
                    return Err(Ill::new(rule).note(idx, format!("becomes {}", told(ty))));
                }
            });
        }
        Ok(types)
    }

    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        let length = self.steps()?;
        let (n_carry, n_xs) = (self.n_carry, self.n_xs);
        let mut carries: Vec<Array> = inputs[..n_carry].iter().map(|&array| array.clone()).collect();
        let mut rows: Vec<Vec<Array>> = vec![Vec::new(); outputs.len() - n_carry];
        for round in 0..length {
            let k = if self.reverse { length - 1 - round } else { round };
            let mut arguments = vec![Array::scalar(k as i64)];
            arguments.append(&mut carries);
            arguments.extend(inputs[n_carry..n_carry + n_xs].iter().map(|xs| {
                let sizes = &xs.sizes()[1..];
                let count: usize = sizes.iter().product();
                xs.pick(sizes, |i| k * count + i)
            }));
            arguments.extend(inputs[n_carry + n_xs..].iter().map(|&array| array.clone()));
            carries = self.body.eval(&arguments).map_err(|ill| in_iteration(k, ill))?;
            for (rows, y) in rows.iter_mut().zip(carries.drain(n_carry..)) {
                rows.push(y);
            }
        }
        let mut results: Arrays = carries.into();
        for (mut rows, ty) in rows.into_iter().zip(&outputs[n_carry..]) {
            if self.reverse {
                rows.reverse();
            }
            results.push(stack(&rows, *ty)?);
        }
        Ok(results)
    }

    fn with_dims(&self, map: &MapDim) -> Result<Option<Op>, String> {
        let (body, length) = (self.body.with_dims(map)?, map(self.length)?);
        if body.is_none() && length == self.length {
            return Ok(None);
        }
        let body = body.map_or_else(|| self.body.clone(), Arc::new);
        Ok(Some(Scan { body, length, ..*self }.into()))
    }

    fn family(&self) -> Family<'_> {
        Family::General(self)
    }
}

/// A stack of `length` values of this type.
pub(super) fn stacked(ty: Type, length: Dim) -> Result<Type, Ill> {
    let dims: Vec<Dim> = std::iter::once(length).chain(ty.shape.iter().copied()).collect();
    if dims.len() > MAX_RANK {
        return Err(Ill::new(format!("a stack of {ty} would have {} axes", dims.len())));
    }
    Ok(Type { shape: Shape::new(&dims), ..ty })
}

fn stack(rows: &[Array], ty: Type) -> Result<Array, Ill> {
    let sizes = ty.shape.sizes().expect("sizes are numbers when an op is evaluated");
    let stacked = with_dtype!(ty.dtype, |T| {
        let rows: Result<Vec<&[T]>, _> = rows.iter().map(|row| row.slice::<T>()).collect();
        rows.and_then(|rows| Array::new(sizes, rows.concat()))
    });
    stacked.map_err(|error| Ill::new(error.to_string()))
}

/// A fault of one iteration.
pub(super) fn in_iteration(k: usize, ill: Ill) -> Ill {
    Ill { rule: format!("in iteration {k}: {}", ill.rule), ..ill }
}

impl Scan {
    /// The number of iterations.
    ///
    /// # Errors
    /// The length has a name that was not replaced.
    pub fn steps(&self) -> Result<usize, Ill> {
        self.length.size().ok_or_else(|| Ill::new(format!("dimension {} has no size", self.length)))
    }

    /// A fault of iteration `k`, told so.
    pub fn located(&self, k: usize, ill: Ill) -> Ill {
        in_iteration(k, ill)
    }
}

impl General for Scan {
    fn no_derivative(&self, slot: usize) -> Option<&'static str> {
        // Without an iteration the carries come out as they go in.
        let hands_on = slot < self.n_carry && self.length.size().is_none_or(|length| length == 0);
        // One iteration decides: what reaches a carry smoothly has reached an output.
        match hands_on || self.body.is_smooth_in(slot + 1) {
            true => None,
            false => Some("the body does not depend smoothly on it"),
        }
    }

    fn bprop(&self, at: &Bprop) -> Vec<Gradient> {
        differentiate::scan_bprop(self, at)
    }

    fn jvp(
        &self,
        x: &[Tensor],
        y: &[Tensor],
        tx: &[Option<Tensor>],
        engine: &dyn Differentiate,
    ) -> Option<Vec<Option<Tensor>>> {
        Some(differentiate::scan_jvp(self, x, y, tx, engine))
    }
}

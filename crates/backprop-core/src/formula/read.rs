//! What each op says in a formula.

use std::collections::HashMap;

use super::algebra::{Algebra, Expr, Id, ONES};
use super::text::subscript;
use crate::graph::records::{NodeId, Records, ValueId};
use crate::ops::{Axes, Binary, Compare, Contract, Logic, Op, Unary};
use crate::types::{Dim, Shape, Type};

/// A value that was read.
#[derive(Clone, Copy)]
pub(super) struct Read {
    pub expr: Id,
    /// The axes along which all elements are equal because the value was spread there: `broadcast` is
    /// not written, so whoever sums over such an axis multiplies by its size. Axes of size 1 are always
    /// among them.
    spread: u8,
}

/// Reads nodes in order.
pub(super) struct Reader<'a> {
    pub algebra: Algebra,
    pub records: &'a Records,
    pub read: HashMap<ValueId, Read>,
}

fn ones(shape: Shape) -> u8 {
    (0..shape.rank()).filter(|&axis| shape[axis] == Dim::Size(1)).fold(0, |mask, axis| mask | 1 << axis)
}

fn all(shape: Shape) -> u8 {
    (0..shape.rank()).fold(0, |mask, axis| mask | 1 << axis)
}

fn has(mask: u8, axis: usize) -> bool {
    mask & (1 << axis) != 0
}

/// `₀₂` for the axes that are not spread, nothing where those are all that vary.
fn marks(axes: Axes, read: Read, rank: usize) -> String {
    let varying = |axis: &usize| !has(read.spread, *axis);
    match (0..rank).filter(varying).all(|axis| axes.contains(axis)) {
        true => String::new(),
        false => axes.iter().filter(varying).map(subscript).collect(),
    }
}

impl Reader<'_> {
    /// Reads a named value as its name; an ill or unreadable one too.
    pub fn name(&mut self, value: ValueId) {
        let name = match self.records.name(value) {
            Some(name) => name.to_string(),
            None if self.records.ty(value).is_none() => "?".to_string(),
            None => return,
        };
        if self.read.contains_key(&value) {
            return;
        }
        let plain = |c: char| c.is_alphanumeric() || "._%'?".contains(c);
        let name = if name.chars().all(plain) { name } else { format!("({name})") };
        let shape = self.records.ty(value).map_or(Shape::SCALAR, |ty| ty.shape);
        let spread = ones(shape);
        let expr = self.algebra.symbol(&name, spread == all(shape));
        self.read.insert(value, Read { expr, spread });
    }

    /// Reads node `id`; of `root` the name is not used.
    pub fn node(&mut self, id: NodeId, root: ValueId) {
        let node = self.records.node(id);
        let types: Option<Vec<Type>> = node.outputs().map(|output| self.records.ty(output)).collect();
        let operands: Option<Vec<(Read, Type)>> = (node.inputs.iter())
            .map(|input| Some((*self.read.get(input)?, self.records.ty(*input)?)))
            .collect();
        let (Some(types), Some(operands)) = (types, operands) else { return };
        if let Op::Input(_) = node.op {
            return self.unknown(node.first, &self.records.label(node.first));
        }
        let read = match types[..] {
            [ty] => self.one(&node.op, &operands, ty),
            _ => None,
        };
        for (position, (output, ty)) in node.outputs().zip(&types).enumerate() {
            let read = read.unwrap_or_else(|| self.call(&node.op, position, &operands, *ty));
            if output == root || self.records.name(output).is_none() {
                self.read.insert(output, read);
            }
        }
    }

    fn unknown(&mut self, value: ValueId, label: &str) {
        let shape = self.records.ty(value).map_or(Shape::SCALAR, |ty| ty.shape);
        let expr = self.algebra.symbol(label, ones(shape) == all(shape));
        self.read.insert(value, Read { expr, spread: ones(shape) });
    }

    /// `name(operands)`, for ops that mathematics has no sign for.
    fn call(&mut self, op: &Op, output: usize, operands: &[(Read, Type)], ty: Type) -> Read {
        let args: Vec<Id> = operands.iter().map(|(read, _)| read.expr).collect();
        let spread = ones(ty.shape);
        let name = match op {
            Op::MaxWithIndex(_) if output == 0 => "max".to_string(),
            Op::MaxWithIndex(_) => "argmax".to_string(),
            Op::Constant(constant) if constant.array.len() == 1 => {
                let expr = self.algebra.number(constant.array.item().unwrap_or(f64::NAN));
                return Read { expr, spread: all(ty.shape) };
            }
            op => op.name().to_string(),
        };
        // Calls with other parameters are other expressions, even where they print alike.
        let types: Vec<Type> = operands.iter().map(|&(_, ty)| ty).collect();
        let mark = match op {
            Op::Constant(constant) => format!("{:p}", std::sync::Arc::as_ptr(&constant.array)),
            op => format!("{output} {:?} {types:?}", op.rule().attributes()),
        };
        let expr = self.algebra.call(&name, &args, &mark, spread == all(ty.shape));
        Read { expr, spread }
    }

    /// An op of one output that has its own way of being written.
    fn one(&mut self, op: &Op, operands: &[(Read, Type)], ty: Type) -> Option<Read> {
        let x: Vec<Id> = operands.iter().map(|(read, _)| read.expr).collect();
        let together = operands.iter().fold(all(ty.shape), |mask, (read, _)| mask & read.spread);
        let pointwise = |expr| Some(Read { expr, spread: together });
        let a = &mut self.algebra;
        match op {
            Op::Full(full) => pointwise(a.number(full.as_f64())),
            Op::DimValue(dim) => {
                let expr = self.dim(dim.dim);
                pointwise(expr)
            }
            Op::Unary(op) => {
                let expr = self.unary(*op, x[0]);
                pointwise(expr)
            }
            Op::Binary(op) => pointwise(match op {
                Binary::Add => a.add(x[0], x[1]),
                Binary::Sub => a.sub(x[0], x[1]),
                Binary::Mul => a.mul(x[0], x[1]),
                Binary::Div if ty.dtype.is_float() => a.div(x[0], x[1]),
                Binary::Div => a.function("div", &x),
                Binary::Pow => a.power(x[0], x[1]),
                Binary::Maximum => a.function("max", &x),
                Binary::Minimum => a.function("min", &x),
            }),
            Op::Compare(op) => {
                let expr = self.compare(*op, x[0], x[1]);
                pointwise(expr)
            }
            Op::Logic(Logic::And) => pointwise(a.both("∧", x[0], x[1])),
            Op::Logic(Logic::Or) => pointwise(a.both("∨", x[0], x[1])),
            Op::Logic(Logic::Not) => {
                let expr = self.not(x[0]);
                pointwise(expr)
            }
            Op::Select(_) => {
                let expr = self.select(x[0], x[1], x[2]);
                pointwise(expr)
            }
            Op::Identity(_) => pointwise(x[0]),
            Op::StopGradient(_) => pointwise(a.function("stop", &x)),
            Op::Cast(_) => match (operands[0].1.dtype.is_number(), ty.dtype.is_float()) {
                (true, true) => pointwise(x[0]),
                (false, true) => pointwise(a.bracket(x[0])),
                _ => pointwise(a.function(ty.dtype.name(), &x)),
            },
            Op::OneHot(_) => {
                let spread = together & !(1 << (ty.shape.rank() - 1));
                let expr = a.call("onehot", &x, "", false);
                Some(Read { expr, spread })
            }
            Op::Broadcast(_) => Some(spread_over(operands[0], ty.shape)),
            Op::Reshape(_) => reshaped(operands[0], ty.shape),
            Op::Transpose(op) => self.transpose(operands[0], op.perm, ty.shape),
            Op::Sum(op) => Some(self.sum(operands[0], op.axes)),
            Op::Max(op) => Some(self.reduced("max", operands[0], op.axes)),
            Op::Any(op) => Some(self.reduced("any", operands[0], op.axes)),
            Op::LogSumExp(op) => Some(self.reduced("lse", operands[0], op.axes)),
            Op::Contract(op) => self.contract(op, operands, ty.shape),
            _ => None,
        }
    }

    fn dim(&mut self, dim: Dim) -> Id {
        let text = dim.to_string();
        match dim.size() {
            Some(size) => self.algebra.number(size as f64),
            // A single product, such as 3*B.
            None if !text.contains(['+', '-', '(', '/']) => {
                let one = self.algebra.number(1.0);
                text.split('*').fold(one, |product, part| {
                    let part = match part.trim().parse() {
                        Ok(number) => self.algebra.number(number),
                        Err(_) => self.algebra.symbol(part.trim(), true),
                    };
                    self.algebra.mul(product, part)
                })
            }
            None => self.algebra.symbol(&format!("({text})"), true),
        }
    }

    fn unary(&mut self, op: Unary, x: Id) -> Id {
        let a = &mut self.algebra;
        let name = match op {
            Unary::Neg => return a.neg(x),
            Unary::Square => return a.mul(x, x),
            Unary::Reciprocal => {
                let one = a.number(1.0);
                return a.div(one, x);
            }
            Unary::Exp => return self.exp(x),
            Unary::Sqrt => "√",
            Unary::Log => "ln",
            Unary::Sigmoid => "σ",
            Unary::Erf => "erf",
            op => op.name(),
        };
        a.function(name, &[x])
    }

    /// eˣ; of x − ln Σ eˣ that is softmax(x).
    fn exp(&mut self, x: Id) -> Id {
        if let Expr::Sum(terms) = &self.algebra.exprs[x] {
            let is_lse = |&id: &Id| matches!(&self.algebra.exprs[id], Expr::Call { name, .. } if name.starts_with("lse"));
            let at =
                terms.iter().position(|(ratio, term)| (ratio.num, ratio.den) == (-1.0, 1.0) && is_lse(term));
            if let Some(at) = at {
                let mut rest = terms.clone();
                let (_, lse) = rest.remove(at);
                let rest = self.algebra.sum(rest);
                if let Expr::Call { name, args, mark } = &self.algebra.exprs[lse]
                    && args[0] == rest
                {
                    let (name, mark) = (name.replace("lse", "softmax"), mark.clone());
                    return self.algebra.call(&name, &[rest], &mark, false);
                }
            }
        }
        self.algebra.function("exp", &[x])
    }

    fn truth(&mut self, holds: bool) -> Id {
        self.algebra.symbol(if holds { "true" } else { "false" }, true)
    }

    fn as_truth(&self, id: Id) -> Option<bool> {
        match &self.algebra.exprs[id] {
            Expr::Symbol(name) if name == "true" => Some(true),
            Expr::Symbol(name) if name == "false" => Some(false),
            _ => None,
        }
    }

    fn compare(&mut self, op: Compare, x: Id, y: Id) -> Id {
        match (self.algebra.as_number(x), self.algebra.as_number(y)) {
            (Some(x), Some(y)) => self.truth(op.reference(x, y)),
            // A number stands on the right.
            (Some(_), None) => {
                let turned = match op {
                    Compare::Lt => Compare::Gt,
                    Compare::Le => Compare::Ge,
                    Compare::Gt => Compare::Lt,
                    Compare::Ge => Compare::Le,
                    same => same,
                };
                self.algebra.compare(turned, y, x)
            }
            _ => self.algebra.compare(op, x, y),
        }
    }

    fn not(&mut self, x: Id) -> Id {
        let opposite = |op| match op {
            Compare::Eq => Compare::Ne,
            Compare::Ne => Compare::Eq,
            Compare::Lt => Compare::Ge,
            Compare::Le => Compare::Gt,
            Compare::Gt => Compare::Le,
            Compare::Ge => Compare::Lt,
        };
        match self.algebra.exprs[x].clone() {
            Expr::Compare(op, x, y) => self.algebra.compare(opposite(op), x, y),
            Expr::Call { name, args, .. } if name == "¬" => args[0],
            _ => match self.as_truth(x) {
                Some(holds) => self.truth(!holds),
                None => self.algebra.function("¬", &[x]),
            },
        }
    }

    fn select(&mut self, condition: Id, x: Id, y: Id) -> Id {
        match self.as_truth(condition) {
            Some(true) => return x,
            Some(false) => return y,
            None => {}
        }
        let (x_is_zero, y_is_zero) =
            (self.algebra.as_number(x) == Some(0.0), self.algebra.as_number(y) == Some(0.0));
        match self.algebra.exprs[condition] {
            Expr::Compare(Compare::Le, u, zero)
                if x_is_zero && u == y && self.algebra.as_number(zero) == Some(0.0) =>
            {
                return self.algebra.function("relu", &[u]);
            }
            _ => {}
        }
        let holds = match (x_is_zero, y_is_zero) {
            (_, true) => condition,
            (true, _) => self.not(condition),
            _ => return self.algebra.function("select", &[condition, x, y]),
        };
        let indicator = self.algebra.bracket(holds);
        self.algebra.mul(if y_is_zero { x } else { y }, indicator)
    }

    fn sum(&mut self, (x, ty): (Read, Type), axes: Axes) -> Read {
        let spread = left(x.spread, axes, ty.shape.rank());
        let mut expr = x.expr;
        let mut scale = self.algebra.number(1.0);
        for axis in axes.iter().filter(|&axis| has(x.spread, axis)) {
            let size = self.dim(ty.shape[axis]);
            scale = self.algebra.mul(scale, size);
        }
        if !axes.iter().all(|axis| has(x.spread, axis)) {
            let (scalars, rest) = self.algebra.split_scalars(expr);
            scale = self.algebra.mul(scalars, scale);
            let last = ty.shape.rank() - 1;
            let is_onehot = matches!(&self.algebra.exprs[rest], Expr::Call { name, .. } if name == "onehot");
            if is_onehot && axes.to_vec() == [last] {
                // One element of each row is 1.
                let spread = all(ty.shape.without(&[last]));
                return Read { expr: scale, spread };
            }
            let marks = marks(axes, x, ty.shape.rank());
            let is_scalar = spread == all(ty.shape.without(&axes.to_vec()));
            // Σ of Σ₁ is Σ.
            let rest = match &self.algebra.exprs[rest] {
                Expr::Call { name, args, .. } if is_scalar && name.starts_with('Σ') => args[0],
                _ => rest,
            };
            expr = self.algebra.call(&format!("Σ{marks}"), &[rest], &marks, is_scalar);
        }
        Read { expr: self.algebra.mul(scale, expr), spread }
    }

    /// A reduction to which equal elements do not matter but in their number.
    fn reduced(&mut self, name: &str, (x, ty): (Read, Type), axes: Axes) -> Read {
        let spread = left(x.spread, axes, ty.shape.rank());
        let is_scalar = spread == all(ty.shape.without(&axes.to_vec()));
        let is_last = axes.to_vec() == [ty.shape.rank().wrapping_sub(1)];
        // The last axis is the usual one.
        let marks = if is_last { String::new() } else { marks(axes, x, ty.shape.rank()) };
        let mark = format!("{axes:?} {}", ty.shape);
        let expr = self.algebra.call(&format!("{name}{marks}"), &[x.expr], &mark, is_scalar);
        Read { expr, spread }
    }

    fn transpose(&mut self, (x, ty): (Read, Type), perm: Axes, shape: Shape) -> Option<Read> {
        let spread =
            perm.iter().enumerate().fold(0, |mask, (to, from)| mask | u8::from(has(x.spread, from)) << to);
        let rank = shape.rank();
        let varying: Vec<usize> = perm.iter().filter(|&axis| !has(x.spread, axis)).collect();
        if varying.is_sorted() && (varying.len() < 2 || lost(x, ty.shape) == 0) {
            return Some(Read { expr: x.expr, spread });
        }
        let swaps_last = rank >= 2
            && perm.iter().enumerate().all(|(to, from)| match to {
                to if to + 1 == rank => from == rank - 2,
                to if to + 2 == rank => from == rank - 1,
                to => to == from,
            });
        let has_all = lost(x, ty.shape) == 0;
        (swaps_last && has_all).then(|| Read { expr: self.algebra.transposed(x.expr), spread })
    }

    /// A contraction, where it is a product of (stacks of) matrices and vectors.
    fn contract(&mut self, op: &Contract, operands: &[(Read, Type)], shape: Shape) -> Option<Read> {
        let [(a, ta), (b, tb)] = *operands else { return None };
        let n_batch = op.lhs_batch.len();
        let leading = |axes: Axes| axes.iter().enumerate().all(|(at, axis)| at == axis);
        let (ra, rb) = (ta.shape.rank() - n_batch, tb.shape.rank() - n_batch);
        if !leading(op.lhs_batch) || !leading(op.rhs_batch) || ra > 2 || rb > 2 || op.lhs_contract.len() > 1 {
            return None;
        }
        let is_scalar = ones(shape) == all(shape);
        let read = |expr| Some(Read { expr, spread: ones(shape) });
        if ra == 0 || rb == 0 {
            return if n_batch == 0 { read(self.algebra.mul(a.expr, b.expr)) } else { None };
        }
        let (left, right) = (self.matrix(a, ta.shape), self.matrix(b, tb.shape));
        if op.lhs_contract.is_empty() {
            let right = (ra == 1 && rb == 1).then(|| self.algebra.transposed(right))?;
            return read(self.algebra.matmul(left, right, is_scalar));
        }
        let (i, j) = (op.lhs_contract.get(0) - n_batch, op.rhs_contract.get(0) - n_batch);
        // A vector is a column: from the left it meets a matrix as Bᵀ·a.
        if ra == 1 && rb == 2 {
            let right = if j == 0 { self.algebra.transposed(right) } else { right };
            return read(self.algebra.matmul(right, left, is_scalar));
        }
        let left = if i + 1 == ra && ra == 2 { left } else { self.algebra.transposed(left) };
        let right = if j == 0 { right } else { self.algebra.transposed(right) };
        read(self.algebra.matmul(left, right, is_scalar))
    }

    /// An operand of a matrix product: what was spread over a whole matrix is a number times ones.
    fn matrix(&mut self, x: Read, shape: Shape) -> Id {
        match lost(x, shape) {
            0 => x.expr,
            _ if x.spread == all(shape) => {
                let ones = self.algebra.symbol(ONES, false);
                self.algebra.mul(x.expr, ones)
            }
            _ => self.algebra.call("repeat", &[x.expr], &shape.to_string(), false),
        }
    }
}

/// The axes of more than one element along which the value was spread.
fn lost(x: Read, shape: Shape) -> u8 {
    x.spread & !ones(shape)
}

/// The mask without the bits of `axes`, closed up.
fn left(mask: u8, axes: Axes, rank: usize) -> u8 {
    let kept = (0..rank).filter(|&axis| !axes.contains(axis));
    kept.enumerate().fold(0, |left, (to, from)| left | u8::from(has(mask, from)) << to)
}

/// A broadcast is not written.
fn spread_over((x, ty): (Read, Type), shape: Shape) -> Read {
    let lead = shape.rank() - ty.shape.rank();
    let is_new = |axis: usize| axis < lead || has(x.spread, axis - lead);
    let spread = (0..shape.rank()).filter(|&axis| is_new(axis)).fold(0, |mask, axis| mask | 1 << axis);
    Read { spread, ..x }
}

/// A reshape is not written where it adds or drops axes of size 1 only, or there is but one number.
fn reshaped((x, ty): (Read, Type), shape: Shape) -> Option<Read> {
    if x.spread == all(ty.shape) {
        return Some(Read { spread: all(shape), ..x });
    }
    let long = |shape: Shape| (0..shape.rank()).filter(move |&axis| shape[axis] != Dim::Size(1));
    let same = long(ty.shape).map(|axis| ty.shape[axis]).eq(long(shape).map(|axis| shape[axis]));
    let moved = long(ty.shape).zip(long(shape)).filter(|&(from, _)| has(x.spread, from));
    same.then(|| Read { spread: moved.fold(ones(shape), |mask, (_, to)| mask | 1 << to), ..x })
}

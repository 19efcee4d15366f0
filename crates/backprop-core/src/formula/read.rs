//! What each op says in a formula.

use std::collections::HashMap;

use super::algebra::{Algebra, Expr, Id};
use super::shape::{all, ones, reshaped, spread_over};
use super::text::subscript;
use crate::graph::body::Body;
use crate::graph::records::{NodeId, Records, ValueId};
use crate::ops::{Axes, Binary, Compare, Cond, Logic, Op, Unary};
use crate::types::{Dim, Shape, Type};

/// A value that was read.
#[derive(Clone, Copy)]
pub(super) struct Read {
    pub expr: Id,
    /// The axes along which all elements are equal because the value was spread there: `broadcast` is
    /// not written, so whoever sums over such an axis multiplies by its size. Axes of size 1 are always
    /// among them.
    pub spread: u8,
}

/// Reads nodes in order.
pub(super) struct Reader<'a> {
    pub algebra: Algebra,
    pub records: &'a Records,
    /// What values are called.
    pub names: &'a dyn Fn(ValueId) -> Option<String>,
    pub read: HashMap<ValueId, Read>,
    /// Whether it reads a body, whose own numbering of values no reader knows.
    pub in_body: bool,
}

impl Reader<'_> {
    /// Reads a named value as its name; an ill or unreadable one too.
    pub fn name(&mut self, value: ValueId) {
        let name = match (self.names)(value) {
            Some(name) => name,
            None if self.records.ty(value).is_none() => "?".to_string(),
            None => return,
        };
        if self.read.contains_key(&value) {
            return;
        }
        let plain = |c: char| c.is_alphanumeric() || "._%'?[]".contains(c);
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
        // What is given stands under its name, and so do arrays of numbers.
        let is_array = matches!(&node.op, Op::Constant(constant) if constant.array.len() != 1);
        if matches!(&node.op, Op::Input(_)) || is_array && !self.in_body {
            let label = (self.names)(node.first).unwrap_or_else(|| self.records.label(node.first));
            return self.unknown(node.first, &label);
        }
        let reads = match (&node.op, &types[..]) {
            (Op::Cond(op), _) => self.cond(op, &operands),
            (op, &[ty]) => vec![self.one(op, &operands, ty)],
            (_, types) => vec![None; types.len()],
        };
        for (position, (output, ty)) in node.outputs().zip(&types).enumerate() {
            let read = reads.get(position).copied().flatten();
            let read = read.unwrap_or_else(|| self.call(&node.op, position, &operands, *ty));
            if output == root || (self.names)(output).is_none() {
                self.read.insert(output, read);
            }
        }
    }

    fn unknown(&mut self, value: ValueId, label: &str) {
        let shape = self.records.ty(value).map_or(Shape::SCALAR, |ty| ty.shape);
        let expr = self.algebra.symbol(label, ones(shape) == all(shape));
        self.read.insert(value, Read { expr, spread: ones(shape) });
    }

    /// `select(c, x, y)`, with what the branches compute for x and y. Bodies are nested as deeply as the
    /// user nested them.
    fn cond(&mut self, op: &Cond, operands: &[(Read, Type)]) -> Vec<Option<Read>> {
        let n_outputs = op.then.outputs().len();
        let Some(((condition, _), given)) = operands.split_first() else { return vec![None; n_outputs] };
        let given: Vec<Read> = given.iter().map(|&(read, _)| read).collect();
        let [then, otherwise] = [&op.then, &op.otherwise].map(|body| self.body(body, &given));
        let both = then.into_iter().zip(otherwise).map(|(x, y)| {
            let (x, y) = (x?, y?);
            Some(Read { expr: self.select(condition.expr, x.expr, y.expr), spread: x.spread & y.spread })
        });
        both.collect()
    }

    /// What a body gives for its parameters.
    fn body(&mut self, body: &Body, given: &[Read]) -> Vec<Option<Read>> {
        // Its names are its own.
        let (algebra, names) = (std::mem::replace(&mut self.algebra, Algebra::new()), &|_| None);
        let read = body.parameters().iter().copied().zip(given.iter().copied()).collect();
        let mut inner = Reader { algebra, records: body.records(), names, read, in_body: true };
        for &(id, _) in body.plan() {
            let node = body.records().node(id);
            node.outputs().for_each(|output| inner.name(output));
            inner.node(id, node.first);
        }
        let outputs = body.outputs().iter().map(|output| inner.read.get(output).copied()).collect();
        self.algebra = inner.algebra;
        outputs
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
            // Which of several results: scan₀, scan₁.
            op if op.n_outputs() > 1 => format!("{}{}", op.name(), subscript(output)),
            op => op.name().to_string(),
        };
        // Calls with other parameters are other expressions, even where they print alike.
        let types: Vec<Type> = operands.iter().map(|&(_, ty)| ty).collect();
        let mark = format!("{output} {} {types:?}", self.algebra.number_of(op));
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
            Op::LogSoftmax(op) => {
                let lse = self.reduced("lse", operands[0], op.axes);
                pointwise(self.algebra.sub(x[0], lse.expr))
            }
            Op::Norm(_) => {
                let axes = Axes::new(&(0..operands[0].1.shape.rank()).collect::<Vec<_>>());
                let square = Read { expr: a.mul(x[0], x[0]), ..operands[0].0 };
                let sum = self.sum((square, operands[0].1), axes);
                Some(Read { expr: self.algebra.function("√", &[sum.expr]), ..sum })
            }
            Op::Contract(op) => self.contract(op, operands, ty.shape),
            _ => None,
        }
    }

    pub(super) fn dim(&mut self, dim: Dim) -> Id {
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
        if let (Unary::Sigmoid | Unary::Softplus, Some(u)) = (op, a.negated(x)) {
            // σ(−u) = 1 − σ(u), and softplus(−u) = softplus(u) − u: written so, they meet their like.
            let of_u = self.unary(op, u);
            let a = &mut self.algebra;
            return match op {
                Unary::Sigmoid => {
                    let one = a.number(1.0);
                    a.sub(one, of_u)
                }
                _ => a.sub(of_u, u),
            };
        }
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
            Unary::Erfc => "erfc",
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

    fn compare(&mut self, op: Compare, x: Id, y: Id) -> Id {
        match (self.algebra.as_number(x), self.algebra.as_number(y)) {
            (Some(x), Some(y)) => self.algebra.truth(op.reference(x, y)),
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
            _ => match self.algebra.as_truth(x) {
                Some(holds) => self.algebra.truth(!holds),
                None => self.algebra.function("¬", &[x]),
            },
        }
    }

    fn select(&mut self, condition: Id, x: Id, y: Id) -> Id {
        match self.algebra.as_truth(condition) {
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
}

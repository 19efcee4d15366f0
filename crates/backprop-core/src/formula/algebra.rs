//! Expressions as a reader sees them: equal ones are one, and each is simplified as it is made, by
//! rules of exact algebra only (1·a = a, a·a = a², −(a − b) = b − a).
//!
//! Every rule looks at a bounded number of parts, so making n expressions costs O(n).

use std::collections::HashMap;

use super::ratio::Ratio;
use crate::ops::{Compare, Op};

/// The name and mark of a matrix of ones.
const ONES: &str = "𝟏";

/// The mark of a truth value that is known.
const LITERAL: &str = "literal";

/// An expression's number; its parts have smaller ones.
pub(super) type Id = usize;

/// Longer sums and products are left in parentheses.
pub(super) const MAX_PARTS: usize = 12;

/// A base with its exponent.
pub(super) type Factor = (Id, u32);

/// A product of numbers, factors and inverse factors.
#[derive(Clone)]
pub(super) struct Product {
    pub ratio: Ratio,
    pub num: Vec<Factor>,
    pub den: Vec<Factor>,
}

/// An expression.
#[derive(Clone)]
pub(super) enum Expr {
    /// A name.
    Symbol(String),
    /// Numbers, products and quotients; a number is a product without factors.
    Product(Product),
    /// Terms with their coefficients.
    Sum(Vec<(Ratio, Id)>),
    /// `name(arguments)`; the marks tell apart calls that print alike.
    Call { name: String, args: Vec<Id>, mark: String },
    /// aᵇ for what is no small whole number.
    Power(Id, Id),
    /// The matrix product.
    MatMul(Id, Id),
    /// The transpose.
    Transposed(Id),
    /// `a < b`
    Compare(Compare, Id, Id),
    /// `a ∧ b`, `a ∨ b`
    Both(&'static str, Id, Id),
    /// 1 where it holds, else 0.
    Bracket(Id),
}

/// The expressions made so far.
pub(super) struct Algebra {
    pub exprs: Vec<Expr>,
    /// Whether it is one number, not an array of different ones.
    pub(super) scalar: Vec<bool>,
    known: HashMap<String, Id>,
    /// The ops that have no sign of their own, numbered: equal ones are one.
    ops: HashMap<Op, usize>,
    /// The transposes made so far: of a product they are made part by part.
    turned: HashMap<Id, Id>,
}

impl Algebra {
    pub fn new() -> Algebra {
        Algebra {
            exprs: Vec::new(),
            scalar: Vec::new(),
            known: HashMap::new(),
            ops: HashMap::new(),
            turned: HashMap::new(),
        }
    }

    /// The number of `op`: the same for equal ops, with their parameters and bodies, only.
    pub fn number_of(&mut self, op: &Op) -> usize {
        let next = self.ops.len();
        *self.ops.entry(op.clone()).or_insert(next)
    }

    pub fn is_scalar(&self, id: Id) -> bool {
        self.scalar[id]
    }

    /// The expression's number, new or known.
    pub(super) fn intern(&mut self, expr: Expr, scalar: bool) -> Id {
        let key = key(&expr);
        if let Some(&id) = self.known.get(&key) {
            return id;
        }
        let id = self.exprs.len();
        self.exprs.push(expr);
        self.scalar.push(scalar);
        self.known.insert(key, id);
        id
    }

    /// A number; the irrational ones that ops are written with keep their names.
    pub fn number(&mut self, x: f64) -> Id {
        use std::f64::consts as c;
        match x {
            c::PI => self.symbol("π", true),
            c::SQRT_2 => self.root(2.0),
            c::FRAC_1_SQRT_2 => {
                let (one, root) = (self.number(1.0), self.root(2.0));
                self.div(one, root)
            }
            c::FRAC_2_SQRT_PI => {
                let (two, root) = (self.number(2.0), self.root(c::PI));
                self.div(two, root)
            }
            x => self.rational(x),
        }
    }

    fn root(&mut self, x: f64) -> Id {
        let x = self.number(x);
        self.function("√", &[x])
    }

    fn rational(&mut self, x: f64) -> Id {
        self.product(Product { ratio: Ratio::of(x), num: Vec::new(), den: Vec::new() })
    }

    pub fn symbol(&mut self, name: &str, scalar: bool) -> Id {
        self.intern(Expr::Symbol(name.to_string()), scalar)
    }

    pub fn call(&mut self, name: &str, args: &[Id], mark: &str, scalar: bool) -> Id {
        let call = Expr::Call { name: name.to_string(), args: args.to_vec(), mark: mark.to_string() };
        self.intern(call, scalar)
    }

    /// A function that works element by element.
    pub fn function(&mut self, name: &str, args: &[Id]) -> Id {
        let scalar = args.iter().all(|&arg| self.scalar[arg]);
        self.call(name, args, "", scalar)
    }

    pub fn compare(&mut self, op: Compare, a: Id, b: Id) -> Id {
        let scalar = self.scalar[a] && self.scalar[b];
        self.intern(Expr::Compare(op, a, b), scalar)
    }

    pub fn truth(&mut self, holds: bool) -> Id {
        self.call(if holds { "true" } else { "false" }, &[], LITERAL, true)
    }

    pub fn as_truth(&self, id: Id) -> Option<bool> {
        match &self.exprs[id] {
            Expr::Call { name, mark, .. } if mark == LITERAL => Some(name == "true"),
            _ => None,
        }
    }

    pub fn both(&mut self, sign: &'static str, a: Id, b: Id) -> Id {
        // true ∧ b = b, false ∨ b = b; the other two decide.
        let absorbed = |truth: Option<bool>| truth.map(|truth| truth == (sign == "∧"));
        match (absorbed(self.as_truth(a)), absorbed(self.as_truth(b))) {
            (Some(true), _) | (_, Some(false)) => return b,
            (Some(false), _) | (_, Some(true)) => return a,
            _ if a == b => return a,
            _ => {}
        }
        let scalar = self.scalar[a] && self.scalar[b];
        self.intern(Expr::Both(sign, a, b), scalar)
    }

    /// 1 where `truth` holds, else 0.
    pub fn bracket(&mut self, truth: Id) -> Id {
        if let Some(holds) = self.as_truth(truth) {
            return self.number(f64::from(holds));
        }
        if self.is_indicator(truth) {
            return truth;
        }
        let scalar = self.scalar[truth];
        self.intern(Expr::Bracket(truth), scalar)
    }

    /// Whether every element is 0 or 1, so that powers of it are itself.
    fn is_indicator(&self, id: Id) -> bool {
        match &self.exprs[id] {
            Expr::Bracket(_) => true,
            Expr::Call { name, .. } => name == "onehot",
            _ => false,
        }
    }

    /// The number that the expression is.
    pub fn as_number(&self, id: Id) -> Option<f64> {
        match &self.exprs[id] {
            Expr::Product(p) if p.num.is_empty() && p.den.is_empty() && p.ratio.den == 1.0 => {
                Some(p.ratio.num)
            }
            _ => None,
        }
    }

    /// The expression as a product.
    pub fn factors(&self, id: Id) -> Product {
        match &self.exprs[id] {
            Expr::Product(product) => product.clone(),
            _ => Product { ratio: Ratio::ONE, num: vec![(id, 1)], den: Vec::new() },
        }
    }

    pub(super) fn product(&mut self, p: Product) -> Id {
        if p.ratio.num == 0.0 {
            let zero = Product { ratio: Ratio::of(0.0), num: Vec::new(), den: Vec::new() };
            return self.intern(Expr::Product(zero), true);
        }
        if let ([(base, 1)], []) = (&p.num[..], &p.den[..]) {
            if p.ratio == Ratio::ONE {
                return *base;
            }
            if p.ratio == Ratio::of(-1.0)
                && let Expr::Sum(terms) = &self.exprs[*base]
            {
                let terms = terms.iter().map(|&(ratio, term)| (ratio.negated(), term)).collect();
                return self.sum(terms);
            }
        }
        let scalar = p.num.iter().chain(&p.den).all(|&(base, _)| self.scalar[base]);
        self.intern(Expr::Product(p), scalar)
    }

    pub fn mul(&mut self, a: Id, b: Id) -> Id {
        let (left, right) = (self.factors(a), self.factors(b));
        self.multiply(left, right).unwrap_or_else(|| {
            let num = if a == b { vec![(a, 2)] } else { vec![(a, 1), (b, 1)] };
            self.product(Product { ratio: Ratio::ONE, num, den: Vec::new() })
        })
    }

    pub fn div(&mut self, a: Id, b: Id) -> Id {
        let (left, right) = (self.factors(a), self.factors(b));
        let ratio = Ratio { num: right.ratio.den, den: right.ratio.num }.reduced();
        let inverse = Product { ratio, num: right.den, den: right.num };
        let defined = ratio.den != 0.0;
        defined.then(|| self.multiply(left, inverse)).flatten().unwrap_or_else(|| {
            self.product(Product { ratio: Ratio::ONE, num: vec![(a, 1)], den: vec![(b, 1)] })
        })
    }

    pub(super) fn multiply(&mut self, a: Product, b: Product) -> Option<Id> {
        let parts = a.num.len() + b.num.len() + a.den.len() + b.den.len();
        let ratio = a.ratio.times(b.ratio).filter(|_| parts <= MAX_PARTS)?;
        let mut product = Product { ratio, ..a };
        for (into, from) in [(&mut product.num, b.num), (&mut product.den, b.den)] {
            for (base, exponent) in from {
                match into.iter_mut().find(|(known, _)| *known == base) {
                    Some(_) if self.is_indicator(base) => {}
                    Some((_, sum)) => *sum = sum.checked_add(exponent)?,
                    None => into.push((base, exponent)),
                }
            }
        }
        // (√u)² = u
        for is_num in [true, false] {
            let list = if is_num { &mut product.num } else { &mut product.den };
            let squared =
                list.iter().position(|&(base, exponent)| exponent == 2 && self.radicand(base).is_some());
            if let Some(at) = squared {
                let (base, _) = list.remove(at);
                let inner = self.radicand(base)?;
                let rest = self.product(product);
                return Some(if is_num { self.mul(rest, inner) } else { self.div(rest, inner) });
            }
        }
        Some(self.product(product))
    }

    /// u of √u.
    fn radicand(&self, id: Id) -> Option<Id> {
        match &self.exprs[id] {
            Expr::Call { name, args, .. } if name == "√" => args.first().copied(),
            _ => None,
        }
    }

    pub fn neg(&mut self, a: Id) -> Id {
        let minus = self.number(-1.0);
        self.mul(minus, a)
    }

    /// aⁿ for a small whole n.
    pub fn power(&mut self, a: Id, b: Id) -> Id {
        match self.as_number(b) {
            Some(n) if n == n.trunc() && (0.0..=9.0).contains(&n) => {
                let one = self.number(1.0);
                (0..n as u32).fold(one, |power, _| self.mul(power, a))
            }
            _ => {
                let scalar = self.scalar[a] && self.scalar[b];
                self.intern(Expr::Power(a, b), scalar)
            }
        }
    }

    pub(super) fn ratio(&mut self, ratio: Ratio) -> Id {
        self.product(Product { ratio, num: Vec::new(), den: Vec::new() })
    }

    /// The numbers and scalars of a product, and what is left.
    pub fn split_scalars(&mut self, id: Id) -> (Id, Id) {
        let Product { ratio, num, den } = self.factors(id);
        let apart = |list: Vec<Factor>| list.into_iter().partition(|&(base, _)| self.scalar[base]);
        let (scalar_num, num): (Vec<Factor>, Vec<Factor>) = apart(num);
        let (scalar_den, den): (Vec<Factor>, Vec<Factor>) = apart(den);
        let scalars = self.product(Product { ratio, num: scalar_num, den: scalar_den });
        let rest = self.product(Product { ratio: Ratio::ONE, num, den });
        (scalars, rest)
    }

    /// A·B, numbers and scalars drawn out; `scalar` says that the result is one number.
    pub fn matmul(&mut self, a: Id, b: Id, scalar: bool) -> Id {
        let ((sa, a), (sb, b)) = (self.split_scalars(a), self.split_scalars(b));
        let product = self.intern(Expr::MatMul(a, b), scalar);
        let scale = self.mul(sa, sb);
        // The matrix first: A·B/n, but 2·A·B.
        let (mut whole, matrix) = (self.factors(scale), self.factors(product));
        whole.num.extend(matrix.num);
        self.product(whole)
    }

    /// A matrix of ones, of whatever shape fits.
    pub fn ones(&mut self) -> Id {
        self.call(ONES, &[], ONES, false)
    }

    /// Aᵀ, numbers and scalars drawn out.
    pub fn transposed(&mut self, a: Id) -> Id {
        let (scale, a) = self.split_scalars(a);
        let turned = self.turned(a);
        self.mul(scale, turned)
    }

    /// Aᵀ of what has no scalars to draw out. (A·B)ᵀ = Bᵀ·Aᵀ, down through products of products: each
    /// part once, without recursion.
    fn turned(&mut self, root: Id) -> Id {
        let mut open = vec![root];
        while let Some(&a) = open.last() {
            let turned = match self.exprs[a] {
                Expr::Transposed(inner) => inner,
                // Ones, of whatever shape fits.
                Expr::Call { ref mark, .. } if mark == ONES => a,
                Expr::MatMul(left, right) => match (self.turned.get(&left), self.turned.get(&right)) {
                    (Some(&left), Some(&right)) => self.matmul(right, left, false),
                    (None, _) => {
                        open.push(left);
                        continue;
                    }
                    (_, None) => {
                        open.push(right);
                        continue;
                    }
                },
                _ => self.intern(Expr::Transposed(a), false),
            };
            self.turned.insert(a, turned);
            open.pop();
        }
        self.turned[&root]
    }

    /// The expressions that `id` is made of, each as often as it occurs.
    pub fn parts(&self, id: Id) -> Vec<Id> {
        match &self.exprs[id] {
            Expr::Symbol(_) => Vec::new(),
            Expr::Product(p) => p.num.iter().chain(&p.den).map(|&(base, _)| base).collect(),
            Expr::Sum(terms) => terms.iter().map(|&(_, term)| term).collect(),
            Expr::Call { args, .. } => args.clone(),
            Expr::Power(a, b) | Expr::MatMul(a, b) | Expr::Compare(_, a, b) | Expr::Both(_, a, b) => {
                vec![*a, *b]
            }
            Expr::Transposed(a) | Expr::Bracket(a) => vec![*a],
        }
    }
}

/// Equal for expressions that are equal up to the order of terms and factors.
fn key(expr: &Expr) -> String {
    let sorted = |list: &[Factor]| {
        let mut list = list.to_vec();
        list.sort_unstable();
        list
    };
    match expr {
        Expr::Symbol(name) => format!("symbol {name}"),
        Expr::Product(p) => format!("product {} {:?} {:?}", p.ratio.key(), sorted(&p.num), sorted(&p.den)),
        Expr::Sum(terms) => {
            let mut terms: Vec<(Id, String)> = terms.iter().map(|(ratio, id)| (*id, ratio.key())).collect();
            terms.sort_unstable();
            format!("sum {terms:?}")
        }
        Expr::Call { name, args, mark } => format!("call {name} {mark} {args:?}"),
        Expr::Power(a, b) => format!("power {a} {b}"),
        Expr::MatMul(a, b) => format!("matmul {a} {b}"),
        Expr::Transposed(a) => format!("transposed {a}"),
        Expr::Compare(op, a, b) => format!("{} {a} {b}", op.name()),
        Expr::Both(sign, a, b) => format!("{sign} {a} {b}"),
        Expr::Bracket(a) => format!("bracket {a}"),
    }
}

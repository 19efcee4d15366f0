//! Expressions as a reader sees them: equal ones are one, and each is simplified as it is made, by
//! rules of exact algebra only (1·a = a, a·a = a², −(a − b) = b − a).
//!
//! Every rule looks at a bounded number of parts, so making n expressions costs O(n).

use std::collections::HashMap;

use crate::ops::Compare;

/// A matrix of ones.
pub(super) const ONES: &str = "𝟏";

/// An expression's number; its parts have smaller ones.
pub(super) type Id = usize;

/// Longer sums and products are left in parentheses.
const MAX_PARTS: usize = 12;

/// A rational coefficient: two numbers that are exact.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Ratio {
    pub num: f64,
    pub den: f64,
}

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
    scalar: Vec<bool>,
    known: HashMap<String, Id>,
}

impl Ratio {
    pub const ONE: Ratio = Ratio { num: 1.0, den: 1.0 };

    pub fn of(num: f64) -> Ratio {
        Ratio { num, den: 1.0 }
    }

    /// The product, if it is exact.
    fn times(self, other: Ratio) -> Option<Ratio> {
        let exact = |a: f64, b: f64| {
            let product = a * b;
            (a.abs() == 1.0 || b.abs() == 1.0 || product == 0.0 || f64::mul_add(a, b, -product) == 0.0)
                .then_some(product)
        };
        Some(Ratio { num: exact(self.num, other.num)?, den: exact(self.den, other.den)? }.reduced())
    }

    /// The sum, if it is one of whole numbers and so exact.
    fn plus(self, other: Ratio) -> Option<Ratio> {
        let sum = self.num + other.num;
        let exact = sum - self.num == other.num && sum - other.num == self.num;
        (self.den == other.den && exact).then_some(Ratio { num: sum, den: self.den }.reduced())
    }

    fn reduced(self) -> Ratio {
        let Ratio { mut num, mut den } = self;
        let whole = |x: f64| x == x.trunc() && x.abs() < 9e15;
        if whole(num) && whole(den) && den != 0.0 {
            let (mut a, mut b) = (num.abs() as u64, den.abs() as u64);
            while b != 0 {
                (a, b) = (b, a % b);
            }
            if a > 1 {
                (num, den) = (num / a as f64, den / a as f64);
            }
        }
        if den < 0.0 {
            (num, den) = (-num, -den);
        }
        Ratio { num, den }
    }

    fn abs(self) -> Ratio {
        Ratio { num: self.num.abs(), den: self.den }
    }

    fn negated(self) -> Ratio {
        Ratio { num: -self.num, den: self.den }
    }

    fn key(self) -> String {
        format!("{:x}/{:x}", self.num.to_bits(), self.den.to_bits())
    }
}

impl Algebra {
    pub fn new() -> Algebra {
        Algebra { exprs: Vec::new(), scalar: Vec::new(), known: HashMap::new() }
    }

    pub fn is_scalar(&self, id: Id) -> bool {
        self.scalar[id]
    }

    /// The expression's number, new or known.
    fn intern(&mut self, expr: Expr, scalar: bool) -> Id {
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

    pub fn both(&mut self, sign: &'static str, a: Id, b: Id) -> Id {
        if a == b {
            return a;
        }
        let scalar = self.scalar[a] && self.scalar[b];
        self.intern(Expr::Both(sign, a, b), scalar)
    }

    /// 1 where `truth` holds, else 0.
    pub fn bracket(&mut self, truth: Id) -> Id {
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

    fn product(&mut self, p: Product) -> Id {
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

    fn multiply(&mut self, a: Product, b: Product) -> Option<Id> {
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

    /// The coefficient of a term, and the rest.
    fn term(&mut self, id: Id) -> (Ratio, Id) {
        match &self.exprs[id] {
            Expr::Product(p) => {
                let (ratio, rest) = (p.ratio, Product { ratio: Ratio::ONE, ..p.clone() });
                (ratio, self.product(rest))
            }
            _ => (Ratio::ONE, id),
        }
    }

    fn terms(&mut self, id: Id) -> Vec<(Ratio, Id)> {
        match &self.exprs[id] {
            Expr::Sum(terms) if terms.len() < MAX_PARTS => terms.clone(),
            _ => vec![self.term(id)],
        }
    }

    pub fn add(&mut self, a: Id, b: Id) -> Id {
        if a == b {
            let two = self.number(2.0);
            return self.mul(two, a);
        }
        let (mut terms, more) = (self.terms(a), self.terms(b));
        for (ratio, term) in more {
            let known = terms.iter_mut().find(|(_, known)| *known == term);
            match known.and_then(|known| Some((known.0.plus(ratio)?, known))) {
                Some((sum, known)) => known.0 = sum,
                None => terms.push((ratio, term)),
            }
        }
        self.sum(terms)
    }

    pub fn sub(&mut self, a: Id, b: Id) -> Id {
        let minus = self.neg(b);
        self.add(a, minus)
    }

    pub fn sum(&mut self, mut terms: Vec<(Ratio, Id)>) -> Id {
        terms.retain(|(ratio, term)| ratio.num != 0.0 && self.as_number(*term) != Some(0.0));
        let Some(&(first, _)) = terms.first() else { return self.number(0.0) };
        if let [(ratio, term)] = terms[..] {
            let scale = self.ratio(ratio);
            return self.mul(scale, term);
        }
        // A coefficient or divisor that all terms share stands before the sum.
        let shared = terms.iter().all(|(ratio, _)| ratio.abs() == first.abs());
        let ratio = if shared { first.abs() } else { Ratio::ONE };
        let mut den = self.factors(terms[0].1).den;
        for &(_, term) in &terms[1..] {
            let own = self.factors(term).den;
            den.retain(|factor| own.contains(factor));
        }
        if ratio == Ratio::ONE && den.is_empty() {
            let scalar = terms.iter().all(|(_, term)| self.scalar[*term]);
            return self.intern(Expr::Sum(terms), scalar);
        }
        for (own, term) in &mut terms {
            if shared {
                *own = Ratio::of(own.num.signum());
            }
            if !den.is_empty() {
                let mut bare = self.factors(*term);
                bare.den.retain(|factor| !den.contains(factor));
                *term = self.product(bare);
            }
        }
        let terms = self.spliced(terms);
        let inner = self.sum(terms);
        let outer = Product { ratio, num: Vec::new(), den };
        let inner_factors = self.factors(inner);
        match self.multiply(inner_factors, outer.clone()) {
            Some(id) => id,
            None => self.product(Product { num: vec![(inner, 1)], ..outer }),
        }
    }

    /// The terms with sums among them written out.
    fn spliced(&self, terms: Vec<(Ratio, Id)>) -> Vec<(Ratio, Id)> {
        let mut whole: Vec<(Ratio, Id)> = Vec::new();
        for (ratio, term) in terms {
            match &self.exprs[term] {
                Expr::Sum(own) if ratio.abs() == Ratio::ONE && whole.len() + own.len() <= MAX_PARTS => {
                    let sign = |own: Ratio| if ratio.num < 0.0 { own.negated() } else { own };
                    whole.extend(own.iter().map(|&(own, term)| (sign(own), term)));
                }
                _ => whole.push((ratio, term)),
            }
        }
        whole
    }

    fn ratio(&mut self, ratio: Ratio) -> Id {
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

    pub fn transposed(&mut self, a: Id) -> Id {
        let (scale, a) = self.split_scalars(a);
        let turned = match self.exprs[a] {
            Expr::Transposed(inner) => inner,
            // Ones, of whatever shape fits.
            Expr::Symbol(ref name) if name == ONES => a,
            Expr::MatMul(left, right) => {
                let (left, right) = (self.transposed(left), self.transposed(right));
                self.matmul(right, left, false)
            }
            _ => self.intern(Expr::Transposed(a), false),
        };
        self.mul(scale, turned)
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

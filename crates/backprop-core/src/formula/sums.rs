//! Sums: equal terms are one, and what all terms share stands before them.

use super::algebra::{Algebra, Expr, Id, MAX_PARTS, Product};
use super::ratio::Ratio;

impl Algebra {
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
        if let Some(sum) = self.added_out(a, b) {
            return sum;
        }
        let (terms, more) = (self.terms(a), self.terms(b));
        let terms = self.collected(terms, more);
        self.sum(terms)
    }

    /// x·(y − z) + (1 − x)·y as y − x·z: two products with a sum each, multiplied out where all but two
    /// terms cancel.
    fn added_out(&mut self, a: Id, b: Id) -> Option<Id> {
        let (terms, more) = (self.multiplied_out(a)?, self.multiplied_out(b)?);
        let mut terms = self.collected(terms, more);
        terms.retain(|(ratio, _)| ratio.num != 0.0);
        (terms.len() <= 2).then(|| self.sum(terms))
    }

    /// The terms of a product that has one factor which is a sum of two.
    fn multiplied_out(&mut self, id: Id) -> Option<Vec<(Ratio, Id)>> {
        let Expr::Product(product) = &self.exprs[id] else { return None };
        let two = |&(base, exponent): &(Id, u32)| match &self.exprs[base] {
            Expr::Sum(terms) if exponent == 1 => <[(Ratio, Id); 2]>::try_from(&terms[..]).ok(),
            _ => None,
        };
        let (at, terms) = product.num.iter().enumerate().find_map(|(at, factor)| Some((at, two(factor)?)))?;
        let mut rest = product.clone();
        rest.num.remove(at);
        let rest = self.product(rest);
        let mut out = Vec::new();
        for (ratio, term) in terms {
            let scale = self.ratio(ratio);
            let term = self.mul(scale, term);
            let term = self.mul(term, rest);
            out.push(self.term(term));
        }
        Some(out)
    }

    fn collected(&mut self, mut terms: Vec<(Ratio, Id)>, more: Vec<(Ratio, Id)>) -> Vec<(Ratio, Id)> {
        for (ratio, term) in more {
            let known = terms.iter_mut().find(|(_, known)| *known == term);
            match known.and_then(|known| Some((known.0.plus(ratio)?, known))) {
                Some((sum, known)) => known.0 = sum,
                None => terms.push((ratio, term)),
            }
        }
        terms
    }

    /// u, where the expression is −u.
    pub fn negated(&mut self, id: Id) -> Option<Id> {
        match &self.exprs[id] {
            Expr::Product(p) if p.ratio.num < 0.0 => Some(self.neg(id)),
            _ => None,
        }
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
}

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
}

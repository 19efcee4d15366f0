//! A dimension: a number, or an integer polynomial in names.
//!
//! Two dimensions are equal when their normal forms are: `B*T + T*B` is `2*B*T`. A floor division
//! that does not come out even is an opaque name, the same for equal operands.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::{Add, Mul, Sub};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// One size of a shape.
///
/// ```
/// use backprop_core::Dim;
/// let (b, t) = (Dim::named("B"), Dim::named("T"));
/// assert_eq!(b * t + t * b, t * 2 * b);
/// assert_ne!(b, t);
/// assert_eq!((b * t + 1).to_string(), "B*T + 1");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Dim {
    /// A number.
    Size(usize),
    /// A polynomial that is no plain non-negative number.
    Poly(Poly),
}

/// An interned polynomial in normal form; equal polynomials are one object.
#[derive(Clone, Copy)]
pub struct Poly(&'static Terms);

/// Monomial -> coefficient, never zero. The empty monomial is the constant term.
type Terms = BTreeMap<Vec<Atom>, i64>;

/// A factor of a monomial. The text orders atoms, so the normal form is the same in every process.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
struct Atom {
    text: String,
    quotient: Option<Box<(Terms, Terms)>>,
}

/// What a polynomial may hold: terms, factors of a term, bytes of a quotient's text. Sizes of real
/// programs have a few; without a bound, hostile text grows them exponentially.
const MAX_TERMS: usize = 256;
const MAX_FACTORS: usize = 32;
const MAX_TEXT: usize = 2048;

/// How the name of a size that outgrew those bounds begins.
const OVERLONG: &str = "(overlong size ";

/// Sizes given to names, for turning a [`Dim`] into a number.
pub type Bindings = BTreeMap<String, usize>;

/// Polynomials live as long as the process: there are as many as a program has distinct symbolic
/// sizes, and a `Dim` stays `Copy`.
static POLYS: LazyLock<Mutex<Table>> = LazyLock::new(Mutex::default);

/// Polynomials by their terms in order.
type Table = HashMap<Vec<(Vec<Atom>, i64)>, &'static Terms>;

fn polys() -> MutexGuard<'static, Table> {
    POLYS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Dim {
    /// The dimension called `name`: a letter or `_`, then letters, digits and `_`.
    pub fn named(name: &str) -> Dim {
        let atom = Atom { text: name.to_string(), quotient: None };
        Dim::from_terms(Terms::from([(vec![atom], 1)]))
    }

    /// The number, when it is one.
    pub fn size(self) -> Option<usize> {
        match self {
            Dim::Size(n) => Some(n),
            Dim::Poly(_) => None,
        }
    }

    /// The name, when it is a bare one.
    pub fn as_name(self) -> Option<&'static str> {
        let Dim::Poly(Poly(terms)) = self else { return None };
        match terms.iter().next() {
            Some((monomial, 1)) if terms.len() == 1 => match monomial.as_slice() {
                [Atom { text, quotient: None }] => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether it is a negative number, which no size can be.
    pub fn is_negative(self) -> bool {
        let Dim::Poly(Poly(terms)) = self else { return false };
        terms.len() == 1 && terms.keys().all(|monomial| monomial.is_empty())
    }

    /// `⌊self / divisor⌋`: exact where the division comes out even, otherwise an opaque name.
    /// Division by the number 0 gives `None`.
    pub fn div_floor(self, divisor: Dim) -> Option<Dim> {
        if divisor == Dim::Size(0) {
            return None;
        }
        if let (Dim::Size(a), Dim::Size(b)) = (self, divisor) {
            return Some(Dim::Size(a / b));
        }
        if let Some(quotient) = exact_quotient(&self.terms(), &divisor.terms()) {
            return Some(Dim::from_terms(quotient));
        }
        let text = format!("({} // {})", self.as_numerator(), divisor.as_divisor());
        if text.len() > MAX_TEXT || self.is_overlong() || divisor.is_overlong() {
            return Some(Dim::overlong());
        }
        let atom = Atom { text, quotient: Some(Box::new((self.terms(), divisor.terms()))) };
        Some(Dim::from_terms(Terms::from([(vec![atom], 1)])))
    }

    /// Whether it outgrew what a polynomial may hold. Such a size equals nothing but itself, and type
    /// rules refuse it.
    pub fn is_overlong(self) -> bool {
        let Dim::Poly(Poly(terms)) = self else { return false };
        terms.keys().flatten().any(|atom| atom.quotient.is_none() && atom.text.starts_with(OVERLONG))
    }

    /// Stands for a size that outgrew the bounds; never the same twice.
    fn overlong() -> Dim {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        Dim::named(&format!("{OVERLONG}{})", COUNT.fetch_add(1, Ordering::Relaxed)))
    }

    /// The text before `//`, in parentheses where it would be read otherwise.
    fn as_numerator(self) -> String {
        match self {
            Dim::Poly(Poly(terms)) if terms.len() > 1 || terms.values().any(|&c| c < 0) => {
                format!("({self})")
            }
            _ => self.to_string(),
        }
    }

    /// The text after `//`, in parentheses where it would be read otherwise.
    fn as_divisor(self) -> String {
        match self {
            Dim::Size(_) => self.to_string(),
            Dim::Poly(Poly(terms)) => match terms.iter().next() {
                Some((monomial, 1)) if terms.len() == 1 && monomial.len() == 1 => self.to_string(),
                _ => format!("({self})"),
            },
        }
    }

    /// The value under `bindings`.
    ///
    /// # Errors
    /// A name without a binding, or a size that comes out negative.
    pub fn eval(self, bindings: &Bindings) -> Result<usize, String> {
        let terms = match self {
            Dim::Size(n) => return Ok(n),
            Dim::Poly(poly) => poly.0,
        };
        let value = eval_terms(terms, bindings)?;
        usize::try_from(value).map_err(|_| format!("dimension {self} comes out as {value} for {bindings:?}"))
    }

    /// The only name that has no binding, with the size that makes this dimension `size`: of `2*T + 1`
    /// and 7 it is T with 3. `None` where no name, or more than one, has no binding, or where that name
    /// does not stand alone (`T*T`, `T // 2`), or where no size fits.
    pub fn solve(self, size: usize, bindings: &Bindings) -> Option<(String, usize)> {
        let mut open = self.names().into_iter().filter(|name| !bindings.contains_key(name));
        let name = open.next().filter(|_| open.next().is_none())?;
        let is_name = |atom: &&Atom| atom.quotient.is_none() && atom.text == name;
        let (mut slope, mut rest) = (Terms::new(), Terms::new());
        for (monomial, &coefficient) in &self.terms() {
            let others: Vec<Atom> = monomial.iter().filter(|atom| !is_name(atom)).cloned().collect();
            match monomial.len() - others.len() {
                0 => rest.insert(others, coefficient),
                1 => slope.insert(others, coefficient),
                _ => return None,
            };
        }
        let (slope, rest) = (eval_terms(&slope, bindings).ok()?, eval_terms(&rest, bindings).ok()?);
        let left = i64::try_from(size).ok()?.checked_sub(rest)?;
        if left.checked_rem(slope)? != 0 {
            return None;
        }
        Some((name, usize::try_from(left / slope).ok()?))
    }

    /// The names that occur, each once, sorted.
    pub fn names(self) -> Vec<String> {
        fn visit(terms: &Terms, names: &mut Vec<String>) {
            for atom in terms.keys().flatten() {
                match &atom.quotient {
                    None => names.push(atom.text.clone()),
                    Some(parts) => {
                        visit(&parts.0, names);
                        visit(&parts.1, names);
                    }
                }
            }
        }
        let mut names = Vec::new();
        visit(&self.terms(), &mut names);
        names.sort();
        names.dedup();
        names
    }

    /// This dimension with every bare `name` replaced.
    pub fn substitute(self, name: &str, by: Dim) -> Dim {
        let mut result = Dim::Size(0);
        for (monomial, &coefficient) in &self.terms() {
            let mut product = Dim::from_terms(Terms::from([(Vec::new(), coefficient)]));
            for atom in monomial {
                let factor = match &atom.quotient {
                    None if atom.text == name => by,
                    None => Dim::named(&atom.text),
                    Some(parts) => {
                        let numerator = Dim::from_terms(parts.0.clone()).substitute(name, by);
                        let divisor = Dim::from_terms(parts.1.clone()).substitute(name, by);
                        match numerator.div_floor(divisor) {
                            Some(quotient) => quotient,
                            None => Dim::from_terms(Terms::from([(vec![atom.clone()], 1)])),
                        }
                    }
                };
                product = product * factor;
            }
            result = result + product;
        }
        result
    }

    fn terms(self) -> Terms {
        match self {
            Dim::Size(0) => Terms::new(),
            Dim::Size(n) => Terms::from([(Vec::new(), i64::try_from(n).unwrap_or(i64::MAX))]),
            Dim::Poly(poly) => poly.0.clone(),
        }
    }

    fn from_terms(mut terms: Terms) -> Dim {
        terms.retain(|_, coefficient| *coefficient != 0);
        if terms.is_empty() {
            return Dim::Size(0);
        }
        if let (1, Some(&n)) = (terms.len(), terms.get(&Vec::new()))
            && let Ok(size) = usize::try_from(n)
        {
            return Dim::Size(size);
        }
        if terms.len() > MAX_TERMS || terms.keys().any(|monomial| monomial.len() > MAX_FACTORS) {
            return Dim::overlong();
        }
        let key: Vec<_> = terms.iter().map(|(m, &c)| (m.clone(), c)).collect();
        let mut table = polys();
        let interned = table.entry(key).or_insert_with(|| Box::leak(Box::new(terms)));
        Dim::Poly(Poly(interned))
    }
}

/// `numerator / divisor` for a divisor of one term that divides every term.
fn exact_quotient(numerator: &Terms, divisor: &Terms) -> Option<Terms> {
    let (factors, &scale) = divisor.iter().next().filter(|_| divisor.len() == 1)?;
    let mut quotient = Terms::new();
    for (monomial, &coefficient) in numerator {
        let mut rest = monomial.clone();
        for factor in factors {
            rest.remove(rest.iter().position(|atom| atom == factor)?);
        }
        if coefficient.checked_rem(scale)? != 0 {
            return None;
        }
        quotient.insert(rest, coefficient.checked_div(scale)?);
    }
    Some(quotient)
}

fn eval_terms(terms: &Terms, bindings: &Bindings) -> Result<i64, String> {
    let mut sum = 0i64;
    for (monomial, &coefficient) in terms {
        let mut product = coefficient;
        for atom in monomial {
            let value = match &atom.quotient {
                None => {
                    let size = bindings
                        .get(&atom.text)
                        .ok_or_else(|| format!("dimension {} has no size yet", atom.text))?;
                    i64::try_from(*size).unwrap_or(i64::MAX)
                }
                Some(parts) => {
                    let divisor = eval_terms(&parts.1, bindings)?;
                    if divisor == 0 {
                        return Err(format!("dimension {} divides by zero", atom.text));
                    }
                    eval_terms(&parts.0, bindings)?.checked_div_euclid(divisor).unwrap_or(i64::MAX)
                }
            };
            product = product.saturating_mul(value);
        }
        sum = sum.saturating_add(product);
    }
    Ok(sum)
}

impl PartialEq for Poly {
    fn eq(&self, other: &Poly) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Poly {}

impl std::hash::Hash for Poly {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        std::ptr::hash(self.0, state);
    }
}

impl From<usize> for Dim {
    fn from(size: usize) -> Dim {
        Dim::Size(size)
    }
}

impl From<&str> for Dim {
    /// The dimension as types write it: `B`, `2*T`, `B + 1`; any other text is a name.
    fn from(text: &str) -> Dim {
        let mut reader = super::Reader::new(text);
        let read = reader.dim().ok().filter(|_| reader.end().is_ok());
        read.unwrap_or_else(|| Dim::named(text))
    }
}

impl<T: Into<Dim>> Add<T> for Dim {
    type Output = Dim;
    fn add(self, other: T) -> Dim {
        let other = other.into();
        if let (Dim::Size(a), Dim::Size(b)) = (self, other) {
            return Dim::Size(a.saturating_add(b));
        }
        combine(self, other, 1)
    }
}

impl<T: Into<Dim>> Sub<T> for Dim {
    type Output = Dim;
    fn sub(self, other: T) -> Dim {
        combine(self, other.into(), -1)
    }
}

impl<T: Into<Dim>> Mul<T> for Dim {
    type Output = Dim;
    fn mul(self, other: T) -> Dim {
        let other = other.into();
        if let (Dim::Size(a), Dim::Size(b)) = (self, other) {
            return Dim::Size(a.saturating_mul(b));
        }
        let (own, others) = (self.terms(), other.terms());
        if own.len() * others.len() > MAX_TERMS * MAX_TERMS / 16 {
            return Dim::overlong();
        }
        let mut product = Terms::new();
        for (left, &a) in &own {
            for (right, &b) in &others {
                let mut monomial = [left.as_slice(), right].concat();
                monomial.sort();
                let coefficient: &mut i64 = product.entry(monomial).or_default();
                *coefficient = coefficient.saturating_add(a.saturating_mul(b));
            }
        }
        Dim::from_terms(product)
    }
}

fn combine(a: Dim, b: Dim, sign: i64) -> Dim {
    let mut terms = a.terms();
    for (monomial, &coefficient) in &b.terms() {
        let entry: &mut i64 = terms.entry(monomial.clone()).or_default();
        *entry = entry.saturating_add(sign.saturating_mul(coefficient));
    }
    Dim::from_terms(terms)
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let poly = match self {
            Dim::Size(n) => return write!(f, "{n}"),
            Dim::Poly(poly) => poly,
        };
        // The constant term is the empty monomial, which sorts first and reads best last.
        let constant = poly.0.iter().filter(|(monomial, _)| monomial.is_empty());
        let others = poly.0.iter().filter(|(monomial, _)| !monomial.is_empty());
        for (position, (monomial, &coefficient)) in others.chain(constant).enumerate() {
            match (position, coefficient < 0) {
                (0, true) => f.write_str("-")?,
                (0, false) => {}
                (_, true) => f.write_str(" - ")?,
                (_, false) => f.write_str(" + ")?,
            }
            let mut factors: Vec<String> = monomial.iter().map(|atom| atom.text.clone()).collect();
            if coefficient.unsigned_abs() != 1 || factors.is_empty() {
                factors.insert(0, coefficient.unsigned_abs().to_string());
            }
            f.write_str(&factors.join("*"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Poly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Dim::Poly(*self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_means_equal_normal_form() {
        let (b, t) = (Dim::named("B"), Dim::named("T"));
        assert_eq!((b + t) * (b + t), b * b + t * b * 2 + t * t);
        assert_eq!(b + t - b, t);
        assert_eq!(b - b, Dim::Size(0));
        assert_eq!((b * t * 6).div_floor(t * 2), Some(b * 3));
        assert_eq!(b.div_floor(2.into()), b.div_floor(2.into()));
        assert_ne!(b.div_floor(2.into()), b.div_floor(3.into()));
        assert_eq!(b.div_floor(0.into()), None);
    }

    #[test]
    fn text_is_read_as_types_write_it() {
        let (b, t) = (Dim::named("B"), Dim::named("T"));
        assert_eq!(["B", "7", "2*T + B", "B - 1"].map(Dim::from), [b, 7.into(), t * 2 + b, b - 1]);
    }

    #[test]
    fn one_open_name_is_solved_for() {
        let check = |text: &str, size: usize, expect: Option<usize>| {
            let ty = crate::types::parse_type(&format!("f32[{text}]")).expect(text);
            let solved = ty.shape[0].solve(size, &Bindings::from([("B".to_string(), 3)]));
            assert_eq!(solved, expect.map(|size| ("T".to_string(), size)), "{text} = {size}");
        };
        check("T", 7, Some(7));
        check("2*T + 1", 7, Some(3));
        check("T - 4", 0, Some(4));
        check("B*T - B", 6, Some(3));
        check("T + (B // 2)", 5, Some(4));
        check("8 - T", 3, Some(5));
        check("2*T", 7, None);
        check("T + 4", 3, None);
        check("T*T", 9, None);
        check("(T // 2)", 1, None);
        check("T + N", 5, None);
        check("(T // 2) + T", 3, None);
        check("B", 3, None);
    }

    #[test]
    fn quotients_print_as_they_parse() {
        let (b, t) = (Dim::named("B"), Dim::named("T"));
        let check = |dim: Option<Dim>, text: &str| {
            let dim = dim.expect("the divisor is not 0");
            assert_eq!(dim.to_string(), text);
            let ty = crate::types::parse_type(&format!("f32[{text}]"));
            assert_eq!(ty.map(|ty| ty.shape[0]), Ok(dim), "{text}");
        };
        check((b + 1).div_floor(2.into()), "((B + 1) // 2)");
        check((b * t * 3).div_floor(2.into()), "(3*B*T // 2)");
        check((t - b * 2).div_floor(b + 1), "((-2*B + T) // (B + 1))");
        check((Dim::Size(0) - b).div_floor(2.into()), "((-B) // 2)");
        check(t.div_floor(b * 2), "(T // (2*B))");
    }

    #[test]
    fn sizes_stay_within_bounds() {
        let letters = |n: usize| (0..n).fold(Dim::Size(0), |sum, i| sum + Dim::named(&format!("n{i}")));
        let mut dim = letters(3);
        for _ in 0..20 {
            dim = dim * dim;
        }
        assert!(dim.is_overlong());
        assert_ne!(letters(300), letters(300));
        assert!(!letters(200).is_overlong());
        let smallest =
            Dim::named("B") * (i64::MAX as usize) * (Dim::Size(0) - Dim::Size(1)) - Dim::named("B");
        assert!(smallest.div_floor(Dim::Size(0) - Dim::Size(1)).is_some());
        assert!((Dim::Size(0) - smallest).to_string().contains('B'));
    }

    #[test]
    fn values_and_text() {
        let bindings = Bindings::from([("B".to_string(), 7), ("T".to_string(), 3)]);
        let (b, t) = (Dim::named("B"), Dim::named("T"));
        let check = |dim: Dim, value: Result<usize, &str>, text: &str| {
            assert_eq!(dim.eval(&bindings).map_err(|e| e.contains(value.unwrap_err())).ok(), value.ok());
            assert_eq!(dim.to_string(), text);
        };
        check(b * t + 1, Ok(22), "B*T + 1");
        check(b.div_floor(2.into()).expect("2 is not 0") * 2, Ok(6), "2*(B // 2)");
        check(t - b, Err("comes out as -4"), "-B + T");
        check(Dim::named("N") * 2, Err("N has no size"), "2*N");
        check((b * 2).substitute("B", t + 1), Ok(8), "2*T + 2");
    }
}

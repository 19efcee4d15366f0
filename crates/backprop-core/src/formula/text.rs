//! Expressions as text: parentheses where they are needed, letters for what is large and shared.

use std::collections::{HashMap, HashSet};

use super::algebra::{Algebra, Expr, Factor, Id, Product};
use super::ratio::Ratio;
use crate::ops::Compare;

/// What is shared gets a letter from this width on.
const SHARED_WIDTH: usize = 14;
/// Anything gets one from this width on, so that lines stay readable and the text linear.
const MAX_WIDTH: usize = 120;

/// How tightly a text holds together.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Bond {
    Truth,
    Sum,
    Product,
    MatMul,
    Power,
    Atom,
}

#[derive(Clone)]
struct Text {
    text: String,
    bond: Bond,
    /// Whether it is a quotient, to which no second divisor can be written.
    is_quotient: bool,
}

impl Text {
    fn atom(text: impl Into<String>) -> Text {
        Text::new(text, Bond::Atom)
    }

    fn new(text: impl Into<String>, bond: Bond) -> Text {
        Text { text: text.into(), bond, is_quotient: false }
    }

    /// The text, in parentheses if it holds together less tightly than `bond`.
    fn at_least(&self, bond: Bond) -> String {
        if self.bond >= bond { self.text.clone() } else { format!("({})", self.text) }
    }
}

/// The text of `root`, and the letters in it with what they stand for, in an order in which each
/// is made of earlier ones.
pub(super) fn print(algebra: &Algebra, root: Id) -> (String, Vec<(String, String)>) {
    let (order, uses) = reachable(algebra, root);
    let mut letters = Letters::new(algebra, &order);
    let mut texts: HashMap<Id, Text> = HashMap::new();
    let mut definitions = Vec::new();
    for &id in &order {
        let text = write(algebra, id, &texts);
        let width = text.text.chars().count();
        let named = id != root && ((uses[&id] > 1 && width >= SHARED_WIDTH) || width > MAX_WIDTH);
        let kept = match named {
            true => {
                let letter = letters.next();
                definitions.push((letter.clone(), text.text));
                Text::atom(letter)
            }
            false => text,
        };
        texts.insert(id, kept);
    }
    (texts[&root].text.clone(), definitions)
}

/// What `root` is made of, parts first, and how often each is used.
fn reachable(algebra: &Algebra, root: Id) -> (Vec<Id>, HashMap<Id, usize>) {
    let mut uses: HashMap<Id, usize> = HashMap::from([(root, 1)]);
    let mut stack = vec![root];
    while let Some(id) = stack.pop() {
        for part in algebra.parts(id) {
            let count = uses.entry(part).or_default();
            *count += 1;
            if *count == 1 {
                stack.push(part);
            }
        }
    }
    let mut order: Vec<Id> = uses.keys().copied().collect();
    // Parts have smaller numbers.
    order.sort_unstable();
    (order, uses)
}

/// Letters that are not names already: a, b, c, f, ..., a₁, b₁, ...
struct Letters {
    taken: HashSet<String>,
    count: usize,
}

impl Letters {
    fn new(algebra: &Algebra, order: &[Id]) -> Letters {
        let names = order.iter().filter_map(|&id| match &algebra.exprs[id] {
            Expr::Symbol(name) => Some(name.clone()),
            _ => None,
        });
        Letters { taken: names.collect(), count: 0 }
    }

    fn next(&mut self) -> String {
        // d and e mean something; l and o look like digits.
        const ALPHABET: &[u8] = b"abcfghkmnpqrsuvwxyz";
        loop {
            let (round, at) = (self.count / ALPHABET.len(), self.count % ALPHABET.len());
            self.count += 1;
            let mut letter = char::from(ALPHABET[at]).to_string();
            if round > 0 {
                letter.push_str(&subscript(round));
            }
            if !self.taken.contains(&letter) {
                return letter;
            }
        }
    }
}

fn write(algebra: &Algebra, id: Id, texts: &HashMap<Id, Text>) -> Text {
    let text = |id: &Id| &texts[id];
    match &algebra.exprs[id] {
        Expr::Symbol(name) => Text::atom(name),
        Expr::Product(p) => write_product(algebra, p, texts),
        Expr::Sum(terms) => write_sum(terms, texts),
        Expr::Call { name, args, .. } => match (&name[..], &args[..]) {
            (name, []) => Text::atom(name),
            ("√", [x]) => Text::new(format!("√{}", text(x).at_least(Bond::Atom)), Bond::Power),
            ("abs", [x]) => Text::atom(format!("|{}|", text(x).text)),
            ("¬", [x]) => Text::atom(format!("¬{}", text(x).at_least(Bond::Power))),
            _ => {
                let args: Vec<&str> = args.iter().map(|arg| without_parentheses(&text(arg).text)).collect();
                Text::atom(format!("{name}({})", args.join(", ")))
            }
        },
        Expr::Power(a, b) => {
            let (base, exponent) = (text(a).at_least(Bond::Atom), text(b).at_least(Bond::Atom));
            Text::new(format!("{base}^{exponent}"), Bond::Power)
        }
        Expr::MatMul(a, b) => {
            let text = format!("{}·{}", text(a).at_least(Bond::MatMul), text(b).at_least(Bond::MatMul));
            Text::new(text, Bond::MatMul)
        }
        Expr::Transposed(a) => Text::new(format!("{}ᵀ", text(a).at_least(Bond::Atom)), Bond::Power),
        Expr::Compare(op, a, b) => {
            let sign = match op {
                Compare::Eq => "=",
                Compare::Ne => "≠",
                Compare::Lt => "<",
                Compare::Le => "≤",
                Compare::Gt => ">",
                Compare::Ge => "≥",
            };
            let (a, b) = (text(a).at_least(Bond::Sum), text(b).at_least(Bond::Sum));
            Text::new(format!("{a} {sign} {b}"), Bond::Truth)
        }
        Expr::Both(sign, a, b) => {
            let side = |id: &Id| match &algebra.exprs[*id] {
                Expr::Both(own, ..) if own == sign => text(id).text.clone(),
                Expr::Compare(..) => text(id).text.clone(),
                _ => text(id).at_least(Bond::Sum),
            };
            Text::new(format!("{} {sign} {}", side(a), side(b)), Bond::Truth)
        }
        Expr::Bracket(a) => Text::atom(format!("[{}]", text(a).text)),
    }
}

fn write_sum(terms: &[(Ratio, Id)], texts: &HashMap<Id, Text>) -> Text {
    // A sum begins with a positive term, if it has one.
    let first = terms.iter().position(|(ratio, _)| ratio.num > 0.0).unwrap_or(0);
    let order = std::iter::once(first).chain((0..terms.len()).filter(|&at| at != first));
    let mut text = String::new();
    for at in order {
        let (ratio, term) = terms[at];
        let size = Ratio { num: ratio.num.abs(), den: ratio.den };
        text.push_str(match (ratio.num < 0.0, text.is_empty()) {
            (true, true) => "−",
            (true, false) => " − ",
            (false, true) => "",
            (false, false) => " + ",
        });
        let term = &texts[&term];
        let is_one = term.text == "1";
        text.push_str(&match (size == Ratio::ONE, is_one) {
            (_, true) => ratio_text(size),
            (true, _) => term.at_least(Bond::Product),
            (false, _) => scaled(size, term),
        });
    }
    Text::new(text, Bond::Sum)
}

/// `3·x/2`
fn scaled(ratio: Ratio, term: &Text) -> String {
    let num = if ratio.num == 1.0 { String::new() } else { format!("{}·", number(ratio.num)) };
    let den = if ratio.den == 1.0 { String::new() } else { format!("/{}", number(ratio.den)) };
    let term = match term.is_quotient && !den.is_empty() {
        true => format!("({})", term.text),
        false => term.at_least(Bond::Product),
    };
    format!("{num}{term}{den}")
}

fn ratio_text(ratio: Ratio) -> String {
    match ratio.den == 1.0 {
        true => number(ratio.num),
        false => format!("{}/{}", number(ratio.num), number(ratio.den)),
    }
}

fn write_product(algebra: &Algebra, p: &Product, texts: &HashMap<Id, Text>) -> Text {
    let sign = if p.ratio.num < 0.0 { "−" } else { "" };
    let size = p.ratio.num.abs();
    if p.num.is_empty() && p.den.is_empty() {
        let bond = if sign.is_empty() && p.ratio.den == 1.0 { Bond::Atom } else { Bond::Product };
        return Text::new(format!("{sign}{}", ratio_text(Ratio { num: size, den: p.ratio.den })), bond);
    }
    let (num, n_num) = write_factors(algebra, size, &p.num, texts);
    let (den, n_den) = write_factors(algebra, p.ratio.den, &p.den, texts);
    let text = match n_den {
        0 => format!("{sign}{num}"),
        1 => format!("{sign}{num}/{den}"),
        _ => format!("{sign}{num}/({den})"),
    };
    let lone = n_num == 1 && n_den == 0 && sign.is_empty();
    let bond = match lone {
        true if matches!(p.num[..], [(_, 1)]) => Bond::MatMul,
        true => Bond::Power,
        // A number before a matrix product does not change how it is read.
        false if n_den == 0 && sign.is_empty() && !num.contains('⊙') => Bond::MatMul,
        false => Bond::Product,
    };
    Text { text, bond, is_quotient: n_den > 0 }
}

/// `2·x²·(a + b)`, and how many parts that are.
fn write_factors(
    algebra: &Algebra,
    size: f64,
    factors: &[Factor],
    texts: &HashMap<Id, Text>,
) -> (String, usize) {
    let mut text = String::new();
    let mut parts = 0;
    if size != 1.0 || factors.is_empty() {
        text.push_str(&number(size));
        parts += usize::from(size != 1.0);
    }
    let n_arrays = factors.iter().filter(|&&(base, _)| !algebra.is_scalar(base)).count();
    let mut array_seen = false;
    for &(base, exponent) in factors {
        let is_array = !algebra.is_scalar(base);
        if !text.is_empty() {
            text.push_str(if is_array && array_seen { " ⊙ " } else { "·" });
        }
        array_seen |= is_array;
        let own = &texts[&base];
        text.push_str(&match exponent {
            1 if is_array && n_arrays > 1 => own.at_least(Bond::Power),
            1 => own.at_least(Bond::MatMul),
            _ => format!("{}{}", own.at_least(Bond::Atom), superscript(exponent)),
        });
        // A product that is itself a factor counts as two: it needs parentheses below a fraction.
        parts += if own.bond == Bond::MatMul && exponent == 1 { 2 } else { 1 };
    }
    (text, parts)
}

fn number(x: f64) -> String {
    match x.abs() {
        size if size.is_infinite() => if x > 0.0 { "∞" } else { "−∞" }.to_string(),
        size if size != 0.0 && !(1e-4..1e9).contains(&size) => format!("{x:e}"),
        _ => x.to_string(),
    }
}

fn digits(n: impl ToString, zero: [char; 10]) -> String {
    n.to_string().bytes().map(|digit| zero[usize::from(digit - b'0')]).collect()
}

fn superscript(n: u32) -> String {
    digits(n, ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'])
}

/// `a/b` for the name `(a/b)`, where it stands alone.
fn without_parentheses(text: &str) -> &str {
    match text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) {
        Some(inner) if !inner.contains(['(', ')']) => inner,
        _ => text,
    }
}

pub(super) fn subscript(n: usize) -> String {
    digits(n, ['₀', '₁', '₂', '₃', '₄', '₅', '₆', '₇', '₈', '₉'])
}

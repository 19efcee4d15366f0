//! A formula says what the graph computes: random graphs and their derivatives, printed, read back by
//! a calculator and compared with the interpreter.

use std::collections::HashMap;

use backprop_ad::grad;
use backprop_core::{Array, Graph, Tensor, interpret};

/// The value of a formula of numbers, in which `x` and `y` and the letters of its `where` are known.
fn calculate(text: &str, x: f64, y: f64) -> f64 {
    let mut known = HashMap::from([("x".to_string(), x), ("y".to_string(), y)]);
    let mut lines = text.lines();
    let first = lines.next().unwrap();
    for line in lines {
        let (letter, definition) = line.trim().trim_start_matches("where ").split_once(" = ").unwrap();
        let value = Calculator::new(definition, &known).whole();
        known.insert(letter.to_string(), value);
    }
    Calculator::new(first, &known).whole()
}

struct Calculator<'a> {
    rest: Vec<char>,
    known: &'a HashMap<String, f64>,
}

impl Calculator<'_> {
    fn new<'a>(text: &str, known: &'a HashMap<String, f64>) -> Calculator<'a> {
        Calculator { rest: text.chars().filter(|c| *c != ' ').rev().collect(), known }
    }

    fn whole(mut self) -> f64 {
        let value = self.truth();
        assert!(self.rest.is_empty(), "{:?} is left", self.rest);
        value
    }

    fn take(&mut self, sign: char) -> bool {
        let found = self.rest.last() == Some(&sign);
        if found {
            self.rest.pop();
        }
        found
    }

    fn word(&mut self, of: impl Fn(char) -> bool) -> String {
        let mut word = String::new();
        while let Some(&c) = self.rest.last().filter(|c| of(**c)) {
            word.push(c);
            self.rest.pop();
        }
        word
    }

    fn sum(&mut self) -> f64 {
        let mut sum = if self.take('−') { -self.product() } else { self.product() };
        loop {
            match () {
                () if self.take('+') => sum += self.product(),
                () if self.take('−') => sum -= self.product(),
                () => return sum,
            }
        }
    }

    fn product(&mut self) -> f64 {
        let mut product = self.power();
        loop {
            match () {
                () if self.take('·') => product *= self.power(),
                () if self.take('/') => product /= self.power(),
                () => return product,
            }
        }
    }

    fn power(&mut self) -> f64 {
        if self.take('√') {
            return self.atom().sqrt();
        }
        let base = self.atom();
        if self.take('^') {
            return base.powf(self.atom());
        }
        let exponent = self.word(|c| "⁰¹²³⁴⁵⁶⁷⁸⁹".contains(c));
        exponent
            .chars()
            .fold(None, |n: Option<i32>, c| {
                let digit = "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().position(|own| own == c).unwrap();
                Some(n.unwrap_or(0) * 10 + digit as i32)
            })
            .map_or(base, |n| base.powi(n))
    }

    /// A number, or a truth value as 0 or 1.
    fn truth(&mut self) -> f64 {
        let mut truth = self.comparison();
        loop {
            match () {
                () if self.take('∧') => truth *= self.comparison(),
                () if self.take('∨') => truth = truth.max(self.comparison()),
                () => return truth,
            }
        }
    }

    fn comparison(&mut self) -> f64 {
        let left = self.sum();
        let Some(&sign) = self.rest.last().filter(|c| "<>≤≥=".contains(**c)) else { return left };
        self.rest.pop();
        let right = self.sum();
        f64::from(match sign {
            '>' => left > right,
            '<' => left < right,
            '≥' => left >= right,
            '≤' => left <= right,
            '=' => left == right,
            sign => unreachable!("{sign}"),
        })
    }

    fn atom(&mut self) -> f64 {
        if self.take('¬') {
            return 1.0 - self.atom();
        }
        if self.take('(') {
            let value = self.truth();
            assert!(self.take(')'));
            return value;
        }
        if self.take('[') {
            let value = self.truth();
            assert!(self.take(']'));
            return value;
        }
        if self.rest.last().is_some_and(char::is_ascii_digit) {
            return self.word(|c| c.is_ascii_digit() || c == '.').parse().unwrap();
        }
        let name = self.word(|c| c.is_alphabetic() || "₀₁₂₃₄₅₆₇₈₉".contains(c));
        if !self.take('(') {
            return *self.known.get(&name).unwrap_or_else(|| panic!("{name} is not known"));
        }
        let a = self.sum();
        assert!(self.take(')'));
        match &name[..] {
            "sin" => a.sin(),
            "cos" => a.cos(),
            "tanh" => a.tanh(),
            "exp" => a.exp(),
            "σ" => 1.0 / (1.0 + (-a).exp()),
            "relu" => a.max(0.0),
            name => unreachable!("{name}"),
        }
    }
}

fn random_graph(seed: u64, x: Tensor, y: Tensor) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move |n: usize| {
        state = state.wrapping_mul(0xd129_0d3a_58e5_ef4d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 33) as usize % n
    };
    let mut values = vec![x, y];
    for _ in 0..9 {
        let a = values[next(values.len())];
        let b = values[values.len() - 1 - next(2)];
        values.push(match next(16) {
            0 | 1 => a + b,
            2 | 3 => a - b,
            4..6 => a * b,
            6 => a / (b * b + 2.0),
            7 => a.sin(),
            8 => b.tanh(),
            9 => a * 0.5,
            10 => -b,
            11 => 3.0 - b,
            12 => b.relu(),
            13 => (a * a + b * b + 1.0).sqrt(),
            14 => b.sigmoid(),
            _ => a.tanh().pow(3.0) - a / 3.0,
        });
    }
    values[values.len() - 1] + values[values.len() - 2]
}

#[test]
fn a_formula_says_what_the_graph_computes() {
    let (x0, y0) = (0.7, -1.3);
    for seed in 0..400 {
        let g = Graph::new();
        let (x, y) = (g.input("x", "f64[]"), g.input("y", "f64[]"));
        let z = random_graph(seed, x, y);
        let [dx, dy] = grad(z, [x, y]);
        let [dxy] = grad(dx, [y]);
        let given = [(x.id(), Array::scalar(x0)), (y.id(), Array::scalar(y0))];
        for value in [z, dx, dy, dxy] {
            let text = value.formula();
            let is = interpret(&g.records(), &given, &[value.id()]).unwrap()[0].item().unwrap();
            let says = calculate(&text, x0, y0);
            assert!((is - says).abs() <= 1e-9 * is.abs().max(1.0), "seed {seed}: {is} is not {says}\n{text}");
        }
    }
}

//! The grad_table filled step by step, as one writes it on the board.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use backprop_core::graph::records::{Node, NodeId, Records, ValueId};
use backprop_core::graph::replay::needed;
use backprop_core::{Array, DType, Op, Tensor};

use crate::sweep::{GradTable, Step};

impl GradTable {
    /// How backpropagation filled the table, in words: the forward values, then each consumer's
    /// `op.bprop(inputs, X, D)` in the order in which the algorithm asked for it, the sums over several
    /// paths, and the gradients of the targets or why they are zero.
    ///
    /// On a tape, every line ends in numbers. Values without a name are called u₁, u₂, ... (or v₁, ...
    /// where u1 is taken); numbers, sizes and conditions stand for themselves.
    ///
    /// ```
    /// use backprop_ad::grad_table;
    /// use backprop_core::Graph;
    /// let g = Graph::new();
    /// let x = g.input("x", "f64[]");
    /// let z = x.tanh().named("z");
    /// assert!(grad_table(z, &[x]).explain().contains("tanh.bprop(inputs, x, D) = D·(1 − z²)"));
    /// ```
    pub fn explain(&self) -> String {
        let numbers = |tensor: Tensor| tensor.value().ok();
        let z = self.context().zip(self.entries().first()).map(|(home, &(z, _))| Tensor::new(home, z));
        match z.and_then(numbers) {
            Some(_) => self.on_the_board(Some(&numbers)),
            None => self.on_the_board(None),
        }
    }

    /// As [`GradTable::explain`], with the numbers that a run of the graph gave: `values` says those of
    /// a tensor, where there are some.
    pub fn explain_with(&self, values: &dyn Fn(Tensor) -> Option<Array>) -> String {
        self.on_the_board(Some(values))
    }

    fn on_the_board(&self, values: Option<&dyn Fn(Tensor) -> Option<Array>>) -> String {
        let Some(home) = self.context().and_then(|home| home.get()) else {
            return "nothing was differentiated: the result is ill, or its graph is no more\n".to_string();
        };
        let records = home.records().snapshot();
        let mut board =
            Board { table: self, records: &records, values, names: HashMap::new(), text: String::new() };
        board.forward();
        board.backward();
        board.targets();
        board.text
    }
}

struct Board<'a> {
    table: &'a GradTable,
    records: &'a Records,
    values: Option<&'a dyn Fn(Tensor) -> Option<Array>>,
    names: HashMap<ValueId, String>,
    text: String,
}

impl Board<'_> {
    /// The values that the result is computed from, in the order in which they are computed.
    fn forward(&mut self) {
        let consumers: Vec<ValueId> =
            self.table.steps().iter().flat_map(|step| self.records.node(step.node).outputs()).collect();
        let roots: Vec<ValueId> =
            self.table.entries().iter().map(|&(value, _)| value).chain(consumers).collect();
        let nodes = needed(self.records, &roots, |_| false);
        let (letter, mut count) = (free_letter(self.records), 0);
        let mut plain: HashSet<ValueId> = HashSet::new();
        for value in nodes.iter().flat_map(|&id| self.records.node(id).outputs()) {
            let node = self.records.node(self.records.producer(value));
            let name = match self.records.name(value) {
                Some(name) => name.to_string(),
                None if is_plain(node, &plain) => {
                    plain.insert(value);
                    continue;
                }
                None if self.records.ty(value).is_some_and(|ty| ty.dtype == DType::Bool) => continue,
                None => {
                    count += 1;
                    format!("{letter}{}", subscript(count))
                }
            };
            self.names.insert(value, name);
        }
        self.line(0, "forward");
        for &id in &nodes {
            let node = self.records.node(id);
            if node.outputs().any(|value| self.names.contains_key(&value)) {
                let computed = self.computed(node);
                let numbers: Option<Vec<String>> = node.outputs().map(|value| self.number(value)).collect();
                let numbers =
                    numbers.filter(|numbers| !computed.ends_with(&format!(" = {}", numbers.join(", "))));
                self.line(1, &format!("{computed}{}", equals(numbers.map(|numbers| numbers.join(", ")))));
            }
        }
    }

    /// `u₁ = x·y`, `h, hs = scan(h₀, xs)`; an input is its name, with its type where there are no numbers.
    fn computed(&self, node: &Node) -> String {
        let names: Vec<String> = node.outputs().map(|output| self.called(output)).collect();
        let name = names.join(", ");
        if node.inputs.is_empty() && matches!(node.op, Op::Input(_) | Op::Constant(_)) {
            let ty = self.records.ty(node.first).filter(|_| self.values.is_none());
            return ty.map_or(name.clone(), |ty| format!("{name}: {ty}"));
        }
        // An op that only changes the shape is not to be seen in a formula, and several results have none.
        let formula = self.formula(node.first, &HashMap::new());
        let operand = |&input: &ValueId| match self.names.get(&input) {
            Some(name) => name.clone(),
            None => self.formula(input, &HashMap::new()),
        };
        let operands: Vec<String> = node.inputs.iter().map(operand).collect();
        match &operands[..] {
            [operand] if *operand == formula => format!("{name} = {}({operand})", node.op.name()),
            _ if node.n_outputs > 1 => format!("{name} = {}({})", node.op.name(), operands.join(", ")),
            _ if self.records.ty(node.first).is_some_and(|ty| ty.dtype == DType::Bool) => {
                format!("{name} = ({formula})")
            }
            _ => format!("{name} = {formula}"),
        }
    }

    /// Consumer by consumer, last first.
    fn backward(&mut self) {
        self.text.push('\n');
        self.line(0, "backward: grad_table[X] is the sum of op.bprop(inputs, X, D) over the consumers of X,");
        self.line(0, "          where D is the consumer's own entry");
        let steps = self.table.steps();
        let entries: HashMap<ValueId, Tensor> = self.table.entries().iter().copied().collect();
        let mut last: HashMap<ValueId, usize> = HashMap::new();
        let mut paths: HashMap<ValueId, Vec<String>> = HashMap::new();
        for (position, step) in steps.iter().enumerate() {
            last.insert(step.into, position);
        }
        // What no consumer adds to was given: z itself, or the cotangents of several outputs.
        for &(value, d) in self.table.entries().iter().filter(|(value, _)| !last.contains_key(value)) {
            let seed = self.formula_of(d, &HashMap::new());
            let number = self.number_of(d).filter(|number| *number != seed);
            let line = format!("grad_table[{}] ← {seed}{}", self.called(value), equals(number));
            self.line(1, &line);
        }
        let mut at: Option<NodeId> = None;
        for (position, step) in steps.iter().enumerate() {
            if at != Some(step.node) {
                at = Some(step.node);
                self.consumer(step.node, &entries);
            }
            let (called, path) = self.contribution(step, &entries);
            self.line(2, &called);
            paths.entry(step.into).or_default().push(path);
            // A sum is complete when its last consumer has been asked.
            let is_last_here = steps.get(position + 1).is_none_or(|next| next.node != step.node);
            if is_last_here {
                let first = steps[..position].iter().rposition(|before| before.node != step.node);
                let own = &steps[first.map_or(0, |before| before + 1)..=position];
                let mut written: Vec<ValueId> = Vec::new();
                for own in own {
                    if last[&own.into] <= position && !written.contains(&own.into) {
                        written.push(own.into);
                        let complete = self.complete(&steps[last[&own.into]], &paths[&own.into]);
                        self.line(1, &complete);
                    }
                }
            }
        }
    }

    /// `z = u₁ + u₂, with D = grad_table[z] = 1:`
    fn consumer(&mut self, node: NodeId, entries: &HashMap<ValueId, Tensor>) {
        let node = self.records.node(node);
        let given: Vec<String> = cotangents(node, entries)
            .into_iter()
            .map(|(output, d, letter)| {
                format!("{letter} = grad_table[{}]{}", self.called(output), equals(self.number_of(d)))
            })
            .collect();
        let line = format!("{}, with {}:", self.computed(node), given.join(", "));
        self.text.push('\n');
        self.line(1, &line);
    }

    /// `mul.bprop(inputs, x, D) = D·y = 3`, and the contribution as it stands in a sum.
    fn contribution(&self, step: &Step, entries: &HashMap<ValueId, Tensor>) -> (String, String) {
        let node = self.records.node(step.node);
        let (op, operand) = (node.op.name(), self.called(step.into));
        let (mut short, mut long) = (HashMap::new(), HashMap::new());
        let (mut letters, mut places) = (Vec::new(), Vec::new());
        for (output, d, letter) in cotangents(node, entries) {
            let place = format!("grad_table[{}]", self.called(output));
            short.insert(d.id(), letter.clone());
            long.insert(d.id(), place.clone());
            letters.push(letter);
            places.push(place);
        }
        let lead = format!("{op}.bprop(inputs, {operand}, {})", letters.join(", "));
        let number = self.number_of(step.contribution);
        // What a loop gives is no formula.
        let (text, path) = match node.op {
            Op::Scan(_) => ("the vjp of the body, from the last step to the first".to_string(), None),
            _ => {
                let text = self.formula_of(step.contribution, &short);
                let path = self.formula_of(step.contribution, &long);
                (format!("{text}{}", self.moved(step.contribution, &short)), Some(path))
            }
        };
        let path = number.clone().or(path);
        let path = path.unwrap_or_else(|| format!("{op}.bprop(inputs, {operand}, {})", places.join(", ")));
        let number = number.filter(|number| *number != text);
        (format!("{lead} = {text}{}", equals(number)), path)
    }

    /// What a formula does not say: that D is handed on under another shape.
    fn moved(&self, contribution: Tensor, short: &HashMap<ValueId, String>) -> &'static str {
        if short.contains_key(&contribution.id()) {
            return "";
        }
        match self.records.node(self.records.producer(contribution.id())).op {
            Op::Broadcast(_) => ", repeated",
            Op::Reshape(_) => ", reshaped",
            _ => "",
        }
    }

    /// `grad_table[x] ← −0.4161 + 3 = 2.5839`
    fn complete(&self, step: &Step, paths: &[String]) -> String {
        let mut sum = format!("grad_table[{}] ← {}", self.called(step.into), paths[0]);
        for path in &paths[1..] {
            match path.strip_prefix('−') {
                Some(size) => write!(sum, " − {size}"),
                None => write!(sum, " + {path}"),
            }
            .expect("a string takes everything");
        }
        match self.number_of(step.sum) {
            Some(number) if paths.len() > 1 => format!("{sum} = {number}"),
            _ => sum,
        }
    }

    fn targets(&mut self) {
        self.text.push('\n');
        self.line(0, "result");
        let z = self.table.entries().first().map_or("z".to_string(), |&(value, _)| self.called(value));
        for idx in 0..self.table.targets().len() {
            let name = match self.table.target_id(idx) {
                Some(target) => self.called(target),
                None => format!("target {idx}"),
            };
            let line = match self.table.reason(idx) {
                Some(reason) => format!("d{z}/d{name} = 0: {reason}"),
                None => {
                    let number = equals(self.number_of(self.table.gradients()[idx]));
                    format!("d{z}/d{name} = grad_table[{name}]{number}")
                }
            };
            self.line(1, &line);
        }
    }

    fn line(&mut self, depth: usize, text: &str) {
        writeln!(self.text, "{:1$}{text}", "", 2 * depth).expect("a string takes everything");
    }

    fn called(&self, value: ValueId) -> String {
        self.names.get(&value).cloned().unwrap_or_else(|| self.records.label(value))
    }

    /// The formula of a value, in one line; `more` are names beside those of the forward values.
    fn formula(&self, value: ValueId, more: &HashMap<ValueId, String>) -> String {
        // A cotangent that is handed through is not written out.
        if let Some(name) = more.get(&value) {
            return name.clone();
        }
        let name = |at: ValueId| more.get(&at).or_else(|| self.names.get(&at)).cloned();
        let text = self.table.context().map(|home| Tensor::new(home, value).formula_with(&name));
        let text = text.unwrap_or_default();
        let mut lines = text.lines().map(str::trim);
        let first = lines.next().unwrap_or_default().to_string();
        lines.fold(first, |text, line| text + ", " + line)
    }

    fn formula_of(&self, tensor: Tensor, more: &HashMap<ValueId, String>) -> String {
        match Some(tensor.context()) == self.table.context() {
            true => self.formula(tensor.id(), more),
            false => "D".to_string(),
        }
    }

    fn number(&self, value: ValueId) -> Option<String> {
        self.number_of(Tensor::new(self.table.context()?, value))
    }

    fn number_of(&self, tensor: Tensor) -> Option<String> {
        self.values.and_then(|values| values(tensor)).map(|array| numbers(&array))
    }
}

/// u, or another letter where the user's own names are u1, u2, ...
fn free_letter(records: &Records) -> char {
    let is_taken = |letter: char| {
        records.names().any(|(_, name)| {
            let rest = name.strip_prefix(letter).unwrap_or("-");
            rest.chars().all(|c| c.is_numeric() || c == '_')
        })
    };
    "uvstabcd".chars().find(|&letter| !is_taken(letter)).unwrap_or('u')
}

/// Whether the value of `node` is a number, a size, or computed from such: `1/B`.
fn is_plain(node: &Node, plain: &HashSet<ValueId>) -> bool {
    match node.op {
        Op::Full(_) | Op::DimValue(_) => true,
        Op::Constant(ref constant) => constant.array.len() == 1,
        _ => {
            let is_one = node.n_outputs == 1 && !node.inputs.is_empty();
            is_one && node.inputs.iter().all(|input| plain.contains(input))
        }
    }
}

/// The cotangents of a consumer, with what they are called: D, or D₁, D₂ of several outputs.
fn cotangents(node: &Node, entries: &HashMap<ValueId, Tensor>) -> Vec<(ValueId, Tensor, String)> {
    let found: Vec<(ValueId, Tensor)> =
        node.outputs().filter_map(|output| Some((output, *entries.get(&output)?))).collect();
    let is_one = found.len() == 1;
    let letter = |k: usize| if is_one { "D".to_string() } else { format!("D{}", subscript(k + 1)) };
    found.into_iter().enumerate().map(|(k, (output, d))| (output, d, letter(k))).collect()
}

/// ` = 3`, or nothing.
fn equals(number: Option<String>) -> String {
    number.map_or(String::new(), |number| format!(" = {number}"))
}

/// A few numbers as nested lists; of many, only how many.
fn numbers(array: &Array) -> String {
    if array.len() > 12 {
        return format!("{}{:?}", array.dtype(), array.sizes());
    }
    let values = array.to_f64s();
    let truth = |&x: &f64| if x == 0.0 { "false".to_string() } else { "true".to_string() };
    let mut texts: Vec<String> = match array.dtype() {
        DType::Bool => values.iter().map(truth).collect(),
        _ => values.iter().map(|&x| number(x)).collect(),
    };
    for &size in array.sizes().iter().rev() {
        if size == 0 || texts.is_empty() {
            return "[]".to_string();
        }
        texts = texts.chunks(size).map(|row| format!("[{}]", row.join(", "))).collect();
    }
    texts.concat()
}

/// A number with four digits behind the point.
fn number(x: f64) -> String {
    let text = match x.abs() {
        _ if x.is_nan() => "NaN".to_string(),
        size if size.is_infinite() => "∞".to_string(),
        size if size != 0.0 && !(1e-3..1e6).contains(&size) => {
            let text = format!("{size:.4e}");
            let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let digits = digits.trim_end_matches('0').trim_end_matches('.');
            format!("{digits}e{}", exponent.replace('-', "−"))
        }
        size if size == size.trunc() => format!("{size}"),
        size => format!("{size:.4}").trim_end_matches('0').trim_end_matches('.').to_string(),
    };
    if x < 0.0 { format!("−{text}") } else { text }
}

fn subscript(n: usize) -> String {
    const DIGITS: [char; 10] = ['₀', '₁', '₂', '₃', '₄', '₅', '₆', '₇', '₈', '₉'];
    n.to_string().bytes().map(|digit| DIGITS[usize::from(digit - b'0')]).collect()
}

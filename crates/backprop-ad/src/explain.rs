//! The grad_table filled step by step, as one writes it on the board.

use std::collections::HashMap;
use std::fmt::Write;

use backprop_core::graph::records::{NodeId, Records, ValueId};
use backprop_core::graph::replay::needed;
use backprop_core::{Array, DType, Op, Tensor, formula_with};

use crate::sweep::{GradTable, Step};

/// How backpropagation filled `table`, in words: the forward values, then each consumer's
/// `op.bprop(inputs, X, D)` in the order in which the algorithm asked for it, the sums over several
/// paths, and the gradients of the targets or why they are zero.
///
/// With `values`, which gives a tensor's numbers where there are some, every line ends in numbers; on a
/// tape that is `&|tensor| tensor.value().ok()`. Values without a name are called u₁, u₂, ...
///
/// ```
/// use backprop_ad::{explain, grad_table};
/// use backprop_core::Graph;
/// let g = Graph::new();
/// let x = g.input("x", "f64[]");
/// let z = x.tanh().named("z");
/// let text = explain(&grad_table(z, &[x]), &g.records(), None);
/// assert!(text.contains("tanh.bprop(inputs, x, D) = D·(1 − z²)"));
/// ```
pub fn explain(
    table: &GradTable,
    records: &Records,
    values: Option<&dyn Fn(Tensor) -> Option<Array>>,
) -> String {
    if table.context().is_none() {
        return "nothing was differentiated: the result is ill, or its graph is no more\n".to_string();
    }
    let mut board = Board { table, records, values, names: HashMap::new(), text: String::new() };
    board.forward();
    board.backward();
    board.targets();
    board.text
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
        let mut count = 0;
        for value in nodes.iter().flat_map(|&id| self.records.node(id).outputs()) {
            let name = match self.records.name(value) {
                Some(name) => name.to_string(),
                // Numbers and conditions stand for themselves.
                None if matches!(self.records.node(self.records.producer(value)).op, Op::Full(_)) => continue,
                None if self.records.ty(value).is_some_and(|ty| ty.dtype == DType::Bool) => continue,
                None => {
                    count += 1;
                    format!("u{}", subscript(count))
                }
            };
            self.names.insert(value, name);
        }
        self.line(0, "forward");
        for value in nodes.iter().flat_map(|&id| self.records.node(id).outputs()) {
            if self.names.contains_key(&value) {
                let computed = self.computed(value);
                let number = self.number(value);
                self.line(1, &format!("{computed}{number}"));
            }
        }
    }

    /// `u₁ = x·y`; an input is only its name.
    fn computed(&self, value: ValueId) -> String {
        let node = self.records.node(self.records.producer(value));
        let name = &self.names[&value];
        if node.inputs.is_empty() && matches!(node.op, Op::Input(_) | Op::Constant(_)) {
            return name.clone();
        }
        let formula = self.formula(value, &HashMap::new());
        // An op that only changes the shape is not to be seen in a formula.
        let operands: Vec<&str> =
            node.inputs.iter().filter_map(|input| Some(&self.names.get(input)?[..])).collect();
        match operands[..] {
            [operand] if operand == formula => format!("{name} = {}({operand})", node.op.name()),
            _ => format!("{name} = {formula}"),
        }
    }

    /// Consumer by consumer, last first.
    fn backward(&mut self) {
        self.text.push('\n');
        self.line(0, "backward");
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
            let number = number.map_or(String::new(), |number| format!(" = {number}"));
            let line = format!("grad_table[{}] ← {seed}{number}", self.names[&value]);
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

    /// `z = u₁ + u₂, with D = grad_table[z] = 1`
    fn consumer(&mut self, node: NodeId, entries: &HashMap<ValueId, Tensor>) {
        for output in self.records.node(node).outputs() {
            if let Some(&d) = entries.get(&output) {
                let number = self.number_of(d).map_or(String::new(), |number| format!(" = {number}"));
                let name = &self.names[&output];
                let line = format!("{}, with D = grad_table[{name}]{number}:", self.computed(output));
                self.text.push('\n');
                self.line(1, &line);
            }
        }
    }

    /// `mul.bprop(inputs, x, D) = D·y = 3`, and the contribution as it stands in a sum.
    fn contribution(&self, step: &Step, entries: &HashMap<ValueId, Tensor>) -> (String, String) {
        let node = self.records.node(step.node);
        let cotangents: Vec<(ValueId, Tensor)> =
            node.outputs().filter_map(|output| Some((output, *entries.get(&output)?))).collect();
        let (mut short, mut long) = (HashMap::new(), HashMap::new());
        for &(output, d) in &cotangents {
            short.insert(d.id(), "D".to_string());
            long.insert(d.id(), format!("grad_table[{}]", self.names[&output]));
        }
        let text = self.formula_of(step.contribution, &short);
        let number = self.number_of(step.contribution).filter(|number| *number != text);
        let number_text = number.as_ref().map_or(String::new(), |number| format!(" = {number}"));
        let (op, operand) = (node.op.name(), self.called(step.into));
        let line = format!("{op}.bprop(inputs, {operand}, D) = {text}{number_text}");
        let path = self.number_of(step.contribution);
        let path = path.unwrap_or_else(|| self.formula_of(step.contribution, &long));
        (line, path)
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
                    let number = self.number_of(self.table.gradients()[idx]);
                    let number = number.map_or(String::new(), |number| format!(" = {number}"));
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
        let text = formula_with(self.records, value, &name);
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

    /// ` = 3`, if there are numbers.
    fn number(&self, value: ValueId) -> String {
        let tensor = self.table.context().map(|context| Tensor::new(context, value));
        let number = tensor.and_then(|tensor| self.number_of(tensor));
        number.map_or(String::new(), |number| format!(" = {number}"))
    }

    fn number_of(&self, tensor: Tensor) -> Option<String> {
        self.values.and_then(|values| values(tensor)).map(|array| numbers(&array))
    }
}

/// A few numbers as nested lists; of many, only how many.
fn numbers(array: &Array) -> String {
    if array.len() > 12 {
        return format!("{}{:?}", array.dtype(), array.sizes());
    }
    let values = array.to_f64s();
    let mut texts: Vec<String> = values.iter().map(|&x| number(x)).collect();
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
        size if size != 0.0 && !(1e-3..1e6).contains(&size) => format!("{size:.4e}"),
        size if size == size.trunc() => format!("{size}"),
        size => format!("{size:.4}").trim_end_matches('0').trim_end_matches('.').to_string(),
    };
    if x < 0.0 { format!("−{text}") } else { text }
}

fn subscript(n: usize) -> String {
    const DIGITS: [char; 10] = ['₀', '₁', '₂', '₃', '₄', '₅', '₆', '₇', '₈', '₉'];
    n.to_string().bytes().map(|digit| DIGITS[usize::from(digit - b'0')]).collect()
}

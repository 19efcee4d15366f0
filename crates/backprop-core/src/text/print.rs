//! Records as text.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::lex::quote;
use super::literal::{MAX_INLINE, write_array, write_float};
use super::{Printed, is_bare, is_plain};
use crate::array::Array;
use crate::graph::body::Body;
use crate::graph::records::{Node, Part, Records, ValueId};
use crate::ops::{Attribute, Op};

const TO_A_STRING: &str = "writing to a string cannot fail";

/// The records and what they return as text.
///
/// Every node is printed, also those that no output needs, so that values keep their numbers. A
/// node that is ill is printed with the type `?` and its fault as a comment; the parser refuses it.
pub fn print(records: &Records, outputs: &[(String, ValueId)]) -> Printed {
    let mut printer = Printer { text: String::new(), constants: Vec::new(), keys: HashSet::new() };
    printer.text.push_str("graph {\n");
    printer.block(records, 1);
    let outputs: Vec<(Option<&str>, ValueId)> =
        outputs.iter().map(|(name, value)| (Some(name.as_str()), *value)).collect();
    printer.returns(records, &outputs, 1);
    printer.text.push_str("}\n");
    Printed { text: printer.text, constants: printer.constants }
}

struct Printer {
    text: String,
    constants: Vec<(String, Array)>,
    keys: HashSet<String>,
}

impl Printer {
    /// The nodes with the assumptions between them.
    fn block(&mut self, records: &Records, depth: usize) {
        let mut assumptions = records.assumptions.iter().zip(&records.assumed_from).peekable();
        let mut part = Part::Forward;
        for (id, node) in records.nodes().iter().enumerate() {
            while let Some(((name, dim), _)) = assumptions.next_if(|(_, from)| **from as usize <= id) {
                self.line(depth, format_args!("assume {name} == {dim}"));
            }
            if node.part != part {
                part = node.part;
                let section = match part {
                    Part::Forward => "forward:",
                    Part::Gradient => "gradient:",
                    Part::NoGrad => "no_grad:",
                };
                self.line(depth - 1, format_args!("{section}"));
            }
            self.node(records, id as u32, node, depth);
        }
        for ((name, dim), _) in assumptions {
            self.line(depth, format_args!("assume {name} == {dim}"));
        }
    }

    /// What the block gives, each with its name where that is not the value's own.
    fn returns(&mut self, records: &Records, outputs: &[(Option<&str>, ValueId)], depth: usize) {
        if outputs.is_empty() {
            return;
        }
        self.indent(depth);
        self.text.push_str("return ");
        for (idx, &(name, value)) in outputs.iter().enumerate() {
            self.comma(idx);
            if let Some(name) = name.filter(|&name| records.label(value) != name) {
                self.name(name);
                self.text.push_str(": ");
            }
            self.label(records, value);
        }
        self.text.push('\n');
    }

    /// `body(k, carry; captured) { ... }`: its parameters are the inputs inside.
    fn body(&mut self, body: &Body, depth: usize) {
        self.text.push_str("body(");
        let first_capture = body.parameters().len() - body.n_captures();
        for (idx, &parameter) in body.parameters().iter().enumerate() {
            match idx {
                _ if idx == first_capture => self.text.push_str("; "),
                _ => self.comma(idx),
            }
            self.label(body.records(), parameter);
        }
        self.text.push_str(") {\n");
        self.block(body.records(), depth + 1);
        let outputs: Vec<(Option<&str>, ValueId)> =
            body.outputs().iter().map(|&value| (None, value)).collect();
        self.returns(body.records(), &outputs, depth + 1);
        self.indent(depth);
        self.text.push('}');
    }

    fn node(&mut self, records: &Records, id: u32, node: &Node, depth: usize) {
        self.indent(depth);
        for (idx, output) in node.outputs().enumerate() {
            self.comma(idx);
            self.label(records, output);
        }
        self.text.push_str(" = ");
        self.word(node.op.name());
        if let Op::Constant(constant) = &node.op {
            self.text.push(' ');
            self.constant(records, node.first, &constant.array);
        }
        if !node.inputs.is_empty() {
            self.text.push('(');
            for (idx, &input) in node.inputs.iter().enumerate() {
                self.comma(idx);
                self.label(records, input);
            }
            self.text.push(')');
        }
        self.attributes(&node.op, depth);
        for (idx, output) in node.outputs().enumerate() {
            self.text.push_str(if idx == 0 { " : " } else { ", " });
            match records.ty(output) {
                Some(ty) => write!(self.text, "{ty}").expect(TO_A_STRING),
                None => self.text.push('?'),
            }
        }
        if let Some(fault) = records.faults.get(&id) {
            let rule: String = fault.rule.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            write!(self.text, "  # {}: {rule}", fault.op.escape_debug()).expect(TO_A_STRING);
        }
        self.text.push('\n');
    }

    fn attributes(&mut self, op: &Op, depth: usize) {
        let mut attributes = op.rule().attributes();
        if matches!(op, Op::Contract(_)) {
            // No batch axes is the usual case of a contraction.
            attributes.retain(|(_, value)| !matches!(value, Attribute::Ints(axes) if axes.is_empty()));
        }
        if attributes.is_empty() {
            return;
        }
        // An op with a body has an attribute a line.
        let is_long = attributes.iter().any(|(_, value)| matches!(value, Attribute::Body(_)));
        self.text.push_str(" {");
        for (idx, (name, value)) in attributes.iter().enumerate() {
            if is_long {
                self.text.push_str(if idx == 0 { "\n" } else { ",\n" });
                self.indent(depth + 1);
            } else {
                self.comma(idx);
            }
            self.word(name);
            self.text.push_str(": ");
            match value {
                Attribute::Body(body) => self.body(body, depth + 1),
                value => self.attribute(value),
            }
        }
        if is_long {
            self.text.push('\n');
            self.indent(depth);
        }
        self.text.push('}');
    }

    fn attribute(&mut self, value: &Attribute) {
        match value {
            Attribute::Int(n) => write!(self.text, "{n}").expect(TO_A_STRING),
            Attribute::Float(x) => write_float(&mut self.text, *x),
            Attribute::Ints(list) => write!(self.text, "{list:?}").expect(TO_A_STRING),
            Attribute::Dim(dim) => write!(self.text, "{dim}").expect(TO_A_STRING),
            Attribute::Shape(shape) => write!(self.text, "{shape}").expect(TO_A_STRING),
            Attribute::Dims(dims) => write!(self.text, "{dims}").expect(TO_A_STRING),
            Attribute::DType(dtype) => self.text.push_str(dtype.name()),
            Attribute::Name(name) => self.name(name),
            Attribute::Body(body) => self.body(body, 0),
        }
    }

    /// A small array in place; a large one by a name, under which it stands beside the text.
    fn constant(&mut self, records: &Records, value: ValueId, array: &Array) {
        if array.len() <= MAX_INLINE {
            return write_array(&mut self.text, array);
        }
        let label = records.label(value);
        let mut key = label.clone();
        let mut count = 1;
        while !self.keys.insert(key.clone()) {
            count += 1;
            key = format!("{label}.{count}");
        }
        self.text.push('@');
        match key.strip_prefix('%').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())) {
            true => self.text.push_str(&key),
            false => self.name(&key),
        }
        self.constants.push((key, array.clone()));
    }

    fn label(&mut self, records: &Records, value: ValueId) {
        match records.name(value) {
            Some(name) => self.name(name),
            None => write!(self.text, "%{value}").expect(TO_A_STRING),
        }
    }

    /// The name of an op or of an attribute, where no keyword is expected.
    fn word(&mut self, name: &str) {
        if is_plain(name) { self.text.push_str(name) } else { self.text.push_str(&quote(name)) }
    }

    fn name(&mut self, name: &str) {
        if is_bare(name) { self.text.push_str(name) } else { self.text.push_str(&quote(name)) }
    }

    fn comma(&mut self, idx: usize) {
        if idx > 0 {
            self.text.push_str(", ");
        }
    }

    fn line(&mut self, depth: usize, line: std::fmt::Arguments) {
        self.indent(depth);
        writeln!(self.text, "{line}").expect(TO_A_STRING);
    }

    fn indent(&mut self, depth: usize) {
        (0..depth).for_each(|_| self.text.push_str("  "));
    }
}

//! Pictures of graphs: from records to what [`backprop_draw`] draws.
//!
//! ```
//! use backprop_ad::grad;
//! use backprop_core::Graph;
//! let g = Graph::new();
//! let (w, x) = (g.input("w", "f64[]"), g.input("x", "f64[]"));
//! let z = (w * x).tanh().named("z");
//! let dw = grad(z, [w])[0].named("dz/dw");
//! let drawn = backprop::picture::svg(&g.records(), &[z.id(), dw.id()], "tanh")?;
//! assert!(drawn.starts_with("<svg"));
//! # Ok::<(), backprop_draw::Error>(())
//! ```

use std::collections::{HashMap, HashSet};

use backprop_core::graph::replay::needed;
use backprop_core::ops::{Attribute, Contract};
use backprop_core::{Node, NodeId, Op, Part, Records, ValueId};
use backprop_draw::{Error, Kind, Picture};

/// The graph that `outputs` need, as a picture.
///
/// A node carries the user's name, its op and its type; the line that made it is its tooltip, its
/// layer its cluster. Numbers written in the program stand in the label of the op that reads them:
/// `mul(·, 0.5)`. Inputs that belong to a layer, or are named by a path such as `0.weight`, are drawn
/// as parameters; see also [`picture_with`].
pub fn picture(records: &Records, outputs: &[ValueId], title: &str) -> Picture {
    picture_with(records, outputs, &[], title)
}

/// As [`picture`], with more inputs that are parameters.
pub fn picture_with(records: &Records, outputs: &[ValueId], parameters: &[ValueId], title: &str) -> Picture {
    let outputs: HashSet<ValueId> = outputs.iter().copied().collect();
    let parameters: HashSet<ValueId> = parameters.iter().copied().collect();
    let roots: Vec<ValueId> = outputs.iter().copied().collect();
    let mut picture = Picture::new(title);
    let mut drawn: HashMap<NodeId, usize> = HashMap::new();
    for id in needed(records, &roots, |_| false) {
        let node = records.node(id);
        if number(records, node.first).is_some() && !outputs.contains(&node.first) {
            continue;
        }
        let at = picture.node(drawn_node(records, node, &outputs, &parameters));
        drawn.insert(id, at);
        for &input in &node.inputs {
            if let Some(&from) = drawn.get(&records.producer(input)) {
                picture.edge(from, at);
                let producer = records.node(records.producer(input));
                if producer.n_outputs > 1
                    && let Some(edge) = picture.edges.last_mut()
                {
                    edge.label = Some(match records.name(input) {
                        Some(name) => name.to_string(),
                        None => format!("output {}", input - producer.first),
                    });
                }
            }
        }
    }
    picture
}

/// The picture of `outputs` as SVG; see [`picture`].
///
/// # Errors
/// The graph is too large to be looked at.
pub fn svg(records: &Records, outputs: &[ValueId], title: &str) -> Result<String, Error> {
    backprop_draw::svg(&picture(records, outputs, title))
}

/// The picture of `outputs` as DOT, for Graphviz; see [`picture`].
pub fn dot(records: &Records, outputs: &[ValueId], title: &str) -> String {
    backprop_draw::dot(&picture(records, outputs, title))
}

fn drawn_node(
    records: &Records,
    node: &Node,
    outputs: &HashSet<ValueId>,
    parameters: &HashSet<ValueId>,
) -> backprop_draw::Node {
    let names: Vec<&str> = node.outputs().filter_map(|value| Some(&**records.name(value)?)).collect();
    let module = records.module(node.place.module).map(|module| module.path.to_string());
    let is_parameter = |value: ValueId| {
        parameters.contains(&value) || module.is_some() || names.iter().any(|name| name.contains('.'))
    };
    let kind = match &node.op {
        Op::Input(_) if is_parameter(node.first) => Kind::Parameter,
        Op::Input(_) => Kind::Input,
        Op::Constant(_) | Op::Full(_) | Op::Iota(_) | Op::DimValue(_) => Kind::Constant,
        _ if node.outputs().any(|value| outputs.contains(&value)) => Kind::Output,
        _ => Kind::Operation,
    };
    let ty = |value| records.ty(value).map_or_else(|| "ill-typed".to_string(), |ty| ty.to_string());
    let types: Vec<String> = node.outputs().map(ty).collect();
    let mut label = vec![call(records, node), types.join(", ")];
    if matches!(node.op, Op::Input(_)) {
        label.remove(0);
    }
    backprop_draw::Node {
        name: (!names.is_empty()).then(|| names.join(", ")),
        label,
        kind,
        part: match node.part {
            Part::Gradient => backprop_draw::Part::Gradient,
            Part::Forward | Part::NoGrad => backprop_draw::Part::Forward,
        },
        tooltip: Some(records.place(node.place).to_string()),
        cluster: module,
    }
}

/// `sum axis 0`, `mul(·, 0.5)`, `0.01`: the op with the parameters that tell it from its like, and the numbers
/// that it reads.
fn call(records: &Records, node: &Node) -> String {
    let name = match &node.op {
        Op::Contract(Contract { lhs_contract, .. }) if lhs_contract.len() == 1 => "matmul",
        op => op.name(),
    };
    let mut text = match &node.op {
        Op::Full(_) => return number(records, node.first).unwrap_or_else(|| name.to_string()),
        Op::DimValue(dim) => return dim.dim.to_string(),
        Op::Constant(constant) => match constant.array.item() {
            Ok(x) if constant.array.dtype().is_number() => return short(x),
            _ => name.to_string(),
        },
        _ => name.to_string(),
    };
    let is_matrix = records.ty(node.first).is_some_and(|ty| ty.shape.rank() == 2);
    for (key, attribute) in node.op.rule().attributes() {
        let (lead, list): (&str, Vec<i64>) = match attribute {
            Attribute::Ints(list) if key == "axes" && list.len() == 1 => ("axis ", list),
            Attribute::Ints(list) if key == "axes" => ("axes ", list),
            Attribute::Ints(list) if key == "perm" && !is_matrix => ("", list),
            Attribute::Int(axis) if key == "axis" => ("axis ", vec![axis]),
            _ => continue,
        };
        let list: Vec<String> = list.iter().map(i64::to_string).collect();
        if !list.is_empty() {
            text.push_str(&format!(" {lead}{}", list.join(" ")));
        }
    }
    let operands: Vec<Option<String>> = node.inputs.iter().map(|&input| number(records, input)).collect();
    if operands.iter().all(Option::is_none) {
        return text;
    }
    let operands: Vec<String> =
        operands.into_iter().map(|number| number.unwrap_or_else(|| "·".to_string())).collect();
    format!("{text}({})", operands.join(", "))
}

/// The number that a value is, if it is one written in the program and has no name of its own.
fn number(records: &Records, value: ValueId) -> Option<String> {
    let Op::Full(full) = records.node(records.producer(value)).op else { return None };
    if records.name(value).is_some() {
        return None;
    }
    Some(short(full.as_f64()))
}

/// A few digits.
fn short(x: f64) -> String {
    let digits = format!("{x:.4}");
    match x {
        x if x == x.trunc() && x.abs() < 1e6 => format!("{x}"),
        x if !(1e-3..1e6).contains(&x.abs()) => format!("{x:.3e}"),
        _ => digits.trim_end_matches('0').to_string(),
    }
}

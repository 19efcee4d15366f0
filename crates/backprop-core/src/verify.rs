//! The verifier: what must hold of any records, whoever made them.
//!
//! | rule | what holds |
//! |------|------------|
//! | V1 | a node reads values of earlier nodes only: the order of the nodes is topological |
//! | V2 | values are numbered in the order of the nodes, each node's outputs one after another, and each value knows its node |
//! | V3 | a node has as many outputs as its op says |
//! | V4 | the type of a value is what the op's type rule gives for the types of the operands, under the assumptions made before the node |
//! | V5 | a value is ill for a reason: its node has a fault, or an operand that is ill, or stands for something missing; and the outputs of a node with a fault are ill |
//! | V6 | an ill call has a fault; a missing operand makes its reader's fault, unless it is the parameter of a body |
//! | V7 | names are unique, and looking up a name and naming a value agree |
//! | V8 | the place of a node names a module and a file that are there |
//! | V9 | names of dimensions are identifiers: a letter or `_`, then letters, digits and `_` |
//! | V10 | an assumption says of a name what it equals in other names, from a node on that is there |
//! | V11 | the parameters of a body are inputs of its records, each once, its outputs are values, its captures are parameters, and its records keep every rule |
//!
//! The methods of [`Records`] keep these rules; the verifier is for tests, and for records that came
//! from elsewhere. It reads each node once.

use std::collections::HashSet;
use std::fmt;

use crate::graph::body::Body;
use crate::graph::place::Line;
use crate::graph::records::{NodeId, Records, ValueId};
use crate::ops::{Attribute, Op};
use crate::text::is_dim_name;
use crate::types::{Dim, Shape, Type};

/// A rule that is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The number of the rule: 3 for V3.
    pub rule: u32,
    /// The node where it is broken.
    pub node: Option<NodeId>,
    /// What is there instead.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node {
            Some(node) => write!(f, "V{} at node {node}: {}", self.rule, self.what),
            None => write!(f, "V{}: {}", self.rule, self.what),
        }
    }
}

/// Checks every rule.
///
/// # Errors
/// Every rule that is broken, where it is. Records whose values are not numbered as V1 and V2 say are
/// not looked at further.
pub fn verify(records: &Records) -> Result<(), Vec<Violation>> {
    let mut violations = check_all(records, &[]);
    // Bodies with the node outside that runs them; a list instead of recursion.
    let mut bodies: Vec<(NodeId, &Body)> = bodies_of(records, None);
    while let Some((node, body)) = bodies.pop() {
        if let Some(what) = misfit(body) {
            violations.push(Violation { rule: 11, node: Some(node), what });
            continue;
        }
        let inside = check_all(body.records(), body.parameters());
        violations.extend(inside.into_iter().map(|violation| Violation {
            rule: 11,
            node: Some(node),
            what: format!("in a body, {violation}"),
        }));
        bodies.extend(bodies_of(body.records(), Some(node)));
    }
    if violations.is_empty() { Ok(()) } else { Err(violations) }
}

/// The bodies of the nodes, with `outer` or the node itself.
fn bodies_of(records: &Records, outer: Option<NodeId>) -> Vec<(NodeId, &Body)> {
    let mut bodies = Vec::new();
    for (id, node) in (0..).zip(records.nodes()) {
        if matches!(node.op, Op::Cond(_) | Op::Scan(_) | Op::Custom(_)) {
            let own = node.op.rule().bodies();
            bodies.extend(own.into_iter().map(|body| (outer.unwrap_or(id), body.as_ref())));
        }
    }
    bodies
}

/// What is wrong between a body and its records.
fn misfit(body: &Body) -> Option<String> {
    let (records, parameters) = (body.records(), body.parameters());
    let mut seen = HashSet::new();
    let is_there = |&&value: &&ValueId| (value as usize) < records.n_values();
    if let Some(value) = parameters.iter().chain(body.outputs()).find(|value| !is_there(value)) {
        return Some(format!("the body has no value %{value}"));
    }
    if body.n_captures() > parameters.len() {
        return Some(format!("{} captures of {} parameters", body.n_captures(), parameters.len()));
    }
    parameters.iter().find_map(|&value| {
        let op = &records.node(records.producer(value)).op;
        match op {
            Op::Input(_) | Op::Missing(_) if seen.insert(value) => None,
            Op::Input(_) | Op::Missing(_) => Some(format!("parameter %{value} comes twice")),
            op => Some(format!("parameter %{value} is a result of {}", op.name())),
        }
    })
}

/// The rules V1 to V10 for one list of records; `parameters` are those of a body.
fn check_all(records: &Records, parameters: &[ValueId]) -> Vec<Violation> {
    let parameters = parameters.iter().copied().collect();
    let mut check = Check { records, parameters, violations: Vec::new() };
    check.order();
    if check.violations.is_empty() {
        check.types();
        check.faults();
        check.names();
        check.places();
        check.dims();
        check.assumptions();
    }
    check.violations
}

struct Check<'a> {
    records: &'a Records,
    parameters: HashSet<ValueId>,
    violations: Vec<Violation>,
}

impl Check<'_> {
    fn broken(&mut self, rule: u32, node: impl Into<Option<NodeId>>, what: String) {
        self.violations.push(Violation { rule, node: node.into(), what });
    }

    /// V1, V2
    fn order(&mut self) {
        let records = self.records;
        let mut next = 0usize;
        for (id, node) in (0..).zip(records.nodes()) {
            if let Some(&input) = node.inputs.iter().find(|&&input| input as usize >= next) {
                self.broken(1, id, format!("{} reads %{input}, which is not made before it", node.op.name()));
            }
            if node.first as usize != next {
                self.broken(2, id, format!("the first output is %{}, not %{next}", node.first));
                return;
            }
            next += node.n_outputs as usize;
            let own = records.values.get(node.first as usize..next);
            if !own.is_some_and(|values| values.iter().all(|value| value.node == id)) {
                self.broken(2, id, "an output is missing, or belongs to another node".to_string());
                return;
            }
        }
        if next != records.n_values() {
            self.broken(2, None, format!("{} values, but the nodes make {next}", records.n_values()));
        }
    }

    /// V3, V4
    fn types(&mut self) {
        let records = self.records;
        // Only the assumptions made before a node hold for it.
        let mut staged = (!records.assumptions.is_empty()).then(|| {
            let mut staged = records.clone();
            staged.assumptions.clear();
            staged
        });
        for (id, node) in (0..).zip(records.nodes()) {
            if let Some(staged) = &mut staged {
                let held = records.assumed_from.iter().take_while(|&&from| from <= id).count();
                for assumption in staged.assumptions.len()..held.min(records.assumptions.len()) {
                    staged.assumptions.push(records.assumptions[assumption].clone());
                }
            }
            if node.n_outputs as usize != node.op.n_outputs() {
                let (n, own) = (node.op.n_outputs(), node.n_outputs);
                self.broken(3, id, format!("{} has {n} outputs, the node has {own}", node.op.name()));
                continue;
            }
            let own: Option<Vec<Type>> = node.outputs().map(|output| records.ty(output)).collect();
            let Some(own) = own else { continue };
            let inferred = staged.as_ref().unwrap_or(records).infer(&node.op, &node.inputs);
            let name = node.op.name();
            match inferred {
                None => self.broken(4, id, format!("{name} has a type, though an operand is ill")),
                Some(Err(ill)) => self.broken(4, id, format!("{name} has a type, though {}", ill.rule)),
                Some(Ok(inferred)) => {
                    let given = inferred.types();
                    if given != own {
                        self.broken(4, id, format!("{name} gives {given:?}, the records say {own:?}"));
                    }
                }
            }
        }
    }

    /// V5, V6
    fn faults(&mut self) {
        let records = self.records;
        let is_ill = |value: u32| records.ty(value).is_none();
        for (id, node) in (0..).zip(records.nodes()) {
            let fault = records.faults.contains_key(&id);
            let missing = matches!(node.op, Op::Missing(_));
            let n_ill = node.outputs().filter(|&output| is_ill(output)).count();
            let ill_operand = node.inputs.iter().any(|&input| is_ill(input));
            if n_ill > 0 && !fault && !ill_operand && !missing {
                self.broken(5, id, format!("{} is ill for no reason", node.op.name()));
            }
            if (fault || missing || ill_operand) && n_ill < node.n_outputs as usize {
                self.broken(
                    5,
                    id,
                    format!("{} is not ill, though something is wrong with it", node.op.name()),
                );
            }
            if matches!(node.op, Op::IllCall(_)) && !fault && !ill_operand {
                self.broken(6, id, format!("the ill call of {} has no fault", node.op.name()));
            }
            let is_missing = |value: ValueId| {
                !self.parameters.contains(&value)
                    && matches!(records.node(records.producer(value)).op, Op::Missing(_))
            };
            let reads_missing = node.inputs.iter().any(|&input| is_missing(input));
            if reads_missing && !fault {
                self.broken(6, id, format!("{} reads a missing operand and has no fault", node.op.name()));
            }
        }
        if let Some((&node, _)) = records.faults.range(records.n_nodes() as NodeId..).next() {
            self.broken(5, node, "a fault of a node that is not there".to_string());
        }
    }

    /// V7
    fn names(&mut self) {
        let records = self.records;
        for (&value, name) in &records.names {
            if value as usize >= records.n_values() {
                self.broken(7, None, format!("`{name}` names %{value}, which is not there"));
            } else if records.by_name.get(name) != Some(&value) {
                let node = records.producer(value);
                self.broken(7, node, format!("%{value} is called `{name}`, which looks up another value"));
            }
        }
        for (name, value) in &records.by_name {
            if records.names.get(value) != Some(name) {
                self.broken(7, None, format!("`{name}` looks up %{value}, which is not called so"));
            }
        }
    }

    /// V8
    fn places(&mut self) {
        let records = self.records;
        for (id, node) in (0..).zip(records.nodes()) {
            if node.place.module as usize > records.modules.len() {
                self.broken(8, id, format!("module {} is not there", node.place.module));
            }
            match node.place.line {
                Line::File { file, .. } if file as usize >= records.files.len() => {
                    self.broken(8, id, format!("file {file} is not there"));
                }
                _ => {}
            }
        }
    }

    /// V9
    fn dims(&mut self) {
        let records = self.records;
        let mut last = Shape::SCALAR;
        for (id, node) in (0..).zip(records.nodes()) {
            let mut wrong = Vec::new();
            for ty in node.outputs().filter_map(|output| records.ty(output)) {
                // Shapes are interned, and neighbours often share one.
                if ty.shape != last {
                    last = ty.shape;
                    wrong.extend(ty.shape.iter().find_map(|&dim| unspeakable(dim)));
                }
            }
            for (_, attribute) in node.op.rule().attributes() {
                match attribute {
                    Attribute::Dim(dim) => wrong.extend(unspeakable(dim)),
                    Attribute::Shape(shape) => wrong.extend(shape.iter().find_map(|&dim| unspeakable(dim))),
                    Attribute::Dims(dims) => wrong.extend(dims.iter().find_map(|&dim| unspeakable(dim))),
                    _ => {}
                }
            }
            for name in wrong {
                self.broken(9, id, format!("`{name}` is no name of a dimension"));
            }
        }
    }

    /// V10
    fn assumptions(&mut self) {
        let records = self.records;
        if records.assumptions.len() != records.assumed_from.len() || !records.assumed_from.is_sorted() {
            self.broken(10, None, "assumptions and the nodes that they hold from do not agree".to_string());
        }
        for (name, dim) in &records.assumptions {
            if !is_dim_name(name) {
                self.broken(10, None, format!("`{name}` is no name of a dimension"));
            }
            if dim.names().contains(name) {
                self.broken(10, None, format!("`{name}` is assumed to be something of itself: {dim}"));
            }
            if let Some(other) = unspeakable(*dim) {
                self.broken(9, None, format!("`{other}` is no name of a dimension"));
            }
        }
    }
}

/// A name of a dimension that text cannot carry.
fn unspeakable(dim: Dim) -> Option<String> {
    match dim {
        Dim::Size(_) => None,
        Dim::Poly(_) => dim.names().into_iter().find(|name| !is_dim_name(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;
    use crate::Graph;
    use crate::graph::records::{Inputs, Part};
    use crate::ops::{Cond, Full, IllCall};
    use std::sync::Arc;

    /// A graph with one op of each kind that the rules speak of.
    fn sound() -> Records {
        let g = Graph::new();
        let x = g.input("x", "f32[B, 3]");
        g.assume("B", "N");
        let y = g.input("y", "f32[N, 3]");
        let (v, i) = (x + y).max_with_index(1);
        v.named("v");
        let _ill = x.matmul(x);
        let _foreign = i + Graph::new().input("z", "f32[]");
        (*g.records()).clone()
    }

    #[test]
    fn sound_records_pass() {
        assert_eq!(verify(&sound()), Ok(()));
        assert_eq!(verify(&Records::default()), Ok(()));
    }

    /// Breaks sound records and sees the number of the rule.
    #[track_caller]
    fn check(rule: u32, part: &str, breaks: impl FnOnce(&mut Records)) {
        let mut records = sound();
        breaks(&mut records);
        let violations = verify(&records).expect_err("a rule is broken");
        let told: Vec<String> = violations.iter().map(ToString::to_string).collect();
        assert!(violations.iter().any(|violation| violation.rule == rule), "{told:?}");
        assert!(
            told.iter().any(|told| told.contains(&format!("V{rule}")) && told.contains(part)),
            "{told:?}"
        );
    }

    #[test]
    fn each_rule_is_seen_broken() {
        check(1, "reads %2", |r| r.nodes[2].inputs[0] = 2);
        check(1, "reads %99", |r| r.nodes[2].inputs[0] = 99);
        check(2, "first output", |r| r.nodes[2].first = 1);
        check(2, "belongs to another node", |r| r.values[2].node = 0);
        check(2, "values, but", |r| r.values.push(r.values[0]));
        check(2, "belongs to another node", |r| r.nodes[1].n_outputs = 2);
        check(3, "max_with_index has 2 outputs", |r| {
            r.nodes[3].n_outputs = 1;
            r.values.remove(4);
            for node in &mut r.nodes[4..] {
                node.first -= 1;
                node.inputs.iter_mut().filter(|input| **input > 3).for_each(|input| *input -= 1);
            }
            r.names.clear();
            r.by_name.clear();
        });
        check(4, "the records say", |r| {
            let ty = r.ty(0).map(|ty| Type::new(ty.dtype, [7]));
            r.values[2].set_ty(ty);
        });
        check(4, "operand is ill", |r| r.values[0].set_ty(None));
        check(4, "shapes differ", |r| r.assumed_from[0] = 3);
        check(5, "for no reason", |r| r.values[2].set_ty(None));
        check(5, "though something is wrong", |r| {
            let fault = r.faults.values().next().cloned().expect("the matmul has one");
            r.faults.insert(2, fault);
        });
        check(5, "not there", |r| {
            let fault = r.faults.values().next().cloned().expect("the matmul has one");
            r.faults.insert(99, fault);
        });
        check(6, "reads a missing operand", |r| {
            let last = r.n_nodes() as NodeId - 1;
            r.faults.remove(&last);
        });
        check(6, "has no fault", |r| r.nodes[2].op = IllCall::new("f", crate::Ill::new("wrong")).into());
        check(7, "which is not there", |r| {
            r.names.insert(99, "far".into());
        });
        check(7, "looks up another", |r| {
            r.names.insert(2, "x".into());
        });
        check(7, "is not called so", |r| {
            r.by_name.insert("w".into(), 2);
        });
        check(8, "module 5", |r| r.nodes[0].place.module = 5);
        check(8, "file 0", |r| r.nodes[0].place.line = Line::File { file: 0, line: 1 });
        check(9, "batch size", |r| {
            let ty = Type::new(crate::DType::F32, [Dim::named("batch size")]);
            r.nodes[0].op = crate::ops::Input { ty }.into();
            r.values[0].set_ty(Some(ty));
        });
        check(9, "loop length", |r| {
            let mut inner = Records::default();
            let place = r.nodes[0].place;
            let k = crate::ops::Input { ty: Type::scalar(DType::I64) };
            inner.push(k.into(), Inputs::new(), place, Part::Forward);
            let body = Arc::new(Body::new(inner, vec![0], vec![0], 0).expect("an input handed on"));
            let length = Dim::named("loop length");
            let scan = crate::ops::Scan { body, length, n_carry: 0, n_xs: 0, reverse: false };
            r.push(scan.into(), Inputs::new(), place, Part::Forward);
        });
        check(10, "something of itself", |r| r.assumptions[0].1 = Dim::named("B") + 1);
        check(10, "do not agree", |r| r.assumed_from.clear());
        check(11, "in a body, V8", |r| {
            let mut inner = Records::default();
            let place = r.nodes[0].place;
            let node = inner.push(r.nodes[0].op.clone(), Inputs::new(), place, Part::Forward);
            inner.nodes[node as usize].place.module = 7;
            let body = Arc::new(Body::new(inner, vec![0], vec![0], 0).expect("an input handed on"));
            let condition = r.push(
                Full::new(Type::scalar(DType::Bool), 1).expect("true").into(),
                Inputs::new(),
                place,
                Part::Forward,
            );
            let operands = Inputs::from_slice(&[r.node(condition).first, 0]);
            r.push(Cond { then: body.clone(), otherwise: body }.into(), operands, place, Part::Forward);
        });
    }
}

//! From a graph with known sizes to its program, pass by pass.

use std::sync::Arc;

use backprop_core::text::print;
use backprop_core::{Error, NodeId, Op, Records, ValueId};
use backprop_opt::loops::{Begins, Program, Step};
use backprop_opt::lower;
use backprop_opt::simplify::{Licence, Options as Rewrites, Simplified, decompose, rows, simplify};

use super::sized::Sized;

/// How a graph is compiled for one set of sizes, for people.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The graph after each pass.
    pub passes: Vec<Pass>,
    /// The graph after the last one, whose nodes the program's steps name.
    pub records: Arc<Records>,
    /// The loops that come of it.
    pub program: Program,
}

impl Plan {
    /// What each step of the program computes: `%4 = contract, logits = add`.
    pub fn computed(&self) -> Vec<String> {
        let of_node = |&id: &NodeId| format!("{} = {}", self.labels(id), self.records.node(id).op.name());
        let of_step = |step: &Step| step.nodes.iter().map(of_node).collect::<Vec<_>>().join(", ");
        self.program.steps.iter().map(of_step).collect()
    }

    /// For each step of the program, why nodes of it are not in a step before it: `%7 = max: it folds, and step 0
    /// is a contraction`.
    pub fn begins(&self) -> Vec<Vec<String>> {
        let steps = &self.program.steps;
        let of_one = |own: &Step, begins: &Begins| {
            // Loops that have become one step after all need no reason.
            let is_other = !own.nodes.contains(&begins.beside);
            let other =
                steps.iter().position(|step| step.nodes.contains(&begins.beside)).filter(|_| is_other)?;
            let why = begins.why.words(&format!("step {other}"), |node| self.labels(node));
            Some(format!(
                "{} = {}: {why}",
                self.labels(begins.node),
                self.records.node(begins.node).op.name()
            ))
        };
        let of_step = |step: &Step| step.begins.iter().filter_map(|begins| of_one(step, begins)).collect();
        steps.iter().map(of_step).collect()
    }

    fn labels(&self, id: NodeId) -> String {
        let outputs = self.records.node(id).outputs().map(|value| self.records.label(value));
        outputs.collect::<Vec<_>>().join(", ")
    }

    /// The operations that each step of the program does, each once.
    pub fn ops(&self) -> Vec<Vec<&str>> {
        let of_step = |step: &Step| {
            let mut ops: Vec<&str> = Vec::new();
            for &id in &step.nodes {
                let op = self.records.node(id).op.name();
                if !ops.contains(&op) {
                    ops.push(op);
                }
            }
            ops
        };
        self.program.steps.iter().map(of_step).collect()
    }

    /// The lines of the user's program that each step of the program comes from, each once.
    pub fn places(&self) -> Vec<Vec<String>> {
        let of_step = |step: &Step| {
            let mut places: Vec<String> = Vec::new();
            for &id in &step.nodes {
                let place = self.records.place(self.records.node(id).place).to_string();
                if !places.contains(&place) {
                    places.push(place);
                }
            }
            places
        };
        self.program.steps.iter().map(of_step).collect()
    }
}

/// A graph after a pass, for people.
#[derive(Clone, Debug)]
pub struct Pass {
    /// What the pass is called.
    pub name: &'static str,
    /// The rewrites that were used.
    pub applied: Vec<Applied>,
    /// The number of nodes now.
    pub n_nodes: usize,
    /// The graph now, as text.
    pub text: String,
}

/// A rewrite that was used.
#[derive(Clone, Copy, Debug)]
pub struct Applied {
    /// What it is called.
    pub name: &'static str,
    /// How often it was used.
    pub count: usize,
    /// The rewrite as an equation, and what it may change; `None` for what is done without a rule: constants are
    /// computed, equal calls merged. That keeps each bit.
    pub rule: Option<(&'static str, Licence)>,
}

impl Applied {
    fn new((name, count): (&'static str, usize)) -> Applied {
        let rule = rows().find(|row| row.name == name).map(|row| (row.equation, row.licence));
        Applied { name, count, rule }
    }
}

/// Lowers a graph: the graph after the last pass, and its program; `told` gets each pass.
///
/// # Errors
/// A fault that an output depends on.
pub fn lowered(
    sized: Sized,
    rewrites: Rewrites,
    how: &lower::Options,
    mut told: Option<&mut Vec<Pass>>,
) -> Result<(Arc<Records>, Program), Error> {
    let Sized { records, inputs, outputs } = sized;
    let n_inputs = inputs.len();
    let mut graph = (records, [inputs, outputs].concat());
    let mut tell =
        |name: &'static str, graph: &(Arc<Records>, Vec<ValueId>), applied: Vec<(&'static str, usize)>| {
            if let Some(told) = told.as_deref_mut() {
                let named: Vec<(String, ValueId)> =
                    graph.1[n_inputs..].iter().map(|&value| (graph.0.label(value), value)).collect();
                let text = print(&graph.0, &named).text;
                let applied = applied.into_iter().map(Applied::new).collect();
                told.push(Pass { name, applied, n_nodes: graph.0.n_nodes(), text });
            }
        };
    tell("sizes", &graph, Vec::new());
    if graph.0.nodes().iter().any(|node| is_composed(&node.op)) {
        let Simplified { records, roots, applied, .. } = decompose(&graph.0, &graph.1)?;
        graph = (Arc::new(records), roots);
        tell("decompose", &graph, applied);
    }
    let Simplified { records, roots, applied, .. } = simplify(&graph.0, &graph.1, rewrites)?;
    graph = (Arc::new(records), roots);
    tell("simplify", &graph, applied);
    let (inputs, outputs) = graph.1.split_at(n_inputs);
    let program = lower::lower(&graph.0, inputs, outputs, how);
    Ok((graph.0, program))
}

/// Whether `decompose` may have something to do with an op.
fn is_composed(op: &Op) -> bool {
    !op.rule().bodies().is_empty()
        || matches!(op, Op::LogSumExp(_) | Op::LogSoftmax(_) | Op::Norm(_) | Op::OneHot(_))
}

//! From a graph with known sizes to its program, pass by pass.

use std::sync::Arc;

use backprop_core::text::print;
use backprop_core::{Error, Op, Records, ValueId};
use backprop_opt::loops::Program;
use backprop_opt::lower;
use backprop_opt::simplify::{Options as Rewrites, Simplified, decompose, simplify};

use super::sized::Sized;

/// A graph after a pass, for people.
#[derive(Clone, Debug)]
pub struct Pass {
    /// What the pass is called.
    pub name: &'static str,
    /// How often each rewrite was used.
    pub applied: Vec<(&'static str, usize)>,
    /// The number of nodes now.
    pub n_nodes: usize,
    /// The graph now, as text.
    pub text: String,
}

/// Lowers a graph; `told` gets each pass.
///
/// # Errors
/// A fault that an output depends on.
pub fn lowered(
    sized: Sized,
    rewrites: Rewrites,
    how: &lower::Options,
    mut told: Option<&mut Vec<Pass>>,
) -> Result<Program, Error> {
    let Sized { records, inputs, outputs } = sized;
    let n_inputs = inputs.len();
    let mut graph = (records, [inputs, outputs].concat());
    let mut tell =
        |name: &'static str, graph: &(Arc<Records>, Vec<ValueId>), applied: Vec<(&'static str, usize)>| {
            if let Some(told) = told.as_deref_mut() {
                let named: Vec<(String, ValueId)> =
                    graph.1[n_inputs..].iter().map(|&value| (graph.0.label(value), value)).collect();
                let text = print(&graph.0, &named).text;
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
    Ok(lower::lower(&graph.0, inputs, outputs, how))
}

/// Whether `decompose` may have something to do with an op.
fn is_composed(op: &Op) -> bool {
    !op.rule().bodies().is_empty()
        || matches!(op, Op::LogSumExp(_) | Op::LogSoftmax(_) | Op::Norm(_) | Op::OneHot(_))
}

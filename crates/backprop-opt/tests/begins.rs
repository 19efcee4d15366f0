//! Why steps begin where they do.

use backprop_core::text::{Registry, parse};
use backprop_core::{NodeId, Op};
use backprop_opt::lower::{Options, lower};

/// The nodes that could not join the loops before them, and why; a step is called by the node that is told of it.
fn reasons(graph: &str) -> Vec<String> {
    let text = format!("graph {{\n{}\n}}", graph.replace("; ", "\n"));
    let document = parse(&text, "test.graph", &|_| None, &Registry::new()).expect("a graph");
    let records = document.records;
    let inputs: Vec<u32> = records
        .nodes()
        .iter()
        .filter(|node| matches!(node.op, Op::Input(_)))
        .map(|node| node.first)
        .collect();
    let outputs: Vec<u32> = document.outputs.iter().map(|&(_, value)| value).collect();
    let program = lower(&records, &inputs, &outputs, &Options::default());
    let label = |node: NodeId| records.label(records.node(node).first);
    let begins = program.steps.iter().flat_map(|step| &step.begins);
    begins
        .map(|begins| {
            let step = format!("that of {}", label(begins.beside));
            format!("{}: {}", label(begins.node), begins.why.words(&step, label))
        })
        .collect()
}

#[test]
fn elementwise_ops_join_what_they_read() {
    assert_eq!(
        reasons("x = input : f32[700, 31]; a = exp(x); b = tanh(a); y = sum(b) {axes: [1]}; return y"),
        [""; 0]
    );
}

#[test]
fn a_contraction_takes_along_what_is_elementwise_and_folds_nothing() {
    let graph = "x = input : f32[700, 31]; w = input : f32[31, 13]; h = matmul(x, w); a = exp(h); \
                 m = max(a) {axes: [1]}; v = input : f32[13, 5]; y = matmul(a, v); return m, y";
    assert_eq!(
        reasons(graph),
        ["m: it folds, and that of h is a contraction", "y: a contraction heads a step"]
    );
}

#[test]
fn what_is_folded_over_rows_is_known_when_a_step_ends() {
    let graph = "x = input : f32[700, 31]; e = exp(x); s = sum(e) {axes: [0]}; \
                 b = broadcast(s) {shape: [700, 31]}; y = div(e, b); return y";
    let [read, reads] = [
        "s: it reads e, which that of e computes once for all that read it",
        "y: it reads s, which that of s has only when it ends",
    ];
    assert_eq!(reasons(graph), [read, reads]);
}

#[test]
fn other_loops_are_told() {
    let graph = "x = input : f32[700, 31]; i = input : i64[500]; s = sum(x) {axes: [1]}; e = exp(s); \
                 g = gather(e, i) {axis: 0}; y = tanh(g); return s, y";
    assert_eq!(reasons(graph), ["g: its loops [500] differ from [700, 31] of that of s"]);
}

#[test]
fn a_fold_across_rows_and_columns_is_told() {
    let graph = "x = input : f32[70, 31, 23]; s = sum(x) {axes: [1, 2]}; t = sum(x) {axes: [2]}; return s, t";
    assert_eq!(reasons(graph), ["t: it folds axes across the rows and columns of that of s"]);
}

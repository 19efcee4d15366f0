//! Cost: backpropagation asks each operation of 𝒢' once and follows each of its edges once.

use backprop_ad::grad_table;
use backprop_core::random::block;
use backprop_core::{Graph, Seed, Tensor};

use super::build_grad::g_prime;

/// A graph, and what one gradient on it cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Operations of 𝒢' (targets, which are asked nothing, aside).
    pub nodes: usize,
    /// Edges of 𝒢'.
    pub edges: usize,
    /// Operations that were asked for their `bprop`.
    pub bprop_calls: usize,
    /// Contributions to a gradient: edges that were followed.
    pub contributions: usize,
    /// How often a node was looked at, pruning included.
    pub node_visits: usize,
    /// Nodes of the graph before the gradient.
    pub graph_nodes: usize,
    /// Nodes that the gradient added.
    pub nodes_added: usize,
}

/// Differentiates z and counts.
pub fn cost(z: Tensor, target: Tensor) -> Cost {
    let n_nodes = || z.with_records(|records| records.n_nodes()).unwrap_or(0);
    let g_prime = g_prime(&[target], z);
    let computed = g_prime.iter().filter(|&&v| v != target.id()).map(|&v| Tensor::new(z.context(), v));
    let edges = computed.clone().flat_map(|v| v.get_inputs()).filter(|v| g_prime.contains(&v.id())).count();
    let graph_nodes = n_nodes();
    let table = grad_table(z, &[target]);
    Cost {
        nodes: computed.count(),
        edges,
        bprop_calls: table.bprop_calls(),
        contributions: table.steps().len(),
        node_visits: table.node_visits(),
        graph_nodes,
        nodes_added: n_nodes() - graph_nodes,
    }
}

/// A random graph of `n_nodes` scalar operations over an input x and an input c; returns (z, x).
/// Each operand is one of the eight values before it, so paths fork and join all the time, and
/// there are exponentially many.
pub fn random_dag(graph: &Graph, seed: Seed, n_nodes: usize) -> (Tensor, Tensor) {
    let x = graph.input("x", "f64[]");
    let mut values = vec![x, graph.input("c", "f64[]")];
    for k in 0..n_nodes {
        let [op, a, b, _] = block([seed.0 as u32, (seed.0 >> 32) as u32, 0, 0], k as u64);
        let near = |word: u32| values[values.len() - 1 - word as usize % values.len().min(8)];
        let (a, b) = (near(a), near(b));
        values.push(match op % 5 {
            0 => a.tanh(),
            1 => a.sin(),
            2 => a * b,
            3 => a - b,
            _ => a + b,
        });
    }
    (values[values.len() - 1], x)
}

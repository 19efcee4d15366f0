//! "10 million times": derivatives by differences take n + 1 forward passes for n parameters, and
//! backpropagation takes one forward and one backward pass.

use backprop_ad::grad_table;
use backprop_core::{Graph, Node, Op, Records, Tensor};

/// What the derivatives of one loss with respect to n parameters cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Passes {
    /// n: weights and biases.
    pub n: u64,
    /// Multiplications and additions of one forward pass.
    pub forward: u64,
    /// Multiplications and additions of one backward pass, its own forward pass aside.
    pub backward: u64,
}

impl Passes {
    /// The work of one-sided differences: n + 1 forward passes.
    pub fn differences(self) -> u64 {
        (self.n + 1) * self.forward
    }

    /// The work of backpropagation: one forward and one backward pass.
    pub fn backprop(self) -> u64 {
        self.forward + self.backward
    }

    /// How many times faster backpropagation is.
    pub fn ratio(self) -> f64 {
        self.differences() as f64 / self.backprop() as f64
    }

    /// The smallest n at which the ratio reaches `times`, at this network's cost of a backward pass:
    /// from (n + 1)·forward ≥ times·(forward + backward).
    pub fn n_for(self, times: u64) -> u64 {
        let wanted = u128::from(times) * u128::from(self.backprop());
        wanted.div_ceil(u128::from(self.forward.max(1))).saturating_sub(1) as u64
    }
}

/// Counts the passes of a tanh network with these widths, input first. The network is a graph, and a
/// graph needs no numbers to be differentiated: so the widths may be as large as one likes.
pub fn passes(widths: &[usize]) -> Passes {
    let graph = Graph::new();
    let (loss, theta) = network(&graph, widths);
    let n = theta.iter().filter_map(|theta| theta.shape()?.sizes()).map(product).sum();
    let table = grad_table(loss, &theta);
    let forward = work(&graph.records(), &[loss]);
    let both: Vec<Tensor> = std::iter::once(loss).chain(table.gradients().iter().copied()).collect();
    Passes { n, forward, backward: work(&graph.records(), &both) - forward }
}

/// ½·Σ(ŷ − y)² of a network h ↦ tanh(Wᵀ·h + b), and its parameters.
pub fn network(graph: &Graph, widths: &[usize]) -> (Tensor, Vec<Tensor>) {
    let input = |name: &str, sizes: &[usize]| graph.input(name, &*format!("f64{sizes:?}"));
    let (first, last) = (widths.first().copied().unwrap_or(1), widths.last().copied().unwrap_or(1));
    let mut h = input("x", &[first]);
    let mut theta = Vec::new();
    for (k, pair) in widths.windows(2).enumerate() {
        let w = input(&format!("W{}", k + 1), pair);
        let b = input(&format!("b{}", k + 1), &pair[1..]);
        h = (w.t().matmul(h) + b).tanh();
        theta.extend([w, b]);
    }
    ((h - input("y", &[last])).square().sum(()) * 0.5, theta)
}

/// The multiplications and additions that `outputs` need: every element of every result counts one,
/// and an element of a contraction two for each product that it sums. Data that is only moved is free.
pub fn work(records: &Records, outputs: &[Tensor]) -> u64 {
    let mut needed = vec![false; records.n_nodes()];
    outputs.iter().for_each(|output| needed[records.producer(output.id()) as usize] = true);
    let mut total = 0;
    for id in (0..records.n_nodes()).rev() {
        if needed[id] {
            let node = &records.nodes()[id];
            total += work_of(records, node);
            node.inputs.iter().for_each(|&input| needed[records.producer(input) as usize] = true);
        }
    }
    total
}

fn work_of(records: &Records, node: &Node) -> u64 {
    let count = |value| records.ty(value).and_then(|ty| ty.shape.sizes()).map_or(0, product);
    match node.op {
        Op::Input(_) | Op::Constant(_) | Op::Full(_) => 0,
        Op::Reshape(_) | Op::Transpose(_) | Op::Broadcast(_) | Op::Identity(_) => 0,
        // Each result element multiplies and adds over what is contracted: √(|a|·|b|·|y|) is the
        // number of products when no axis is a batch axis.
        Op::Contract(_) => {
            let sizes = [node.inputs[0], node.inputs[1], node.first].map(|value| u128::from(count(value)));
            2 * (sizes[0] * sizes[1] * sizes[2]).isqrt() as u64
        }
        _ => node.inputs.iter().map(|&input| count(input)).max().unwrap_or(0).max(count(node.first)),
    }
}

fn product(sizes: &[usize]) -> u64 {
    sizes.iter().map(|&size| size as u64).product()
}

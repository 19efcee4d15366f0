//! Graphs of a million nodes: built, differentiated, run and dropped without recursion, on a stack
//! of 8 MB, in time linear in the nodes.

use backprop_ad::grad_table;
use backprop_core::{Array, Graph, Tensor};
use backprop_run::{Tape, run};

const N: usize = 1_000_000;

fn on_a_stack_of_8_mb(body: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(8 << 20).spawn(body);
    thread.expect("a thread can be started").join().expect("the body does not panic");
}

/// x ↦ x·c₁·c₂·... as one long chain: a million products with a constant that is nearly 1.
fn chain(x: Tensor, c: Tensor) -> Tensor {
    (0..N).fold(x, |y, _| y * c)
}

/// Each node takes an earlier one, chosen by a fixed pseudo-random sequence, and the last one; sines
/// keep the numbers small.
fn dag(x: Tensor) -> Tensor {
    let mut nodes = vec![x, x.tanh()];
    let mut state = 0x2545_f491_4f6c_dd1du64;
    for i in 0..N {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let (a, b) = (nodes[state as usize % nodes.len()], nodes[nodes.len() - 1]);
        nodes.push(match i % 3 {
            0 => a - b,
            1 => b.sin(),
            _ => a + b,
        });
    }
    nodes[nodes.len() - 1]
}

fn check(build: fn(&[Tensor]) -> Tensor) {
    let (x, c) = (0.5, 1.0 + 1e-7);
    let tape = Tape::new();
    let eager = [tape.value(x), tape.value(c)];
    let z = build(&eager);
    let table = grad_table(z, &eager);
    assert!(table.bprop_calls() <= tape.records().n_nodes(), "each node is asked at most once");
    let values: Vec<Array> =
        [z, table.gradients()[0], table.gradients()[1]].map(|t| t.value().expect("well-typed")).into();
    let forward_nodes = N + 2;
    assert!(tape.records().n_nodes() < 20 * forward_nodes, "gradient nodes grow linearly");
    drop(tape);

    let graph = Graph::new();
    let symbols = [graph.input("x", "f64[]"), graph.input("c", "f64[]")];
    let z = build(&symbols);
    let table = grad_table(z, &symbols);
    let outputs = [z, table.gradients()[0], table.gradients()[1]];
    let computed =
        run(&graph, &[("x", Array::scalar(x)), ("c", Array::scalar(c))], &outputs).expect("well-typed");
    assert!(computed.iter().zip(&values).all(|(a, b)| a.same_bits(b)), "{computed:?} {values:?}");
}

#[test]
fn a_chain_of_a_million_operations() {
    on_a_stack_of_8_mb(|| check(|x| chain(x[0], x[1])));
}

#[test]
fn a_dag_of_a_million_nodes() {
    on_a_stack_of_8_mb(|| check(|x| dag(x[0]) * x[1]));
}

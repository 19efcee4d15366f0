//! Graphs of a million nodes: built, differentiated, printed, parsed, run and dropped without recursion,
//! on a stack of 8 MB, in time linear in the nodes.

use backprop_ad::{GradTable, grad_table, jvp};
use backprop_core::text::{Registry, parse, print};
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

/// Each ancestor of z is looked at three times, and asked at most once.
#[track_caller]
fn is_linear(table: &GradTable, z: Tensor, forward_nodes: usize) {
    let n_ancestors = z.with_records(|records| {
        let mut ancestor = vec![false; records.n_values()];
        ancestor[z.id() as usize] = true;
        let mut n = 0;
        for node in records.nodes().iter().rev().filter(|node| node.n_outputs == 1) {
            if ancestor[node.first as usize] {
                n += 1;
                node.inputs.iter().for_each(|&input| ancestor[input as usize] = true);
            }
        }
        n
    });
    let n_ancestors = n_ancestors.expect("z lives");
    assert_eq!(table.node_visits(), 3 * n_ancestors);
    assert!(table.bprop_calls() <= n_ancestors && n_ancestors <= forward_nodes, "{n_ancestors}");
}

fn check(build: fn(&[Tensor]) -> Tensor) {
    let (x, c) = (0.5, 1.0 + 1e-7);
    let forward_nodes = N + 4;
    let tape = Tape::new();
    let eager = [tape.value(x), tape.value(c)];
    let z = build(&eager);
    let table = grad_table(z, &eager);
    is_linear(&table, z, forward_nodes);
    assert!(tape.records().n_nodes() < 6 * forward_nodes, "gradient nodes grow linearly");
    let tangent = jvp(&[z], &[(eager[0], eager[0].ones_like())]).tangents()[0];
    let values: Vec<Array> = [z, table.gradients()[0], table.gradients()[1], tangent]
        .map(|t| t.value().expect("well-typed"))
        .into();
    let [slope, tangent] = [1, 3].map(|at| values[at].item().expect("one element"));
    assert!((slope - tangent).abs() <= 1e-9 * slope.abs(), "reverse {slope}, forward {tangent}");
    drop(tape);

    let graph = Graph::new();
    let symbols = [graph.input("x", "f64[]"), graph.input("c", "f64[]")];
    let z = build(&symbols);
    let table = grad_table(z, &symbols);
    is_linear(&table, z, forward_nodes);
    let outputs = [z, table.gradients()[0], table.gradients()[1]];
    let given = [("x", Array::scalar(x)), ("c", Array::scalar(c))];
    let computed = run(&graph, &given, &outputs).expect("well-typed");
    // Compiled code has sines of its own.
    for (compiled, eager) in computed.iter().zip(&values) {
        let [a, b] = [compiled, eager].map(|x| x.item().expect("one element"));
        assert!((a - b).abs() <= 1e-9 * b.abs(), "compiled {a}, on a tape {b}");
    }

    let named: Vec<(String, u32)> = outputs.iter().map(|y| (format!("out{}", y.id()), y.id())).collect();
    let text = print(&graph.records(), &named).text;
    drop(graph);
    let back = parse(&text, "depth.graph", &|_| None, &Registry::new()).expect("it was printed");
    assert!(back.print().text == text, "what was parsed prints differently");
    drop(text);
    let outputs: Vec<u32> = back.outputs.iter().map(|&(_, value)| value).collect();
    let graph = Graph::from_records(back.records);
    let outputs: Vec<Tensor> = outputs.into_iter().map(|value| graph.tensor(value)).collect();
    let computed = run(&graph, &given, &outputs).expect("well-typed");
    // Compiled code has sines of its own.
    for (compiled, eager) in computed.iter().zip(&values) {
        let [a, b] = [compiled, eager].map(|x| x.item().expect("one element"));
        assert!((a - b).abs() <= 1e-9 * b.abs(), "compiled {a}, on a tape {b}");
    }
}

#[test]
fn a_chain_of_a_million_operations() {
    on_a_stack_of_8_mb(|| check(|x| chain(x[0], x[1])));
}

#[test]
fn a_dag_of_a_million_nodes() {
    on_a_stack_of_8_mb(|| check(|x| dag(x[0]) * x[1]));
}

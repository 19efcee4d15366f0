//! Lowered programs, run by the letter of the loop IR, give what the reference interpreter gives.

mod support;

use backprop_ad::grad_table;
use backprop_core::graph::place::Line;
use backprop_core::ops::sample::wave;
use backprop_core::text::{Registry, parse};
use backprop_core::{Array, DType, Graph, Op, Tensor, Type, interpret};
use backprop_opt::lower::{Options, lower};

/// Compares outputs of a graph: within a few roundings of the largest element, as sums may differ in order.
/// Whether anything was compared: the definition may refuse the data.
fn check(what: &str, graph: &Graph, inputs: &[(Tensor, Array)], outputs: &[Tensor]) -> bool {
    let records = graph.records();
    let given: Vec<(u32, Array)> =
        inputs.iter().map(|(tensor, array)| (tensor.id(), array.clone())).collect();
    let ids: Vec<u32> = outputs.iter().map(|tensor| tensor.id()).collect();
    let expected = interpret(&records, &given, &ids);
    let Ok(expected) = expected else { return false };
    let input_ids: Vec<u32> = inputs.iter().map(|(tensor, _)| tensor.id()).collect();
    let program = lower(&records, &input_ids, &ids, &Options::default());
    assert_eq!(program.verify(), Ok(()), "{what}");
    let arrays: Vec<Array> = inputs.iter().map(|(_, array)| array.clone()).collect();
    let found = support::run(&program, &arrays);
    for (position, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found.dtype(), expected.dtype(), "{what}: output {position}");
        let (a, b) = (found.to_f64s(), expected.to_f64s());
        assert_eq!(a.len(), b.len(), "{what}: output {position}");
        let scale = b.iter().filter(|x| x.is_finite()).fold(1.0f64, |m, x| m.max(x.abs()));
        let digits = if expected.dtype() == DType::F64 { 1e-13 } else { 1e-6 };
        for (x, y) in a.iter().zip(&b) {
            let is_close = x == y || x.is_nan() && y.is_nan() || (x - y).abs() <= digits * scale;
            assert!(is_close, "{what}: output {position}: {x} for {y}\n{program:#?}");
        }
    }
    true
}

/// A scalar of all float outputs, without symmetry.
fn scalar(outputs: &[Tensor]) -> Option<Tensor> {
    let floats = outputs.iter().filter(|y| y.dtype().is_some_and(|dtype| dtype.is_float()));
    let parts = floats.enumerate().map(|(idx, y)| (y.cast(DType::F64) * (0.7 + idx as f64)).sum(()));
    parts.reduce(|a, b| a + b)
}

#[test]
fn every_sample_of_every_op_and_its_gradients_to_order_two() {
    let mut n_compared = 0;
    for (number, (op, arrays)) in Op::samples().into_iter().enumerate() {
        if matches!(op, Op::Input(_)) {
            continue;
        }
        let what = format!("{} ({number})", op.name());
        let graph = Graph::new();
        let input = |(idx, array): (usize, &Array)| {
            graph.input(&format!("x{idx}"), Type::new(array.dtype(), array.sizes()))
        };
        let inputs: Vec<Tensor> = arrays.iter().enumerate().map(input).collect();
        let line = Line::Code(std::panic::Location::caller());
        let mut outputs: Vec<Tensor> = graph.id().emit(op, &inputs, line).iter().collect();
        let pairs: Vec<(Tensor, Array)> = inputs.iter().copied().zip(arrays.iter().cloned()).collect();
        n_compared += usize::from(check(&what, &graph, &pairs, &outputs));
        let floats: Vec<Tensor> =
            inputs.iter().copied().filter(|x| x.dtype().is_some_and(|dtype| dtype.is_float())).collect();
        let mut made = outputs.clone();
        for order in 1..=2 {
            let Some(z) = scalar(&made).filter(|_| !floats.is_empty()) else { break };
            made = grad_table(z, &floats).gradients().to_vec();
            outputs.extend(&made);
            n_compared += usize::from(check(&format!("{what}, order {order}"), &graph, &pairs, &outputs));
        }
    }
    assert!(n_compared > 700, "only {n_compared} graphs were compared");
}

/// Long rows of which one column counts, or none, are summed in that column alone.
#[test]
fn a_sum_of_one_chosen_column_is_that_column() {
    for rows in [0, 1, 5, 12] {
        let text = format!(
            "graph {{
               x = input : f32[{rows}, 257]
               w = input : f32[{rows}]
               k = iota {{axis: 1}} : i32[{rows}, 257]
               a = full {{value: 300.0}} : f32[{rows}]
               s = mul(w, a) : f32[{rows}]
               i = cast(s) {{dtype: i32}} : i32[{rows}]
               c = reshape(i) {{shape: [{rows}, 1]}} : i32[{rows}, 1]
               b = broadcast(c) {{shape: [{rows}, 257]}} : i32[{rows}, 257]
               h = eq(k, b) : bool[{rows}, 257]
               e = exp(x) : f32[{rows}, 257]
               z = full {{value: 0.0}} : f32[{rows}, 257]
               v = select(h, e, z) : f32[{rows}, 257]
               y = sum(v) {{axes: [1]}} : f32[{rows}]
               t = sum(v) {{axes: [0, 1]}} : f32[]
               return y, t, e
             }}"
        );
        check_text(&text);
    }
}

/// Graphs that were lowered wrongly once, by their text.
#[test]
fn what_was_wrong_once() {
    let graphs = [
        // An operand that a contraction would compute again, seen through a view that its loops cannot walk.
        "graph {
           a = input : f32[5, 3, 3]
           i = input : i64[3]
           b = input : f32[5, 3, 3, 3]
           c = input : f32[3]
           g = gather(a, i) {axis: 2} : f32[5, 3, 3]
           s = add(a, g) : f32[5, 3, 3]
           p = contract(b, c) {lhs_contract: [3], rhs_contract: [0]} : f32[5, 3, 3]
           y = add(s, p) : f32[5, 3, 3]
           return y
         }",
        // An output that stands in a late group for what it reads, and another output that reads it transposed.
        "graph {
           x = input : f32[3, 3]
           z = input : f32[3, 3]
           p = mul(x, z) : f32[3, 3]
           s = sum(p) {axes: [0, 1]} : f32[]
           y = exp(x) : f32[3, 3]
           t = transpose(y) {perm: [1, 0]} : f32[3, 3]
           return s, y, t
         }",
    ];
    graphs.into_iter().for_each(check_text);
}

/// Checks a graph on waves.
fn check_text(text: &str) {
    let document = parse(text, "test.graph", &|_| None, &Registry::new()).expect("a graph");
    let graph = Graph::from_records(document.records);
    let inputs: Vec<Tensor> = graph
        .records()
        .nodes()
        .iter()
        .filter(|node| matches!(node.op, Op::Input(_)))
        .map(|node| graph.tensor(node.first))
        .collect();
    let given = inputs.iter().enumerate().map(|(seed, &input)| {
        let ty = input.ty().expect("well-typed");
        let x = wave(ty.shape.sizes().expect("numbers"), seed);
        (input, x.cast(ty.dtype))
    });
    let pairs: Vec<(Tensor, Array)> = given.collect();
    let outputs: Vec<Tensor> = document.outputs.iter().map(|&(_, value)| graph.tensor(value)).collect();
    assert!(check(text, &graph, &pairs, &outputs));
}

#[test]
fn a_column_is_not_looked_up_where_the_nest_writes() {
    // p is an output; the sum reads it in a later stage, in one column of many.
    check_text(
        "graph {
           x = input : f32[23, 300]
           i = input : i32[23]
           p = exp(x) : f32[23, 300]
           s = sum(p) {axes: [1]} : f32[23]
           s1 = reshape(s) {shape: [23, 1]} : f32[23, 1]
           sb = broadcast(s1) {shape: [23, 300]} : f32[23, 300]
           q = div(p, sb) : f32[23, 300]
           k = iota {axis: 1} : i32[23, 300]
           i1 = reshape(i) {shape: [23, 1]} : i32[23, 1]
           ib = broadcast(i1) {shape: [23, 300]} : i32[23, 300]
           h = eq(k, ib) : bool[23, 300]
           z = full {value: 0.0} : f32[23, 300]
           t = select(h, q, z) : f32[23, 300]
           y = sum(t) {axes: [1]} : f32[23]
           return p, y
         }",
    );
}

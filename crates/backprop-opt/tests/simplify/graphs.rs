//! What a pass keeps of a graph, and what it costs.

use std::collections::BTreeMap;

use backprop_core::ops::sample::wave;
use backprop_core::{Array, Graph, Op, Records, Tensor, ValueId, cond, interpret, scan};
use backprop_opt::simplify::{Options, Simplified, bind, decompose, simplify};

use crate::common::{graph, same};

fn records(g: &Graph) -> Records {
    (*g.records()).clone()
}

fn exact(g: &Graph, roots: &[Tensor]) -> Simplified {
    let roots: Vec<ValueId> = roots.iter().map(|root| root.id()).collect();
    simplify(&records(g), &roots, Options::EXACT).expect("well-typed")
}

fn count(records: &Records, name: &str) -> usize {
    records.nodes().iter().filter(|node| node.op.name() == name).count()
}

#[test]
fn equal_calls_are_one_and_keep_all_lines() {
    let g = Graph::new();
    let (x, w) = (g.input("x", "f32[3]"), g.input("w", "f32[3]"));
    let (a, b) = (x * w, w * x);
    let simplified = exact(&g, &[a.tanh() + b.tanh()]);
    assert_eq!((count(&simplified.records, "mul"), count(&simplified.records, "tanh")), (1, 1));
    let product = simplified.records.producer(simplified.value(a.id()).expect("it is needed"));
    assert_eq!(simplified.value(a.id()), simplified.value(b.id()));
    let origins: Vec<u32> = simplified.origins(product).collect();
    assert_eq!(origins, [a.node().expect("lives"), b.node().expect("lives")]);
}

#[test]
fn two_names_stay_two_nodes() {
    let g = Graph::new();
    let x = g.input("x", "f32[3]");
    let (a, b, c) = (x.tanh().named("a"), x.tanh().named("b"), x.tanh());
    let simplified = exact(&g, &[a + b + c]);
    assert_eq!(count(&simplified.records, "tanh"), 2);
    assert!(simplified.records.by_name("a").is_some() && simplified.records.by_name("b").is_some());
}

#[test]
fn random_ops_and_inputs_are_never_merged() {
    let g = Graph::new();
    let key = g.input("key", "u32[4]");
    let (a, b) = (key.uniform(backprop_core::DType::F32, [3]), key.uniform(backprop_core::DType::F32, [3]));
    g.input("unused", "f32[2]");
    let simplified = exact(&g, &[a + b]);
    assert_eq!((count(&simplified.records, "uniform"), count(&simplified.records, "input")), (2, 2));
}

#[test]
fn dead_nodes_go_and_inputs_stay_in_order() {
    let g = Graph::new();
    let (x, u, w) = (g.input("x", "f32[3]"), g.input("u", "f32[3]"), g.input("w", "f32[3]"));
    let _dead = u.exp();
    let simplified = exact(&g, &[x + w]);
    assert_eq!(simplified.records.n_nodes(), 4);
    let order: Vec<Option<ValueId>> = [x, u, w].iter().map(|x| simplified.value(x.id())).collect();
    assert_eq!(order, [Some(0), Some(1), Some(2)]);
}

#[test]
fn faults_in_data_are_kept() {
    let g = Graph::new();
    let (c, i, j) = (g.input("c", "bool[3]"), g.input("i", "i64[3]"), g.input("j", "i64[3]"));
    let always = g.full("bool[3]", 1);
    // The branch that is not taken divides by zero: `select` evaluates both.
    let y = always.select(i, i / j);
    // A choice between equals still asks for its condition.
    let z = (i / j).eq(i).select(i, i);
    let p = (i / j).pow(0);
    for root in [y, z, p] {
        let simplified = exact(&g, &[root]);
        assert_eq!(count(&simplified.records, "div"), 1, "{root:?}");
    }
    let known = g.full("i64[3]", 0);
    let simplified = exact(&g, &[i / known]);
    assert_eq!(count(&simplified.records, "div"), 1);
    // What cannot fault goes.
    let simplified = exact(&g, &[c.select(i, i)]);
    assert_eq!(simplified.records.n_nodes(), 3);
}

#[test]
fn a_fault_stays_inside_its_branch() {
    let g = Graph::new();
    let (p, i, j) = (g.input("p", "bool[]"), g.input("i", "i64[3]"), g.input("j", "i64[3]"));
    let y = cond(p, || i / j, || i * 1i64);
    let simplified = exact(&g, &[y]);
    assert_eq!((count(&simplified.records, "div"), count(&simplified.records, "cond")), (0, 1));
    let given = |holds: bool| -> Vec<(ValueId, Array)> {
        let arrays = [Array::scalar(holds), Array::from([1i64, 2, 3]), Array::from([1i64, 0, 2])];
        (0..3).zip(arrays).collect()
    };
    let run = |holds: bool| interpret(&simplified.records, &given(holds), &simplified.roots);
    assert!(run(true).is_err());
    assert!(run(false).is_ok_and(|y| y[0].same_bits(&Array::from([1i64, 2, 3]))));
}

#[test]
fn bodies_are_simplified() {
    let g = Graph::new();
    let (h, xs, w) = (g.input("h", "f64[2]"), g.input("xs", "f64[4, 2]"), g.input("w", "f64[2, 2]"));
    let step = |h: Tensor, x: Tensor| {
        let a = w.matmul(h) + x * 1.0;
        let b = w.matmul(h) + x;
        (a.tanh().identity(), (a * b).stop_gradient())
    };
    let (last, all) = scan(h, xs, step);
    let simplified = exact(&g, &[last, all]);
    let body = simplified.records.nodes().iter().find_map(|node| match &node.op {
        Op::Scan(scan) => Some(scan.body.clone()),
        _ => None,
    });
    let body = body.expect("the loop is still there");
    // Three parameters of four and the index; contract, add, tanh, mul.
    assert_eq!(body.records().n_nodes(), body.parameters().len() + 4);
    let arrays = [wave(&[2], 0), wave(&[4, 2], 1), wave(&[2, 2], 2)];
    let given: Vec<(ValueId, Array)> = (0..3).zip(arrays).collect();
    let before = interpret(&records(&g), &given, &[last.id(), all.id()]).expect("no fault");
    let after = interpret(&simplified.records, &given, &simplified.roots).expect("no fault");
    assert!(before.iter().zip(&after).all(|(a, b)| same(a, b)));
}

#[test]
fn control_flow_drops_results_that_nobody_reads() {
    let g = Graph::new();
    let (p, x, w) = (g.input("p", "bool[]"), g.input("x", "f64[]"), g.input("w", "f64[3]"));
    let (y, z) = cond(p, || (x.sin(), w.exp()), || (x.cos(), w * w));
    let simplified = exact(&g, &[y]);
    let bodies: Vec<_> = simplified.records.nodes().iter().flat_map(|node| node.op.rule().bodies()).collect();
    assert!(bodies.iter().all(|body| body.parameters().len() == 1 && body.records().n_nodes() == 2));
    assert_eq!(simplified.value(z.id()), None);

    // The second carry feeds the first one; the third, the ys and w feed nothing that is read.
    let xs = g.input("xs", "f64[4]");
    let start = [x, x * 2.0, x * 3.0];
    let (last, ys) =
        scan(start, xs, |c: [Tensor; 3], x| ([c[0] + c[1], c[1] * x, c[2].tanh() + w.sum(())], c[2] * x));
    let simplified = exact(&g, &[last[0]]);
    let op = simplified.records.nodes().iter().find_map(|node| match &node.op {
        Op::Scan(scan) => Some((scan.clone(), node.inputs.len())),
        _ => None,
    });
    let (op, n_inputs) = op.expect("the loop is still there");
    assert_eq!((op.n_carry, op.n_xs, n_inputs, op.body.outputs().len()), (2, 1, 3, 2));
    assert_eq!(simplified.value(ys.id()), None);
    let arrays = [Array::scalar(true), Array::scalar(0.5), wave(&[3], 0), wave(&[4], 1)];
    let given: Vec<(ValueId, Array)> = [p, x, w, xs].iter().map(|x| x.id()).zip(arrays).collect();
    let moved: Vec<(ValueId, Array)> =
        given.iter().map(|(x, a)| (simplified.value(*x).expect("inputs stay"), a.clone())).collect();
    let before = interpret(&records(&g), &given, &[last[0].id()]).expect("no fault");
    let after = interpret(&simplified.records, &moved, &simplified.roots).expect("no fault");
    assert!(same(&before[0], &after[0]));
}

#[test]
fn a_pass_works_before_and_after_sizes_are_known() {
    let g = Graph::new();
    let (x, w) = (g.input("x", "f32[B, 3]"), g.input("w", "f32[2, 3]"));
    let y = x.matmul(w.t()).log_softmax(-1).mean(()).named("loss");
    let roots = [y.id()];
    let named = simplify(&records(&g), &roots, Options::FAST).expect("well-typed");
    assert_eq!(count(&named.records, "transpose"), 0);
    let sizes = BTreeMap::from([("B".to_string(), 5usize)]);
    let bound = bind(&named.records, &named.roots, &sizes).expect("B has a size");
    assert!(
        bound.nodes().iter().all(|node| bound.ty(node.first).is_some_and(|ty| ty.shape.sizes().is_some()))
    );
    let spelt = decompose(&bound, &named.roots).expect("well-typed");
    let last = simplify(&spelt.records, &spelt.roots, Options::FAST).expect("well-typed");
    assert_eq!((count(&last.records, "log_softmax"), count(&last.records, "dim_value")), (0, 0));
    assert_eq!(last.records.by_name("loss"), Some(last.roots[0]));
    let given: Vec<(ValueId, Array)> = (0..2)
        .zip([
            wave(&[5, 3], 0).cast(backprop_core::DType::F32),
            wave(&[2, 3], 1).cast(backprop_core::DType::F32),
        ])
        .collect();
    let before = interpret(&records(&g), &given, &roots).expect("no fault")[0].item().expect("a scalar");
    let after = interpret(&last.records, &given, &last.roots).expect("no fault")[0].item().expect("a scalar");
    assert!((before - after).abs() < 1e-6);
    let none = bind(&records(&g), &roots, &BTreeMap::new());
    assert!(none.is_err_and(|error| error.to_string().contains("dimension B has no size")));
}

#[test]
fn a_training_step_is_what_one_would_write() {
    let g = Graph::new();
    let (x, t) = (g.input("x", "f32[B, 5]"), g.input("t", "i64[B]"));
    let (w, b) = (g.input("w", "f32[3, 5]"), g.input("b", "f32[3]"));
    let loss = (x.matmul(w.t()) + b).cross_entropy(t);
    let [dw, db] = backprop_ad::grad(loss, [w, b]);
    let roots = [loss, w - dw * 0.1, b - db * 0.1].map(|root| root.id());
    let bound =
        bind(&records(&g), &roots, &BTreeMap::from([("B".to_string(), 7usize)])).expect("B has a size");
    let spelt = decompose(&bound, &roots).expect("well-typed");
    let step = simplify(&spelt.records, &spelt.roots, Options::FAST).expect("well-typed").records;
    // Forward and dW, without a transpose; one exponential; W − η·dW in one operation.
    let counts = ["contract", "transpose", "exp", "log", "fma", "one_hot"].map(|name| count(&step, name));
    assert_eq!(counts, [2, 0, 1, 1, 3, 0]);
}

#[test]
fn a_sum_of_nothing_is_not_nothing_times_a_number() {
    let g = Graph::new();
    let x = g.input("x", "f64[]");
    let empty = x.broadcast_to([0usize, 3]).sum(());
    let named = x.broadcast_to([backprop_core::Dim::named("B")]).sum(());
    let counted = g.input("i", "i32[]").broadcast_to([backprop_core::Dim::named("B")]).sum(());
    g.input("b", "f64[B]");
    let roots = [empty, named, counted].map(|root| root.id());
    let simplified = simplify(&records(&g), &roots, Options::FAST).expect("well-typed");
    assert_eq!((count(&simplified.records, "sum"), count(&simplified.records, "mul")), (2, 1));
    let given: Vec<(ValueId, Array)> = (0..3)
        .map(|at| simplified.records.nodes().iter().filter(|n| matches!(n.op, Op::Input(_))).nth(at))
        .map(|node| node.expect("three inputs").first)
        .zip([Array::scalar(f64::INFINITY), Array::scalar(7i32), Array::vector(Vec::<f64>::new())])
        .collect();
    let values = interpret(&simplified.records, &given, &simplified.roots).expect("no fault");
    assert!(values.iter().all(|value| value.item() == Ok(0.0)), "{values:?}");
}

#[test]
fn a_row_in_which_two_counts_are_alike_is_not_one_hot() {
    // As u8, 256 is 0.
    let found = |size: usize| {
        let document = graph(&format!(
            "x = input : i64[3]; n = iota {{axis: 0}} : u8[{size}]; f = gather(n, x) {{axis: 0}} : u8[3]; \
             r = reshape(f) {{shape: [3, 1]}} : u8[3, 1]; b = broadcast(r) {{shape: [3, {size}]}} : u8[3, {size}]; \
             k = iota {{axis: 1}} : u8[3, {size}]; h = eq(b, k) : bool[3, {size}]; \
             c = full {{value: 5.0}} : f32[3, {size}]; z = full {{value: 0.0}} : f32[3, {size}]; \
             s = select(h, c, z) : f32[3, {size}]; y = sum(s) {{axes: [1]}} : f32[3]; return y"
        ));
        let roots = [0, document.outputs[0].1];
        let simplified = simplify(&document.records, &roots, Options::EXACT).expect("well-typed");
        let given = [(simplified.roots[0], Array::vector(vec![0i64, 7, 255]))];
        let values = interpret(&simplified.records, &given, &simplified.roots[1..]).expect("no fault");
        values[0].to_f64s()
    };
    assert_eq!(found(256), [5.0, 5.0, 5.0]);
    assert_eq!(found(300), [10.0, 10.0, 5.0]);
}

#[test]
fn an_ill_root_is_an_error() {
    let g = Graph::new();
    let (x, y) = (g.input("x", "f32[3]"), g.input("y", "f32[2]"));
    assert!(simplify(&records(&g), &[(x + y).id()], Options::EXACT).is_err());
    assert!(simplify(&records(&g), &[77], Options::EXACT).is_err());
    assert_eq!(exact(&g, &[]).records.n_nodes(), 2);
}

#[test]
fn a_pass_is_the_same_each_time_and_does_nothing_twice() {
    let g = Graph::new();
    let x = g.input("x", "f64[2, 3]");
    let y = (x.layer_norm(None, None, 1e-5) * 2.0).gelu().sum(());
    let dx = backprop_ad::grad(y, [x])[0];
    let roots = [y.id(), dx.id()];
    let print = |simplified: &Simplified| {
        let outputs =
            simplified.roots.iter().map(|&root| ("root".to_string(), root)).take(1).collect::<Vec<_>>();
        backprop_core::text::print(&simplified.records, &outputs).text
    };
    let once = simplify(&records(&g), &roots, Options::FAST).expect("well-typed");
    let again = simplify(&records(&g), &roots, Options::FAST).expect("well-typed");
    assert_eq!(print(&once), print(&again));
    let twice = simplify(&once.records, &once.roots, Options::FAST).expect("well-typed");
    assert_eq!(print(&once), print(&twice));
}

#[test]
fn many_nodes_take_time_in_proportion() {
    // On a stack of 2 MiB: nothing recurses over the depth.
    let g = Graph::new();
    let x = g.input("x", "f64[]");
    let mut y = x;
    for _ in 0..50_000 {
        y = (y * x).sin() + y * 1.0;
    }
    let simplified = exact(&g, &[y]);
    assert_eq!(simplified.records.n_nodes(), 1 + 3 * 50_000);
}

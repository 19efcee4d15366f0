//! The lecture's algorithms against the general engine: scalars, chains, networks, modes.

use backprop_ad::{grad, grad_table};
use backprop_core::random::normal;
use backprop_core::{Array, Graph, Tensor};
use backprop_run::lecture::*;
use backprop_run::{Tape, run};

#[track_caller]
fn close(a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{a} is not {b}");
    }
}

/// A graph that forks, joins, and has one variable in two slots: z = sin(x·x)·tanh(c) + x·x.
fn forked() -> ScalarGraph {
    let mut g = ScalarGraph::new(2);
    let push = |g: &mut ScalarGraph, f, pa: &[usize]| g.push(f, pa).unwrap();
    let square = push(&mut g, MUL, &[0, 0]);
    let (s, t) = (push(&mut g, SIN, &[square]), push(&mut g, TANH, &[1]));
    let product = push(&mut g, MUL, &[s, t]);
    push(&mut g, ADD, &[product, square]);
    g
}

#[test]
fn algorithms_1_and_2_agree_with_the_engine_at_every_scalar() {
    let graphs = [
        (forked(), vec![0.7, -0.3]),
        (diamond_ladder(5).unwrap(), vec![0.4]),
        (ScalarGraph::new(1), vec![2.0]),
    ];
    for (g, x) in graphs {
        let u = g.forward_propagation(&x).unwrap();
        let done = g.backpropagation(&u).unwrap();
        let tape = Tape::new();
        let data: Vec<Tensor> = x.iter().map(|&x| tape.value(x)).collect();
        let values = g.through_the_engine(&data).unwrap();
        let z = values[g.len() - 1];
        let table = grad_table(z, &values);
        let read = |tensors: &[Tensor]| -> Vec<f64> { tensors.iter().map(|t| t.item().unwrap()).collect() };
        close(&u, &read(&values), 1e-15);
        close(&done.grad_table, &read(table.gradients()), 1e-14);
        assert_eq!(done.edge_visits, g.n_edges());
        assert_eq!(done.grad_table[g.len() - 1], 1.0, "grad_table[u_n] <- 1");
    }
}

#[test]
fn the_data_get_their_derivatives_and_both_slots_count() {
    let mut g = ScalarGraph::new(1);
    g.push(MUL, &[0, 0]).unwrap();
    let u = g.forward_propagation(&[3.0]).unwrap();
    assert_eq!(g.backpropagation(&u).unwrap().grad_table, [6.0, 1.0]);
}

#[test]
fn bad_scalar_graphs_are_refused() {
    let mut g = ScalarGraph::new(1);
    let refused = |result: Result<usize, backprop_core::Error>, part: &str| {
        let text = result.unwrap_err().to_string();
        assert!(text.contains(part), "{text}");
    };
    refused(g.push(ADD, &[0]), "add takes 2 parents, not 1");
    refused(g.push(SIN, &[1]), "u[1] is not");
    refused(g.forward_propagation(&[]).map(|u| u.len()), "takes 1 data, not 0");
    refused(g.through_the_engine(&[]).map(|u| u.len()), "takes 1 data, not 0");
    refused(g.backpropagation(&[]).map(|done| done.edge_visits), "takes the 1");
    refused(naive(&g, &[1.0], 1).map(|_| 0), "no u[1]");
    refused(naive(&diamond_ladder(400).unwrap(), &[1.0], 0).map(|_| 0), "at most 1000");
    refused(ScalarGraph::new(0).backpropagation(&[]).map(|_| 0), "≥ 1");
}

#[test]
fn naive_recursion_is_exponential_and_the_table_linear() {
    for rungs in 1..=10u32 {
        let g = diamond_ladder(rungs as usize).unwrap();
        let (slow, fast) = (naive(&g, &[0.4], 0).unwrap(), with_grad_table(&g, &[0.4], 0).unwrap());
        close(&[slow.derivative], &[fast.derivative], 1e-13);
        // Each rung has 4 edges; from its foot the recursion takes both ways up.
        assert_eq!(slow.partials, 4 * (2u64.pow(rungs) - 1));
        assert_eq!((fast.partials, fast.values), (4 * u64::from(rungs), 3 * u64::from(rungs)));
        assert!(slow.values >= 2u64.pow(rungs) - 2, "{slow:?}");
    }
    // The longest recursion that is allowed ends.
    let mut chain = ScalarGraph::new(1);
    (0..999).for_each(|u| assert_eq!(chain.push(TANH, &[u]).unwrap(), u + 1));
    assert_eq!(naive(&chain, &[0.0], 0).unwrap().derivative, 1.0);
}

#[test]
fn a_chain_stored_or_recomputed() {
    let (f, df) = (|u: f64| u.sin(), |u: f64| u.cos());
    for n in [1usize, 2, 3, 7, 16] {
        let one = stored(f, df, 0.8, n);
        let two = recomputed(f, df, 0.8, n);
        assert_eq!(one.derivative, two.derivative);
        assert_eq!((one.work, one.memory), (n - 1, n));
        assert_eq!((two.work, two.memory), (n * (n - 1) / 2, 2));
        for every in 1..=n {
            let between = checkpointed(f, df, 0.8, n, every);
            close(&[between.derivative], &[one.derivative], 1e-14);
            assert!(between.work < 2 * n && between.memory <= n.div_ceil(every) + every, "{between:?}");
        }
        let [a, b] = through_the_engine(0.8, n).unwrap();
        close(&[a.derivative, b.derivative], &[one.derivative; 2], 1e-14);
        assert_eq!((a.work, b.work), (n - 1, n * (n - 1) / 2), "n = {n}");
        assert!(a.memory >= n && a.memory <= n + 3 && b.memory <= 5, "{a:?} {b:?}");
    }
    // f(f(f(w))) by the formula on the lecture's page.
    let w = 0.8f64;
    let (x, y) = (w.sin(), w.sin().sin());
    assert_eq!(stored(f, df, w, 3).derivative, y.cos() * x.cos() * w.cos());
}

/// Network, x and y of the given widths, from fixed random numbers.
fn network_of(widths: &[usize], f: &[Activation], loss: Loss, penalty: Penalty) -> (Mlp, Vec<f64>, Vec<f64>) {
    let random = |stream: usize, k: usize| normal([7, 0, stream as u32, 0], k as u64) * 0.7;
    let layers = widths.windows(2).zip(f).enumerate().map(|(k, (pair, &f))| {
        let w = Matrix::from_fn(pair[0], pair[1], |i, j| random(k, i * pair[1] + j));
        (w, (0..pair[1]).map(|j| random(20 + k, j)).collect(), f)
    });
    let mlp = Mlp::new(layers.collect(), loss).unwrap().regularized(penalty, 0.3);
    let n_out = widths[widths.len() - 1];
    let y = match loss {
        Loss::CrossEntropy => (0..n_out).map(|k| f64::from(u8::from(k == 1))).collect(),
        Loss::SquaredError => (0..n_out).map(|k| random(40, k)).collect(),
    };
    (mlp, (0..widths[0]).map(|k| random(41, k)).collect(), y)
}

#[test]
fn algorithms_3_and_4_agree_with_the_engine_in_both_modes() {
    use Activation::*;
    let losses =
        [(Loss::SquaredError, Sigmoid), (Loss::SquaredError, Softmax), (Loss::CrossEntropy, Softmax)];
    for (loss, last) in losses {
        for penalty in [Penalty::None, Penalty::L1, Penalty::L2] {
            let (mlp, x, y) = network_of(&[5, 7, 3, 2], &[Tanh, Relu, last], loss, penalty);
            let forward = mlp.forward_propagation(&x, &y).unwrap();
            let gradients = mlp.backward_propagation(&forward, &y).unwrap();
            let by_hand: Vec<&[f64]> =
                gradients.w.iter().map(|w| w.elements()).chain(gradients.b.iter().map(|b| &b[..])).collect();

            let arrays: Vec<Array> = (mlp.w().iter().map(Matrix::to_array))
                .chain(mlp.b().iter().map(|b| Array::vector(b.clone())))
                .collect();
            let tape = Tape::new();
            let theta: Vec<Tensor> = arrays.iter().map(|array| tape.value(array.clone())).collect();
            let (x_, y_) = (tape.value(x.clone()), tape.value(y.clone()));
            let j = mlp.through_the_engine(&theta[..3], &theta[3..], x_, y_);
            close(&[j.item().unwrap()], &[forward.j], 1e-12);
            for (gradient, by_hand) in grad_table(j, &theta).gradients().iter().zip(&by_hand) {
                close(&gradient.value().unwrap().to_f64s(), by_hand, 1e-12);
            }

            let graph = Graph::new();
            let names: Vec<String> = (0..6).map(|k| format!("theta{k}")).collect();
            let theta: Vec<Tensor> = (names.iter().zip(&arrays))
                .map(|(name, array)| graph.input(name, &format!("f64{:?}", array.sizes())))
                .collect();
            let (x_, y_) = (graph.constant(x.clone()), graph.constant(y.clone()));
            let j = mlp.through_the_engine(&theta[..3], &theta[3..], x_, y_);
            let gradients = grad_table(j, &theta).gradients().to_vec();
            let given: Vec<(&str, Array)> = names.iter().map(|name| &**name).zip(arrays).collect();
            let computed = run(&graph, &given, &gradients).unwrap();
            for (gradient, by_hand) in computed.iter().zip(&by_hand) {
                close(&gradient.to_f64s(), by_hand, 1e-12);
            }
        }
    }
}

#[test]
fn the_penalty_reaches_every_gradient() {
    let (plain, x, y) = network_of(&[3, 2], &[Activation::Identity], Loss::SquaredError, Penalty::None);
    let of = |mlp: &Mlp| {
        let forward = mlp.forward_propagation(&x, &y).unwrap();
        mlp.backward_propagation(&forward, &y).unwrap()
    };
    let without = of(&plain);
    let with = of(&plain.clone().regularized(Penalty::L2, 0.5));
    for k in 0..6 {
        let (w, dw) = (plain.w()[0].elements()[k], with.w[0].elements()[k] - without.w[0].elements()[k]);
        close(&[dw], &[0.5 * w], 1e-14);
    }
    close(&[with.b[0][1] - without.b[0][1]], &[0.5 * plain.b()[0][1]], 1e-14);
}

#[test]
fn descending_the_gradient_lowers_j() {
    let (mut mlp, x, y) =
        network_of(&[3, 5, 2], &[Activation::Tanh, Activation::Identity], Loss::SquaredError, Penalty::L2);
    let mut before = f64::INFINITY;
    for _ in 0..20 {
        let forward = mlp.forward_propagation(&x, &y).unwrap();
        assert!(forward.j < before, "{} after {before}", forward.j);
        before = forward.j;
        mlp = mlp.descend(&mlp.backward_propagation(&forward, &y).unwrap(), 0.05);
    }
}

#[test]
fn networks_that_do_not_fit_are_refused() {
    let layer =
        |rows, cols, b: usize| (Matrix::from_fn(rows, cols, |_, _| 0.5), vec![0.0; b], Activation::Tanh);
    let check = |layers: Vec<(Matrix, Vec<f64>, Activation)>, part: &str| {
        let text = Mlp::new(layers, Loss::SquaredError).unwrap_err().to_string();
        assert!(text.contains(part), "{text}");
    };
    check(vec![], "at least one layer");
    check(vec![layer(3, 2, 5)], "layer 1: W has 2 columns and b 5 elements");
    check(vec![layer(3, 2, 2), layer(3, 5, 5)], "layer 2: W has 3 rows, but layer 1 gives 2 numbers");
    let mlp = Mlp::new(vec![layer(3, 2, 2)], Loss::SquaredError).unwrap();
    let text = mlp.forward_propagation(&[1.0], &[1.0, 2.0]).unwrap_err().to_string();
    assert!(text.contains("maps 3 numbers to 2"), "{text}");
    let forward = mlp.forward_propagation(&[1.0; 3], &[1.0; 2]).unwrap();
    assert!(mlp.backward_propagation(&forward, &[1.0]).is_err());
    let tape = Tape::new();
    let text =
        mlp.through_the_engine(&[], &[], tape.value(1.0), tape.value(1.0)).item().unwrap_err().to_string();
    assert!(text.contains("has 1 layers, but 0 weights"), "{text}");
    assert!(Matrix::new(&[vec![1.0], vec![1.0, 2.0]]).is_err());
}

#[test]
fn the_chain_rule_for_scalars_vectors_and_tensors() {
    let check = |pair: BothWays| close(&pair.by_engine, &pair.by_hand, 1e-13);
    check(scalars(0.9).unwrap());
    let a = Matrix::new(&[vec![1.0, -2.0, 0.5], vec![0.3, 4.0, -1.0]]).unwrap();
    check(vectors(&a, &[0.2, -0.7, 1.1]).unwrap());
    check(tensors(&Matrix::from_fn(3, 3, |i, j| 0.1 * (3 * i + j) as f64 - 0.4)).unwrap());
    assert!(vectors(&a, &[1.0, 2.0]).is_err());
    assert!(tensors(&a).is_err());
}

#[test]
fn logistic_regression_in_both_modes_at_two_orders() {
    let (w, x, b) = ([0.5, -1.0, 2.0], [1.0, 0.3, -0.2], 0.1);
    let orders = |w: Tensor, x: Tensor, b: Tensor| {
        let model = logistic_regression(w, x, b);
        let [dw, du2] = grad(model.y_hat, [w, model.u2]);
        let [d2w] = grad(dw.sum(()), [w]);
        [model.u1, model.y_hat, dw, du2, d2w]
    };
    let tape = Tape::new();
    let numbers = orders(tape.value(w), tape.value(x), tape.value(b)).map(|t| t.value().unwrap());
    let graph = Graph::new();
    let inputs = [("w", "f64[3]"), ("x", "f64[3]"), ("b", "f64[]")].map(|(name, ty)| graph.input(name, ty));
    let before = graph.records().n_nodes();
    let symbols = orders(inputs[0], inputs[1], inputs[2]);
    assert!(graph.records().n_nodes() > before && symbols[2].value().is_err(), "nodes, not numbers");
    let given = [("w", Array::from(w)), ("x", Array::from(x)), ("b", Array::scalar(b))];
    for (symbol, number) in run(&graph, &given, &symbols).unwrap().iter().zip(&numbers) {
        close(&symbol.to_f64s(), &number.to_f64s(), 1e-15);
    }
    let y = 1.0 / (1.0 + (-(0.5 - 0.3 - 0.4 + 0.1f64)).exp());
    close(&numbers[2].to_f64s(), &x.map(|x| y * (1.0 - y) * x), 1e-14);
    let curvature = y * (1.0 - y) * (1.0 - 2.0 * y) * (1.0 + 0.3 - 0.2);
    close(&numbers[4].to_f64s(), &x.map(|x| curvature * x), 1e-14);
}

#[test]
fn a_relu_layer_with_its_hidden_variables() {
    let tape = Tape::new();
    let w = tape.value([[1.0, -1.0], [0.5, 2.0], [0.0, 1.0]]);
    let x = tape.value([[1.0, 2.0, -1.0, 0.0, 3.0], [0.0, 1.0, 1.0, 0.0, -2.0], [1.0, 1.0, 1.0, 0.0, 1.0]]);
    let layer = relu_layer(w, x, tape.value([0.5, 0.0]));
    assert_eq!(layer.h.value().unwrap().sizes(), [2, 5]);
    assert!(layer.u2.get_inputs()[0].is(layer.u1), "H is made of U(2), and U(2) of U(1)");
    let [du2, du1] = grad(layer.h.sum(()), [layer.u2, layer.u1]);
    let u2 = layer.u2.value().unwrap().to_f64s();
    assert!(u2.contains(&0.0), "the kink is among them: {u2:?}");
    let expect: Vec<f64> = u2.iter().map(|&u| if u > 0.0 { 1.0 } else { 0.0 }).collect();
    assert_eq!(du2.value().unwrap().to_f64s(), expect);
    assert_eq!(du1.value().unwrap().to_f64s(), expect);
}

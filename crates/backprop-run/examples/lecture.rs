//! A tour of the lecture: each section says a formula, computes it by the lecture's algorithm and by
//! the general engine, and counts. Run it with `cargo run -p backprop-run --example lecture`.

use backprop_ad::{bprop, grad, grad_table};
use backprop_core::random::normal;
use backprop_core::{Array, Error, Graph, Seed, Tensor};
use backprop_run::lecture::{self, *};
use backprop_run::{Tape, run};

fn main() -> Result<(), Error> {
    chain_rule()?;
    store_or_recompute()?;
    algorithms_1_and_2()?;
    naive_recursion()?;
    multilayer_perceptron()?;
    two_modes()?;
    formal_algorithm()?;
    jacobian()?;
    cost_by_edges();
    ten_million_times();
    Ok(())
}

fn section(title: &str, formula: &str) {
    println!("\n{title}\n{}\n  {formula}\n", "─".repeat(title.chars().count()));
}

fn chain_rule() -> Result<(), Error> {
    section("The chain rule", "∇ₓz = (∂y/∂x)ᵀ·∇_y z, for scalars, vectors, tensors");
    let a = Matrix::from_fn(2, 3, |i, j| 0.5 * i as f64 - 0.3 * j as f64 + 0.2);
    let x = Matrix::from_fn(2, 2, |i, j| 0.4 * i as f64 - 0.7 * j as f64 + 0.1);
    let examples = [
        ("z = sin x³", lecture::scalars(0.9)?),
        ("z = Σ (A·x)²", lecture::vectors(&a, &[0.2, -0.7, 1.1])?),
        ("z = ½ Σ (X·X)²", lecture::tensors(&x)?),
    ];
    for (z, BothWays { by_hand, by_engine }) in examples {
        println!("  {z:<15} by hand {by_hand:.6?}");
        println!("  {:<15} engine  {by_engine:.6?}", "");
    }
    Ok(())
}

fn store_or_recompute() -> Result<(), Error> {
    let formula = "dz/dw = f'(y)·f'(x)·f'(w)  (1)  =  f'(f(f(w)))·f'(f(w))·f'(w)  (2),  f = sin, w = 0.8";
    section("Store or recompute", formula);
    println!("    n  how                   dz/dw           evaluations of f   values held");
    for n in [3, 16, 100] {
        let [engine_1, engine_2] = through_the_engine(0.8, n)?;
        for (how, chain) in [
            ("(1) stored", stored(f64::sin, f64::cos, 0.8, n)),
            ("(1) by the engine", engine_1),
            ("(2) recomputed", recomputed(f64::sin, f64::cos, 0.8, n)),
            ("(2) by the engine", engine_2),
            ("every √n-th stored", checkpointed(f64::sin, f64::cos, 0.8, n, n.isqrt())),
        ] {
            let Chain { derivative, work, memory } = chain;
            println!("  {n:>3}  {how:<20}  {derivative:.9e}  {work:>16}   {memory:>11}");
        }
    }
    Ok(())
}

fn algorithms_1_and_2() -> Result<(), Error> {
    let formula =
        "grad_table[u_j] = Σ_{i: j ∈ Pa(u_i)} grad_table[u_i]·∂u_i/∂u_j,  z = sin(x·x)·tanh c + x·x";
    section("Algorithms 1 and 2", formula);
    let mut g = ScalarGraph::new(2);
    let square = g.push(MUL, &[0, 0])?;
    let (s, t) = (g.push(SIN, &[square])?, g.push(TANH, &[1])?);
    let product = g.push(MUL, &[s, t])?;
    g.push(ADD, &[product, square])?;
    let u = g.forward_propagation(&[0.7, -0.3])?;
    let done = g.backpropagation(&u)?;
    let tape = Tape::new();
    let tensors = g.through_the_engine(&[tape.value(0.7), tape.value(-0.3)])?;
    let engine = grad_table(tensors[g.len() - 1], &tensors);
    println!("       f(Pa(u_j))          u_j   grad_table[u_j]      engine");
    for (j, value) in u.iter().enumerate() {
        let from = g.definition(j).map_or("data".to_string(), |(f, pa)| {
            let names: Vec<String> = pa.iter().map(|k| format!("u{}", k + 1)).collect();
            format!("{}({})", f.name, names.join(", "))
        });
        let (table, engine) = (done.grad_table[j], engine.gradients()[j].item()?);
        println!("  u{:<2}  {from:<12} {value:>10.6}  {table:>16.6}  {engine:>10.6}", j + 1);
    }
    println!("  {} edges, {} visits", g.n_edges(), done.edge_visits);
    Ok(())
}

fn naive_recursion() -> Result<(), Error> {
    section("Without a table", "∂u_n/∂u_j by recursion follows every path; u ↦ sin u + tanh u, rung by rung");
    println!("         recursion:               grad_table:");
    println!("  rungs  evaluations of f  of f'  of f  of f'  ∂u_n/∂u_1");
    for rungs in [1, 4, 7, 10] {
        let g = diamond_ladder(rungs)?;
        let (slow, fast) = (naive(&g, &[0.4], 0)?, with_grad_table(&g, &[0.4], 0)?);
        println!(
            "  {rungs:>5}  {:>16}  {:>5}  {:>4}  {:>5}  {:.9e}",
            slow.values, slow.partials, fast.values, fast.partials, fast.derivative
        );
    }
    Ok(())
}

fn multilayer_perceptron() -> Result<(), Error> {
    section("Algorithms 3 and 4", "a = Wᵀ·h + b, h = f(a), J = L(ŷ, y) + λ·Ω(θ); widths 5, 7, 3; λ = 0.1");
    let random = |stream, k: usize| 0.6 * normal([1, 0, stream, 0], k as u64);
    let layer = |stream, rows, cols, f| {
        let w = Matrix::from_fn(rows, cols, |i, j| random(stream, i * cols + j));
        (w, (0..cols).map(|j| random(stream + 1, j)).collect(), f)
    };
    let x: Vec<f64> = (0..5).map(|k| random(9, k)).collect();
    let y = vec![0.0, 1.0, 0.0];
    println!("  Ω     J         by the engine  largest difference in ∇J  J after a step of descent");
    for penalty in [Penalty::None, Penalty::L1, Penalty::L2] {
        let layers = vec![layer(2, 5, 7, Activation::Tanh), layer(4, 7, 3, Activation::Softmax)];
        let mlp = Mlp::new(layers, Loss::CrossEntropy)?.regularized(penalty, 0.1);
        let forward = mlp.forward_propagation(&x, &y)?;
        let gradients = mlp.backward_propagation(&forward, &y)?;
        let tape = Tape::new();
        let w: Vec<Tensor> = mlp.w().iter().map(|w| tape.value(w.to_array())).collect();
        let b: Vec<Tensor> = mlp.b().iter().map(|b| tape.value(b.clone())).collect();
        let j = mlp.through_the_engine(&w, &b, tape.value(x.clone()), tape.value(y.clone()));
        let theta = [w, b].concat();
        let engine: Result<Vec<Array>, Error> =
            grad_table(j, &theta).gradients().iter().map(|gradient| gradient.value()).collect();
        let engine = engine?.iter().flat_map(Array::to_f64s).collect::<Vec<f64>>();
        let own = gradients.w.iter().map(Matrix::elements).chain(gradients.b.iter().map(|b| &b[..]));
        let off = own.flatten().zip(engine).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let after = mlp.descend(&gradients, 0.1).forward_propagation(&x, &y)?.j;
        let (omega, own, engine) = (format!("{penalty:?}"), forward.j, j.item()?);
        println!("  {omega:<4}  {own:.6}  {engine:<13.6}  {off:<24.1e}  {after:.6}");
    }
    Ok(())
}

fn two_modes() -> Result<(), Error> {
    section("Symbol-to-number, symbol-to-symbol", "ŷ = σ(wᵀx + b);  H = max{0, WᵀX + b}");
    let (w, x, b) = ([0.5, -1.0, 2.0], [1.0, 0.3, -0.2], 0.1);
    let tape = Tape::new();
    let weights = tape.value(w);
    let model = logistic_regression(weights, tape.value(x), tape.value(b));
    let [dw] = grad(model.y_hat, [weights]);
    let [u1, u2, y_hat] = [model.u1, model.u2, model.y_hat].map(|u| u.item().unwrap_or(f64::NAN));
    println!(
        "  numbers  u(1) = {u1:.4}, u(2) = {u2:.4}, ŷ = {y_hat:.6}, dŷ/dw = {:.6?}",
        dw.value()?.to_f64s()
    );

    let graph = Graph::new();
    let input = |name, ty: &str| graph.input(name, ty);
    let (weights, data, bias) = (input("w", "f64[3]"), input("x", "f64[3]"), input("b", "f64[]"));
    let model = logistic_regression(weights, data, bias);
    let before = graph.records().n_nodes();
    let [dw] = grad(model.y_hat, [weights]);
    let added = graph.records().n_nodes() - before;
    println!("  symbols  {before} nodes, and {added} more for dŷ/dw; run with the same numbers:");
    let given = [("w", Array::from(w)), ("x", Array::from(x)), ("b", Array::scalar(b))];
    println!("           dŷ/dw = {:.6?}", run(&graph, &given, &[dw])?[0].to_f64s());

    let relu = relu_layer(
        tape.value([[1.0, -1.0], [0.5, 2.0], [0.0, 1.0]]),
        tape.value([[1.0, 2.0], [0.0, 1.0], [1.0, 1.0]]),
        tape.value([0.5, -3.0]),
    );
    let [slope] = grad(relu.h.sum(()), [relu.u2]);
    for (name, t) in [("U(1)", relu.u1), ("U(2)", relu.u2), ("H", relu.h), ("∂ΣH/∂U(2)", slope)] {
        println!("  ReLU     {name:<10} {:?}", t.value()?.to_f64s());
    }
    Ok(())
}

fn formal_algorithm() -> Result<(), Error> {
    let formula = "build_grad(V) = Σ over the consumers C of V: op.bprop(inputs, V, D),  z = Σ tanh(W·x)²";
    section("The formal algorithm", formula);
    let tape = Tape::new();
    let w = tape.value([[0.3, -0.2, 0.5], [0.1, 0.9, -0.4]]).named("W");
    let x = tape.value([0.2, -0.7, 1.1]).named("x");
    let a = w.matmul(x).named("a");
    let z = a.tanh().named("h").square().named("s").sum(()).named("z");
    let engine = grad_table(z, &[w]);
    let formal = formal_backprop(&[w], z)?;
    for (&v, gradient) in formal.grad_table.iter().rev() {
        let (v, Some(gradient)) = (Tensor::new(tape.id(), v), gradient) else { continue };
        let by_engine = if v.is(w) { Some(engine.gradients()[0]) } else { engine.of(v) };
        let numbers = gradient.value()?;
        let same = by_engine.is_some_and(|other| other.value().is_ok_and(|other| other.same_bits(&numbers)));
        let name = format!("{v:?}");
        println!("  grad_table[{name:<9}] = {:.4?}  bits of the engine: {same}", numbers.to_f64s());
    }
    println!("  x is not in 𝒢', and still the rule of W·x is given it: dW = D·xᵀ");
    Ok(())
}

fn jacobian() -> Result<(), Error> {
    section("The Jacobian, written out", "op.bprop(inputs, x, D) = (∂y/∂x)ᵀ·D,  y = tanh x");
    let x = Array::from([0.2, -0.5, 0.9]);
    let written_out = jacobian_by_differences(|x| x.tanh(), &x)?;
    let tape = Tape::new();
    let (x, d) = (tape.value(x), tape.value([1.0, -2.0, 0.5]));
    let y = x.tanh();
    for row in written_out.elements().chunks(3) {
        println!("  ∂y/∂x      {row:9.6?}");
    }
    println!("  (∂y/∂x)ᵀ·D {:9.6?}", written_out.transposed_times(&[1.0, -2.0, 0.5]));
    if let Some(Ok(dx)) = y.get_operation().map(|op| bprop(&op, &[x], &[y], 0, &[Some(d)])) {
        println!("  bprop      {:9.6?}", dx.value()?.to_f64s());
    }
    Ok(())
}

fn cost_by_edges() {
    section("Cost", "each node of 𝒢' is asked once and each edge followed once: random graphs");
    println!("    nodes    edges  bprop calls  edges followed  node visits  nodes added");
    for (seed, n) in [(0, 100), (1, 1_000), (2, 10_000)] {
        let graph = Graph::new();
        let (z, x) = random_dag(&graph, Seed(seed), n);
        let c = cost(z, x);
        println!(
            "  {:>7}  {:>7}  {:>11}  {:>14}  {:>11}  {:>11}",
            c.nodes, c.edges, c.bprop_calls, c.contributions, c.node_visits, c.nodes_added
        );
    }
}

fn ten_million_times() {
    section(
        "10 million times",
        "n + 1 forward passes (differences) against one forward and one backward pass",
    );
    println!("  widths                     n  differences   backprop  times faster");
    for width in [10, 100, 1_000, 6_000] {
        let p = passes(&[width, width, width]);
        let (differences, backprop) = (p.differences() as f64, p.backprop() as f64);
        let (widths, n) = (format!("{width}, {width}, {width}"), p.n);
        println!("  {widths:<16}  {n:>10}  {differences:>11.2e}  {backprop:>9.2e}  {:>12.0}", p.ratio());
    }
    let p = passes(&[6_000, 6_000, 6_000]);
    println!("  10⁷ times from n = {} on", p.n_for(10_000_000));
}

//! The lecture's formal algorithm, its `bprop`, and its cost, against the general engine.

use backprop_ad::{bprop, grad, grad_table};
use backprop_core::ops::{Arrays, Bprop, Custom, Family, General, Gradient, Rule, Types, Unary};
use backprop_core::{Array, Graph, Ill, Op, Seed, Tensor, Type, cond, emit, scan, scan_n};
use backprop_run::Tape;
use backprop_run::lecture::*;

#[track_caller]
fn close(a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{a} is not {b}");
    }
}

#[test]
fn get_operation_inputs_and_consumers() {
    let g = Graph::new();
    let (a, b) = (g.input("a", "f64[2, 3]"), g.input("b", "f64[3, 5]"));
    let c = a.matmul(b);
    let (d, e) = (c.tanh(), c * c);
    assert!(matches!(c.get_operation(), Some(Op::Contract(_))), "{:?}", c.get_operation());
    assert_eq!(d.get_operation(), Some(Op::Unary(Unary::Tanh)));
    let is = |found: Vec<Tensor>, expect: &[Tensor]| {
        assert!(found.len() == expect.len() && found.iter().zip(expect).all(|(a, b)| a.is(*b)), "{found:?}");
    };
    is(c.get_inputs(), &[a, b]);
    is(c.get_consumers(), &[d, e]);
    is(e.get_inputs(), &[c, c]);
    is(d.get_consumers(), &[]);
}

/// Checks that the recursion fills the table with the engine's bits.
#[track_caller]
fn same_table(z: Tensor, targets: &[Tensor]) {
    let engine = grad_table(z, targets);
    let formal = formal_backprop(targets, z).unwrap();
    for (&(v, expect), idx) in engine.entries().iter().zip(0..) {
        let entry = formal.grad_table[&v].expect("the engine has a gradient here");
        let (entry, expect) = (entry.value().unwrap(), expect.value().unwrap());
        assert!(entry.same_bits(&expect), "entry {idx}, of %{v}: {entry:?} is not {expect:?}");
    }
    for (idx, (a, b)) in formal.gradients.iter().zip(engine.gradients()).enumerate() {
        let (a, b) = (a.value().unwrap(), b.value().unwrap());
        assert!(a.same_bits(&b), "target {idx}: {a:?} is not {b:?}");
    }
    assert_eq!(formal.bprop_calls, engine.steps().len());
}

#[test]
fn build_grad_gives_the_bits_of_the_engine() {
    let tape = Tape::new();
    let (x, c) = (tape.value(0.7), tape.value(-0.3));
    let square = x * x;
    same_table(square.sin() * c.tanh() + square * x + x * x * x, &[x, c, square]);

    let w = tape.value([[0.3, -0.2, 0.5], [0.1, 0.9, -0.4]]);
    let v = tape.value([0.2, -0.7, 1.1]);
    let h = w.matmul(v).tanh();
    same_table((h.softmax(-1) * h).sum(()), &[w]);
    same_table(h.square().sum(()), &[h, v, w]);
    let (top, _) = w.max_with_index(1);
    same_table((top * top).sum(()) + w.sum(0).exp().sum(()), &[w]);

    let tape = Tape::new();
    let (mut values, one) = (vec![tape.value(0.5)], tape.value(0.9));
    for k in 1..40usize {
        let (a, b) = (values[k - 1], values[(k * 7) % k.min(5)]);
        values.push(if k % 3 == 0 { (a * b).sin() } else { a * one - b });
    }
    same_table(values[39], &[values[0], one, values[11]]);
}

#[test]
fn build_grad_adds_to_the_graph() {
    let g = Graph::new();
    let x = g.input("x", "f64[3]");
    let z = (x.sin() * x).sum(());
    let before = g.records().n_nodes();
    let dx = formal_backprop(&[x], z).unwrap().gradients[0];
    assert!(dx.context() == g.id() && g.records().n_nodes() > before);
    // The result is a graph: build_grad again gives the second derivative.
    let d2x = formal_backprop(&[x], dx.sum(())).unwrap().gradients[0];
    let at = [0.3f64, -1.1, 2.0];
    let computed = backprop_run::run(&g, &[("x", Array::from(at))], &[dx, d2x]).unwrap();
    close(&computed[0].to_f64s(), &at.map(|x| x * x.cos() + x.sin()), 1e-15);
    close(&computed[1].to_f64s(), &at.map(|x| 2.0 * x.cos() - x * x.sin()), 1e-15);
}

/// (sin x, cos x): an op from outside, with two outputs.
#[derive(Debug)]
struct SinCos;

impl Rule for SinCos {
    fn name(&self) -> &str {
        "sin_cos"
    }
    fn equation(&self) -> (&'static str, &'static str) {
        ("s = sin x, c = cos x", "dx = ds·c − dc·s")
    }
    fn n_outputs(&self) -> usize {
        2
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        Ok(Types::from_slice(&[inputs[0]; 2]))
    }
    fn eval(&self, inputs: &[&Array], _outputs: &[Type]) -> Result<Arrays, Ill> {
        let each = |f: fn(f64) -> f64| {
            let values = inputs[0].to_f64s().into_iter().map(f).collect();
            Array::new(inputs[0].sizes(), values).map_err(|error| Ill::new(error.to_string()))
        };
        Ok([each(f64::sin)?, each(f64::cos)?].into_iter().collect())
    }
    fn family(&self) -> Family<'_> {
        Family::General(self)
    }
}

impl General for SinCos {
    fn bprop(&self, at: &Bprop) -> Vec<Gradient> {
        vec![Gradient::Value(at.d_or_zeros(0) * at.y[1] - at.d_or_zeros(1) * at.y[0])]
    }
}

#[test]
fn an_op_of_ones_own_takes_part() {
    let tape = Tape::new();
    let x = tape.value([0.4, -0.9, 1.3]);
    let y = emit(Custom::new(SinCos), &[x]);
    let (s, c) = (y.get(0), y.get(1));
    same_table((s * c + c.exp()).sum(()), &[x]);
    same_table((c * c).sum(()), &[x, c]);
    let one = |idx: usize, d: [Option<Tensor>; 2]| {
        let dx = bprop(&s.get_operation().unwrap(), &[x], &[s, c], idx, &d);
        dx.map(|dx| dx.value().unwrap().to_f64s())
    };
    let d = s.ones_like();
    close(&one(0, [Some(d), None]).unwrap(), &c.value().unwrap().to_f64s(), 1e-15);
    close(&one(0, [None, Some(d)]).unwrap(), &(-s).value().unwrap().to_f64s(), 1e-15);
    assert!(one(0, [None, None]).is_err());
}

#[test]
fn empty_sums_give_zeros() {
    let tape = Tape::new();
    let (x, w) = (tape.value([1.0, 2.0]), tape.value([[3.0, 5.0, 7.0]]));
    let z = (x * x).sum(()) + (w.stop_gradient() * 2.0).sum(()) + w.sign().sum(());
    let formal = formal_backprop(&[x, w], z).unwrap();
    assert_eq!(formal.gradients[0].value().unwrap().to_f64s(), [2.0, 4.0]);
    assert_eq!(formal.gradients[1].value().unwrap().to_f64s(), [0.0; 3]);
    assert_eq!(formal.gradients[1].value().unwrap().sizes(), [1, 3]);
    let frozen = tape.no_grad(|| x * x);
    let formal = formal_backprop(&[x], (frozen * x).sum(())).unwrap();
    assert_eq!(formal.gradients[0].value().unwrap().to_f64s(), [1.0, 4.0]);
}

#[test]
fn what_the_teaching_form_cannot_do_the_engine_can() {
    let tape = Tape::new();
    let x = tape.value(0.0);
    let z = x.gt(0.0).select(x.sqrt(), 0.0);
    let formal = formal_backprop(&[x], z).unwrap();
    assert!(formal.gradients[0].item().unwrap().is_nan(), "no mask: 0 · ∞");
    let [dx] = grad(z, [x]);
    assert_eq!(dx.item().unwrap(), 0.0);
    let refused = |result: Result<Formal, backprop_core::Error>, part: &str| {
        let text = result.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(text.contains(part), "{text}");
    };
    let longest = (0..999).fold(x, |x, _| x.sin());
    assert_eq!(formal_backprop(&[x], longest).unwrap().gradients[0].item().unwrap(), 1.0);
    let long = (0..1001).fold(x, |x, _| x.sin());
    refused(formal_backprop(&[x], long), "at most 1000 values");
    refused(formal_backprop(&[x], tape.value([1.0, 2.0])), "float scalar");
    refused(formal_backprop(&[Tape::new().value(1.0)], z), "another graph or tape");
    let [dx] = grad(long, [x]);
    assert_eq!(dx.item().unwrap(), 1.0);
}

/// (∂y/∂x)ᵀ·D by bprop, for y = op(.., x, ..), against the Jacobian written out.
#[track_caller]
fn check_jacobian(f: impl Fn(Tensor) -> Tensor, x: Array) {
    let jacobian = jacobian_by_differences(&f, &x).unwrap();
    let tape = Tape::new();
    let x = tape.value(x);
    let y = f(x);
    let sizes: Vec<usize> = y.value().unwrap().sizes().to_vec();
    let d: Vec<f64> = (0..jacobian.rows()).map(|k| 0.3 * k as f64 - 0.7).collect();
    let by_hand = jacobian.transposed_times(&d);
    let d = tape.value(Array::new(&sizes, d).unwrap());
    let (op, inputs) = (y.get_operation().unwrap(), y.get_inputs());
    let mut dx = vec![0.0; by_hand.len()];
    for slot in (0..inputs.len()).filter(|&slot| inputs[slot].is(x)) {
        let part = bprop(&op, &inputs, &[y], slot, &[Some(d)]).unwrap();
        assert_eq!(part.ty(), x.ty());
        dx.iter_mut().zip(part.value().unwrap().to_f64s()).for_each(|(dx, part)| *dx += part);
    }
    close(&dx, &by_hand, 1e-9);

    // The flatten rule: the gradient of f∘reshape is the reshaped gradient.
    let flat = tape.value(Array::vector(x.value().unwrap().to_f64s()));
    let [d_flat] = grad((f(flat.reshaped_as(x)) * d).sum(()), [flat]);
    close(&d_flat.value().unwrap().to_f64s(), &by_hand, 1e-9);
    assert_eq!(d_flat.ty(), flat.ty());
}

#[test]
fn the_explicit_jacobian_and_the_flatten_rule_agree_with_bprop() {
    let matrix = || Array::new([2, 3], vec![0.3, -0.8, 1.2, 0.5, 0.1, -0.4]).unwrap();
    check_jacobian(|x| x.tanh(), matrix());
    check_jacobian(|x| x * x, matrix());
    check_jacobian(|x| x.sum(0), matrix());
    check_jacobian(|x| x.logsumexp(1), matrix());
    check_jacobian(|x| x.t(), matrix());
    check_jacobian(|x| x.context_constant([[0.2, -0.1], [0.7, 0.3], [1.0, -2.0]]).matmul(x), matrix());
    check_jacobian(|x| x.matmul(x.context_constant([0.2, -0.1, 0.7])), matrix());
    check_jacobian(|x| x.pad([1, 0], [0, 2]), matrix());
    // Every other op is held to this by `backprop-conformance`; control flow here.
    check_jacobian(|x| cond(x.sum(()).gt(0.0), || x.tanh() * x, || -x), matrix());
    check_jacobian(|x| cond(x.sum(()).gt(9.0), || x.tanh().sum(1), || x.square().sum(1)), matrix());
    check_jacobian(|x| scan_n(3, x, |_, c| ((c * x).sin() + x, ())).0, matrix());
    check_jacobian(
        |x| scan(x.context_constant([0.2, -0.1, 0.7]), x, |c, row| ((c * row).cos() + c, ())).0,
        matrix(),
    );
    check_jacobian(|x| x.exp(), Array::scalar(0.4));
    check_jacobian(|x| x.exp(), Array::new([2, 0], Vec::<f64>::new()).unwrap());
}

/// A known matrix beside x, on x's own tape.
trait ContextConstant {
    fn context_constant(self, array: impl Into<Array>) -> Tensor;
}

impl ContextConstant for Tensor {
    fn context_constant(self, array: impl Into<Array>) -> Tensor {
        let op = backprop_core::ops::Constant { array: std::sync::Arc::new(array.into()) };
        let line = backprop_core::graph::place::Line::Code(std::panic::Location::caller());
        self.context().emit(op.into(), &[], line).one()
    }
}

#[test]
fn known_jacobians_are_what_differences_find() {
    let x = [0.2f64, -0.5, 0.9];
    let check = |f: &dyn Fn(Tensor) -> Tensor, rows: usize, element: &dyn Fn(usize, usize) -> f64| {
        let found = jacobian_by_differences(f, &Array::from(x)).unwrap();
        close(found.elements(), Matrix::from_fn(rows, 3, element).elements(), 1e-9);
    };
    let one_if = |holds: bool| if holds { 1.0 } else { 0.0 };
    check(&|x| x.tanh(), 3, &|i, j| one_if(i == j) * (1.0 - x[i].tanh().powi(2)));
    check(&|x| x.sum(()), 1, &|_, _| 1.0);
    let total: f64 = x.iter().map(|x| x.exp()).sum();
    let p = x.map(|x| x.exp() / total);
    check(&|x| x.softmax(-1), 3, &|i, j| p[i] * (one_if(i == j) - p[j]));
    assert!(jacobian_by_differences(|x| x, &Array::from([1i64])).is_err());
}

#[test]
fn bprop_says_why_there_is_none_and_refuses_what_does_not_fit() {
    let tape = Tape::new();
    let (x, idx) = (tape.value([0.5, -1.0, 2.0]), tape.value(vec![2i64, 0]));
    let why = |y: Tensor, slot: usize, d: Option<Tensor>| {
        let found = bprop(&y.get_operation().unwrap(), &y.get_inputs(), &[y], slot, &[d]);
        found.map(|dx| dx.value().map(|_| ())).unwrap_err().to_string()
    };
    let ones = |y: Tensor| Some(y.ones_like());
    let (picked, stopped, sign) = (x.gather(0, idx), x.stop_gradient(), x.sign());
    for (text, part) in [
        (why(picked, 1, ones(picked)), "gather: indices are integers"),
        (why(stopped, 0, ones(stopped)), "stop"),
        (why(sign, 0, ones(sign)), "piecewise constant"),
        (why(sign, 1, ones(sign)), "none is number 1"),
        (why(picked, 0, None), "are zero"),
    ] {
        assert!(text.contains(part) && text.contains("lecture_formal.rs:"), "{text}");
    }
    let y = x * x;
    let op = y.get_operation().unwrap();
    let ill = |inputs: &[Tensor], outputs: &[Tensor], d: &[Option<Tensor>], part: &str| {
        let text = bprop(&op, inputs, outputs, 0, d).unwrap().value().unwrap_err().to_string();
        assert!(text.contains(part), "{text}");
    };
    ill(&[x], &[y], &[ones(y)], "takes 2 operands, but 1");
    ill(&[x, x], &[y, y], &[ones(y)], "1 outputs, but 2");
    ill(&[x, x], &[y], &[Some(tape.value(1.0))], "type of the output");
    ill(&[x, x.matmul(idx)], &[y], &[ones(y)], "ill or stale");
    assert!(bprop(&op, &[], &[], 0, &[]).is_err());
}

#[test]
fn gradient_nodes_stand_at_the_line_of_their_op() {
    let g = Graph::new();
    let x = g.input("x", "f64[]");
    let y = x.sin();
    let dx = bprop(&y.get_operation().unwrap(), &[x], &[y], 0, &[Some(y.ones_like())]).unwrap();
    let records = g.records();
    let [of_y, of_dx] = [y, dx].map(|v| records.node(records.producer(v.id())));
    assert_eq!(of_y.place, of_dx.place);
    assert_eq!(of_dx.part, backprop_core::Part::Gradient);
}

#[test]
fn the_cost_is_linear_in_the_edges() {
    for (n_nodes, seed) in [10usize, 100, 1_000, 10_000, 40_000].into_iter().zip(0..) {
        let graph = Graph::new();
        let (z, x) = random_dag(&graph, Seed(seed), n_nodes);
        let cost = cost(z, x);
        assert!(cost.nodes > n_nodes / 4, "{cost:?}");
        assert_eq!(cost.bprop_calls, cost.nodes, "each node of G' once");
        assert_eq!(cost.contributions, cost.edges, "each edge of G' once");
        assert!(cost.edges <= 2 * cost.nodes);
        assert!(cost.node_visits <= 3 * cost.graph_nodes, "{cost:?}");
        assert!(cost.nodes_added <= 5 * cost.edges + 1, "{cost:?}");
    }
}

#[test]
fn what_else_stands_on_a_tape_costs_a_gradient_nothing() {
    let tape = backprop_run::Tape::new();
    let x = tape.value(0.5);
    let mut unrelated = tape.value(1.5);
    let visits: std::collections::HashSet<usize> = (0..500)
        .map(|_| {
            unrelated = unrelated * unrelated - 0.5;
            grad_table((x.tanh() * x).sin(), &[x]).node_visits()
        })
        .collect();
    // x, tanh, mul, sin.
    assert_eq!(visits, [3 * 4].into_iter().collect());
}

#[test]
fn no_edge_is_followed_twice() {
    let graph = Graph::new();
    let (z, x) = random_dag(&graph, Seed(3), 500);
    let table = grad_table(z, &[x]);
    let edges: std::collections::HashSet<_> =
        table.steps().iter().map(|step| (step.node, step.slot)).collect();
    assert_eq!(edges.len(), table.steps().len());
}

/// Derivatives of a small network by n + 1 forward passes that are really run; the work counted.
fn by_differences(widths: &[usize]) -> (Vec<f64>, Vec<f64>, u64, u64) {
    let graph = Graph::new();
    let (loss, _) = network(&graph, widths);
    let names: Vec<String> = {
        let records = graph.records();
        records.names().map(|(_, name)| name.to_string()).collect()
    };
    let types: Vec<_> = names.iter().filter_map(|name| graph.get(name)?.shape()?.sizes()).collect();
    let fill = |sizes: &[usize], k: usize| {
        let n: usize = sizes.iter().product();
        Array::new(sizes, (0..n).map(|i| ((i * 7 + k * 3) % 11) as f64 * 0.1 - 0.5).collect()).unwrap()
    };
    let arrays: Vec<Array> = types.iter().enumerate().map(|(k, sizes)| fill(sizes, k)).collect();
    let work_of_pass = work(&graph.records(), &[loss]);
    let mut total = 0;
    let mut pass = |arrays: &[Array]| {
        total += work_of_pass;
        let given: Vec<(&str, Array)> = names.iter().map(|n| &**n).zip(arrays.iter().cloned()).collect();
        backprop_run::run(&graph, &given, &[loss]).unwrap()[0].item().unwrap()
    };
    let base = pass(&arrays);
    let parameters: Vec<usize> = (0..names.len()).filter(|&k| names[k].starts_with(['W', 'b'])).collect();
    let mut slopes = Vec::new();
    for &k in &parameters {
        for i in 0..arrays[k].len() {
            let mut moved = arrays.clone();
            let mut values = moved[k].to_f64s();
            values[i] += 1e-6;
            moved[k] = Array::new(arrays[k].sizes(), values).unwrap();
            slopes.push((pass(&moved) - base) / 1e-6);
        }
    }
    let theta: Vec<Tensor> = parameters.iter().filter_map(|&k| graph.get(&names[k])).collect();
    let gradients = grad_table(loss, &theta).gradients().to_vec();
    let both: Vec<Tensor> = std::iter::once(loss).chain(gradients).collect();
    let given: Vec<(&str, Array)> = names.iter().map(|n| &**n).zip(arrays.iter().cloned()).collect();
    let computed = backprop_run::run(&graph, &given, &both).unwrap();
    let by_engine = computed[1..].iter().flat_map(|g| g.to_f64s()).collect();
    (slopes, by_engine, total, work(&graph.records(), &both))
}

#[test]
fn n_plus_one_forward_passes_against_one_backward() {
    for widths in [&[3, 2][..], &[5, 7, 3], &[2, 11, 5, 3]] {
        let passes = passes(widths);
        let (slopes, gradients, by_differences, by_backprop) = by_differences(widths);
        close(&slopes, &gradients, 1e-4);
        assert_eq!(passes.n as usize, gradients.len());
        assert_eq!(passes.differences(), by_differences);
        assert_eq!(passes.backprop(), by_backprop);
    }
}

#[test]
fn ten_million_times() {
    // Work counted by hand for [3, 2]: Wᵀx 2·3·2, + b 2, tanh 2, − y 2, square 2, sum 2, ·½ 1.
    assert_eq!(passes(&[3, 2]).forward, 23);
    let mut before = 0.0;
    for width in [10, 100, 1_000, 6_000] {
        let passes = passes(&[width, width, width]);
        assert!(passes.ratio() > before);
        before = passes.ratio();
        // A backward pass costs about two forward passes, less what only the input would need.
        let per_forward = passes.backprop() as f64 / passes.forward as f64;
        assert!((1.5..4.0).contains(&per_forward), "{per_forward}");
    }
    let wide = passes(&[6_000, 6_000, 6_000]);
    assert!(wide.ratio() > 1e7, "{wide:?}");
    let n = wide.n_for(10_000_000);
    assert!((15_000_000..40_000_000).contains(&n), "{n}");
    let at = |n| Passes { n, ..wide }.ratio();
    assert!(at(n) >= 1e7 && at(n - 1) < 1e7);
    assert!(passes(&[]).n == 0 && wide.n_for(0) == 0);
}

#[test]
fn the_page_about_the_lecture_names_tests_that_exist() {
    let page = include_str!("../../../docs/lecture.md");
    let files = [
        ("lecture", include_str!("lecture.rs")),
        ("lecture_formal", include_str!("lecture_formal.rs")),
        ("spine", include_str!("spine.rs")),
    ];
    let mut n_named = 0;
    for (file, test) in page.split('`').filter_map(|code| code.split_once("::")) {
        if let Some((_, source)) = files.iter().find(|(own, _)| *own == file) {
            assert!(source.contains(&format!("#[test]\nfn {test}()")), "{file}::{test} is not there");
            n_named += 1;
        }
    }
    assert!(n_named > 40, "{n_named}");
    for (file, source) in &files[..2] {
        for test in source.split("#[test]\nfn ").skip(1).filter_map(|rest| rest.split('(').next()) {
            let named = page.contains(&format!("`{file}::{test}`"));
            let about_errors = ["refused", "page"].iter().any(|word| test.contains(word));
            assert!(named || about_errors, "the page does not name {file}::{test}");
        }
    }
}

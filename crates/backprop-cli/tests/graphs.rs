//! eval, grad, show and check on graph files.

mod common;

use backprop_core::Array;
use common::Folder;

#[test]
fn eval_gives_what_the_graph_returns() {
    let folder = Folder::new();
    folder.line("eval model.graph --in x.npz --out y.npz").good();
    let expect = [("loss".to_string(), vec![1.0]), ("p".to_string(), vec![-1.0, -1.0])];
    assert_eq!(folder.read_npz("y.npz"), expect);
    let printed = folder.line("eval model.graph --in x.npz").good();
    assert_eq!(printed.out, "loss = 1.0\np = [-1. -1.]\n");
}

/// Folded while it is compiled, or summed when it runs.
#[test]
fn the_sum_of_nothing_is_zero_wherever_it_is_computed() {
    let folder = Folder::new();
    let text = "graph {\n  z = full {value: 1.0} : f64[0]\n  x = input : f64[B]\n  s = sum(z)\n  r = reciprocal(s)\n  \
                n = norm(z)\n  m = reciprocal(n)\n  t = sum(x)\n  q = reciprocal(t)\n  return r, m, q\n}\n";
    folder.write("s.graph", text);
    folder.npz("none.npz", &[("x", &Array::vector(Vec::<f64>::new()))]);
    let done = folder.line("eval s.graph --in none.npz").good();
    assert_eq!(done.out, "r = inf\nm = inf\nq = inf\n");
}

#[test]
fn constants_come_from_the_file_that_is_named() {
    let folder = Folder::new();
    let text = "graph {\n  c = constant @table : f64[70]\n  s = sum(c)\n  return s\n}\n";
    folder.write("c.graph", text);
    folder.npz("c.npz", &[("table", &Array::vector(vec![0.5; 70]))]);
    let done = folder.line("eval c.graph --constants c.npz").good();
    assert_eq!(done.out, "s = 35.0\n");
    assert_eq!(folder.line("eval c.graph").code, 1);
}

/// With x = [[1, 2], [3, 4]], w = (1, −1), b = 0: p = (−1, −1), so dloss/dw = xᵀ·p = (−4, −6) and
/// dloss/db = Σp = −2. The Hessian is [[xᵀx, xᵀ1], [1ᵀx, 2]] = [[10, 14, 4], [14, 20, 6], [4, 6, 2]];
/// its rows sum to 28, 40, 12, those of the block of w to 24, 34.
#[test]
fn gradients_are_those_computed_by_hand() {
    let folder = Folder::new();
    let check = |arguments: &str, expect: &[(&str, &[f64])]| {
        folder.line(&format!("grad model.graph --in x.npz --out g.npz {arguments}")).good();
        let expect: Vec<(String, Vec<f64>)> =
            expect.iter().map(|(name, values)| (name.to_string(), values.to_vec())).collect();
        assert_eq!(folder.read_npz("g.npz"), expect, "{arguments}");
    };
    check("--of loss --wrt w,b", &[("w", &[-4.0, -6.0]), ("b", &[-2.0])]);
    check("--of loss --wrt p", &[("p", &[-1.0, -1.0])]);
    check("--of loss --wrt w --order 2", &[("w", &[24.0, 34.0])]);
    check("--of loss --wrt w,b --order 2", &[("w", &[28.0, 40.0]), ("b", &[12.0])]);
    check("--of loss --wrt w --order 3", &[("w", &[0.0, 0.0])]);
    // Jᵀ·d with d = (1, 10): xᵀ·d = (31, 42).
    check("--of p --wrt w,b --cotangent d.npz", &[("w", &[31.0, 42.0]), ("b", &[11.0])]);
}

#[test]
fn a_zero_gradient_comes_with_its_reason() {
    let folder = Folder::new();
    folder.write(
        "cut.graph",
        "graph {\n  w = input : f64\n  v = input : f64\n  s = stop_gradient(w)\n  z = mul(s, s)\n  return z\n}\n",
    );
    folder.npz("w.npz", &[("w", &Array::scalar(3.0)), ("v", &Array::scalar(1.0))]);
    let done = folder.line("grad cut.graph --of z --wrt w,v --in w.npz").good();
    assert_eq!(done.out, "w = 0.0\nv = 0.0\n");
    assert!(
        done.err.contains("the gradient of w is zero") && done.err.contains("cut.graph:4"),
        "{}",
        done.err
    );
    assert!(done.err.contains("does not depend on v"), "{}", done.err);
}

#[test]
fn the_derivative_is_printed_as_a_graph_and_as_formulas() {
    let folder = Folder::new();
    folder.write(
        "t.graph",
        "graph {\n  w = input : f64\n  x = input : f64\n  u = mul(w, x)\n  y = tanh(u)\n  return y\n}\n",
    );
    let done = folder.line("grad t.graph --of y --wrt w --print").good();
    assert!(done.out.contains("# dy/dw = (1 − y²)·x"), "{}", done.out);
    // What is printed is a graph: its gradient is one of its outputs.
    folder.write("d.graph", &done.out);
    folder.npz("wx.npz", &[("w", &Array::scalar(0.0)), ("x", &Array::scalar(3.0))]);
    let done = folder.line("eval d.graph --in wx.npz").good();
    assert_eq!(done.out, "y = 0.0\ndy/dw = 3.0\n");
}

#[test]
fn explain_fills_the_grad_table() {
    let folder = Folder::new();
    let done = folder.line("grad model.graph --of loss --wrt w,b --explain").good();
    assert!(done.out.contains("grad_table[loss] ← 1"), "{}", done.out);
    let done = folder.line("grad model.graph --of loss --wrt w,b --explain --in x.npz").good();
    for line in
        ["grad_table[loss] ← 1", "dloss/dw = grad_table[w] = [−4, −6]", "dloss/db = grad_table[b] = −2"]
    {
        assert!(done.out.contains(line), "{line} in\n{}", done.out);
    }
    // A graph that reads nothing has its numbers in it.
    folder.write("own.graph", "graph {\n  x = constant 3.0\n  y = square(x)\n  return y\n}\n");
    let done = folder.line("grad own.graph --of y --wrt x --explain").good();
    assert!(done.out.contains("dy/dx = grad_table[x] = 6"), "{}", done.out);
}

/// The second sweep differentiates s1 = Σ(dloss/dw) + dloss/db, whose gradient is (28, 40), 12.
#[test]
fn explain_shows_the_sweep_of_each_order() {
    let folder = Folder::new();
    let done = folder.line("grad model.graph --of loss --wrt w,b --order 2 --explain --in x.npz").good();
    for line in [
        "  loss = u₂/B = 1",
        "  dloss/db = grad_table[b] = −2",
        "order 2: s1 = Σ(dloss/dw) + Σ(dloss/db)",
        "  grad_table[u₃] ← [3, 7] + [1, 1] = [4, 8]",
        "  ds1/dw = grad_table[w] = [28, 40]",
        "  ds1/db = grad_table[b] = 12",
    ] {
        assert!(done.out.lines().any(|own| own == line), "{line} in\n{}", done.out);
    }
}

/// An array that only the forward pass reads is not spoken of; one that nothing reads is.
#[test]
fn only_arrays_for_no_input_are_remarked() {
    let folder = Folder::new();
    let done = folder.line("grad model.graph --of loss --wrt w --order 3 --in x.npz").good();
    assert_eq!(done.out, "w = [0. 0.]\n");
    assert!(!done.err.contains("nothing reads"), "{}", done.err);
    folder.npz("more.npz", &[("v", &Array::scalar(1.0)), ("w", &Array::from([1.0, 2.0]))]);
    let done = folder.line("grad model.graph --of loss --wrt w --order 3 --in more.npz").good();
    assert!(done.err.contains("note: more.npz: nothing reads `v`"), "{}", done.err);
}

#[test]
fn show_draws_and_prints() {
    let folder = Folder::new();
    folder.line("show model.graph --svg --out m.svg").good();
    let svg = std::fs::read_to_string(folder.path("m.svg")).expect("it was written");
    assert!(svg.starts_with("<svg") && svg.contains("loss"));
    assert!(folder.line("show model.graph --dot").good().out.starts_with("digraph"));
    // An output without a name of its own has that of its `return`; a constant shows its number.
    let text =
        "graph {\n  x = input : f64[3]\n  c = constant 0.25\n  %1 = mul(x, c)\n  return twice: %1\n}\n";
    folder.write("named.graph", text);
    let svg = folder.line("show named.graph --svg").good().out;
    assert!(svg.contains(">twice<") && svg.contains(">0.25<"), "{svg}");
    // What is printed reads back and prints the same.
    let text = folder.line("show model.graph --text").good().out;
    folder.write("again.graph", &text);
    assert_eq!(folder.line("show again.graph --text").good().out, text);
}

#[test]
fn show_tells_what_is_compiled() {
    let shown = Folder::new().line("show model.graph --passes --plan --asm --size B=7").good().out;
    let parts =
        ["-- sizes, ", "-- simplify, ", "-- plan\n", "-- what each step computes\n", "-- machine code\n"];
    let places: Vec<Option<usize>> = parts.iter().map(|part| shown.find(part)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{shown}");
    assert!(shown.contains("loss = div"), "what the last step computes: {shown}");
    let code = &shown[places[4].unwrap_or_default()..];
    assert!(
        code.contains("step 0  ") && (code.contains("ret\n") || code.contains("loops in plain Rust")),
        "{code}"
    );
}

#[test]
fn a_plan_says_why_a_step_begins() {
    let folder = Folder::new();
    folder.write(
        "rows.graph",
        "graph {\n  x = input : f32[700, 31]\n  e = exp(x)\n  s = sum(e) {axes: [0]}\n  y = div(e, s)\n  return y\n}\n",
    );
    let shown = folder.line("show rows.graph --plan").good().out;
    let reasons: Vec<&str> = shown.lines().filter(|line| line.contains("begins with")).collect();
    assert_eq!(
        reasons,
        [
            "  begins with s = sum: it reads e, which step 0 computes once for all that read it",
            "  begins with y = div: it reads s, which step 1 has only when it ends"
        ],
        "{shown}"
    );
}

#[test]
fn show_refuses_sizes_of_no_dimension_and_a_picture_of_a_plan() {
    let folder = Folder::new();
    let said = |line: &str| folder.line(line).err;
    let unknown = said("show model.graph --plan --size b=7");
    assert!(unknown.contains("no dimension `b`") && unknown.contains("`B`"), "{unknown}");
    let both = said("show model.graph --svg --plan");
    assert!(both.contains("--svg") && both.contains("cannot be used with"), "{both}");
}

#[test]
fn values_may_have_any_names_when_gradients_are_checked() {
    let folder = Folder::new();
    folder.write(
        "named.graph",
        "graph {\n  x0 = input : f64[3]\n  t0 = exp(x0)\n  d0 = sum(t0)\n  return d0\n}\n",
    );
    folder.line("check named.graph").good();
}

#[test]
fn check_compares_gradients_at_the_sizes_asked_for() {
    let folder = Folder::new();
    let done = folder.line("check model.graph --size B=3").good();
    assert!(done.out.contains("well-formed") && done.out.contains("x0 = x f64[3, 2]"), "{}", done.out);
    assert!(done.out.contains("derivatives agree"), "{}", done.out);
    // f32 graphs are checked in f64.
    folder.write("f32.graph", common::MODEL.replace("f64", "f32"));
    let done = folder.line("check f32.graph").good();
    assert!(done.out.contains("x f64[2, 2]") && done.out.contains("derivatives agree"), "{}", done.out);
}

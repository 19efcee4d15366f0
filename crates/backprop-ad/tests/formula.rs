//! Derivatives as formulas: what a lecturer would write on the board.

use backprop_ad::grad;
use backprop_core::{DType, Graph, Tensor, cond, scan, scan_n};

#[track_caller]
fn check(value: Tensor, expect: &str) {
    assert_eq!(value.formula(), expect);
}

/// f(x) and its derivative for an x of this type.
#[track_caller]
fn check_function(ty: &str, f: impl Fn(Tensor) -> Tensor, value: &str, slope: &str) {
    let g = Graph::new();
    let x = g.input("x", ty);
    let y = f(x);
    let z = if y.shape().is_some_and(|shape| shape.rank() > 0) { y.sum(()) } else { y };
    let [dx] = grad(z, [x]);
    check(y, value);
    check(dx, slope);
}

#[test]
fn a_named_value_is_a_name_and_the_root_is_written_out() {
    let g = Graph::new();
    let (w, x) = (g.input("w", "f64[]"), g.input("x", "f64[]"));
    let y = (w * x).tanh().named("y");
    let [dw, dx] = grad(y, [w, x]);
    check(y, "y = tanh(w·x)");
    check(dw.named("dy/dw"), "dy/dw = (1 − y²)·x");
    check(dx, "(1 − y²)·w");
    check(dw * 2.0, "2·(dy/dw)");
    check(dw.sin() + dw, "sin(dy/dw) + (dy/dw)");
    check(x, "x");
    let table = g.constant([1.0, 2.0]);
    check((table + x) * g.constant(3.0), "3·(%15 + x)");
}

#[test]
fn higher_orders() {
    let g = Graph::new();
    let x = g.input("x", "f64[]");
    let y = x.tanh().named("y");
    let [first] = grad(x * y, [x]);
    let [second] = grad(first, [x]);
    let [third] = grad(second, [x]);
    check(first, "y + x·(1 − y²)");
    check(second, "1 − y² + (1 − 2·x·y)·(1 − y²)");
    check(third, "2·(((2·x·y − 1)·y − (1 − y²)·x − y)·(1 − y²) − (1 − y²)·y)");
}

/// A branch is written out; of several results of a loop it is said which.
#[test]
fn branches_and_loops() {
    let g = Graph::new();
    let (x, y) = (g.input("x", "f64[]"), g.input("y", "f64[]"));
    let z = cond(x.gt(y), || x * y, || x.sin());
    let [dx, dy] = grad(z, [x, y]);
    check(z, "select(x > y, x·y, sin(x))");
    check(dx, "select(x > y, y, cos(x))");
    check(dy, "x·[x > y]");
    let (last, all) = scan(x, g.input("xs", "f64[T, 2]"), |h, xs| (h + xs.sum(()), xs * h));
    check(last, "scan₀(x, xs)");
    check(all, "scan₁(x, xs)");
    // Names inside a body are its own; a branch that gives an operand back is that operand.
    let named = cond(y.gt(0.0), || (x * x).named("square").exp(), || x);
    check(named, "select(y > 0, exp(x²), x)");
}

#[test]
fn logistic_regression() {
    let g = Graph::new();
    let (x, w) = (g.input("x", "f64[B, 4]"), g.input("w", "f64[4]"));
    let (b, t) = (g.input("b", "f64[]"), g.input("t", "f64[B]"));
    let u = (x.matmul(w) + b).named("u");
    let loss = u.binary_cross_entropy_with_logits(t).named("L");
    let [dw, db] = grad(loss, [w, b]);
    check(u, "u = x·w + b");
    check(loss, "L = Σ(softplus(u) − u ⊙ t)/B");
    check(dw.named("dL/dw"), "dL/dw = xᵀ·(σ(u) − t)/B");
    check(db.named("dL/db"), "dL/db = Σ(σ(u) − t)/B");
}

#[test]
fn a_relu_layer() {
    let g = Graph::new();
    let (x, w, b) = (g.input("x", "f64[B, 4]"), g.input("W", "f64[3, 4]"), g.input("b", "f64[3]"));
    let u = (x.matmul(w.t()) + b).named("u");
    let z = u.relu().sum(());
    let [dw, db, dx] = grad(z, [w, b, x]);
    check(u, "u = x·Wᵀ + b");
    check(z, "Σ(relu(u))");
    check(dw, "[u > 0]ᵀ·x");
    check(db, "Σ₀([u > 0])");
    check(dx, "[u > 0]·W");
}

#[test]
fn softmax_cross_entropy() {
    let g = Graph::new();
    let (x, t) = (g.input("x", "f64[B, 4]"), g.input("t", "i64[B]"));
    let loss = x.cross_entropy(t);
    let [dx] = grad(loss, [x]);
    check(loss, "−Σ((x − lse(x)) ⊙ onehot(t))/B");
    check(dx, "(softmax(x) − onehot(t))/B");
}

#[test]
fn a_network_of_two_layers() {
    let g = Graph::new();
    let (x, t) = (g.input("x", "f64[B, 4]"), g.input("t", "i64[B]"));
    let (w1, b1) = (g.input("W1", "f64[3, 4]"), g.input("b1", "f64[3]"));
    let (w2, b2) = (g.input("W2", "f64[2, 3]"), g.input("b2", "f64[2]"));
    let h = (x.matmul(w1.t()) + b1).tanh().named("h");
    let o = (h.matmul(w2.t()) + b2).named("o");
    let [dw1, db1, dw2, db2] = grad(o.cross_entropy(t), [w1, b1, w2, b2]);
    check(dw1, "(((softmax(o) − onehot(t))·W2) ⊙ (1 − h²))ᵀ·x/B");
    check(db1, "Σ₀(((softmax(o) − onehot(t))·W2) ⊙ (1 − h²))/B");
    check(dw2, "(softmax(o) − onehot(t))ᵀ·h/B");
    check(db2, "Σ₀(softmax(o) − onehot(t))/B");
}

#[test]
fn functions() {
    let scalar = "f64[]";
    check_function(scalar, |x| x.pow(3.0), "x³", "3·x²");
    check_function(scalar, |x| x.sqrt(), "√x", "1/(2·√x)");
    check_function(scalar, |x| x.sqrt() * x.sqrt(), "x", "√x/√x");
    check_function(scalar, |x| x.reciprocal(), "1/x", "−1/x²");
    check_function(scalar, |x| x.log() / x, "ln(x)/x", "(1 − ln(x))/x²");
    check_function(scalar, |x| x.abs(), "|x|", "sign(x)");
    check_function(scalar, |x| x.erf(), "erf(x)", "2·exp(−x²)/√π");
    check_function(scalar, |x| -(-x), "x", "1");
    check_function(scalar, |x| (x + 0.0) * 1.0 - 0.0, "x", "1");
    check_function(scalar, |x| x.pow(0.5), "x^0.5", "0.5·x^(−0.5)");
    check_function(scalar, |x| x.stop_gradient() * x, "stop(x)·x", "stop(x)");
    check_function(scalar, |x| x.sigmoid() + (-x).sigmoid(), "1", "0");
    check_function(scalar, |x| x.silu(), "x·σ(x)", "σ(x) + x·σ(x)·(1 − σ(x))");
    check_function(scalar, |x| x.maximum(2.0), "max(x, 2)", "select(x = 2, 0.5, [x ≥ 2])");
    check_function("f64[3]", |x| x * x.sum(()), "x·Σ(x)", "2·Σ(x)");
    check_function("f64[3, 5]", |x| x.norm(), "√Σ(x²)", "x·[√Σ(x²) ≠ 0]/√Σ(x²)");
    check_function("f64[3, 5]", |x| x.max(0), "max₀(x)", "[x ≥ max₀(x)]/Σ₀([x ≥ max₀(x)])");
    check_function("f64[3, 5]", |x| x.sum(1), "Σ₁(x)", "1");
    check_function("f64[3, 5]", |x| x.mean(0), "Σ₀(x)/3", "1/3");
    check_function("f64[3, 5]", |x| x.t().matmul(x), "xᵀ·x", "2·x·𝟏");
    check_function("f64[3, 5]", |x| x.flatten(), "reshape(x)", "1");
    check_function("f64[3]", |x| x.softmax(-1), "softmax(x)", "softmax(x) − softmax(x)·Σ(softmax(x))");
    check_function("f64[3]", |x| x.cast(DType::I64).cast(DType::F64), "i64(x)", "0");
}

#[test]
fn vectors_are_columns() {
    let g = Graph::new();
    let (a, b, m) = (g.input("a", "f64[3]"), g.input("b", "f64[5]"), g.input("M", "f64[3, 5]"));
    let z = a.matmul(m).matmul(b);
    let [da, dm, db] = grad(z, [a, m, b]);
    check(m.matmul(b), "M·b");
    check(a.matmul(m), "Mᵀ·a");
    check(z, "aᵀ·M·b");
    check(da, "M·b");
    check(db, "Mᵀ·a");
    check(dm, "a·bᵀ");
    let row = g.input("r", "f64[1, 5]");
    check(row.t().matmul(row), "rᵀ·r");
    check(row.t() + b.unsqueeze(1), "rᵀ + b");
    check((a + a.matmul(a)).matmul(m * 2.0), "2·Mᵀ·(a + aᵀ·a)");
}

#[test]
fn the_text_is_no_longer_than_the_graph() {
    let g = Graph::new();
    let x = g.input("x", "f64[]");
    // Written out, this is 2⁶⁰ terms.
    let y = (0..60).fold(x, |y, _| y * y.sin());
    let text = y.formula();
    assert!(text.lines().count() > 30 && text.len() < 6_000, "{text}");
    assert_eq!(text.lines().nth(1), Some("  where a = sin(x·sin(x)·sin(x·sin(x)))"), "{text}");
    // Deep, and not shared at all.
    let z = (0..30_000).fold(x, |z, _| z.sin() + x);
    assert!(z.formula().len() < 1_000_000);
}

#[test]
fn a_long_product_of_matrices_is_transposed_without_recursion() {
    let g = Graph::new();
    let (x, w) = (g.input("x", "f64[3, 3]"), g.input("w", "f64[3, 3]"));
    let deep = (0..10_000).fold(x, |y, _| y.matmul(w));
    assert!(deep.t().formula().lines().count() > 100);
    let [dw] = grad(deep.sum(()), [w]);
    assert!(dw.formula().len() < 10_000_000);
    // As a tree, this is 2³⁰ factors.
    let squared = (0..30).fold(x, |y, _| y.matmul(y));
    assert!(squared.t().formula().lines().count() < 40);
    check(x.matmul(w).matmul(x).t(), "xᵀ·wᵀ·xᵀ");
    check(x.matmul(w.t()).t().t(), "x·wᵀ");
}

#[test]
fn what_differs_in_a_body_or_a_parameter_is_not_one() {
    let g = Graph::new();
    let (c, x, v) = (g.input("c", "bool[]"), g.input("x", "f64[]"), g.input("v", "f64[2]"));
    let branch = |of: fn(Tensor) -> Tensor| cond(c, || of(x), || x);
    check(branch(Tensor::sin) - branch(Tensor::cos), "select(c, sin(x), x) − select(c, cos(x), x)");
    let loops = |of: fn(Tensor) -> Tensor| scan_n(3, x, |_, h| (of(h), ())).0;
    check(loops(Tensor::sin) - loops(Tensor::cos), "scan(x) − scan(x)");
    check(loops(Tensor::sin) - loops(Tensor::sin), "0");
    // Arrays inside of bodies have the same number there.
    let other = cond(c, || v + g.constant([1.0, 2.0]), || v + g.constant([3.0, 4.0]));
    check(other, "select(c, v + constant, v + constant)");
    check(other - cond(c, || v, || v), "select(c, v + constant, v + constant) − select(c, v, v)");
    let counts = |axis| x.broadcast_to([2usize, 2]).iota_like(axis, DType::F64);
    check(counts(0) - counts(1), "iota − iota");
    // An axis of size 1 is not written, but it counts.
    let m = g.input("m", "f64[3, 3]");
    check(m.reshape([1i64, 3, 3]).sum(1) - m.sum(1), "Σ₁(m) − Σ₁(m)");
    let key = g.constant(vec![1u32, 2, 3, 4]).named("key");
    check(key.uniform(DType::F64, [2usize]) - key.uniform(DType::F64, [2usize]), "0");
    check(
        key.uniform(DType::F64, [2usize]).sum(()) - key.uniform(DType::F64, [3usize]).sum(()),
        "Σ(uniform(key)) − Σ(uniform(key))",
    );
}

#[test]
fn ill_values_are_question_marks() {
    let g = Graph::new();
    let (x, v) = (g.input("x", "f64[2]"), g.input("v", "f64[3]"));
    check((x + v) * x, "?");
}

//! aᵇ where its formulas say 0·∞: right, or not finite where the truth is not; never wrong.

use backprop_ad::grad;
use backprop_core::{Array, Graph};
use backprop_run::Tape;

/// ∂a, ∂b, ∂aa, ∂ab, ∂ba, ∂bb of aᵇ. NaN in `expect` stands for "not finite".
#[track_caller]
fn check(a: f64, b: f64, expect: [f64; 6]) {
    let tape = Tape::new();
    let (a, b) = (tape.value(Array::scalar(a)), tape.value(Array::scalar(b)));
    let [da, db] = grad(a.pow(b), [a, b]);
    let [aa, ab] = grad(da, [a, b]);
    let [ba, bb] = grad(db, [a, b]);
    let found: Vec<f64> = [da, db, aa, ab, ba, bb].iter().map(|y| y.item().unwrap()).collect();
    for (found_one, expect_one) in found.iter().zip(expect) {
        let is_right =
            if expect_one.is_nan() { !found_one.is_finite() } else { (found_one - expect_one).abs() < 1e-12 };
        assert!(is_right, "{found:?} is not {expect:?}");
    }
}

/// As [`check`], with an exponent that is known when the rule is written.
#[track_caller]
fn check_literal(a: f64, b: f64, expect: [f64; 4]) {
    let tape = Tape::new();
    let x = tape.value(Array::scalar(a));
    let mut found = vec![x.pow(b)];
    for order in 0..3 {
        found.push(grad(found[order], [x])[0]);
    }
    for (found, expect) in found.iter().map(|y| y.item().unwrap()).zip(expect) {
        assert!((found - expect).abs() < 1e-12 || found == expect, "{a}^{b}: {found} is not {expect}");
    }
}

#[test]
fn a_literal_exponent_is_right_at_any_base() {
    const INF: f64 = f64::INFINITY;
    check_literal(0.0, 3.0, [0.0, 0.0, 0.0, 6.0]);
    check_literal(0.0, 2.0, [0.0, 0.0, 2.0, 0.0]);
    check_literal(0.0, 1.0, [0.0, 1.0, 0.0, 0.0]);
    check_literal(0.0, 0.0, [1.0, 0.0, 0.0, 0.0]);
    check_literal(0.0, 0.5, [0.0, INF, -INF, INF]);
    check_literal(-1.5, 2.0, [2.25, -3.0, 2.0, 0.0]);
    check_literal(0.25, -1.0, [4.0, -16.0, 128.0, -1536.0]);
}

#[test]
fn the_gradient_of_a_square_takes_few_nodes() {
    let g = Graph::new();
    let x = g.input("x", "f64[3]");
    let (y, before) = (x.pow(2.0), g.records().n_nodes());
    let [_] = grad(y.sum(()), [x]);
    // The sum, its cotangent, that spread; 1, b − 1, a^(b−1), b·a^(b−1), times d; and what is handed on.
    let n = g.records().n_nodes() - before;
    assert!(n <= 10, "{n} nodes");
}

#[test]
fn a_literal_exponent_still_has_a_derivative() {
    let tape = Tape::new();
    let x = tape.value([2.0, 3.0]);
    let b = x.full_like(2.0);
    let [dx] = grad(x.pow(b).sum(()), [x]);
    // ∂²(xᵇ)/∂x∂b = x^(b−1)·(1 + b·ln x)
    let [mixed] = grad(dx.sum(()), [b]);
    let expect = [2.0 * (1.0 + 2.0 * 2f64.ln()), 3.0 * (1.0 + 2.0 * 3f64.ln())];
    let found = mixed.value().unwrap().to_f64s();
    assert!(found.iter().zip(expect).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
}

#[test]
fn the_exponent_0_has_a_mixed_derivative() {
    let ln = 2f64.ln();
    check(2.0, 0.0, [0.0, ln, 0.0, 0.5, 0.5, ln * ln]);
    check(0.25, 0.0, [0.0, 0.25f64.ln(), 0.0, 4.0, 4.0, 0.25f64.ln().powi(2)]);
}

#[test]
fn the_base_0_is_right_or_not_finite() {
    const NOT: f64 = f64::NAN;
    check(0.0, 3.0, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    check(0.0, 2.0, [0.0, 0.0, 2.0, 0.0, 0.0, 0.0]);
    check(0.0, 1.0, [1.0, 0.0, 0.0, NOT, NOT, 0.0]);
    check(0.0, 0.5, [NOT, 0.0, NOT, NOT, NOT, 0.0]);
    check(0.0, 0.0, [0.0, NOT, 0.0, NOT, NOT, NOT]);
}

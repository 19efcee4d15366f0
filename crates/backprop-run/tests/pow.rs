//! aᵇ where its formulas say 0·∞: right, or not finite where the truth is not; never wrong.

use backprop_ad::grad;
use backprop_core::Array;
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

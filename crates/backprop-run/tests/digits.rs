//! Functions that would lose all digits from their textbook formulas, in f32 and f64, both modes.
//!
//! The numbers are mpmath's at 40 digits (`mp.dps = 40`), of operands rounded to f32 where the test
//! is in f32; the command stands at each table.

// Digits as mpmath printed them.
#![allow(clippy::excessive_precision)]

use backprop_ad::grad;
use backprop_core::{Array, DType, Graph, Tensor, Type};
use backprop_run::{Tape, run};

/// Checks f(x) and the gradient of Σ f(x), in both modes, to `ulps` units of rounding.
#[track_caller]
fn check_to(ulps: f64, x: &Array, f: impl Fn(Tensor) -> Tensor, value: &[f64], slope: &[f64]) {
    let eps = if x.dtype() == DType::F32 { f32::EPSILON as f64 } else { f64::EPSILON };
    // Of the subnormal numbers, the last bit.
    let least = if x.dtype() == DType::F32 { 2f64.powi(-149) } else { f64::from_bits(1) };
    let both = |x: Tensor| {
        let y = f(x);
        let [dx] = grad(y.sum(()), [x]);
        [y, dx]
    };
    let tape = Tape::new();
    let eager = both(tape.value(x.clone())).map(|y| y.value().unwrap());
    let graph = Graph::new();
    let outputs = both(graph.input("x", Type::new(x.dtype(), x.sizes())));
    let compiled = run(&graph, &[("x", x.clone())], &outputs).unwrap();
    for (way, results) in [("on a tape", &eager[..]), ("compiled", &compiled)] {
        for (what, (got, want)) in ["value", "slope"].iter().zip(results.iter().zip([value, slope])) {
            let got = got.to_f64s();
            assert_eq!(got.len(), want.len());
            for (got, want) in got.iter().zip(want) {
                let holds = (got - want).abs() <= ulps * eps * want.abs() + least;
                assert!(holds, "{what} {way}: {got:e}, not {want:e}");
            }
        }
    }
}

#[track_caller]
fn check(x: impl Into<Array>, f: impl Fn(Tensor) -> Tensor, value: &[f64], slope: &[f64]) {
    check_to(6.0, &x.into(), f, value, slope);
}

/// `y = sqrt(sum(x*x for x in xs)); y, [x/y for x in xs]`
#[test]
fn the_norm_of_what_has_no_squares() {
    let (small, slopes) =
        ([3e-23f32, 4e-23, 1e-24], [0.59988005617861583, 0.79984003284065228, 0.01999600121536789]);
    check(small, Tensor::norm, &[5.0009999938034271e-23], &slopes);
    let slopes = [0.26832816170575495, 0.35777086916189888, 0.89442719257340877];
    check([3e19f32, 4e19, 1e20], Tensor::norm, &[1.1180340091894107e+20], &slopes);
    // Subnormal numbers have few digits of their own: the norm is a multiple of 2⁻¹⁴⁹.
    let (x, y) = ([1e-41f32, 3e-42], [1.0440038172594045e-41]);
    check_to(1e4, &x.into(), Tensor::norm, &y, &[0.95781889645498002, 0.28737251363650676]);
    check([3e-200, 4e-200], Tensor::norm, &[5e-200], &[0.6, 0.8]);
    check([3e200, -4e200], Tensor::norm, &[5e200], &[0.6, -0.8]);
}

#[test]
fn the_norm_of_what_is_no_number_or_nothing() {
    let tape = Tape::new();
    let norm = |x: Array| tape.value(x).norm().item().unwrap();
    assert_eq!(norm([1.0, f64::NEG_INFINITY].into()), f64::INFINITY);
    assert!(norm([f32::NAN, 0.0].into()).is_nan() && norm([f32::NAN, f32::INFINITY].into()).is_nan());
    assert_eq!(norm(Array::zeros(DType::F32, &[0, 3]).unwrap()), 0.0);
    assert_eq!(norm(Array::scalar(-2.5f32)), 2.5);
}

/// `log1p(exp(-x)), s(x) - 1` with `s = lambda x: 1/(1 + exp(-x))`, at 15 and 20
#[test]
fn the_cross_entropy_of_a_sure_and_right_prediction() {
    let loss = |t: f64| move |x: Tensor| x.binary_cross_entropy_with_logits(x.full_like(t));
    check([15.0f32], loss(1.0), &[3.0590227371372049e-7], &[-3.0590222692562473e-7]);
    check([-15.0f32], loss(0.0), &[3.0590227371372049e-7], &[3.0590222692562473e-7]);
    check([20.0], loss(1.0), &[2.0611536203143807e-9], &[-2.0611536181902036e-9]);
    check([-20.0], loss(0.0), &[2.0611536203143807e-9], &[2.0611536181902036e-9]);
}

/// `Z = sum(exp(x - 10000) for x in xs); [x - 10000 - log(Z) for x in xs], [exp(x - 10000)/Z for x in xs]`
#[test]
fn the_softmax_of_large_logits() {
    let x = [10000.0f32, 9999.5, 9990.0, 10000.25];
    let ln = [-1.0614646037673172, -1.5614646037673172, -11.061464603767317, -0.81146460376731719];
    let softmax = [0.34594876124867425, 0.2098285303869267, 1.5706049462108452e-5, 0.44420700231493694];
    check_to(8.0, &x.into(), |x| x.log_softmax(0).select_first(), &ln[..1], &slope_of_first(&softmax));
    check_to(8.0, &x.into(), |x| x.logsumexp(0), &[10001.061464603767], &softmax);
    let tape = Tape::new();
    let columns = tape.value(x).unsqueeze(1).broadcast_to([4usize, 3]);
    for softmax_of in [columns.softmax(0), columns.t().softmax(-1).t()] {
        for (got, want) in softmax_of.value().unwrap().to_f64s().chunks(3).zip(softmax) {
            assert!(got.iter().all(|got| (got - want).abs() <= 4e-7 * want), "{got:?}, not {want}");
        }
    }
    let ln_all = tape.value(x).log_softmax(-1).value().unwrap().to_f64s();
    assert!(ln_all.iter().zip(ln).all(|(got, want)| (got - want).abs() <= 4e-7 * want.abs()), "{ln_all:?}");
}

trait First {
    fn select_first(self) -> Tensor;
}

impl First for Tensor {
    fn select_first(self) -> Tensor {
        self.slice_axis(0, 0usize, 1usize)
    }
}

/// ∂/∂x of the first element of log_softmax: 1 − p₀, −p₁, ...
fn slope_of_first(softmax: &[f64]) -> Vec<f64> {
    softmax.iter().enumerate().map(|(i, p)| if i == 0 { 1.0 - p } else { -p }).collect()
}

/// `P = erfc(-x/sqrt(2))/2; x*P, P + x*exp(-x*x/2)/sqrt(2*pi)`
#[test]
fn gelu_far_to_the_left() {
    let check = |x: f64, value: f64, slope: f64| {
        // The exponent x²/2, up to 50, takes its rounding with it.
        check_to(100.0, &Array::from([x as f32]), Tensor::gelu, &[value], &[slope]);
        check_to(100.0, &Array::from([x]), Tensor::gelu, &[value], &[slope]);
    };
    check(-6.0, -5.9195258702261888e-9, -3.5468709453902015e-8);
    check(-4.5, -1.5289529061285272e-5, -6.8529161856344575e-5);
    check(-10.0, -7.6198530241605261e-23, -7.6184000964648141e-22);
}

/// `s(x)*s(-x), s(x)*s(-x)*(1 - 2*s(x))`
#[test]
fn slopes_of_sigmoid_and_curvatures_of_softplus_far_to_the_right() {
    fn slope_of(f: impl Fn(Tensor) -> Tensor) -> impl Fn(Tensor) -> Tensor {
        move |x| grad(f(x).sum(()), [x])[0]
    }
    let (sigmoid, softplus) = (slope_of(Tensor::sigmoid), slope_of(slope_of(Tensor::softplus)));
    for f in [&sigmoid as &dyn Fn(Tensor) -> Tensor, &softplus] {
        check([20.0f32], f, &[2.0611536139418493e-9], &[-2.0611536054451409e-9]);
        check([40.0], f, &[4.248354255291589e-18], &[-4.2483542552915889e-18]);
    }
}

/// d·y² leaves the range only where the gradient does: y² is 10⁵⁰ here, and 10⁻⁵⁰.
#[test]
fn the_slope_of_a_reciprocal_takes_one_factor_at_a_time() {
    let scaled = |by: f64| move |x: Tensor| x.reciprocal() * by;
    check([1e-25f32], scaled(1e-30), &[1e-5], &[-1e20]);
    check([1e25f32], scaled(1e30), &[1e5], &[-1e-20]);
}

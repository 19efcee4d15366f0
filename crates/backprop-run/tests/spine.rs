//! The spine held together: both modes, orders, masks, scopes, faults.

use backprop_ad::{grad, grad_table, jvp, vjp};
use backprop_core::{Array, DType, Graph, Tensor, scan_n};
use backprop_run::{Tape, run};

/// Value and derivatives of orders 1 to 3 of f at x, on a tape and through a graph.
fn orders(f: impl Fn(Tensor) -> Tensor, x: f64) -> [Vec<f64>; 2] {
    let derivatives = |x: Tensor| {
        let mut all = vec![f(x)];
        for order in 0..3 {
            let [next] = grad(all[order], [x]);
            all.push(next);
        }
        all
    };
    let tape = Tape::new();
    let eager = derivatives(tape.value(x)).iter().map(|y| y.item().unwrap()).collect();
    let graph = Graph::new();
    let outputs = derivatives(graph.input("x", "f64[]"));
    let arrays = run(&graph, &[("x", Array::scalar(x))], &outputs).unwrap();
    [eager, arrays.iter().map(|y| y.item().unwrap()).collect()]
}

#[track_caller]
fn check(f: impl Fn(Tensor) -> Tensor, x: f64, expect: [f64; 4]) {
    for values in orders(f, x) {
        for (value, expect) in values.iter().zip(expect) {
            assert!((value - expect).abs() <= 1e-12 * expect.abs().max(1.0), "{values:?} is not {expect:?}");
        }
    }
}

#[test]
fn a_branch_not_taken_is_an_exact_zero() {
    let e = std::f64::consts::E;
    check(|x| x.gt(0.0).select(x.sqrt(), 0.0), -2.0, [0.0; 4]);
    check(|x| x.lt(1.0).select(x.cos(), 0.0), f64::INFINITY, [0.0; 4]);
    check(|x| x.le(0.0).select(x.exp(), x + 1.0), 1000.0, [1001.0, 1.0, 0.0, 0.0]);
    check(|x| x.gt(2.0).select(x.log(), x * 2.0), 0.0, [0.0, 2.0, 0.0, 0.0]);
    check(|x| x.gt(0.0).select(x.sqrt(), 0.0), 0.0, [0.0; 4]);
    check(|x| x.gt(0.0).select(1.0 / x, x), 0.0, [0.0, 1.0, 0.0, 0.0]);
    check(|x| x.norm(), 0.0, [0.0; 4]);
    check(|x| (x - 1.0).square() * x.exp(), 1.0, [0.0, 0.0, 2.0 * e, 6.0 * e]);
    check(|x| (x - 1.0).pow(2.0) * x.exp(), 1.0, [0.0, 0.0, 2.0 * e, 6.0 * e]);
}

#[test]
fn right_or_nan_but_never_wrong() {
    let right_or_nan = |f: &dyn Fn(Tensor) -> Tensor, x: f64, expect: [f64; 4]| {
        for values in orders(f, x) {
            for (value, expect) in values.iter().zip(expect) {
                assert!(
                    value.is_nan() || value == &expect || !value.is_finite(),
                    "{values:?} is not {expect:?}"
                );
            }
        }
    };
    right_or_nan(&|x| x.log().exp(), 0.0, [0.0, 1.0, 0.0, 0.0]);
    right_or_nan(&|x| x.sqrt() * x.sqrt(), 0.0, [0.0, 1.0, 0.0, 0.0]);
    right_or_nan(&|x| (x * x * x * x).sqrt(), 0.0, [0.0, 0.0, 2.0, 0.0]);
}

#[test]
fn a_call_creates_a_node() {
    let both = |x: Tensor| {
        let (h1, h2) = (x.tanh(), x.tanh());
        let [d1] = grad(h1 + h2, [h1]);
        d1
    };
    let tape = Tape::new();
    assert_eq!(both(tape.value(0.3)).item().unwrap(), 1.0);
    let graph = Graph::new();
    let d1 = both(graph.input("x", "f64[]"));
    assert_eq!(run(&graph, &[("x", Array::scalar(0.3))], &[d1]).unwrap()[0].item().unwrap(), 1.0);
}

#[test]
fn zeros_have_reasons() {
    let tape = Tape::new();
    let (x, w) = (tape.value(2.0).named("x"), tape.value(3.0).named("w"));
    let reason = |z: Tensor, at: Tensor| {
        let table = grad_table(z, &[at]);
        assert_eq!(table.gradients()[0].item().unwrap(), 0.0);
        table.reason(0).map(|reason| reason.to_string()).unwrap_or_default()
    };
    assert!(reason(x * x, w).contains("does not depend on w"));
    assert!(reason(x * w.stop_gradient(), w).contains("stop_gradient"));
    let through_ints = w.cast(backprop_core::DType::I64).cast(backprop_core::DType::F64);
    assert!(reason(x * through_ints, w).contains("not a float"), "{}", reason(x * through_ints, w));
    let frozen = tape.no_grad(|| w * w);
    assert!(reason(x * frozen, w).contains("no_grad"));
    let of_nothing = vjp(&[], &[w]);
    assert_eq!(of_nothing.gradients()[0].item().unwrap(), 0.0);
    assert!(of_nothing.reason(0).is_some_and(|reason| reason.to_string().contains("does not depend on w")));
}

#[test]
fn matmul_gets_its_other_operand() {
    let tape = Tape::new();
    let w = tape.value([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    let x = tape.value([0.5, -1.0, 2.0]);
    let [dw] = grad(w.matmul(x).sum(()), [w]);
    assert_eq!(dw.value().unwrap().to_f64s(), [0.5, -1.0, 2.0, 0.5, -1.0, 2.0]);
}

#[test]
fn forward_agrees_with_reverse() {
    let tape = Tape::new();
    let x = tape.value([[0.1, 0.5, -0.3], [0.7, -0.2, 0.9]]);
    let t = tape.value([[0.3, -0.1, 0.8], [0.2, 0.4, -0.6]]);
    let y = x.softmax(-1).log().sum(0).tanh() * x.max(0) + x.max_with_index(0).0;
    let d = tape.value([1.5, -0.5, 0.25]);
    let ty = jvp(&[y], &[(x, t)]).tangents()[0];
    let table = vjp(&[(y, d)], &[x]);
    let (forward, reverse) =
        ((ty * d).sum(()).item().unwrap(), (table.gradients()[0] * t).sum(()).item().unwrap());
    assert!((forward - reverse).abs() < 1e-14, "{forward} {reverse}");
}

#[test]
fn scopes_free_and_leave_the_parent_valid() {
    let tape = Tape::new();
    let w = tape.value(2.0);
    let (stale, slope) = tape.scope(|scope| {
        let y = w * scope.value(5.0);
        let [dw] = grad(y, [w]);
        assert_eq!(grad_table(y, &[]).of(w).map(|_| ()), None, "nobody asked for it");
        assert_eq!(grad_table(y, &[w]).of(w).unwrap().item().unwrap(), 5.0);
        (y, dw.item().unwrap())
    });
    assert_eq!(slope, 5.0);
    assert_eq!(w.item().unwrap(), 2.0);
    assert!(stale.item().unwrap_err().to_string().contains("scope that it was made in has ended"));
    assert!((w + stale).item().unwrap_err().to_string().contains("stale"));
    assert!((stale + w).item().unwrap_err().to_string().contains("stale"));
    assert_eq!(tape.bytes(), 8);
    // A buffer that two values share is there once.
    let shared = Array::from([1.0, 2.0, 3.0]);
    let (_, _) = (tape.value(shared.clone()), tape.value(shared).identity());
    assert_eq!(tape.bytes(), 32);
}

#[test]
fn faults_name_operands_and_lines() {
    let tape = Tape::new();
    let h = tape.full("f32[32, 784]", 0.0).named("h");
    let w = tape.full("f32[10, 784]", 0.0).named("w");
    let text = h.matmul(w).value().unwrap_err().to_string();
    for part in [
        "matmul: inner dimensions differ",
        "spine.rs:",
        "f32[32, 784]",
        "axis 1 = 784",
        "hint: matmul(lhs, rhs.t())",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let other = Tape::new();
    let x = other.full("f32[32, 784]", 0.0);
    assert!((h + x).value().unwrap_err().to_string().contains("another graph or tape"));
    let index = tape.value(vec![0i64, 9]);
    assert!(h.gather(0, index + 25i64).value().unwrap_err().to_string().contains("index 34"));
}

#[test]
fn a_tape_has_no_sizes_without_numbers() {
    let tape = Tape::new();
    let x = tape.value([1.0, 2.0]);
    for y in [tape.full("f64[B]", 0.0), x.sum(()).broadcast_to([backprop_core::Dim::named("B")])] {
        let text = (y + 1.0).value().unwrap_err().to_string();
        assert!(text.contains("f64[B] has a size that is only a name"), "{text}");
    }
}

#[test]
fn one_graph_for_all_sizes() {
    let g = Graph::new();
    let x = g.input("x", "f64[B, 3]");
    let loss = x.square().mean(());
    let [dx] = grad(loss, [x]);
    for rows in [1usize, 2, 5] {
        let input = Array::new([rows, 3], vec![2.0; rows * 3]).unwrap();
        let out = run(&g, &[("x", input)], &[loss, dx]).unwrap();
        assert_eq!(out[0].item().unwrap(), 4.0);
        assert_eq!(out[1].to_f64s(), vec![4.0 / (3 * rows) as f64; rows * 3]);
    }
    let wrong = run(&g, &[("x", Array::new([2, 4], vec![0.0; 8]).unwrap())], &[loss]);
    assert!(wrong.unwrap_err().to_string().contains("declared f64[B, 3]"));
}

#[test]
fn what_does_not_fit_into_memory_is_a_fault() {
    let tape = Tape::new();
    for sizes in ["f32[99999999999, 99999999999]", "f64[1000000, 1000000, 1000000]"] {
        let text = tape.full(sizes, 0.0).value().unwrap_err().to_string();
        assert!(text.contains("does not fit into memory"), "{text}");
    }
    let x = tape.value([1.0f32]);
    // The rows of a loop.
    let (_, rows) = scan_n(1usize << 50, x, |_, h| (h, h));
    let text = rows.value().unwrap_err().to_string();
    assert!(text.contains("does not fit into memory"), "{text}");
    assert!(
        Array::zeros(DType::F64, &[1 << 45]).is_err() && Array::full(DType::U8, &[1 << 50], 1.0).is_err()
    );
    assert!(x.sum([0, 0, 0, 0, 0, 0, 0, 0, 0]).value().is_err());
}

#[test]
fn records_that_are_being_read_do_not_stand_in_the_way() {
    let graph = Graph::new();
    let x = graph.input("x", "f64[]");
    let records = graph.records();
    let y = x.tanh().named("y");
    assert!(y.with_records(|records| (y * 2.0).id() as usize == records.n_values() + 1).unwrap());
    assert_eq!((records.n_nodes(), graph.records().n_nodes()), (1, 4));
}

#[test]
fn nan_is_not_hidden() {
    let tape = Tape::new();
    let x = tape.value([1.0, f64::NAN, 3.0]);
    assert!(x.norm().item().unwrap().is_nan() && x.max(()).item().unwrap().is_nan());
    let [dx] = grad(x.norm(), [x]);
    assert!(dx.value().unwrap().to_f64s().iter().all(|dx| dx.is_nan()));
    // A gradient of zeros would look like one that is known.
    let [dx] = grad(x.max(()), [x]);
    assert!(dx.value().unwrap().to_f64s()[1] != 0.0);
}

/// Forward mode drops a branch that was not taken as backward mode does, at orders 1 and 2.
#[test]
fn tangents_carry_masks_too() {
    let check = |f: fn(Tensor) -> Tensor, at: [f64; 2], expect: [[f64; 2]; 2]| {
        let tape = Tape::new();
        let x = tape.value(at);
        let t = x.ones_like();
        let mut y = f(x);
        for expect in expect {
            let [dx] = grad(y.sum(()), [x]);
            let ty = jvp(&[y], &[(x, t)]).tangents()[0];
            assert_eq!(dx.value().unwrap().to_f64s(), expect, "{y:?}");
            assert_eq!(ty.value().unwrap().to_f64s(), expect, "{y:?}");
            y = ty;
        }
    };
    check(|x| x.maximum(0.0).sqrt(), [-1.0, 4.0], [[0.0, 0.25], [0.0, -0.03125]]);
    check(|x| x.relu().sqrt(), [-1.0, 4.0], [[0.0, 0.25], [0.0, -0.03125]]);
    check(|x| x.relu().reshape([2, 1]).sqrt().reshape([2]), [-1.0, 4.0], [[0.0, 0.25], [0.0, -0.03125]]);
    check(|x| x.gt(0.0).select(x, 0.0).log(), [-1.0, 4.0], [[0.0, 0.25], [0.0, -0.0625]]);
    // Two paths, of which one is not masked: NaN, as backward.
    let tape = Tape::new();
    let x = tape.value(0.0);
    let y = (x.gt(0.0).select(x, 0.0) + x * 0.0).sqrt();
    assert!(jvp(&[y], &[(x, tape.value(1.0))]).tangents()[0].item().unwrap().is_nan());
}

#[test]
fn the_norms_slope_at_zero_is_zero_and_hides_no_infinity() {
    let tape = Tape::new();
    let x = tape.value([0.0, 0.0]);
    // 0 is a convention for the slope of the norm; times an infinite slope it is unknown.
    for (name, z) in [
        ("log", x.norm().log()),
        ("reciprocal", 1.0 / x.norm()),
        ("sqrt", x.norm().sqrt()),
        ("below", x.sqrt().norm()),
    ] {
        let [dx] = grad(z, [x]);
        assert!(dx.value().unwrap().to_f64s().iter().all(|dx| dx.is_nan()), "{name}: {dx:?}");
    }
    let mut z = x.norm() + x.norm() * x.sum(());
    for order in 1..=3 {
        let [dx] = grad(z, [x]);
        assert_eq!(dx.value().unwrap().to_f64s(), [0.0, 0.0], "order {order}");
        z = dx.sum(());
    }
}

#[test]
fn casts_are_rusts_as() {
    let tape = Tape::new();
    // The third lies just above the middle of two f32, and as an f64 it lies on the middle.
    let ints = [i64::MIN, -1, (1 << 60) + (1 << 36) + 1, i64::MAX, 300];
    let floats = [f64::NAN, 300.7, -5.5, 1e300, f64::NEG_INFINITY];
    let (i, x) = (tape.value(ints), tape.value(floats));
    let cast = |x: Tensor, dtype| x.cast(dtype).value().unwrap();
    use backprop_core::DType::*;
    assert!(cast(i, F32).same_bits(&Array::from(ints.map(|i| i as f32))));
    assert!(cast(i, F64).same_bits(&Array::from(ints.map(|i| i as f64))));
    assert!(cast(i, I32).same_bits(&Array::from(ints.map(|i| i as i32))));
    assert!(cast(i, U32).same_bits(&Array::from(ints.map(|i| i as u32))));
    assert!(cast(i, U8).same_bits(&Array::from(ints.map(|i| i as u8))));
    assert!(cast(i, Bool).same_bits(&Array::from(ints.map(|i| i != 0))));
    assert!(cast(x, F32).same_bits(&Array::from(floats.map(|x| x as f32))));
    assert!(cast(x, I32).same_bits(&Array::from(floats.map(|x| x as i32))));
    assert!(cast(x, I64).same_bits(&Array::from(floats.map(|x| x as i64))));
    assert!(cast(x, U32).same_bits(&Array::from(floats.map(|x| x as u32))));
    assert!(cast(x, U8).same_bits(&Array::from(floats.map(|x| x as u8))));
    assert!(cast(x, Bool).same_bits(&Array::from(floats.map(|x| x != 0.0))));
    assert!(cast(x.gt(0.0), I32).same_bits(&Array::from([0, 1, 0, 1, 0])));
}

//! `cond` and `scan`: values, derivatives and faults, on a tape and through a graph.

use backprop_ad::{grad, grad_table, jvp, vjp};
use backprop_core::ops::Rule;
use backprop_core::{
    Array, Dim, Graph, Op, Tensor, Type, concat, cond, scan, scan_indexed, scan_n, scan_reverse,
};
use backprop_run::{Tape, compile, run};

/// The results of `f` on a tape and through a graph: walked, to the bit; compiled, within rounding.
#[track_caller]
fn both(inputs: &[Array], f: impl Fn(&[Tensor]) -> Vec<Tensor>) -> Vec<Array> {
    let tape = Tape::new();
    let x: Vec<Tensor> = inputs.iter().map(|array| tape.value(array.clone())).collect();
    let eager: Vec<Array> = f(&x).iter().map(|y| y.value().unwrap()).collect();

    let graph = Graph::new();
    let names: Vec<String> = (0..inputs.len()).map(|idx| format!("x{idx}")).collect();
    let x: Vec<Tensor> = inputs
        .iter()
        .zip(&names)
        .map(|(array, name)| graph.input(name, Type::new(array.dtype(), array.sizes())))
        .collect();
    let y = f(&x);
    let executable = compile(&graph, &x, &y).unwrap();
    for (a, b) in eager.iter().zip(&executable.walk(inputs).unwrap()) {
        assert!(a.same_bits(b), "{a:?} on the tape, {b:?} through the graph");
    }
    for (a, b) in eager.iter().zip(&executable.run(inputs).unwrap()) {
        assert_eq!((a.dtype(), a.sizes()), (b.dtype(), b.sizes()));
        for (x, y) in a.to_f64s().into_iter().zip(b.to_f64s()) {
            let is_close = x == y || x.is_nan() && y.is_nan() || (x - y).abs() <= 1e-12 * x.abs().max(1.0);
            assert!(is_close, "{a:?} on the tape, {b:?} compiled");
        }
    }
    reference_agrees(&tape);
    eager
}

/// Every control-flow op on the tape gives the same by its own definition.
#[track_caller]
fn reference_agrees(tape: &Tape) {
    let records = tape.records();
    for node in records.nodes().iter().filter(|node| matches!(node.op, Op::Cond(_) | Op::Scan(_))) {
        let array = |value: u32| Tensor::new(tape.id(), value).value().unwrap();
        let inputs: Vec<Array> = node.inputs.iter().map(|&input| array(input)).collect();
        let inputs: Vec<&Array> = inputs.iter().collect();
        let types: Vec<Type> = node.outputs().map(|output| records.ty(output).unwrap()).collect();
        let rule: &dyn Rule = node.op.rule();
        let reference = rule.eval(&inputs, &types).unwrap();
        for (reference, output) in reference.iter().zip(node.outputs()) {
            let (a, b) = (reference.to_f64s(), array(output).to_f64s());
            assert_eq!(reference.sizes(), array(output).sizes());
            for (a, b) in a.iter().zip(&b) {
                let close = (a - b).abs() <= 1e-12 * a.abs().max(1.0);
                assert!(close || a == b || (a.is_nan() && b.is_nan()), "{a} by definition, {b} by kernels");
            }
        }
    }
}

#[track_caller]
fn close(found: &[Array], expect: &[Vec<f64>]) {
    assert_eq!(found.len(), expect.len());
    for (idx, (found, expect)) in found.iter().zip(expect).enumerate() {
        let found = found.to_f64s();
        assert_eq!(found.len(), expect.len(), "result {idx}: {found:?} is not {expect:?}");
        for (a, b) in found.iter().zip(expect) {
            assert!((a - b).abs() <= 1e-11 * b.abs().max(1.0), "result {idx}: {found:?} is not {expect:?}");
        }
    }
}

/// Value and derivatives up to order 3 of f at x.
#[track_caller]
fn check(f: impl Fn(Tensor) -> Tensor, x: f64, expect: [f64; 4]) {
    let orders = both(&[Array::scalar(x)], |x| {
        let mut all = vec![f(x[0])];
        for order in 0..3 {
            all.extend(grad(all[order], [x[0]]));
        }
        all
    });
    close(&orders, &expect.map(|value| vec![value]));
}

/// `f` and `unrolled` are the same function of all inputs: values, gradients of a weighted sum, the
/// gradients of a weighted sum of those, and tangents.
#[track_caller]
fn same_function(
    inputs: &[Array],
    f: impl Fn(&[Tensor]) -> Vec<Tensor>,
    unrolled: impl Fn(&[Tensor]) -> Vec<Tensor>,
) {
    let weighted = |y: &[Tensor]| {
        let terms = y.iter().enumerate().map(|(idx, y)| (y.sin() * (idx as f64 + 0.7)).sum(()));
        terms.reduce(|a, b| a + b).unwrap()
    };
    let all = |f: &dyn Fn(&[Tensor]) -> Vec<Tensor>, x: &[Tensor]| {
        let mut results = f(x);
        let tangents: Vec<(Tensor, Tensor)> = x.iter().map(|&x| (x, (x * 3.0).cos())).collect();
        let forward = jvp(&results, &tangents);
        let first = grad_table(weighted(&results), x).gradients().to_vec();
        let second = grad_table(weighted(&first), x).gradients().to_vec();
        let mixed = jvp(&first, &tangents);
        results.extend(forward.tangents());
        results.extend(first.iter().chain(&second).chain(mixed.tangents()));
        results
    };
    let looped = both(inputs, |x| all(&f, x));
    let expect: Vec<Vec<f64>> = both(inputs, |x| all(&unrolled, x)).iter().map(Array::to_f64s).collect();
    close(&looped, &expect);
}

/// x[k]
fn row(x: Tensor, k: usize) -> Tensor {
    x.slice_axis(0, k, k + 1).sum(0)
}

fn array(sizes: impl AsRef<[usize]>, from: f64) -> Array {
    let count = sizes.as_ref().iter().product();
    Array::new(sizes, (0..count).map(|i| (from + 0.37 * i as f64).sin() * 0.8).collect::<Vec<f64>>()).unwrap()
}

#[test]
fn powers() {
    let power = |x: Tensor| scan_n(5, x.ones_like(), |_, y| (y * x, ())).0;
    check(power, 1.3, [1.3f64.powi(5), 5.0 * 1.3f64.powi(4), 20.0 * 1.3f64.powi(3), 60.0 * 1.3f64.powi(2)]);
    let tower = |x: Tensor| scan_n(3, x, |_, y| (y.square(), ())).0;
    check(tower, 0.9, [0.9f64.powi(8), 8.0 * 0.9f64.powi(7), 56.0 * 0.9f64.powi(6), 336.0 * 0.9f64.powi(5)]);
}

#[test]
fn a_loop_without_iterations_hands_its_carry_on() {
    check(|x| scan_n(0, x * 2.0, |_, y| (y.exp() * x, ())).0, 1.5, [3.0, 2.0, 0.0, 0.0]);
    let empty = both(&[Array::scalar(2.0), Array::zeros(backprop_core::DType::F64, &[0, 3]).unwrap()], |x| {
        let (last, ys) = scan(x[0], x[1], |carry, x| (carry * x.sum(()), x * carry));
        let [dx, dxs] = grad(last + ys.sum(()), [x[0], x[1]]);
        vec![last, ys, dx, dxs]
    });
    close(&empty, &[vec![2.0], vec![], vec![1.0], vec![]]);
    assert_eq!((empty[1].sizes(), empty[3].sizes()), (&[0, 3][..], &[0, 3][..]));
}

#[test]
fn cumulative_products() {
    let x = array([5], 0.4);
    let product = |x: &[Tensor]| {
        let (last, all) = scan(x[1], x[0], |carry, x| (carry * x, carry * x));
        vec![last, all]
    };
    let unrolled = |x: &[Tensor]| {
        let mut carry = x[1];
        let mut all = Vec::new();
        for k in 0..5 {
            carry = carry * row(x[0], k);
            all.push(carry.unsqueeze(0));
        }
        vec![carry, backprop_core::concat(&all, 0)]
    };
    same_function(&[x, Array::scalar(1.1)], product, unrolled);
}

#[test]
fn a_recurrent_cell() {
    let (w, u, b) = (array([3, 3], 0.2), array([3, 2], 1.0), array([3], 2.0));
    let (h0, xs) = (array([3], -0.5), array([4, 2], 0.1));
    let cell = |h: Tensor, x: Tensor, p: &[Tensor]| (p[0].matmul(h) + p[1].matmul(x) + p[2]).tanh();
    same_function(
        &[w, u, b, h0, xs],
        |p| {
            let (h, all) = scan(p[3], p[4], |h, x| {
                let next = cell(h, x, p);
                (next, next * h)
            });
            vec![h, all]
        },
        |p| {
            let (mut h, mut all) = (p[3], Vec::new());
            for k in 0..4 {
                let next = cell(h, row(p[4], k), p);
                all.push((next * h).unsqueeze(0));
                h = next;
            }
            vec![h, backprop_core::concat(&all, 0)]
        },
    );
}

#[test]
fn exponential_decay_by_eulers_method() {
    // yₙ = y₀(1 − λh)ⁿ; derivatives with respect to y₀ and the captured λ, orders 1 and 2.
    let (n, h, y0, rate) = (20usize, 0.05f64, 1.7f64, 0.9f64);
    let results = both(&[Array::scalar(y0), Array::scalar(rate)], |x| {
        let (y, ()) = scan_n(n, x[0], |_, y| (y - y * x[1] * h, ()));
        let [dy0, drate] = grad(y, [x[0], x[1]]);
        let [cross] = grad(dy0, [x[1]]);
        let [second] = grad(drate, [x[1]]);
        vec![y, dy0, drate, cross, second]
    });
    let (q, m) = (1.0 - rate * h, n as f64);
    let (p, p1, p2) = (q.powi(20), q.powi(19), q.powi(18));
    let expect = [y0 * p, p, -y0 * m * h * p1, -m * h * p1, y0 * m * (m - 1.0) * h * h * p2];
    close(&results, &expect.map(|value| vec![value]));
}

#[test]
fn several_carries_and_integers_beside_them() {
    // Fibonacci weights: the integer carries have no derivative and do no harm.
    let f = |x: &[Tensor]| {
        let one = x[0].dim_value(0) - 4i64;
        let init = (one, [one, one], x[1]);
        let ((_, _, sum), ys) =
            scan_indexed(init, (x[0], x[0].cast(backprop_core::DType::I64)), |k, (n, [a, b], s), (x, i)| {
                let weight = (a + (k - k) + (i - i)).cast(backprop_core::DType::F64);
                ((n + 1i64, [b, a + b], s * x.cos() + weight * x), (s * weight, n))
            });
        vec![sum, ys.0]
    };
    let unrolled = |x: &[Tensor]| {
        let mut s = x[1];
        let mut all = Vec::new();
        for (k, weight) in [1.0, 1.0, 2.0, 3.0, 5.0].into_iter().enumerate() {
            let own = row(x[0], k);
            all.push((s * weight).unsqueeze(0));
            s = s * own.cos() + own * weight;
        }
        vec![s, backprop_core::concat(&all, 0)]
    };
    same_function(&[array([5], 0.3), Array::scalar(0.6)], f, unrolled);
}

#[test]
fn reverse_runs_from_the_last_slice() {
    let x = array([4], 0.9);
    same_function(
        &[x, Array::scalar(0.5)],
        |x| {
            let (last, all) = scan_reverse(x[1], x[0], |c, x| ((c * x).sin() + x, c));
            vec![last, all]
        },
        |x| {
            let (mut c, mut all) = (x[1], Vec::new());
            for k in (0..4).rev() {
                let own = row(x[0], k);
                all.push(c.unsqueeze(0));
                c = (c * own).sin() + own;
            }
            all.reverse();
            vec![c, backprop_core::concat(&all, 0)]
        },
    );
}

#[test]
fn loops_in_loops_capture_from_two_levels() {
    let looped = |x: &[Tensor]| {
        let (outer, ys) = scan(x[0], x[1], |a, x1| {
            let (inner, ()) =
                scan_n(2, a, |k, b| ((b * x1 + x[2] * k.cast(backprop_core::DType::F64)).sin() * x[2], ()));
            (inner, inner * x[2])
        });
        vec![outer, ys]
    };
    let unrolled = |x: &[Tensor]| {
        let (mut a, mut all) = (x[0], Vec::new());
        for k in 0..3 {
            let x1 = row(x[1], k);
            for i in 0..2 {
                a = (a * x1 + x[2] * i as f64).sin() * x[2];
            }
            all.push((a * x[2]).unsqueeze(0));
        }
        vec![a, backprop_core::concat(&all, 0)]
    };
    same_function(&[Array::scalar(0.4), array([3], 0.7), Array::scalar(1.2)], looped, unrolled);
}

#[test]
fn one_tensor_in_every_role() {
    let looped = |x: &[Tensor]| vec![scan(x[0], x[0], |c, own| ((c * own).sin() + x[0], ())).0];
    let unrolled = |x: &[Tensor]| {
        let step = |c: Tensor, k| (c * row(x[0], k)).sin() + x[0];
        vec![(0..3).fold(x[0], step)]
    };
    same_function(&[array([3], 0.2)], looped, unrolled);
}

#[test]
fn each_branch_has_its_derivatives() {
    let f = |x: Tensor| cond(x.gt(1.0), || x * x * x, || x.exp());
    check(f, 2.0, [8.0, 12.0, 12.0, 6.0]);
    let e = 0.5f64.exp();
    check(f, 0.5, [e; 4]);
    // A branch may give a tensor of the surroundings as it is, twice, or not look at it.
    let g = |x: Tensor| {
        let (a, b) = cond(x.gt(0.0), || (x, x), || (x * 0.0 + 7.0, x.full_like(3.0)));
        a * b
    };
    check(g, 3.0, [9.0, 6.0, 2.0, 0.0]);
    check(g, -3.0, [21.0, 0.0, 0.0, 0.0]);
}

#[test]
fn branches_in_a_loop() {
    let f = |x: &[Tensor]| {
        let (last, all) = scan(x[0], x[1], |c, x1| {
            let next = cond(x1.gt(0.0), || (c * x1).exp(), || c - x1 * x[2]);
            (next, next)
        });
        vec![last, all]
    };
    let unrolled = |x: &[Tensor]| {
        let (mut c, mut all) = (x[0], Vec::new());
        for (k, positive) in [true, false, false, true].into_iter().enumerate() {
            let x1 = row(x[1], k);
            c = if positive { (c * x1).exp() } else { c - x1 * x[2] };
            all.push(c.unsqueeze(0));
        }
        vec![c, backprop_core::concat(&all, 0)]
    };
    same_function(&[Array::scalar(0.3), [0.5, -0.4, -1.0, 0.2].into(), Array::scalar(0.8)], f, unrolled);
}

#[test]
fn forward_agrees_with_reverse() {
    let results = both(&[array([3], 0.1), array([5, 3], 0.6), array([3], 0.3)], |x| {
        let (c, ys) = scan(x[0], x[1], |c, x1| ((c * x[2]).sin() + x1, (c * x1).sum(())));
        let tangents = jvp(&[c, ys], &[(x[0], x[2]), (x[1], x[1].cos()), (x[2], x[0])]);
        let (dc, dys) = (c * 0.5, ys.cos());
        let table = vjp(&[(c, dc), (ys, dys)], x);
        let forward = (tangents.tangents()[0] * dc).sum(()) + (tangents.tangents()[1] * dys).sum(());
        let d = table.gradients();
        let reverse = (d[0] * x[2]).sum(()) + (d[1] * x[1].cos()).sum(()) + (d[2] * x[0]).sum(());
        vec![forward - reverse]
    });
    assert!(results[0].item().unwrap().abs() < 1e-14);
}

#[test]
fn only_the_branch_taken_counts() {
    let f = |x: &[Tensor]| vec![cond(x[0].gt(0.0), || x[1].gather(0, x[2]), || x[1].slice_axis(0, 0, 1))];
    let inputs = |sign: f64| [Array::scalar(sign), [1.0, 2.0].into(), vec![9i64].into()];
    close(&both(&inputs(-1.0), f), &[vec![1.0]]);
    let tape = Tape::new();
    let x: Vec<Tensor> = inputs(1.0).iter().map(|array| tape.value(array.clone())).collect();
    let text = f(&x)[0].value().unwrap_err().to_string();
    for part in ["cond: gather: index 9", "out of range 0..2", "control.rs:"] {
        assert!(text.contains(part), "{text}");
    }
    let (_, ys) = scan((), vec![tape.value(vec![0i64, 1, 5])], |(), i| ((), x[1].gather(0, i[0])));
    let text = ys.value().unwrap_err().to_string();
    assert!(text.contains("scan: in iteration 2: gather: index 5"), "{text}");
}

#[test]
fn zeros_have_reasons() {
    let tape = Tape::new();
    let (x, w) = (tape.value(2.0).named("x"), tape.value(3.0).named("w"));
    let (y, ()) = scan_n(3, x, |_, c| (c * w.stop_gradient(), ()));
    let table = grad_table(y, &[w, x]);
    assert_eq!((table.gradients()[0].item().unwrap(), table.gradients()[1].item().unwrap()), (0.0, 27.0));
    let reason = table.reason(0).map(|reason| reason.to_string()).unwrap_or_default();
    assert!(reason.contains("scan: the body does not depend smoothly on it"), "{reason}");
    let z = cond(w.gt(0.0), || x * 2.0, || x);
    let reason = grad_table(z, &[w]).reason(0).map(|reason| reason.to_string()).unwrap_or_default();
    assert!(reason.contains("piecewise constant"), "{reason}");
    let frozen = cond(x.gt(0.0), || tape.no_grad(|| x * x), || x);
    assert_eq!(grad(frozen, [x])[0].item().unwrap(), 0.0);
}

/// The faults of running `f`, on a tape and through a graph.
#[track_caller]
fn refuses(f: impl Fn(Tensor, Tensor) -> Tensor, parts: &[&str]) {
    let tape = Tape::new();
    let eager = f(tape.full("f64[3]", 1.0), tape.full("f64[4]", 1.0)).value().unwrap_err().to_string();
    let graph = Graph::new();
    let symbolic = f(graph.input("a", "f64[3]"), graph.input("b", "f64[4]"));
    let symbolic = graph.check(&[symbolic]).unwrap_err().to_string();
    for text in [eager, symbolic] {
        for part in parts {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}

#[test]
fn ill_bodies_report_every_fault() {
    refuses(
        |a, b| scan_n(2, a, |_, c| ((c + b) * c.matmul(b), ())).0,
        &[
            "scan: the body is ill",
            "add: ",
            "matmul: inner dimensions differ",
            "f64[3]",
            "f64[4]",
            "control.rs:",
        ],
    );
    refuses(|a, b| cond(a.sum(()).gt(0.0), || a + b, || a), &["cond: branch `then` is ill", "add: "]);
    refuses(
        |a, b| scan_n(2, a, |_, c| (scan_n(2, c, |_, d| (d + b, ())).0, ())).0,
        &["scan: the body is ill", "add: "],
    );
    refuses(
        |a, b| scan_n(2, a, |_, _| (b, ())).0,
        &["the body changes the type of carry 0: f64[3] goes in, f64[4] comes out"],
    );
    refuses(|a, b| scan(a, (a, b), |c, _| (c, ())).0, &["the xs differ in length: 3 and 4", "axis 0 = 4"]);
    refuses(
        |a, b| cond(a.sum(()).gt(0.0), || a, || b),
        &["the branches differ: output 0 is f64[3] or f64[4]"],
    );
    refuses(|a, b| cond(b.gt(0.0), || a, || a), &["must be a bool scalar, not bool[4]", "select"]);
    refuses(|a, _| cond(a.sum(()).gt(0.0), || vec![a, a], || vec![a])[0], &["give 2 and 1 tensors"]);
    refuses(|a, _| scan_n(2, vec![a], |_, _| (vec![], ())).0[0], &["has 1 tensors, but the body gives 0"]);
    refuses(|a, _| scan(a, (), |c, ()| (c, ())).0, &["no xs", "scan_n"]);
    refuses(|a, b| scan_n(2, a + b, |_, c| (c * 2.0, ())).0, &["add: "]);
    refuses(|a, b| scan(a, a.sum(()), |c, x| (c * x, b)).0, &["xs need an axis"]);
}

#[test]
fn escaped_handles_are_found_out() {
    refuses(
        |a, _| {
            let mut escaped = None;
            let y = cond(
                a.sum(()).gt(0.0),
                || {
                    escaped = Some(a * 2.0);
                    a
                },
                || a,
            );
            y + escaped.unwrap()
        },
        &["escaped its body"],
    );
    refuses(
        |a, _| {
            let mut escaped = a;
            scan_n(2, a, |_, c| {
                escaped = c * 2.0;
                (c, ())
            });
            scan_n(2, a, |_, c| (c + escaped, ())).0
        },
        &["escaped its body"],
    );
    let (stale, ()) = scan_n(2, (), |_, ()| ((), ()));
    assert_eq!(stale, ());
    let (_, k) = scan_n(2, (), |k, ()| ((), k));
    assert!(k.value().unwrap_err().to_string().contains("belongs to no graph or tape"));
}

#[test]
fn a_loop_needs_a_live_tensor_to_belong_to() {
    let graph = Graph::new();
    let x = graph.input("x", "f64[3]");
    let (_, y) = scan_n(2, (), |_, ()| ((), x * 2.0));
    assert!(graph.check(&[y]).unwrap_err().to_string().contains("a tensor in init or xs"));
    let stale = Graph::new().input("z", "f64[3]");
    let (z, _) = scan_n(2, stale, |_, z| (z * 2.0, z));
    assert!(z.value().unwrap_err().to_string().contains("stale"));
    let z = cond(stale, || stale, || x);
    assert!(z.value().unwrap_err().to_string().contains("stale"));
}

#[test]
fn a_call_on_nothing_belongs_nowhere() {
    let graph = Graph::new();
    let x = graph.input("x", "f64[3]");
    let y = concat(&[], 0);
    assert!(y.value().unwrap_err().to_string().contains("belongs to no graph or tape"));
    let z = x * 2.0 + y;
    assert!(
        graph.check(&[z]).unwrap_err().to_string().contains("operand rhs: it belongs to no graph or tape")
    );
    assert!(!y.is(concat(&[], 0)));
}

#[test]
fn a_linear_loop_keeps_no_carries() {
    let n_scans = |f: fn(Tensor, Tensor) -> Tensor| {
        let graph = Graph::new();
        let (x, w) = (graph.input("x", "f64[]"), graph.input("w", "f64[]"));
        let (y, ()) = scan_n(9, x, |_, c| (f(c, w), ()));
        grad(y, [x]);
        graph.records().nodes().iter().filter(|node| matches!(node.op, Op::Scan(_))).count()
    };
    assert_eq!(n_scans(|c, w| c * w), 2, "the loop, and its reverse");
    assert_eq!(n_scans(|c, w| (c * w).sin()), 3, "the loop, once more with its carries, and its reverse");
}

#[test]
fn bodies_draw_from_streams_of_their_own() {
    let graph = Graph::new();
    let x = graph.input("x", "f64[]");
    let stream = || x.context().innermost().get().unwrap().streams().borrow_mut().next("dropout");
    let mut drawn = vec![stream()];
    for _ in 0..2 {
        let (then, otherwise) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
        let branch = |to: &std::cell::Cell<u32>| {
            to.set(stream());
            x
        };
        cond(x.gt(0.0), || branch(&then), || branch(&otherwise));
        drawn.extend([then.get(), otherwise.get()]);
    }
    let distinct: std::collections::HashSet<u32> = drawn.iter().copied().collect();
    assert_eq!(distinct.len(), 5, "{drawn:?}");
}

#[test]
fn names_inside_are_the_bodys_own() {
    let graph = Graph::new();
    let h = graph.input("h", "f64[3]");
    let (y, ()) = scan_n(2, h, |_, own| ((own * h + h).named("h"), ()));
    assert!(graph.check(&[y]).is_ok());
}

#[test]
fn assumptions_hold_in_bodies() {
    let graph = Graph::new();
    let (x, y) = (graph.input("x", "f64[T, 2]"), graph.input("y", "f64[N, 2]"));
    graph.assume("T", Dim::named("N"));
    let (sum, all) = scan(y.sum(0), (x, y), |c, (x, y)| (c + x * y, (x + y) * x));
    let [dx] = grad(sum.sum(()) + all.sum(()), [x]);
    assert!(graph.check(&[sum, all, dx]).is_ok());
}

#[test]
fn a_panic_in_a_body_closes_it() {
    let graph = Graph::new();
    let x = graph.input("x", "f64[]");
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let nothing: Option<Tensor> = None;
        cond(x.gt(0.0), || nothing.map(|x| [x]).expect("the closure's own panic")[0], || x)
    }));
    assert!(caught.is_err());
    let y = x * 2.0;
    assert_eq!(run(&graph, &[("x", Array::scalar(4.0))], &[y]).unwrap()[0].item().unwrap(), 8.0);
}

#[test]
fn a_body_may_use_its_tape_and_its_graph() {
    let tape = Tape::new();
    let x = tape.value(2.0);
    let (y, ()) = scan_n(3, x, |_, c| {
        let two = tape.value(2.0);
        (tape.scope(|scope| c * two + scope.full("f64[]", 1.0)), ())
    });
    assert_eq!(y.item().unwrap(), 23.0);
    let graph = Graph::new();
    let x = graph.input("x", "f64[]");
    let y = cond(x.gt(0.0), || x + graph.constant(3.0), || x * graph.input("z", "f64[]"));
    let text = graph.check(&[y]).unwrap_err().to_string();
    assert!(text.contains("an input belongs to the graph, not to a body"), "{text}");
}

#[test]
fn gradients_inside_bodies() {
    // Newton's method for x³ = a: the slope is asked for inside the loop.
    let root = |a: Tensor| {
        let (x, ()) = scan_n(30, a.ones_like(), |_, x| {
            let f = x * x * x - a;
            let [slope] = grad(f, [x]);
            (x - f / slope, ())
        });
        x
    };
    let a = 5.0f64;
    let expect = [
        a.cbrt(),
        a.powf(-2.0 / 3.0) / 3.0,
        -2.0 / 9.0 * a.powf(-5.0 / 3.0),
        10.0 / 27.0 * a.powf(-8.0 / 3.0),
    ];
    check(root, a, expect);
}

#[test]
fn one_graph_for_all_lengths() {
    let graph = Graph::new();
    let (x, c) = (graph.input("x", "f64[T, B]"), graph.input("c", "f64[B]"));
    let (last, all) = scan(c, x, |c, x| {
        let product = cond(x.sum(()).gt(-1e9), || c * x.full_like(1.0) * x, || c);
        (product, c.mean(()))
    });
    let (tail, ()) = scan_n(Dim::named("T"), last, |_, c| (c * 0.5, ()));
    let loss = tail.sum(()) + all.sum(());
    let [dx, dc] = grad(loss, [x, c]);
    for (n, width) in [(1usize, 2usize), (3, 1), (0, 2)] {
        let given = [("x", array([n, width], 0.3)), ("c", array([width], 0.8))];
        let results = run(&graph, &given, &[loss, dx, dc]).unwrap();
        let tape = Tape::new();
        let (x, c) = (tape.value(given[0].1.clone()), tape.value(given[1].1.clone()));
        let (mut own, mut terms) = (c, c.full_like(0.0).sum(()));
        for k in 0..n {
            terms = terms + own.mean(());
            own = own * row(x, k);
        }
        let expect = own.sum(()) * 0.5f64.powi(n as i32) + terms;
        let [ex, ec] = grad(expect, [x, c]);
        let expect: Vec<Vec<f64>> =
            [expect, ex, ec].iter().map(|value| value.value().unwrap().to_f64s()).collect();
        close(&results, &expect);
    }
}

#[test]
fn iterations_draw_different_numbers() {
    let ys = both(&[vec![1u32, 2, 3, 4].into()], |key| {
        let same = scan_n(2, (key[0], key[0]), |_, c| (c, c.0.uniform(backprop_core::DType::F64, [4]))).1;
        let folded = |k: Tensor| key[0].fold_in(k).uniform(backprop_core::DType::F64, [4]);
        let ys = scan_n(2, key[0], |k, c| (c, folded(k))).1;
        vec![same, ys]
    });
    let (same, folded) = (ys[0].to_f64s(), ys[1].to_f64s());
    assert_eq!(same[..4], same[4..]);
    assert_ne!(folded[..4], folded[4..]);
}

/// A key is folded by one call of Philox; `block` is checked against its published answers.
#[test]
fn steps_and_iterations_do_not_meet() {
    let folded = |step: u32, k: i64| -> Vec<i64> {
        let tape = Tape::new();
        tape.value(vec![7u32, 9, 3, step]).fold_in(tape.value(k)).value().unwrap().to_i64s()
    };
    for (step, k) in [(0u32, 0i64), (5, 1), (6758, 0), (u32::MAX, 1 << 31)] {
        let apart = 9u32.wrapping_add(0x9E37_79B9).wrapping_add(k as u32);
        let words = backprop_core::random::block([7, apart, 3, step], 0);
        assert_eq!(folded(step, k), [7, 9, i64::from(words[1]), i64::from(words[3])], "{step}, {k}");
    }
    // Under a·step + b·k these two were one.
    assert_ne!(folded(0, 574), folded(6758, 0));
    let mut all: Vec<Vec<i64>> = (0..30).flat_map(|step| (0..30).map(move |k| folded(step, k))).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 900);
}

#[test]
fn equal_bodies_are_equal() {
    let graph = Graph::new();
    let x = graph.input("x", "f64[3]");
    let op = |factor: f64| cond(x.sum(()).gt(0.0), || x * factor, || x).get_operation();
    assert!(op(2.0).is_some());
    assert_eq!(op(2.0), op(2.0));
    assert_ne!(op(2.0), op(3.0));
}

#[test]
fn many_captures_and_many_parts_cost_their_number() {
    let tape = Tape::new();
    let parts: Vec<Tensor> = (0..20_000).map(|i| tape.value(Array::vector(vec![i as f64]))).collect();
    let start = std::time::Instant::now();
    let all = backprop_core::concat(&parts, 0);
    let table = backprop_ad::grad_table((all * all).sum(()), &parts);
    assert_eq!(table.gradients()[777].value().unwrap().to_f64s(), [2.0 * 777.0]);
    // Each use of a value of the surroundings finds its parameter at once.
    let taken = tape.value(Array::from(true));
    let sum = || parts.iter().fold(parts[0], |sum, &part| sum + part);
    let y = cond(taken, || vec![sum()], || vec![sum() * 2.0])[0];
    assert_eq!(y.value().unwrap().to_f64s(), [19_999.0 * 10_000.0]);
    // Were each use to walk the list, it would be 4·10⁸ looks.
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

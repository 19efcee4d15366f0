//! Compiling and running a graph: what is given, what is missing, and the sizes of named dimensions.

use backprop_ad::{grad, jvp, vjp};
use backprop_core::{Array, DType, Dim, Error, Graph, Tensor, cond, ops::Axes};
use backprop_run::{compile, compile_given, run};

fn ones(sizes: &[usize]) -> Array {
    Array::new(sizes, vec![1.0; sizes.iter().product()]).unwrap()
}

#[track_caller]
fn says(result: Result<impl Sized, Error>, parts: &[&str]) {
    let text = result.err().map(|error| error.to_string()).unwrap_or_default();
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
}

#[test]
fn every_missing_or_repeated_input_is_named() {
    let g = Graph::new();
    let (a, b, c) = (g.input("a", "f64[2]"), g.input("b", "f64[2]"), g.input("c", "f64[2]"));
    let (z, ill) = (a + b * c, g.input("bad", "f64["));
    let missing = compile(&g, &[a, a], &[z]);
    says(missing, &["input a is given twice", "input b is needed", "input c is needed", "executable.rs:22"]);
    says(compile(&g, &[a, b, c, ill], &[z]), &["input: type `f64[`"]);
    let [x, y] = [("a", ones(&[2])), ("b", ones(&[2]))];
    says(run(&g, &[x.clone(), y.clone(), x, ("c", ones(&[2]))], &[z]), &["input a is given twice"]);
    let unknown = [y, ("d", ones(&[2])), ("e", ones(&[2]))];
    says(run(&g, &unknown, &[z]), &["no input called `d`", "no input called `e`"]);
}

#[test]
fn a_value_between_may_be_given() {
    let g = Graph::new();
    let x = g.input("x", "f64[3]");
    let (y, i) = x.max_with_index(0);
    let z = (y + 1.0) * 2.0;
    // The index is still computed from x; the value is as given, in both.
    let results =
        compile(&g, &[x, y], &[i, z, y]).unwrap().run(&[[1.0, 5.0, 2.0].into(), 10.0.into()]).unwrap();
    assert_eq!(results.iter().map(|y| y.item().unwrap()).collect::<Vec<_>>(), [1.0, 22.0, 10.0]);
    assert_eq!(compile(&g, &[y], &[z]).unwrap().run(&[10.0.into()]).unwrap()[0].item().unwrap(), 22.0);
}

fn escaped_to(place: &mut Tensor, value: Tensor) -> &Tensor {
    *place = value;
    place
}

#[test]
fn handles_from_elsewhere_are_found_out() {
    let g = Graph::new();
    let other = Graph::new();
    let (x, foreign) = (g.input("x", "f64[3]"), other.input("far away", "f64[3]"));
    let stale = Graph::new().input("s", "f64[3]");
    says(g.check(&[x, foreign]), &["belongs to another graph or tape"]);
    says(g.check(&[stale]), &["stale"]);
    says(compile(&g, &[foreign], &[x]), &["belongs to another graph or tape"]);
    // A fault says what the foreign operand is where it lives.
    says(g.check(&[x + foreign]), &["operand rhs: ", "lhs  x ", "rhs  far away  f64[3]  ", "executable.rs:"]);
    says(other.check(&[foreign + x]), &["operand rhs: ", "lhs  far away"]);
    says(g.check(&[x + stale]), &["stale", "operand rhs: ", "rhs  ?"]);
    says((stale + x).value(), &["stale", "operand lhs: "]);
    says(g.check(&[foreign.select(x, x)]), &["belongs to another"]);
    // So do derivatives, compiling and givens.
    let mut escaped = x;
    let y = cond(x.sum(()).gt(0.0), || *escaped_to(&mut escaped, x * 2.0), || x).sum(());
    says(g.check(&grad(y, [escaped])), &["target 0: it escaped its body"]);
    says(g.check(&grad(y, [stale])), &["target 0: it is stale"]);
    says(g.check(&[vjp(&[(y, y), (stale, stale)], &[x]).gradients()[0]]), &["output 1: it is stale"]);
    says(g.check(&[jvp(&[y], &[(foreign, foreign)]).tangents()[0]]), &["an input: it belongs to another"]);
    says(compile(&g, &[x], &[escaped]), &["an input or output: it escaped its body"]);
    says(compile_given(&g, &[x], &[y], &[(x, stale)]), &["a given value: it is stale"]);
    says(escaped.value(), &["the value: it escaped its body"]);
}

/// Runs the product of the first and the last of x's elements that `f` takes.
fn shifted(size: usize, f: impl Fn(&Graph) -> (Tensor, Tensor, Tensor)) -> Result<Vec<Array>, Error> {
    let g = Graph::new();
    let (x, a, b) = f(&g);
    let z = (a * b).sum(());
    let [dx] = grad(z, [x]);
    compile(&g, &[x], &[z, dx])?.run(&[Array::from((0..size).map(|i| i as f64).collect::<Vec<_>>())])
}

#[test]
fn a_name_that_stands_in_no_input_by_itself_is_solved_for() {
    let of_next = |g: &Graph| {
        let (x, t) = (g.input("x", "f64[T + 1]"), Dim::named("T"));
        (x, x.slice_axis(0, 0usize, t), x.slice_axis(0, 1usize, t + 1))
    };
    let results = shifted(4, of_next).unwrap();
    assert_eq!((results[0].item().unwrap(), results[1].to_f64s()), (8.0, vec![1.0, 2.0, 4.0, 2.0]));
    assert_eq!(shifted(1, of_next).unwrap()[0].item().unwrap(), 0.0);
    says(shifted(0, of_next), &["x is declared f64[T + 1], but f64[0] was given: dimension T has no size"]);
    let halves = |g: &Graph| {
        let x = g.input("x", "f64[B]");
        g.assume("B", Dim::named("H") * 2);
        let pairs = x.reshape([Dim::Size(2), Dim::named("H")]);
        (x, pairs.slice_axis(0, 0usize, 1usize), pairs.slice_axis(0, 1usize, 2usize))
    };
    assert_eq!(shifted(6, halves).unwrap()[1].to_f64s(), [3.0, 4.0, 5.0, 0.0, 1.0, 2.0]);
    says(shifted(5, halves), &["H has no size"]);
}

#[test]
fn assumptions_hold_in_any_order_and_are_checked() {
    let sum = |assume: &[(&str, Dim)]| {
        let g = Graph::new();
        let (x, y) = (g.input("x", "f64[A]"), g.input("y", "f64[B]"));
        let known = g.input("known", "f64[5]");
        assume.iter().for_each(|&(name, dim)| g.assume(name, dim));
        let z = x + y + known;
        let given = |n: usize| [("x", ones(&[n])), ("y", ones(&[5])), ("known", ones(&[5]))];
        g.check(&[z]).and_then(|()| run(&g, &given(5), &[z]))?;
        run(&g, &given(4), &[x * 2.0])
    };
    let (a, b, c) = (Dim::named("A"), Dim::named("B"), Dim::named("C"));
    for assume in [
        &[("A", b), ("B", 5.into())][..],
        &[("B", 5.into()), ("A", b)],
        &[("C", a), ("C", b), ("C", 5.into())],
        &[("A", c), ("B", 5.into()), ("C", b)],
        &[("A", b), ("B", a), ("A", 5.into())],
    ] {
        // An array that breaks what was assumed is refused, though nothing that is computed would mind.
        says(sum(assume), &["is assumed to be ", "5, but it is 4"]);
    }
    says(sum(&[("A", b)]), &["shapes differ"]);
    let even = a.div_floor(2.into()).unwrap() * 2;
    says(sum(&[("A", 5.into()), ("B", a), ("A", even)]), &["A is assumed to be 2*(A // 2) = 4, but it is 5"]);
    says(sum(&[("A", b), ("A", 5.into()), ("B", 6.into())]), &["B is assumed to be 6, but it is 5"]);
}

#[test]
fn what_was_made_before_an_assumption_follows_it() {
    let g = Graph::new();
    let (x, y) = (g.input("x", "f64[B, 3]"), g.input("y", "f64[2*H, 1]"));
    let row = x.slice_axis(0, 1usize, "B");
    g.assume("B", Dim::named("H") * 2);
    // Shapes that are the same only by the assumption: to broadcast, to reshape back, to pad.
    let z = (x * y + y).maximum(x).reshape([Dim::Size(2), Dim::named("H"), 3.into()]);
    let loss = z.square().sum(()) + row.square().sum(());
    let [dx, dy] = grad(loss, [x, y]);
    let [d2x] = grad(dx.square().sum(()) + dy.sum(()), [x]);
    assert_eq!(backprop_core::verify::verify(&g.records()), Ok(()));
    let given = [("x", ones(&[4, 3])), ("y", ones(&[4, 1]))];
    let results = run(&g, &given, &[loss, dx, dy, d2x]).unwrap();
    // x·y + y = 2 everywhere: Σ4 over 12, and Σ1 over 9; dx = 2·2·y, and 2x but in the first row.
    assert_eq!(results[0].item().unwrap(), 57.0);
    assert_eq!(results[1].to_f64s()[2..4], [4.0, 6.0]);
    assert_eq!((results[2].sizes(), results[3].sizes()), (&[4, 1][..], &[4, 3][..]));
    let wrong = [("x", ones(&[3, 3])), ("y", ones(&[4, 1]))];
    says(run(&g, &wrong, &[loss]), &["B is assumed to be 2*H = 4, but it is 3"]);
}

#[test]
fn a_symbolic_size_may_be_zero() {
    let g = Graph::new();
    let x = g.input("x", "f64[B, 3]");
    let every_other = x.slice([0usize, 0], [Dim::named("B"), 3.into()], [2usize, 1]);
    let [dx] = grad(every_other.square().sum(()), [x]);
    for (n, rows) in [(0usize, 0usize), (1, 1), (2, 1), (5, 3)] {
        let results = run(&g, &[("x", ones(&[n, 3]))], &[every_other, dx]).unwrap();
        assert_eq!((results[0].sizes(), results[1].sizes()), (&[rows, 3][..], &[n, 3][..]));
        let expect: Vec<f64> = (0..3 * n).map(|i| if i / 3 % 2 == 0 { 2.0 } else { 0.0 }).collect();
        assert_eq!(results[1].to_f64s(), expect);
    }
}

#[test]
fn a_run_with_other_sizes_is_a_run_of_its_own() {
    let g = Graph::new();
    let (x, w) = (g.input("x", "f64[B, 3]"), g.input("w", "f64[3]"));
    let y = (x * w).slice([Dim::Size(0), 1usize.into()], [Dim::named("B"), 3.into()], [1usize, 1]).sum(0);
    let mean = y / x.dim_value(0).cast(DType::F64);
    let step = compile(&g, &[x, w], &[mean]).unwrap();
    // More sets of sizes than are kept, in an order that meets old ones again.
    for n in (1..=20).chain((1..=20).rev()).chain([3, 3, 4]) {
        let x = Array::full(DType::F64, &[n, 3], n as f64).unwrap();
        let found = step.run(&[x, Array::from([1.0, 2.0, 3.0])]).unwrap();
        assert_eq!(found[0].to_f64s(), [2.0 * n as f64, 3.0 * n as f64]);
    }
    // A wrong size is refused each time, and spoils nothing.
    for _ in 0..2 {
        assert!(
            step.run(&[Array::zeros(DType::F64, &[2, 4]).unwrap(), Array::from([1.0, 2.0, 3.0])]).is_err()
        );
    }
    std::thread::scope(|threads| {
        for n in [3usize, 30] {
            let step = &step;
            threads.spawn(move || {
                let x = Array::full(DType::F64, &[n, 3], 1.0).unwrap();
                assert_eq!(step.run(&[x, Array::from([1.0, 2.0, 3.0])]).unwrap()[0].to_f64s(), [2.0, 3.0]);
            });
        }
    });
}

#[test]
fn what_is_not_finite_is_told_of_a_fold_over_any_axes() {
    let g = Graph::new();
    let x = g.input("x", "f32[3, 5, 7]");
    for bits in 0..8usize {
        let axes: Vec<usize> = (0..3).filter(|axis| bits >> axis & 1 == 1).collect();
        let axes = Axes::new(&axes);
        for (at, watched) in [vec![true, false], vec![false, true]].into_iter().enumerate() {
            let folds = compile(&g, &[x], &[x.sum(axes), x.max(axes)]).unwrap().watching(watched);
            for (value, is_finite) in [(1.0f32, true), (f32::NAN, false), (f32::INFINITY, false)] {
                let mut values = vec![1.0f32; 105];
                values[52] = value;
                let array = Array::new([3, 5, 7], values).unwrap();
                let told = folds.run_watching(&[array], &mut Vec::new()).unwrap();
                assert_eq!(told, is_finite, "output {at} over {axes:?} of {value}");
            }
        }
    }
}

#[test]
fn a_product_written_twice_less_itself_is_nothing() {
    let g = Graph::new();
    let (a, b) = (g.input("a", "f64[3]"), g.input("b", "f64[3]"));
    let difference = compile(&g, &[a, b], &[a * b - b * a]).unwrap();
    let found = difference.run(&[[0.1, 0.2, 0.7].into(), [0.3, 0.7, 0.9].into()]).unwrap();
    assert_eq!(found[0].to_f64s(), [0.0; 3]);
}

#[test]
fn a_fault_is_found_in_elements_that_nobody_reads() {
    let g = Graph::new();
    let (x, i, n) = (g.input("x", "f32[5]"), g.input("i", "i64[3]"), g.input("n", "i64[2, 0]"));
    let (picked, quotient) = (x.gather(0, i), (i + 7) / i);
    let outputs = [
        picked.slice_axis(0, 0usize, 1usize),
        picked.slice_axis(0, 0usize, 0usize),
        quotient.slice_axis(0, 1usize, 2usize),
        quotient.slice_axis(0, 0usize, 2usize).unsqueeze(1).broadcast_to([2usize, 0]) + n,
    ];
    for output in outputs {
        let part = compile(&g, &[x, i, n], &[output]).unwrap();
        let run = |i: [i64; 3]| {
            part.run(&[ones(&[5]).cast(DType::F32), i.into(), Array::zeros(DType::I64, &[2, 0]).unwrap()])
        };
        assert_eq!(run([1, 2, 3]).unwrap().len(), 1);
        says(run([1, 2, 5]).and(run([1, 2, 0])), &["executable.rs:"]);
    }
}

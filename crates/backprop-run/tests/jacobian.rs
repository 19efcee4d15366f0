//! Jacobians and Hessians against closed forms, on a tape and in a graph.

use backprop_ad::{grad, hessian, jacobian};
use backprop_core::{Array, DType, Graph, Tensor, Type};
use backprop_run::{Tape, run};

/// What `f` computes from `inputs`, on a tape and through a graph; both must be the same.
fn both(f: impl Fn(&[Tensor]) -> Vec<Tensor>, inputs: &[Array]) -> Vec<Array> {
    let tape = Tape::new();
    let x: Vec<Tensor> = inputs.iter().map(|array| tape.value(array.clone())).collect();
    let eager: Vec<Array> = f(&x).iter().map(|y| y.value().unwrap()).collect();
    let graph = Graph::new();
    let names: Vec<String> = (0..inputs.len()).map(|idx| format!("x{idx}")).collect();
    let x: Vec<Tensor> = (names.iter().zip(inputs))
        .map(|(name, array)| graph.input(name, Type::new(array.dtype(), array.sizes())))
        .collect();
    let given: Vec<(&str, Array)> = names.iter().map(|name| name.as_str()).zip(inputs.to_vec()).collect();
    let symbolic = run(&graph, &given, &f(&x)).unwrap();
    assert!(eager.iter().zip(&symbolic).all(|(a, b)| a.same_bits(b)), "{eager:?} {symbolic:?}");
    eager
}

#[track_caller]
fn check(f: impl Fn(&[Tensor]) -> Vec<Tensor>, inputs: &[Array], expect: &[Array]) {
    let found = both(f, inputs);
    assert_eq!(found.len(), expect.len());
    for (found, expect) in found.iter().zip(expect) {
        assert_eq!((found.sizes(), found.dtype()), (expect.sizes(), expect.dtype()));
        for (a, b) in found.to_f64s().iter().zip(expect.to_f64s()) {
            assert!((a - b).abs() <= 1e-12 * b.abs().max(1.0), "{found:?} is not {expect:?}");
        }
    }
}

fn array(sizes: &[usize], value: impl Fn(usize) -> f64) -> Array {
    let n = sizes.iter().product();
    Array::new(sizes, (0..n).map(value).collect()).unwrap()
}

fn wave(sizes: &[usize]) -> Array {
    array(sizes, |i| (1.7 * i as f64 + 0.3).sin())
}

#[test]
fn of_a_matrix_in_both_operands() {
    // y = A·B: ∂y[i,j]/∂A[k,l] = δik·B[l,j], ∂y[i,j]/∂B[k,l] = A[i,k]·δjl
    let (a, b) = (wave(&[2, 3]), wave(&[3, 5]));
    let (av, bv) = (a.to_f64s(), b.to_f64s());
    let da = array(&[2, 5, 2, 3], |n| {
        let (i, j, k, l) = (n / 30, n / 6 % 5, n / 3 % 2, n % 3);
        if i == k { bv[l * 5 + j] } else { 0.0 }
    });
    let db = array(&[2, 5, 3, 5], |n| {
        let (i, j, k, l) = (n / 75, n / 15 % 5, n / 5 % 3, n % 5);
        if j == l { av[i * 3 + k] } else { 0.0 }
    });
    check(|x| jacobian(&[x[0].matmul(x[1])], x).concat(), &[a, b], &[da, db]);
}

#[test]
fn forward_mode_where_inputs_are_fewer() {
    // y = (x₀·v, x₁·v): 2 inputs, 10 outputs.
    let v = wave(&[5]);
    let vv = v.to_f64s();
    let expect = array(&[2, 5, 2], |n| if n / 10 == n % 2 { vv[n / 2 % 5] } else { 0.0 });
    let outer = |x: &[Tensor]| {
        let rows = x[0].reshape([2, 1]).broadcast_to([2usize, 5]) * x[1].stop_gradient();
        jacobian(&[rows], &x[..1]).concat()
    };
    check(outer, &[wave(&[2]), v], &[expect]);
}

#[test]
fn of_several_outputs() {
    let x = wave(&[3]);
    let v = x.to_f64s();
    let expect = [
        array(&[3, 3], |n| if n / 3 == n % 3 { 2.0 * v[n % 3] } else { 0.0 }),
        array(&[3], |_| 1.0),
        array(&[2, 3], |n| if n % 3 < 2 && n / 3 == n % 3 { v[n % 3].exp() } else { 0.0 }),
    ];
    let f = |x: &[Tensor]| {
        let x = x[0];
        jacobian(&[x.square(), x.sum(()), x.slice_axis(0, 0, 2).exp()], &[x]).concat()
    };
    check(f, &[x], &expect);
}

#[test]
fn of_rank_0_and_of_nothing() {
    check(|x| jacobian(&[x[0].sin()], x).concat(), &[Array::scalar(0.5)], &[Array::scalar(0.5f64.cos())]);
    let empty = array(&[0, 3], |_| 0.0);
    check(
        |x| jacobian(&[x[0].sin()], x).concat(),
        std::slice::from_ref(&empty),
        &[array(&[0, 3, 0, 3], |_| 0.0)],
    );
    check(
        |x| jacobian(&[x[0].sum(1)], x).concat(),
        std::slice::from_ref(&empty),
        &[array(&[0, 0, 3], |_| 0.0)],
    );
    check(|x| jacobian(&[x[0].sum(())], x).concat(), &[empty], &[array(&[0, 3], |_| 0.0)]);
    let tape = Tape::new();
    assert!(jacobian(&[], &[tape.value(1.0)]).is_empty());
    assert!(matches!(&jacobian(&[tape.value(1.0)], &[])[..], [row] if row.is_empty()));
}

#[test]
fn an_unrelated_or_integer_input_has_zeros() {
    let f = |x: &[Tensor]| jacobian(&[x[0].square()], &[x[1], x[2]]).concat();
    let inputs = [wave(&[2]), wave(&[3]), Array::from([1i64, 2])];
    check(f, &inputs, &[array(&[2, 3], |_| 0.0), array(&[2, 2], |_| 0.0).cast(DType::F32)]);
}

#[test]
fn blocks_have_the_type_of_their_input_in_both_directions() {
    let narrow = |x: &[Tensor]| jacobian(&[x[0].cast(DType::F32) * 2.0], x).concat();
    check(narrow, &[wave(&[1])], &[array(&[1, 1], |_| 2.0)]);
    let spread = |x: &[Tensor]| jacobian(&[x[0].cast(DType::F32).broadcast_to([3usize])], x).concat();
    check(spread, &[wave(&[1])], &[array(&[3, 1], |_| 1.0)]);
}

#[test]
fn a_hessian_is_the_second_derivative() {
    // z = Σ x³/6 + x₀·x₁: H = diag(x) with 1 at (0, 1) and (1, 0).
    let x = wave(&[3]);
    let v = x.to_f64s();
    let h = array(&[3, 3], |n| match (n / 3, n % 3) {
        (i, j) if i == j => v[i],
        (0, 1) | (1, 0) => 1.0,
        _ => 0.0,
    });
    let z = |x: Tensor| {
        (x * x * x / 6.0).sum(())
            + x.slice_axis(0, 0, 1).reshape(backprop_core::Shape::SCALAR)
                * x.slice_axis(0, 1, 2).reshape(backprop_core::Shape::SCALAR)
    };
    check(|x| vec![hessian(z(x[0]), x[0])], &[x], &[h]);
}

#[test]
fn a_jacobian_is_differentiated_again() {
    // J = diag(3x²); ∂ΣJ/∂x = 6x.
    let x = wave(&[3]);
    let six_x = array(&[3], |i| 6.0 * x.to_f64s()[i]);
    let f = |x: &[Tensor]| grad(jacobian(&[x[0] * x[0] * x[0]], x)[0][0].sum(()), [x[0]]).to_vec();
    check(f, std::slice::from_ref(&x), &[six_x]);
}

#[test]
fn what_cannot_be_is_a_clear_fault() {
    let graph = Graph::new();
    let fault = |value: Tensor, part: &str| {
        let text = graph.check(&[value]).unwrap_err().to_string();
        assert!(text.contains(part) && text.contains("jacobian.rs:"), "{text}");
    };
    let x = graph.input("x", "f64[B]");
    fault(jacobian(&[x.exp()], &[x])[0][0], "needs sizes that are numbers");
    let n = graph.input("n", "i64[2]");
    fault(jacobian(&[n + 1i64], &[n])[0][0], "output 0 is i64[2]");
    let deep = graph.input("deep", "f64[1, 1, 1, 1, 1]");
    fault(jacobian(&[deep.exp()], &[deep])[0][0], "more than eight axes");
}

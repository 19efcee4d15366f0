//! An axis below 0 counts from the end, in every call that takes one, as in PyTorch.

use backprop_core::{DType, Graph, Tensor, concat};
use backprop_run::Tape;

#[test]
fn an_axis_below_0_counts_from_the_end() {
    let tape = Tape::new();
    let x = (tape.iota("f64[2, 3, 5]", -1) * 0.7 - tape.iota("f64[2, 3, 5]", 1)).sin();
    let (at, updates) = (tape.value(vec![2i64, 0]), tape.full("f64[2, 3, 2]", 0.5));
    let check = |name: &str, f: &dyn Fn(i64) -> Tensor| {
        let [end, front] = [-1, 2].map(|axis| f(axis).value().unwrap());
        assert!(end.same_bits(&front) && end.sizes() == front.sizes(), "{name}: {end} is not {front}");
    };
    check("sum", &|axis| x.sum(axis));
    check("max", &|axis| x.max([axis, 0]));
    check("mean", &|axis| x.mean(axis));
    check("logsumexp", &|axis| x.logsumexp(axis));
    check("any", &|axis| x.gt(0.0).any(axis));
    check("softmax", &|axis| x.softmax(axis));
    check("log_softmax", &|axis| x.log_softmax(axis));
    check("argmax", &|axis| x.argmax(axis));
    check("max_with_index", &|axis| x.max_with_index(axis).0);
    check("gather", &|axis| x.gather(axis, at));
    check("scatter_add", &|axis| x.scatter_add(axis, at, updates));
    check("slice_axis", &|axis| x.slice_axis(axis, 1, 4));
    check("dim_value", &|axis| x.dim_value(axis));
    check("iota_like", &|axis| x.iota_like(axis, DType::I64));
    check("concat", &|axis| concat(&[x, x], axis));
    check("transpose", &|axis| x.transpose(&[axis, 0, 1]));
    check("unsqueeze", &|axis| x.unsqueeze(if axis < 0 { -2 } else { 2 }));
    assert_eq!(x.unsqueeze(-1).value().unwrap().sizes(), [2, 3, 5, 1]);
    assert_eq!(tape.iota("i64[4]", -1).value().unwrap().to_i64s(), [0, 1, 2, 3]);
    let (axis, small) = (2usize, -1i32);
    assert!(x.sum(axis).value().unwrap().same_bits(&x.sum(small).value().unwrap()));
}

#[test]
fn an_axis_that_is_not_there_is_a_fault() {
    let g = Graph::new();
    let (x, at) = (g.input("x", "f64[B, 3]"), g.input("at", "i64[2]"));
    let check = |z: Tensor, rule: &str| {
        let error = z.value().unwrap_err().to_string();
        assert!(error.contains(rule) && error.contains("tests/axes.rs"), "{error}");
    };
    for axis in [2, -3, i64::MIN, i64::MAX] {
        let rule = format!("axis {axis} is out of range for [B, 3]");
        check(x.sum(axis), &rule);
        check(x.gather(axis, at), &rule);
        check(x.max_with_index(axis).1, &rule);
        check(x.slice_axis(axis, 0, 1), &rule);
        check(x.transpose(&[0, axis]), &rule);
        check(concat(&[x, x], axis), &rule);
        check(g.iota("f64[B, 3]", axis), &rule);
    }
    check(x.unsqueeze(-4), "no place for a new axis -4 in [B, 3]");
    check(x.unsqueeze(3), "no place for a new axis 3 in [B, 3]");
    // The fault of the other operand is told too.
    let ill = x + g.input("y", "f64[7, 7]");
    check(ill.gather(-1, at.sum(5)), "axis 5 is out of range");
}

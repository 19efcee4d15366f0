//! What derivatives cost: the FLOPs of value and gradient, over those of the value.

use std::collections::BTreeMap;

use backprop_ad::vjp;
use backprop_core::ops::Family;
use backprop_core::{DType, Graph, Op, Tensor, Type, scan_n};
use backprop_opt::flops;
use backprop_opt::simplify::{Options, simplify};

/// The FLOPs of the value, and of value and gradient, where the cotangents are given.
fn costs(g: &Graph, y: &[Tensor], x: &[Tensor]) -> (u64, u64) {
    let name = |i: usize| format!("cotangent{i}");
    let is_float = |x: &&Tensor| x.dtype().is_some_and(DType::is_float);
    let seed = |(i, &y): (usize, &Tensor)| (y, g.input(&name(i), y.ty().expect("well-typed")));
    let seeds: Vec<(Tensor, Tensor)> = y.iter().filter(is_float).enumerate().map(seed).collect();
    let x: Vec<Tensor> = x.iter().filter(is_float).copied().collect();
    let dx = vjp(&seeds, &x).gradients().to_vec();
    let cost = |roots: &[Tensor]| {
        let roots: Vec<u32> = roots.iter().map(|root| root.id()).collect();
        let simplified = simplify(&g.records(), &roots, Options::EXACT).expect("well-typed");
        flops(&simplified.records, &simplified.roots).expect("sizes are numbers")
    };
    (cost(y), cost(&[y, &dx[..]].concat()))
}

/// The costs of `f` at inputs of these types.
fn at(types: &[&str], f: impl Fn(&[Tensor]) -> Tensor) -> (u64, u64) {
    let g = Graph::new();
    let x: Vec<Tensor> = types.iter().enumerate().map(|(i, ty)| g.input(&format!("x{i}"), *ty)).collect();
    costs(&g, &[f(&x)], &x)
}

#[test]
fn a_gradient_costs_at_most_four_values_more() {
    let mut rows: BTreeMap<String, (f64, u64, u64)> = BTreeMap::new();
    let mut note = |name: &str, (value, both): (u64, u64)| {
        // What costs nothing has no ratio.
        if value > 0 {
            let ratio = both as f64 / value as f64;
            let row = rows.entry(name.to_string()).or_insert((ratio, value, both));
            *row = if ratio > row.0 { (ratio, value, both) } else { *row };
        }
    };
    for (op, inputs) in Op::samples() {
        if matches!(op.family(), Family::None(_)) || inputs.is_empty() {
            continue;
        }
        let g = Graph::new();
        let name = |i: usize| format!("x{i}");
        let x: Vec<Tensor> = inputs
            .iter()
            .enumerate()
            .map(|(i, x)| g.input(&name(i), Type::new(x.dtype(), x.sizes())))
            .collect();
        let line = backprop_core::graph::place::Line::Code(std::panic::Location::caller());
        let y: Vec<Tensor> = g.id().emit(op.clone(), &x, line).iter().collect();
        note(op.name(), costs(&g, &y, &x));
    }
    let mlp = |x: &[Tensor]| {
        let h = (x[0].matmul(x[1].t()) + x[2]).relu();
        (h.matmul(x[3].t()) + x[4]).cross_entropy(x[5])
    };
    let lecture = |x: &[Tensor]| {
        // MLP with a quadratic penalty (the lecture's forward propagation).
        let h = (x[0].matmul(x[1].t()) + x[2]).tanh();
        let y = h.matmul(x[3].t()) + x[4];
        (y - x[5]).square().sum(()) + (x[1].square().sum(()) + x[3].square().sum(())) * 0.01
    };
    let sizes = ["f32[32, 64]", "f32[16, 64]", "f32[16]", "f32[10, 16]", "f32[10]"];
    note("network: relu, cross entropy", at(&[&sizes[..], &["i64[32]"]].concat(), mlp));
    note("network: tanh, squares, penalty", at(&[&sizes[..], &["f32[32, 10]"]].concat(), lecture));
    note("network: three scalars", at(&["f64[]", "f64[]", "f64[]"], |x| (x[0] * x[1]).tanh() * x[2] + x[1]));
    note("softmax", at(&["f32[7, 5]"], |x| x[0].softmax(-1)));
    note(
        "layer_norm",
        at(&["f32[7, 5]", "f32[5]", "f32[5]"], |x| x[0].layer_norm(Some(x[1]), Some(x[2]), 1e-5)),
    );
    note("gelu", at(&["f32[7]"], |x| x[0].gelu()));
    note(
        "loop of a network",
        at(&["f64[7]", "f64[7, 7]"], |x| {
            let w = x[1];
            scan_n(5usize, x[0], |_, h| (w.matmul(h).tanh(), ())).0
        }),
    );
    println!("{:<32} {:>9} {:>9} {:>6}", "", "value", "both", "ratio");
    for (name, (ratio, value, both)) in &rows {
        println!("{name:<32} {value:>9} {both:>9} {ratio:>6.2}");
    }
    let above: Vec<&String> = rows.iter().filter(|(_, row)| row.0 > 5.0).map(|(name, _)| name).collect();
    assert!(above.is_empty(), "above 5: {above:?}");
}

#[test]
fn flops_are_counted_as_stated() {
    let count = |types: &[&str], f: &dyn Fn(&[Tensor]) -> Tensor| {
        let g = Graph::new();
        let x: Vec<Tensor> = types.iter().enumerate().map(|(i, ty)| g.input(&format!("x{i}"), *ty)).collect();
        let y = f(&x);
        flops(&g.records(), &[y.id()]).map_err(|error| error.faults()[0].rule.clone())
    };
    assert_eq!(count(&["f32[2, 3]", "f32[3, 5]"], &|x| x[0].matmul(x[1])), Ok(60));
    assert_eq!(count(&["f32[7]"], &|x| (x[0] * 2.0 + 1.0).exp() / 3.0), Ok(7 * 26));
    assert_eq!(count(&["f32[2, 3]"], &|x| x[0].sum(1).sqrt()), Ok(14));
    assert_eq!(count(&["f32[0, 3]"], &|x| x[0].exp().t()), Ok(0));
    assert_eq!(count(&["f32[]"], &|x| x[0].fma(x[0], x[0])), Ok(2));
    assert_eq!(count(&["f32[]"], &|x| scan_n(5usize, x[0], |_, y| (y.sin() + y, ())).0), Ok(105));
    let named = count(&["f32[B]"], &|x| x[0].exp());
    assert_eq!(named, Err("exp has a size that is only a name".to_string()));
    // What no root needs costs nothing.
    let g = Graph::new();
    let x = g.input("x", "f32[3]");
    let (y, _) = (x + x, x.exp());
    assert_eq!(flops(&g.records(), &[y.id()]).ok(), Some(3));
}

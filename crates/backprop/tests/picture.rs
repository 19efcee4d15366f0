//! Graphs as pictures.

use backprop::picture::{dot, picture, picture_with, svg};
use backprop_ad::grad;
use backprop_core::{Graph, ValueId};
use backprop_draw::{Kind, Part, layout, overlaps};

#[test]
fn an_op_carries_its_name_type_and_numbers() {
    let g = Graph::new();
    let (x, w) = (g.input("x", "f64[B]"), g.input("0.weight", "f64[B]"));
    let dead = x.exp();
    let z = (x * w * 0.5).named("h").sum(0);
    let dw = grad(z, [w])[0].named("dw");
    let drawn = picture(&g.records(), &[z.id(), dw.id()], "sum");
    let seen: Vec<(Kind, Part, Option<&str>, &str)> = (drawn.nodes.iter())
        .map(|node| (node.kind, node.part, node.name.as_deref(), &node.label[0][..]))
        .collect();
    let (fore, back) = (Part::Forward, Part::Gradient);
    let expect = [
        (Kind::Input, fore, Some("x"), "f64[B]"),
        (Kind::Parameter, fore, Some("0.weight"), "f64[B]"),
        (Kind::Operation, fore, None, "mul"),
        (Kind::Operation, fore, Some("h"), "mul(·, 0.5)"),
        (Kind::Output, fore, None, "sum axis 0"),
        (Kind::Operation, back, None, "reshape(1)"),
        (Kind::Operation, back, None, "broadcast"),
        (Kind::Operation, back, None, "mul(·, 0.5)"),
        (Kind::Output, back, Some("dw"), "mul"),
    ];
    assert_eq!(seen, expect);
    assert_eq!(drawn.edges.len(), 8);
    assert!(drawn.nodes.iter().all(|node| node.label[0] != "exp"), "{dead:?} is not needed");
    assert!(drawn.nodes[2].tooltip.as_deref().is_some_and(|place| place.contains("picture.rs:")));
}

#[test]
fn outputs_of_one_op_are_told_apart() {
    let g = Graph::new();
    let (largest, at) = g.input("x", "f64[3, 5]").max_with_index(-1);
    let z = largest + at.cast(backprop_core::DType::F64);
    let drawn = picture(&g.records(), &[z.id()], "");
    let labels: Vec<&str> = drawn.edges.iter().filter_map(|edge| edge.label.as_deref()).collect();
    assert_eq!(labels, ["output 1", "output 0"]);
    assert_eq!(drawn.nodes[1].label, ["max_with_index axis 1", "f64[3], i64[3]"]);
}

#[test]
fn labels_do_not_overlap() {
    let g = Graph::new();
    let (x, t) = (g.input("x", "f32[B, 4]"), g.input("t", "i64[B]"));
    let (w, b) = (g.input("w", "f32[3, 4]"), g.input("b", "f32[3]"));
    let loss = (x.matmul(w.t()) + b).relu().cross_entropy(t);
    let [dw, db] = grad(loss, [w, b]);
    let outputs: [ValueId; 3] = [loss.id(), dw.id(), db.id()];
    let drawn = picture_with(&g.records(), &outputs, &[w.id(), b.id()], "a layer");
    assert_eq!(drawn.nodes.iter().filter(|node| node.kind == Kind::Parameter).count(), 2);
    assert_eq!(overlaps(&layout(&drawn).unwrap()), []);
    assert!(svg(&g.records(), &outputs, "a layer").unwrap().contains("a layer"));
    assert!(dot(&g.records(), &outputs, "a layer").starts_with("digraph"));
}

#[test]
fn a_value_alone_and_a_number_alone_are_drawn() {
    let g = Graph::new();
    let (x, two) = (g.input("x", "f64[]"), g.full("f64[3]", 2.0));
    let ill = x + g.input("v", "f64[3]").reshape([1, 3]).sum(7);
    let drawn = picture(&g.records(), &[x.id(), two.id(), ill.id()], "");
    assert_eq!(drawn.nodes[1].label, ["2", "f64[3]"]);
    assert!(drawn.nodes.last().is_some_and(|node| node.label[1] == "ill-typed"));
}

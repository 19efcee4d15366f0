//! Replaying: into another graph, onto a tape, with values put in the place of others.

use std::collections::HashMap;

use backprop_ad::grad;
use backprop_core::{Array, Graph, Part, Tensor, replay, substitute};
use backprop_run::{Tape, compile_given, run};

/// The values of `outputs` where x is `x` and w is 3.
#[track_caller]
fn check(g: &Graph, outputs: &[Tensor], x: f64, expect: &[f64]) {
    let inputs: Vec<(&str, Array)> =
        [("x", x), ("w", 3.0)].iter().map(|&(name, value)| (name, Array::scalar(value))).collect();
    let values: Vec<f64> =
        run(g, &inputs, outputs).unwrap().iter().map(|array| array.item().unwrap()).collect();
    assert_eq!(values, expect);
}

fn line(g: &Graph) -> (Tensor, Tensor, Tensor) {
    let (x, w) = (g.input("x", "f64[]"), g.input("w", "f64[]"));
    (x, w, (w * x + 1.0).named("y"))
}

#[test]
fn a_value_is_replaced_and_the_original_stays() {
    let g = Graph::new();
    let (x, w, y) = line(&g);
    let at_square = substitute(&[y, w, y * y], &[(x, x * x)]);
    check(&g, &[y, at_square[0], at_square[1], at_square[2]], 2.0, &[7.0, 13.0, 3.0, 169.0]);
    assert!(at_square[1].is(w), "what does not depend on x is not computed anew");
}

#[test]
fn replaced_at_once_not_one_after_the_other() {
    let g = Graph::new();
    let (x, w, y) = line(&g);
    let swapped = substitute(&[y - x], &[(x, w), (w, x)])[0];
    check(&g, &[y - x, swapped], 2.0, &[5.0, 4.0]);
}

#[test]
fn an_inner_value_and_the_output_itself_are_replaced() {
    let g = Graph::new();
    let (x, w, _) = line(&g);
    let product = w * x;
    let z = product.square();
    let replaced = substitute(&[z, z], &[(product, x)]);
    check(&g, &[replaced[0], replaced[1]], 2.0, &[4.0, 4.0]);
    assert!(substitute(&[z], &[(z, x)])[0].is(x));
}

#[test]
fn a_derivative_is_replayed_with_its_parts_and_places() {
    let g = Graph::new();
    let (x, _, y) = line(&g);
    let [dx] = grad(y.square(), [x]);
    let into = Graph::new();
    let map = replay(&g.records(), &[dx.id()], &HashMap::new(), into.id());
    check(&into, &[map[&dx.id()]], 2.0, &[42.0]);
    let (old, new) = (g.records(), into.records());
    let count = |records: &backprop_core::Records| {
        records.nodes().iter().filter(|node| node.part == Part::Gradient).count()
    };
    assert!(count(&new) > 0 && count(&new) <= count(&old));
    assert!(new.by_name("y").is_some());
    for (&from, to) in &map {
        let place = |records: &backprop_core::Records, value| records.node(records.producer(value)).place;
        assert_eq!(place(&old, from), place(&new, to.id()));
    }
}

#[test]
fn given_numbers_fix_the_names_of_dimensions() {
    let g = Graph::new();
    let x = g.input("x", "f64[B, 3]");
    let loss = (x + 1.0).mean(());
    let [dx] = grad(loss, [x]);
    let tape = Tape::new();
    let given = HashMap::from([(x.id(), tape.value([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))]);
    let map = replay(&g.records(), &[loss.id(), dx.id()], &given, tape.id());
    assert_eq!(map[&loss.id()].item().unwrap(), 4.5);
    assert_eq!(map[&dx.id()].value().unwrap().to_f64s(), [1.0 / 6.0; 6]);
}

#[test]
fn a_copy_lives_on_its_own() {
    let g = Graph::new();
    let (_, _, y) = line(&g);
    let (copy, in_copy) = g.duplicate();
    let twice = in_copy(y) + in_copy(y);
    drop(g);
    check(&copy, &[twice], 2.0, &[14.0]);
    assert!(copy.get("y").is_some_and(|own| own.is(in_copy(y))));
}

#[test]
fn wrong_replacements_say_what_is_wrong() {
    let g = Graph::new();
    let (x, _, y) = line(&g);
    let other = Graph::new();
    let vector = g.input("v", "f64[3]");
    let fault =
        |replacements: &[(Tensor, Tensor)]| g.check(&substitute(&[y], replacements)).unwrap_err().to_string();
    assert!(fault(&[(x, vector)]).contains("x: f64[] cannot be replaced by v: f64[3]"));
    assert!(fault(&[(other.input("x", "f64[]"), x)]).contains("another graph"));
    assert!(fault(&[(x, other.input("z", "f64[]"))]).contains("another graph"));
    assert!(fault(&[(x, y), (x, y)]).contains("replaced twice"));
}

#[test]
fn faults_are_replayed() {
    let g = Graph::new();
    let (x, _, _) = line(&g);
    let foreign = Graph::new();
    let ill = x + foreign.input("z", "f64[]");
    let into = Graph::new();
    let map = replay(&g.records(), &[ill.id()], &HashMap::new(), into.id());
    assert!(into.check(&[map[&ill.id()]]).unwrap_err().to_string().contains("another graph"));
}

#[test]
fn a_long_chain_is_replayed() {
    let g = Graph::new();
    let x = g.input("x", "f64[]");
    let y = (0..200_000).fold(x, |y, _| -y);
    let z = substitute(&[y], &[(x, -x)])[0];
    let values = run(&g, &[("x", Array::scalar(2.0))], &[y, z]).unwrap();
    assert_eq!((values[0].item().unwrap(), values[1].item().unwrap()), (2.0, -2.0));
}

#[test]
fn givens_are_read_instead_and_leave_the_graph_alone() {
    let g = Graph::new();
    let (x, w, y) = line(&g);
    let [dx] = grad(y.square(), [x]);
    let batch = g.constant(5.0);
    let before = g.records().n_nodes();
    let values =
        compile_given(&g, &[w], &[y, dx], &[(x, batch)]).unwrap().run(&[Array::scalar(3.0)]).unwrap();
    assert_eq!(values.iter().map(|array| array.item().unwrap()).collect::<Vec<_>>(), [16.0, 96.0]);
    assert_eq!(g.records().n_nodes(), before);
}

#[test]
fn wrong_givens_say_what_is_wrong() {
    let g = Graph::new();
    let (x, w, y) = line(&g);
    let vector = g.input("v", "f64[3]");
    let foreign = Graph::new();
    let error = |inputs: &[Tensor], outputs: &[Tensor], givens: &[(Tensor, Tensor)]| {
        compile_given(&g, inputs, outputs, givens).err().map_or(String::new(), |error| error.to_string())
    };
    assert!(error(&[w], &[y], &[(x, vector)]).contains("v: f64[3] cannot be given for x: f64[]"));
    assert!(error(&[w, x], &[y], &[(x, w)]).contains("is an input"));
    assert!(error(&[w], &[y], &[(x, w), (x, w)]).contains("given twice"));
    assert!(error(&[w], &[y], &[(x, foreign.input("z", "f64[]"))]).contains("another graph"));
    assert!(error(&[w], &[foreign.input("q", "f64[]")], &[(x, w)]).contains("another graph"));
    assert!(error(&[w], &[y], &[(x, x + 1.0)]).contains("input x is needed but not given"));
}

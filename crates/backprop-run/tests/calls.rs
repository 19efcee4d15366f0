//! A call creates a node, and a name stays with its value.

use backprop_ad::grad;
use backprop_core::{Array, Graph, Tensor};
use backprop_run::run;

#[test]
fn a_call_that_changes_no_element_is_a_node_all_the_same() {
    let g = Graph::new();
    let x = g.input("x", "f64[3]");
    for call in [|x: Tensor| x.broadcast_to([3usize]), |x: Tensor| x.reshaped_as(x)] {
        let h = call(x);
        assert!(!h.is(x));
        // x has another path to z: what goes through h is 2h alone.
        let z = (h * h + x * 5.0).sum(());
        let [dh, dx] = grad(z, [h, x]);
        let at = [("x", Array::from([1.0, 2.0, 3.0]))];
        let found = run(&g, &at, &[dh, dx]).unwrap();
        assert_eq!(found[0].to_f64s(), [2.0, 4.0, 6.0]);
        assert_eq!(found[1].to_f64s(), [7.0, 9.0, 11.0]);
    }
    let h = x.broadcast_to([3usize]).named("h");
    assert!(run(&g, &[("x", Array::from([1.0, 2.0, 3.0]))], &[h]).is_ok());
}

#[test]
fn a_second_name_is_refused() {
    let g = Graph::new();
    let x = g.input("x", "f64[3]");
    assert!(x.named("x").is(x));
    let error = g.check(&[x.named("h")]).unwrap_err().to_string();
    assert!(error.contains("the value is called `x` already"), "{error}");
    assert!(g.get("h").is_none() && g.get("x").is_some_and(|found| found.is(x)));
}

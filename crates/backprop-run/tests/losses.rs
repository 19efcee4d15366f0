//! Losses of predictions and targets: what their shapes must be.

use backprop_core::{Array, Graph, Tensor};
use backprop_run::run;

type Loss = fn(Tensor, Tensor) -> Tensor;

const LOSSES: [(&str, Loss); 2] = [
    ("mse_loss", Tensor::mse_loss),
    ("binary_cross_entropy_with_logits", Tensor::binary_cross_entropy_with_logits),
];

#[test]
fn a_column_is_not_compared_with_a_vector() {
    let check = |prediction: &str, target: &str, hint: &str| {
        for (name, loss) in LOSSES {
            let g = Graph::new();
            let z = loss(g.input("p", prediction), g.input("t", target));
            let error = run(&g, &[], &[z]).unwrap_err().to_string();
            assert!(error.contains(&format!("{name}: ")) && error.contains("differ in shape"), "{error}");
            assert!(error.contains(hint) && error.contains("tests/losses.rs"), "{error}");
        }
    };
    check("f64[5, 1]", "f64[5]", "target.reshaped_as(prediction)");
    check("f64[B, 1]", "f64[B]", "target.reshaped_as(prediction)");
    check("f64[2, 3]", "f64[3]", "target.broadcast_to(shape)");
    check("f64[2, 3]", "f64[]", "target.broadcast_to(shape)");
    check("f64[B]", "f64[N]", "always equal");
}

#[test]
fn shapes_that_were_assumed_equal_are_equal() {
    for (_, loss) in LOSSES {
        let g = Graph::new();
        let (p, t) = (g.input("p", "f64[B, 2]"), g.input("t", "f64[N, 2]"));
        g.assume("B", "N");
        let arrays = [("p", Array::zeros(p.dtype().unwrap(), &[3, 2]).unwrap())];
        let inputs = [arrays[0].clone(), ("t", arrays[0].1.clone())];
        let value = run(&g, &inputs, &[loss(p, t)]).unwrap()[0].item().unwrap();
        assert!(value == 0.0 || (value - 2f64.ln()).abs() < 1e-15, "{value}");
    }
}

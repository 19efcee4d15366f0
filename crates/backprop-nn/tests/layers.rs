//! Layers and losses against PyTorch's numbers: outputs and gradients, in both modes.
//! The numbers and their script: crates/backprop-conformance/goldens.

use backprop_ad::grad;
use backprop_core::{Array, Graph, Seed, Tensor, Type};
use backprop_nn::{Activation, Bound, Layer, LayerNorm, Linear, Params, Sequential};
use backprop_run::{Tape, run};
use serde_json::Value;

const GOLDENS: &str = include_str!("../../backprop-conformance/goldens/layers.json");

/// Agreement with PyTorch in f64, times max(1, |want|max).
const TOLERANCE: f64 = 1e-12;

fn array(value: &Value) -> Array {
    let sizes: Vec<usize> =
        value["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
    let data = value["data"].as_array().unwrap();
    match value["dtype"].as_str().unwrap() {
        "i64" => Array::new(&sizes, data.iter().map(|x| x.as_i64().unwrap()).collect()).unwrap(),
        _ => Array::new(&sizes, data.iter().map(|x| x.as_f64().unwrap()).collect::<Vec<f64>>()).unwrap(),
    }
}

fn layer(case: &Value) -> Box<dyn Layer> {
    let arguments = &case["arguments"];
    let size = |name: &str| arguments[name].as_u64().unwrap() as usize;
    let activation = |activation: Activation| -> Box<dyn Layer> { Box::new(activation) };
    match case["layer"].as_str().unwrap() {
        "Linear" => {
            let linear = Linear::new(size("in"), size("out"));
            let has_bias = arguments["bias"].as_bool().unwrap_or(true);
            Box::new(if has_bias { linear } else { linear.without_bias() })
        }
        "LayerNorm" => {
            Box::new(LayerNorm::new(size("features")).with_eps(arguments["eps"].as_f64().unwrap()))
        }
        "Relu" => activation(Activation::Relu),
        "Tanh" => activation(Activation::Tanh),
        "Sigmoid" => activation(Activation::Sigmoid),
        "Gelu" => activation(Activation::Gelu),
        "Silu" => activation(Activation::Silu),
        "Softplus" => activation(Activation::Softplus),
        "Softmax" => activation(Activation::Softmax),
        "LogSoftmax" => activation(Activation::LogSoftmax),
        "Sequential" => {
            Box::new(Sequential::new().linear(5, 7).layer_norm(7).gelu().linear(7, 3).log_softmax())
        }
        other => panic!("a layer that is not known: {other}"),
    }
}

/// `body` makes a value y and a scalar z of bound parameters and inputs; y, ∂z/∂inputs[0] and ∂z/∂p for every
/// parameter p, in both modes.
fn both(
    params: &Params,
    inputs: &[Array],
    body: impl Fn(&Bound, &[Tensor]) -> [Tensor; 2],
) -> [Vec<Array>; 2] {
    let all = |p: &Bound, inputs: &[Tensor]| -> Vec<Tensor> {
        let [y, z] = body(p, inputs);
        let mut targets = vec![inputs[0]];
        targets.extend(params.paths().map(|path| match path.rsplit_once('.') {
            None => p.get(path),
            Some((layer, name)) => p.layer(layer).get(name),
        }));
        let mut outputs = vec![y];
        outputs.extend(backprop_ad::grad_table(z, &targets).gradients());
        outputs
    };
    let tape = Tape::new();
    let on_tape: Vec<Tensor> = inputs.iter().map(|input| tape.value(input.clone())).collect();
    let eager = all(&params.bind(&tape), &on_tape).iter().map(|value| value.value().unwrap()).collect();
    let graph = Graph::new();
    let names: Vec<String> = (0..inputs.len()).map(|k| format!("x{k}")).collect();
    let in_graph: Vec<Tensor> = (names.iter().zip(inputs))
        .map(|(name, input)| graph.input(name, Type::new(input.dtype(), input.sizes())))
        .collect();
    let outputs = all(&params.bind(&graph), &in_graph);
    let mut given: Vec<(&str, Array)> =
        names.iter().map(String::as_str).zip(inputs.iter().cloned()).collect();
    given.extend(params.iter().map(|entry| (entry.path(), entry.array().clone())));
    [eager, run(&graph, &given, &outputs).unwrap()]
}

#[track_caller]
fn close(name: &str, got: &Array, want: &Value) {
    let want = array(want);
    assert_eq!(got.sizes(), want.sizes(), "{name}");
    let want = want.to_f64s();
    let scale = want.iter().fold(1.0, |scale: f64, x| scale.max(x.abs()));
    for (at, (got, want)) in got.to_f64s().iter().zip(&want).enumerate() {
        assert!((got - want).abs() <= TOLERANCE * scale, "{name}, element {at}: {got}, not {want}");
    }
}

#[test]
fn layers_and_losses_agree_with_pytorch_in_both_modes() {
    let goldens: Value = serde_json::from_str(GOLDENS).unwrap();
    let cases = goldens["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 52);
    for (number, case) in cases.iter().enumerate() {
        let x = array(&case["x"]);
        if let Some(loss) = case["loss"].as_str() {
            let outcome = both(&Params::new(), &[x, array(&case["target"])], |_, x| {
                let z = match loss {
                    "cross_entropy" => x[0].cross_entropy(x[1]),
                    "mse_loss" => x[0].mse_loss(x[1]),
                    "binary_cross_entropy_with_logits" => x[0].binary_cross_entropy_with_logits(x[1]),
                    other => panic!("a loss that is not known: {other}"),
                };
                [z, z]
            });
            for values in outcome {
                close(&format!("case {number}, {loss}"), &values[0], &case["y"]);
                close(&format!("case {number}, {loss}, dx"), &values[1], &case["dx"]);
            }
            continue;
        }
        let layer = layer(case);
        // Paths in the order of the layer's declaration.
        let mut params = Params::new();
        for path in layer.init(backprop_core::Seed(0)).unwrap().paths() {
            params.insert(path, array(&case["params"][path])).unwrap();
        }
        let outcome = both(&params, &[x, array(&case["d"])], |p, x| {
            let y = layer.forward(p, x[0]);
            [y, (y * x[1]).sum(())]
        });
        let name = format!("case {number}, {}", layer.describe());
        for values in outcome {
            close(&name, &values[0], &case["y"]);
            close(&format!("{name}, dx"), &values[1], &case["dx"]);
            for (path, gradient) in params.paths().zip(&values[2..]) {
                close(&format!("{name}, d{path}"), gradient, &case["dparams"][path]);
            }
        }
    }
}

#[test]
fn a_label_out_of_range_is_a_fault_with_its_value_and_place() {
    for bad in [-1i64, 3, i64::MAX] {
        let tape = Tape::new();
        let logits = tape.value([[0.5, 1.0, 2.0], [0.0, 0.0, 1.0]]);
        let loss = logits.cross_entropy(tape.value([2, bad]));
        let [d] = grad(loss, [logits]);
        for value in [loss, d] {
            let error = value.value().unwrap_err().to_string();
            assert!(error.contains(&bad.to_string()) && error.contains("layers.rs:"), "{error}");
        }
    }
}

#[test]
fn sizes_beyond_memory_are_refused() {
    let refuse = |inputs: usize, outputs: usize| {
        let net = Sequential::new().linear(inputs, outputs);
        let Err(error) = net.init(Seed(0)) else { panic!("[{outputs}, {inputs}] fits") };
        let error = error.to_string();
        assert!(error.contains("`0.weight`") && error.contains("does not fit into memory"), "{error}");
        assert_eq!(backprop_nn::summary(&net).len(), 1);
    };
    refuse(64, 4_000_000_000_000);
    refuse(usize::MAX, 7);
    refuse(usize::MAX, 0);
}

//! A graph that went through text gives the same bits.

use backprop_ad::{grad, vjp};
use backprop_core::text::{Document, Registry, parse, print};
use backprop_core::verify::verify;
use backprop_core::{Array, DType, Graph, Tensor, cond, scan};
use backprop_run::run;

/// Prints and parses the graph, prints it again, and runs both.
#[track_caller]
fn check(graph: &Graph, inputs: &[(&str, Array)], outputs: &[Tensor]) -> String {
    let named: Vec<_> =
        (outputs.iter().enumerate()).map(|(idx, value)| (format!("out{idx}"), value.id())).collect();
    assert_eq!(verify(&graph.records()), Ok(()));
    let first = print(&graph.records(), &named);
    let constants =
        |name: &str| first.constants.iter().find(|(own, _)| own == name).map(|(_, array)| array.clone());
    let document: Document = parse(&first.text, "run.graph", &constants, &Registry::new())
        .unwrap_or_else(|error| panic!("{error}\n{}", first.text));
    assert_eq!(verify(&document.records), Ok(()));
    assert_eq!(document.print().text, first.text);
    let expect = run(graph, inputs, outputs).expect("the graph runs");
    let outputs: Vec<_> = document.outputs.iter().map(|&(_, value)| value).collect();
    let back = Graph::from_records(document.records);
    let outputs: Vec<Tensor> = outputs.into_iter().map(|value| back.tensor(value)).collect();
    let found = run(&back, inputs, &outputs).expect("the parsed graph runs");
    for (idx, (found, expect)) in found.iter().zip(&expect).enumerate() {
        assert!(found.same_bits(expect), "output {idx}: {found} is not {expect}");
    }
    first.text
}

fn array(sizes: &[usize], seed: f64) -> Array {
    let count = sizes.iter().product::<usize>();
    Array::new(sizes, (0..count).map(|i| (i as f64 * 0.7 + seed).sin()).collect::<Vec<f64>>())
        .expect("counted")
}

#[test]
fn gradients_of_order_two() {
    let g = Graph::new();
    let (x, w) = (g.input("x", "f64[B, 3]"), g.input("layer.weight", "f64[5, 3]"));
    let logits = (x.matmul(w.t()) + g.constant(vec![0.1, -0.2, 0.3, -0.4, 0.5])).tanh().named("logits");
    let loss = logits.relu().softmax(-1).square().mean(()).named("loss");
    let [dw] = grad(loss, [w]);
    let [d2w] = grad(dw.square().sum(()), [w]);
    let text =
        check(&g, &[("x", array(&[2, 3], 0.3)), ("layer.weight", array(&[5, 3], 0.9))], &[loss, dw, d2w]);
    assert!(text.contains("gradient:\n"), "{text}");
    assert!(text.contains("forward:\n"), "{text}");
    assert!(text.contains("dim_value {dim: "), "{text}");
}

#[test]
fn indices_random_numbers_and_masks() {
    let g = Graph::new();
    let x = g.input("x", "f32[B, 4]");
    let key = g.constant(vec![7u32, 0, 3, 11]);
    let keep = key.uniform(DType::F32, x.shape().expect("an input has one")).lt(0.8);
    let dropped = keep.select(x / 0.8, 0.0);
    let (largest, index) = dropped.max_with_index(-1);
    let noisy = largest + key.normal(DType::F32, largest.shape().expect("well-typed"));
    let rows = dropped.gather(1, index.slice_axis(0, 0usize, 1usize));
    let loss = noisy.square().sum(()) + rows.sum(()) + x.slice_axis(1, 1usize, 3usize).logsumexp(()).exp();
    let table = vjp(&[(loss, loss.ones_like())], &[x]);
    let x_value = Array::new([3, 4], (0..12).map(|i| (i as f32 * 1.3).cos()).collect::<Vec<f32>>());
    check(&g, &[("x", x_value.expect("twelve"))], &[loss, table.gradients()[0]]);
}

#[test]
fn assumptions_and_sizes() {
    let g = Graph::new();
    let x = g.input("x", "f64[B, T]");
    let before = x.flatten();
    g.assume("T", backprop_core::Dim::named("B") * 2);
    let y = g.input("y", "f64[B, 2*B]");
    let z = (x + y).pad([1usize, 0], [0usize, 2]).named("z");
    let half = z.slice([0usize, 0], z.shape().expect("well-typed"), [2usize, 1]);
    let text = check(&g, &[("x", array(&[2, 4], 0.1)), ("y", array(&[2, 4], 0.2))], &[before, z, half]);
    assert!(text.contains("assume T == 2*B\n  y = input"), "{text}");
}

#[test]
fn exact_constants() {
    let g = Graph::new();
    let odd = vec![0.1f64, -0.0, f64::INFINITY, f64::NAN, f64::from_bits(0x7ff0_0000_0000_0001), 5e-324];
    let large = array(&[40, 2], 0.5);
    let k = g.constant(Array::vector(odd));
    let l = g.constant(large).named("large table");
    let text = check(&g, &[], &[k, l, l.sum(())]);
    assert!(
        text.contains("constant [0.1, -0.0, inf, nan, nan(0x7ff0000000000001), 5e-324] : f64[6]"),
        "{text}"
    );
    assert!(text.contains("\"large table\" = constant @\"large table\" : f64[40, 2]"), "{text}");
}

#[test]
fn bodies_and_their_derivatives() {
    let g = Graph::new();
    let (xs, w) = (g.input("xs", "f64[T, 3]"), g.input("w", "f64[3]"));
    let table = g.constant(array(&[3, 30], 0.2));
    let (h, hs) = scan(w, xs, |h, x| {
        let wide = (h * x + w).matmul(table) + g.constant(array(&[30], 0.4)).sum(());
        let h = wide.reshape([3, 10]).sum(1).tanh();
        (h, cond(h.sum(()).gt(0.0), || h.square(), || h * w))
    });
    let loss = (h.sum(()) + hs.sum(())).named("loss");
    let [dw] = grad(loss, [w]);
    let [d2w] = grad(dw.square().sum(()), [w]);
    let text = check(&g, &[("xs", array(&[4, 3], 0.3)), ("w", array(&[3], 0.8))], &[loss, hs, dw, d2w]);
    assert!(text.contains("then: body("), "{text}");
}

//! What layers, losses and optimizers compute stands at the user's lines, in a graph and on a tape.

use backprop_ad::{grad, jvp};
use backprop_core::graph::records::Records;
use backprop_core::{Array, Graph, Seed, Tensor, scan_n};
use backprop_nn::{
    Activation, Adam, AdamW, Dropout, Layer, LayerNorm, Linear, Optimizer, Params, Schedule, Sequential, Sgd,
    TrainStep,
};
use backprop_run::{Bind, Tape};

/// No node, here or in a body, stands at a line of our crates.
#[track_caller]
fn check(records: &Records) {
    let wrong: Vec<String> = records
        .nodes()
        .iter()
        .map(|node| format!("{} at {}", node.op.name(), records.place(node.place)))
        .filter(|told| !told.contains(file!()))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for body in records.nodes().iter().flat_map(|node| node.op.rule().bodies()) {
        check(body.records());
    }
}

fn layers() -> (Sequential, Params) {
    let net = Sequential::new()
        .linear(3, 5)
        .relu()
        .tanh()
        .sigmoid()
        .gelu()
        .silu()
        .softplus()
        .dropout(0.5)
        .layer_norm(5)
        .add(Linear::new(5, 2).without_bias())
        .log_softmax();
    let params = net.init(Seed(1)).unwrap();
    (net, params)
}

/// Everything that a user can call with parameters.
fn every_call(home: &impl Bind, x: Tensor, y: Tensor) -> Vec<Tensor> {
    let (net, params) = layers();
    let p = params.bind(home);
    let out = net.forward(&p, x);
    // Layers called by themselves, with the parameters of others.
    let (linear, norm) = (p.layer("0"), p.layer("8"));
    let h = Linear::new(3, 5).forward(&linear, x);
    let mut made = vec![
        p.get("0.weight").sum(()),
        p.get("0.nothing"),
        p.step(),
        p.key().uniform(backprop_core::DType::F32, [2usize]),
        p.l1(0.1),
        p.l2(0.1),
        p.clone().eval().l2(0.1),
        LayerNorm::new(5).forward(&norm, h),
        Dropout::new(0.5).forward(&p, h),
        Dropout::new(7.0).forward(&p, h),
        Activation::Softmax.forward(&p, h),
        Linear::new(4, 5).forward(&linear, x),
        p.run("again", &Activation::Gelu, h),
        out.mse_loss(out.exp()),
        out.binary_cross_entropy_with_logits(out.sigmoid()),
        scan_n(3, h, |_, h| (Dropout::new(0.5).forward(&p, h), p.key())).0,
    ];
    let loss = out.cross_entropy(y) + p.l2(0.1);
    made.extend(grad(grad(loss, [x])[0].square().sum(()), [x]));
    made.extend(jvp(&[loss], &[(x, x.ones_like())]).tangents());
    made.push(loss);
    made
}

#[test]
fn layers_losses_and_their_derivatives() {
    let g = Graph::new();
    let (x, y) = (g.input("x", "f32[B, 3]"), g.input("y", "i64[B]"));
    every_call(&g, x, y);
    // Bound a second time, the parameters are those that are there.
    every_call(&g, x, y);
    check(&g.records());
    let tape = Tape::new();
    let x = tape.value(Array::from([[1.0f32, -2.0, 0.5], [0.1, 0.2, 0.3]]));
    every_call(&tape, x, tape.value(vec![1i64, 0]));
    check(&tape.records());
}

#[test]
fn steps_of_every_optimizer() {
    let optimizers: [Optimizer; 3] = [
        Optimizer::from(Sgd::new(0.1).momentum(0.9).dampening(0.1).weight_decay(0.1)).clip_norm(1.0),
        Optimizer::from(Adam::new(0.1)).schedule(Schedule::warm_up_cosine(2, 9)),
        Optimizer::from(AdamW::new(0.1).weight_decay(0.1)).clip_norm(1e9),
    ];
    for optimizer in optimizers {
        let (net, mut params) = layers();
        let g = Graph::new();
        let (x, y) = (g.input("x", "f32[B, 3]"), g.input("y", "i64[B]"));
        let p = params.bind(&g);
        let loss = net.forward(&p, x).cross_entropy(y);
        let updates = optimizer.updates(&p, loss).unwrap();
        check(&g.records());
        let batch = [Array::from([[1.0f32, -2.0, 0.5], [0.1, 0.2, 0.3]]), Array::from([1i64, 0])];
        TrainStep::new(&g, &[x, y], &[], updates).unwrap().run(&mut params, &batch).unwrap();
        let tape = Tape::new();
        let p = params.bind(&tape);
        let loss = net.forward(&p, tape.value(batch[0].clone())).cross_entropy(tape.value(batch[1].clone()));
        optimizer.updates(&p, loss).unwrap();
        check(&tape.records());
    }
}

//! A compiled step that is refused changes nothing, and says what the tape says.

use backprop_core::{Array, DType, Graph, Tensor};
use backprop_nn::{Adam, AdamW, Optimizer, Params, Sgd, Slots, TrainStep, UpdateRule};
use backprop_run::{CompileOptions, Engine, Tape};

/// Steps of bounded size, as a user may write them: no new parameter shows that a gradient was not finite.
struct Bounded;

impl UpdateRule for Bounded {
    fn lr(&self) -> f64 {
        0.1
    }

    fn update(&self, x: Tensor, gradient: Tensor, lr: Tensor, slots: &mut Slots<'_>) -> Tensor {
        let v = slots.get("v") * 0.9 + gradient.maximum(-1.0).minimum(1.0);
        slots.set("v", v);
        x - v * slots.like(lr, x)
    }
}

fn optimizers() -> [(&'static str, Optimizer); 11] {
    [
        ("sgd", Sgd::new(0.1).into()),
        ("sgd, lr 0", Sgd::new(0.0).into()),
        ("momentum", Sgd::new(0.1).momentum(0.9).into()),
        ("momentum, lr 0", Sgd::new(0.0).momentum(0.9).into()),
        ("momentum, dampened wholly", Sgd::new(0.1).momentum(0.9).dampening(1.0).into()),
        ("nesterov", Sgd::new(0.1).momentum(0.9).nesterov().into()),
        ("adam", Adam::new(0.1).betas(0.0, 0.0).into()),
        ("adamw", AdamW::new(0.1).into()),
        ("clipped", Optimizer::from(Sgd::new(0.1)).clip_norm(1.0)),
        ("a user's", Bounded.into()),
        ("a user's, clipped", Optimizer::from(Bounded).clip_norm(1.0)),
    ]
}

type Loss = fn(Tensor, Tensor) -> Tensor;

/// Losses of w = [1, 2, 3] with an x that is refused, and the op that is named.
fn cases() -> [(&'static str, Loss, [f32; 3]); 7] {
    [
        ("log: gives NaN at element 0", |w, x| (w * x).log().sum(()), [-1.0, 1.0, 2.0]),
        ("exp: gives inf at element 1", |w, x| (w * x).exp().sum(()) * 1e-3f32, [1.0, 100.0, 2.0]),
        // The loss is finite, the gradient is not.
        ("div: gives inf at element 0", |w, x| (w * x).sqrt().sum(()), [0.0, 1.0, 2.0]),
        ("pow: gives inf at element 0", |w, x| (w * x).pow(0.5f32).sum(()) * 0.0f32, [0.0, 1.0, 2.0]),
        ("input: x holds NaN at element 0", |w, x| (w * x).relu().sum(()), [f32::NAN, 1.0, 2.0]),
        ("input: x holds inf at element 2", |w, x| (w * x).tanh().sum(()), [1.0, 2.0, f32::INFINITY]),
        (
            "input: x holds -inf at element 1",
            |w, x| (w * x).log_softmax(0).sum(()),
            [1.0, f32::NEG_INFINITY, 2.0],
        ),
    ]
}

fn weights() -> Params {
    let mut params = Params::new();
    params.insert("w", Array::from(vec![1.0f32, 2.0, 3.0])).unwrap();
    params
}

fn compiled(params: &Params, optimizer: &Optimizer, loss: Loss, engine: Engine) -> TrainStep {
    let graph = Graph::new();
    let (x, p) = (graph.input("x", "f32[3]"), params.bind(&graph));
    let loss = loss(p.get("w"), x);
    let step = TrainStep::new(&graph, &[x], &[loss], optimizer.updates(&p, loss).unwrap()).unwrap();
    step.with_options(CompileOptions { engine, ..CompileOptions::default() })
}

#[test]
fn a_refused_step_changes_nothing_and_names_the_op() {
    let good = [Array::from(vec![0.5f32, 1.0, 2.0])];
    for (rule, optimizer) in optimizers() {
        for (told, loss, bad) in cases() {
            let bad = [Array::from(bad.to_vec())];
            let tape = Tape::new();
            let eager = tape.scope(|t| {
                let (x, params) = (t.value(bad[0].clone()), weights());
                let p = params.bind(t);
                optimizer.updates(&p, loss(p.get("w"), x)).err().map(|error| error.to_string())
            });
            // An input has no name on a tape.
            let eager = eager.unwrap_or_default().replace("input: %0 ", "input: x ");
            assert!(eager.starts_with(told), "{rule}: {eager}");
            for engine in [Engine::Native, Engine::Portable] {
                let mut params = weights();
                let step = compiled(&params, &optimizer, loss, engine);
                step.run(&mut params, &good).unwrap();
                let before = params.clone();
                let numbers = before.get("w").unwrap().to_f64s();
                let error =
                    step.run(&mut params, &bad).err().map_or_else(String::new, |error| error.to_string());
                assert!(error.starts_with(told), "{rule}, {engine:?}: {error}, not {told}");
                assert!(error.contains("refused.rs:") && error.contains("the step was not taken"), "{error}");
                assert!(params.same_bits(&before), "{rule}, {engine:?}: {told}");
                // Training goes on as if nothing had been; who kept a copy keeps its numbers.
                let mut other = before.clone();
                step.run(&mut params, &good).unwrap();
                compiled(&other, &optimizer, loss, engine).run(&mut other, &good).unwrap();
                assert!(params.same_bits(&other) && params.step() == 2, "{rule}, {engine:?}: {told}");
                assert_eq!((before.get("w").unwrap().to_f64s(), before.step()), (numbers, 1));
            }
        }
    }
}

/// Four callers at a time, each with its parameters, and batches of many sizes.
#[test]
fn callers_share_a_step() {
    let graph = Graph::new();
    let params = weights();
    let (x, p) = (graph.input("x", "f32[B, 3]"), params.bind(&graph));
    let loss = (x * p.get("w")).tanh().square().mean(());
    let updates = Optimizer::from(AdamW::new(0.1)).updates(&p, loss).unwrap();
    let step = TrainStep::new(&graph, &[x], &[loss], updates).unwrap();
    let step = step.with_options(CompileOptions { threads: 2, ..CompileOptions::default() });
    let train = || {
        let mut params = weights();
        let mut kept = Vec::new();
        for round in 0..60 {
            let batch = Array::full(DType::F32, &[1 + round * 7 % 20, 3], 0.25).unwrap();
            step.run(&mut params, &[batch]).unwrap();
            kept.push((params.clone(), params.get("w").unwrap().to_f64s()));
        }
        assert!(kept.iter().all(|(params, w)| params.get("w").unwrap().to_f64s() == *w));
        params
    };
    let alone = train();
    let together = std::thread::scope(|scope| {
        let callers = [(); 4].map(|()| scope.spawn(train));
        callers.map(|caller| caller.join().unwrap())
    });
    assert!(together.iter().all(|params| params.same_bits(&alone)));
}

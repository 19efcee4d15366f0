//! Trajectories of the optimizers against PyTorch's, in both modes.
//! The numbers and their script: crates/backprop-conformance/goldens.

use backprop_core::{Array, Graph};
use backprop_nn::{Adam, AdamW, Layer, Optimizer, Params, Schedule, Sequential, Sgd, TrainStep};
use backprop_run::Tape;
use serde_json::Value;

const GOLDENS: &str = include_str!("../../backprop-conformance/goldens/optimizers.json");

/// Agreement with PyTorch, in f64, of every parameter after each of 20 steps.
const TOLERANCE: f64 = 1e-10;

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn array(value: &Value) -> Array {
    let sizes: Vec<usize> =
        value["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
    match value["dtype"].as_str().unwrap() {
        "i64" => Array::new(
            &sizes,
            value["data"].as_array().unwrap().iter().map(|x| x.as_i64().unwrap()).collect(),
        )
        .unwrap(),
        _ => Array::new(&sizes, floats(&value["data"])).unwrap(),
    }
}

fn schedule(value: &Value) -> Schedule {
    let number = |name: &str| value[name].as_f64().unwrap();
    match value["kind"].as_str() {
        None => Schedule::Constant,
        Some("CosineAnnealingLR") => {
            Schedule::Cosine { t_max: number("T_max") as u64, eta_min: number("eta_min") }
        }
        Some("LinearLR") => Schedule::Linear {
            start_factor: number("start_factor"),
            end_factor: number("end_factor"),
            total_iters: number("total_iters") as u64,
        },
        Some("SequentialLR") => Schedule::Sequential {
            schedules: value["schedulers"].as_array().unwrap().iter().map(schedule).collect(),
            milestones: value["milestones"].as_array().unwrap().iter().map(|m| m.as_u64().unwrap()).collect(),
        },
        Some(other) => panic!("a schedule that is not known: {other}"),
    }
}

fn optimizer(case: &Value) -> Optimizer {
    let rule = &case["optimizer"];
    let number = |name: &str| rule[name].as_f64().unwrap();
    let beta = |at: usize| rule["betas"][at].as_f64().unwrap();
    let optimizer = match rule["kind"].as_str().unwrap() {
        "SGD" => {
            let sgd = Sgd::new(number("lr")).momentum(number("momentum")).dampening(number("dampening"));
            let sgd = sgd.weight_decay(number("weight_decay"));
            Optimizer::from(if rule["nesterov"].as_bool().unwrap() { sgd.nesterov() } else { sgd })
        }
        "Adam" => {
            let adam = Adam::new(number("lr")).betas(beta(0), beta(1)).eps(number("eps"));
            Optimizer::from(adam.weight_decay(number("weight_decay")))
        }
        "AdamW" => {
            let adamw = AdamW::new(number("lr")).betas(beta(0), beta(1)).eps(number("eps"));
            Optimizer::from(adamw.weight_decay(number("weight_decay")))
        }
        other => panic!("an optimizer that is not known: {other}"),
    };
    let optimizer = optimizer.schedule(schedule(&case["schedule"]));
    match case["clip_norm"].as_f64() {
        Some(norm) => optimizer.clip_norm(norm),
        None => optimizer,
    }
}

/// What the body of a training step gives, the same in both modes.
struct Losses {
    net: Sequential,
    optimizer: Optimizer,
    l1: f64,
    l2: f64,
}

impl Losses {
    fn loss(
        &self,
        p: &backprop_nn::Bound,
        x: backprop_core::Tensor,
        y: backprop_core::Tensor,
    ) -> backprop_core::Tensor {
        let loss = self.net.forward(p, x).cross_entropy(y);
        let loss = if self.l1 > 0.0 { loss + p.l1(self.l1) } else { loss };
        if self.l2 > 0.0 { loss + p.l2(self.l2) } else { loss }
    }
}

fn check_case(goldens: &Value, case: &Value) {
    let body = Losses {
        net: Sequential::new().linear(5, 7).tanh().linear(7, 3),
        optimizer: optimizer(case),
        l1: case["l1"].as_f64().unwrap(),
        l2: case["l2"].as_f64().unwrap(),
    };
    let mut initial = Params::new();
    for path in ["0.weight", "0.bias", "2.weight", "2.bias"] {
        initial.insert(path, array(&goldens["initial"][path])).unwrap();
    }
    let batches: Vec<[Array; 2]> =
        goldens["batches"].as_array().unwrap().iter().map(|b| [array(&b["x"]), array(&b["y"])]).collect();
    let [mut eager, mut compiled] = [initial.clone(), initial];

    let graph = Graph::new();
    let (x, y) = (graph.input("x", "f64[B, 5]"), graph.input("y", "i64[B]"));
    let p = compiled.bind(&graph);
    let loss = body.loss(&p, x, y);
    let updates = body.optimizer.updates(&p, loss).unwrap();
    let lr = updates.lr();
    let step = TrainStep::new(&graph, &[x, y], &[loss, lr], updates).unwrap();

    let tape = Tape::new();
    let name = case["name"].as_str().unwrap();
    for t in 0..20 {
        let batch = &batches[t % 4];
        let metrics = step.run(&mut compiled, batch).unwrap();
        let updates = tape
            .scope(|scope| {
                let p = eager.bind(scope);
                let loss = body.loss(&p, scope.value(batch[0].clone()), scope.value(batch[1].clone()));
                body.optimizer.updates(&p, loss)
            })
            .unwrap();
        let losses = [metrics[0].item().unwrap(), updates.loss().unwrap()];
        eager.apply(updates).unwrap();
        let close = |got: f64, want: f64| (got - want).abs() <= TOLERANCE * want.abs().max(1.0);
        for loss in losses {
            assert!(close(loss, case["loss"][t].as_f64().unwrap()), "{name}, step {t}: loss {loss}");
        }
        assert!(close(metrics[1].item().unwrap(), case["lr"][t].as_f64().unwrap()), "{name}, step {t}: lr");
        for params in [&eager, &compiled] {
            for entry in params.iter() {
                let want = floats(&case["params"][t][entry.path()]);
                let got = entry.array().to_f64s();
                let agree = got.iter().zip(&want).all(|(&got, &want)| close(got, want));
                assert!(agree && got.len() == want.len(), "{name}, step {t}: {}", entry.path());
            }
        }
    }
    assert_eq!((eager.step(), compiled.step()), (20, 20));
    assert!(eager.same_bits(&compiled), "{name}: the modes differ");
}

#[test]
fn trajectories_agree_with_pytorch_in_both_modes() {
    let goldens: Value = serde_json::from_str(GOLDENS).unwrap();
    let cases = goldens["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 19);
    for case in cases {
        check_case(&goldens, case);
    }
}

//! Trajectories of the optimizers against PyTorch's, in both modes.
//! The numbers and their script: crates/backprop-conformance/goldens.

use backprop_core::{Array, Graph, Tensor};
use backprop_nn::{Adam, AdamW, Bound, Layer, Optimizer, Params, Schedule, Sequential, Sgd, TrainStep};
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

/// The training step of a case: one body, two modes.
struct Body {
    net: Sequential,
    optimizer: Optimizer,
    l1: f64,
    l2: f64,
}

/// What a step tells.
struct Told {
    loss: f64,
    lr: f64,
    grad_norm: Option<f64>,
}

impl Body {
    fn loss(&self, p: &Bound, x: Tensor, y: Tensor) -> Tensor {
        let loss = self.net.forward(p, x).cross_entropy(y);
        let loss = if self.l1 > 0.0 { loss + p.l1(self.l1) } else { loss };
        if self.l2 > 0.0 { loss + p.l2(self.l2) } else { loss }
    }

    fn compiled(&self, params: &Params) -> TrainStep {
        let graph = Graph::new();
        let (x, y) = (graph.input("x", "f64[B, 5]"), graph.input("y", "i64[B]"));
        let p = params.bind(&graph);
        let loss = self.loss(&p, x, y);
        let updates = self.optimizer.updates(&p, loss).unwrap();
        let mut metrics = vec![loss, updates.lr()];
        metrics.extend(updates.grad_norm());
        TrainStep::new(&graph, &[x, y], &metrics, updates).unwrap()
    }

    fn eager(&self, tape: &Tape, params: &mut Params, [x, y]: &[Array; 2]) -> Told {
        let (updates, told) = tape.scope(|t| {
            let p = params.bind(t);
            let loss = self.loss(&p, t.value(x.clone()), t.value(y.clone()));
            let updates = self.optimizer.updates(&p, loss).unwrap();
            let grad_norm = updates.grad_norm().map(|norm| norm.item().unwrap());
            let told = Told { loss: loss.item().unwrap(), lr: updates.lr().item().unwrap(), grad_norm };
            (updates, told)
        });
        params.apply(updates).unwrap();
        told
    }
}

fn check_case(goldens: &Value, case: &Value) {
    let body = Body {
        net: Sequential::new().linear(5, 7).tanh().linear(7, 3),
        optimizer: optimizer(case),
        l1: case["l1"].as_f64().unwrap(),
        l2: case["l2"].as_f64().unwrap(),
    };
    let mut initial = Params::new();
    for path in ["0.weight", "0.bias", "2.weight", "2.bias"] {
        initial.insert(path, array(&goldens["initial"][path])).unwrap();
    }
    let frozen: Vec<(&str, usize)> = case["frozen"].as_object().map_or(vec![], |frozen| {
        frozen.iter().map(|(layer, steps)| (layer.as_str(), steps.as_u64().unwrap() as usize)).collect()
    });
    for (layer, _) in &frozen {
        initial.freeze(layer).unwrap();
    }
    let batches: Vec<[Array; 2]> =
        goldens["batches"].as_array().unwrap().iter().map(|b| [array(&b["x"]), array(&b["y"])]).collect();
    let [mut eager, mut compiled] = [initial.clone(), initial];
    let mut step = body.compiled(&compiled);
    let tape = Tape::new();
    let name = case["name"].as_str().unwrap();
    for t in 0..20 {
        for (layer, _) in frozen.iter().filter(|(_, steps)| *steps == t) {
            eager.unfreeze(layer).unwrap();
            compiled.unfreeze(layer).unwrap();
            step = body.compiled(&compiled);
        }
        let batch = &batches[t % 4];
        let metrics: Vec<f64> =
            step.run(&mut compiled, batch).unwrap().iter().map(|metric| metric.item().unwrap()).collect();
        let graph = Told { loss: metrics[0], lr: metrics[1], grad_norm: metrics.get(2).copied() };
        let close = |got: f64, want: f64| (got - want).abs() <= TOLERANCE * want.abs().max(1.0);
        for told in [graph, body.eager(&tape, &mut eager, batch)] {
            let want = |what: &str| case[what][t].as_f64().unwrap();
            assert!(close(told.loss, want("loss")), "{name}, step {t}: loss {}", told.loss);
            assert!(close(told.lr, want("lr")), "{name}, step {t}: lr {}", told.lr);
            assert!(
                told.grad_norm.is_none_or(|norm| close(norm, want("grad_norm"))),
                "{name}, step {t}: norm of the gradients {:?}",
                told.grad_norm
            );
            assert_eq!(told.grad_norm.is_some(), !case["clip_norm"].is_null());
        }
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
}

#[test]
fn trajectories_agree_with_pytorch_in_both_modes() {
    let goldens: Value = serde_json::from_str(GOLDENS).unwrap();
    let cases = goldens["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 24);
    for case in cases {
        check_case(&goldens, case);
    }
}

/// The gradients are 3·s and 4·s, so the clipped ones 0.6 and 0.8, whatever s: (3·s)² overflows or is 0.
#[test]
fn gradients_are_clipped_whose_squares_are_out_of_range() {
    let check = |slope: Array, norm: f64| {
        let optimizer = Optimizer::from(Sgd::new(0.5)).clip_norm(norm);
        let mut params = Params::new();
        params.insert("w", Array::from([1.0, 1.0]).cast(slope.dtype())).unwrap();
        let tape = Tape::new();
        let p = params.bind(&tape);
        let updates = optimizer.updates(&p, (p.get("w") * tape.value(slope)).sum(())).unwrap();
        params.apply(updates).unwrap();
        let (w, want) = (params.get("w").unwrap().to_f64s(), [1.0 - 0.3 * norm, 1.0 - 0.4 * norm]);
        assert!(w.iter().zip(want).all(|(w, want)| (w - want).abs() < 1e-6), "{w:?}, not {want:?}");
    };
    check(Array::from([3e19f32, 4e19]), 1.0);
    check(Array::from([3e37f32, 4e37]), 1.0);
    check(Array::from([3e200, 4e200]), 1.0);
    check(Array::from([3.0, 4.0]), 0.5);
}

/// The learning rates of SGD with lr 0.4 by PyTorch 2.15's schedulers, a step a number.
#[test]
fn schedules_give_pytorchs_learning_rates() {
    let check = |schedule: Schedule, want: &[f64]| {
        let optimizer = Optimizer::from(Sgd::new(0.4)).schedule(schedule.clone());
        let mut params = Params::new();
        params.insert("w", [1.0]).unwrap();
        for (t, want) in want.iter().enumerate() {
            params.set_state("train.step", t as i64).unwrap();
            let tape = Tape::new();
            let p = params.bind(&tape);
            let lr = optimizer.updates(&p, p.get("w").sum(())).unwrap().lr().item().unwrap();
            assert!((lr - want).abs() < 1e-14, "{schedule:?}, step {t}: {lr}, not {want}");
        }
    };
    // SequentialLR([LinearLR(1/3, 1, 3), CosineAnnealingLR(8)], [3]); then it stays, where PyTorch's rises.
    let third = 0.4 / 3.0;
    let rise = [third, 0.22222222222222224, 0.3111111111111111, 0.4, 0.38477590650225735, 0.3414213562373095];
    let fall = [0.276536686473018, 0.2, 0.12346331352698206, 0.05857864376269051, 0.015224093497742654, 0.0];
    check(Schedule::warm_up_cosine(3, 11), &[&rise[..], &fall, &[0.0, 0.0]].concat());
    check(Schedule::warm_up_cosine(0, 8), &[&rise[3..], &fall].concat());
    // CosineAnnealingLR(5, 0.1)
    let cosine = [0.4, 0.37135254915624216, 0.29635254915624215, 0.2036474508437579, 0.1286474508437579];
    check(Schedule::Cosine { t_max: 5, eta_min: 0.1 }, &[&cosine[..], &[0.1, 0.1]].concat());
    // LinearLR(1, 0.25, 4)
    let linear = [0.4, 0.325, 0.25, 0.175, 0.1, 0.1, 0.1];
    check(Schedule::Linear { start_factor: 1.0, end_factor: 0.25, total_iters: 4 }, &linear);
    // SequentialLR([LinearLR(0.5, 1, 2), ConstantLR(1), CosineAnnealingLR(4, 0.05)], [2, 5])
    let three = Schedule::Sequential {
        schedules: vec![
            Schedule::Linear { start_factor: 0.5, end_factor: 1.0, total_iters: 2 },
            Schedule::Constant,
            Schedule::Cosine { t_max: 4, eta_min: 0.05 },
        ],
        milestones: vec![2, 5],
    };
    check(three, &[0.2, 0.3, 0.4, 0.4, 0.4, 0.4, 0.34874368670764583, 0.225, 0.10125631329235421]);
}

//! The training loop: both engines, reproducible, resumable, with clear errors.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use backprop_core::{Array, Seed};
use backprop_nn::{Layer, Optimizer, Params, Sequential, Sgd};
use backprop_train::data::Dataset;
use backprop_train::{Engine, Epoch, Fit, Plan, TrainError, evaluate, fit, predict};

fn net() -> Sequential {
    Sequential::mlp(&[64, 32, 10])
}

fn train(config: &Fit) -> Params {
    let digits = Dataset::digits(3).unwrap();
    let mut params = net().init(Seed(3)).unwrap();
    fit(&net(), &mut params, &digits, config, |_| ControlFlow::Continue(())).unwrap();
    params
}

/// 45 steps per epoch.
fn short(engine: Engine) -> Fit {
    Fit { epochs: 5, engine, evaluate_each_epoch: false, ..Fit::default() }
}

#[test]
fn two_runs_give_the_same_bits_and_the_engines_agree() {
    let [eager, again, graph] = [Engine::Eager, Engine::Eager, Engine::Graph].map(|e| train(&short(e)));
    assert_eq!(eager.step(), 225);
    assert!(eager.same_bits(&again));
    // The engines run the same kernels in the same order.
    for (a, b) in eager.iter().zip(graph.iter()) {
        let gap = a
            .array()
            .to_f64s()
            .iter()
            .zip(b.array().to_f64s())
            .fold(0.0, |gap: f64, (a, b)| gap.max((a - b).abs()));
        assert!(gap <= 1e-6, "{}: {gap}", a.path());
    }
    let digits = Dataset::digits(3).unwrap();
    assert!(evaluate(&net(), &graph, &digits.test_x, &digits.test_y).unwrap().accuracy > 0.9);
}

#[test]
fn each_step_can_be_watched() {
    let digits = Dataset::digits(3).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let watch = move |so_far: &Epoch| sink.lock().unwrap().push((so_far.step, so_far.train_loss));
    // 1438 examples: 500, 500 and 438, twice.
    let config = Fit { epochs: 2, batch: 500, watch: Some(Arc::new(watch)), ..short(Engine::Eager) };
    let mut params = net().init(Seed(3)).unwrap();
    let history = fit(&net(), &mut params, &digits, &config, |_| ControlFlow::Continue(())).unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    // The last of an epoch is the epoch.
    for (epoch, last) in history.epochs.iter().zip([seen[2], seen[5]]) {
        assert_eq!((epoch.step, epoch.train_loss, epoch.steps), (last.0, last.1, 6));
    }
}

#[test]
fn a_run_that_stopped_goes_on_with_the_same_bits() {
    let digits = Dataset::digits(3).unwrap();
    let net = net().dropout(0.1);
    let config = short(Engine::Eager);
    let mut whole = net.init(Seed(3)).unwrap();
    fit(&net, &mut whole, &digits, &config, |_| ControlFlow::Continue(())).unwrap();
    let mut parts = net.init(Seed(3)).unwrap();
    let stop_after_two = |epoch: &backprop_train::Epoch| match epoch.epoch {
        2 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let first = fit(&net, &mut parts, &digits, &config, stop_after_two).unwrap();
    assert!(first.stopped && first.epochs.len() == 2);
    // A store that is put together from what a file would hold.
    let mut read = net.init(Seed(9)).unwrap();
    for entry in parts.iter() {
        read.set(entry.path(), entry.array().clone()).unwrap();
    }
    for (name, array) in parts.states() {
        read.set_state(name, array.clone()).unwrap();
    }
    let second = fit(&net, &mut read, &digits, &config, |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(second.epochs.len(), 3);
    assert!(read.same_bits(&whole));
}

#[test]
fn predictions_do_not_depend_on_how_they_are_batched() {
    let digits = Dataset::digits(0).unwrap();
    let params = net().init(Seed(0)).unwrap();
    let all = predict(&net(), &params, &digits.train_x).unwrap();
    assert_eq!(all.sizes(), [1438, 10]);
    let last = digits.train_x.pick(&[1, 64], |i| 1437 * 64 + i);
    let one = predict(&net(), &params, &last).unwrap().to_f64s();
    let gap = all.to_f64s()[14370..].iter().zip(&one).fold(0.0, |gap: f64, (a, b)| gap.max((a - b).abs()));
    assert!(gap < 1e-5, "{gap}");
}

#[test]
fn bad_input_gives_one_clear_error() {
    let digits = Dataset::digits(0).unwrap();
    let check = |data: &Dataset, config: Fit, part: &str| {
        for engine in [Engine::Eager, Engine::Graph] {
            let mut params = net().init(Seed(0)).unwrap();
            let before = params.clone();
            let config = Fit { engine, ..config.clone() };
            let error = fit(&net(), &mut params, data, &config, |_| ControlFlow::Continue(())).unwrap_err();
            assert!(error.to_string().contains(part), "`{part}` is not in: {error}");
            let untouched = params.step() > 0 || params.same_bits(&before);
            assert!(untouched);
        }
    };
    check(&digits, Fit { batch: 0, ..Fit::default() }, "batch must be at least 1");
    check(&digits, Fit { plan: Plan::Cosine { warm_up: 2.0 }, ..Fit::default() }, "warm_up");
    let wild = Fit { optimizer: Sgd::new(1e30).into(), plan: Plan::Constant, ..Fit::default() };
    check(&digits, wild, "the first value that is not finite");
    let mut labels = digits.clone();
    labels.train_y.slice_mut::<i64>().unwrap()[5] = 10;
    check(&labels, Fit::default(), "10");
    check(&Dataset { train_y: Array::from([1i64, 2]), ..digits.clone() }, Fit::default(), "as many labels");
    check(&Dataset::iris(0).unwrap(), Fit::default(), "linear: takes 64 features, but the input has 4");
}

#[test]
fn a_failing_step_is_told_by_number() {
    let digits = Dataset::digits(0).unwrap();
    let mut params = net().init(Seed(0)).unwrap();
    let config = Fit { optimizer: Optimizer::from(Sgd::new(1e30)), plan: Plan::Constant, ..Fit::default() };
    let error = fit(&net(), &mut params, &digits, &config, |_| ControlFlow::Continue(())).unwrap_err();
    match error {
        TrainError::Step { step, .. } => assert_eq!(step, params.step()),
        other => panic!("another error: {other}"),
    }
}

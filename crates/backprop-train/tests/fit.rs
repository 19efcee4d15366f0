//! The training loop: both engines, reproducible, resumable, with clear errors.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use backprop_core::{Array, DType, Seed};
use backprop_nn::{AdamW, Layer, Optimizer, Params, Schedule, Sequential, Sgd};
use backprop_train::data::Dataset;
use backprop_train::{Engine, Epoch, Fit, Loss, Plan, TrainError, evaluate, evaluate_by, fit, predict};

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
    // They follow the same rules; a compiled sum may be taken in another order.
    for (a, b) in eager.iter().zip(graph.iter()) {
        let gap = a
            .array()
            .to_f64s()
            .iter()
            .zip(b.array().to_f64s())
            .fold(0.0, |gap: f64, (a, b)| gap.max((a - b).abs()));
        assert!(gap <= 1e-5, "{}: {gap}", a.path());
    }
    let digits = Dataset::digits(3).unwrap();
    assert!(evaluate(&net(), &graph, &digits.test_x, &digits.test_y).unwrap().accuracy > 0.9);
}

/// Wide enough that threads share out contractions and nests; the last batch of an epoch is smaller.
#[test]
fn the_weights_do_not_depend_on_the_number_of_threads() {
    let digits = Dataset::digits(3).unwrap();
    let net = Sequential::mlp(&[64, 131, 67, 10]);
    let [one, others @ ..] = [1, 2, 7, 16].map(|threads| {
        let mut params = net.init(Seed(3)).unwrap();
        let config = Fit { epochs: 3, batch: 128, threads, ..short(Engine::Graph) };
        fit(&net, &mut params, &digits, &config, |_| ControlFlow::Continue(())).unwrap();
        params
    });
    assert_eq!(one.step(), 36);
    assert!(others.iter().all(|other| one.same_bits(other)));
    let none = Fit { threads: 0, ..short(Engine::Graph) };
    let refused = fit(&net, &mut one.clone(), &digits, &none, |_| ControlFlow::Continue(()));
    assert_eq!(refused.unwrap_err().to_string(), "fit: threads must be at least 1");
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
    check(&Dataset { train_y: Array::from([1i64, 2]), ..digits.clone() }, Fit::default(), "as many targets");
    let one = Dataset::new([digits.train_x.clone(), Array::from(1i64)], None);
    check(&one, Fit::default(), "as many targets, not []");
    let scheduled = Optimizer::from(AdamW::new(1e-3)).schedule(Schedule::warm_up_cosine(5, 50));
    check(&digits, Fit { optimizer: scheduled, ..Fit::default() }, "plan: Plan::Steps(..)");
    check(&digits, Fit { l2: -1.0, ..Fit::default() }, "l2 must be finite and at least 0, not -1");
    let narrow = Array::zeros(DType::F32, &[359, 63]).unwrap();
    check(&Dataset { test_x: narrow, ..digits.clone() }, Fit::default(), "f32[359, 63]");
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

/// y = 2·x₀ − x₁ + ½ on a grid, targets [n, 1].
fn plane() -> Dataset {
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for i in 0..7u8 {
        for j in 0..5u8 {
            let (a, b) = (f32::from(i) / 7.0, f32::from(j) / 5.0);
            x.extend([a, b]);
            y.push(2.0 * a - b + 0.5);
        }
    }
    Dataset::new([Array::new([35, 2], x).unwrap(), Array::new([35, 1], y).unwrap()], None)
}

#[test]
fn a_regression_is_fitted_with_a_loss_of_ones_own() {
    let net = Sequential::new().linear(2, 1);
    let delta = 0.5;
    let huber = Loss::new(move |y, t| {
        let e = (y - t).abs();
        e.le(delta).select(e.square() * 0.5, e * delta - 0.5 * delta * delta).mean(())
    });
    for engine in [Engine::Eager, Engine::Graph] {
        let mut params = net.init(Seed(1)).unwrap();
        let optimizer = Sgd::new(0.5).momentum(0.9).into();
        let config = Fit { loss: huber.clone(), epochs: 100, batch: 8, optimizer, engine, ..Fit::default() };
        let history = fit(&net, &mut params, &plane(), &config, |_| ControlFlow::Continue(())).unwrap();
        let last = history.epochs.last().unwrap();
        assert!(last.test.is_none() && last.train_accuracy.is_nan() && last.step == 500);
        assert!(!last.to_string().contains("accuracy"), "{last}");
        let data = plane();
        let error = evaluate_by(&Loss::mse(), &net, &params, &data.train_x, &data.train_y).unwrap();
        assert!(error.loss < 1e-9, "{error:?}");
        let weights = params.get("0.weight").unwrap().to_f64s();
        assert!((weights[0] - 2.0).abs() < 1e-3 && (weights[1] + 1.0).abs() < 1e-3, "{weights:?}");
    }
}

#[test]
fn penalties_join_the_objective_and_decay_does_not() {
    let net = Sequential::new().linear(2, 1);
    let first = |config: Fit| {
        let mut params = net.init(Seed(1)).unwrap();
        let config = Fit {
            loss: Loss::mse(),
            epochs: 1,
            batch: 35,
            optimizer: if config.l2 > 0.0 { Sgd::new(0.1) } else { Sgd::new(0.1).weight_decay(0.25) }.into(),
            plan: Plan::Constant,
            ..config
        };
        let history = fit(&net, &mut params, &plane(), &config, |_| ControlFlow::Continue(())).unwrap();
        (history.epochs[0].train_loss, params.get("0.weight").unwrap().to_f64s())
    };
    let square: f64 =
        net.init(Seed(1)).unwrap().get("0.weight").unwrap().to_f64s().iter().map(|w| w * w).sum();
    for engine in [Engine::Eager, Engine::Graph] {
        let (penalised, by_penalty) = first(Fit { l2: 0.25, engine, ..Fit::default() });
        let (plain, by_decay) = first(Fit { engine, ..Fit::default() });
        assert!((penalised - plain - 0.125 * square).abs() < 1e-6, "{penalised} {plain}");
        // With plain gradient descent both shrink the weights alike.
        for (a, b) in by_penalty.iter().zip(&by_decay) {
            assert!((a - b).abs() < 1e-6, "{by_penalty:?} {by_decay:?}");
        }
    }
}

#[test]
fn a_run_that_is_done_is_not_silently_skipped() {
    let net = Sequential::new().linear(2, 1);
    let config = |epochs| Fit { loss: Loss::mse(), epochs, batch: 8, ..Fit::default() };
    let mut params = net.init(Seed(1)).unwrap();
    let mut run = |epochs| fit(&net, &mut params, &plane(), &config(epochs), |_| ControlFlow::Continue(()));
    assert_eq!(run(2).unwrap().epochs.len(), 2);
    let error = run(2).unwrap_err().to_string();
    assert!(error.contains("have taken 10 steps, and 2 epochs are 10"), "{error}");
    assert_eq!(run(3).unwrap().epochs.len(), 1);
    assert!(run(0).unwrap().epochs.is_empty());
}

#[test]
fn an_interrupt_ends_training_between_steps() {
    let digits = Dataset::digits(0).unwrap();
    let flag = Arc::new(AtomicBool::new(false));
    for engine in [Engine::Eager, Engine::Graph] {
        flag.store(false, Ordering::Relaxed);
        let mut params = net().init(Seed(0)).unwrap();
        let config = Fit { interrupt: Some(flag.clone()), ..short(engine) };
        let stop_after_two = |epoch: &backprop_train::Epoch| {
            flag.store(epoch.epoch == 2, Ordering::Relaxed);
            ControlFlow::Continue(())
        };
        let history = fit(&net(), &mut params, &digits, &config, stop_after_two).unwrap();
        assert!(history.stopped && history.epochs.len() == 2 && params.step() == 90);
    }
}

#[test]
fn a_fault_tells_the_callers_lines() {
    let digits = Dataset::digits(0).unwrap();
    for engine in [Engine::Eager, Engine::Graph] {
        let told = |data: &Dataset, config: Fit| {
            let mut params = net().init(Seed(0)).unwrap();
            let config = Fit { engine, ..config };
            fit(&net(), &mut params, data, &config, |_| ControlFlow::Continue(())).unwrap_err().to_string()
        };
        let mut bad_label = digits.clone();
        bad_label.train_y.slice_mut::<i64>().unwrap()[5] = -1;
        let not_scalar = Fit { loss: Loss::new(|y, _| y), ..Fit::default() };
        for error in [
            told(&bad_label, Fit::default()),
            told(&digits, not_scalar),
            told(&Dataset::iris(0).unwrap(), Fit::default()),
        ] {
            assert!(error.contains("tests/fit.rs:") && !error.contains("src/"), "{error}");
        }
    }
}

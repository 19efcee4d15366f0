//! Parameters, layers and steps: what they promise, in both modes.

use backprop_core::{Array, DType, Error, Graph, Seed, Tensor, Type, concat, scan_n};
use backprop_nn::{
    Adam, AdamW, Bound, Declare, Dropout, Init, Layer, Linear, Optimizer, Params, Schedule, Sequential, Sgd,
    TrainStep, summary,
};
use backprop_run::{Tape, run};

/// Runs a body that builds from bound parameters and an input in both modes.
fn both(params: &Params, x: &Array, body: impl Fn(&Bound, Tensor) -> Tensor) -> [Result<Array, Error>; 2] {
    let tape = Tape::new();
    let eager = body(&params.bind(&tape), tape.value(x.clone())).value();
    let graph = Graph::new();
    let ty = Type::new(x.dtype(), x.sizes());
    let y = body(&params.bind(&graph), graph.input("x", ty));
    let mut inputs = vec![("x", x.clone())];
    inputs.extend(params.iter().map(|entry| (entry.path(), entry.array().clone())));
    inputs.extend(params.states().map(|(name, array)| (name, array.clone())));
    inputs.push(("train.step", Array::scalar(params.step() as i64)));
    inputs.dedup_by_key(|(name, _)| *name);
    inputs.retain(|(name, _)| graph.get(name).is_some());
    [eager, run(&graph, &inputs, &[y]).map(|mut outputs| outputs.remove(0))]
}

/// The two modes.
#[derive(Clone, Copy, Debug)]
enum Mode {
    Eager,
    Graph,
}

const MODES: [Mode; 2] = [Mode::Eager, Mode::Graph];

/// Takes a step of a body that makes a loss of bound parameters and inputs.
fn take_step(
    mode: Mode,
    params: &mut Params,
    optimizer: &Optimizer,
    inputs: &[Array],
    loss: impl Fn(&Bound, &[Tensor]) -> Tensor,
) -> Result<(), Error> {
    match mode {
        Mode::Eager => {
            let updates = Tape::new().scope(|t| {
                let p = params.bind(t);
                let x: Vec<Tensor> = inputs.iter().map(|input| t.value(input.clone())).collect();
                optimizer.updates(&p, loss(&p, &x))
            })?;
            params.apply(updates)
        }
        Mode::Graph => {
            let graph = Graph::new();
            let x: Vec<Tensor> = (0..inputs.len())
                .map(|k| graph.input(&format!("x{k}"), Type::new(inputs[k].dtype(), inputs[k].sizes())))
                .collect();
            let p = params.bind(&graph);
            let loss = loss(&p, &x);
            TrainStep::new(&graph, &x, &[loss], optimizer.updates(&p, loss)?)?.run(params, inputs)?;
            Ok(())
        }
    }
}

#[track_caller]
fn contains(error: Error, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

fn sample(sizes: [usize; 2]) -> Array {
    Init::Normal { std: 1.0 }.draw(Seed(5), "x", &sizes).unwrap()
}

#[test]
fn linear_is_x_times_w_transposed_plus_b() {
    let net = Linear::new(3, 2);
    let mut params = net.init(Seed(0)).unwrap();
    params.set("weight", [[1.0f32, 2.0, 3.0], [-1.0, 0.5, 4.0]]).unwrap();
    params.set("bias", [0.5f32, -0.5]).unwrap();
    for y in both(&params, &Array::from([[1.0f32, 10.0, 100.0]]), |p, x| net.forward(p, x)) {
        assert_eq!(y.unwrap().to_f64s(), [321.5, 403.5]);
    }
    // Leading axes are kept: [2, 5, 3] gives [2, 5, 2].
    let x = Array::full(DType::F32, &[2, 5, 3], 1.0).unwrap();
    for y in both(&params, &x, |p, x| net.forward(p, x)) {
        assert_eq!(y.unwrap().sizes(), [2, 5, 2]);
    }
}

#[test]
fn a_wrong_width_names_the_layer_and_its_line() {
    let net = Sequential::new().linear(3, 5).relu().linear(7, 2);
    let line = line!() - 1;
    let params = net.init(Seed(0)).unwrap();
    for y in both(&params, &sample([4, 3]), |p, x| net.forward(p, x)) {
        let place = format!("networks.rs:{line} (layer 2)");
        contains(y.unwrap_err(), &["linear: takes 7 features, but the input has 5", "f32[4, 5]", &place]);
    }
}

#[test]
fn paths_are_pytorchs_and_a_table_lists_the_layers() {
    let net = Sequential::new()
        .linear(3, 5)
        .relu()
        .dropout(0.1)
        .layer_norm(5)
        .add(Sequential::new().linear(5, 7).tanh());
    let params = net.init(Seed(1)).unwrap();
    let expect = ["0.weight", "0.bias", "3.weight", "3.bias", "4.0.weight", "4.0.bias"];
    assert_eq!(params.paths().collect::<Vec<_>>(), expect);
    assert_eq!(params.get("0.weight").unwrap().sizes(), [5, 3]);
    let rows = summary(&net);
    assert_eq!(rows[0].layer, "Linear(3, 5)");
    assert_eq!(rows.iter().map(|row| row.n_parameters).sum::<usize>(), params.n_parameters());
    assert_eq!(rows.last().unwrap().path, "4.1");
}

#[test]
fn init_depends_on_seed_and_path_alone() {
    let net = Sequential::new().linear(11, 13).linear(11, 13);
    let (a, b, c) = (net.init(Seed(7)).unwrap(), net.init(Seed(7)).unwrap(), net.init(Seed(8)).unwrap());
    assert!(a.same_bits(&b) && !a.same_bits(&c));
    assert_ne!(a.get("0.weight").unwrap(), a.get("1.weight").unwrap());
    // PyTorch's default: U(±1/√in).
    let largest = a.get("0.weight").unwrap().to_f64s().into_iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    assert!(largest <= 1.0 / 11f64.sqrt() && largest > 0.9 / 11f64.sqrt(), "{largest}");
}

#[test]
fn initialisers_have_their_variances() {
    // fan_in and fan_out: 200 and 300 of [300, 200]; 40·9 and 50·9 of [50, 40, 9].
    let check = |init: Init, sizes: &[usize], variance: f64| {
        let drawn = init.draw(Seed(3), "w", sizes).unwrap().to_f64s();
        let n = drawn.len() as f64;
        let found = drawn.iter().map(|x| x * x).sum::<f64>() / n;
        // Five standard errors of a normal's variance, the widest of these distributions.
        assert!((found / variance - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "{init:?}: {found}, not {variance}");
        assert!((drawn.iter().sum::<f64>() / n).abs() < 5.0 * (variance / n).sqrt(), "{init:?}");
        // A uniform number ends at √3 standard deviations; of so many, one comes near.
        let largest = drawn.iter().fold(0.0, |m: f64, x| m.max(x.abs())) / variance.sqrt();
        let is_uniform = format!("{init:?}").contains("Uniform");
        let ends_rightly = if is_uniform { (1.7..1.7320509).contains(&largest) } else { largest > 3.5 };
        assert!(ends_rightly, "{init:?}: {largest} standard deviations");
    };
    let (matrix, kernel) = (&[300, 200][..], &[50, 40, 9][..]);
    check(Init::Normal { std: 0.5 }, matrix, 0.25);
    check(Init::Uniform { bound: 0.5 }, matrix, 0.25 / 3.0);
    check(Init::XavierUniform { gain: 2.0 }, matrix, 8.0 / 500.0);
    check(Init::XavierUniform { gain: 1.0 }, kernel, 2.0 / 810.0);
    check(Init::XavierNormal { gain: 1.0 }, matrix, 2.0 / 500.0);
    check(Init::XavierNormal { gain: 5.0 / 3.0 }, kernel, 50.0 / 9.0 / 810.0);
    check(Init::HE_UNIFORM, matrix, 2.0 / 200.0);
    check(Init::HE_NORMAL, matrix, 2.0 / 200.0);
    check(Init::HE_NORMAL, kernel, 2.0 / 360.0);
    check(Init::KaimingUniform { a: 0.1 }, kernel, 2.0 / 1.01 / 360.0);
    check(Init::LINEAR, matrix, 1.0 / 600.0);
}

#[test]
fn dropout_has_one_mask_in_both_modes_and_another_for_each_layer_and_step() {
    let net = Sequential::new().dropout(0.5).add(Dropout::new(0.25));
    let mut params = net.init(Seed(4)).unwrap();
    let x = Array::full(DType::F32, &[31, 17], 1.0).unwrap();
    let layer = |name: &'static str, layer: Dropout| move |p: &Bound, x: Tensor| p.run(name, &layer, x);
    let [eager, graph] = both(&params, &x, |p, x| net.forward(p, x)).map(Result::unwrap);
    assert!(eager.same_bits(&graph));
    let [first, _] = both(&params, &x, layer("0", Dropout::new(0.5))).map(Result::unwrap);
    let [other, _] = both(&params, &x, layer("1", Dropout::new(0.5))).map(Result::unwrap);
    assert_ne!(first, other);
    params.set_state("train.step", 1i64).unwrap();
    let [later, later_graph] = both(&params, &x, layer("0", Dropout::new(0.5))).map(Result::unwrap);
    assert!(first != later && later.same_bits(&later_graph));
    let kept = first.to_f64s().iter().filter(|&&x| x == 2.0).count() as f64;
    assert!((kept - 263.5).abs() < 5.0 * (527f64 / 4.0).sqrt(), "{kept} of 527 are kept");
    let [same, _] = both(&params, &x, |p, x| net.forward(&p.clone().eval(), x)).map(Result::unwrap);
    assert_eq!(same, x);
    let [all, none] = [1.0, 0.0].map(|p| both(&params, &x, layer("0", Dropout::new(p)))[0].clone().unwrap());
    assert!(all.to_f64s().iter().all(|&x| x == 0.0) && none == x);
}

/// Five iterations, in each of which dropout acts twice: on the carry, and in a loop of its own.
struct Loops;

impl Layer for Loops {
    fn forward(&self, p: &Bound, x: Tensor) -> Tensor {
        let half = Dropout::new(0.5);
        let (_, rows) = scan_n(5usize, x, |_, carry| {
            let (_, inner) = scan_n(3usize, x, |_, own| (own, p.run("inner", &half, own)));
            let once = p.run("outer", &half, carry);
            (carry, (inner, once))
        });
        let (inner, outer): (Tensor, Tensor) = rows;
        concat(&[inner.reshape([15, 31]), outer], 0)
    }
}

#[test]
fn dropout_in_a_loop_draws_anew_in_each_iteration() {
    let params = Loops.init(Seed(4)).unwrap();
    let x = Array::full(DType::F32, &[31], 1.0).unwrap();
    let [eager, graph] = both(&params, &x, |p, x| Loops.forward(p, x)).map(Result::unwrap);
    assert!(eager.same_bits(&graph));
    let rows: Vec<Vec<f64>> = eager.to_f64s().chunks(31).map(<[f64]>::to_vec).collect();
    assert_eq!(rows.len(), 20);
    for (position, row) in rows.iter().enumerate() {
        assert!(!rows[..position].contains(row), "row {position} comes twice");
    }
}

#[test]
fn a_state_that_a_loop_asked_for_serves_the_step_around_it() {
    // The seed and the step are first asked for inside the loop, then by the optimizer outside.
    let net = Linear::new(3, 1);
    let optimizer = Optimizer::from(Adam::new(0.1)).schedule(Schedule::warm_up_cosine(2, 9));
    let [eager, graph] = MODES.map(|mode| {
        let mut params = net.init(Seed(0)).unwrap();
        for _ in 0..3 {
            let x = [sample([5, 3])];
            take_step(mode, &mut params, &optimizer, &x, |p, x| {
                let (total, ()) = scan_n(4usize, p.get("bias").sum(()) * 0.0, |_, total| {
                    let kept = p.run("mask", &Dropout::new(0.5), x[0]);
                    (total + net.forward(p, kept).square().sum(()), ())
                });
                total
            })
            .unwrap();
        }
        params
    });
    assert_eq!((eager.step(), graph.step()), (3, 3));
    for (eager, graph) in eager.iter().zip(graph.iter()) {
        let pairs = eager.array().to_f64s().into_iter().zip(graph.array().to_f64s());
        assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() <= 1e-6), "{}", eager.path());
    }
}

#[test]
fn unknown_paths_name_the_nearest() {
    let mut params = Sequential::new().linear(3, 2).init(Seed(0)).unwrap();
    contains(params.get("0.wieght").unwrap_err(), &["`0.wieght`", "there is `0.weight`"]);
    contains(params.freeze("1").unwrap_err(), &["no parameter is called `1`"]);
    contains(params.set("0.bias", [1.0f32]).unwrap_err(), &["`0.bias` is f32[2], but f32[1] was given"]);
    contains(params.insert("0.bias", [1.0f32]).unwrap_err(), &["already"]);
    contains(params.set_lr_multiplier("0", f64::NAN).unwrap_err(), &["NaN"]);
    let wider = Sequential::new().linear(3, 2).linear(2, 2);
    for y in both(&params, &sample([2, 3]), |p, x| wider.forward(p, x)) {
        contains(y.unwrap_err(), &["there is no parameter `1.weight`", "there is `0.weight`"]);
    }
}

/// x·w + unused·0: a layer with a parameter that its output does not depend on.
struct Forgetful;

impl Layer for Forgetful {
    fn declare(&self, at: &mut Declare) {
        at.parameter("used", &[3], Init::Ones);
        at.parameter("unused", &[2], Init::Ones);
    }
    fn forward(&self, p: &Bound, x: Tensor) -> Tensor {
        x * p.get("used")
    }
}

#[test]
fn a_trainable_parameter_without_gradient_is_an_error_and_a_frozen_one_is_not() {
    let sgd = Optimizer::from(Sgd::new(0.5));
    for mode in MODES {
        let step = |params: &mut Params, optimizer: &Optimizer| {
            let x = [Array::from([1.0f32, 2.0, 3.0])];
            take_step(mode, params, optimizer, &x, |p, x| Forgetful.forward(p, x[0]).sum(()))
        };
        let mut params = Forgetful.init(Seed(0)).unwrap();
        let before = params.clone();
        let error = step(&mut params, &sgd).unwrap_err();
        contains(error, &["`unused` gets no gradient", "does not depend on", "freeze(\"unused\")"]);
        assert!(params.same_bits(&before));
        step(&mut params.clone(), &sgd.clone().allow_missing_gradients()).unwrap();
        params.freeze("unused").unwrap();
        params.set_lr_multiplier("used", 0.5).unwrap();
        step(&mut params, &sgd).unwrap();
        assert_eq!(params.get("used").unwrap().to_f64s(), [0.75, 0.5, 0.25]);
        assert_eq!(params.get("unused").unwrap().to_f64s(), [1.0, 1.0]);
        // With nothing left to train a step only counts.
        params.freeze("used").unwrap();
        step(&mut params, &sgd.clone().clip_norm(1.0)).unwrap();
        assert_eq!((params.step(), params.get("used").unwrap().to_f64s()), (2, vec![0.75, 0.5, 0.25]));
    }
}

#[test]
fn hyper_parameters_out_of_range_are_refused() {
    let check = |optimizer: Optimizer, part: &str| {
        for mode in MODES {
            let mut params = Linear::new(1, 1).without_bias().init(Seed(0)).unwrap();
            let error = take_step(mode, &mut params, &optimizer, &[], |p, _| p.get("weight").sum(()));
            contains(error.unwrap_err(), &[part]);
        }
    };
    check(Sgd::new(-0.1).into(), "lr must be finite and at least 0, not -0.1");
    check(Sgd::new(0.1).nesterov().into(), "nesterov needs momentum");
    check(Sgd::new(0.1).momentum(0.9).dampening(f64::NAN).into(), "dampening must be finite, not NaN");
    check(Adam::new(0.1).betas(0.9, 1.0).into(), "betas.1 must be in [0, 1), not 1");
    check(AdamW::new(0.1).weight_decay(-1.0).into(), "weight_decay must be finite and at least 0, not -1");
    check(Optimizer::from(Sgd::new(0.1)).clip_norm(0.0), "above 0");
    check(Optimizer::from(Sgd::new(0.1)).schedule(Schedule::Cosine { t_max: 0, eta_min: 0.0 }), "t_max > 0");
}

#[test]
fn a_step_that_is_not_finite_changes_nothing_and_says_where_it_began() {
    let net = Sequential::new().linear(3, 5).tanh().linear(5, 2);
    let optimizer = Optimizer::from(Adam::new(0.1)).clip_norm(1.0);
    let loss = |p: &Bound, x: &[Tensor]| (net.forward(p, x[0]).log() - x[1]).square().mean(());
    // The targets are so large that the square overflows.
    let overflow = [sample([4, 3]), Array::full(DType::F32, &[4, 2], 1e30).unwrap()];
    // A NaN in the data.
    let mut nan = [sample([4, 3]), sample([4, 2])];
    nan[0].slice_mut::<f32>().unwrap()[7] = f32::NAN;
    for mode in MODES {
        let mut params = net.init(Seed(0)).unwrap();
        params.set("2.bias", [9.0f32, 9.0]).unwrap();
        take_step(mode, &mut params, &optimizer, &[sample([4, 3]), sample([4, 2])], loss).unwrap();
        let before = params.clone();
        let error = take_step(mode, &mut params, &optimizer, &overflow, loss).unwrap_err();
        contains(error, &["square: gives inf at element 0", "networks.rs:", "the step was not taken"]);
        let error = take_step(mode, &mut params, &optimizer, &nan, loss).unwrap_err();
        contains(error, &["holds NaN at element 7", "the step was not taken"]);
        assert!(params.same_bits(&before));
    }
}

#[test]
fn a_gradient_that_is_not_finite_is_refused_though_the_loss_is() {
    let net = Linear::new(1, 1).without_bias();
    for mode in MODES {
        let mut params = net.init(Seed(0)).unwrap();
        params.set("weight", [[0.0f32]]).unwrap();
        let before = params.clone();
        let x = [Array::from([[1.0f32]])];
        let sgd = Optimizer::from(Sgd::new(0.1));
        let step = take_step(mode, &mut params, &sgd, &x, |p, x| net.forward(p, x[0]).sqrt().sum(()));
        contains(step.unwrap_err(), &["inf", "networks.rs:", "the step was not taken"]);
        assert!(params.same_bits(&before));
    }
}

#[test]
fn updates_fit_the_parameters_that_they_were_made_for() {
    let net = Sequential::new().linear(3, 2);
    let mut params = net.init(Seed(0)).unwrap();
    let graph = Graph::new();
    let (x, y) = (graph.input("x", "f32[B, 3]"), graph.input("y", "i64[B]"));
    let p = params.bind(&graph);
    let loss = net.forward(&p, x).cross_entropy(y);
    let sgd = Optimizer::from(Sgd::new(0.1));
    let step = TrainStep::new(&graph, &[x, y], &[loss], sgd.updates(&p, loss).unwrap()).unwrap();
    let unread = params.apply(sgd.updates(&p, loss).unwrap());
    contains(unread.unwrap_err(), &["updates of a graph hold no numbers"]);
    let batch = [sample([4, 3]), Array::from([0i64, 1, 1, 0])];
    contains(step.run(&mut params, &batch[..1]).unwrap_err(), &["2 inputs are wanted, but 1"]);
    let out_of_range = [sample([2, 3]), Array::from([0i64, 2])];
    let before = params.clone();
    assert!(step.run(&mut params, &out_of_range).is_err());
    assert!(params.same_bits(&before));
    params.freeze("0.bias").unwrap();
    contains(step.run(&mut params, &batch).unwrap_err(), &["`0.bias` was frozen", "build the step again"]);
}

#[test]
fn updates_are_applied_once_and_in_order() {
    let net = Linear::new(2, 1);
    let mut params = net.init(Seed(0)).unwrap();
    let sgd = Optimizer::from(Sgd::new(0.1));
    let tape = Tape::new();
    let updates = |params: &Params| {
        let p = params.bind(&tape);
        sgd.updates(&p, net.forward(&p, tape.value([[1.0f32, 2.0]])).square().sum(())).unwrap()
    };
    let (first, stale) = (updates(&params), updates(&params));
    params.apply(first).unwrap();
    let after = params.clone();
    // Applied, it would undo the first step.
    contains(params.apply(stale).unwrap_err(), &["of step 0, but the parameters are at step 1"]);
    assert!(params.same_bits(&after));
    let other = Linear::new(3, 1).init(Seed(0)).unwrap();
    let next = updates(&params);
    contains(other.clone().apply(next).unwrap_err(), &["`weight` is not the parameter"]);
    // Another network of the same shape, and numbers that were set meanwhile.
    let mut twin = net.init(Seed(1)).unwrap();
    twin.set_state("train.step", Array::scalar(1i64)).unwrap();
    contains(twin.apply(updates(&params)).unwrap_err(), &["`weight` holds other numbers"]);
    let late = updates(&params);
    params.set("weight", Array::from([[9.0f32, 9.0]])).unwrap();
    contains(params.apply(late).unwrap_err(), &["`weight` holds other numbers"]);
}

#[test]
fn parameters_of_another_place_are_faults_that_name_the_layer() {
    let net = Sequential::new().linear(3, 2);
    let line = line!() - 1;
    let params = net.init(Seed(0)).unwrap();
    let (tape, other, graph) = (Tape::new(), Tape::new(), Graph::new());
    let layer = format!("networks.rs:{line} (layer 0)");
    let stale = tape.scope(|t| params.bind(t));
    let elsewhere = params.bind(&other);
    let x = tape.value(sample([4, 3]));
    contains(net.forward(&stale, x).value().unwrap_err(), &["stale: the scope", &layer]);
    contains(net.forward(&elsewhere, x).value().unwrap_err(), &["another graph or tape", &layer]);
    let in_graph = net.forward(&elsewhere, graph.input("x", "f32[B, 3]"));
    contains(graph.check(&[in_graph]).unwrap_err(), &["another graph or tape", &layer]);
    // The loss of other parameters than those to improve.
    let p = params.bind(&tape);
    let updates = Optimizer::from(Sgd::new(0.1)).updates(&elsewhere, net.forward(&p, x).sum(()));
    let line = line!() - 1;
    let optimizer = format!("networks.rs:{line} (layer optimizer)");
    contains(updates.err().unwrap(), &["another graph or tape", &optimizer]);
}

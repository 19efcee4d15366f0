//! Parameters bound on a tape and used in scopes and bodies inside it.

use backprop_core::{Array, Graph, Seed, scan};
use backprop_nn::{Layer, Optimizer, Params, Sequential, Sgd};
use backprop_run::{Bind, Tape, run};

fn dropout() -> (Sequential, Params) {
    let net = Sequential::new().dropout(0.5);
    let params = net.init(Seed(3)).unwrap();
    (net, params)
}

#[test]
fn state_asked_for_in_a_scope_ends_with_it() {
    let net = Sequential::new().linear(3, 2).dropout(0.5);
    let params = net.init(Seed(1)).unwrap();
    let tape = Tape::new();
    let p = params.bind(&tape);
    let optimizer = Optimizer::from(Sgd::new(0.1).momentum(0.9));
    let step = |fill: i64| {
        tape.scope(|t| {
            // Other numbers stand where the first scope's state stood.
            let other = t.value(Array::full(backprop_core::DType::I64, &[5], fill as f64).unwrap());
            let x = t.value(Array::from([[1.0f32, 2.0, 3.0], [0.5, 0.0, -1.0]]));
            let loss = net.forward(&p, x).square().mean(());
            optimizer.updates(&p, loss).unwrap();
            (other.value().unwrap().len(), p.step().item().unwrap())
        })
    };
    assert_eq!((step(7), step(100)), ((5, 0.0), (5, 0.0)));
    // What was asked for outside stands in every scope.
    let outside = p.step();
    assert!(tape.scope(|_| p.step()).is(outside));
}

/// The masks of three iterations, each of five elements.
fn masks(home: &impl Bind, c: backprop_core::Tensor, xs: backprop_core::Tensor) -> backprop_core::Tensor {
    let (net, params) = dropout();
    scan(c, xs, |c, x| (c, net.forward(&params.bind(home), x))).1
}

#[test]
fn parameters_bound_in_a_loop_draw_anew_in_each_iteration() {
    let ones = || Array::full(backprop_core::DType::F32, &[3, 16], 1.0).unwrap();
    let tape = Tape::new();
    let eager = masks(&tape, tape.value(0.0f32), tape.value(ones())).value().unwrap();
    let g = Graph::new();
    let (c, xs) = (g.input("c", "f32[]"), g.input("xs", "f32[3, 16]"));
    let y = masks(&g, c, xs);
    let given = [("c", Array::scalar(0.0f32)), ("xs", ones()), ("train.step", Array::scalar(0i64))];
    let seed = ("train.seed", Array::from([3u32, 0]));
    let outputs = run(&g, &[given.as_slice(), &[seed]].concat(), &[y]).unwrap();
    assert!(eager.same_bits(&outputs[0]), "{eager}\n{}", outputs[0]);
    let rows: Vec<Vec<f64>> = eager.to_f64s().chunks(16).map(<[f64]>::to_vec).collect();
    assert!(rows[0] != rows[1] && rows[1] != rows[2] && rows[0] != rows[2], "{eager}");
}

#[test]
fn an_inner_loop_draws_anew_in_each_iteration_of_the_outer_one() {
    let (net, params) = dropout();
    let tape = Tape::new();
    let xs = tape.value(Array::full(backprop_core::DType::F32, &[2, 3, 16], 1.0).unwrap());
    let c = tape.value(0.0f32);
    let (_, y) = scan(c, xs, |c, xs| (c, scan(c, xs, |c, x| (c, net.forward(&params.bind(&tape), x))).1));
    let y = y.value().unwrap();
    let rows: Vec<Vec<f64>> = y.to_f64s().chunks(16).map(<[f64]>::to_vec).collect();
    for (i, row) in rows.iter().enumerate() {
        assert!(rows[..i].iter().all(|other| other != row), "row {i} of\n{y}");
    }
}

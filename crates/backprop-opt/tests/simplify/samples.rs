//! Every op of the registry, and composites, with their derivatives of orders 0 to 2: the passes keep the values.

use backprop_ad::vjp;
use backprop_core::verify::verify;
use backprop_core::{Array, DType, Graph, Op, Records, Tensor, Type, ValueId, interpret};
use backprop_opt::simplify::{Options, Stability, check, decompose, simplify};

use crate::common::{distance, plain_inputs, same, special_inputs};

type Function = dyn Fn(&Graph, &[Tensor]) -> Vec<Tensor>;

/// A function of tensors at a point.
struct Case {
    name: String,
    inputs: Vec<Array>,
    f: Box<Function>,
}

/// What a case computes, its gradients for some cotangents, and theirs.
fn graph_of(case: &Case, order: usize) -> (Records, Vec<ValueId>) {
    let g = Graph::new();
    let input = |name: String, array: &Array| g.input(&name, Type::new(array.dtype(), array.sizes()));
    let x: Vec<Tensor> = case.inputs.iter().enumerate().map(|(i, x)| input(format!("x{i}"), x)).collect();
    let is_float = |x: &Tensor| x.dtype().is_some_and(DType::is_float);
    let floats: Vec<Tensor> = x.iter().copied().filter(is_float).collect();
    let mut level = (case.f)(&g, &x);
    let mut roots = level.clone();
    for order in 0..order {
        let y: Vec<Tensor> = level.iter().copied().filter(is_float).collect();
        if y.is_empty() || floats.is_empty() {
            break;
        }
        let name = |i: usize| format!("d{order}.{i}");
        let seeds: Vec<(Tensor, Tensor)> =
            y.iter().enumerate().map(|(i, &y)| (y, g.input(&name(i), y.ty().expect("well-typed")))).collect();
        level = vjp(&seeds, &floats).gradients().to_vec();
        roots.extend(&level);
    }
    let roots = roots.iter().map(|root| root.id()).collect();
    ((*g.records()).clone(), roots)
}

/// The arrays of the case for its own inputs, others for the cotangents.
fn at_case(case: &Case, records: &Records) -> Vec<(ValueId, Array)> {
    let mut given = plain_inputs(records, 3);
    for (i, array) in case.inputs.iter().enumerate() {
        let value = records.by_name(&format!("x{i}")).expect("an input");
        given.iter_mut().filter(|(own, _)| *own == value).for_each(|(_, own)| *own = array.clone());
    }
    given
}

fn cases() -> Vec<Case> {
    let of_op = |(op, inputs): (Op, Vec<Array>)| {
        let name = op.name().to_string();
        let f = move |g: &Graph, x: &[Tensor]| {
            let line = backprop_core::graph::place::Line::Code(std::panic::Location::caller());
            g.id().emit(op.clone(), x, line).iter().collect()
        };
        Case { name, inputs, f: Box::new(f) }
    };
    // An input is a value that is given; large samples are for kernels.
    let is_here = |(op, x): &(Op, Vec<Array>)| !matches!(op, Op::Input(_)) && x.iter().all(|x| x.len() < 500);
    let mut cases: Vec<Case> = Op::samples().into_iter().filter(is_here).map(of_op).collect();
    let wave = backprop_core::ops::sample::wave;
    let classes = |n: usize| Array::vector((0..n).map(|i| (i % 2) as i64).collect::<Vec<i64>>());
    type F = fn(&[Tensor]) -> Tensor;
    let composites: [(&str, Vec<Array>, F); 12] = [
        ("relu", vec![wave(&[3, 2], 0)], |x| (x[0] - 0.7).relu()),
        ("gelu", vec![wave(&[5], 0)], |x| x[0].gelu()),
        ("silu", vec![wave(&[5], 0)], |x| x[0].silu()),
        ("softmax", vec![wave(&[2, 3], 0)], |x| x[0].softmax(-1)),
        ("cross_entropy", vec![wave(&[5, 3], 0), classes(5)], |x| x[0].cross_entropy(x[1])),
        ("mse_loss", vec![wave(&[3, 2], 0), wave(&[3, 2], 1)], |x| x[0].mse_loss(x[1])),
        ("bce", vec![wave(&[3, 2], 0), wave(&[3, 2], 1)], |x| x[0].binary_cross_entropy_with_logits(x[1])),
        ("layer_norm", vec![wave(&[3, 5], 0), wave(&[5], 1), wave(&[5], 2)], |x| {
            x[0].layer_norm(Some(x[1]), Some(x[2]), 1e-5)
        }),
        ("mlp", vec![wave(&[3, 5], 0), wave(&[7, 5], 1), wave(&[7], 2), wave(&[2, 7], 3)], |x| {
            (x[0].matmul(x[1].t()) + x[2]).tanh().matmul(x[3].t()).square().mean(())
        }),
        ("batched", vec![wave(&[2, 3, 5], 0), wave(&[5, 2], 1)], |x| x[0].matmul(x[1]).sin()),
        ("parts", vec![wave(&[7], 0)], |x| {
            let parts = [x[0].slice_axis(0, 0, 3), x[0].slice_axis(0, 3, 7)];
            let joined = backprop_core::concat(&[parts[1], parts[0]], 0);
            joined.slice_axis(0, 1, 5) * joined.slice_axis(0, 4, 7).pad([1], [0])
        }),
        ("einsum", vec![wave(&[2, 3], 0), wave(&[3, 5], 1)], |x| {
            (x[0].unsqueeze(2) * x[1].unsqueeze(0)).sum(1)
        }),
    ];
    for (name, inputs, f) in composites {
        let f = move |_: &Graph, x: &[Tensor]| vec![f(x)];
        cases.push(Case { name: name.to_string(), inputs, f: Box::new(f) });
    }
    cases
}

type Outcome = Result<Vec<Array>, String>;

fn run(records: &Records, given: &[(ValueId, Array)], roots: &[ValueId]) -> Outcome {
    interpret(records, given, roots).map_err(|error| error.faults()[0].rule.clone())
}

#[test]
fn exact_passes_keep_every_bit() {
    let (mut n_graphs, mut n_before, mut n_after) = (0, 0, 0);
    for case in cases() {
        for order in 0..=2 {
            let (records, roots) = graph_of(&case, order);
            let simplified = simplify(&records, &roots, Options::EXACT).expect("well-typed");
            assert_eq!(verify(&simplified.records), Ok(()), "{}", case.name);
            (n_graphs, n_before) = (n_graphs + 1, n_before + records.n_nodes());
            n_after += simplified.records.n_nodes();
            let moved = |given: Vec<(ValueId, Array)>| -> Vec<(ValueId, Array)> {
                given.into_iter().map(|(x, a)| (simplified.value(x).expect("inputs stay"), a)).collect()
            };
            let special = (0..3).map(|seed| special_inputs(&records, seed));
            for given in std::iter::once(at_case(&case, &records)).chain(special) {
                let left = run(&records, &given, &roots);
                let right = run(&simplified.records, &moved(given), &simplified.roots);
                let equal = match (&left, &right) {
                    (Ok(left), Ok(right)) => left.iter().zip(right).all(|(a, b)| same(a, b)),
                    // Which of several faults is found first may differ.
                    (left, right) => left.is_err() && right.is_err(),
                };
                assert!(equal, "{} of order {order}: {left:?}\nis not {right:?}", case.name);
            }
        }
    }
    println!("{n_graphs} graphs, {n_before} nodes before, {n_after} after");
}

#[test]
fn other_passes_stay_close() {
    for case in cases() {
        for order in 0..=2 {
            let (records, roots) = graph_of(&case, order);
            let given = at_case(&case, &records);
            let first = simplify(&records, &roots, Options::FAST).expect("well-typed");
            let spelt = decompose(&first.records, &first.roots).expect("well-typed");
            let both = first.then(spelt);
            let last = simplify(&both.records, &both.roots, Options::FAST).expect("well-typed");
            let all = both.then(last);
            assert_eq!(verify(&all.records), Ok(()), "{}", case.name);
            let moved: Vec<(ValueId, Array)> =
                given.iter().map(|(x, a)| (all.value(*x).expect("inputs stay"), a.clone())).collect();
            let left = run(&records, &given, &roots).expect("no fault");
            let right = run(&all.records, &moved, &all.roots).expect("no fault");
            for (left, right) in left.iter().zip(&right) {
                let apart = distance(left, right);
                assert!(
                    apart <= 1e-12,
                    "{} of order {order}: {left:?}\nis {apart:e} from {right:?}",
                    case.name
                );
            }
        }
    }
}

#[test]
fn each_rewrite_keeps_its_licence_where_it_is_done() {
    let mut n_rewrites = 0;
    let all = Options { stability: Stability::Improved, ..Options::FAST };
    for case in cases() {
        for order in 0..=2 {
            let (records, roots) = graph_of(&case, order);
            for given in [at_case(&case, &records), plain_inputs(&records, 1)] {
                let Ok(replayed) = check(&records, &roots, all, &given) else { continue };
                assert!(replayed.broken.is_none(), "{}", replayed.broken.expect("there is one"));
                n_rewrites += replayed.n_rewrites;
            }
        }
    }
    println!("{n_rewrites} rewrites replayed");
    assert!(n_rewrites > 1000);
}

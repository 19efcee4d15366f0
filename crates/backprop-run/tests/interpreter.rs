//! The kernels against the reference interpreter: every op, every element type, with empty, rank-0 and
//! non-square shapes, NaN and infinities.
//!
//! Exact, but for functions that are not rounded correctly (4 ULP), and for sums, whose order is free
//! (n·u·Σ|x|, u the rounding unit).

use backprop_core::ops::{Binary, Compare, Contract, Logic, Pad, Unary};
use backprop_core::{Array, DType, Element, Graph, Op, Tensor, ValueId, emit, interpret, with_dtype};
use backprop_run::Executable;

/// How far a kernel may be from the reference.
#[derive(Clone, Copy, Debug)]
enum Bound {
    /// The same number; any NaN equals any NaN.
    Exact,
    /// Units in the last place of the reference.
    Ulp(f64),
    /// A sum of so many terms.
    Sum(usize),
}

/// Calls `f` on inputs of the arrays' types, runs it both ways and compares.
#[track_caller]
fn check(what: &str, inputs: &[Array], bound: Bound, f: impl Fn(&[Tensor]) -> Vec<Tensor>) {
    let g = Graph::new();
    let handles: Vec<Tensor> = inputs
        .iter()
        .enumerate()
        .map(|(idx, array)| {
            g.input(&format!("x{idx}"), backprop_core::Type::new(array.dtype(), array.sizes()))
        })
        .collect();
    let outputs: Vec<ValueId> = f(&handles).iter().map(|output| output.id()).collect();
    let ids: Vec<ValueId> = handles.iter().map(|handle| handle.id()).collect();
    let given: Vec<(ValueId, Array)> = ids.iter().copied().zip(inputs.iter().cloned()).collect();
    let reference = interpret(&g.records(), &given, &outputs).unwrap();
    // What a sum may be off: the same sum over absolute values says how much was added.
    let sizes = match bound {
        Bound::Sum(_) => {
            let given: Vec<(ValueId, Array)> =
                given.iter().map(|(id, array)| (*id, absolute(array))).collect();
            interpret(&g.records(), &given, &outputs).unwrap()
        }
        _ => reference.clone(),
    };
    let executable = Executable::new((*g.records()).clone(), ids, outputs).unwrap();
    let computed = executable.run(inputs).unwrap();
    for ((reference, computed), size) in reference.iter().zip(&computed).zip(&sizes) {
        assert_eq!((computed.dtype(), computed.sizes()), (reference.dtype(), reference.sizes()), "{what}");
        let unit = if reference.dtype() == DType::F32 { f32::EPSILON as f64 } else { f64::EPSILON };
        if !reference.dtype().is_float() {
            assert_eq!(computed.to_i64s(), reference.to_i64s(), "{what} of {inputs:?}");
            continue;
        }
        for ((y, r), size) in computed.to_f64s().into_iter().zip(reference.to_f64s()).zip(size.to_f64s()) {
            let near = match bound {
                Bound::Exact => y.to_bits() == r.to_bits(),
                Bound::Ulp(n) => (y - r).abs() <= n * unit * r.abs().max(smallest(reference.dtype())),
                Bound::Sum(n) => (y - r).abs() <= n as f64 * unit / 2.0 * size,
            };
            assert!(y == r || near || (y.is_nan() && r.is_nan()), "{what}: {y:e} is not {r:e}; {inputs:?}");
        }
    }
}

/// The smallest normal number: below it a unit in the last place does not shrink.
fn smallest(dtype: DType) -> f64 {
    if dtype == DType::F32 { f32::MIN_POSITIVE as f64 } else { f64::MIN_POSITIVE }
}

fn absolute(array: &Array) -> Array {
    if !array.dtype().is_float() {
        return array.clone();
    }
    with_dtype!(array.dtype(), |T| of::<T>(array.sizes(), array.to_f64s().iter().map(|x| x.abs()).collect()))
}

fn of<T: Element>(sizes: &[usize], values: Vec<f64>) -> Array {
    Array::new(sizes, values.into_iter().map(T::from_f64).collect()).unwrap()
}

/// Pseudorandom numbers between −4 and 4; integers for integer types.
fn ordinary(dtype: DType, sizes: &[usize], seed: u64) -> Array {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let values = (0..sizes.iter().product())
        .map(|_| {
            state = state.wrapping_mul(0xd129_0d3a_58e5_ef4d).wrapping_add(0x1405_7b7e_f767_814f);
            let x = (state >> 11) as f64 / (1u64 << 53) as f64 * 8.0 - 4.0;
            match dtype {
                DType::F32 | DType::F64 => x,
                DType::Bool => f64::from(x > 0.0),
                DType::U8 | DType::U32 => x.abs().floor(),
                _ => x.floor(),
            }
        })
        .collect();
    with_dtype!(dtype, |T| of::<T>(sizes, values))
}

/// The numbers where functions go wrong.
fn special(dtype: DType) -> Array {
    let edges = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        2.5,
        -3.5,
        1e-40,
        -1e-300,
        1e30,
        -88.0,
        89.0,
        -710.0,
        710.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ];
    with_dtype!(dtype, |T| of::<T>(&[edges.len()], edges.to_vec()))
}

const SHAPES: [&[usize]; 5] = [&[], &[0], &[3, 0, 2], &[7], &[2, 3, 5]];
const FLOATS: [DType; 2] = [DType::F32, DType::F64];
const NUMBERS: [DType; 6] = [DType::F32, DType::F64, DType::I32, DType::I64, DType::U32, DType::U8];

/// Every shape with ordinary numbers, and the special ones.
fn arrays(dtype: DType) -> impl Iterator<Item = Array> {
    SHAPES.iter().map(move |sizes| ordinary(dtype, sizes, 7)).chain([special(dtype)])
}

fn one(op: impl Into<Op> + Clone) -> impl Fn(&[Tensor]) -> Vec<Tensor> {
    move |x| emit(op.clone(), x).iter().collect()
}

#[test]
fn unary() {
    use Unary::*;
    for &op in Unary::ALL {
        let exact = [Neg, Abs, Sign, Sqrt, Reciprocal, Square, Floor, Ceil, Round].contains(&op);
        for dtype in NUMBERS {
            if !dtype.is_float() && op.reference_int().is_none() {
                continue;
            }
            for x in arrays(dtype) {
                check(op.name(), &[x], if exact { Bound::Exact } else { Bound::Ulp(4.0) }, one(op));
            }
        }
    }
}

#[test]
fn binary_and_comparisons() {
    for dtype in NUMBERS {
        let n = special(dtype).len();
        let pairs = SHAPES
            .iter()
            .map(|sizes| (ordinary(dtype, sizes, 7), ordinary(dtype, sizes, 8)))
            .chain([(special(dtype), ordinary(dtype, &[n], 9)), (ordinary(dtype, &[n], 9), special(dtype))])
            .chain((1..n).map(|turn| {
                let x = special(dtype);
                let turned = x.pick(&[n], |i| (i + turn) % n);
                (x, turned)
            }));
        for (a, b) in pairs {
            for &op in Binary::ALL {
                if op == Binary::Div && dtype.is_int() && b.to_i64s().contains(&0) {
                    continue;
                }
                let bound = if op == Binary::Pow { Bound::Ulp(4.0) } else { Bound::Exact };
                check(op.name(), &[a.clone(), b.clone()], bound, one(op));
            }
            for &op in Compare::ALL {
                check(op.name(), &[a.clone(), b.clone()], Bound::Exact, one(op));
            }
        }
    }
}

#[test]
fn truth_values_and_select() {
    for sizes in SHAPES {
        let (p, q) = (ordinary(DType::Bool, sizes, 1), ordinary(DType::Bool, sizes, 2));
        check("and", &[p.clone(), q.clone()], Bound::Exact, one(Logic::And));
        check("or", &[p.clone(), q.clone()], Bound::Exact, one(Logic::Or));
        check("not", std::slice::from_ref(&p), Bound::Exact, one(Logic::Not));
        check("any", std::slice::from_ref(&p), Bound::Exact, |x| vec![x[0].any(())]);
        for dtype in DType::ALL {
            let (a, b) = (ordinary(dtype, sizes, 3), ordinary(dtype, sizes, 4));
            check("select", &[p.clone(), a, b], Bound::Exact, |x| vec![x[0].select(x[1], x[2])]);
        }
    }
}

#[test]
fn casts_identity_stop_gradient() {
    for from in DType::ALL {
        for x in arrays(from) {
            for to in DType::ALL {
                check("cast", std::slice::from_ref(&x), Bound::Exact, |x| vec![x[0].cast(to)]);
            }
            check("identity", &[x], Bound::Exact, |x| vec![x[0].identity(), x[0].stop_gradient()]);
        }
    }
}

#[test]
fn movement() {
    for dtype in DType::ALL {
        for sizes in [&[2usize, 3, 5][..], &[2, 0, 5], &[1, 3, 1]] {
            let x = ordinary(dtype, sizes, 5);
            let [a, b, c] = [sizes[0], sizes[1], sizes[2]];
            check("reshape", std::slice::from_ref(&x), Bound::Exact, |x| {
                vec![x[0].reshape([(a * b) as i64, c as i64])]
            });
            check("transpose", std::slice::from_ref(&x), Bound::Exact, |x| {
                vec![x[0].transpose(&[2, 0, 1]), x[0].t(), x[0].transpose(&[1, 0, 2])]
            });
            check("broadcast", std::slice::from_ref(&x), Bound::Exact, |x| {
                vec![x[0].broadcast_to([7, a, b, c])]
            });
            check("concat", &[x.clone(), ordinary(dtype, &[a, 4, c], 6)], Bound::Exact, |x| {
                vec![backprop_core::concat(x, 1)]
            });
        }
        let x = ordinary(dtype, &[5, 7], 5);
        check("slice", std::slice::from_ref(&x), Bound::Exact, |x| {
            vec![
                x[0].slice([1, 2], [4, 7], [2, 3]),
                x[0].slice([0, 3], [5, 3], [1, 1]),
                x[0].slice([5, 1], [5, 2], [1, 1]),
                x[0].slice_axis(0, 4, 5).slice_axis(1, 6, 7),
            ]
        });
        check("pad", &[x], Bound::Exact, |x| vec![x[0].pad([1, 0], [2, 3]), x[0].t().pad([0, 0], [0, 0])]);
        // Gaps between the elements; of none, they shorten the rest.
        let pad = |low: [usize; 2], high: [usize; 2], interior: [usize; 2]| {
            one(Pad { low: low.into(), high: high.into(), interior: interior.into() })
        };
        check("pad", &[ordinary(dtype, &[3, 2], 5)], Bound::Exact, pad([1, 0], [0, 2], [2, 1]));
        check("pad", &[ordinary(dtype, &[3, 2], 5)], Bound::Exact, pad([0, 2], [1, 0], [0, 3]));
        check("pad", &[ordinary(dtype, &[0, 2], 5)], Bound::Exact, pad([3, 1], [1, 0], [2, 1]));
        check("pad", &[ordinary(dtype, &[], 5)], Bound::Exact, |x| vec![x[0].pad([0; 0], [0; 0])]);
        check("slice", &[ordinary(dtype, &[], 5)], Bound::Exact, |x| {
            vec![x[0].slice([0; 0], [0; 0], [0; 0])]
        });
        check("broadcast", &[ordinary(dtype, &[], 1)], Bound::Exact, |x| vec![x[0].broadcast_to([2, 0, 3])]);
        check("broadcast", &[ordinary(dtype, &[2, 1, 3], 1)], Bound::Exact, |x| {
            vec![x[0].broadcast_to([2, 5, 3])]
        });
    }
}

fn sizes_of(x: Tensor) -> &'static [usize] {
    x.shape().and_then(|shape| shape.sizes()).unwrap()
}

#[test]
fn indices() {
    for dtype in DType::ALL {
        let x = ordinary(dtype, &[3, 5, 2], 5);
        for index in [Array::from([4i64, 0, 4, 1]), Array::new([0], Vec::<i64>::new()).unwrap()] {
            let n = index.len();
            check("gather", &[x.clone(), index.clone()], Bound::Exact, |x| {
                vec![x[0].gather(1, x[1]), x[0].t().gather(2, x[1]), x[0].gather(1, x[1].unsqueeze(0))]
            });
            let updates = ordinary(dtype, &[3, n, 2], 6);
            check("scatter_add", &[x.clone(), index.clone(), updates], Bound::Exact, |x| {
                vec![x[0].scatter_add(1, x[1], x[2])]
            });
            check("one_hot", &[index], Bound::Exact, |x| vec![x[0].one_hot(5usize, dtype)]);
        }
        if dtype.is_number() {
            for x in [x, special(dtype), ordinary(dtype, &[0, 5], 5), ordinary(dtype, &[37, 1, 3], 5)] {
                check("argmax", &[x], Bound::Exact, |x| {
                    let (y, index) = x[0].max_with_index(-1);
                    let first = if sizes_of(x[0])[0] == 0 { index } else { x[0].argmax(0) };
                    vec![first, y, index]
                });
            }
        }
    }
}

#[test]
fn reductions() {
    for dtype in NUMBERS {
        for sizes in [&[2usize, 3, 5][..], &[], &[2, 0, 5], &[37, 1]] {
            let x = ordinary(dtype, sizes, 5);
            let n = x.len();
            check("sum", std::slice::from_ref(&x), Bound::Sum(n), |x| vec![x[0].sum(())]);
            if sizes.len() == 3 {
                check("any", std::slice::from_ref(&x), Bound::Exact, |x| {
                    let x = x[0].gt(x[0].full_like(3));
                    vec![x.any(0), x.any([0, 2]), x.any(-1), x.any(())]
                });
                check("sum", std::slice::from_ref(&x), Bound::Sum(10), |x| {
                    vec![x[0].sum(1), x[0].sum([0, 2]), x[0].sum(-1), x[0].sum(0)]
                });
                check("max", std::slice::from_ref(&x), Bound::Exact, |x| vec![x[0].max(0), x[0].max(-1)]);
            }
            if n > 0 {
                check("max", std::slice::from_ref(&x), Bound::Exact, |x| vec![x[0].max(())]);
            }
            if dtype.is_float() {
                check("logsumexp", std::slice::from_ref(&x), Bound::Ulp(8.0), |x| vec![x[0].logsumexp(())]);
                if sizes.len() == 3 {
                    check("logsumexp", &[x], Bound::Ulp(8.0), |x| {
                        vec![x[0].logsumexp(0), x[0].logsumexp([0, 2]), x[0].logsumexp(-1)]
                    });
                }
            }
        }
        let n = special(dtype).len();
        for x in (0..n).map(|at| special(dtype).pick(&[2], |i| (at + i) % n)) {
            check("sum", std::slice::from_ref(&x), Bound::Sum(2), |x| vec![x[0].sum(())]);
            check("max", std::slice::from_ref(&x), Bound::Exact, |x| vec![x[0].max(())]);
            if dtype.is_float() {
                check("logsumexp", &[x], Bound::Ulp(4.0), |x| vec![x[0].logsumexp(())]);
            }
        }
    }
}

#[test]
fn contractions() {
    for dtype in NUMBERS {
        for (m, k, n) in [(3, 5, 7), (0, 5, 7), (3, 0, 7), (1, 37, 1), (17, 19, 23)] {
            let (a, b) = (ordinary(dtype, &[m, k], 5), ordinary(dtype, &[k, n], 6));
            check("matmul", &[a.clone(), b.clone()], Bound::Sum(k), |x| {
                vec![x[0].matmul(x[1]), x[1].t().matmul(x[0].t())]
            });
            check("contract", &[a, b], Bound::Sum(k), |x| vec![x[0].contract(x[1], &[1], &[0])]);
        }
        let (a, b) = (ordinary(dtype, &[2, 3, 5], 5), ordinary(dtype, &[2, 5, 7], 6));
        check("batched matmul", &[a.clone(), b.clone()], Bound::Sum(5), |x| vec![x[0].matmul(x[1])]);
        check("two axes", &[a, b], Bound::Sum(10), |x| vec![x[0].contract(x[1], &[2, 0], &[1, 0])]);
        let (a, b) = (ordinary(dtype, &[5], 5), ordinary(dtype, &[5], 6));
        check("dot and outer", &[a, b], Bound::Sum(5), |x| {
            vec![x[0].matmul(x[1]), emit(Contract::default(), x).one()]
        });
        let (a, b) = (ordinary(dtype, &[], 5), ordinary(dtype, &[3], 6));
        check("of rank 0", &[a, b], Bound::Exact, |x| vec![emit(Contract::default(), x).one()]);
    }
    for dtype in FLOATS {
        let x = special(dtype);
        check("special", &[x.clone(), ordinary(dtype, &[x.len()], 3)], Bound::Sum(1), |x| {
            vec![emit(Contract::default(), x).one()]
        });
    }
}

#[test]
fn leaves_and_random_numbers() {
    let key = Array::from([1u32, 2, 3, 4]);
    for dtype in FLOATS {
        check("random", std::slice::from_ref(&key), Bound::Exact, |key| {
            vec![key[0].uniform(dtype, [3, 5]), key[0].normal(dtype, [7]), key[0].normal(dtype, [0])]
        });
    }
    for dtype in NUMBERS {
        check("leaves", &[ordinary(dtype, &[2, 3], 1)], Bound::Exact, |x| {
            vec![x[0].iota_like(1, dtype), x[0].full_like(3), x[0].dim_value(1), x[0] + x[0].ones_like()]
        });
    }
}

#[test]
fn a_network_with_its_gradient_and_named_sizes() {
    let g = Graph::new();
    let x = g.input("x", "f64[B, 4]");
    let (w, t) = (g.input("w", "f64[3, 4]"), g.input("t", "i64[B]"));
    let loss = x.matmul(w.t()).relu().cross_entropy(t);
    let [dw] = backprop_ad::grad(loss, [w]);
    let (inputs, outputs) = ([x.id(), w.id(), t.id()], [loss.id(), dw.id()]);
    let executable = Executable::new((*g.records()).clone(), inputs.to_vec(), outputs.to_vec()).unwrap();
    for rows in [1usize, 5] {
        let labels = Array::vector((0..rows as i64).map(|i| i % 3).collect::<Vec<_>>());
        let arrays = [ordinary(DType::F64, &[rows, 4], 1), ordinary(DType::F64, &[3, 4], 2), labels];
        let given: Vec<(ValueId, Array)> = inputs.into_iter().zip(arrays.clone()).collect();
        let reference = interpret(&g.records(), &given, &outputs).unwrap();
        for (y, r) in executable.run(&arrays).unwrap().iter().zip(&reference) {
            let off = y.to_f64s().iter().zip(r.to_f64s()).map(|(y, r)| (y - r).abs()).fold(0.0, f64::max);
            assert!(off <= 1e-15, "{y} {r}");
        }
    }
}

#[test]
fn wrong_input_is_refused() {
    let g = Graph::new();
    let (x, i) = (g.input("x", "f64[N, 3]"), g.input("i", "i64[N]"));
    let y = x.gather(0, i).sum(());
    let error = |inputs: &[(ValueId, Array)]| {
        interpret(&g.records(), inputs, &[y.id()]).err().map_or(String::new(), |error| error.to_string())
    };
    let (two, index) = (ordinary(DType::F64, &[2, 3], 1), Array::from([0i64, 2]));
    assert!(error(&[(x.id(), two.clone())]).contains("input i is needed but not given"));
    assert!(error(&[(x.id(), two.clone()), (i.id(), index)]).contains("index 2"));
    assert!(
        error(&[(x.id(), two.clone()), (i.id(), Array::from([0i64]))])
            .contains("i64[1] was given, and N is 2")
    );
    assert!(error(&[(x.id(), two.cast(DType::F32))]).contains("declared f64[N, 3], but f32[2, 3]"));
}

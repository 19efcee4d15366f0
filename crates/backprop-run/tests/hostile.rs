//! Executables as somebody uses them who means no good: faults in the data inside compiled nests and bodies, too
//! little memory, outputs that are inputs, many sizes, many callers.

use backprop_ad::grad;
use backprop_core::{Array, DType, Dim, Error, Graph, Tensor, Type, cond, scan};
use backprop_run::{CompileOptions, Engine, Executable, MAX_THREADS, Tape, compile};

const ENGINES: [Engine; 2] = [Engine::Native, Engine::Portable];

fn compiled(inputs: &[Array], options: CompileOptions, f: impl Fn(&[Tensor]) -> Tensor) -> Executable {
    let graph = Graph::new();
    let x: Vec<Tensor> = (inputs.iter().enumerate())
        .map(|(at, array)| graph.input(&format!("x{at}"), Type::new(array.dtype(), array.sizes())))
        .collect();
    compile(&graph, &x, &[f(&x)]).unwrap().with_options(options)
}

/// A compiled graph says of a fault in the data what the tape says, `told`, each time.
#[track_caller]
fn same_fault(inputs: &[Array], told: &str, f: impl Fn(&[Tensor]) -> Tensor) {
    let tape = Tape::new();
    let x: Vec<Tensor> = inputs.iter().map(|array| tape.value(array.clone())).collect();
    let first_line = |error: Error| error.to_string().lines().next().unwrap_or_default().to_string();
    let eager = first_line(f(&x).value().unwrap_err());
    assert!(eager.starts_with(told) && eager.contains("hostile.rs:"), "{eager}");
    for engine in ENGINES {
        for threads in [1, 2] {
            let options = CompileOptions { engine, threads, ..CompileOptions::default() };
            let executable = compiled(inputs, options, &f);
            for _ in 0..2 {
                assert_eq!(first_line(executable.run(inputs).unwrap_err()), eager);
            }
        }
    }
}

#[test]
fn a_fault_in_the_data_is_the_tapes() {
    let a: Array = vec![7i64, -5, 3, 2, 11, 13, 17].into();
    let by: Array = vec![1i64, 2, 3, 0, 5, 0, 7].into();
    let at: Array = vec![0i64, 3, 6, 7, -1, 2, 2].into();
    let x: Array = vec![0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 11.0].into();
    let (whole, taken) = ([a, by], [x, at]);
    let zero = "div: integer division by zero at element 3";
    same_fault(&whole, zero, |x| ((x[0] * 3i64) / (x[1] * 1i64) + 1i64).sum(()));
    let out_of_range = "gather: index 7 (element 3 of the indices) is out of range 0..7";
    let gathered = |x: &[Tensor]| (x[0] * 2.0).gather(0, x[1] + 0i64).exp().sum(());
    same_fault(&taken, out_of_range, gathered);
    same_fault(&taken, out_of_range, |x| grad(gathered(x), [x[0]])[0]);
    let in_body = "scan: in iteration 3: div: integer division by zero at element 0";
    same_fault(&whole, in_body, |x| scan(x[0].sum(()), x[1], |c, y| (c + 100i64 / y, c)).1);
    let in_branch = "cond: div: integer division by zero at element 3";
    same_fault(&whole, in_branch, |x| cond(x[0].sum(()).gt(0i64), || x[0] / x[1], || x[0]));
    let classes = [Array::from([[0.5, 1.0], [2.0, 3.0]]), vec![0i64, 2].into()];
    let no_class = "one_hot: index 2 (element 1 of the indices) is out of range 0..2";
    same_fault(&classes, no_class, |x| x[0].cross_entropy(x[1]));
}

#[test]
fn a_branch_that_is_not_taken_hides_its_fault() {
    let ([plus, minus], by) = ([7i64, -7].map(|first| Array::from(vec![first, -5, 3])), vec![1i64, 0, 3]);
    let [plus, minus] = [plus, minus].map(|a| [a, by.clone().into()]);
    for engine in ENGINES {
        let options = CompileOptions { engine, ..CompileOptions::default() };
        let f = |x: &[Tensor]| cond(x[0].sum(()).lt(0i64), || x[0] / x[1], || x[0] + 1i64);
        let executable = compiled(&plus, options, f);
        let good = || assert_eq!(executable.run(&plus).unwrap()[0].to_i64s(), [8, -4, 4]);
        good();
        assert!(executable.run(&minus).unwrap_err().to_string().contains("division by zero at element 1"));
        good();
    }
}

#[test]
fn what_there_is_no_memory_for_is_refused_with_its_number() {
    let x = [Array::zeros(DType::F32, &[101, 103]).unwrap()];
    let options = CompileOptions { max_bytes: Some(1000), threads: usize::MAX, ..CompileOptions::default() };
    let f = |x: &[Tensor]| x[0].matmul(x[0].t()).exp().sum(1).matmul(x[0]).sum(());
    let error = compiled(&x, options.clone(), f).run(&x).unwrap_err().to_string();
    assert!(
        error.starts_with("compile: the arena takes ") && error.contains(" bytes, above the 1000 allowed")
    );
    // As many threads as there can be are asked for, and none is started.
    let most = CompileOptions { threads: MAX_THREADS, ..options };
    assert_eq!(compiled(&x, most, f).run(&x).unwrap_err().to_string(), error);
    let graph = Graph::new();
    let n = graph.input("n", "f32[N]");
    let columns = n.reshape([Dim::named("N"), 1.into()]);
    let large = columns.broadcast_to([Dim::named("N"), Dim::Size(1 << 45)]) * 2.0f32;
    let error = compile(&graph, &[n], &[large]).unwrap().run(&[vec![1.0f32; 3].into()]).unwrap_err();
    assert!(error.to_string().contains("f32[3, 35184372088832] does not fit into memory"), "{error}");
}

#[test]
fn outputs_that_are_wrong_are_refused_and_shared_ones_are_copied() {
    let x: Array = vec![1.0f32, 2.0, 3.0].into();
    let graph = Graph::new();
    let a = graph.input("a", "f32[3]");
    let executable = compile(&graph, &[a], &[a * 2.0f32, a + a.sum(())]).unwrap();
    let wrong = [Array::scalar(1.0f32), vec![1.0, 2.0, 3.0].into(), x.reshape(&[3, 1]).unwrap()];
    for (wrong, ty) in wrong.into_iter().zip(["f32[]", "f64[3]", "f32[3, 1]"]) {
        let error = executable.run_into(std::slice::from_ref(&x), &mut [x.clone(), wrong]).unwrap_err();
        let told = format!("run: output 1 is f32[3], but the array for it is {ty}");
        assert_eq!(error.to_string().lines().next(), Some(&*told));
    }
    assert!(executable.run_into(std::slice::from_ref(&x), &mut [x.clone()]).is_err());
    // Both outputs and the input are one array.
    let mut outputs = [x.clone(), x.clone()];
    executable.run_into(std::slice::from_ref(&x), &mut outputs).unwrap();
    let found = [&x, &outputs[0], &outputs[1]].map(Array::to_f64s);
    assert_eq!(found, [[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [7.0, 8.0, 9.0]]);
    // An output twice, and an input as an output.
    let y = a * 2.0f32;
    let all = compile(&graph, &[a], &[y, a, y]).unwrap().run(&[x]).unwrap();
    let found: Vec<Vec<f64>> = all.iter().map(Array::to_f64s).collect();
    assert_eq!(found, [[2.0, 4.0, 6.0], [1.0, 2.0, 3.0], [2.0, 4.0, 6.0]]);
}

#[test]
fn empty_dimensions_give_what_a_walk_gives() {
    let graph = Graph::new();
    let (x, w) = (graph.input("x", "f32[B, N]"), graph.input("w", "f32[N, M]"));
    let h = x.matmul(w).relu();
    let z = h.log_softmax(1).sum(()) + h.sum(1).mean(0);
    let [dx, dw] = grad(z, [x, w]);
    let executable = compile(&graph, &[x, w], &[h, z, dx, dw]).unwrap();
    let halves = |sizes: [usize; 2]| Array::full(DType::F32, &sizes, 0.5).unwrap();
    for [b, n, m] in [[0, 3, 5], [3, 0, 5], [3, 5, 0], [0, 0, 0], [2, 3, 5]] {
        let inputs = [halves([b, n]), halves([n, m])];
        let (run, walked) = (executable.run(&inputs).unwrap(), executable.walk(&inputs).unwrap());
        for (run, walked) in run.iter().zip(&walked) {
            assert_eq!(run.sizes(), walked.sizes());
            for (x, y) in run.to_f64s().into_iter().zip(walked.to_f64s()) {
                assert!((x - y).abs() < 1e-5 || x.is_nan() && y.is_nan(), "{b}, {n}, {m}: {x}, not {y}");
            }
        }
    }
    let error = executable.run(&[halves([2, 3]), halves([5, 3])]).unwrap_err().to_string();
    assert!(
        error.contains("w is declared f32[N, M], but f32[5, 3] was given, and N is 3 elsewhere"),
        "{error}"
    );
}

/// Twenty sizes through a cache that keeps fewer, by four callers at a time.
#[test]
fn many_sizes_and_callers_share_an_executable() {
    let graph = Graph::new();
    let x = graph.input("x", "f64[B, 7]");
    let options = CompileOptions { threads: 2, ..CompileOptions::default() };
    let executable = compile(&graph, &[x], &[x.matmul(x.t()).exp().sum(())]).unwrap().with_options(options);
    std::thread::scope(|scope| {
        for caller in 0..4 {
            let executable = &executable;
            scope.spawn(move || {
                for round in 0..40 {
                    let b = (caller + round * 7) % 20;
                    let x = Array::full(DType::F64, &[b, 7], 0.1).unwrap();
                    let sum = executable.run(&[x]).unwrap()[0].item().unwrap();
                    let expected = (b * b) as f64 * 0.07f64.exp();
                    assert!((sum - expected).abs() <= 1e-12 * expected, "{b}: {sum}, not {expected}");
                }
            });
        }
    });
}

/// The bits of numbers, one NaN for all of them.
fn bits(x: &Array) -> Vec<u64> {
    x.to_f64s().into_iter().map(|x| if x.is_nan() { f64::NAN } else { x }.to_bits()).collect()
}

#[test]
fn a_multiply_add_of_any_signs_and_shapes_has_one_result_in_every_engine() {
    let hard = [0.0, -0.0, 1.5, -0.3, 1e-40, f64::MIN_POSITIVE, -3e38, f64::INFINITY, f64::NAN, 7.0, -11.0];
    let array = |dtype, sizes: &[usize], step: usize| {
        let n: usize = sizes.iter().product();
        let values: Vec<f64> = (0..n).map(|i| hard[(i / step + i) % hard.len()]).collect();
        Array::from(values).reshape(sizes).unwrap().cast(dtype)
    };
    let shapes: [[&[usize]; 3]; 7] = [
        [&[], &[], &[]],
        [&[7, 13], &[13], &[7, 1]],
        [&[13], &[3, 7, 13], &[]],
        [&[1, 5], &[], &[3, 1]],
        [&[0, 3], &[3], &[]],
        // Large: an op on a tape is a program of its own.
        [&[67, 71], &[71], &[67, 1]],
        [&[], &[1, 71], &[5, 67, 71]],
    ];
    for (shapes, dtype) in shapes.iter().flat_map(|shapes| [(shapes, DType::F32), (shapes, DType::F64)]) {
        let x = [0, 1, 2].map(|at| array(dtype, shapes[at], [3, 17, 101][at]));
        for signs in 0..8 {
            let f = |x: &[Tensor]| {
                let [a, b, c] = [0, 1, 2].map(|at| if signs >> at & 1 == 1 { -x[at] } else { x[at] });
                a.fma(b, c)
            };
            let tape = Tape::new();
            let handles: Vec<Tensor> = x.iter().map(|x| tape.value(x.clone())).collect();
            let expected = f(&handles).value().unwrap();
            let whole: Vec<Tensor> = handles.iter().map(|x| x.broadcast_to(expected.sizes())).collect();
            let each = |at: usize| whole[at].value().unwrap().to_f64s();
            let sign = |at: usize, x: f64| if signs >> at & 1 == 1 { -x } else { x };
            let all = each(0).into_iter().zip(each(1)).zip(each(2));
            let defined = all.map(|((a, b), c)| {
                let [a, b, c] = [sign(0, a), sign(1, b), sign(2, c)];
                match dtype {
                    DType::F32 => f64::from((a as f32).mul_add(b as f32, c as f32)),
                    _ => a.mul_add(b, c),
                }
            });
            assert_eq!(bits(&expected), bits(&defined.collect::<Vec<_>>().into()), "{shapes:?} {signs}");
            for engine in ENGINES {
                for threads in [1, 3] {
                    let options = CompileOptions { engine, threads, ..CompileOptions::default() };
                    let found = &compiled(&x, options, f).run(&x).unwrap()[0];
                    assert_eq!(found.sizes(), expected.sizes());
                    assert_eq!(bits(found), bits(&expected), "{shapes:?} {dtype} {signs} {engine:?}");
                }
            }
        }
    }
}

#[test]
fn a_multiply_add_of_what_does_not_fit_says_so_of_itself() {
    let told = |types: [&str; 3]| {
        let graph = Graph::new();
        let [a, b, c] = [0, 1, 2].map(|at| graph.input(["a", "b", "c"][at], types[at]));
        let error = compile(&graph, &[a, b, c], &[a.fma(b, c)]).map(|_| ()).unwrap_err().to_string();
        error.lines().next().unwrap_or_default().to_string()
    };
    for (types, rule) in [
        (["f32[2, 3]", "f32[2, 3]", "f32[5]"], "shapes differ"),
        (["f32[5]", "f32[2, 3]", "f32[3]"], "shapes differ"),
        (["f32[2, 3]", "f32[5]", "f32[2, 1]"], "shapes differ"),
        (["f32[B]", "f32[B]", "f32[N]"], "shapes differ"),
        (["f32[3]", "f64[3]", "f32[3]"], "element types differ"),
        (["f32[3]", "f32[3]", "f64[]"], "element types differ"),
        (["i64[3]", "i64[3]", "i64[]"], "floats"),
    ] {
        let told = told(types);
        assert!(told.starts_with("fma: ") && told.contains(rule), "{types:?}: {told}");
    }
}

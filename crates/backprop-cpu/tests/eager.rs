//! Ops one by one: of many elements they run as compiled programs, of few as loops, and nobody can tell.

use backprop_core::ops::{Any, Axes, Binary, Cast, Compare, Logic, Max, Norm, Op, Select, Sum, Unary};
use backprop_core::{Array, DType, Data, Element, Ill, Type, with_data};
use backprop_cpu::eval;

/// Many elements, a prime number: the last vector is cut.
const MANY: usize = 10_007;
/// Few.
const FEW: usize = 997;
/// After so many calls the program of a pointwise op is machine code.
const CALLS: usize = 48;

/// Numbers at which functions and conversions turn, in an order of their own for each `turn`.
fn special(dtype: DType, turn: usize) -> Array {
    const NUMBERS: [f64; 37] = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        1.5,
        2.5,
        -2.5,
        3.0,
        7.0,
        -7.0,
        127.0,
        128.0,
        255.0,
        256.0,
        -128.5,
        1e-3,
        88.8,
        -103.9,
        710.0,
        -745.2,
        1e-40,
        -1e-310,
        f32::MAX as f64,
        f64::MAX,
        f64::MIN_POSITIVE,
        2147483647.0,
        2147483648.0,
        -2147483648.0,
        -2147483649.0,
        4294967296.0,
        9223372036854775807.0,
        -9223372036854775808.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ];
    let numbers = (0..MANY).map(|i| NUMBERS[(i * (turn + 1) + i / NUMBERS.len() * turn) % NUMBERS.len()]);
    Array::vector(numbers.collect::<Vec<_>>()).cast(dtype)
}

fn part(x: &Array, from: usize, to: usize) -> Array {
    fn of<T: Element>(values: &[T]) -> Array {
        Array::vector(values.to_vec())
    }
    with_data!(x.data(), |values| of(&values[from..to]))
}

fn one(op: &Op, inputs: &[&Array]) -> Result<Array, Ill> {
    let types: Vec<Type> = inputs.iter().map(|x| Type::new(x.dtype(), x.shape())).collect();
    let output = op.rule().infer(&types)?;
    Ok(eval(op, inputs, &output)?.remove(0))
}

/// The bits of each element; of what is no number, that.
fn bits(x: &Array) -> Vec<u64> {
    match x.data() {
        Data::F32(x) => x.iter().map(|x| if x.is_nan() { u64::MAX } else { x.to_bits().into() }).collect(),
        Data::F64(x) => x.iter().map(|x| if x.is_nan() { u64::MAX } else { x.to_bits() }).collect(),
        _ => x.to_i64s().into_iter().map(|x| x as u64).collect(),
    }
}

/// What is computed of many elements, again and again, is what is computed of few at a time.
fn check(op: impl Into<Op>, inputs: &[&Array]) {
    let op = op.into();
    let types: Vec<Type> = inputs.iter().map(|x| Type::new(x.dtype(), x.shape())).collect();
    if op.rule().infer(&types).is_err() {
        return;
    }
    let mut expect = Vec::new();
    let mut fault = None;
    for from in (0..MANY).step_by(FEW) {
        let parts: Vec<Array> = inputs.iter().map(|x| part(x, from, (from + FEW).min(MANY))).collect();
        match one(&op, &parts.iter().collect::<Vec<_>>()) {
            Ok(y) => expect.extend(bits(&y)),
            Err(ill) => fault = fault.or(Some(ill)),
        }
    }
    for call in 0..CALLS {
        match one(&op, inputs) {
            Ok(y) => {
                assert!(fault.is_none(), "{op:?} {types:?}: {fault:?}");
                let differs = bits(&y).into_iter().zip(&expect).position(|(y, &expect)| y != expect);
                let at = differs.map(|at| inputs.iter().map(|x| part(x, at, at + 1)).collect::<Vec<_>>());
                assert_eq!(at.map(|x| format!("{x:?}")), None, "{op:?} {types:?}, call {call}");
                assert_eq!(y.len(), MANY);
            }
            Err(ill) => assert_eq!(Some(&ill), fault.as_ref(), "{op:?} {types:?}, call {call}"),
        }
    }
}

#[test]
fn pointwise_ops_give_the_same_bits_of_many_elements_and_of_few() {
    for dtype in DType::ALL {
        let [x, y] = [1, 2].map(|turn| special(dtype, turn));
        let condition = special(DType::Bool, 3);
        Unary::ALL.iter().for_each(|&op| check(op, &[&x]));
        Binary::ALL.iter().for_each(|&op| check(op, &[&x, &y]));
        Compare::ALL.iter().for_each(|&op| check(op, &[&x, &y]));
        Logic::ALL.iter().for_each(|&op| check(op, &[&x, &y]));
        Logic::ALL.iter().for_each(|&op| check(op, &[&x]));
        check(Select, &[&condition, &x, &y]);
        DType::ALL.iter().for_each(|&dtype| check(Cast { dtype }, &[&x]));
    }
}

#[test]
fn integers_are_divided_alike_where_no_divisor_is_zero() {
    for dtype in DType::ALL.into_iter().filter(|dtype| dtype.is_int()) {
        let x = special(dtype, 1);
        let y = special(dtype, 2);
        // −1 among them: the smallest integer divided by it wraps.
        let zeros = one(&Compare::Eq.into(), &[&y, &Array::zeros(dtype, &[MANY]).expect("small")]);
        let y = one(
            &Select.into(),
            &[&zeros.expect("no fault"), &Array::full(dtype, &[MANY], -1.0).expect("small"), &y],
        );
        let y = y.expect("no fault");
        let y = if dtype == DType::U8 || dtype == DType::U32 {
            one(&Binary::Maximum.into(), &[&y, &Array::full(dtype, &[MANY], 1.0).expect("small")])
                .expect("no fault")
        } else {
            y
        };
        check(Binary::Div, &[&x, &y]);
    }
}

/// What the kernels give, again and again, has the bits of the definition.
fn check_definition(op: impl Into<Op>, x: &Array) {
    let op = op.into();
    let types = [Type::new(x.dtype(), x.shape())];
    let Ok(output) = op.rule().infer(&types) else { return };
    let expect = op.rule().eval(&[x], &output).expect("no fault").remove(0);
    for _ in 0..CALLS {
        let y = eval(&op, &[x], &output).expect("no fault").remove(0);
        assert_eq!((y.sizes(), bits(&y)), (expect.sizes(), bits(&expect)), "{op:?} {types:?}");
    }
}

#[test]
fn sums_and_maxima_of_any_sizes_are_those_of_the_definition() {
    let all: [&[usize]; 12] = [
        &[],
        &[0],
        &[1],
        &[17],
        &[3, 0],
        &[0, 3],
        &[1, 5],
        &[7, 1, 3],
        &[31, 67],
        &[67, 31],
        &[2, 2053],
        &[5, 2, 3, 17],
    ];
    for sizes in all {
        let n: usize = sizes.iter().product();
        // Small integers: their sums are exact in any order.
        let numbers = (0..n).map(|i| ((i * 37) % 23) as f64 - 11.0).collect::<Vec<_>>();
        for values in [numbers, vec![-0.0; n]] {
            let x = Array::new(sizes, values).expect("as many as the sizes say");
            for mask in 0..1usize << sizes.len() {
                let axes = (0..sizes.len()).filter(|axis| mask >> axis & 1 == 1).collect::<Vec<_>>();
                let is_empty = axes.iter().any(|&axis| sizes[axis] == 0);
                let axes = Axes::new(&axes);
                for dtype in [DType::F32, DType::F64, DType::I32, DType::U8] {
                    let x = x.cast(dtype);
                    check_definition(Sum { axes }, &x);
                    if !is_empty {
                        check_definition(Max { axes }, &x);
                    }
                }
                check_definition(Any { axes }, &x.cast(DType::Bool));
            }
        }
        let zeros = Array::zeros(DType::F32, sizes).expect("small");
        check_definition(Norm, &zeros);
    }
}

//! The functions on floats: against mpmath's digits, against their definitions, and against themselves as
//! scalars, blocks and recorded code.

use backprop_core::DType;
use backprop_core::ops::{Binary, Unary};
use backprop_cpu::math::record::{Lane, LaneCode, RareFunction};
use backprop_cpu::math::{Scalar, binary, binary_block, binary_code, binary_ulp};
use backprop_cpu::math::{unary, unary_block, unary_code, unary_ulp};

/// The size of one ULP of results near `y`, f64 holding those of f32 too.
fn ulp(y: f64, dtype: DType) -> f64 {
    let exponent = ((y.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    let (least, greatest, fraction) = if dtype == DType::F32 { (-126, 127, 23) } else { (-1022, 1023, 52) };
    // In two steps: 2⁻¹⁰⁷⁴ at once would be made of its reciprocal, ∞.
    2f64.powi(exponent.clamp(least, greatest) - fraction + 500) * 2f64.powi(-500)
}

#[test]
fn f64_agrees_with_the_digits_of_mpmath() {
    let mut n_lines = 0;
    for line in include_str!("math_f64.txt").lines() {
        let mut words = line.split(' ');
        let name = words.next().expect("a name");
        let mut number =
            || f64::from_bits(u64::from_str_radix(words.next().expect("bits"), 16).expect("hex"));
        let (a, b, high, rest) = (number(), number(), number(), number());
        let (y, bound) = match Unary::ALL.iter().find(|op| op.name() == name) {
            Some(&op) => (unary(op, a), unary_ulp(op, DType::F64)),
            None => (binary(Binary::Pow, a, b), binary_ulp(Binary::Pow, DType::F64)),
        };
        let error = ((y - high) / ulp(high, DType::F64) - rest).abs();
        assert!(error <= bound, "{name}({a:e}, {b:e}) = {y:e}, {error} ULP from {high:e}");
        n_lines += 1;
    }
    assert!(n_lines > 400, "{n_lines}");
}

/// Whether y is what the definition says, rounded, give or take `bound` ULP.
fn agrees(y: f32, truth: f64, bound: f64) -> bool {
    // ∞ stands for 2¹²⁸, the f32 after the last.
    let finite = |v: f64| if v.abs() >= 2f64.powi(128) { 2f64.powi(128).copysign(v) } else { v };
    if truth.is_nan() || y.is_nan() {
        return truth.is_nan() && y.is_nan();
    }
    if truth == 0.0 {
        return y.to_bits() == (truth as f32).to_bits();
    }
    (finite(f64::from(y)) - finite(truth)).abs() <= bound * ulp(truth, DType::F32)
}

/// Every `step`-th f32.
fn f32s(step: usize) -> Vec<f32> {
    (0..=u32::MAX).step_by(step).map(f32::from_bits).collect()
}

/// Where functions change: zeros, bounds of the formats, ends of the pieces that formulas hold on.
fn special() -> Vec<f64> {
    let sizes = "0.0 5e-324 1.5e-323 1e-310 2.2250738585072014e-308 1e-160 1e-45 1.5e-45 1e-40 1.1754943508222875e-38 \
        1e-20 5.960464477539063e-8 1e-5 0.1 0.34657359 0.35 0.5 0.7071067811865476 0.75 0.99999994 1.0 \
        1.0000001192092896 1.4142135623730951 1.5 2.0 2.5 3.0 1.5707963267948966 3.141592653589793 4.0 5.9 \
        6.0 9.0 9.5 10.06 10.5 16.7 19.5 20.0 26.6 27.3 40.0 87.4 88.72283 88.72284 89.0 103.9 104.0 150.0 \
        708.5 709.782712893384 709.79 744.5 745.2 746.0 1e4 1e5 100001.0 8388607.5 8388609.0 16777217.0 1e9 \
        2e9 4503599627370497.5 9007199254740993.0 1e22 3e38 3.4028234663852886e38 1e155 \
        1.7976931348623157e308 inf";
    let sizes = sizes.split_whitespace().map(|size| size.parse::<f64>().expect("a number"));
    sizes.flat_map(|x| [x, -x]).chain([f64::NAN]).collect()
}

#[test]
fn f32_stays_within_its_bounds() {
    let mut x = f32s(16_381);
    x.extend(special().iter().map(|&x| x as f32));
    let mut y = vec![0.0; x.len()];
    for &op in Unary::ALL {
        unary_block(op, &x, &mut y);
        let bound = unary_ulp(op, DType::F32);
        for (&x, &y) in x.iter().zip(&y) {
            let truth = op.reference(f64::from(x));
            assert!(agrees(y, truth, bound), "{}({x:e}) = {y:e}, not {truth:e}", op.name());
        }
    }
}

#[test]
fn exp_of_zero_is_1_and_sigmoid_of_it_a_half() {
    for zero in [0.0, -0.0] {
        assert_eq!((unary(Unary::Exp, zero), unary(Unary::Sigmoid, zero)), (1f32, 0.5));
        assert_eq!((unary(Unary::Exp, f64::from(zero)), unary(Unary::Sigmoid, f64::from(zero))), (1.0, 0.5));
    }
}

#[test]
fn special_values_are_those_of_the_definitions() {
    for &op in Unary::ALL {
        for x in special() {
            let (y, truth) = (unary(op, x), op.reference(x));
            // The definitions are a few ULP from the truth themselves.
            let is_close = y == truth || (y - truth).abs() <= 3.0 * ulp(truth, DType::F64);
            let is_same = if truth.is_nan() {
                y.is_nan()
            } else {
                is_close && y.is_sign_negative() == truth.is_sign_negative()
            };
            assert!(is_same, "{}({x:e}) = {y:e}, not {truth:e}", op.name());
        }
    }
}

#[test]
fn functions_of_two_are_those_of_the_definitions() {
    for &op in Binary::ALL {
        for a in special() {
            for b in special() {
                let (y, truth) = (binary(op, a, b), op.reference(a, b));
                let is_close = y == truth || (y - truth).abs() <= 2.0 * ulp(truth, DType::F64);
                // max(0, −0) may be either.
                let has_sign = a == b || y.is_sign_negative() == truth.is_sign_negative();
                let is_same = if truth.is_nan() { y.is_nan() } else { is_close && has_sign };
                assert!(is_same, "{}({a:e}, {b:e}) = {y:e}, not {truth:e}", op.name());
                let (a, b) = (a as f32, b as f32);
                let (y, truth) = (binary(op, a, b), op.reference(f64::from(a), f64::from(b)));
                let has_sign = a == b || y.is_sign_negative() == truth.is_sign_negative();
                let is_same =
                    agrees(y.abs(), truth.abs(), binary_ulp(op, DType::F32)) && (has_sign || y.is_nan());
                assert!(is_same, "{}({a:e}, {b:e}) = {y:e}, not {truth:e}", op.name());
            }
        }
    }
}

#[test]
fn the_first_of_equal_operands_is_taken() {
    for op in [Binary::Maximum, Binary::Minimum] {
        assert!(binary(op, -0.0f64, 0.0).is_sign_negative() && binary(op, -0.0f32, 0.0).is_sign_negative());
        assert!(binary(op, 0.0f64, -0.0).is_sign_positive() && binary(op, 0.0f32, -0.0).is_sign_positive());
    }
}

/// A format, for the interpreter of recorded code.
trait Bits: Scalar + std::fmt::LowerExp + 'static {
    fn of(bits: u64) -> Self;
    fn to_u64(self) -> u64;
    fn call(function: RareFunction, x: Self) -> Self;
}

macro_rules! bits {
    ($($T:ident $I:ident $variant:ident)*) => {$(
        impl Bits for $T {
            fn of(bits: u64) -> $T {
                $T::from_bits(bits as $I)
            }
            fn to_u64(self) -> u64 {
                u64::from(self.to_bits())
            }
            fn call(function: RareFunction, x: $T) -> $T {
                match function {
                    RareFunction::$variant(function) => function(x),
                    other => panic!("{other:?} in code of {}", stringify!($T)),
                }
            }
        }
    )*};
}

bits! { f32 u32 F32 f64 u64 F64 }

/// Runs recorded code for one element, as the documentation of [`Lane`] reads.
fn interpret<T: Bits>(code: &LaneCode, inputs: &[T]) -> T {
    let mut values = Vec::<u64>::new();
    let of = T::of;
    let mask = |holds: bool| u64::from(holds);
    let width = if T::DTYPE == DType::F32 { u64::from(u32::MAX) } else { u64::MAX };
    for &lane in &code.lanes {
        let f = |reg: u32| of(values[reg as usize]);
        let i = |reg: u32| values[reg as usize];
        let value = match lane {
            Lane::Input(n) => inputs[n as usize].to_u64(),
            Lane::Literal(bits) => bits,
            Lane::Add(a, b) => (f(a) + f(b)).to_u64(),
            Lane::Sub(a, b) => (f(a) - f(b)).to_u64(),
            Lane::Mul(a, b) => (f(a) * f(b)).to_u64(),
            Lane::Div(a, b) => (f(a) / f(b)).to_u64(),
            Lane::MulAdd(a, b, c) => f(a).mul_add(f(b), f(c)).to_u64(),
            Lane::MulSub(a, b, c) => f(a).mul_add(f(b), -f(c)).to_u64(),
            Lane::NegMulAdd(a, b, c) => (-f(a)).mul_add(f(b), f(c)).to_u64(),
            Lane::Sqrt(a) => f(a).sqrt().to_u64(),
            Lane::Round(a) => f(a).round_ties_even().to_u64(),
            Lane::Floor(a) => f(a).floor().to_u64(),
            Lane::Ceil(a) => f(a).ceil().to_u64(),
            Lane::Smaller(a, b) => f(a).smaller(f(b)).to_u64(),
            Lane::Larger(a, b) => f(a).larger(f(b)).to_u64(),
            Lane::Scale(a, n) => f(a).scale(f(n)).to_u64(),
            Lane::AddInt(a, b) => i(a).wrapping_add(i(b)) & width,
            Lane::SubInt(a, b) => i(a).wrapping_sub(i(b)) & width,
            Lane::And(a, b) => i(a) & i(b),
            Lane::Or(a, b) => i(a) | i(b),
            Lane::Xor(a, b) => i(a) ^ i(b),
            Lane::ShiftLeft(a, n) => (i(a) << n) & width,
            Lane::ShiftRight(a, n) => i(a) >> n,
            Lane::Entry(a, table) => u64::from(table[i(a) as usize % 16]),
            Lane::Below(a, b) => mask(f(a).below(f(b))),
            Lane::AtMost(a, b) => mask(f(a).at_most(f(b))),
            Lane::Equal(a, b) => mask(f(a).equals(f(b))),
            Lane::EqualInt(a, b) => mask(i(a) == i(b)),
            Lane::Both(a, b) => i(a) & i(b),
            Lane::Either(a, b) => i(a) | i(b),
            Lane::Not(a) => i(a) ^ 1,
            Lane::Select(m, a, b) => {
                if i(m) == 1 {
                    i(a)
                } else {
                    i(b)
                }
            }
        };
        values.push(value);
    }
    match code.rare {
        Some(rare) if values[rare.mask as usize] == 1 => T::call(rare.function, inputs[0]),
        _ => of(values[code.result as usize]),
    }
}

fn same<T: Bits>(a: T, b: T) -> bool {
    a.to_u64() == b.to_u64() || (a.is_nan() && b.is_nan())
}

/// One function as a scalar, a block, and code with and without `Scale`.
fn three_ways<T: Bits>(inputs: &[T]) {
    for &op in Unary::ALL {
        let mut y = inputs.to_vec();
        unary_block(op, inputs, &mut y);
        let code = unary_code(op, T::DTYPE).expect("floats have code");
        let spelled_out = code.without_scale();
        for (&x, &y) in inputs.iter().zip(&y) {
            for other in [unary(op, x), interpret(code, &[x]), interpret(&spelled_out, &[x])] {
                assert!(same(y, other), "{}({x:e}): {y:e}, {other:e}", op.name());
            }
        }
    }
    let (a, b): (Vec<T>, Vec<T>) = inputs
        .iter()
        .zip(inputs.iter().cycle().skip(inputs.len() / 3).step_by(7))
        .map(|(&a, &b)| (a, b))
        .unzip();
    for &op in Binary::ALL {
        let mut y = a.clone();
        binary_block(op, &a, &b, &mut y);
        let code = binary_code(op, T::DTYPE).expect("floats have code");
        for ((&a, &b), &y) in a.iter().zip(&b).zip(&y) {
            for other in
                [binary(op, a, b), interpret(code, &[a, b]), interpret(&code.without_scale(), &[a, b])]
            {
                assert!(same(y, other), "{}({a:e}, {b:e}): {y:e}, {other:e}", op.name());
            }
        }
    }
}

#[test]
fn scalars_blocks_and_code_give_the_same_bits() {
    let ordinary = (0..1009).map(|i| f64::from(i - 500) * 0.037);
    let inputs: Vec<f64> = special().into_iter().chain(ordinary).collect();
    three_ways::<f64>(&inputs);
    three_ways::<f32>(&inputs.iter().map(|&x| x as f32).chain(f32s(1_999_993)).collect::<Vec<_>>());
}

#[test]
fn blocks_of_each_size_are_filled() {
    for n in [0, 1, 2, 3, 5, 7, 11, 13, 17, 31, 37, 67] {
        let x: Vec<f32> = (0..n).map(|i| i as f32 * 0.5 - 3.0).collect();
        let mut y = vec![f32::NAN; n];
        unary_block(Unary::Sin, &x, &mut y);
        assert!(x.iter().zip(&y).all(|(&x, &y)| y == unary(Unary::Sin, x)), "{n}");
    }
}

#[test]
fn integers_have_no_code() {
    assert!(unary_code(Unary::Neg, DType::I32).is_none() && binary_code(Binary::Add, DType::Bool).is_none());
}

#[test]
fn no_instruction_is_written_twice_or_for_nothing() {
    let codes = Unary::ALL.iter().flat_map(|&op| [DType::F32, DType::F64].map(|dtype| unary_code(op, dtype)));
    for code in codes.flatten() {
        for (number, lane) in code.lanes.iter().enumerate() {
            assert!(!code.lanes[..number].contains(lane), "{lane:?} twice in {code:?}");
            let is_read = code.lanes.iter().any(|other| other.operands().contains(&(number as u32)));
            let is_result =
                code.result == number as u32 || code.rare.is_some_and(|rare| rare.mask == number as u32);
            assert!(is_read || is_result, "{lane:?} of {code:?} is read by nothing");
        }
    }
}

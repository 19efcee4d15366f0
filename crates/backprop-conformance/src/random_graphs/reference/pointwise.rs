//! Pointwise ops: the value, and how far the operands' bounds carry: |slope| × bound, with the largest
//! slope between the ends of what an engine may have.

use backprop_core::ops::{Binary, Cast, Compare, Logic, Unary};
use backprop_core::{DType, Element, Type, with_dtype};

use super::super::double::Double;
use super::super::functions as f;
use super::super::real::{Format, Real, compared};
use super::super::ulps::{Promise, ROUNDED};
use super::values::{Elements, Values, Whole, wrapped};

/// y = op x
pub fn unary(op: Unary, x: &Values, promise: Promise) -> Values {
    match &x.elements {
        Elements::Reals(reals) => {
            let format = Format::of(x.dtype);
            Values::reals(x.ty(), reals.iter().map(|&x| unary_real(op, x, format, promise)).collect())
        }
        Elements::Wholes(wholes) => {
            let value = |x: i64| match op {
                Unary::Neg => x.wrapping_neg(),
                Unary::Abs => x.wrapping_abs(),
                Unary::Sign => x.signum(),
                Unary::Square => x.wrapping_mul(x),
                op => unreachable!("{op:?} takes no integers"),
            };
            Values::wholes(x.ty(), wholes.iter().map(|e| e.map(|e| wrapped(x.dtype, value(e)))).collect())
        }
    }
}

fn unary_real(op: Unary, real: Real, format: Format, promise: Promise) -> Real {
    if real.is_left_out() {
        return Real::LEFT_OUT;
    }
    let (low, high) = real.ends();
    let (x, e) = (real.x, real.bound);
    let has_zero = low <= 0.0 && high >= 0.0 && !real.is_exact();
    // The size nearest to 0 between the ends, where a bell is highest.
    let nearest = if has_zero { 0.0 } else { low.abs().min(high.abs()) };
    let jump = |value: fn(f64) -> f64| match value(low) == value(high) || x.is_nan() {
        true => Real::exact(value(x.hi)),
        false => Real::LEFT_OUT,
    };
    let bell = || std::f64::consts::FRAC_2_SQRT_PI * (-nearest * nearest).exp();
    let (y, slope) = match op {
        Unary::Neg => return Real { x: -x, bound: e, token: 0 },
        Unary::Abs if has_zero => (x.abs(), 1.0),
        Unary::Abs if x.hi >= 0.0 => return real,
        Unary::Abs => return Real { x: x.abs(), bound: e, token: 0 },
        Unary::Sign if has_zero => return Real::LEFT_OUT,
        Unary::Sign => return jump(|x| if x == 0.0 || x.is_nan() { x } else { x.signum() }),
        Unary::Floor => return jump(f64::floor),
        Unary::Ceil => return jump(f64::ceil),
        Unary::Round => return jump(f64::round_ties_even),
        Unary::Exp => (f::exp(x), high.exp()),
        Unary::Expm1 => (f::expm1(x), high.exp()),
        Unary::Log | Unary::Sqrt | Unary::Reciprocal if has_zero => return Real::LEFT_OUT,
        Unary::Reciprocal if x.hi == 0.0 => return Real::LEFT_OUT,
        Unary::Log => (f::log(x), 1.0 / low),
        Unary::Sqrt => (x.sqrt(), 0.5 / low.sqrt()),
        Unary::Reciprocal => (Double::ONE / x, 1.0 / (nearest * nearest)),
        Unary::Log1p if low <= -1.0 && high >= -1.0 && !real.is_exact() => return Real::LEFT_OUT,
        Unary::Log1p => (f::log1p(x), 1.0 / (1.0 + low)),
        Unary::Square => (x.square(), 2.0 * x.hi.abs() + e),
        // Their own tests reduce such arguments exactly; here most are far from exact.
        Unary::Sin | Unary::Cos if x.hi.abs() > 1e9 && x.is_finite() => return Real::LEFT_OUT,
        Unary::Sin => {
            let (sine, cosine) = f::sin_cos(x);
            (sine, (cosine.hi.abs() + e).min(1.0))
        }
        Unary::Cos => {
            let (sine, cosine) = f::sin_cos(x);
            (cosine, (sine.hi.abs() + e).min(1.0))
        }
        Unary::Tanh => (f::tanh(x), nearest.cosh().powi(-2)),
        Unary::Sigmoid => (f::sigmoid(x), (-nearest).exp() / (1.0 + (-nearest).exp()).powi(2)),
        Unary::Softplus => (f::softplus(x), 1.0 / (1.0 + (-high).exp())),
        Unary::Erf => (f::erf(x), bell()),
        Unary::Erfc => (f::erfc(x), bell()),
    };
    let spread = if e == 0.0 { 0.0 } else { slope * e };
    match op {
        // Rounded to nearest, so exact where the format holds the result.
        Unary::Square | Unary::Sqrt | Unary::Reciprocal => format.exact_or(y, spread, ROUNDED),
        _ => format.real(y, spread, promise.unary(op, format.dtype)),
    }
}

/// y = a op b
pub fn binary(op: Binary, a: &Values, b: &Values, promise: Promise) -> Result<Values, String> {
    match (&a.elements, &b.elements) {
        (Elements::Reals(x), Elements::Reals(y)) => {
            let format = Format::of(a.dtype);
            let each = x.iter().zip(y.iter()).map(|(&a, &b)| binary_real(op, a, b, format, promise));
            Ok(Values::reals(a.ty(), each.collect()))
        }
        _ => {
            let (x, y) = (a.as_wholes(), b.as_wholes());
            if op == Binary::Div && y.contains(&Some(0)) {
                return Err("an integer division by zero".to_string());
            }
            let each = |(a, b): (&Whole, &Whole)| Some(whole_of(op, (*a)?, (*b)?));
            let wrap = |y: Whole| y.map(|y| wrapped(a.dtype, y));
            Ok(Values::wholes(a.ty(), x.iter().zip(y).map(each).map(wrap).collect()))
        }
    }
}

fn whole_of(op: Binary, a: i64, b: i64) -> i64 {
    match op {
        Binary::Add => a.wrapping_add(b),
        Binary::Sub => a.wrapping_sub(b),
        Binary::Mul => a.wrapping_mul(b),
        Binary::Div => a.wrapping_div(b),
        Binary::Maximum => a.max(b),
        Binary::Minimum => a.min(b),
        // 1/aⁿ, truncated.
        Binary::Pow if b < 0 => match a {
            1 => 1,
            -1 if b % 2 == 0 => 1,
            -1 => -1,
            _ => 0,
        },
        Binary::Pow => a.wrapping_pow(u32::try_from(b).expect("exponents are small")),
    }
}

/// y = a op b, of two elements.
pub fn binary_real(op: Binary, a: Real, b: Real, format: Format, promise: Promise) -> Real {
    if a.is_left_out() || b.is_left_out() {
        return Real::LEFT_OUT;
    }
    let (x, y) = (a.x, b.x);
    match op {
        Binary::Maximum => Real::extreme(&[a, b], true),
        Binary::Minimum => Real::extreme(&[a, b], false),
        // Not where both are 0: the sign of the result decides what a division by it gives.
        Binary::Add if a.is(0.0) && !b.is(0.0) => b,
        Binary::Add | Binary::Sub if b.is(0.0) && !a.is(0.0) => a,
        Binary::Add => format.exact_or(x + y, a.bound + b.bound, ROUNDED),
        Binary::Sub if a.token != 0 && a.token == b.token => Real::ZERO,
        Binary::Sub => format.exact_or(x - y, a.bound + b.bound, ROUNDED),
        Binary::Mul => product(a, b, format),
        Binary::Div if b.is(1.0) => a,
        Binary::Div => {
            let (low, high) = b.ends();
            // No sum promises the sign of a zero, and it would be that of an infinity.
            let is_nan = a.x.is_nan() || a.is(0.0) && b.is(0.0);
            if low <= 0.0 && high >= 0.0 && !is_nan {
                return Real::LEFT_OUT;
            }
            let quotient = x / y;
            let spread = (a.bound + quotient.hi.abs() * b.bound) / (y.hi.abs() - b.bound);
            let is_exact = a.is_exact() && b.is_exact();
            format.exact_or(quotient, if is_exact { 0.0 } else { spread }, ROUNDED)
        }
        Binary::Pow => power(a, b, format, promise),
    }
}

/// a·b
pub fn product(a: Real, b: Real, format: Format) -> Real {
    if is_unknown_product(a, b) {
        return Real::LEFT_OUT;
    }
    if a.is(1.0) {
        return b;
    }
    if b.is(1.0) {
        return a;
    }
    let y = a.x * b.x;
    if !y.is_finite() {
        return Real::exact(y);
    }
    format.exact_or(y, product_spread(a, b), ROUNDED)
}

/// a·b + c, rounded once.
pub fn fma(a: &Values, b: &Values, c: &Values) -> Values {
    let format = Format::of(a.dtype);
    let each = |((&a, &b), &c): ((&Real, &Real), &Real)| {
        if is_unknown_product(a, b) || c.is_left_out() {
            return Real::LEFT_OUT;
        }
        let y = a.x * b.x + c.x;
        if !y.is_finite() {
            // Whether a product that is too large for a double-double meets a sum is not known here.
            return if a.x.is_finite() && b.x.is_finite() { Real::LEFT_OUT } else { Real::exact(y) };
        }
        format.exact_or(y, product_spread(a, b) + c.bound, ROUNDED)
    };
    let triples = a.as_reals().iter().zip(b.as_reals()).zip(c.as_reals());
    Values::reals(a.ty(), triples.map(each).collect())
}

/// Whether a·b depends on rounding: a factor does, or ∞ meets a number that may be 0 or of either sign.
pub fn is_unknown_product(a: Real, b: Real) -> bool {
    let may_be_zero = |x: Real| !x.is_exact() && x.x.hi.abs() <= x.bound;
    let meets = |a: Real, b: Real| a.x.hi.is_infinite() && may_be_zero(b);
    a.is_left_out() || b.is_left_out() || meets(a, b) || meets(b, a)
}

/// How far the bounds of a and b carry in a·b.
pub fn product_spread(a: Real, b: Real) -> f64 {
    a.x.hi.abs() * b.bound + b.x.hi.abs() * a.bound + a.bound * b.bound
}

fn power(a: Real, b: Real, format: Format, promise: Promise) -> Real {
    if b.is(0.0) || a.is(1.0) {
        return Real::exact(1.0);
    }
    let ((a_low, a_high), (b_low, b_high)) = (a.ends(), b.ends());
    let touches = |at: f64, low: f64, high: f64, real: Real| low <= at && at <= high && !real.is_exact();
    // A base of uncertain sign; an exponent of uncertain sign or parity, where they decide.
    let is_unknown = touches(0.0, a_low, a_high, a)
        || (a.is(0.0) || a.x.hi.is_infinite()) && touches(0.0, b_low, b_high, b)
        || b.x.hi.is_infinite() && touches(1.0, a_low.abs(), a_high.abs(), a)
        || a_low < 0.0 && !b.is_exact();
    if is_unknown {
        return Real::LEFT_OUT;
    }
    let y = f::pow(a.x, b.x);
    if y.hi.is_infinite() && a.is(0.0) {
        // Of the sign of that 0, where the exponent is odd.
        return Real::LEFT_OUT;
    }
    if !y.is_finite() || a.x.hi == 0.0 {
        return Real::exact(y);
    }
    let log = a_low.abs().ln().abs().max(a_high.abs().ln().abs());
    let relative =
        b.size() * a.bound / (a.x.hi.abs() - a.bound) + if b.is_exact() { 0.0 } else { log * b.bound };
    let spread = if relative == 0.0 { 0.0 } else { y.hi.abs() * relative.exp_m1() };
    format.real(y, spread, promise.pow(format.dtype))
}

/// y = (a op b)
pub fn compare(op: Compare, a: &Values, b: &Values) -> Values {
    let elements: Vec<Whole> = match (&a.elements, &b.elements) {
        (Elements::Reals(x), Elements::Reals(y)) => {
            let each = |(a, b): (&Real, &Real)| compared(op, a.relation(*b)).map(i64::from);
            x.iter().zip(y.iter()).map(each).collect()
        }
        _ => {
            let each = |(a, b): (&Whole, &Whole)| Some(op.reference((*a)?, (*b)?).into());
            a.as_wholes().iter().zip(b.as_wholes()).map(each).collect()
        }
    };
    Values::wholes(Type { dtype: DType::Bool, ..a.ty() }, elements)
}

/// y = a op b, of truth values.
pub fn logic(op: Logic, x: &[&Values]) -> Values {
    let (a, b) = (x[0].as_wholes(), x[x.len() - 1].as_wholes());
    let each = |(&a, &b): (&Whole, &Whole)| match (op, a, b) {
        (Logic::Not, a, _) => a.map(|a| 1 - a),
        (Logic::And, Some(0), _) | (Logic::And, _, Some(0)) => Some(0),
        (Logic::Or, Some(1), _) | (Logic::Or, _, Some(1)) => Some(1),
        (_, a, b) => a.and(b),
    };
    Values::wholes(x[0].ty(), a.iter().zip(b).map(each).collect())
}

/// y = a where c holds, else b
pub fn select(condition: &Values, a: &Values, b: &Values) -> Values {
    let conditions = condition.as_wholes().iter();
    match (&a.elements, &b.elements) {
        (Elements::Reals(x), Elements::Reals(y)) => {
            let each = conditions.zip(x.iter().zip(y.iter())).map(|(c, (&a, &b))| match c {
                Some(c) => {
                    if *c != 0 {
                        a
                    } else {
                        b
                    }
                }
                None if a.equals(b) => a,
                None => Real::LEFT_OUT,
            });
            Values::reals(a.ty(), each.collect())
        }
        _ => {
            let each = conditions.zip(a.as_wholes().iter().zip(b.as_wholes())).map(|(c, (&a, &b))| match c {
                Some(c) => {
                    if *c != 0 {
                        a
                    } else {
                        b
                    }
                }
                None => a.filter(|_| a == b),
            });
            Values::wholes(a.ty(), each.collect())
        }
    }
}

/// y = x as another type
pub fn cast(op: Cast, x: &Values) -> Values {
    let ty = Type { dtype: op.dtype, ..x.ty() };
    match (&x.elements, op.dtype.is_float()) {
        (Elements::Reals(reals), true) => {
            let widens = x.dtype == op.dtype || op.dtype == DType::F64;
            let format = Format::of(op.dtype);
            let each = |&real: &Real| match widens || real.is_left_out() {
                true => real,
                false => format.exact_or(real.x, real.bound, ROUNDED),
            };
            Values::reals(ty, reals.iter().map(each).collect())
        }
        (Elements::Reals(reals), false) => {
            let to = |x: f64| with_dtype!(op.dtype, |T| T::from_f64(x).to_i64());
            let each = |real: &Real| {
                let (low, high) = real.ends();
                // `true` on both sides of 0 says nothing of what lies between.
                let has_zero = low <= 0.0 && high >= 0.0 && !real.is_exact();
                let is_known = to(low) == to(high) && !real.is_left_out();
                (is_known && !(has_zero && op.dtype == DType::Bool)).then(|| to(real.x.hi))
            };
            Values::wholes(ty, reals.iter().map(each).collect())
        }
        (Elements::Wholes(wholes), true) => {
            let to = |x: i64| with_dtype!(op.dtype, |T| T::from_i64_wrapping(x).to_f64());
            let each = |x: &Whole| x.map_or(Real::LEFT_OUT, |x| Real::exact(to(x)));
            Values::reals(ty, wholes.iter().map(each).collect())
        }
        (Elements::Wholes(wholes), false) => {
            Values::wholes(ty, wholes.iter().map(|x| x.map(|x| wrapped(op.dtype, x))).collect())
        }
    }
}

//! The functions of the ops in double-double, to about 30 digits where they are well conditioned.

use super::double::Double;

/// ln 2, π/2 and 2/√π: what the f64 leaves of them is from mpmath.
const LN_2: Double = Double { hi: std::f64::consts::LN_2, lo: 2.3190468138462996e-17 };
const HALF_PI: [f64; 3] = [std::f64::consts::FRAC_PI_2, 6.123233995736766e-17, -1.4973849048591698e-33];
const TWO_OVER_SQRT_PI: Double = Double { hi: std::f64::consts::FRAC_2_SQRT_PI, lo: 1.533545961316588e-17 };

/// 2π, for what a normal number is made of.
pub const TWO_PI: Double = Double { hi: std::f64::consts::TAU, lo: 2.4492935982947064e-16 };

/// Below it f(x) = x to 60 digits for expm1, log1p, tanh, and their series would lose digits to underflow.
const LINEAR: f64 = 1e-60;

fn whole(n: usize) -> Double {
    Double::from(n as f64)
}

/// k and eˣ⁻ᵏˡⁿ² − 1, with |x − k·ln 2| ≤ ln 2/2; for |x| below 800.
fn reduced_expm1(x: Double) -> (i32, Double) {
    let k = (x.hi / LN_2.hi).round();
    let rest = x - Double::from(k) * LN_2;
    // 2⁻⁸ of the rest: eight terms of the series do; then (1 + s)² − 1 = 2s + s², eight times.
    const HALVINGS: i32 = 8;
    let r = rest.scaled(-HALVINGS);
    let mut term = r;
    let mut sum = r;
    for n in 2..=10 {
        term = term * r / whole(n);
        sum = sum + term;
    }
    for _ in 0..HALVINGS {
        sum = sum + sum + sum * sum;
    }
    (k as i32, sum)
}

/// eˣ
pub fn exp(x: Double) -> Double {
    if x.hi == 0.0 || !x.is_finite() || x.hi.abs() > 745.0 {
        return Double::from(x.hi.exp());
    }
    let (k, s) = reduced_expm1(x);
    (Double::ONE + s).scaled(k)
}

/// eˣ − 1
pub fn expm1(x: Double) -> Double {
    if x.hi == 0.0 || !x.is_finite() || x.hi.abs() > 700.0 {
        return Double::from(x.hi.exp_m1());
    }
    if x.hi.abs() < LINEAR {
        return x;
    }
    let (k, s) = reduced_expm1(x);
    if k == 0 { s } else { (Double::ONE + s).scaled(k) - Double::ONE }
}

/// ln x
pub fn log(x: Double) -> Double {
    if x.hi <= 0.0 || !x.is_finite() {
        return Double::from(x.hi.ln());
    }
    if (x.hi - 1.0).abs() < 0.5 {
        return log1p(x - Double::ONE);
    }
    if x.hi < 1e-290 {
        // e^(−ln x) would overflow.
        return log(x.scaled(200)) - Double::from(200.0) * LN_2;
    }
    // Newton for eʸ = x: what is left squares.
    let y = Double::from(x.hi.ln());
    y + (x * exp(-y) - Double::ONE)
}

/// ln(1 + x)
pub fn log1p(x: Double) -> Double {
    if x.hi <= -1.0 || x.hi == 0.0 || !x.is_finite() {
        return Double::from(x.hi.ln_1p());
    }
    if x.hi.abs() < LINEAR {
        return x;
    }
    // As log; (1 + x)·e⁻ʸ − 1 in two terms that keep the digits of small x.
    let y = Double::from(x.hi.ln_1p());
    y + (x * exp(-y) + expm1(-y))
}

/// sin r and cos r for |r| ≤ π/4, by their series.
fn sin_cos_reduced(r: Double) -> (Double, Double) {
    let square = r * r;
    let (mut sine, mut cosine) = (r, Double::ONE);
    let (mut term_s, mut term_c) = (r, Double::ONE);
    for n in 1..=14 {
        term_c = -(term_c * square) / whole((2 * n - 1) * (2 * n));
        term_s = -(term_s * square) / whole((2 * n) * (2 * n + 1));
        (sine, cosine) = (sine + term_s, cosine + term_c);
    }
    (sine, cosine)
}

/// sin x and cos x
pub fn sin_cos(x: Double) -> (Double, Double) {
    if !x.is_finite() {
        return (Double::NAN, Double::NAN);
    }
    let k = (x.hi / HALF_PI[0]).round();
    let turn = Double::from(k);
    let r = HALF_PI.iter().fold(x, |r, &part| r - turn * Double::from(part));
    let (sine, cosine) = sin_cos_reduced(r);
    match k.rem_euclid(4.0) as i32 {
        0 => (if x.hi == 0.0 { x } else { sine }, cosine),
        1 => (cosine, -sine),
        2 => (-sine, -cosine),
        _ => (-cosine, sine),
    }
}

/// tanh x
pub fn tanh(x: Double) -> Double {
    if x.hi == 0.0 || !x.is_finite() || x.hi.abs() > 40.0 {
        return Double::from(x.hi.tanh());
    }
    if x.hi.abs() < LINEAR {
        return x;
    }
    let e = expm1(-(x.abs() + x.abs()));
    let y = -e / (Double::from(2.0) + e);
    if x.hi < 0.0 { -y } else { y }
}

/// 1/(1 + e⁻ˣ)
pub fn sigmoid(x: Double) -> Double {
    let e = exp(-x.abs());
    if x.hi >= 0.0 { Double::ONE / (Double::ONE + e) } else { e / (Double::ONE + e) }
}

/// ln(1 + eˣ)
pub fn softplus(x: Double) -> Double {
    if x.is_nan() {
        return x;
    }
    let rest = log1p(exp(-x.abs()));
    if x.hi > 0.0 { x + rest } else { rest }
}

/// From here on erfc has its continued fraction; before, 1 − erf has 22 digits and more.
const TAIL: f64 = 4.0;

/// erf x for |x| ≤ 4 or so: 2/√π·e^(−x²)·Σ 2ⁿ·x²ⁿ⁺¹/(2n+1)!!, of one sign (Abramowitz, Stegun 7.1.6).
fn erf_series(x: Double) -> Double {
    let square = x * x;
    let (mut term, mut sum) = (x, x);
    for n in 1..400 {
        term = term * (square + square) / whole(2 * n + 1);
        sum = sum + term;
        if term.hi.abs() <= sum.hi.abs() * 1e-33 {
            break;
        }
    }
    TWO_OVER_SQRT_PI * exp(-square) * sum
}

/// erfc x for x ≥ 4: e^(−x²)/√π · 1/(x + (1/2)/(x + 1/(x + (3/2)/(x + ...)))) (Abramowitz, Stegun 7.1.14).
fn erfc_tail(x: Double) -> Double {
    let mut fraction = x;
    for n in (1..=200).rev() {
        fraction = x + whole(n).scaled(-1) / fraction;
    }
    TWO_OVER_SQRT_PI.scaled(-1) * exp(-(x * x)) / fraction
}

/// The error function.
pub fn erf(x: Double) -> Double {
    if x.hi == 0.0 || !x.is_finite() {
        return Double::from(libm_sign(x.hi));
    }
    if x.hi.abs() < TAIL {
        return erf_series(x);
    }
    let y = Double::ONE - erfc_tail(x.abs());
    if x.hi < 0.0 { -y } else { y }
}

/// ±1 at ±∞, x itself at ±0 and NaN.
fn libm_sign(x: f64) -> f64 {
    if x.is_infinite() { x.signum() } else { x }
}

/// 1 − erf x
pub fn erfc(x: Double) -> Double {
    if x.hi.is_infinite() {
        return Double::from(if x.hi > 0.0 { 0.0 } else { 2.0 });
    }
    if x.hi < TAIL { Double::ONE - erf(x) } else { erfc_tail(x) }
}

/// aᵇ
pub fn pow(a: Double, b: Double) -> Double {
    let is_whole = b.lo == 0.0 && b.hi == b.hi.trunc();
    if a.hi == 0.0 || !a.is_finite() || !b.is_finite() || b.hi == 0.0 || a == Double::ONE {
        return Double::from(a.hi.powf(b.hi));
    }
    if a.hi > 0.0 {
        return exp(b * log(a));
    }
    if !is_whole {
        return Double::NAN;
    }
    let power = exp(b * log(-a));
    if b.hi.rem_euclid(2.0) == 1.0 { -power } else { power }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::approx_constant)] // a root of 2 is meant as digits of mpmath
    /// From mpmath at 60 digits: the argument is an f64, the value its nearest f64 and what is left of it.
    #[test]
    fn functions_agree_with_mpmath() {
        let check = |name: &str, f: &dyn Fn(Double) -> Double, rows: &[(f64, f64, f64)]| {
            for &(x, hi, lo) in rows {
                let got = f(Double::from(x));
                let apart = (got - Double { hi, lo }).hi.abs();
                // 1 − erf at 3.5 has lost seven digits of 31.
                let allowed = if name == "erfc" { 1e-23 } else { 1e-29 };
                assert!(apart <= allowed * hi.abs(), "{name} {x}: {got:?} is {apart:e} from {hi} + {lo:e}");
            }
        };
        check(
            "exp",
            &exp,
            &[
                (0.3, 1.3498588075760032, -9.447314673432387e-17),
                (-17.25, 3.2241867372567335e-08, -1.9497408478858684e-24),
                (88.7, 3.325986980250579e+38, -2.558061914428818e+21),
                (1e-09, 1.000000001, -8.224037093664211e-17),
            ],
        );
        check(
            "expm1",
            &expm1,
            &[
                (1e-10, 1.00000000005e-10, 3.3900133221217734e-27),
                (-0.3, -0.2591817793182821, -1.805530505953e-18),
                (5.5, 243.69193226422038, 4.129320187450839e-15),
                (-40.0, -1.0, 4.248354255291589e-18),
            ],
        );
        check(
            "log",
            &log,
            &[
                (1.0000001, 9.999999505838704e-08, 1.5249709528441489e-24),
                (0.03, -3.506557897319982, 8.43862332472314e-17),
                (700000.0, 13.458835614025542, -3.460084348369817e-16),
                (3e-300, -689.6769156095456, 3.55803606729799e-14),
            ],
        );
        check(
            "log1p",
            &log1p,
            &[
                (1e-12, 9.999999999995e-13, 2.4217940103012377e-29),
                (-0.9, -2.302585092994046, -4.968982586806388e-18),
                (3.5, 1.5040773967762742, -9.359411037597794e-17),
                (-1e-07, -1.0000000500000033e-07, 2.44146596723983e-24),
            ],
        );
        check(
            "tanh",
            &tanh,
            &[
                (1e-08, 1e-08, -3.3333333333333335e-25),
                (0.7, 0.6043677771171635, -2.7916180015425346e-17),
                (-3.25, -0.996997635486526, -3.760085786946725e-17),
                (19.5, 1.0, -2.3096448346031572e-17),
            ],
        );
        check(
            "erf",
            &erf,
            &[
                (1e-06, 1.1283791670951364e-06, -7.264861874834301e-24),
                (0.5, 0.5204998778130465, 1.900077467916287e-17),
                (-2.75, -0.9998993780778803, -4.451378916214761e-17),
                (4.5, 0.9999999998033839, 1.2614727975054947e-17),
            ],
        );
        check(
            "erfc",
            &erfc,
            &[
                (-1.5, 1.9661051464753108, -3.3867031441680696e-17),
                (0.25, 0.7236736098317631, -3.128407501007366e-17),
                (3.5, 7.430983723414128e-07, -3.117067749063089e-23),
                (4.0, 1.541725790028002e-08, -1.1417872168371026e-24),
                (9.25, 4.202037214919711e-39, -1.3986661134819188e-56),
            ],
        );
        check(
            "sigmoid",
            &sigmoid,
            &[
                (0.3, 0.574442516811659, -4.7456482573436975e-17),
                (-30.5, 5.6756852326324e-14, 7.790731367469167e-31),
                (40.0, 1.0, -4.248354255291589e-18),
            ],
        );
        check(
            "softplus",
            &softplus,
            &[
                (0.3, 0.8543552444685271, 4.828698568625145e-17),
                (-30.5, 5.675685232632561e-14, 2.1729694820189895e-30),
                (12.0, 12.000006144193478, 1.7978828815933246e-16),
            ],
        );
        check(
            "sqrt",
            &Double::sqrt,
            &[
                (2.0, 1.4142135623730951, -9.667293313452913e-17),
                (1e-05, 0.0031622776601683794, 6.692335247806306e-20),
                (700000000000.0, 836660.0265340755, 4.846591683398221e-11),
            ],
        );
        check(
            "sin",
            &|x| sin_cos(x).0,
            &[
                (0.3, 0.29552020666133955, 1.8315357276792536e-17),
                (2.5, 0.5984721441039565, -5.521403334082375e-17),
                (-100.75, -0.2172878636707302, 7.707407610179142e-18),
                (1e-07, 9.999999999999982e-08, 5.386900744363196e-24),
                (31.5, 0.08397445569174683, -1.628776321575623e-18),
            ],
        );
        check(
            "cos",
            &|x| sin_cos(x).1,
            &[
                (0.3, 0.955336489125606, 4.1935600297907467e-17),
                (2.5, -0.8011436155469337, -1.8674742705085553e-17),
                (-100.75, 0.9761075679972009, 1.0933022008863626e-17),
                (1e-07, 0.999999999999995, -3.996389186790949e-18),
                (31.5, 0.9964679075571249, 2.88711626251621e-17),
            ],
        );
        check(
            "pow",
            &|x| pow(x, Double::from(2.75)),
            &[
                (0.3, 0.03648240417978992, 2.8640501473677357e-18),
                (2.5, 12.426105136985166, 5.880449237180032e-16),
                (11.0, 730.8527478990056, 1.0396637303915506e-14),
            ],
        );
        check(
            "pow",
            &|x| pow(x, Double::from(-3.0)),
            &[
                (0.3, 37.03703703703704, 3.0592812234115426e-15),
                (-2.5, -0.064, 1.3322676295501879e-18),
                (11.0, 0.0007513148009015778, -4.056594154002864e-20),
            ],
        );
    }

    #[test]
    fn special_values_are_those_of_ieee() {
        let of = |f: fn(Double) -> Double, x: f64| f(Double::from(x)).hi;
        assert_eq!((of(exp, f64::NEG_INFINITY), of(log, 0.0)), (0.0, f64::NEG_INFINITY));
        assert!(of(log, -1.0).is_nan() && of(log1p, -2.0).is_nan() && of(sigmoid, f64::NAN).is_nan());
        assert_eq!((of(erf, f64::INFINITY), of(erfc, f64::NEG_INFINITY)), (1.0, 2.0));
        assert_eq!((of(tanh, f64::NEG_INFINITY), of(softplus, f64::NEG_INFINITY)), (-1.0, 0.0));
        assert!(of(tanh, -0.0).is_sign_negative() && of(erf, -0.0).is_sign_negative());
    }
}

//! Derivatives from values alone: extrapolated differences with an estimate of their error.

/// The number of steps, each half of the one before.
const N_STEPS: usize = 12;

/// The first step, as a part of the input's scale. A smooth function is well extrapolated from here;
/// the last, 2⁻¹⁵ of the scale, still leaves 11 digits to a difference of two f64.
const FIRST_STEP: f64 = 1.0 / 16.0;

/// An input's scale is at least this: steps at 0 are steps of about 10⁻² to 10⁻⁵.
const LEAST_SCALE: f64 = 0.25;

/// A derivative with the error that its extrapolation admits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Estimate {
    pub value: f64,
    pub error: f64,
}

const UNKNOWN: Estimate = Estimate { value: f64::NAN, error: f64::INFINITY };

/// What differences say of one entry of a Jacobian.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slope {
    pub central: Estimate,
    /// Why the function has no derivative there, if it looks so.
    pub kink: Option<&'static str>,
}

/// The slopes of all outputs of `f` (flattened) along one input element that is `x`, from the values
/// `f0` there. `f` gives the outputs with the element moved, `None` where they cannot be computed.
pub(super) fn slopes(x: f64, f0: &[f64], f: &mut dyn FnMut(f64) -> Option<Vec<f64>>) -> Vec<Slope> {
    // A power of two: then x ± step is exact, or nearly so.
    let power_of_two = |size: f64| 2f64.powi(size.log2().floor() as i32);
    let mut best = at_scale(power_of_two(x.abs().max(LEAST_SCALE)), x, f0, f);
    let is_vague = |slope: &Slope| slope.central.error > 1e-9 * slope.central.value.abs().max(1.0);
    // Near a singularity at 0 (ln x at 10⁻⁶) only steps smaller than x itself will do.
    if x != 0.0 && x.abs() < LEAST_SCALE && best.iter().any(is_vague) {
        for (slope, finer) in best.iter_mut().zip(at_scale(power_of_two(x.abs()), x, f0, f)) {
            if slope.kink.is_some() || finer.central.error < slope.central.error {
                *slope = finer;
            }
        }
    }
    best
}

fn at_scale(scale: f64, x: f64, f0: &[f64], f: &mut dyn FnMut(f64) -> Option<Vec<f64>>) -> Vec<Slope> {
    let steps: Vec<f64> = (0..N_STEPS).map(|k| scale * FIRST_STEP / (1u64 << k) as f64).collect();
    let nowhere = || vec![f64::NAN; f0.len()];
    let sides: Vec<[Vec<f64>; 2]> = (steps.iter())
        .map(|h| [f(x + h).unwrap_or_else(nowhere), f(x - h).unwrap_or_else(nowhere)])
        .collect();
    let slope = |at: usize| {
        let quotients = |quotient: &dyn Fn(f64, f64, f64) -> f64| -> Vec<f64> {
            let pairs = steps.iter().zip(&sides);
            pairs.map(|(&h, [up, down])| quotient(h, up[at], down[at])).collect()
        };
        let noise: Vec<f64> = steps.iter().map(|h| f64::EPSILON * f0[at].abs() / h).collect();
        let central = quotients(&|h, up, down| (up - down) / ((x + h) - (x - h)));
        let right = quotients(&|h, up, _| (up - f0[at]) / ((x + h) - x));
        let left = quotients(&|h, _, down| (f0[at] - down) / (x - (x - h)));
        let kink = match f0[at].is_finite() {
            true => kink(&left, &right, &noise),
            false => Some("the function is not finite there"),
        };
        Slope { central: extrapolate(&central, &noise, 4.0), kink }
    };
    (0..f0.len()).map(slope).collect()
}

/// Why there is no derivative where these are the one-sided difference quotients.
fn kink(left: &[f64], right: &[f64], noise: &[f64]) -> Option<&'static str> {
    let (l, r) = (extrapolate(left, noise, 2.0), extrapolate(right, noise, 2.0));
    if l.value.is_nan() || r.value.is_nan() {
        return Some("the function is not finite beside the point");
    }
    let grows = |quotients: &[f64]| {
        let last = &quotients[quotients.len() - 3..];
        let ratio = |a: f64, b: f64| b.abs() > 1.2 * a.abs() && b.abs() > 10.0 * noise[noise.len() - 1];
        ratio(last[0], last[1]) && ratio(last[1], last[2])
    };
    // A smooth function's quotients settle; x^(1/2) at 0 gains √2 with each half step, a jump gains 2.
    if grows(left) && left[left.len() - 1].abs() > 1.0 || grows(right) && right[right.len() - 1].abs() > 1.0 {
        return Some("the difference quotients grow without bound");
    }
    let apart = (l.value - r.value).abs();
    let admitted = 100.0 * (l.error + r.error) + 1e-6 * l.value.abs().max(r.value.abs()).max(1e-3);
    (apart > admitted).then_some("the slopes from the left and from the right differ")
}

/// The limit of quotients whose error is a series in h (`factor` 2) or h² (`factor` 4), after Richardson
/// and Neville, with the entry of least error (Ridders 1982). Larger steps at which the function was not
/// finite are left out.
fn extrapolate(quotients: &[f64], noise: &[f64], factor: f64) -> Estimate {
    let first = quotients.iter().rposition(|q| !q.is_finite()).map_or(0, |at| at + 1);
    let mut best = UNKNOWN;
    let mut before: Vec<f64> = Vec::new();
    for (&quotient, &noise) in quotients[first..].iter().zip(&noise[first..]) {
        let mut row = vec![quotient];
        let mut weight = 1.0;
        for (order, &above) in before.iter().enumerate() {
            weight *= factor;
            let value = row[order] + (row[order] - above) / (weight - 1.0);
            let error = (value - row[order]).abs().max((value - above).abs()) + noise;
            if error < best.error {
                best = Estimate { value, error };
            }
            row.push(value);
        }
        before = row;
    }
    if best.value.is_nan() && !before.is_empty() {
        best.value = before[0];
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slope(f: impl Fn(f64) -> f64, x: f64) -> Slope {
        slopes(x, &[f(x)], &mut |x| Some(vec![f(x)]))[0]
    }

    #[track_caller]
    fn check(f: impl Fn(f64) -> f64, x: f64, expect: f64) {
        let slope = slope(f, x);
        let error = (slope.central.value - expect).abs();
        assert!(slope.kink.is_none(), "{slope:?}");
        assert!(error <= 1e-9 * expect.abs().max(1.0), "{slope:?} is not {expect}");
        assert!(error <= 10.0 * slope.central.error, "{slope:?} hides an error of {error:e}");
    }

    #[test]
    fn smooth_functions_to_nine_digits() {
        check(f64::sin, 0.0, 1.0);
        check(f64::sin, 1e3, 1e3f64.cos());
        check(f64::exp, 3.0, 3f64.exp());
        check(f64::ln, 1e-6, 1e6);
        check(f64::ln, -0.0 + 7.0, 1.0 / 7.0);
        check(|x| 1.0 / x, -1e-3, -1e6);
        check(|x| x * x * x.abs(), 0.0, 0.0);
        check(|x| 1e12 * x, 1e-12, 1e12);
        check(|_| 5.0, 2.0, 0.0);
    }

    #[test]
    fn kinks_are_told() {
        let check = |f: fn(f64) -> f64, x: f64| assert!(slope(f, x).kink.is_some(), "{:?}", slope(f, x));
        check(f64::abs, 0.0);
        check(|x| x.max(0.0) * 3.0, 0.0);
        check(f64::sqrt, 0.0);
        check(f64::cbrt, 0.0);
        check(f64::floor, 2.0);
        check(|x| (x - 1.0).abs() + x.sin(), 1.0);
    }
}

//! How close is close enough, and why.

use backprop_core::Array;

/// Units in the last place between a pointwise value in f64 and mpmath's 60 digits, at most. Measured: 1,
/// over all points and ops; one more for the functions that come from the system's libm.
pub const F64_VALUE_ULP: u64 = 2;

/// Units in the last place between an f32 result and the true one, or the f64 result for the same
/// operands, rounded. Measured: 1, over all points and ops; one more for the system's libm.
pub const F32_ULP: u64 = 2;

/// Composites in f32, times max(1, |want|). Measured: 2·10⁻⁷ (silu), which is less than 2 units.
pub const F32_SUM: f32 = 4e-7;

/// Values in f64 that sum several terms, and what is computed twice in another order, times
/// max(1, |want|∞). Measured: below 10⁻¹³, for sums of up to a hundred terms.
pub const F64_SUM: f64 = 1e-12;

/// Gradients of orders 1 and 2 in f64, times max(1, |J|∞). 10⁻⁷ would do for a learner; what is measured
/// is below 10⁻¹³, and a rule that were only nearly right would hide in between.
pub const F64_GRADIENT: f64 = 1e-12;

/// How far f32 may be from f64 on the same operands, at orders 0 to 2, in units in the last place of
/// max(1, |f64 result|∞). Set from what was measured on the golden cases, with room; the matrix prints both.
pub fn f32_stated(op: &str) -> f64 {
    match op {
        // Rows of nearly equal numbers: their differences have lost digits, and 1/√variance is 300.
        "layer_norm" => 512.0,
        // Several roundings, one after another; 1 + tanh u cancels for x below −4.
        "gelu_tanh" => 64.0,
        "scan" => 16.0,
        _ => 4.0,
    }
}

/// The largest distance |got − want| / max(1, |want|∞); infinite where one is finite and the other not.
pub fn distance(got: &Array, want: &Array) -> f64 {
    if got.sizes() != want.sizes() {
        return f64::INFINITY;
    }
    distance_of(&got.to_f64s(), &want.to_f64s())
}

/// As [`distance`], of numbers.
pub fn distance_of(got: &[f64], want: &[f64]) -> f64 {
    let scale = want.iter().filter(|x| x.is_finite()).fold(1.0f64, |max, x| max.max(x.abs()));
    let apart = |(&a, &b): (&f64, &f64)| match a == b || a.is_nan() && b.is_nan() {
        true => 0.0,
        false if a.is_finite() && b.is_finite() => (a - b).abs() / scale,
        false => f64::INFINITY,
    };
    got.iter().zip(want).map(apart).fold(0.0, f64::max)
}

/// How many f64 lie between; 0 for two NaN.
pub fn ulps(a: f64, b: f64) -> u64 {
    if a == b || a.is_nan() && b.is_nan() {
        return 0;
    }
    if a.is_nan() || b.is_nan() {
        return u64::MAX;
    }
    // The bits of floats, put in the order of the numbers.
    let ordered = |x: f64| {
        if x.is_sign_negative() { -((x.to_bits() & (i64::MAX as u64)) as i64) } else { x.to_bits() as i64 }
    };
    ordered(a).abs_diff(ordered(b))
}

/// How many f32 lie between; 0 for two NaN.
pub fn ulps_f32(a: f32, b: f32) -> u64 {
    if a == b || a.is_nan() && b.is_nan() {
        return 0;
    }
    if a.is_nan() || b.is_nan() {
        return u64::MAX;
    }
    let ordered = |x: f32| {
        if x.is_sign_negative() {
            -i64::from(x.to_bits() & (i32::MAX as u32))
        } else {
            i64::from(x.to_bits())
        }
    };
    ordered(a).abs_diff(ordered(b))
}

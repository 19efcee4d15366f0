//! sin x and cos x of large x, one at a time.

use super::lane::exact_power_of_two;
use super::polynomial::Pair;
use super::trigonometric::{self, cos_near, sin_near};

/// sin x for each x.
pub fn sin(x: f64) -> f64 {
    if trigonometric::is_large(x) { of_large(x.abs(), 0) * x.signum() } else { trigonometric::sin(x) }
}

/// cos x for each x.
pub fn cos(x: f64) -> f64 {
    if trigonometric::is_large(x) { of_large(x.abs(), 1) } else { trigonometric::cos(x) }
}

/// sin(x + turns·π/2)
fn of_large(x: f64, turns: u64) -> f64 {
    if x.is_infinite() {
        return f64::NAN;
    }
    let (quadrant, r) = reduced(x);
    let quadrant = quadrant + turns;
    let y = if quadrant & 1 == 0 { sin_near(r) } else { cos_near(r) };
    if quadrant & 2 == 0 { y } else { -y }
}

/// The bits of 2/π after the point.
const TWO_OVER_PI: [u64; 20] = [
    0xa2f9836e4e441529,
    0xfc2757d1f534ddc0,
    0xdb6295993c439041,
    0xfe5163abdebbc561,
    0xb7246e3a424dd2e0,
    0x06492eea09d1921c,
    0xfe1deb1cb129a73e,
    0xe88235f52ebb4484,
    0xe99c7026b45f7e41,
    0x3991d639835339f4,
    0x9c845f8bbdf9283b,
    0x1ff897ffde05980f,
    0xef2f118b5a0a6d1f,
    0x6d367ecf27cb09b7,
    0x4f463f669e5fea2d,
    0x7527bac7ebe5f17b,
    0x3d0739f78a5292ea,
    0x6bfb5fb11f8d5d08,
    0x56033046fc7b6bab,
    0xf0cfbc209af4361d,
];

/// x = (4k + quadrant)·π/2 + r, |r| ≤ π/4, for finite x ≥ 2²⁰: Payne and Hanek 1983, *Radian reduction for
/// trigonometric functions*.
///
/// x = m·2ᵉ. Bits of 2/π that weigh 2^(2−e) or more make multiples of 4 of m·2ᵉ·2/π and are left out. Of the
/// others, 192 are taken; what comes after them is below m·2⁻¹⁹⁰ < 2⁻¹³⁷, while r is never below 2⁻⁶².
fn reduced(x: f64) -> (u64, Pair<f64>) {
    let bits = x.to_bits();
    let exponent = (bits >> 52) as i64 - 1075;
    let m = (bits & ((1 << 52) - 1)) | (1 << 52);
    // The first bit taken weighs 2^(1 − e): the place −1 is the bit before the first after the point.
    let first = exponent - 2;
    let word = |k: i64| {
        let at = first + 64 * k;
        let bit = |at: i64| TWO_OVER_PI.get(at as usize).copied().unwrap_or(0);
        let (index, shift) = (at.div_euclid(64), at.rem_euclid(64) as u32);
        let next = if shift == 0 { 0 } else { bit(index + 1) >> (64 - shift) };
        (bit(index) << shift) | next
    };
    // m·window modulo 2¹⁹²: 2 bits before the point, 190 after it.
    let product = |k: i64| u128::from(m) * u128::from(word(k));
    let low = product(2);
    let middle = product(1) + (low >> 64);
    let high = (product(0) as u64).wrapping_add((middle >> 64) as u64);
    let rest = (u128::from(high) << 64) | u128::from(middle as u64);
    // Two bits of quadrant, then the turn from the nearest quadrant, in −½ ..= ½ of it.
    let fraction = (rest << 2) | u128::from((low as u64) >> 62);
    let quadrant = (rest >> 126) as u64 + (fraction >> 127) as u64;
    let turn = fraction as i128;
    // The first 53 digits are exact; a later rounding is far below.
    let size = turn.unsigned_abs();
    let shift = (128 - size.leading_zeros()).saturating_sub(53);
    let first_digits = (size >> shift) << shift;
    let unit = exact_power_of_two(-128) * if turn < 0 { -1.0 } else { 1.0 };
    let turn = Pair { high: first_digits as f64 * unit, low: (size - first_digits) as f64 * unit };
    let r = turn.times(Pair { high: std::f64::consts::FRAC_PI_2, low: 6.123233995736766e-17 });
    (quadrant, Pair::sum(r.high, r.low))
}

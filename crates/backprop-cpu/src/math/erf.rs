//! The error function.

use super::exp::{Exponential, clamped};
use super::lane::Float;
use super::polynomial::{Pair, Table, by_width, polynomial};

/// erf x/x − 1 in x², |x| ≤ 1. Error: 2^−26.1; 2^−55.9.
const NEAR: Table = (
    &[
        0.12837916612625122,
        -0.3761262595653534,
        0.11283600330352783,
        -0.026854446157813072,
        0.005189536605030298,
        -0.000802084628958255,
        7.889117114245892e-05,
    ],
    &[
        0.1283791670955126,
        -0.3761263890318375,
        0.11283791670954885,
        -0.026866170645077878,
        0.005223977624828458,
        -0.0008548326981426766,
        0.00012055331132989972,
        -1.4925595772787207e-05,
        1.6461008484569685e-06,
        -1.6350396267347137e-07,
        1.466032886143506e-08,
        -1.1374955725825807e-09,
        5.960684503480571e-11,
    ],
);
/// ln(1 − erf x), 1 ≤ x ≤ 4; 6. Error in erf x: 2^−31.1; 2^−55.3.
const LOG_FAR: Table = (
    &[
        0.00018802659178618342,
        -1.1295783519744873,
        -0.6332200169563293,
        -0.10841845721006393,
        0.025208182632923126,
        -0.00420453492552042,
        0.00044133112533017993,
        -2.168641731259413e-05,
    ],
    &[
        -2.9407334331430963e-08,
        -1.1283788992819475,
        -0.6366208129023505,
        -0.10277058150018616,
        0.019127559328223732,
        0.00020304904743759938,
        -0.0016758406950171546,
        0.0005531685563986478,
        2.1414677599311176e-05,
        -0.00011043350321330343,
        6.459435117321298e-05,
        -2.421614557745691e-05,
        6.76433539075701e-06,
        -1.4648271843267e-06,
        2.471960298002198e-07,
        -3.2054872658993066e-08,
        3.092840827608258e-09,
        -2.0935506411252516e-10,
        8.873290543951244e-12,
        -1.7715809720367675e-13,
    ],
);
/// From here on, 1 − erf x is below half an ULP of 1.
const ONE_FROM: (f64, f64) = (4.0, 6.0);
/// (1 + 2x)·e^(x²)·erfc x in t = (x − 2)/(x + 2); 4, from x = ½ to 11; 28. Error: 2^−26.5; 2^−54.0.
const SCALED_FIRST: (f64, f64) = (1.2769783735275269, 1.2329951186255526);
/// (that − first)/t
const SCALED: Table = (
    &[
        -0.09276381880044937,
        -0.16603033244609833,
        0.16405072808265686,
        -0.05422143265604973,
        -0.008026096038520336,
        0.008733786642551422,
        0.0012233066372573376,
        -0.0014909387100487947,
        -0.00032113754423335195,
        0.00024022252182476223,
    ],
    &[
        -0.1396211168405625,
        0.015379652102619861,
        0.06809705425468875,
        -0.10103906603631156,
        0.09373283499852247,
        -0.0663303658120426,
        0.0371675155340061,
        -0.016197734060016088,
        0.005031970016497184,
        -0.000757773272007962,
        -0.00019925695340150128,
        0.00015062159923557734,
        -2.4398101960823488e-05,
        -1.1221810778442188e-05,
        5.706598227948836e-06,
        2.934303614824034e-07,
        -8.196555760298364e-07,
        7.501425239137491e-08,
        1.033735272794724e-07,
        -1.811784317839615e-08,
        -9.691980274346542e-09,
        1.879419791892289e-09,
    ],
);
const CENTRE: (f64, f64) = (2.0, 4.0);
/// From here on, erfc x is 0.
const ZERO_FROM: (f64, f64) = (10.5, 27.5);

/// 1 − erf x for 1 ≤ x, and what it is made of for less.
#[inline(always)]
fn far<F: Float>(size: F) -> F {
    let x = size.lit(by_width::<F, _>(ONE_FROM)).smaller(size);
    Exponential::of(polynomial(LOG_FAR, x, x * x), None).rounded()
}

/// erf x: x + x·near(x²) up to 1, then 1 − e^far(x).
#[inline(always)]
pub fn erf<F: Float>(x: F) -> F {
    let one = x.lit(1.0);
    let size = x.abs();
    let square = x * x;
    let near = x.mul_add(polynomial(NEAR, square, square * square), x);
    let far = (one - far(size)).copysign(x);
    F::select(size.below(one), near, far)
}

/// 1 − erf x below ½; above, (scaled(t)/(1 + 2x))·e^(−x²).
#[inline(always)]
pub fn erfc<F: Float>(x: F) -> F {
    let lit = |value: (f64, f64)| x.lit(by_width::<F, _>(value));
    let one = x.lit(1.0);
    let size = lit(ZERO_FROM).smaller(x.abs());
    let t = (size - lit(CENTRE)) / (size + lit(CENTRE));
    let scaled = Pair::sum(lit(SCALED_FIRST), t * polynomial(SCALED, t, t * t));
    let under = Pair::sum(one.larger(size + size), one.smaller(size + size));
    let factor = scaled.over(under);
    let square = Pair::product(size, -size);
    let power = Exponential::of(clamped(square.high), Some(square.low));
    let tail = power.times(factor);
    F::select(x.below(x.lit(0.5)), one - erf(x), tail)
}

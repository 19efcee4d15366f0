//! Pointwise ops of one operand: a table, one entry each.
//!
//! An entry says the name, the equation, the gradient, the reference value, and the rule
//! `d ↦ d·dy/dx`, written once over [`Number`] so that gradient nodes, scalar code and plain
//! numbers come from the same formula.

use super::family::{Family, Pointwise, Pull};
use super::sample::{self, Registered, Sample};
use super::{Arrays, Op, Rule, Types, one, want, want_inputs};
use crate::array::{Array, DType, Element};
use crate::graph::fault::Ill;
use crate::number::Number;
use crate::tensor::{Tensor, emit};
use crate::text::Given;
use crate::types::Type;
use crate::with_dtype;

/// How a rule treats the cotangent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Multiplies it by a slope.
    Product,
    /// Hands it on, perhaps negated.
    Handed,
    /// Has no derivative.
    Flat,
}

macro_rules! unary_ops {
    ($(
        $(#[$doc:meta])*
        $variant:ident $name:ident($x:ident) = $equation:literal, $gradient:literal,
        $kind:ident |$d:ident, $y:ident| $pull:expr,
        f64: $float:expr,
        i64: $int:expr;
    )*) => {
        /// A pointwise op of one operand.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Unary {
            $($(#[$doc])* $variant,)*
        }

        impl Unary {
            /// Every op of the table.
            pub const ALL: &'static [Unary] = &[$(Unary::$variant,)*];

            /// The name in text.
            pub fn name(self) -> &'static str {
                match self { $(Unary::$variant => stringify!($name),)* }
            }

            fn text(self) -> (&'static str, &'static str) {
                match self { $(Unary::$variant => ($equation, $gradient),)* }
            }

            fn kind(self) -> Kind {
                match self { $(Unary::$variant => Kind::$kind,)* }
            }

            /// The reference value for floats, from `std` and `libm`.
            pub fn reference(self, x: f64) -> f64 {
                match self { $(Unary::$variant => { let value: fn(f64) -> f64 = $float; value(x) })* }
            }

            /// The reference value for integers, where there is one.
            pub fn reference_int(self) -> Option<fn(i64) -> i64> {
                match self { $(Unary::$variant => $int,)* }
            }

            /// `d·dy/dx`.
            #[track_caller]
            pub fn pull<N: Number>(self, d: N, x: N, y: N) -> N {
                match self { $(Unary::$variant => { let ($d, $x, $y) = (d, x, y); let _ = ($d, $x, $y); $pull })* }
            }
        }

        impl Tensor {
            $($(#[$doc])*
            #[track_caller]
            #[allow(clippy::should_implement_trait)]
            pub fn $name(self) -> Tensor {
                emit(Unary::$variant, &[self]).one()
            })*
        }
    };
}

unary_ops! {
    /// −x
    Neg neg(x) = "y = −x", "dx = −d", Handed |d, y| -d, f64: |x| -x, i64: Some(i64::wrapping_neg);
    /// |x|; the gradient at 0 is 0.
    Abs abs(x) = "y = |x|", "dx = d·sign x, 0 at 0", Product |d, y| d * x.sign(), f64: f64::abs, i64: Some(i64::wrapping_abs);
    /// −1, 0 or 1; NaN stays NaN.
    Sign sign(x) = "y = sign x", "none: piecewise constant", Flat |d, y| d,
        f64: |x| if x == 0.0 || x.is_nan() { x } else { x.signum() }, i64: Some(i64::signum);
    /// eˣ
    Exp exp(x) = "y = eˣ", "dx = d·y", Product |d, y| d * y, f64: f64::exp, i64: None;
    /// The natural logarithm.
    Log log(x) = "y = ln x", "dx = d/x", Product |d, y| d / x, f64: f64::ln, i64: None;
    /// √x
    Sqrt sqrt(x) = "y = √x", "dx = d/(2y)", Product |d, y| d / (y + y), f64: f64::sqrt, i64: None;
    /// The sine; x in radians.
    Sin sin(x) = "y = sin x", "dx = d·cos x", Product |d, y| d * x.cos(), f64: f64::sin, i64: None;
    /// The cosine; x in radians.
    Cos cos(x) = "y = cos x", "dx = −d·sin x", Product |d, y| -(d * x.sin()), f64: f64::cos, i64: None;
    /// The hyperbolic tangent.
    Tanh tanh(x) = "y = tanh x", "dx = d·(1 − y²)", Product |d, y| d * (y.lit(1.0) - y * y), f64: f64::tanh, i64: None;
    /// 1/(1 + e⁻ˣ), from whichever side does not overflow. The slope is not y·(1 − y): in f32 that is 0
    /// from x = 17 on.
    Sigmoid sigmoid(x) = "y = 1/(1 + e⁻ˣ)", "dx = d·y·sigmoid(−x)", Product |d, y| d * (y * (-x).sigmoid()),
        f64: |x| { let e = (-x.abs()).exp(); if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) } }, i64: None;
    /// ln(1 + eˣ), written so that it does not overflow.
    Softplus softplus(x) = "y = ln(1 + eˣ)", "dx = d·sigmoid x", Product |d, y| d * x.sigmoid(),
        f64: |x| if x.is_nan() { x } else { x.max(0.0) + (-x.abs()).exp().ln_1p() }, i64: None;
    /// The error function 2/√π ∫₀ˣ e^(−t²) dt.
    Erf erf(x) = "y = erf x", "dx = d·2/√π·e^(−x²)", Product
        |d, y| d * (-(x * x)).exp() * d.lit(std::f64::consts::FRAC_2_SQRT_PI), f64: libm::erf, i64: None;
    /// 1 − erf x, with all digits where erf x rounds to 1.
    Erfc erfc(x) = "y = 1 − erf x", "dx = −d·2/√π·e^(−x²)", Product
        |d, y| -(d * (-(x * x)).exp() * d.lit(std::f64::consts::FRAC_2_SQRT_PI)), f64: libm::erfc, i64: None;
    /// ln(1 + x), exact for small x.
    Log1p log1p(x) = "y = ln(1 + x)", "dx = d/(1 + x)", Product |d, y| d / (x.lit(1.0) + x), f64: f64::ln_1p, i64: None;
    /// eˣ − 1, exact for small x.
    Expm1 expm1(x) = "y = eˣ − 1", "dx = d·eˣ", Product |d, y| d * x.exp(), f64: f64::exp_m1, i64: None;
    /// 1/x
    Reciprocal reciprocal(x) = "y = 1/x", "dx = −d·y²", Product |d, y| -(d * y) * y, f64: |x| 1.0 / x, i64: None;
    /// x²
    Square square(x) = "y = x²", "dx = d·2x", Product |d, y| d * (x + x), f64: |x| x * x, i64: Some(|x| x.wrapping_mul(x));
    /// The largest integer not above x.
    Floor floor(x) = "y = ⌊x⌋", "none: piecewise constant", Flat |d, y| d, f64: f64::floor, i64: None;
    /// The smallest integer not below x.
    Ceil ceil(x) = "y = ⌈x⌉", "none: piecewise constant", Flat |d, y| d, f64: f64::ceil, i64: None;
    /// The nearest integer; halves go to the even one.
    Round round(x) = "y = x rounded, halves to even", "none: piecewise constant", Flat |d, y| d, f64: f64::round_ties_even, i64: None;
}

impl Unary {
    /// Whether operands of this type are possible.
    pub(crate) fn accepts(self, dtype: DType) -> bool {
        dtype.is_float() || (dtype.is_int() && self.reference_int().is_some())
    }
}

impl Registered for Unary {
    fn names() -> Vec<&'static str> {
        Unary::ALL.iter().map(|op| op.name()).collect()
    }

    fn from_text(name: &str, _given: &Given) -> Result<Op, String> {
        sample::find(Unary::ALL, name)
    }

    fn samples() -> Vec<Sample> {
        let shown = sample::vector(&[0.5, 1.25, 2.0]);
        let of = |&op: &Unary| {
            [vec![(op.into(), vec![shown.clone()])], sample::over_shapes(op, 1, sample::wave)].concat()
        };
        Unary::ALL.iter().flat_map(of).collect()
    }
}

impl Rule for Unary {
    fn name(&self) -> &str {
        Unary::name(*self)
    }

    fn equation(&self) -> (&'static str, &'static str) {
        self.text()
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        want_inputs(inputs, 1)?;
        let ty = inputs[0];
        match self.reference_int() {
            Some(_) => want(ty.dtype.is_number(), 0, ty, "numbers")?,
            None => want(ty.dtype.is_float(), 0, ty, "floats (f32 or f64)")
                .map_err(|ill| ill.hint("cast(F32) makes floats of integers"))?,
        }
        Ok(one(ty))
    }

    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        let x = inputs[0];
        Ok(smallvec::smallvec![map_reference(
            outputs[0].dtype,
            &[x],
            |x| self.reference(x[0]),
            |x| { self.reference_int().map_or(0, |value| value(x[0])) }
        )])
    }

    fn family(&self) -> Family<'_> {
        match self.kind() {
            Kind::Flat => Family::None("piecewise constant"),
            _ => Family::Pointwise(self),
        }
    }
}

impl Pointwise for Unary {
    fn pull(&self, _slot: usize, d: Tensor, x: &[Tensor], y: Tensor) -> Pull {
        let dx = Unary::pull(*self, d, x[0], y);
        if self.kind() == Kind::Handed { Pull::Handed(dx) } else { Pull::Product(dx) }
    }
}

/// The definition of a pointwise op: element by element in f64 (then rounded) or in i64 (then
/// wrapped). f64 holds more than twice the digits of f32, so + − × ÷ √ round as f32 itself would.
pub(crate) fn map_reference(
    dtype: DType,
    x: &[&Array],
    float: impl Fn(&[f64]) -> f64,
    int: impl Fn(&[i64]) -> i64,
) -> Array {
    fn collect<A: Copy + Default, T: Element>(
        sizes: &[usize],
        columns: Vec<Vec<A>>,
        value: impl Fn(&[A]) -> T,
    ) -> Array {
        let mut row = vec![A::default(); columns.len()];
        let values = (0..columns[0].len())
            .map(|i| {
                row.iter_mut().zip(&columns).for_each(|(to, column)| *to = column[i]);
                value(&row)
            })
            .collect();
        Array::new(sizes, values).expect("one result for each element")
    }
    with_dtype!(dtype, |T| if dtype.is_float() {
        collect(x[0].sizes(), x.iter().map(|x| x.to_f64s()).collect(), |x| T::from_f64(float(x)))
    } else {
        collect(x[0].sizes(), x.iter().map(|x| x.to_i64s()).collect(), |x| T::from_i64_wrapping(int(x)))
    })
}

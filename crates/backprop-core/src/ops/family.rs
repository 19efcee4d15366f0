//! The families: what the author of an op writes, and what is derived from it.

use crate::tensor::Tensor;

/// How an op is differentiated.
pub enum Family<'a> {
    /// Has no derivative, for the reason given: `piecewise constant`.
    None(&'static str),
    /// Element by element.
    Pointwise(&'a dyn Pointwise),
    /// Linear in some operands, with the others held fixed.
    Linear(&'a dyn Linear),
    /// Linear in each of two operands.
    Bilinear(&'a dyn BilinearRule),
    /// Anything else.
    General(&'a dyn General),
}

/// The contribution of one operand of a pointwise op to a derivative.
pub enum Pull {
    /// None, for the reason given.
    None(&'static str),
    /// `d` itself, or its negative: nothing is multiplied.
    Handed(Tensor),
    /// `d` times a slope. A mask that `d` carries is put on again after the product.
    Product(Tensor),
    /// `d` where `mask` holds and an exact zero elsewhere: a branch that may not be taken.
    Masked(Tensor, Tensor),
}

/// An op that works element by element: yᵢ = f(x₁ᵢ, x₂ᵢ, ...).
///
/// Its Jacobian is diagonal, so one rule serves both directions: pulling a cotangent back through
/// slot i and pushing a tangent of slot i forward are both `d ↦ d·∂y/∂xᵢ`.
pub trait Pointwise {
    /// `d·∂y/∂x[slot]`; `x` are the operands, `y` is the output.
    fn pull(&self, slot: usize, d: Tensor, x: &[Tensor], y: Tensor) -> Pull;
}

/// An op that is linear in some of its operands.
pub trait Linear {
    /// Whether it is linear in `slot`; the others are indices and have no derivative.
    fn is_linear_in(&self, slot: usize) -> bool {
        slot == 0
    }

    /// The transpose: dx for `slot`. `d` is a cotangent, or the mask of one: then the result is the
    /// mask of dx. Moving elements is the same for both; where numbers add, truth values `or`
    /// ([`Tensor::accumulate`], `scatter_add`), and padding is `false`.
    fn transpose(&self, slot: usize, x: &[Tensor], d: Tensor) -> Tensor;

    /// [`Linear::transpose`] for each of the wanted operands. To be written anew where one pass over
    /// all of them is quicker.
    fn transposes(&self, x: &[Tensor], d: Tensor, wanted: &[bool]) -> Vec<Option<Tensor>> {
        let each = |(slot, &wanted): (usize, &bool)| wanted.then(|| self.transpose(slot, x, d));
        wanted.iter().enumerate().map(each).collect()
    }
}

/// An op that is linear in each of two operands.
pub trait BilinearRule {
    /// dx for the first operand: the transpose of `a ↦ op(a, b)`.
    fn transpose_lhs(&self, a: Tensor, b: Tensor, d: Tensor) -> Tensor;
    /// dx for the second operand: the transpose of `b ↦ op(a, b)`.
    fn transpose_rhs(&self, a: Tensor, b: Tensor, d: Tensor) -> Tensor;
}

/// What a `bprop` returns for one operand.
#[derive(Clone, Copy, Debug)]
pub enum Gradient {
    /// No derivative, for the reason given.
    Zero(&'static str),
    /// The gradient.
    Value(Tensor),
    /// The gradient, which is an exact zero wherever the mask does not hold.
    Masked(Tensor, Tensor),
}

/// The arguments of `op.bprop(inputs, X, D)`, for all operands X at once.
pub struct Bprop<'a> {
    /// The operands.
    pub x: &'a [Tensor],
    /// The outputs.
    pub y: &'a [Tensor],
    /// dz/dy for each output; `None` is a zero.
    pub d: &'a [Option<Tensor>],
    /// Which operands' gradients are asked for.
    pub wanted: &'a [bool],
    /// Derivatives of bodies.
    pub engine: &'a dyn Differentiate,
}

impl Bprop<'_> {
    /// The cotangent of output `idx`, zeros where there is none.
    pub fn d_or_zeros(&self, idx: usize) -> Tensor {
        self.d[idx].unwrap_or_else(|| self.y[idx].zeros_like())
    }
}

/// An op with its own rule.
pub trait General {
    /// Why `slot` has no derivative, if it has none.
    fn no_derivative(&self, slot: usize) -> Option<&'static str> {
        let _ = slot;
        None
    }

    /// The gradients of all wanted operands; those not wanted may be anything.
    fn bprop(&self, at: &Bprop) -> Vec<Gradient>;

    /// The tangents of the outputs, given the tangents of the operands (`None` is a zero).
    /// `None`: derive them by transposing `bprop`, which is linear in `d`.
    fn jvp(
        &self,
        x: &[Tensor],
        y: &[Tensor],
        tx: &[Option<Tensor>],
        engine: &dyn Differentiate,
    ) -> Option<Vec<Option<Tensor>>> {
        let _ = (x, y, tx, engine);
        None
    }
}

/// Differentiation, as control flow needs it for its bodies. The rules of ops do not know how a
/// sweep works; whoever runs them brings it along.
pub trait Differentiate {
    /// ȳ ↦ x̄ for values of one context: the cotangents of `targets`, given those of `outputs`.
    fn vjp(&self, outputs: &[Tensor], d: &[Option<Tensor>], targets: &[Tensor]) -> Vec<Tensor>;

    /// ẋ ↦ ẏ for values of one context.
    fn jvp(&self, outputs: &[Tensor], targets: &[Tensor], tangents: &[Tensor]) -> Vec<Tensor>;
}

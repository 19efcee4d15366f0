//! What the families derive: `bprop` of any op from what its author wrote (`jvp` derives the other way).

use backprop_core::ops::{Bprop, Family, Gradient, Logic, Op, Pull, Select};
use backprop_core::{Ill, Tensor, emit};

use crate::Engine;

/// dz/dv, and where it is not an exact zero, if that is known.
///
/// A masked cotangent is 0 wherever its mask does not hold, whatever it is multiplied with: the
/// branch of a `select` that was not taken may have an infinite slope (DESIGN.md, law 3).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cotangent {
    pub d: Tensor,
    pub mask: Option<Tensor>,
}

impl Cotangent {
    pub fn new(d: Tensor) -> Cotangent {
        Cotangent { d, mask: None }
    }

    /// The sum over two paths: zero only where both are, and one unmasked path unmasks it all.
    pub fn join(self, other: Cotangent) -> Cotangent {
        let mask = match (self.mask, other.mask) {
            (Some(a), Some(b)) => Some(emit(Logic::Or, &[a, b]).one()),
            _ => None,
        };
        Cotangent { d: self.d + other.d, mask }
    }
}

/// The cotangents of the wanted operands of one op, from those of its outputs.
pub(crate) fn pull_back(
    op: &Op,
    x: &[Tensor],
    y: &[Tensor],
    d: &[Option<Cotangent>],
    wanted: &[bool],
) -> Vec<Option<Cotangent>> {
    let for_each_slot = |rule: &dyn Fn(usize, Cotangent) -> Option<Cotangent>| {
        wanted
            .iter()
            .enumerate()
            .map(|(slot, &wanted)| if wanted { rule(slot, d[0]?) } else { None })
            .collect()
    };
    let mut pulled: Vec<Option<Cotangent>> = match op.family() {
        Family::None(_) => vec![None; x.len()],
        Family::Pointwise(rule) => {
            for_each_slot(&|slot, Cotangent { d, mask }| masked_by(rule.pull(slot, d, x, y[0]), mask))
        }
        Family::Linear(rule) => {
            let Some(Cotangent { d, mask }) = d[0] else { return vec![None; x.len()] };
            let masks = mask.map(|mask| rule.transposes(x, mask, wanted));
            let moved = rule.transposes(x, d, wanted).into_iter().enumerate();
            let mask = |slot: usize| masks.as_ref().and_then(|masks| masks[slot]);
            moved.map(|(slot, d)| Some(Cotangent { d: d?, mask: mask(slot) })).collect()
        }
        Family::Bilinear(rule) => for_each_slot(&|slot, Cotangent { d, .. }| {
            Some(Cotangent::new(match slot {
                0 => rule.transpose_lhs(x[0], x[1], d),
                _ => rule.transpose_rhs(x[0], x[1], d),
            }))
        }),
        Family::General(rule) => {
            let d: Vec<Option<Tensor>> = d.iter().map(|d| d.map(|d| d.d)).collect();
            let gradients = rule.bprop(&Bprop { x, y, d: &d, wanted, engine: &Engine });
            if let Err(ill) = as_many(op, "bprop", gradients.len(), x) {
                return wanted.iter().map(|&wanted| wanted.then_some(Cotangent::new(ill))).collect();
            }
            let kept = gradients.into_iter().zip(wanted).map(|(gradient, &wanted)| match gradient {
                Gradient::Value(d) if wanted => Some(Cotangent::new(d)),
                Gradient::Masked(d, mask) if wanted => Some(Cotangent { d, mask: Some(mask) }),
                _ => None,
            });
            kept.collect()
        }
    };
    for (&x, pulled) in x.iter().zip(pulled.iter_mut().flatten()) {
        pulled.d = fitting(op, "bprop", x, pulled.d);
    }
    pulled
}

/// What a pointwise rule makes of d or of a tangent, under the mask that this had.
pub(crate) fn masked_by(pull: Pull, mask: Option<Tensor>) -> Option<Cotangent> {
    match pull {
        Pull::None(_) => None,
        Pull::Handed(d) => Some(Cotangent { d, mask }),
        Pull::Product(d) => Some(Cotangent { d: keep(mask, d), mask }),
        Pull::Masked(d, own) => {
            let both = match mask {
                Some(mask) => emit(Logic::And, &[mask, own]).one(),
                None => own,
            };
            Some(Cotangent { d, mask: Some(both) })
        }
    }
}

/// What a user's rule gives for `value`: of its type, or ill.
pub(crate) fn fitting(op: &Op, rule: &str, value: Tensor, found: Tensor) -> Tensor {
    match (op, value.ty(), found.ty()) {
        (Op::Custom(_), Some(want), Some(ty)) if want != ty => {
            value.ill(op.name(), Ill::new(format!("its {rule} gives {ty} for a value of type {want}")))
        }
        _ => found,
    }
}

/// Refuses a user's rule that gives not one result for each of `values`.
///
/// # Errors
/// An ill value that says so.
pub(crate) fn as_many(op: &Op, rule: &str, n: usize, values: &[Tensor]) -> Result<(), Tensor> {
    match values.first() {
        Some(first) if n != values.len() => {
            let rule = format!("its {rule} gives {n} results for {} values", values.len());
            Err(first.ill(op.name(), Ill::new(rule)))
        }
        _ => Ok(()),
    }
}

/// `d` where the mask holds, an exact zero elsewhere.
fn keep(mask: Option<Tensor>, d: Tensor) -> Tensor {
    match mask {
        None => d,
        Some(mask) => emit(Select, &[mask, d, d.zeros_like()]).one(),
    }
}

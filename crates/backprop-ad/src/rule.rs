//! What the families derive: `bprop` and `jvp` of any op from what its author wrote.

use backprop_core::ops::{Bprop, Family, Gradient, Logic, Op, Pull, Select};
use backprop_core::{Tensor, emit};

use crate::Engine;
use crate::sweep::vjp;

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
    match op.family() {
        Family::None(_) => vec![None; x.len()],
        Family::Pointwise(rule) => {
            for_each_slot(&|slot, Cotangent { d, mask }| match rule.pull(slot, d, x, y[0]) {
                Pull::None(_) => None,
                Pull::Handed(dx) => Some(Cotangent { d: dx, mask }),
                Pull::Product(dx) => Some(Cotangent { d: keep(mask, dx), mask }),
                Pull::Masked(dx, own) => {
                    let both = match mask {
                        Some(mask) => emit(Logic::And, &[mask, own]).one(),
                        None => own,
                    };
                    Some(Cotangent { d: dx, mask: Some(both) })
                }
            })
        }
        Family::Linear(rule) => for_each_slot(&|slot, Cotangent { d, mask }| {
            let mask = mask.map(|mask| rule.transpose(slot, x, mask));
            Some(Cotangent { d: rule.transpose(slot, x, d), mask })
        }),
        Family::Bilinear(rule) => for_each_slot(&|slot, Cotangent { d, .. }| {
            Some(Cotangent::new(match slot {
                0 => rule.transpose_lhs(x[0], x[1], d),
                _ => rule.transpose_rhs(x[0], x[1], d),
            }))
        }),
        Family::General(rule) => {
            let d: Vec<Option<Tensor>> = d.iter().map(|d| d.map(|d| d.d)).collect();
            let gradients = rule.bprop(&Bprop { x, y, d: &d, wanted, engine: &Engine });
            let kept = gradients.into_iter().zip(wanted).map(|(gradient, &wanted)| match gradient {
                Gradient::Value(d) if wanted => Some(Cotangent::new(d)),
                Gradient::Masked(d, mask) if wanted => Some(Cotangent { d, mask: Some(mask) }),
                _ => None,
            });
            kept.collect()
        }
    }
}

/// `d` where the mask holds, an exact zero elsewhere.
fn keep(mask: Option<Tensor>, d: Tensor) -> Tensor {
    match mask {
        None => d,
        Some(mask) => emit(Select, &[mask, d, d.zeros_like()]).one(),
    }
}

/// The tangents of the outputs of one op, from those of its operands.
pub(crate) fn push_forward(
    op: &Op,
    x: &[Tensor],
    y: &[Tensor],
    tx: &[Option<Tensor>],
) -> Vec<Option<Tensor>> {
    let sum = |terms: &mut dyn Iterator<Item = Tensor>| terms.reduce(|a, b| a + b);
    match op.family() {
        Family::None(_) => vec![None; y.len()],
        Family::Pointwise(rule) => {
            let pulled =
                tx.iter().enumerate().filter_map(|(slot, tx)| match rule.pull(slot, (*tx)?, x, y[0]) {
                    Pull::None(_) => None,
                    Pull::Handed(ty) | Pull::Product(ty) | Pull::Masked(ty, _) => Some(ty),
                });
            vec![sum(&mut pulled.collect::<Vec<_>>().into_iter())]
        }
        Family::Linear(rule) => {
            if tx.iter().all(Option::is_none) {
                return vec![None; y.len()];
            }
            let operands: Vec<Tensor> = (x.iter().zip(tx).enumerate())
                .map(|(slot, (&x, &tx))| match rule.is_linear_in(slot) {
                    true => tx.unwrap_or_else(|| x.zeros_like()),
                    false => x,
                })
                .collect();
            emit(op.clone(), &operands).iter().map(Some).collect()
        }
        Family::Bilinear(_) => {
            let left = tx[0].map(|ta| emit(op.clone(), &[ta, x[1]]).one());
            let right = tx[1].map(|tb| emit(op.clone(), &[x[0], tb]).one());
            vec![sum(&mut left.into_iter().chain(right))]
        }
        Family::General(rule) => {
            rule.jvp(x, y, tx, &Engine).unwrap_or_else(|| transposed_bprop(op, x, y, tx))
        }
    }
}

/// J·tx for a rule that says only D ↦ Jᵀ·D: that is linear in D, so J·tx = ∂⟨Jᵀ·D, tx⟩/∂D at any D.
fn transposed_bprop(op: &Op, x: &[Tensor], y: &[Tensor], tx: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
    let is_float = |y: &Tensor| y.dtype().is_none_or(|dtype| dtype.is_float());
    let d: Vec<Option<Tensor>> = y.iter().map(|y| is_float(y).then(|| y.zeros_like().identity())).collect();
    let wanted: Vec<bool> = tx.iter().map(Option::is_some).collect();
    let cotangents: Vec<Option<Cotangent>> = d.iter().map(|d| d.map(Cotangent::new)).collect();
    let dx = pull_back(op, x, y, &cotangents, &wanted);
    let seeds: Vec<(Tensor, Tensor)> =
        dx.into_iter().zip(tx).filter_map(|(dx, tx)| Some((dx?.d, (*tx)?))).collect();
    let targets: Vec<Tensor> = d.iter().flatten().copied().collect();
    if seeds.is_empty() || targets.is_empty() {
        return vec![None; y.len()];
    }
    let mut tangents = vjp(&seeds, &targets).gradients().to_vec().into_iter();
    d.iter().map(|d| if d.is_some() { tangents.next() } else { None }).collect()
}

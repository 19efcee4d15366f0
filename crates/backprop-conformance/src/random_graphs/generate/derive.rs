//! Gradients and tangents of what was made, of orders 1 and 2.

use backprop_ad::{grad_table, jvp};
use backprop_core::{Tensor, Type};

use super::builder::{Builder, Made};
use super::range::Range;

impl Builder {
    /// A float scalar that several of the newest values flow into.
    fn scalar(&mut self) -> Tensor {
        let n = 1 + self.dice.below(3);
        let parts: Vec<Made> = (0..n).map(|_| self.float()).collect();
        let part = |builder: &mut Builder, made: Made| {
            let made = builder.tame(made, 20.0);
            let x = made.tensor;
            let x = match builder.dice.below(4) {
                0 => x.square().sum(()),
                1 if builder.n_least(made.ty.shape) > 0 => x.mean(()),
                2 => builder.weighted(x),
                _ => x.sum(()),
            };
            x.cast(builder.float)
        };
        let terms: Vec<Tensor> = parts.into_iter().map(|made| part(self, made)).collect();
        terms.into_iter().reduce(|sum, term| sum + term).expect("there is at least one")
    }

    /// Σ x·w with a new w.
    fn weighted(&mut self, x: Tensor) -> Tensor {
        let ty = x.ty().expect("values of the pool are well-typed");
        let w = self.fresh(ty, Range::within(1.0));
        (x * w.tensor).sum(())
    }

    /// What to differentiate with respect to: inputs, and now and then a value between.
    fn targets(&mut self) -> Vec<Tensor> {
        let inputs = self.dice.shuffled(self.float_inputs());
        let mut targets: Vec<Tensor> = inputs.iter().take(3).map(|made| made.tensor).collect();
        if self.dice.chance(25) {
            targets.push(self.float().tensor);
        }
        targets
    }

    /// A tangent for each target.
    fn tangents(&mut self, targets: &[Tensor]) -> Vec<(Tensor, Tensor)> {
        let tangent = |x: &Tensor| {
            let ty: Type = x.ty().expect("values of the pool are well-typed");
            (*x, self.fresh(ty, Range::within(1.0)).tensor)
        };
        targets.iter().map(tangent).collect()
    }

    /// Derivatives of order 1 or 2; which one, by chance.
    pub fn derivatives(&mut self, order: usize) -> Vec<Tensor> {
        let z = self.scalar();
        let targets = self.targets();
        if targets.is_empty() {
            return vec![z];
        }
        if order == 1 && self.dice.chance(30) {
            let y = self.float().tensor;
            let moved = self.tangents(&targets);
            return [vec![z], jvp(&[z, y], &moved).tangents().to_vec()].concat();
        }
        let first = grad_table(z, &targets).gradients().to_vec();
        if order == 1 {
            return [vec![z], first].concat();
        }
        let again: Vec<Tensor> = targets[..1 + self.dice.below(targets.len())].to_vec();
        let second = match self.dice.below(3) {
            // Forward over reverse.
            0 => {
                let moved = self.tangents(&again);
                jvp(&first, &moved).tangents().to_vec()
            }
            // Reverse over reverse.
            _ => {
                let float = self.float;
                let terms: Vec<Tensor> = first.iter().map(|&d| self.weighted(d).cast(float)).collect();
                let w = terms.into_iter().reduce(|sum, term| sum + term).expect("there is at least one");
                grad_table(w, &again).gradients().to_vec()
            }
        };
        [vec![z], first, second].concat()
    }
}

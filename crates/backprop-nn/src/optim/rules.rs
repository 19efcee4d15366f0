//! Update rules: what a parameter becomes, from its gradient and its slots. The names, defaults and
//! formulas are PyTorch's.

use backprop_core::{DType, Tensor, Type};

use super::{NewValue, Target, like};
use crate::bound::Bound;

/// How one parameter is updated. Implement it for a rule of your own.
///
/// ```
/// use backprop_core::Tensor;
/// use backprop_nn::{Optimizer, Slots, UpdateRule};
/// /// x − lr·sign(g)
/// struct SignSgd { lr: f64 }
/// impl UpdateRule for SignSgd {
///     fn lr(&self) -> f64 { self.lr }
///     fn update(&self, x: Tensor, g: Tensor, lr: Tensor, slots: &mut Slots) -> Tensor {
///         x - g.sign() * slots.like(lr, x)
///     }
/// }
/// let optimizer = Optimizer::from(SignSgd { lr: 0.01 });
/// ```
pub trait UpdateRule {
    /// The learning rate before schedule and multipliers.
    fn lr(&self) -> f64;

    /// What is wrong with the hyper-parameters, if anything is.
    ///
    /// # Errors
    /// The rule that is broken.
    fn check(&self) -> Result<(), String> {
        in_range("lr", self.lr(), 0.0, f64::INFINITY)
    }

    /// Whether an element of the gradient that is not finite always makes the new value or a slot so: then
    /// looking at these is enough to refuse a step. A rule that takes the sign of a gradient, or clips it, does not.
    fn keeps_not_finite(&self) -> bool {
        false
    }

    /// The new value of `x` with gradient `g`. `lr` is f64 \[\].
    fn update(&self, x: Tensor, g: Tensor, lr: Tensor, slots: &mut Slots) -> Tensor;
}

/// What a rule keeps for one parameter from step to step.
pub struct Slots<'a> {
    p: &'a Bound,
    position: usize,
    step: Option<Tensor>,
    new: Vec<NewValue>,
}

/// The slot that counts the steps; PyTorch's name.
const STEP: &str = "step";

impl<'a> Slots<'a> {
    pub(crate) fn new(p: &'a Bound, position: usize) -> Slots<'a> {
        Slots { p, position, step: None, new: Vec::new() }
    }

    /// The slot called `name`, of the parameter's type; zeros before the first step.
    pub fn get(&self, name: &'static str) -> Tensor {
        let array = &self.p.shared.entries[self.position].array;
        self.p.slot(self.position, name, Type::new(array.dtype(), array.sizes()))
    }

    /// What the slot called `name` holds after this step. (The name `step` is taken.)
    pub fn set(&mut self, name: &'static str, value: Tensor) {
        // Binding it first gives it its name and type.
        self.get(name);
        self.new.push(NewValue { target: Target::Slot(self.position, name), value });
    }

    /// How many steps have changed this parameter before this one, f64 \[\]. Steps in which it was
    /// frozen do not count, so what starts from zeros is corrected as in the first step of a run.
    pub fn step(&mut self) -> Tensor {
        if let Some(step) = self.step {
            return step;
        }
        let count = self.p.slot(self.position, STEP, Type::scalar(DType::I64));
        self.new.push(NewValue { target: Target::Slot(self.position, STEP), value: count + 1i64 });
        *self.step.insert(count.cast(DType::F64))
    }

    /// A scalar in the element type of `x`.
    pub fn like(&self, scalar: Tensor, x: Tensor) -> Tensor {
        like(scalar, x)
    }

    pub(crate) fn into_new(self) -> Vec<NewValue> {
        self.new
    }
}

/// x − lr·g, with momentum, dampening, Nesterov's variant and weight decay as PyTorch has them
/// (Sutskever, Martens, Dahl, Hinton 2013).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    lr: f64,
    momentum: f64,
    dampening: f64,
    weight_decay: f64,
    nesterov: bool,
}

impl Sgd {
    /// Plain gradient descent.
    pub fn new(lr: f64) -> Sgd {
        Sgd { lr, momentum: 0.0, dampening: 0.0, weight_decay: 0.0, nesterov: false }
    }

    /// b ← momentum·b + (1 − dampening)·g in the place of g.
    pub fn momentum(self, momentum: f64) -> Sgd {
        Sgd { momentum, ..self }
    }

    /// How much of the gradient the momentum leaves out, from the second step on.
    pub fn dampening(self, dampening: f64) -> Sgd {
        Sgd { dampening, ..self }
    }

    /// g + weight_decay·x in the place of g, for biases too.
    pub fn weight_decay(self, weight_decay: f64) -> Sgd {
        Sgd { weight_decay, ..self }
    }

    /// g + momentum·b in the place of b.
    pub fn nesterov(self) -> Sgd {
        Sgd { nesterov: true, ..self }
    }
}

impl UpdateRule for Sgd {
    fn lr(&self) -> f64 {
        self.lr
    }

    // It is multiplied by numbers and added: nothing of it is lost.
    fn keeps_not_finite(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), String> {
        in_range("lr", self.lr, 0.0, f64::INFINITY)?;
        in_range("momentum", self.momentum, 0.0, f64::INFINITY)?;
        in_range("weight_decay", self.weight_decay, 0.0, f64::INFINITY)?;
        if !self.dampening.is_finite() {
            return Err(format!("dampening must be finite, not {}", self.dampening));
        }
        if self.nesterov && (self.momentum == 0.0 || self.dampening != 0.0) {
            return Err("nesterov needs momentum, and no dampening".to_string());
        }
        Ok(())
    }

    fn update(&self, x: Tensor, g: Tensor, lr: Tensor, slots: &mut Slots) -> Tensor {
        let g = if self.weight_decay == 0.0 { g } else { g + x * self.weight_decay };
        let direction = if self.momentum == 0.0 {
            g
        } else {
            let damped = if self.dampening == 0.0 {
                g
            } else {
                // The first step takes the whole gradient.
                slots.step().eq(0.0).select(g, g * (1.0 - self.dampening))
            };
            let buffer = slots.get("momentum_buffer") * self.momentum + damped;
            slots.set("momentum_buffer", buffer);
            if self.nesterov { g + buffer * self.momentum } else { buffer }
        };
        direction.fma(like(-lr, x), x)
    }
}

/// Adam (Kingma, Ba 2015). Its `weight_decay` is added to the gradient; see [`AdamW`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    lr: f64,
    betas: (f64, f64),
    eps: f64,
    weight_decay: f64,
}

impl Adam {
    /// With betas (0.9, 0.999), eps 1e-8 and no weight decay.
    pub fn new(lr: f64) -> Adam {
        Adam { lr, betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0 }
    }

    /// How slowly the means of the gradient and of its square forget.
    pub fn betas(self, first: f64, second: f64) -> Adam {
        Adam { betas: (first, second), ..self }
    }

    /// What is added to the root of the mean square.
    pub fn eps(self, eps: f64) -> Adam {
        Adam { eps, ..self }
    }

    /// g + weight_decay·x in the place of g, for biases too.
    pub fn weight_decay(self, weight_decay: f64) -> Adam {
        Adam { weight_decay, ..self }
    }

    /// m ← β₁·m + (1 − β₁)·g,  v ← β₂·v + (1 − β₂)·g²,
    /// x − lr/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + eps),  t from 1.
    fn descend(&self, x: Tensor, g: Tensor, lr: Tensor, slots: &mut Slots) -> Tensor {
        let (beta1, beta2) = self.betas;
        let m = slots.get("exp_avg") * beta1 + g * (1.0 - beta1);
        let v = slots.get("exp_avg_sq") * beta2 + g.square() * (1.0 - beta2);
        slots.set("exp_avg", m);
        slots.set("exp_avg_sq", v);
        let t = slots.step() + 1.0;
        let correction = |beta: f64| -> Tensor { 1.0 - t.full_like(beta).pow(t) };
        let size = lr / correction(beta1);
        // One division for each number: roots and quotients are what a step of Adam waits for.
        let denominator = v.sqrt() * like(1.0 / correction(beta2).sqrt(), x) + self.eps;
        (m / denominator).fma(like(-size, x), x)
    }
}

impl UpdateRule for Adam {
    fn lr(&self) -> f64 {
        self.lr
    }

    fn keeps_not_finite(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), String> {
        in_range("lr", self.lr, 0.0, f64::INFINITY)?;
        in_range("eps", self.eps, 0.0, f64::INFINITY)?;
        in_range("weight_decay", self.weight_decay, 0.0, f64::INFINITY)?;
        in_range("betas.0", self.betas.0, 0.0, 1.0)?;
        in_range("betas.1", self.betas.1, 0.0, 1.0)
    }

    fn update(&self, x: Tensor, g: Tensor, lr: Tensor, slots: &mut Slots) -> Tensor {
        let g = if self.weight_decay == 0.0 { g } else { g + x * self.weight_decay };
        self.descend(x, g, lr, slots)
    }
}

/// Adam with decoupled weight decay: x is first multiplied by 1 − lr·weight_decay, whatever its
/// gradient is (Loshchilov, Hutter 2019).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    adam: Adam,
    weight_decay: f64,
}

impl AdamW {
    /// With betas (0.9, 0.999), eps 1e-8 and weight decay 0.01.
    pub fn new(lr: f64) -> AdamW {
        AdamW { adam: Adam::new(lr), weight_decay: 0.01 }
    }

    /// As [`Adam::betas`].
    pub fn betas(self, first: f64, second: f64) -> AdamW {
        AdamW { adam: self.adam.betas(first, second), ..self }
    }

    /// As [`Adam::eps`].
    pub fn eps(self, eps: f64) -> AdamW {
        AdamW { adam: self.adam.eps(eps), ..self }
    }

    /// The part of x, times the learning rate, that each step takes away; of biases too.
    pub fn weight_decay(self, weight_decay: f64) -> AdamW {
        AdamW { weight_decay, ..self }
    }
}

impl UpdateRule for AdamW {
    fn lr(&self) -> f64 {
        self.adam.lr
    }

    fn keeps_not_finite(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), String> {
        in_range("weight_decay", self.weight_decay, 0.0, f64::INFINITY)?;
        self.adam.check()
    }

    fn update(&self, x: Tensor, g: Tensor, lr: Tensor, slots: &mut Slots) -> Tensor {
        let decayed = if self.weight_decay == 0.0 { x } else { x * like(1.0 - lr * self.weight_decay, x) };
        self.adam.descend(decayed, g, lr, slots)
    }
}

/// low ≤ value < high, and a number.
fn in_range(name: &str, value: f64, low: f64, high: f64) -> Result<(), String> {
    if value >= low && value < high {
        return Ok(());
    }
    let range =
        if high.is_finite() { format!("in [{low}, {high})") } else { format!("finite and at least {low}") };
    Err(format!("{name} must be {range}, not {value}"))
}

//! A random, well-typed graph from a seed, through the public API alone.
//!
//! ```text
//! seed ─► dimensions, inputs ─► steps: each calls an op on values of the pool ─► derivatives ─► Case
//! ```
//!
//! A value carries the range of its elements, so that an op's operand can be brought into its domain and
//! numbers stay finite.

mod builder;
mod control;
mod derive;
mod index;
mod pointwise;
mod range;
mod reduce;
mod shape;

use backprop_core::{Shape, Tensor, Type};

use super::case::Case;
use super::dice::Dice;
use builder::{Builder, Made};
use range::Range;

/// A step, and how often it is taken.
type Step = (usize, fn(&mut Builder) -> Option<Made>);

const STEPS: [Step; 24] = [
    (22, Builder::unary),
    (16, Builder::binary),
    (3, Builder::fma),
    (4, Builder::compare),
    (3, Builder::logic),
    (5, Builder::select),
    (5, Builder::cast),
    (2, Builder::handed_on),
    (2, Builder::custom),
    (4, Builder::reshape),
    (4, Builder::transpose),
    (4, Builder::broadcast),
    (4, Builder::slice),
    (4, Builder::pad),
    (4, Builder::concat),
    (10, Builder::reduce),
    (4, Builder::argmax),
    (9, Builder::contract),
    (6, Builder::composite),
    (4, Builder::gather),
    (4, Builder::scatter_add),
    (2, Builder::one_hot),
    (5, Builder::leaf),
    (3, Builder::random),
];

/// Steps with bodies, which are dear.
const BODIES: [Step; 2] = [(3, Builder::branches), (4, Builder::looped)];

/// Steps along long dimensions.
const AT_LENGTH: [Step; 1] = [(24, Builder::chosen)];

/// In one graph of so many, a dimension is long: such graphs are dear.
const ONE_LONG_IN: u64 = 20;

/// The graph of a seed.
pub fn case(seed: u64) -> Case {
    // By the seed, not by chance: the other seeds' graphs stay what they were.
    let is_long = seed.is_multiple_of(ONE_LONG_IN);
    let steps: Vec<Step> =
        STEPS.iter().chain(&BODIES).chain(AT_LENGTH.iter().filter(|_| is_long)).copied().collect();
    let mut dice = Dice::new(seed);
    let mut fills = Dice::new(dice.word());
    let mut builder = Builder::new(dice, is_long);
    // Every name stands in an input.
    for dim in builder.dims.clone().into_iter().filter(|dim| dim.size().is_none()) {
        let ty = Type { dtype: builder.float, shape: Shape::new(&[dim]) };
        builder.input(ty);
    }
    for _ in 0..1 + builder.dice.below(3) {
        let ty = Type { dtype: builder.float, shape: builder.shape() };
        builder.input(ty);
    }
    let n_steps = 2 + builder.dice.below(15);
    let mut made: Vec<Tensor> = Vec::new();
    while made.len() < n_steps {
        made.extend(step(&mut builder, &steps).map(|made| made.tensor));
    }
    let order = builder.dice.pick(&[0, 0, 1, 1, 1, 2]);
    let derived = if order == 0 { Vec::new() } else { builder.derivatives(order) };
    // The newest value, some of the others, and all derivatives.
    let mut outputs: Vec<Tensor> = made.pop().into_iter().collect();
    outputs.extend(builder.dice.some_of(&made, 30));
    outputs.extend(derived);
    let runs = (0..builder.sizes.len()).map(|run| builder.arrays(&mut fills, run)).collect();
    let records = (*builder.graph.records()).clone();
    Case { seed, order, records, outputs: outputs.iter().map(|output| output.id()).collect(), runs }
}

/// Takes one of the steps.
fn step(builder: &mut Builder, steps: &[Step]) -> Option<Made> {
    let mut at = builder.dice.below(steps.iter().map(|(weight, _)| weight).sum());
    for (weight, step) in steps {
        match at.checked_sub(*weight) {
            None => return step(builder),
            Some(rest) => at = rest,
        }
    }
    unreachable!("the weights add up")
}

impl Builder {
    fn input(&mut self, ty: Type) {
        let range = self.dice.pick(&[Range::within(2.0), Range::within(1.0), Range::new(0.25, 2.0)]);
        self.given(ty, range);
    }
}

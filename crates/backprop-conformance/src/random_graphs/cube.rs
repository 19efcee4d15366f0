//! A custom op, as another crate would write one: y = x³.

use backprop_core::ops::{Arrays, Custom, Family, Pointwise, Pull, Rule, Types};
use backprop_core::{Array, Element, Ill, Tensor, Type, with_dtype};

/// Its name.
pub const NAME: &str = "cube";

/// y = x³, by its own definition in every engine.
#[derive(Debug)]
struct Cube;

/// x³
pub fn cube(x: Tensor) -> Tensor {
    Custom::new(Cube).call(&[x])
}

impl Rule for Cube {
    fn name(&self) -> &str {
        NAME
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("y = x³", "dx = d·3x²")
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        match inputs {
            [x] if x.dtype.is_float() => Ok(Types::from_elem(*x, 1)),
            _ => Err(Ill::new("takes one operand of floats")),
        }
    }

    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        let cubes = inputs[0].to_f64s().into_iter().map(|x| x * x * x);
        let array = with_dtype!(outputs[0].dtype, |T| Array::new(
            inputs[0].sizes(),
            cubes.map(T::from_f64).collect::<Vec<T>>()
        ));
        Ok(Arrays::from_elem(array.map_err(|error| Ill::new(error.to_string()))?, 1))
    }

    fn family(&self) -> Family<'_> {
        Family::Pointwise(self)
    }
}

impl Pointwise for Cube {
    fn pull(&self, _slot: usize, d: Tensor, x: &[Tensor], _y: Tensor) -> Pull {
        Pull::Product(d * x[0].square() * 3.0)
    }
}

//! `fma`: a product and a sum that round once. Chosen by a compiler where it may; written by hand where the
//! digits of a·b matter.

use super::binary::{broadcast_three, same_types};
use super::family::{Family, Pointwise, Pull};
use super::sample::{self, Registered, Sample};
use super::{Arrays, Op, Rule, Types, one, want, want_inputs};
use crate::array::{Array, DType};
use crate::graph::fault::Ill;
use crate::tensor::{Tensor, emit};
use crate::text::Given;
use crate::types::Type;

/// y = a·b + c, rounded once (IEEE 754-2019, §5.4.1, fusedMultiplyAdd).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fma;

impl Registered for Fma {
    fn names() -> Vec<&'static str> {
        vec!["fma"]
    }

    fn from_text(_name: &str, _given: &Given) -> Result<Op, String> {
        Ok(Fma.into())
    }

    fn samples() -> Vec<Sample> {
        let shown = [[3.0, 1.5], [2.0, 4.0], [1.0, -6.0]].map(|x| sample::vector(&x)).to_vec();
        [vec![(Fma.into(), shown)], sample::over_shapes(Fma, 3, sample::wave)].concat()
    }
}

impl Rule for Fma {
    fn name(&self) -> &str {
        "fma"
    }

    fn equation(&self) -> (&'static str, &'static str) {
        ("y = a·b + c, rounded once", "da = d·b, db = d·a, dc = d")
    }

    fn roles(&self) -> &'static [&'static str] {
        &["a", "b", "c"]
    }

    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        want_inputs(inputs, 3)?;
        same_types(inputs, 0, 1)?;
        same_types(inputs, 0, 2)?;
        want(inputs[0].dtype.is_float(), 0, inputs[0], "floats (f32 or f64)")?;
        Ok(one(inputs[0]))
    }

    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        // Not by f64, as other ops are: of f32 the sum would round twice.
        let wrong = |e: crate::array::ArrayError| Ill::new(e.to_string());
        macro_rules! fused {
            ($T:ty) => {{
                let [a, b, c] = [0, 1, 2].map(|slot| inputs[slot].slice::<$T>());
                let (a, b, c) = (a.map_err(wrong)?, b.map_err(wrong)?, c.map_err(wrong)?);
                Array::new(
                    inputs[0].sizes(),
                    (0..a.len()).map(|i| a[i].mul_add(b[i], c[i])).collect::<Vec<$T>>(),
                )
            }};
        }
        let fused = if outputs[0].dtype == DType::F32 { fused!(f32) } else { fused!(f64) };
        Ok(smallvec::smallvec![fused.map_err(wrong)?])
    }

    fn family(&self) -> Family<'_> {
        Family::Pointwise(self)
    }
}

impl Pointwise for Fma {
    fn pull(&self, slot: usize, d: Tensor, x: &[Tensor], _y: Tensor) -> Pull {
        match slot {
            0 => Pull::Product(d * x[1]),
            1 => Pull::Product(d * x[0]),
            _ => Pull::Handed(d),
        }
    }
}

impl Tensor {
    /// `self`·b + c, rounded once; all of one element type, and broadcast to one shape.
    #[track_caller]
    pub fn fma(self, b: Tensor, c: Tensor) -> Tensor {
        emit(Fma, &broadcast_three(self, b, c)).one()
    }
}

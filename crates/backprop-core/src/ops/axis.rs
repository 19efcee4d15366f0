//! Axes, as a user writes them: counted from the front, or, below 0, from the end.

use super::Axes;
use crate::graph::fault::Ill;
use crate::tensor::Tensor;
use crate::types::Shape;

/// One axis, as a user writes it: counted from the front, or, below 0, from the end.
pub trait IntoAxis: Copy {
    /// The number, with its sign.
    fn number(self) -> i64;

    /// The axis of `shape`, counted from the front.
    ///
    /// # Errors
    /// There is no such axis.
    fn counted(self, shape: Shape) -> Result<usize, Ill> {
        let (axis, rank) = (self.number(), shape.rank());
        match usize::try_from(if axis < 0 { axis.saturating_add(rank as i64) } else { axis }) {
            Ok(counted) if counted < rank => Ok(counted),
            _ => Err(Ill::new(format!("axis {axis} is out of range for {shape}"))),
        }
    }
}

macro_rules! into_axis {
    ($($number:ty)*) => {$(
        impl IntoAxis for $number {
            fn number(self) -> i64 {
                i64::try_from(self).unwrap_or(i64::MAX)
            }
        }

        impl IntoAxes for $number {
            fn into_axes(self, shape: Shape) -> Result<Axes, Ill> {
                [self].into_axes(shape)
            }
        }
    )*};
}

into_axis! { i64 i32 usize }

/// Axes of a reduction, as a user writes them.
pub trait IntoAxes {
    /// The axes, increasing, of an operand of this shape.
    ///
    /// # Errors
    /// An axis is out of range.
    fn into_axes(self, shape: Shape) -> Result<Axes, Ill>;
}

/// Every axis.
impl IntoAxes for () {
    fn into_axes(self, shape: Shape) -> Result<Axes, Ill> {
        Ok(Axes::new(&(0..shape.rank()).collect::<Vec<_>>()))
    }
}

/// Several axes; −1 is the last.
impl<A: IntoAxis, const N: usize> IntoAxes for [A; N] {
    fn into_axes(self, shape: Shape) -> Result<Axes, Ill> {
        if N > shape.rank() {
            return Err(Ill::new(format!("{N} axes are named, but the rank is {}", shape.rank())));
        }
        let mut axes = self.iter().map(|axis| axis.counted(shape)).collect::<Result<Vec<usize>, Ill>>()?;
        axes.sort_unstable();
        Ok(Axes::new(&axes))
    }
}

impl IntoAxes for Axes {
    fn into_axes(self, _shape: Shape) -> Result<Axes, Ill> {
        Ok(self.sorted())
    }
}

impl Tensor {
    /// `axis` counted from the front, or the ill result of the call `name`. An operand without a type
    /// has no axes to count: the op is called all the same, so that the other operands' faults tell.
    ///
    /// No closure takes the axis: what is called in a closure stands at a line of this crate.
    #[track_caller]
    pub(crate) fn axis(self, name: &str, axis: impl IntoAxis) -> Result<usize, Tensor> {
        let Some(shape) = self.shape() else { return Ok(0) };
        match axis.counted(shape) {
            Ok(axis) => Ok(axis),
            Err(ill) => Err(self.ill(name, ill)),
        }
    }
}

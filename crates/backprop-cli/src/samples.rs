//! One small call of every operation, for `backprop ops`.

use backprop_core::ops::*;
use backprop_core::{Array, DType, Graph, Op, Shape, Tensor, Type, cond, scan};

use crate::failure::Failure;

/// An op with operands that show what it does.
pub struct Sample {
    /// The op, with its parameters.
    pub op: Op,
    /// What it is called on.
    pub operands: Vec<Array>,
    /// Whether it takes any number of operands.
    pub variadic: bool,
}

impl Sample {
    fn new(op: impl Into<Op>, operands: impl Into<Vec<Array>>) -> Sample {
        Sample { op: op.into(), operands: operands.into(), variadic: false }
    }

    /// What the op's own definition computes.
    pub fn results(&self) -> Result<Vec<Array>, Failure> {
        let wrong = |ill: backprop_core::Ill| Failure::failed(format!("{}: {}", self.op.name(), ill.rule));
        let types: Vec<Type> =
            self.operands.iter().map(|array| Type::new(array.dtype(), array.shape())).collect();
        let outputs = self.op.infer(&types).map_err(wrong)?;
        let operands: Vec<&Array> = self.operands.iter().collect();
        Ok(self.op.rule().eval(&operands, &outputs).map_err(wrong)?.into_vec())
    }
}

/// Every op, in the order of the families: pointwise, leaves, shapes, indices, reductions, random,
/// control flow.
pub fn samples() -> Vec<Sample> {
    let mut all: Vec<Sample> = Vec::new();
    all.extend(Unary::ALL.iter().map(|&op| Sample::new(op, [unary_operand(op)])));
    all.extend(Binary::ALL.iter().map(|&op| Sample::new(op, [vector([3.0, -1.5]), vector([2.0, 4.0])])));
    all.extend(Compare::ALL.iter().map(|&op| Sample::new(op, [vector([1.0, 2.0, 3.0]), vector([2.0; 3])])));
    let (yes, no) = (Array::vector(vec![true, true]), Array::vector(vec![true, false]));
    for &op in Logic::ALL {
        let operands = if op == Logic::Not { vec![no.clone()] } else { vec![yes.clone(), no.clone()] };
        all.push(Sample::new(op, operands));
    }
    all.extend(others());
    all.extend(control_flow());
    all
}

/// A square root that is taken where there is one; a running sum.
fn control_flow() -> Vec<Sample> {
    let g = Graph::new();
    let (x, xs) = (g.input("x", "f64[]"), g.input("xs", "f64[3]"));
    let branches = cond(x.gt(0.0), || x.sqrt(), || -x);
    let (sum, _) = scan(x, xs, |sum, x| (sum + x, sum + x));
    let (yes, start) = (Array::scalar(true), Array::scalar(4.0));
    let calls = [(branches, vec![yes, start.clone()]), (sum, vec![start, vector([1.0, 2.0, 3.0])])];
    let sample = |(y, operands): (Tensor, Vec<Array>)| {
        Some(Sample { variadic: true, ..Sample::new(y.get_operation()?, operands) })
    };
    calls.into_iter().filter_map(sample).collect()
}

fn unary_operand(op: Unary) -> Array {
    match op {
        Unary::Log | Unary::Sqrt | Unary::Reciprocal | Unary::Log1p => vector([0.5, 1.0, 4.0]),
        _ => vector([-1.5, 0.0, 2.0]),
    }
}

fn vector<const N: usize>(values: [f64; N]) -> Array {
    Array::vector(values.to_vec())
}

fn others() -> Vec<Sample> {
    let ones = vector([1.0, 2.0, 3.0]);
    let m = matrix([[1.0, 5.0, 2.0], [4.0, 0.0, 3.0]]);
    let at = Array::vector(vec![2i64, 0]);
    let no = Array::vector(vec![true, false, true]);
    let key = Array::vector(vec![7u32, 0, 1, 0]);
    let shape = |sizes: &[usize]| Shape::of_sizes(sizes);
    let f64_of = |sizes: &[usize]| Type::new(DType::F64, Shape::of_sizes(sizes));
    let (a0, a1) = (Axes::new(&[0]), Axes::new(&[1]));
    let none = Axes::new(&[]);
    let contract = Contract { lhs_contract: a1, rhs_contract: a0, lhs_batch: none, rhs_batch: none };
    let full = Full::new(f64_of(&[2]), 0.5).expect("0.5 is an f64");
    let concat = Sample { variadic: true, ..Sample::new(Concat { axis: 0 }, [ones.clone(), vector([9.0])]) };
    vec![
        Sample::new(Select, [no.clone(), ones.clone(), vector([-1.0, -2.0, -3.0])]),
        Sample::new(Cast { dtype: DType::I64 }, [vector([-1.5, 2.7])]),
        Sample::new(StopGradient, [ones.clone()]),
        Sample::new(Identity, [ones.clone()]),
        Sample::new(Constant { array: std::sync::Arc::new(ones.clone()) }, []),
        Sample::new(full, []),
        Sample::new(Iota { ty: f64_of(&[4]), axis: 0 }, []),
        Sample::new(DimValue { dim: 3usize.into() }, []),
        Sample::new(Reshape { shape: shape(&[3, 2]) }, [m.clone()]),
        Sample::new(Transpose { perm: Axes::new(&[1, 0]) }, [m.clone()]),
        Sample::new(Broadcast { shape: shape(&[2, 3]) }, [matrix([[1.0, 2.0, 3.0]])]),
        Sample::new(
            Slice { start: [0usize].into(), stop: [3usize].into(), step: [2usize].into() },
            [ones.clone()],
        ),
        Sample::new(
            Pad { low: [1usize].into(), high: [2usize].into(), interior: [0usize].into() },
            [ones.clone()],
        ),
        concat,
        Sample::new(Gather { axis: 0 }, [ones.clone(), at.clone()]),
        Sample::new(ScatterAdd { axis: 0 }, [ones.clone(), at.clone(), vector([10.0, 20.0])]),
        Sample::new(OneHot { depth: 3usize.into(), dtype: DType::F64 }, [at]),
        Sample::new(ArgMax { axis: 1 }, [m.clone()]),
        Sample::new(MaxWithIndex { axis: 1 }, [m.clone()]),
        Sample::new(Sum { axes: a1 }, [m.clone()]),
        Sample::new(Max { axes: a1 }, [m.clone()]),
        Sample::new(Any { axes: a0 }, [no]),
        Sample::new(LogSumExp { axes: a1 }, [m.clone()]),
        Sample::new(contract, [m, matrix([[1.0], [0.0], [2.0]])]),
        Sample::new(Uniform { ty: f64_of(&[3]) }, [key.clone()]),
        Sample::new(Normal { ty: f64_of(&[3]) }, [key]),
    ]
}

fn matrix<const R: usize, const C: usize>(rows: [[f64; C]; R]) -> Array {
    Array::new([R, C], rows.concat()).expect("the rows are equally long")
}

#[cfg(test)]
mod tests {
    use super::*;
    use backprop_core::text::Registry;

    #[test]
    fn every_op_of_the_registry_has_a_sample_that_runs() {
        let all = samples();
        // An input has no value of its own.
        for name in Registry::new().names().filter(|name| *name != "input") {
            let sample = all.iter().find(|sample| sample.op.name() == name);
            let sample = sample.unwrap_or_else(|| panic!("{name} has no sample"));
            assert_eq!(sample.results().expect("it runs").len(), sample.op.n_outputs(), "{name}");
        }
    }
}

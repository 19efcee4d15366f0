//! Control flow: the body's plan walked with the kernels of this crate.
//!
//! The types of a body's values are known, so nothing is inferred while it runs. What no iteration
//! of a loop changes is computed once; every other value is freed after its last reader.

use std::collections::HashSet;

use backprop_core::array::pool;
use backprop_core::graph::body::Step;
use backprop_core::ops::{Arrays, Cond, Scan};
use backprop_core::{Array, Body, Ill, Type, ValueId, with_dtype};
use smallvec::SmallVec;

/// The branch that is taken.
pub(crate) fn cond(op: &Cond, inputs: &[&Array]) -> Result<Arrays, Ill> {
    let body = op.taken(inputs)?;
    let mut frame = Frame::new(body);
    frame.set(body.parameters(), inputs[1..].iter().map(|&array| array.clone()));
    frame.run(body.plan())?;
    Ok(frame.outputs().collect())
}

/// The iterations in their order.
pub(crate) fn scan(op: &Scan, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
    let (length, body) = (op.steps()?, &*op.body);
    let (carries, rest) = inputs.split_at(op.n_carry);
    let (xs, constants) = rest.split_at(op.n_xs);
    let mut stacks =
        outputs[op.n_carry..].iter().map(|&ty| zeros(ty)).collect::<Result<Vec<Array>, Ill>>()?;
    let mut carries: Arrays = carries.iter().map(|&array| array.clone()).collect();

    let mut frame = Frame::new(body);
    let (changing, fixed) = body.parameters().split_at(1 + op.n_carry + op.n_xs);
    let (once, each) = split(body, changing);
    frame.set(fixed, constants.iter().map(|&array| array.clone()));
    for round in 0..length {
        let k = if op.reverse { length - 1 - round } else { round };
        if round == 0 {
            frame.run(&once)?;
        }
        let slices = xs.iter().map(|xs| row(xs, k));
        frame.set(changing, std::iter::once(Array::scalar(k as i64)).chain(carries.drain(..)).chain(slices));
        frame.run(&each).map_err(|ill| op.located(k, ill))?;
        for (idx, output) in frame.outputs().enumerate() {
            match idx.checked_sub(op.n_carry) {
                None => carries.push(output),
                Some(y) => set_row(&mut stacks[y], k, &output),
            }
        }
    }
    carries.extend(stacks);
    Ok(carries)
}

/// The plan in two: what does not depend on `changing`, and what does.
fn split(body: &Body, changing: &[ValueId]) -> (Vec<Step>, Vec<Step>) {
    let mut changes = vec![false; body.records().n_values()];
    changing.iter().for_each(|&value| changes[value as usize] = true);
    let (mut once, mut each) = (Vec::new(), Vec::new());
    for (id, free) in body.plan() {
        let node = body.records().node(*id);
        if node.inputs.iter().any(|&input| changes[input as usize]) {
            node.outputs().for_each(|output| changes[output as usize] = true);
            each.push((*id, free.clone()));
        } else {
            once.push((*id, free.clone()));
        }
    }
    // What is computed once lives through all iterations if one of them reads it.
    let read: HashSet<ValueId> =
        each.iter().flat_map(|(id, _)| body.records().node(*id).inputs.iter().copied()).collect();
    let fixed = |value: &ValueId| !changes[*value as usize] && read.contains(value);
    for (_, free) in once.iter_mut().chain(&mut each) {
        free.retain(|value| !fixed(value));
    }
    (once, each)
}

/// The values of a running body.
struct Frame<'a> {
    body: &'a Body,
    values: Vec<Option<Array>>,
}

impl<'a> Frame<'a> {
    fn new(body: &'a Body) -> Frame<'a> {
        Frame { body, values: vec![None; body.records().n_values()] }
    }

    fn set(&mut self, parameters: &[ValueId], arrays: impl Iterator<Item = Array>) {
        for (&parameter, array) in parameters.iter().zip(arrays) {
            self.put(parameter, Some(array));
        }
    }

    /// Puts an array in its place; what was there before is given back.
    fn put(&mut self, value: ValueId, array: Option<Array>) {
        let before = std::mem::replace(&mut self.values[value as usize], array);
        before.into_iter().for_each(pool::give);
    }

    fn run(&mut self, steps: &[Step]) -> Result<(), Ill> {
        let records = self.body.records();
        for (id, free) in steps {
            let node = records.node(*id);
            let inputs: SmallVec<[&Array; 4]> = (node.inputs.iter())
                .map(|&input| self.values[input as usize].as_ref().expect("earlier nodes are computed"))
                .collect();
            let types: SmallVec<[Type; 2]> = (node.outputs())
                .map(|output| records.ty(output).expect("an ill body is refused by its op's type rule"))
                .collect();
            let computed =
                crate::eval(&node.op, &inputs, &types).map_err(|ill| self.body.located(*id, ill))?;
            drop(inputs);
            for (value, array) in node.outputs().zip(computed) {
                self.put(value, Some(array));
            }
            for &value in free {
                self.put(value, None);
            }
        }
        Ok(())
    }

    fn outputs(&self) -> impl Iterator<Item = Array> {
        let read = |&output: &ValueId| self.values[output as usize].clone().expect("the plan covers outputs");
        self.body.outputs().iter().map(read)
    }
}

/// Zeros to write the rows of a result into.
fn zeros(ty: Type) -> Result<Array, Ill> {
    crate::want_memory(ty, ty.shape.n_elements())?;
    let sizes = ty.shape.sizes().expect("sizes are numbers when an op is evaluated");
    Array::zeros(ty.dtype, sizes).map_err(|error| Ill::new(error.to_string()))
}

/// xs[k].
fn row(xs: &Array, k: usize) -> Array {
    let sizes = &xs.sizes()[1..];
    let count: usize = sizes.iter().product();
    with_dtype!(xs.dtype(), |T| {
        let values = xs.slice::<T>().expect("read under its own type");
        Array::from_parts(
            sizes.into(),
            pool::filled(count, |row| row.extend_from_slice(&values[k * count..(k + 1) * count])),
        )
    })
}

/// stack[k] = row.
fn set_row(stack: &mut Array, k: usize, row: &Array) {
    let count = row.len();
    with_dtype!(row.dtype(), |T| {
        let from = row.slice::<T>().expect("read under its own type");
        let to = stack.slice_mut::<T>().expect("a body's output has the type that the op's rule gave");
        to[k * count..(k + 1) * count].copy_from_slice(from);
    });
}

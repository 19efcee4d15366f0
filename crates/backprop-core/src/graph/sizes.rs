//! Sizes for the names of dimensions, from the arrays that are given.

use super::fault::Fault;
use super::records::{Records, ValueId};
use crate::array::Array;
use crate::types::{Bindings, Dim, Type};

impl Records {
    /// The sizes of the named dimensions where these arrays are given; `op` is who asks.
    ///
    /// A bare name takes the size that stands there. A name that stands nowhere by itself is solved for:
    /// T of `f32[2*T + 1]`, or of `assume B == 2*T`. All sizes and assumptions must come out right.
    ///
    /// # Errors
    /// An array of another type than its value; sizes that contradict each other or an assumption.
    pub fn sizes(&self, given: &[(ValueId, &Array)], op: &str) -> Result<Bindings, Fault> {
        let declared = |value: ValueId| self.ty(value).ok_or_else(|| Fault::new(op, "a given value is ill"));
        let wrong = |value: ValueId, ty: Type, array: &Array, why: String| {
            let given = Type::new(array.dtype(), array.shape());
            let label = self.label(value);
            Fault::new(op, format!("input {label} is declared {ty}, but {given} was given{why}"))
        };
        let mut sizes = Bindings::new();
        let mut others: Vec<(Dim, usize)> = Vec::new();
        for &(value, array) in given {
            let ty = declared(value)?;
            if ty.dtype != array.dtype() || ty.shape.rank() != array.rank() {
                return Err(wrong(value, ty, array, String::new()));
            }
            for (&dim, &size) in ty.shape.iter().zip(array.sizes()) {
                match dim.as_name() {
                    None if dim.size().is_none() => others.push((dim, size)),
                    None => {}
                    Some(name) => match sizes.insert(name.to_string(), size) {
                        Some(before) if before != size => {
                            return Err(wrong(
                                value,
                                ty,
                                array,
                                format!(", and {name} is {before} elsewhere"),
                            ));
                        }
                        _ => {}
                    },
                }
            }
        }
        self.solve(&mut sizes, &others);
        for &(value, array) in given {
            let ty = declared(value)?;
            for (dim, &size) in ty.shape.iter().zip(array.sizes()) {
                match dim.eval(&sizes) {
                    Ok(expected) if expected == size => {}
                    Ok(expected) => {
                        return Err(wrong(value, ty, array, format!(": {dim} is {expected} here")));
                    }
                    Err(why) => return Err(wrong(value, ty, array, format!(": {why}"))),
                }
            }
        }
        for (name, dim) in self.assumptions() {
            if let (Some(&is), Ok(said)) = (sizes.get(name), dim.eval(&sizes))
                && is != said
            {
                let said = if dim.size().is_some() { said.to_string() } else { format!("{dim} = {said}") };
                return Err(Fault::new(op, format!("{name} is assumed to be {said}, but it is {is}")));
            }
        }
        Ok(sizes)
    }

    /// Adds the sizes of names that stand in no given type by themselves.
    fn solve(&self, sizes: &mut Bindings, others: &[(Dim, usize)]) {
        loop {
            let known = sizes.len();
            for &(dim, size) in others {
                sizes.extend(dim.solve(size, sizes));
            }
            for (name, dim) in self.assumptions() {
                match sizes.get(name) {
                    Some(&size) => sizes.extend(dim.solve(size, sizes)),
                    None => sizes.extend(dim.eval(sizes).ok().map(|size| (name.clone(), size))),
                }
            }
            if sizes.len() == known {
                return;
            }
        }
    }
}

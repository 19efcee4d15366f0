//! The names of dimensions: what they are assumed to equal, and their sizes from the arrays that are given.

use super::fault::{Error, Fault};
use super::records::{NodeId, Records, ValueId};
use crate::array::Array;
use crate::ops::Op;
use crate::types::{Bindings, Dim, Shape, Type};

impl Records {
    /// Declares that the dimension `name` equals `dim`, for the type rules from here on.
    ///
    /// It is kept as what it says beside the assumptions before it, so that their order does not matter:
    /// after `B == 5`, `A == B` is `A == 5`; after `B == N`, `B == M` is `N == M`.
    pub fn assume(&mut self, name: &str, dim: Dim) {
        let (left, right) = (self.assumed(Dim::named(name)), self.assumed(dim));
        if left == right {
            return;
        }
        let says_of = |name: Dim, of: Dim| {
            let name = name.as_name().filter(|name| !of.names().iter().any(|own| own == name));
            name.map(|name| (name.to_string(), of))
        };
        // Sides that are both no names (2*S and 3*T) make nothing equal; running checks them.
        let said = says_of(left, right).or_else(|| says_of(right, left));
        self.assumptions.push(said.unwrap_or_else(|| (name.to_string(), dim)));
        self.assumed_from.push(self.nodes.len() as NodeId);
    }

    /// The dimension with the assumptions put in.
    pub fn assumed(&self, dim: Dim) -> Dim {
        match dim {
            Dim::Size(_) => dim,
            Dim::Poly(_) => {
                // What is said of a name in terms of itself (B == 2*(B // 2)) is only checked.
                let put_in = |(name, by): &&(String, Dim)| !by.names().contains(name);
                let said = self.assumptions.iter().filter(put_in);
                said.fold(dim, |dim, (name, by)| dim.substitute(name, *by))
            }
        }
    }

    /// The type with the assumptions put in.
    pub fn assumed_type(&self, ty: Type) -> Type {
        if self.assumptions.is_empty() {
            return ty;
        }
        let dims: Vec<Dim> = ty.shape.iter().map(|&dim| self.assumed(dim)).collect();
        Type { dtype: ty.dtype, shape: Shape::new(&dims) }
    }

    /// The op with the assumptions put in. An input keeps the type that it was declared with.
    pub(super) fn assumed_op(&self, op: Op) -> Op {
        let is_input = matches!(op, Op::Input(_));
        let assumed = op.rule().with_dims(&|dim| Ok(self.assumed(dim))).ok().flatten();
        if is_input { op } else { assumed.unwrap_or(op) }
    }

    /// The dimensions that were declared equal, in order.
    pub fn assumptions(&self) -> &[(String, Dim)] {
        &self.assumptions
    }

    /// The sizes of the named dimensions where these arrays are given; `op` is who asks.
    ///
    /// A bare name takes the size that stands there. A name that stands nowhere by itself is solved for:
    /// T of `f32[2*T + 1]`, or of `assume B == 2*T`. All sizes and assumptions must come out right.
    ///
    /// # Errors
    /// An array of another type than its value; sizes that contradict each other or an assumption.
    pub fn sizes(&self, given: &[(ValueId, &Array)], op: &str) -> Result<Bindings, Error> {
        let declared = |value: ValueId| {
            self.ty(value).ok_or_else(|| Error::from(Fault::new(op, "a given value is ill")))
        };
        let wrong = |value: ValueId, ty: Type, array: &Array, why: String| {
            let given = Type::new(array.dtype(), array.shape());
            let label = self.label(value);
            let rule = format!("input {label} is declared {ty}, but {given} was given{why}");
            Error::from(Fault::new(op, rule))
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
            for (axis, (dim, &size)) in ty.shape.iter().zip(array.sizes()).enumerate() {
                match dim.eval(&sizes) {
                    Ok(expected) if expected == size => {}
                    Ok(expected) => {
                        let must = match dim.size() {
                            Some(size) => size.to_string(),
                            None => format!("{dim} = {expected}"),
                        };
                        return Err(wrong(value, ty, array, format!(": axis {axis} must be {must}")));
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
                return Err(Fault::new(op, format!("{name} is assumed to be {said}, but it is {is}")).into());
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

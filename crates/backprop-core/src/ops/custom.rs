//! The door for operations from other crates.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::family::Family;
use super::{Arrays, Attributes, Op, Rule, Types};
use crate::array::Array;
use crate::graph::body::Body;
use crate::graph::fault::Ill;
use crate::tensor::{Tensor, emit};
use crate::types::{MapDim, Type};

/// An op written outside this crate: a [`Rule`] that may be shared between threads.
///
/// Two custom ops are the same op when their names and attributes are equal.
pub trait OpRule: Rule + Send + Sync {}

impl<T: Rule + Send + Sync> OpRule for T {}

/// A custom op as an [`Op`](super::Op).
#[derive(Clone, Debug)]
pub struct Custom(pub Arc<dyn OpRule>);

impl Custom {
    /// The op with these rules.
    pub fn new(rule: impl OpRule + 'static) -> Custom {
        Custom(Arc::new(rule))
    }

    /// Calls the op on `inputs`, of which there is at least one; its first output.
    #[track_caller]
    pub fn call(&self, inputs: &[Tensor]) -> Tensor {
        emit(self.clone(), inputs).one()
    }
}

impl PartialEq for Custom {
    fn eq(&self, other: &Custom) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.0.name() == other.0.name() && self.0.attributes() == other.0.attributes())
    }
}

impl Eq for Custom {}

impl Hash for Custom {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name().hash(state);
    }
}

impl Rule for Custom {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn equation(&self) -> (&'static str, &'static str) {
        self.0.equation()
    }
    fn attributes(&self) -> Attributes {
        self.0.attributes()
    }
    fn roles(&self) -> &'static [&'static str] {
        self.0.roles()
    }
    fn n_outputs(&self) -> usize {
        self.0.n_outputs()
    }
    fn bodies(&self) -> Vec<&Arc<Body>> {
        self.0.bodies()
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        let types = self.0.infer(inputs)?;
        if types.len() != self.n_outputs() {
            let (n, given) = (self.n_outputs(), types.len());
            return Err(Ill::new(format!("it has {n} outputs, but its type rule gives {given} types")));
        }
        Ok(types)
    }
    fn eval(&self, inputs: &[&Array], outputs: &[Type]) -> Result<Arrays, Ill> {
        let arrays = self.0.eval(inputs, outputs)?;
        let types: Types = arrays.iter().map(|array| Type::new(array.dtype(), array.shape())).collect();
        if types[..] != *outputs {
            let list = |types: &[Type]| match types {
                [] => "nothing".to_string(),
                _ => types.iter().map(Type::to_string).collect::<Vec<_>>().join(", "),
            };
            let (given, said) = (list(&types), list(outputs));
            return Err(Ill::new(format!("its evaluation gives {given}, but its type rule says {said}")));
        }
        Ok(arrays)
    }
    fn with_dims(&self, map: &MapDim) -> Result<Option<Op>, String> {
        self.0.with_dims(map)
    }
    fn family(&self) -> Family<'_> {
        self.0.family()
    }
}

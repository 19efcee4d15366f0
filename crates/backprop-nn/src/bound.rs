//! Parameters as handles: in a graph, or on a tape.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use backprop_core::graph::context::{ContextId, in_module};
use backprop_core::graph::place::Line;
use backprop_core::ops::{Constant, Full, IllCall, Input, full};
use backprop_core::{Array, DType, Ill, Tensor, Type, concat};
use backprop_run::Bind;

use crate::layer::Layer;
use crate::named::{HasName, Named};
use crate::params::{Parameter, Params, SEED, STEP, State};
use crate::tree::{Tree, nearest};

/// The parameters of a network, or of one of its layers, as handles of a graph or a tape.
///
/// Made by [`Params::bind`]; a layer's forward is given the part that is its own.
#[derive(Clone)]
pub struct Bound {
    pub(crate) shared: Rc<Shared>,
    path: Arc<str>,
    /// Which module of the tree this is; `None` where no parameter is.
    module: Option<usize>,
    training: bool,
}

pub(crate) struct Shared {
    pub context: ContextId,
    pub is_eager: bool,
    /// The line of the call that bound them.
    bound_at: &'static Location<'static>,
    pub entries: Arc<Vec<Parameter>>,
    pub tensors: Vec<Tensor>,
    states: Arc<Named<State>>,
    pub bound_states: RefCell<BoundStates>,
    tree: Arc<Tree>,
}

/// A state that stands in the graph, or on the tape until the scope ends in which it was asked for.
#[derive(Clone)]
pub(crate) struct BoundState {
    pub name: Arc<str>,
    pub slot_of: Option<(usize, &'static str)>,
    pub ty: Type,
    pub tensor: Tensor,
}

impl BoundState {
    fn alive(&self) -> Option<Tensor> {
        self.tensor.context().get().is_some().then_some(self.tensor)
    }
}

impl HasName for BoundState {
    fn name(&self) -> &Arc<str> {
        &self.name
    }
}

/// The state that was asked for, in the order of asking.
#[derive(Default)]
pub(crate) struct BoundStates {
    pub all: Named<BoundState>,
    by_slot: HashMap<(usize, &'static str), usize>,
}

impl BoundStates {
    /// An optimizer's state of parameter `position`.
    pub fn slot(&self, position: usize, slot: &'static str) -> Option<&BoundState> {
        self.by_slot.get(&(position, slot)).map(|&at| &self.all[at])
    }

    fn put(&mut self, state: BoundState) {
        let slot_of = state.slot_of;
        let at = self.all.put(state);
        if let Some(slot_of) = slot_of {
            self.by_slot.insert(slot_of, at);
        }
    }
}

impl Shared {
    /// Runs `body` inside a layer. An operation on `x` lands where `x` is: if that is not where the
    /// parameters are (which is a fault), the fault too tells the layer.
    pub fn in_module<R>(
        &self,
        x: Tensor,
        path: &Arc<str>,
        made_at: &'static Location<'static>,
        body: impl FnOnce() -> R,
    ) -> R {
        if x.context() == self.context {
            return in_module(self.context, path, made_at, body);
        }
        in_module(x.context(), path, made_at, || in_module(self.context, path, made_at, body))
    }

    /// The step that the parameters were at when they were bound.
    pub fn step_number(&self) -> u64 {
        let step = self.states.find(STEP);
        step.and_then(|step| step.array.item().ok()).map_or(0, |step| step as u64)
    }
}

impl Bound {
    #[track_caller]
    pub(crate) fn new(params: &Params, home: &impl Bind) -> Bound {
        let mut tensors = Vec::with_capacity(params.entries.len());
        // A closure would hide the caller's line.
        for entry in params.entries.iter() {
            tensors.push(home.leaf(&entry.path, &entry.array));
        }
        let shared = Shared {
            context: home.context(),
            is_eager: home.is_eager(),
            bound_at: Location::caller(),
            entries: params.entries.clone(),
            tensors,
            states: params.states.clone(),
            bound_states: RefCell::default(),
            tree: params.tree.clone(),
        };
        Bound { shared: Rc::new(shared), path: "".into(), module: Some(0), training: true }
    }

    /// The same parameters for prediction: dropout lets everything through.
    pub fn eval(self) -> Bound {
        Bound { training: false, ..self }
    }

    /// Whether this is for training ([`Bound::eval`] ends it).
    pub fn is_training(&self) -> bool {
        self.training
    }

    /// The path of the layer that this belongs to; empty for the whole network.
    pub fn path(&self) -> Arc<str> {
        self.path.clone()
    }

    /// The layer's own parameter called `name`. One that is missing is an ill value, which says so
    /// when it is read or compiled.
    #[track_caller]
    pub fn get(&self, name: &str) -> Tensor {
        let found = self.module.and_then(|module| self.shared.tree.parameter(module, name));
        match found.and_then(|position| self.shared.tensors.get(position)) {
            Some(&tensor) => tensor,
            None => self.missing(name),
        }
    }

    #[track_caller]
    fn missing(&self, name: &str) -> Tensor {
        let path = self.inner(name);
        let mut ill = Ill::new(format!("there is no parameter `{path}`"));
        if let Some(nearest) = nearest(&path, self.shared.entries.iter().map(|entry| &*entry.path)) {
            ill =
                ill.hint(format!("there is `{nearest}`; were these parameters made by this network's init?"));
        }
        self.leaf(IllCall::new("params", ill), Location::caller())
    }

    /// The part that belongs to the layer called `name` inside this one.
    pub fn layer(&self, name: &str) -> Bound {
        let tree = &self.shared.tree;
        let module = self.module.and_then(|module| tree.module(module, name));
        let path = module.map_or_else(|| self.inner(name).into(), |module| tree.path(module));
        Bound { shared: self.shared.clone(), path, module, training: self.training }
    }

    /// The path of what is called `name` inside this one.
    fn inner(&self, name: &str) -> String {
        match &*self.path {
            "" => name.to_string(),
            module => format!("{module}.{name}"),
        }
    }

    /// Calls a layer inside this one: `p.run("encoder", &self.encoder, x)`. What it computes carries
    /// its path and, as the place, this line.
    #[track_caller]
    pub fn run(&self, name: &str, layer: &dyn Layer, x: Tensor) -> Tensor {
        self.run_at(name, layer, x, Location::caller())
    }

    /// As [`Bound::run`]; `made_at` is the line where the layer was made.
    pub(crate) fn run_at(
        &self,
        name: &str,
        layer: &dyn Layer,
        x: Tensor,
        made_at: &'static Location<'static>,
    ) -> Tensor {
        let inner = self.layer(name);
        let path = inner.path();
        self.shared.in_module(x, &path, made_at, || layer.forward(&inner, x))
    }

    /// The number of steps that were taken with these parameters, i64 \[\].
    #[track_caller]
    pub fn step(&self) -> Tensor {
        self.state(STEP, Type::scalar(DType::I64))
    }

    /// A fresh key for random ops, u32 \[4\]: the seed, a stream of this layer's own, the step, and in
    /// a loop the iteration. Two calls give different keys; the same call of another run gives the same
    /// one.
    #[track_caller]
    pub fn key(&self) -> Tensor {
        let context = self.shared.context.innermost();
        let path = self.path();
        let stream = context.get().map_or(0, |emit| emit.streams().borrow_mut().next(&path));
        let seed = self.state(SEED, Type::new(DType::U32, [2usize]));
        let stream = Constant { array: Arc::new(Array::vector(vec![stream])) };
        let stream = self.leaf(stream, Location::caller());
        let step = self.step().cast(DType::U32).reshape([1]);
        let key = concat(&[seed, stream, step], 0);
        let mut key = key;
        for k in self.shared.context.iterations() {
            key = key.fold_in(k);
        }
        key
    }

    /// Σ|w| · `lambda` over the weights, to add to the objective J. Weights are the trainable
    /// parameters with two axes or more: biases and scales are left out.
    #[track_caller]
    pub fn l1(&self, lambda: f64) -> Tensor {
        let mut terms = self.weights();
        for term in &mut terms {
            *term = term.abs().sum(()) * lambda;
        }
        self.total(&terms)
    }

    /// Σw² · `lambda`/2 over the weights (as for [`Bound::l1`]), to add to the objective J.
    ///
    /// This is part of J: the loss shows it, and its gradient λ·w goes through the optimizer like
    /// any other. With SGD that equals `weight_decay: λ` on the weights. Adam divides it by the
    /// gradient's own scale, so large gradients shrink less; `AdamW`'s `weight_decay` is decoupled:
    /// it shrinks w by lr·λ·w whatever the gradients are, and J does not show it
    /// (Loshchilov, Hutter 2019, "Decoupled weight decay regularization").
    #[track_caller]
    pub fn l2(&self, lambda: f64) -> Tensor {
        let mut terms = self.weights();
        for term in &mut terms {
            *term = term.square().sum(()) * (lambda / 2.0);
        }
        self.total(&terms)
    }

    /// The trainable parameters with two axes or more.
    fn weights(&self) -> Vec<Tensor> {
        let pairs = self.shared.entries.iter().zip(&self.shared.tensors);
        let weights = pairs.filter(|(entry, _)| entry.trainable && entry.array.rank() >= 2);
        weights.map(|(_, &w)| w).collect()
    }

    #[track_caller]
    fn total(&self, terms: &[Tensor]) -> Tensor {
        let Some((&first, rest)) = terms.split_first() else {
            let dtype = self.shared.entries.first().map_or(DType::F32, |entry| entry.array.dtype());
            return full(self.shared.context, Type::scalar(dtype), 0.0);
        };
        // A closure would hide the caller's line.
        let mut total = first;
        for &term in rest {
            total = total + term;
        }
        total
    }

    /// The state called `name`; zeros where the store has none yet.
    #[track_caller]
    pub(crate) fn state(&self, name: &str, ty: Type) -> Tensor {
        let known = self.shared.bound_states.borrow().all.find(name).and_then(BoundState::alive);
        if let Some(known) = known {
            return known;
        }
        let stored = self.shared.states.find(name);
        let name = stored.map_or_else(|| name.into(), |stored| stored.name.clone());
        self.bind_state(name, None, ty, stored.map(|stored| &stored.array))
    }

    /// An optimizer's state for parameter `position`; zeros before the first step.
    #[track_caller]
    pub(crate) fn slot(&self, position: usize, slot: &'static str, ty: Type) -> Tensor {
        let key = Some((position, slot));
        let known = self.shared.bound_states.borrow().slot(position, slot).and_then(BoundState::alive);
        if let Some(known) = known {
            return known;
        }
        let entry = &self.shared.entries[position];
        let at = entry.slots.iter().find(|(own, _)| *own == slot).map(|&(_, at)| &self.shared.states[at]);
        match at {
            Some(stored) => self.bind_state(stored.name.clone(), key, ty, Some(&stored.array)),
            None => {
                // The first step, or a store that was read from a file.
                let name: Arc<str> = format!("{}.{slot}", entry.path).into();
                let stored = self.shared.states.find(&name);
                self.bind_state(name, key, ty, stored.map(|stored| &stored.array))
            }
        }
    }

    /// Outside of any loop or branch that is being built: others ask for the same state. Its place is
    /// where the parameters were bound.
    fn bind_state(
        &self,
        name: Arc<str>,
        slot_of: Option<(usize, &'static str)>,
        ty: Type,
        array: Option<&Array>,
    ) -> Tensor {
        let at = self.shared.bound_at;
        let tensor = match array {
            Some(array) if Type::new(array.dtype(), array.sizes()) != ty => {
                let found = Type::new(array.dtype(), array.sizes());
                let ill = Ill::new(format!("state `{name}` is {found}, but {ty} is needed"));
                self.leaf(IllCall::new("params", ill), at)
            }
            _ if !self.shared.is_eager => {
                let known =
                    self.shared.context.get().and_then(|emit| emit.records().snapshot().by_name(&name));
                match known {
                    Some(value) => Tensor::new(self.shared.context, value),
                    None => self.leaf(Input { ty }, at).named(&name),
                }
            }
            Some(array) => self.leaf(Constant { array: Arc::new(array.clone()) }, at),
            None => match Full::new(ty, 0.0) {
                Ok(zeros) => self.leaf(zeros, at),
                Err(ill) => self.leaf(IllCall::new("params", ill), at),
            },
        };
        self.shared.bound_states.borrow_mut().put(BoundState { name, slot_of, ty, tensor });
        tensor
    }

    fn leaf(&self, op: impl Into<backprop_core::Op>, at: &'static Location<'static>) -> Tensor {
        self.shared.context.emit_outside(op.into(), Line::Code(at)).one()
    }
}

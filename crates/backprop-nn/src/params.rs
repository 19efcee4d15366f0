//! The store of what is learned: arrays by path, and the named state beside them.

use std::sync::Arc;

use backprop_core::array::pool;
use backprop_core::{Array, DType, Error, Fault, Seed, Type, with_data};
use backprop_run::Bind;

use crate::bound::Bound;
use crate::named::{HasName, Named};
use crate::optim::Updates;
use crate::tree::{Tree, nearest};

/// The name of the state that counts the steps taken: i64 \[\].
pub(crate) const STEP: &str = "train.step";

/// The name of the state that random layers draw under: u32 \[2\], low word first.
pub(crate) const SEED: &str = "train.seed";

/// One parameter.
#[derive(Clone, Debug)]
pub struct Parameter {
    pub(crate) path: Arc<str>,
    pub(crate) array: Array,
    pub(crate) trainable: bool,
    pub(crate) lr_multiplier: f64,
    /// The state that an optimizer keeps for it: the slot's name and the position of the state.
    pub(crate) slots: Vec<(&'static str, usize)>,
}

/// What a step takes for granted of a parameter: everything but its numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kind {
    pub path: Arc<str>,
    pub ty: Type,
    pub trainable: bool,
    pub lr_multiplier: f64,
}

impl Parameter {
    pub(crate) fn kind(&self) -> Kind {
        let Parameter { path, array, trainable, lr_multiplier, .. } = self;
        let ty = Type::new(array.dtype(), array.shape());
        Kind { path: path.clone(), ty, trainable: *trainable, lr_multiplier: *lr_multiplier }
    }

    /// Whether it is of this kind.
    pub(crate) fn is(&self, kind: &Kind) -> bool {
        let Kind { path, ty, trainable, lr_multiplier } = kind;
        self.has_name_and_type(path, *ty)
            && (self.trainable, self.lr_multiplier) == (*trainable, *lr_multiplier)
    }

    /// Whether it has this path and this type.
    pub(crate) fn has_name_and_type(&self, path: &Arc<str>, ty: Type) -> bool {
        let is_name = Arc::ptr_eq(&self.path, path) || self.path == *path;
        is_name && (self.array.dtype(), self.array.shape()) == (ty.dtype, ty.shape)
    }

    /// The path: `0.weight`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The numbers.
    pub fn array(&self) -> &Array {
        &self.array
    }

    /// Whether an optimizer changes it.
    pub fn is_trainable(&self) -> bool {
        self.trainable
    }

    /// What the learning rate is multiplied by for it.
    pub fn lr_multiplier(&self) -> f64 {
        self.lr_multiplier
    }
}

/// What training keeps beside the parameters: step counter, seed, optimizer slots.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub name: Arc<str>,
    pub array: Array,
}

impl HasName for State {
    fn name(&self) -> &Arc<str> {
        &self.name
    }
}

/// The parameters of a network by path, in the order of its layers, and named state.
///
/// Plain data: it outlives every graph and tape, can be copied (the numbers are shared until one
/// side writes) and sent to other threads.
///
/// ```
/// use backprop_core::Seed;
/// use backprop_nn::{Layer, Sequential};
/// let net = Sequential::new().linear(64, 128).relu().linear(128, 10);
/// let mut params = net.init(Seed(7))?;
/// assert_eq!(params.paths().collect::<Vec<_>>(), ["0.weight", "0.bias", "2.weight", "2.bias"]);
/// assert_eq!(params.n_parameters(), 64 * 128 + 128 + 128 * 10 + 10);
/// params.freeze("0")?;
/// assert!(params.get("0.wieght").unwrap_err().to_string().contains("0.weight"));
/// # Ok::<(), backprop_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Params {
    pub(crate) entries: Arc<Vec<Parameter>>,
    pub(crate) states: Arc<Named<State>>,
    pub(crate) tree: Arc<Tree>,
}

impl Default for Params {
    fn default() -> Params {
        Params::new()
    }
}

impl Params {
    /// An empty store.
    pub fn new() -> Params {
        Params { entries: Arc::default(), states: Arc::default(), tree: Arc::new(Tree::new()) }
    }

    /// The number of scalars that are parameters.
    pub fn n_parameters(&self) -> usize {
        self.entries.iter().map(|entry| entry.array.len()).sum()
    }

    /// The paths, in order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| &*entry.path)
    }

    /// The parameters, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Parameter> {
        self.entries.iter()
    }

    /// The numbers at `path`.
    ///
    /// # Errors
    /// There is no such parameter; the error names the nearest.
    pub fn get(&self, path: &str) -> Result<&Array, Error> {
        Ok(&self.entries[self.position(path)?].array)
    }

    /// Replaces the numbers at `path`.
    ///
    /// # Errors
    /// There is no such parameter, or the element type or the sizes are not those of the old ones.
    pub fn set(&mut self, path: &str, array: impl Into<Array>) -> Result<(), Error> {
        let array = array.into().aligned();
        let position = self.position(path)?;
        same_type(path, &self.entries[position].array, &array)?;
        Arc::make_mut(&mut self.entries)[position].array = array;
        Ok(())
    }

    /// Adds a trainable parameter; a layer finds it under the name after the last dot.
    ///
    /// # Errors
    /// There is one at `path` already; `path` is empty or has an empty part.
    pub fn insert(&mut self, path: &str, array: impl Into<Array>) -> Result<(), Error> {
        if path.split('.').any(str::is_empty) {
            return Err(Fault::new("params", format!("`{path}` is no path: a part is empty")).into());
        }
        if self.tree.find(path).is_some() {
            return Err(Fault::new("params", format!("there is a parameter `{path}` already")).into());
        }
        // Copies of this store keep the old tree: their positions may go another way.
        Arc::make_mut(&mut self.tree).insert(path, self.entries.len());
        Arc::make_mut(&mut self.entries).push(Parameter {
            path: path.into(),
            array: array.into().aligned(),
            trainable: true,
            lr_multiplier: 1.0,
            slots: Vec::new(),
        });
        Ok(())
    }

    /// Excludes the parameter at `path`, or all in the layer at `path`, from training.
    ///
    /// # Errors
    /// There is no such parameter or layer.
    pub fn freeze(&mut self, path: &str) -> Result<(), Error> {
        self.each_under(path, |entry| entry.trainable = false)
    }

    /// Undoes [`Params::freeze`].
    ///
    /// # Errors
    /// There is no such parameter or layer.
    pub fn unfreeze(&mut self, path: &str) -> Result<(), Error> {
        self.each_under(path, |entry| entry.trainable = true)
    }

    /// Multiplies the learning rate of the parameter, or of the layer, at `path`.
    ///
    /// # Errors
    /// There is no such parameter or layer; the factor is negative or not finite.
    pub fn set_lr_multiplier(&mut self, path: &str, factor: f64) -> Result<(), Error> {
        if !factor.is_finite() || factor < 0.0 {
            let rule = format!("a learning-rate multiplier is at least 0 and finite, not {factor}");
            return Err(Fault::new("params", rule).into());
        }
        self.each_under(path, |entry| entry.lr_multiplier = factor)
    }

    fn each_under(&mut self, path: &str, change: impl Fn(&mut Parameter)) -> Result<(), Error> {
        let under =
            |own: &str| own.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        if !self.paths().any(under) {
            return Err(self.unknown(path));
        }
        Arc::make_mut(&mut self.entries).iter_mut().filter(|entry| under(&entry.path)).for_each(change);
        Ok(())
    }

    /// Names and arrays of the state beside the parameters, in the order in which it arose:
    /// `train.step`, `train.seed`, `0.weight.exp_avg`, ...
    pub fn states(&self) -> impl Iterator<Item = (&str, &Array)> {
        self.states.iter().map(|state| (&*state.name, &state.array))
    }

    /// A state by name.
    pub fn state(&self, name: &str) -> Option<&Array> {
        self.states.find(name).map(|state| &state.array)
    }

    /// Sets a state, new or known. `0.weight.exp_avg` is the optimizer slot `exp_avg` of `0.weight`.
    ///
    /// # Errors
    /// The state is known, and its element type or sizes differ.
    pub fn set_state(&mut self, name: &str, array: impl Into<Array>) -> Result<(), Error> {
        let array = array.into().aligned();
        match self.states.position(name) {
            Some(position) => {
                same_type(name, &self.states[position].array, &array)?;
                Arc::make_mut(&mut self.states).at_mut(position).array = array;
            }
            None => {
                self.push_state(name.into(), array);
            }
        }
        Ok(())
    }

    fn push_state(&mut self, name: Arc<str>, array: Array) -> usize {
        Arc::make_mut(&mut self.states).push(State { name, array })
    }

    /// The number of steps taken.
    pub fn step(&self) -> u64 {
        let step = self.state(STEP).and_then(|step| step.item().ok());
        step.map_or(0, |step| step as u64)
    }

    /// The seed that random layers draw under; 0 unless set.
    pub fn seed(&self) -> Seed {
        let words = self.state(SEED).map(|seed| seed.to_i64s()).unwrap_or_default();
        Seed(words.iter().rev().fold(0, |seed, &word| seed << 32 | word as u64))
    }

    /// Sets the seed that random layers draw under.
    pub fn set_seed(&mut self, seed: Seed) {
        let words = Array::vector(vec![seed.0 as u32, (seed.0 >> 32) as u32]);
        // The state has this type whoever set it, or was read from a file that had another.
        match self.states.position(SEED) {
            Some(position) => Arc::make_mut(&mut self.states).at_mut(position).array = words,
            None => {
                self.push_state(SEED.into(), words);
            }
        }
    }

    /// Forgets the step counter and the optimizer's slots: training starts anew from these numbers.
    pub fn reset_training(&mut self) {
        let seed = self.state(SEED).is_some().then(|| self.seed());
        self.states = Arc::default();
        Arc::make_mut(&mut self.entries).iter_mut().for_each(|entry| entry.slots.clear());
        if let Some(seed) = seed {
            self.set_seed(seed);
        }
    }

    /// The same parameters as `dtype`, a float type; without state, except for the seed.
    ///
    /// # Errors
    /// `dtype` is no float type.
    pub fn cast(&self, dtype: DType) -> Result<Params, Error> {
        if !dtype.is_float() {
            return Err(Fault::new("params", format!("parameters are floats, not {dtype}")).into());
        }
        let mut params = self.clone();
        params.reset_training();
        Arc::make_mut(&mut params.entries).iter_mut().for_each(|entry| entry.array = entry.array.cast(dtype));
        Ok(params)
    }

    /// Whether both hold the same parameters and the same state, bit for bit.
    pub fn same_bits(&self, other: &Params) -> bool {
        self.entries.len() == other.entries.len()
            && self.states.len() == other.states.len()
            && (self.entries.iter().zip(other.entries.iter()))
                .all(|(a, b)| a.path == b.path && a.array.same_bits(&b.array))
            && (self.states.iter())
                .all(|a| other.state(&a.name).is_some_and(|array| a.array.same_bits(array)))
    }

    /// Handles for the parameters in a graph or on a tape, in training mode.
    #[track_caller]
    pub fn bind(&self, home: &impl Bind) -> Bound {
        Bound::new(self, home)
    }

    /// Takes over what an optimizer computed on a tape: all of it, or on an error nothing.
    ///
    /// # Errors
    /// The updates are of a graph (a [`TrainStep`](crate::TrainStep) runs those), or were computed
    /// for other parameters or from those of another step.
    pub fn apply(&mut self, updates: Updates) -> Result<(), Error> {
        updates.write_to(self)
    }

    /// Writes new numbers, known to fit. The old ones' memory is for the next step's.
    pub(crate) fn write(&mut self, mut parameters: Vec<(usize, Array)>, states: Vec<NewState>) {
        self.swap(parameters.iter_mut().map(|(position, array)| (*position, array)));
        parameters.into_iter().for_each(|(_, array)| pool::give(array));
        for NewState { name, slot_of, mut array } in states {
            self.swap_state(&name, slot_of, &mut array);
            pool::give(array);
        }
    }

    /// Exchanges the numbers of parameters, by position, for others that fit.
    pub(crate) fn swap<'a>(&mut self, others: impl Iterator<Item = (usize, &'a mut Array)>) {
        let entries = Arc::make_mut(&mut self.entries);
        others.for_each(|(position, array)| std::mem::swap(&mut entries[position].array, array));
    }

    /// Exchanges the numbers of a state for others that fit; of a new one, takes a copy.
    pub(crate) fn swap_state(
        &mut self,
        name: &Arc<str>,
        slot_of: Option<(usize, &'static str)>,
        array: &mut Array,
    ) {
        let known = slot_of.and_then(|(position, slot)| self.slot(position, slot));
        let at = match known.or_else(|| self.states.position_of(name)) {
            Some(at) => {
                std::mem::swap(&mut Arc::make_mut(&mut self.states).at_mut(at).array, array);
                at
            }
            None => {
                // Numbers of its own, so that the next step finds the array's room unshared.
                let mut own = array.clone();
                with_data!(own.data_mut(), |values| {
                    Arc::make_mut(values);
                });
                self.push_state(name.clone(), own)
            }
        };
        if let Some((position, slot)) = slot_of
            && known.is_none()
        {
            Arc::make_mut(&mut self.entries)[position].slots.push((slot, at));
        }
    }

    /// The position of a parameter's slot among the states.
    pub(crate) fn slot(&self, position: usize, slot: &str) -> Option<usize> {
        let slots = &self.entries[position].slots;
        slots.iter().find(|(own, _)| *own == slot).map(|&(_, at)| at)
    }

    pub(crate) fn position(&self, path: &str) -> Result<usize, Error> {
        self.tree.find(path).ok_or_else(|| self.unknown(path))
    }

    fn unknown(&self, path: &str) -> Error {
        let mut fault = Fault::new("params", format!("no parameter is called `{path}`"));
        fault.hint = nearest(path, self.paths()).map(|nearest| format!("there is `{nearest}`"));
        fault.into()
    }
}

/// A state's new numbers.
pub(crate) struct NewState {
    pub name: Arc<str>,
    /// The parameter whose slot it is, and the slot's name.
    pub slot_of: Option<(usize, &'static str)>,
    pub array: Array,
}

fn same_type(name: &str, old: &Array, new: &Array) -> Result<(), Error> {
    if (old.dtype(), old.sizes()) == (new.dtype(), new.sizes()) {
        return Ok(());
    }
    let text = |array: &Array| Type::new(array.dtype(), array.sizes()).to_string();
    let rule = format!("`{name}` is {}, but {} was given", text(old), text(new));
    Err(Fault::new("params", rule).into())
}

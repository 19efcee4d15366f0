//! Running a graph: it is checked, its dimensions get sizes, and its nodes are walked in order with
//! the tape's kernels. A value is freed after its last reader.
//!
//! What follows from the sizes alone (the bound ops, the types of their outputs) is kept for the sets
//! of sizes that were run last, so a step of training only computes.

use std::sync::{Arc, Mutex, PoisonError};

use backprop_core::array::pool;
use backprop_core::graph::records::ValueId;
use backprop_core::ops::Types;
use backprop_core::{Array, Error, Fault, Graph, Ill, Node, NodeId, Op, Records, Tensor, Type, substitute};
use smallvec::SmallVec;

/// A graph made ready to run: plain data, `Send + Sync`.
pub struct Executable {
    records: Arc<Records>,
    inputs: Vec<ValueId>,
    outputs: Vec<ValueId>,
    /// The nodes that the outputs need, in order; with the values that nobody reads afterwards.
    plan: Vec<(NodeId, SmallVec<[ValueId; 2]>)>,
    /// The plan for the inputs' types of the last runs, the newest last.
    specialised: Mutex<Vec<Specialised>>,
}

/// How many sets of sizes are kept: the batches, the last and smaller one, those of the test, and more.
const MAX_SPECIALISED: usize = 8;

/// The plan for inputs of these types.
type Specialised = (Box<[Type]>, Arc<[Bound]>);

/// A step of the plan for known sizes.
struct Bound {
    /// The op, where it names dimensions.
    op: Option<Op>,
    /// The types of its outputs.
    outputs: Types,
}

const _: () = {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<Executable>();
};

/// Makes `graph` ready to compute `outputs` from `inputs`.
///
/// # Errors
/// Every fault that an input or output depends on, each with its place; inputs that are missing, or given
/// twice.
pub fn compile(graph: &Graph, inputs: &[Tensor], outputs: &[Tensor]) -> Result<Executable, Error> {
    for tensor in inputs.iter().chain(outputs) {
        if tensor.context() != graph.id() {
            let rule = format!("an input or output: {}", tensor.context().stray());
            return Err(Fault::new("compile", rule).into());
        }
    }
    let records = (*graph.records()).clone();
    Executable::new(
        records,
        inputs.iter().map(|input| input.id()).collect(),
        outputs.iter().map(|output| output.id()).collect(),
    )
}

/// As [`compile`], with some values computed from others: wherever `outputs` depend on the first
/// value of a pair, they read the second, as Theano's `givens`. The graph itself stays as it is.
///
/// ```
/// use backprop_core::{Array, Graph};
/// use backprop_run::compile_given;
/// let g = Graph::new();
/// let (x, y) = (g.input("x", "f64[]"), g.input("y", "f64[]"));
/// let z = x * y + 1.0;
/// let at_square = compile_given(&g, &[x], &[z], &[(y, x * x)])?;
/// assert_eq!(at_square.run(&[Array::scalar(3.0)])?[0].item().ok(), Some(28.0));
/// # Ok::<(), backprop_core::Error>(())
/// ```
///
/// # Errors
/// As [`compile`]; a pair of different types; a value that is given twice, or is given and also an
/// input; a value of another graph.
pub fn compile_given(
    graph: &Graph,
    inputs: &[Tensor],
    outputs: &[Tensor],
    givens: &[(Tensor, Tensor)],
) -> Result<Executable, Error> {
    let given = |rule: String| Err(Fault::new("compile", rule).into());
    for (position, &(old, new)) in givens.iter().enumerate() {
        if let Some(stray) = [old, new].into_iter().find(|value| value.context() != graph.id()) {
            return given(format!("a given value: {}", stray.context().stray()));
        }
        if let (Some(was), Some(is)) = (old.ty(), new.ty())
            && was != is
        {
            return given(format!("{new:?} cannot be given for {old:?}: the types differ"));
        }
        if inputs.iter().any(|input| input.is(old)) {
            return given(format!("{old:?} is an input, and a value is given for it as well: leave one out"));
        }
        if givens[..position].iter().any(|&(before, _)| before.is(old)) {
            return given(format!("{old:?} is given twice"));
        }
    }
    let (copy, in_copy) = graph.duplicate();
    let pairs: Vec<(Tensor, Tensor)> =
        givens.iter().map(|&(old, new)| (in_copy(old), in_copy(new))).collect();
    let [inputs, outputs] =
        [inputs, outputs].map(|list| list.iter().map(|&tensor| in_copy(tensor)).collect::<Vec<_>>());
    compile(&copy, &inputs, &substitute(&outputs, &pairs))
}

/// Runs `graph` once: `outputs` from the named `inputs`.
///
/// # Errors
/// As [`compile`] and [`Executable::run`]; a name that is no input.
pub fn run(graph: &Graph, inputs: &[(&str, Array)], outputs: &[Tensor]) -> Result<Vec<Array>, Error> {
    let mut handles = Vec::with_capacity(inputs.len());
    let mut unknown = Vec::new();
    for (name, _) in inputs {
        match graph.get(name) {
            Some(input) => handles.push(input),
            None => unknown.push(Fault::new("run", format!("the graph has no input called `{name}`"))),
        }
    }
    if !unknown.is_empty() {
        return Err(Error::new(unknown));
    }
    let arrays: Vec<Array> = inputs.iter().map(|(_, array)| array.clone()).collect();
    compile(graph, &handles, outputs)?.run(&arrays)
}

impl Executable {
    /// The executable of these records.
    ///
    /// # Errors
    /// As [`compile`].
    pub fn new(records: Records, inputs: Vec<ValueId>, outputs: Vec<ValueId>) -> Result<Executable, Error> {
        records.check(inputs.iter().chain(&outputs).copied())?;
        let mut is_given = vec![false; records.n_values()];
        let mut faults = Vec::new();
        let about = |value: ValueId, what: &str| {
            let mut fault = Fault::new("compile", format!("input {} is {what}", records.label(value)));
            fault.place = Some(records.place(records.node(records.producer(value)).place));
            fault
        };
        for &input in &inputs {
            if std::mem::replace(&mut is_given[input as usize], true) {
                faults.push(about(input, "given twice"));
            }
        }
        // Nodes that are computed: an output of several may be needed while another is given.
        let mut needed = vec![false; records.n_nodes()];
        let mut stack = outputs.clone();
        while let Some(value) = stack.pop() {
            let id = records.producer(value);
            if !is_given[value as usize] && !std::mem::replace(&mut needed[id as usize], true) {
                stack.extend(&records.node(id).inputs);
            }
        }
        let is_missing = |(node, needed): &(&Node, &bool)| **needed && matches!(node.op, Op::Input(_));
        let missing = records.nodes().iter().zip(&needed).filter(is_missing);
        faults.extend(missing.map(|(node, _)| about(node.first, "needed but not given")));
        if !faults.is_empty() {
            return Err(Error::new(faults));
        }
        let plan = plan(&records, &needed, &outputs);
        Ok(Executable { records: Arc::new(records), inputs, outputs, plan, specialised: Mutex::default() })
    }

    /// The outputs for these inputs, in the order of [`compile`].
    ///
    /// # Errors
    /// An input of the wrong type or size; sizes that contradict each other; a fault in the data.
    pub fn run(&self, inputs: &[Array]) -> Result<Vec<Array>, Error> {
        self.run_watched(inputs, &mut |_, _| ())
    }

    /// As [`Executable::run`]; `watch` sees every value as soon as it is given or computed.
    ///
    /// # Errors
    /// As [`Executable::run`].
    pub fn run_watched(
        &self,
        inputs: &[Array],
        watch: &mut dyn FnMut(ValueId, &Array),
    ) -> Result<Vec<Array>, Error> {
        let bound = self.specialise(inputs)?;
        let mut values: Vec<Option<Array>> = vec![None; self.records.n_values()];
        for (&input, array) in self.inputs.iter().zip(inputs) {
            watch(input, array);
            values[input as usize] = Some(array.clone());
        }
        for ((id, free), Bound { op, outputs }) in self.plan.iter().zip(bound.iter()) {
            let node = self.records.node(*id);
            let op = op.as_ref().unwrap_or(&node.op);
            let arrays: SmallVec<[&Array; 4]> = (node.inputs.iter())
                .map(|&input| values[input as usize].as_ref().expect("earlier nodes were computed"))
                .collect();
            let computed =
                backprop_cpu::eval(op, &arrays, outputs).map_err(|ill| self.records.faulted(*id, ill))?;
            drop(arrays);
            for (value, array) in node.outputs().zip(computed) {
                // A value that was given stays.
                if values[value as usize].is_none() {
                    watch(value, &array);
                    values[value as usize] = Some(array);
                }
            }
            for &value in free {
                values[value as usize].take().into_iter().for_each(pool::give);
            }
        }
        let read = |&output: &ValueId| values[output as usize].clone().expect("the plan covers the outputs");
        Ok(self.outputs.iter().map(read).collect())
    }

    /// The program for the sizes of these inputs.
    ///
    /// # Errors
    /// As [`Executable::run`], of the types alone.
    pub fn program(&self, inputs: &[Array]) -> Result<backprop_opt::loops::Program, Error> {
        let bound = self.bind(inputs)?;
        let mut records = self.records.within();
        let mut map: Vec<ValueId> = vec![ValueId::MAX; self.records.n_values()];
        let mut own_inputs = Vec::new();
        for (&input, array) in self.inputs.iter().zip(inputs) {
            let node = self.records.node(self.records.producer(input));
            let op = backprop_core::ops::Input { ty: type_of(array) }.into();
            let id = records.push(op, SmallVec::new(), node.place, node.part);
            map[input as usize] = records.node(id).first;
            own_inputs.push(records.node(id).first);
        }
        for ((id, _), Bound { op, .. }) in self.plan.iter().zip(bound.iter()) {
            let node = self.records.node(*id);
            let op = op.clone().unwrap_or_else(|| node.op.clone());
            let operands = node.inputs.iter().map(|&input| map[input as usize]).collect();
            let new = records.push(op, operands, node.place, node.part);
            let first = records.node(new).first;
            for (value, new) in node.outputs().zip(first..) {
                if map[value as usize] == ValueId::MAX {
                    map[value as usize] = new;
                }
            }
        }
        for (value, name) in self.records.names() {
            if map[value as usize] != ValueId::MAX {
                let _ = records.set_name(map[value as usize], name);
            }
        }
        let outputs: Vec<ValueId> = self.outputs.iter().map(|&output| map[output as usize]).collect();
        Ok(backprop_opt::lower::lower(&records, &own_inputs, &outputs, &Default::default()))
    }

    /// The operations that it was made from.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// The plan for the sizes of these inputs.
    fn specialise(&self, inputs: &[Array]) -> Result<Arc<[Bound]>, Error> {
        let types: Box<[Type]> = inputs.iter().map(type_of).collect();
        // Nothing is computed under the lock: a rule may be a user's.
        let kept = || self.specialised.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = kept();
        if let Some(at) = known.iter().position(|(known, _)| *known == types) {
            known[at..].rotate_left(1);
            return Ok(known[known.len() - 1].1.clone());
        }
        drop(known);
        let bound = self.bind(inputs)?;
        let mut kept = kept();
        if kept.len() == MAX_SPECIALISED {
            kept.remove(0);
        }
        kept.push((types, bound.clone()));
        Ok(bound)
    }

    /// Every op of the plan with its dimensions as numbers, and the types of its outputs.
    fn bind(&self, inputs: &[Array]) -> Result<Arc<[Bound]>, Error> {
        if inputs.len() != self.inputs.len() {
            let rule = format!("{} inputs are wanted, but {} were given", self.inputs.len(), inputs.len());
            return Err(Fault::new("run", rule).into());
        }
        let given: Vec<(ValueId, &Array)> = self.inputs.iter().copied().zip(inputs).collect();
        let sizes = self.records.sizes(&given, "run")?;
        let mut types: Vec<Option<Type>> = vec![None; self.records.n_values()];
        given.iter().for_each(|&(input, array)| types[input as usize] = Some(type_of(array)));
        let bound = self.plan.iter().map(|&(id, _)| {
            let node = self.records.node(id);
            let faulted = |ill: Ill| self.records.faulted(id, ill);
            let op = node.op.bind(&sizes).map_err(|rule| faulted(Ill::new(rule)))?;
            let operands: SmallVec<[Type; 4]> = (node.inputs.iter())
                .map(|&input| types[input as usize].expect("earlier nodes have types"))
                .collect();
            let outputs = op.as_ref().unwrap_or(&node.op).infer(&operands).map_err(faulted)?;
            for (value, &ty) in node.outputs().zip(&outputs) {
                types[value as usize].get_or_insert(ty);
            }
            Ok(Bound { op, outputs })
        });
        bound.collect()
    }
}

fn type_of(array: &Array) -> Type {
    Type::new(array.dtype(), array.shape())
}

/// The needed nodes in order; after each, the values that were read for the last time.
fn plan(records: &Records, needed: &[bool], outputs: &[ValueId]) -> Vec<(NodeId, SmallVec<[ValueId; 2]>)> {
    let mut kept = vec![false; records.n_values()];
    outputs.iter().for_each(|&output| kept[output as usize] = true);
    let mut plan = Vec::new();
    for id in (0..records.n_nodes() as NodeId).rev().filter(|&id| needed[id as usize]) {
        let node = records.node(id);
        let mut free = SmallVec::new();
        for value in node.outputs().chain(node.inputs.iter().copied()) {
            if !std::mem::replace(&mut kept[value as usize], true) {
                free.push(value);
            }
        }
        plan.push((id, free));
    }
    plan.reverse();
    plan
}

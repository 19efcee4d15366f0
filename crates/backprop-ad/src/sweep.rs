//! The formal backpropagation algorithm: `build_grad` over G', iteratively, last node first.

use std::rc::Rc;

use backprop_core::graph::context::{ContextId, with_cursor};
use backprop_core::graph::records::{NodeId, ValueId};
use backprop_core::{DType, Emit, Ill, Tensor, Type};

use crate::prune::{Pruned, cut};
use crate::reason::{self, Reason};
use crate::rule::{Cotangent, pull_back};

/// dz/dv for each of `targets`; z is a scalar. A target that z does not depend on gets zeros.
///
/// The results are ordinary tensors, computed where z lives: differentiate them again for higher
/// orders. [`grad_table`] says why a gradient is zero.
///
/// ```
/// use backprop_core::Graph;
/// use backprop_ad::grad;
/// let g = Graph::new();
/// let x = g.input("x", "f64[]");
/// let z = x.tanh();
/// let [dz] = grad(z, [x]);
/// let [d2z] = grad(dz, [x]);
/// assert!(g.check(&[dz, d2z]).is_ok());
/// ```
#[track_caller]
pub fn grad<const N: usize>(z: Tensor, targets: [Tensor; N]) -> [Tensor; N] {
    let table = grad_table(z, &targets);
    std::array::from_fn(|idx| table.gradients()[idx])
}

/// As [`grad`], with the table that the algorithm filled and the reasons of zeros.
///
/// ```
/// # use backprop_core::Graph;
/// # use backprop_ad::grad_table;
/// let g = Graph::new();
/// let x = g.input("x", "f64[]");
/// let table = grad_table(x.stop_gradient() * 2.0, &[x]);
/// let _dx = table.gradients()[0];
/// let why = table.reason(0).expect("the gradient is zero");
/// assert!(why.to_string().starts_with("every path is cut; first by stop_gradient"));
/// ```
#[track_caller]
pub fn grad_table(z: Tensor, targets: &[Tensor]) -> GradTable {
    match z.ty() {
        Some(Type { dtype: DType::F32 | DType::F64, shape }) if shape.rank() == 0 => {
            sweep(&[(z, z.ones_like())], targets)
        }
        Some(ty) => {
            let ill = Ill::new(format!("the result to differentiate must be a float scalar, not {ty}"))
                .hint("reduce it (sum, mean), or give a cotangent: vjp(&[(z, d)], &targets)");
            GradTable::ill(z.ill("grad", ill), targets)
        }
        None => GradTable::ill(z.identity(), targets),
    }
}

/// Jᵀ·d: the gradients of Σ ⟨dₖ, yₖ⟩ for outputs yₖ of any shape and cotangents dₖ of the same types.
#[track_caller]
pub fn vjp(outputs: &[(Tensor, Tensor)], targets: &[Tensor]) -> GradTable {
    let misfit = outputs.iter().find(|(y, d)| match (y.ty(), d.ty()) {
        (Some(y), Some(d)) => y != d,
        _ => false,
    });
    if let Some(&(y, d)) = misfit {
        let rule = format!("the cotangent must have the type of the output: {d:?} for {y:?}");
        return GradTable::ill(y.ill("vjp", Ill::new(rule)), targets);
    }
    sweep(outputs, targets)
}

/// One contribution: `op.bprop(inputs, X, D)` for the operand X = `into`.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The consumer C whose op was asked.
    pub node: NodeId,
    /// The operand that is X.
    pub slot: usize,
    /// The value whose gradient it is part of.
    pub into: ValueId,
    /// What bprop returned.
    pub contribution: Tensor,
    /// The gradient of `into` so far, this contribution included.
    pub sum: Tensor,
}

/// The table that the algorithm fills: each value of G' with its gradient.
pub struct GradTable {
    context: Option<ContextId>,
    targets: Vec<Tensor>,
    resolved: Vec<Option<ValueId>>,
    gradients: Vec<Tensor>,
    reasons: Vec<Option<Reason>>,
    entries: Vec<(ValueId, Tensor)>,
    pruned: Pruned,
    table: Table,
    bprop_calls: usize,
    node_visits: usize,
}

impl GradTable {
    fn ill(value: Tensor, targets: &[Tensor]) -> GradTable {
        GradTable { gradients: vec![value; targets.len()], ..GradTable::without_entries(targets) }
    }

    fn without_entries(targets: &[Tensor]) -> GradTable {
        GradTable {
            context: None,
            targets: targets.to_vec(),
            resolved: Vec::new(),
            gradients: Vec::new(),
            reasons: vec![None; targets.len()],
            entries: Vec::new(),
            pruned: Pruned::default(),
            table: Table::default(),
            bprop_calls: 0,
            node_visits: 0,
        }
    }

    /// Where the outputs live: the values of [`GradTable::entries`] are of this context.
    pub fn context(&self) -> Option<ContextId> {
        self.context
    }

    /// What was differentiated by.
    pub fn targets(&self) -> &[Tensor] {
        &self.targets
    }

    /// The gradients of the targets, in their order. Each is a value of its own.
    pub fn gradients(&self) -> &[Tensor] {
        &self.gradients
    }

    /// Why the gradient of target `idx` is zero, if it is zero for a reason of structure.
    pub fn reason(&self, idx: usize) -> Option<&Reason> {
        self.reasons.get(idx)?.as_ref()
    }

    /// The gradient of any value of G', targets or not.
    pub fn of(&self, value: Tensor) -> Option<Tensor> {
        // In a scope of a tape, values of the tape have entries as well.
        let value = local(&self.context?.get()?, value)?;
        self.table.get(&self.pruned, value).map(|cotangent| cotangent.d)
    }

    /// The number of target `idx` in the records that were walked.
    pub(crate) fn target_id(&self, idx: usize) -> Option<ValueId> {
        self.resolved.get(idx).copied().flatten()
    }

    /// Every entry, in the order in which the algorithm completed it (z first).
    pub fn entries(&self) -> &[(ValueId, Tensor)] {
        &self.entries
    }

    /// Every contribution, in the order in which it was added.
    pub fn steps(&self) -> &[Step] {
        &self.table.steps
    }

    /// How often an op's `bprop` was called: at most once for each node of G'.
    pub fn bprop_calls(&self) -> usize {
        self.bprop_calls
    }

    /// How often the algorithm looked at a node: twice to prune and once to sweep, for each ancestor
    /// of z from the first target on.
    pub fn node_visits(&self) -> usize {
        self.node_visits
    }
}

/// Where the outputs live: the context whose records are walked.
fn home_of(outputs: &[(Tensor, Tensor)]) -> Option<Rc<dyn Emit>> {
    // Of several contexts that enclose each other, the innermost has captured the others' values.
    let mut home = outputs.first()?.0.context();
    for (output, _) in outputs {
        if home.encloses(output.context()) {
            home = output.context();
        }
    }
    home.get()
}

/// The number of a value in the records of `home`; the value itself or what captured it.
pub(crate) fn local(home: &Rc<dyn Emit>, value: Tensor) -> Option<ValueId> {
    if value.context() == home.id() {
        Some(value.id())
    } else if value.context().encloses(home.id()) {
        Some(home.capture(value))
    } else {
        None
    }
}

#[track_caller]
fn sweep(outputs: &[(Tensor, Tensor)], targets: &[Tensor]) -> GradTable {
    let Some((first, _)) = outputs.first() else { return nothing_by(targets) };
    let Some(home) = home_of(outputs) else { return GradTable::ill(first.identity(), targets) };
    // A target from elsewhere makes its own gradient ill, and says so.
    let resolved: Vec<Option<ValueId>> = targets.iter().map(|&target| local(&home, target)).collect();
    let output_ids: Vec<Option<ValueId>> = outputs.iter().map(|&(y, _)| local(&home, y)).collect();
    if let Some(at) = output_ids.iter().position(Option::is_none) {
        let rule = format!("output {at}: {}", outputs[at].0.context().stray());
        return GradTable::ill(first.ill("vjp", Ill::new(rule)), targets);
    }
    let known_outputs: Vec<ValueId> = output_ids.into_iter().flatten().collect();
    let known_targets: Vec<ValueId> = resolved.iter().flatten().copied().collect();
    let pruned = Pruned::new(&home.records().snapshot(), &known_outputs, &known_targets);

    let mut table = Table { cotangents: vec![None; pruned.n_values()], steps: Vec::new() };
    for (&output, &(_, d)) in known_outputs.iter().zip(outputs) {
        table.add(&pruned, output, Cotangent::new(d));
    }
    let (mut bprop_calls, mut node_visits) = (0, pruned.visits);
    let mut entries = Vec::new();
    for &id in pruned.nodes().iter().rev() {
        node_visits += 1;
        bprop_calls += usize::from(visit(&home, &pruned, id, &mut table, &mut entries));
    }

    let mut gradients: Vec<Tensor> = Vec::with_capacity(targets.len());
    let mut reasons = Vec::with_capacity(targets.len());
    let mut taken: std::collections::HashSet<ValueId> = outputs.iter().map(|(_, d)| d.id()).collect();
    for (&target, &known) in targets.iter().zip(&resolved) {
        let cotangent = known.and_then(|value| table.get(&pruned, value));
        let (gradient, reason) = match (cotangent, known) {
            (Some(cotangent), _) => (cotangent.d, None),
            (None, Some(value)) => {
                let why = reason::find(&home.records().snapshot(), &pruned, value);
                (zeros_for(target), Some(why))
            }
            (None, None) => {
                let rule = format!("target {}: {}", gradients.len(), target.context().stray());
                (first.ill("grad", Ill::new(rule)), None)
            }
        };
        // Each result is a value of its own, so that it can be a target in its turn.
        let distinct = if taken.insert(gradient.id()) { gradient } else { gradient.identity() };
        taken.insert(distinct.id());
        gradients.push(distinct);
        reasons.push(reason);
    }
    GradTable {
        context: Some(home.id()),
        targets: targets.to_vec(),
        resolved,
        gradients,
        reasons,
        entries,
        pruned,
        table,
        bprop_calls,
        node_visits,
    }
}

/// The gradients of a sum of no outputs.
#[track_caller]
fn nothing_by(targets: &[Tensor]) -> GradTable {
    let mut gradients = Vec::with_capacity(targets.len());
    for &target in targets {
        gradients.push(zeros_for(target));
    }
    let reason = |target: &Tensor| target.with_records(|records| Reason::not_ancestor(records, target.id()));
    let reasons = targets.iter().map(reason).collect();
    GradTable { gradients, reasons, ..GradTable::without_entries(targets) }
}

/// Zeros of the target's shape; an integer target gets f32 zeros.
#[track_caller]
fn zeros_for(target: Tensor) -> Tensor {
    match target.ty() {
        Some(ty) if !ty.dtype.is_float() => {
            let ty = Type { dtype: DType::F32, ..ty };
            backprop_core::ops::full(target.context(), ty, 0)
        }
        _ => target.zeros_like(),
    }
}

#[derive(Default)]
struct Table {
    cotangents: Vec<Option<Cotangent>>,
    steps: Vec<Step>,
}

impl Table {
    fn get(&self, pruned: &Pruned, value: ValueId) -> Option<Cotangent> {
        self.cotangents[pruned.index(value)?]
    }

    /// Adds a contribution. Consumers are visited last first, and that fixes the order of the sum.
    fn add(&mut self, pruned: &Pruned, value: ValueId, cotangent: Cotangent) -> Option<Tensor> {
        let entry = &mut self.cotangents[pruned.index(value)?];
        let sum = match *entry {
            None => cotangent,
            Some(before) => before.join(cotangent),
        };
        *entry = Some(sum);
        Some(sum.d)
    }
}

/// Asks one node's op, if G' needs it. Returns whether it was asked.
fn visit(
    home: &Rc<dyn Emit>,
    pruned: &Pruned,
    id: NodeId,
    table: &mut Table,
    entries: &mut Vec<(ValueId, Tensor)>,
) -> bool {
    // Rules may be a user's: nothing is borrowed while they are asked.
    let records = home.records().snapshot();
    let node = records.node(id);
    let mut any = false;
    let d: smallvec::SmallVec<[Option<Cotangent>; 2]> = node
        .outputs()
        .map(|output| {
            let cotangent = table.get(pruned, output);
            if let Some(cotangent) = cotangent {
                any = true;
                entries.push((output, cotangent.d));
            }
            cotangent
        })
        .collect();
    if !any {
        return false;
    }
    let wanted: smallvec::SmallVec<[bool; 4]> = (0..node.inputs.len())
        .map(|slot| pruned.contains(node.inputs[slot]) && cut(&records, id, slot).is_none())
        .collect();
    if !wanted.contains(&true) {
        return false;
    }
    let handle = |value: ValueId| Tensor::new(home.id(), value);
    let x: smallvec::SmallVec<[Tensor; 4]> = node.inputs.iter().map(|&input| handle(input)).collect();
    let y: smallvec::SmallVec<[Tensor; 2]> = node.outputs().map(handle).collect();
    let (op, place, inputs) = (node.op.clone(), node.place, node.inputs.clone());
    drop(records);
    // Gradient nodes stand at the place of the node that they belong to.
    with_cursor(
        home.id(),
        |cursor| cursor.origin = Some(place),
        || {
            let dx = pull_back(&op, &x, &y, &d, &wanted);
            for (slot, cotangent) in dx.into_iter().enumerate() {
                let Some(cotangent) = cotangent else { continue };
                if let Some(sum) = table.add(pruned, inputs[slot], cotangent) {
                    let step = Step { node: id, slot, into: inputs[slot], contribution: cotangent.d, sum };
                    table.steps.push(step);
                }
            }
        },
    );
    true
}

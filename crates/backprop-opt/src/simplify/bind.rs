//! Named dimensions as numbers.

use backprop_core::{Bindings, Error, Ill, Op, Records, ValueId};

/// The same nodes under the same numbers, with every dimension that `roots` and the inputs name replaced by
/// its size.
///
/// # Errors
/// A root is ill; a name without a size, or a size that comes out negative or breaks a type rule, with its
/// place.
pub fn bind(records: &Records, roots: &[ValueId], sizes: &Bindings) -> Result<Records, Error> {
    records.check(roots.iter().copied())?;
    let mut needed = vec![false; records.n_nodes()];
    roots.iter().for_each(|&root| needed[records.producer(root) as usize] = true);
    for id in (0..records.n_nodes()).rev() {
        if needed[id] {
            let inputs = &records.nodes()[id].inputs;
            inputs.iter().for_each(|&input| needed[records.producer(input) as usize] = true);
        }
    }
    let mut bound = records.within();
    for (id, node) in (0..).zip(records.nodes()) {
        if matches!(node.op, Op::Missing(_)) {
            bound.push_missing();
            continue;
        }
        let is_needed = needed[id as usize];
        let op = match node.op.bind(sizes) {
            Ok(op) => op.unwrap_or_else(|| node.op.clone()),
            Err(rule) if is_needed => return Err(records.faulted(id, Ill::new(rule))),
            // Nobody asks for it, and an input may stand beside the graph unused.
            Err(_) => node.op.clone(),
        };
        let pushed = bound.push(op, node.inputs.clone(), node.place, node.part);
        assert_eq!(bound.node(pushed).first, node.first, "binding keeps the numbers of the values");
        if let Some(fault) = bound.fault_of(pushed).filter(|_| is_needed) {
            return Err(fault.clone().into());
        }
    }
    for (value, name) in records.names() {
        bound.set_name(value, name).expect("names are as unique as before");
    }
    Ok(bound)
}

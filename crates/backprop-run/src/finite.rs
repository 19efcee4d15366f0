//! Where the first value that is not finite arose.

use backprop_core::graph::records::ValueId;
use backprop_core::{Array, Data, Error, Fault, Ill, NodeId, Op, Records, Tensor};

use crate::Executable;

/// Elements that are looked at between two chances to stop: enough for the loop to be vectorised.
const BLOCK: usize = 1024;

/// Whether every element is finite; integers and truth values always are.
pub fn is_finite(array: &Array) -> bool {
    match array.data() {
        Data::F32(x) => x.chunks(BLOCK).all(|x| x.iter().fold(true, |all, x| all & x.is_finite())),
        Data::F64(x) => x.chunks(BLOCK).all(|x| x.iter().fold(true, |all, x| all & x.is_finite())),
        _ => true,
    }
}

/// On a tape: the first value among those that `roots` were computed from that is not finite, as
/// an error that names its op and place. `None` where all are finite.
pub fn first_not_finite(roots: &[Tensor]) -> Option<Error> {
    let home = roots.first()?.context().get()?;
    let needed = {
        let records = home.records().borrow();
        let mut needed = vec![false; records.n_nodes()];
        let mut stack: Vec<NodeId> = roots.iter().map(|root| records.producer(root.id())).collect();
        while let Some(id) = stack.pop() {
            if !std::mem::replace(&mut needed[id as usize], true) {
                stack.extend(records.node(id).inputs.iter().map(|&input| records.producer(input)));
            }
        }
        needed
    };
    for (id, _) in needed.iter().enumerate().filter(|(_, needed)| **needed) {
        let outputs = home.records().borrow().node(id as NodeId).outputs();
        for output in outputs {
            let array = home.value(output).ok()?;
            if !is_finite(&array) && !is_meant(&home.records().borrow(), output) {
                return Some(describe(&home.records().borrow(), output, &array));
            }
        }
    }
    None
}

impl Executable {
    /// Runs again and reports the first value that is not finite, as an error that names its op and
    /// place. `None` where all are finite.
    pub fn first_not_finite(&self, inputs: &[Array]) -> Option<Error> {
        let mut first = None;
        let ran = self.run_watched(inputs, &mut |value, array| {
            if first.is_none() && !is_finite(array) && !is_meant(self.records(), value) {
                first = Some(describe(self.records(), value, array));
            }
        });
        first.or(ran.err())
    }
}

/// An infinity that the program wrote down itself: it does no harm until something comes of it.
fn is_meant(records: &Records, value: ValueId) -> bool {
    matches!(records.node(records.producer(value)).op, Op::Full(_))
}

fn describe(records: &Records, value: ValueId, array: &Array) -> Error {
    let elements = array.to_f64s();
    let (at, what) = elements.iter().enumerate().find(|(_, x)| !x.is_finite()).unwrap_or((0, &f64::NAN));
    let id = records.producer(value);
    let node = records.node(id);
    if matches!(node.op, Op::Input(_) | Op::Constant(_)) {
        let label = records.label(value);
        let rule = format!("{label} holds {what} at element {at}, the first value that is not finite");
        let mut fault = Fault::new(node.op.name(), rule);
        fault.place = Some(records.place(node.place));
        return fault.into();
    }
    records.faulted(id, Ill::new(format!("gives {what} at element {at}, the first value that is not finite")))
}

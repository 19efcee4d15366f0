//! The bodies of a graph.

use std::collections::HashSet;
use std::sync::Arc;

use backprop_core::{Body, Op, Records};

/// Every body that `cond` and `scan` run, each once, those inside others before these; a list instead of
/// recursion.
pub(crate) fn innermost_first(records: &Records) -> Vec<Arc<Body>> {
    let mut seen: HashSet<*const Body> = HashSet::new();
    let mut found = Vec::new();
    // A body is taken up twice: to ask for those inside it, and when these are found.
    let mut open: Vec<(Arc<Body>, bool)> = of(records).map(|body| (body, false)).collect();
    open.reverse();
    while let Some((body, is_asked)) = open.pop() {
        if is_asked {
            found.push(body);
        } else if seen.insert(Arc::as_ptr(&body)) {
            let inner: Vec<(Arc<Body>, bool)> = of(body.records()).map(|inner| (inner, false)).collect();
            open.push((body, true));
            open.extend(inner.into_iter().rev());
        }
    }
    found
}

fn of(records: &Records) -> impl Iterator<Item = Arc<Body>> {
    let nodes = records.nodes().iter().filter(|node| matches!(node.op, Op::Cond(_) | Op::Scan(_)));
    nodes.flat_map(|node| node.op.rule().bodies()).cloned()
}

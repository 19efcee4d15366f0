//! Which old nodes each new node stands for.

use backprop_core::NodeId;

/// For each new node a range of old ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins {
    starts: Vec<u32>,
    olds: Vec<NodeId>,
}

/// Stands for a new node that is gone.
pub(super) const NOWHERE: NodeId = NodeId::MAX;

impl Origins {
    /// Of pairs (new, old), the old ones in order; `moved` says where the new ones went after all.
    pub fn new(n_nodes: usize, pairs: &[(NodeId, NodeId)], moved: impl Fn(NodeId) -> NodeId) -> Origins {
        let kept = || pairs.iter().map(|&(new, old)| (moved(new), old)).filter(|pair| pair.0 != NOWHERE);
        // Counting sort: the pairs of a large graph are many, and come in the order of the old ones.
        let mut starts = vec![0u32; n_nodes + 1];
        kept().for_each(|(new, _)| starts[new as usize + 1] += 1);
        for node in 0..n_nodes {
            starts[node + 1] += starts[node];
        }
        let mut olds = vec![0; starts[n_nodes] as usize];
        let mut next = starts.clone();
        for (new, old) in kept() {
            olds[next[new as usize] as usize] = old;
            next[new as usize] += 1;
        }
        Origins { starts, olds }
    }

    /// The old nodes of a new one, in order; one that was merged and rewritten may come twice.
    pub fn of(&self, node: NodeId) -> &[NodeId] {
        let node = node as usize;
        match (self.starts.get(node), self.starts.get(node + 1)) {
            (Some(&from), Some(&to)) => &self.olds[from as usize..to as usize],
            _ => &[],
        }
    }

    /// The pairs (new, old), where the new nodes of `self` are the old ones of `next`.
    pub fn through(&self, next: &Origins, n_nodes: usize) -> Origins {
        let mut joined = Origins { starts: vec![0], olds: Vec::with_capacity(self.olds.len()) };
        for node in 0..n_nodes as NodeId {
            let from = joined.olds.len();
            for &middle in next.of(node) {
                joined.olds.extend(self.of(middle));
            }
            joined.olds[from..].sort_unstable();
            joined.starts.push(joined.olds.len() as u32);
        }
        joined
    }
}

//! Which row each node stands in.
//!
//! Every arc points down one row or more. A forward edge and an edge from the forward part into the gradient are arcs as they are; an edge
//! within the gradient is an arc the other way round, so that the gradient runs back up beside the nodes it differentiates. That makes no
//! circle as long as nothing forward depends on a gradient; a picture where something does is drawn with all edges down.

use crate::picture::{Part, Picture};
use std::collections::VecDeque;

/// An edge as layout sees it: `above` stands at least `rows` rows higher than `below`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arc {
    pub above: usize,
    pub below: usize,
    pub rows: usize,
}

/// How the two parts stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocks {
    /// All edges run down.
    One,
    /// Forward on the left, running down; gradient on the right, running up.
    Two,
}

/// Two blocks where the picture has both parts and its gradient feeds nothing forward.
pub(crate) fn blocks(picture: &Picture) -> Blocks {
    let part = |v: usize| picture.nodes[v].part;
    let both = [Part::Forward, Part::Gradient].iter().all(|&p| picture.nodes.iter().any(|n| n.part == p));
    let back = picture.edges.iter().any(|e| part(e.from) == Part::Gradient && part(e.to) == Part::Forward);
    if both && !back { Blocks::Two } else { Blocks::One }
}

/// One arc for each edge; an edge with a label spans two rows, the label standing in the middle one.
pub(crate) fn arcs(picture: &Picture, blocks: Blocks) -> Vec<Arc> {
    let up = |from: usize| blocks == Blocks::Two && picture.nodes[from].part == Part::Gradient;
    let arc = |e: &crate::Edge| {
        let (above, below) = if up(e.from) { (e.to, e.from) } else { (e.from, e.to) };
        Arc { above, below, rows: if e.label.is_some() { 2 } else { 1 } }
    };
    picture.edges.iter().map(arc).collect()
}

/// A row for each node, the first row being 0. The arcs must be free of circles.
pub(crate) fn ranks(picture: &Picture, blocks: Blocks, arcs: &[Arc]) -> Vec<usize> {
    let count = picture.nodes.len();
    let mut arcs_above = vec![Vec::new(); count];
    let mut arcs_below = vec![Vec::new(); count];
    for arc in arcs {
        arcs_above[arc.below].push(*arc);
        arcs_below[arc.above].push(*arc);
    }
    let order = topological(&arcs_above, &arcs_below);
    let mut rank = vec![0usize; count];
    for &v in &order {
        rank[v] = lowest_row(&arcs_above[v], &rank);
    }
    // The forward part is settled first, as if it stood alone; the gradient then hangs beside it.
    let in_gradient = |v: usize| blocks == Blocks::Two && picture.nodes[v].part == Part::Gradient;
    for gradient in [false, true] {
        let members: Vec<usize> = order.iter().copied().filter(|&v| in_gradient(v) == gradient).collect();
        tighten(&members, &arcs_above, &arcs_below, &mut rank, |v| in_gradient(v) == gradient, gradient);
        if !gradient {
            for &v in order.iter().filter(|&&v| in_gradient(v)) {
                rank[v] = lowest_row(&arcs_above[v], &rank);
            }
        }
    }
    let first = rank.iter().copied().min().unwrap_or(0);
    rank.iter().map(|r| r - first).collect()
}

fn lowest_row(arcs_above: &[Arc], rank: &[usize]) -> usize {
    arcs_above.iter().map(|a| rank[a.above] + a.rows).max().unwrap_or(0)
}

fn topological(arcs_above: &[Vec<Arc>], arcs_below: &[Vec<Arc>]) -> Vec<usize> {
    let mut waits: Vec<usize> = arcs_above.iter().map(Vec::len).collect();
    let mut ready: VecDeque<usize> = (0..waits.len()).filter(|&v| waits[v] == 0).collect();
    let mut order = Vec::with_capacity(waits.len());
    while let Some(v) = ready.pop_front() {
        order.push(v);
        for arc in &arcs_below[v] {
            waits[arc.below] -= 1;
            if waits[arc.below] == 0 {
                ready.push_back(arc.below);
            }
        }
    }
    assert_eq!(order.len(), waits.len(), "arcs are checked to be free of circles");
    order
}

/// Shortens arcs: a node with more consumers than producers moves down to its first consumer, one with fewer stays high. Where it makes no
/// difference a forward node goes down (so a parameter can follow it) and a gradient node stays beside what it needs.
fn tighten(
    members: &[usize],
    arcs_above: &[Vec<Arc>],
    arcs_below: &[Vec<Arc>],
    rank: &mut [usize],
    is_member: impl Fn(usize) -> bool,
    ties_stay: bool,
) {
    for _ in 0..8 {
        let mut moved = false;
        for down in [true, false] {
            for step in 0..members.len() {
                let v = members[if down { members.len() - 1 - step } else { step }];
                // Forward nodes take no notice of the gradient, which follows them.
                let below = || arcs_below[v].iter().filter(|a| is_member(a.below));
                let (above_count, below_count) = (arcs_above[v].len(), below().count());
                let sinks = below_count > above_count || (below_count == above_count && !ties_stay);
                if sinks != down {
                    continue;
                }
                let low = lowest_row(&arcs_above[v], rank);
                let high = below().map(|a| rank[a.below] - a.rows).min();
                let to = if down { high.unwrap_or(low) } else { low };
                moved |= to != rank[v];
                rank[v] = to;
            }
        }
        if !moved {
            break;
        }
    }
}

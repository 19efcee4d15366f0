//! What was tried: ops, shapes of graphs, finite ones, what was left out.

use std::collections::BTreeMap;
use std::fmt;

use super::case::Case;
use super::compare::Compared;
use super::reference::{Count, Evaluation};

/// What a run over many graphs saw.
#[derive(Default)]
pub struct Statistics {
    /// Graphs.
    pub graphs: usize,
    /// Graphs whose outputs are all finite.
    pub finite: usize,
    /// For each op: calls, elements, left out.
    pub ops: BTreeMap<String, Count>,
    /// For each subject what was compared.
    pub compared: BTreeMap<&'static str, Compared>,
    orders: [usize; 3],
    nodes: usize,
    depths: Vec<usize>,
    shared: usize,
    with_sharing: usize,
    with_empty: usize,
    with_names: usize,
}

/// An op may leave out so many of 100 elements.
pub const MOST_LEFT_OUT_PERCENT: usize = 5;

impl Statistics {
    /// Counts a graph and what the reference found in it.
    pub fn count(&mut self, case: &Case, evaluations: &[Evaluation]) {
        let facts = case.facts();
        self.graphs += 1;
        self.orders[case.order] += 1;
        self.nodes += facts.nodes;
        self.depths.push(facts.depth);
        self.shared += facts.shared;
        self.with_sharing += usize::from(facts.shared > 0);
        self.with_empty += usize::from(facts.has_empty);
        self.with_names += usize::from(facts.has_names);
        let are_finite = evaluations.iter().flat_map(|run| &run.outputs).all(|values| values.is_finite());
        self.finite += usize::from(are_finite);
        for (name, count) in evaluations.iter().flat_map(|run| &run.counts) {
            let own = self.ops.entry(name.clone()).or_default();
            own.calls += count.calls;
            own.elements += count.elements;
            own.left_out += count.left_out;
        }
    }

    /// Adds what another part of the run saw.
    pub fn add(&mut self, other: Statistics) {
        self.graphs += other.graphs;
        self.finite += other.finite;
        for (name, count) in other.ops {
            let own = self.ops.entry(name).or_default();
            own.calls += count.calls;
            own.elements += count.elements;
            own.left_out += count.left_out;
        }
        other
            .compared
            .into_iter()
            .for_each(|(name, compared)| self.compared.entry(name).or_default().add(compared));
        self.orders.iter_mut().zip(other.orders).for_each(|(own, other)| *own += other);
        self.nodes += other.nodes;
        self.depths.extend(other.depths);
        self.shared += other.shared;
        self.with_sharing += other.with_sharing;
        self.with_empty += other.with_empty;
        self.with_names += other.with_names;
    }

    /// Ops that leave out more than they may.
    pub fn too_often_left_out(&self) -> Vec<(&str, Count)> {
        let is_over = |count: &Count| count.left_out * 100 > count.elements * MOST_LEFT_OUT_PERCENT;
        self.ops
            .iter()
            .filter(|(_, count)| is_over(count))
            .map(|(name, &count)| (name.as_str(), count))
            .collect()
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |part: usize, whole: usize| 100.0 * part as f64 / whole.max(1) as f64;
        writeln!(f, "{:<16} {:>9} {:>11} {:>9}", "op", "calls", "elements", "left out")?;
        for (name, Count { calls, elements, left_out }) in &self.ops {
            let share = percent(*left_out, *elements);
            writeln!(f, "{name:<16} {calls:>9} {elements:>11} {share:>8.3}%")?;
        }
        let n = self.graphs;
        let [zero, first, second] = self.orders;
        writeln!(f, "graphs {n}: of order 0 {zero}, of order 1 {first}, of order 2 {second}")?;
        writeln!(f, "finite {:.2}%", percent(self.finite, n))?;
        let mut depths = self.depths.clone();
        depths.sort_unstable();
        let at =
            |percent: usize| depths.get(depths.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0);
        writeln!(f, "depth median {}, 90% {}, most {}", at(50), at(90), at(100))?;
        writeln!(f, "nodes {:.1} for each graph", self.nodes as f64 / n.max(1) as f64)?;
        let shared = self.shared as f64 / n.max(1) as f64;
        writeln!(f, "sharing in {:.1}%, {shared:.1} values for each graph", percent(self.with_sharing, n))?;
        writeln!(
            f,
            "a size of 0 in {:.1}%, a named size in {:.1}%",
            percent(self.with_empty, n),
            percent(self.with_names, n)
        )?;
        for (name, Compared { elements, left_out, loose, worst }) in &self.compared {
            let (out, loose) = (percent(*left_out, elements + left_out), percent(*loose, *elements));
            writeln!(
                f,
                "{name}: {elements} elements held, {out:.3}% left out, {loose:.3}% loose, at most {worst:.3} bounds off"
            )?;
        }
        Ok(())
    }
}

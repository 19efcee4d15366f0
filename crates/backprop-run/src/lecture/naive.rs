//! The naive recursion that backpropagation replaces, with its work counted.
//!
//! Both compute the same sum over paths. The recursion follows every path, and there are
//! exponentially many; the table follows every edge once.

use backprop_core::Error;

use super::scalar::{ADD, SIN, ScalarGraph, TANH, fail};

/// A derivative and the work that it took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counted {
    /// ∂u_n/∂u_j.
    pub derivative: f64,
    /// Evaluations of some f^(i).
    pub values: u64,
    /// Evaluations of some ∂u_i/∂u_k.
    pub partials: u64,
}

/// The recursion is as deep as the longest path.
const MAX_SCALARS: usize = 1000;

/// ∂u_n/∂u_j by the chain rule as it is written, nothing stored: each ∂u_n/∂u_i is derived anew
/// for each consumer, and each u_k is recomputed each time it is needed. Exponential.
///
/// # Errors
/// The data are too few or too many; u_j is not there; more than 1000 scalars.
pub fn naive(graph: &ScalarGraph, x: &[f64], j: usize) -> Result<Counted, Error> {
    check(graph, x, j)?;
    if graph.len() > MAX_SCALARS {
        let n = graph.len();
        return fail("naive", format!("recurses over at most {MAX_SCALARS} scalars, and the graph has {n}"));
    }
    let consumers = graph.consumers();
    let mut recursion = Recursion { graph, x, consumers, values: 0, partials: 0 };
    let derivative = recursion.derivative(j);
    Ok(Counted { derivative, values: recursion.values, partials: recursion.partials })
}

/// The same by Algorithms 1 and 2: every value and every derivative stored. Linear.
///
/// # Errors
/// As [`naive`], but for any number of scalars.
pub fn with_grad_table(graph: &ScalarGraph, x: &[f64], j: usize) -> Result<Counted, Error> {
    check(graph, x, j)?;
    let u = graph.forward_propagation(x)?;
    let done = graph.backpropagation(&u)?;
    let values = (graph.len() - graph.n_data()) as u64;
    Ok(Counted { derivative: done.grad_table[j], values, partials: done.edge_visits as u64 })
}

/// A ladder of diamonds: u ↦ sin u + tanh u, `n_rungs` times. Two ways lead through each rung, so
/// 2ⁿ paths lead from one end to the other.
///
/// # Errors
/// None.
pub fn diamond_ladder(n_rungs: usize) -> Result<ScalarGraph, Error> {
    let mut graph = ScalarGraph::new(1);
    let mut u = 0;
    for _ in 0..n_rungs {
        let (left, right) = (graph.push(SIN, &[u])?, graph.push(TANH, &[u])?);
        u = graph.push(ADD, &[left, right])?;
    }
    Ok(graph)
}

struct Recursion<'a> {
    graph: &'a ScalarGraph,
    x: &'a [f64],
    consumers: Vec<Vec<(usize, usize)>>,
    values: u64,
    partials: u64,
}

impl Recursion<'_> {
    /// u_j = f^(j)(Pa(u_j)).
    fn value(&mut self, j: usize) -> f64 {
        match self.graph.definition(j) {
            None => self.x[j],
            Some((f, pa)) => {
                let parents: Vec<f64> = pa.iter().map(|&k| self.value(k)).collect();
                self.values += 1;
                (f.value)(&parents)
            }
        }
    }

    /// ∂u_n/∂u_j = Σ_{i: j ∈ Pa(u_i)} ∂u_n/∂u_i · ∂u_i/∂u_j.
    fn derivative(&mut self, j: usize) -> f64 {
        if j + 1 == self.graph.len() {
            return 1.0;
        }
        let consumers = self.consumers[j].clone();
        consumers.into_iter().map(|(i, slot)| self.derivative(i) * self.partial(i, slot)).sum()
    }

    /// ∂u_i/∂u_j for the parent in `slot`.
    fn partial(&mut self, i: usize, slot: usize) -> f64 {
        let Some((f, pa)) = self.graph.definition(i) else { return 0.0 };
        let parents: Vec<f64> = pa.iter().map(|&k| self.value(k)).collect();
        self.partials += 1;
        (f.partial)(&parents, slot)
    }
}

fn check(graph: &ScalarGraph, x: &[f64], j: usize) -> Result<(), Error> {
    graph.check_data(x.len())?;
    if j >= graph.len() {
        return fail("naive", format!("there is no u[{j}] among {} scalars", graph.len()));
    }
    Ok(())
}

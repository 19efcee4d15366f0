//! Algorithms 1 and 2: forward propagation and backpropagation over a graph of scalars.

use backprop_core::{Error, Fault, Tensor};

/// f^(j): a function of the parents, with its partial derivatives and its twin for the engine.
#[derive(Clone, Copy)]
pub struct Function {
    /// What it is called.
    pub name: &'static str,
    /// The number of its parents.
    pub n_parents: usize,
    /// f(Pa(u)).
    pub value: fn(&[f64]) -> f64,
    /// ∂f/∂Pa(u)ₖ for slot k.
    pub partial: fn(&[f64], usize) -> f64,
    /// The same function, as operations on tensors.
    pub engine: fn(&[Tensor]) -> Tensor,
}

/// a + b
pub const ADD: Function = Function {
    name: "add",
    n_parents: 2,
    value: |x| x[0] + x[1],
    partial: |_, _| 1.0,
    engine: |x| x[0] + x[1],
};

/// a·b
pub const MUL: Function = Function {
    name: "mul",
    n_parents: 2,
    value: |x| x[0] * x[1],
    partial: |x, k| x[1 - k],
    engine: |x| x[0] * x[1],
};

/// sin a
pub const SIN: Function = Function {
    name: "sin",
    n_parents: 1,
    value: |x| x[0].sin(),
    partial: |x, _| x[0].cos(),
    engine: |x| x[0].sin(),
};

/// tanh a
pub const TANH: Function = Function {
    name: "tanh",
    n_parents: 1,
    value: |x| x[0].tanh(),
    partial: |x, _| 1.0 - x[0].tanh() * x[0].tanh(),
    engine: |x| x[0].tanh(),
};

/// One computed scalar: u_j = f^(j)(Pa(u_j)).
struct Scalar {
    f: Function,
    pa: Vec<usize>,
}

/// A graph 𝒢 of scalars u_1, ..., u_n. The first few are data; each of the others is a function of
/// scalars before it. Positions count from 0: `u[0]` is the lecture's u_1, the last one is u_n.
///
/// ```
/// use backprop_run::lecture::{MUL, SIN, ScalarGraph};
/// let mut g = ScalarGraph::new(1);            // u_1 = x
/// let square = g.push(MUL, &[0, 0])?;         // u_2 = u_1·u_1
/// g.push(SIN, &[square])?;                    // u_3 = sin u_2
/// let u = g.forward_propagation(&[0.5])?;
/// let grad_table = g.backpropagation(&u)?.grad_table;
/// assert_eq!(grad_table, [0.25f64.cos(), 0.25f64.cos(), 1.0]);    // 2x·cos x² = cos x² at 1/2
/// # Ok::<(), backprop_core::Error>(())
/// ```
pub struct ScalarGraph {
    n_data: usize,
    computed: Vec<Scalar>,
}

/// What Algorithm 2 returns.
pub struct Backpropagation {
    /// `grad_table[j]` = ∂u_n/∂u_j.
    pub grad_table: Vec<f64>,
    /// The edges that were followed: each edge of the graph once.
    pub edge_visits: usize,
}

impl ScalarGraph {
    /// A graph of `n_data` scalars that are given.
    pub fn new(n_data: usize) -> ScalarGraph {
        ScalarGraph { n_data, computed: Vec::new() }
    }

    /// Adds u_j = f(Pa(u_j)); returns its position.
    ///
    /// # Errors
    /// The wrong number of parents, or a parent that is not there yet.
    pub fn push(&mut self, f: Function, pa: &[usize]) -> Result<usize, Error> {
        let j = self.len();
        if pa.len() != f.n_parents {
            return fail("push", format!("{} takes {} parents, not {}", f.name, f.n_parents, pa.len()));
        }
        if let Some(k) = pa.iter().find(|&&k| k >= j) {
            return fail("push", format!("u[{j}] is made of scalars before it, and u[{k}] is not"));
        }
        self.computed.push(Scalar { f, pa: pa.to_vec() });
        Ok(j)
    }

    /// n: the number of scalars.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.n_data + self.computed.len()
    }

    /// The number of scalars that are given.
    pub fn n_data(&self) -> usize {
        self.n_data
    }

    /// The function and the parents of u_j; `None` where u_j is data.
    pub fn definition(&self, j: usize) -> Option<(Function, &[usize])> {
        let scalar = self.computed.get(j.checked_sub(self.n_data)?)?;
        Some((scalar.f, &scalar.pa))
    }

    /// Algorithm 1, forward propagation: all of u_1, ..., u_n from the data.
    ///
    /// # Errors
    /// The data are too few or too many.
    pub fn forward_propagation(&self, x: &[f64]) -> Result<Vec<f64>, Error> {
        self.check_data(x.len())?;
        let mut u = x.to_vec();
        for Scalar { f, pa } in &self.computed {
            let parents: Vec<f64> = pa.iter().map(|&k| u[k]).collect();
            u.push((f.value)(&parents));
        }
        Ok(u)
    }

    /// Algorithm 2, backpropagation: all ∂u_n/∂u_j, from what Algorithm 1 returned.
    ///
    /// Two slips of the lecture's pseudo-code are mended. The table starts with
    /// `grad_table[u_n] <- 1` (not u_j). The loop goes down to j = 1 (not i + 1): the data want
    /// their derivatives too. And Pa(u_i) is a list, not a set: x·x has x in two slots, each with an
    /// edge of its own.
    ///
    /// # Errors
    /// There is no scalar, or `u` has the wrong length.
    pub fn backpropagation(&self, u: &[f64]) -> Result<Backpropagation, Error> {
        let n = self.len();
        if n == 0 || u.len() != n {
            return fail(
                "backpropagation",
                format!("takes the {n} ≥ 1 scalars of Algorithm 1, not {}", u.len()),
            );
        }
        let consumers = self.consumers();
        let mut edge_visits = 0;
        let mut grad_table = vec![0.0; n];
        grad_table[n - 1] = 1.0;
        for j in (0..n - 1).rev() {
            grad_table[j] = consumers[j]
                .iter()
                .map(|&(i, slot)| {
                    edge_visits += 1;
                    grad_table[i] * self.partial(i, slot, u)
                })
                .sum(); // (*)
        }
        Ok(Backpropagation { grad_table, edge_visits })
    }

    /// {i : j ∈ Pa(u_i)} for each j, with the slot that u_j stands in; the last consumer first.
    pub fn consumers(&self) -> Vec<Vec<(usize, usize)>> {
        let mut consumers = vec![Vec::new(); self.len()];
        for (i, Scalar { pa, .. }) in self.computed.iter().enumerate().rev() {
            for (slot, &j) in pa.iter().enumerate() {
                consumers[j].push((self.n_data + i, slot));
            }
        }
        consumers
    }

    /// The number of edges.
    pub fn n_edges(&self) -> usize {
        self.computed.iter().map(|scalar| scalar.pa.len()).sum()
    }

    /// The same graph through the engine: u_1, ..., u_n as tensors, from the data as tensors.
    ///
    /// # Errors
    /// The data are too few or too many.
    #[track_caller]
    pub fn through_the_engine(&self, x: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        self.check_data(x.len())?;
        let mut u = x.to_vec();
        for Scalar { f, pa } in &self.computed {
            let parents: Vec<Tensor> = pa.iter().map(|&k| u[k]).collect();
            u.push((f.engine)(&parents));
        }
        Ok(u)
    }

    /// Refuses data that are too few or too many.
    pub(super) fn check_data(&self, n: usize) -> Result<(), Error> {
        if n == self.n_data {
            return Ok(());
        }
        fail("forward propagation", format!("takes {} data, not {n}", self.n_data))
    }

    /// ∂u_i/∂u_j, where u_j is the parent of u_i in `slot`.
    fn partial(&self, i: usize, slot: usize, u: &[f64]) -> f64 {
        let Scalar { f, pa } = &self.computed[i - self.n_data];
        let parents: Vec<f64> = pa.iter().map(|&k| u[k]).collect();
        (f.partial)(&parents, slot)
    }
}

/// An error of this module.
pub(super) fn fail<T>(what: &str, rule: String) -> Result<T, Error> {
    Err(Fault::new(what, rule).into())
}

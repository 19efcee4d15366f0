//! z = f(f(f(w))): store what is computed, or compute it again.
//!
//! ```text
//! dz/dw = f'(y)·f'(x)·f'(w)               (1)  x = f(w) and y = f(x) are stored: backpropagation
//!       = f'(f(f(w)))·f'(f(w))·f'(w)      (2)  they are recomputed each time they are needed
//! ```
//!
//! The lecture says "for low memory, (1) preferable": read it as "where storing is cheap". (1) takes
//! n stored values and n − 1 evaluations of f; (2) takes two values and n(n − 1)/2 evaluations.

use std::cell::Cell;

use backprop_ad::grad;
use backprop_core::ops::Unary;
use backprop_core::{Array, Error, Graph, Op, Tensor};

use crate::run;

/// A derivative, and the work and memory that it took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chain {
    /// dz/dw.
    pub derivative: f64,
    /// Evaluations of f.
    pub work: usize,
    /// Most values held at one time.
    pub memory: usize,
}

/// Equation (1): forward, keeping w, x, y, ...; then backward through what was kept.
pub fn stored(f: impl Fn(f64) -> f64, df: impl Fn(f64) -> f64, w: f64, n: usize) -> Chain {
    let (f, work) = counted(f);
    let mut kept = vec![w];
    while kept.len() < n {
        kept.push(f(kept[kept.len() - 1]));
    }
    let slopes = kept.iter().rev().take(n).map(|&u| df(u));
    Chain { derivative: slopes.product(), work: work.get(), memory: kept.len() }
}

/// Equation (2): each argument of f' from w anew. Only w and the value at hand are held.
pub fn recomputed(f: impl Fn(f64) -> f64, df: impl Fn(f64) -> f64, w: f64, n: usize) -> Chain {
    let (f, work) = counted(f);
    let slopes = (0..n).rev().map(|k| df((0..k).fold(w, |u, _| f(u))));
    Chain { derivative: slopes.product(), work: work.get(), memory: 2 }
}

/// A way between: every `every`-th value is kept, and each stretch between two of them is computed
/// again when the derivative passes it. With `every` = √n: less than 2n evaluations of f, about 2√n
/// values (Griewank 1992).
pub fn checkpointed(
    f: impl Fn(f64) -> f64,
    df: impl Fn(f64) -> f64,
    w: f64,
    n: usize,
    every: usize,
) -> Chain {
    let every = every.max(1);
    let (f, work) = counted(f);
    let mut kept = vec![w];
    while kept.len() * every < n {
        let last = kept[kept.len() - 1];
        kept.push((0..every).fold(last, |u, _| f(u)));
    }
    let mut chain = Chain { derivative: 1.0, work: 0, memory: 0 };
    let mut end = n;
    while let Some(from) = kept.pop() {
        let start = kept.len() * every;
        let stretch = stored(&f, &df, from, end - start);
        chain.derivative *= stretch.derivative;
        chain.memory = chain.memory.max(kept.len() + stretch.memory);
        end = start;
    }
    Chain { work: work.get(), ..chain }
}

/// Both equations through the engine, with f = sin: as graphs, whose work and memory are read off
/// their nodes. A call creates a node and nothing is merged, so (2) can be written as it stands.
///
/// # Errors
/// None for a finite w.
pub fn through_the_engine(w: f64, n: usize) -> Result<[Chain; 2], Error> {
    let stored = |w: Tensor| {
        let z = (0..n).fold(w, |u, _| u.sin());
        let [dw] = grad(z, [w]);
        dw
    };
    let recomputed = |w: Tensor| {
        let slopes = (0..n).rev().map(|k| {
            let u = (0..k).fold(w, |u, _| u.sin());
            let [du] = grad(u.sin(), [u]);
            du
        });
        slopes.reduce(|a, b| a * b).unwrap_or_else(|| w.ones_like())
    };
    Ok([in_a_graph(w, stored)?, in_a_graph(w, recomputed)?])
}

/// Runs dz/dw and counts the calls of sin, and the values alive at one time when each is freed after
/// its last reader.
fn in_a_graph(w: f64, derivative: impl Fn(Tensor) -> Tensor) -> Result<Chain, Error> {
    let graph = Graph::new();
    let dw = derivative(graph.input("w", "f64[]"));
    let value = run(&graph, &[("w", Array::scalar(w))], &[dw])?[0].item();
    let records = graph.records();
    let mut needed = vec![false; records.n_values()];
    needed[dw.id() as usize] = true;
    let (mut work, mut alive, mut memory) = (0, 1, 1);
    // Backwards: a value is alive from its last reader back to its own node.
    for node in records.nodes().iter().rev().filter(|node| node.n_outputs == 1) {
        if !needed[node.first as usize] {
            continue;
        }
        work += usize::from(node.op == Op::Unary(Unary::Sin));
        for &input in &node.inputs {
            alive += usize::from(!std::mem::replace(&mut needed[input as usize], true));
        }
        memory = memory.max(alive);
        alive -= 1;
    }
    Ok(Chain { derivative: value.unwrap_or(f64::NAN), work, memory })
}

/// `f`, and how often it was called.
fn counted(f: impl Fn(f64) -> f64) -> (impl Fn(f64) -> f64, std::rc::Rc<Cell<usize>>) {
    let calls = std::rc::Rc::new(Cell::new(0));
    let count = calls.clone();
    let f = move |u| {
        count.set(count.get() + 1);
        f(u)
    };
    (f, calls)
}

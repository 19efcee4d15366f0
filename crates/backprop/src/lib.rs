//! `backprop`: a differentiable graph compiler in Rust.
//!
//! Write a computation once; differentiate it to any order by the backpropagation algorithm; run it
//! at once on a [`Tape`](prelude::Tape) or as a whole through a [`Graph`](prelude::Graph).
//!
//! ```
//! use backprop::prelude::*;
//!
//! // The same function in both modes: logistic regression and its loss.
//! fn loss(w: Tensor, b: Tensor, x: Tensor, y: Tensor) -> Tensor {
//!     (x.matmul(w) + b).binary_cross_entropy_with_logits(y)
//! }
//!
//! // At once (symbol-to-number):
//! let tape = Tape::new();
//! let (w, b) = (tape.value([0.5, -0.5]), tape.value(0.1));
//! let (x, y) = (tape.value([[1.0, 2.0], [3.0, -1.0], [0.0, 1.0]]), tape.value([1.0, 0.0, 1.0]));
//! let [dw, db] = grad(loss(w, b, x, y), [w, b]);
//! println!("dw = {}, db = {}", dw.value()?, db.value()?);
//!
//! // As a graph (symbol-to-symbol), for any number of samples B:
//! let g = Graph::new();
//! let (w, b) = (g.input("w", "f64[2]"), g.input("b", "f64[]"));
//! let (x, y) = (g.input("x", "f64[B, 2]"), g.input("y", "f64[B]"));
//! let [dw, _db] = grad(loss(w, b, x, y), [w, b]);
//! let gradient = compile(&g, &[w, b, x, y], &[dw])?;
//! let inputs = [
//!     Array::from([0.5, -0.5]),
//!     Array::from(0.1),
//!     Array::from([[1.0, 2.0], [3.0, -1.0], [0.0, 1.0]]),
//!     Array::from([1.0, 0.0, 1.0]),
//! ];
//! println!("dw = {}", gradient.run(&inputs)?[0]);
//! # Ok::<(), Error>(())
//! ```
//!
//! A network on handwritten digits:
//!
//! ```
//! use backprop::prelude::*;
//! use std::ops::ControlFlow;
//!
//! let digits = Dataset::digits(0)?;
//! let net = Sequential::new().linear(64, 32).relu().linear(32, 10);
//! let mut params = net.init(Seed(0))?;
//! fit(&net, &mut params, &digits, &Fit { epochs: 3, ..Fit::default() }, |epoch| {
//!     println!("{epoch}");
//!     ControlFlow::Continue(())
//! })?;
//! assert!(evaluate(&net, &params, &digits.test_x, &digits.test_y)?.accuracy > 0.85);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! How networks are made and trained, step by step: `docs/networks.md`. Twelve short programs:
//! `crates/backprop/examples`.
//!
//! In the examples beside single items the crates stand under their own names: `backprop_core::Graph`
//! is `backprop::core::Graph` here, and most of what they use is in the [`prelude`].

// The pages for users: their programs compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}

#[cfg(doctest)]
#[doc = include_str!("../../../docs/networks.md")]
mod networks {}

pub mod picture;

pub use backprop_ad as ad;
pub use backprop_core as core;
pub use backprop_draw as draw;
pub use backprop_io as io;
pub use backprop_nn as nn;
pub use backprop_run as run;
pub use backprop_train as train;

/// What most programs need.
pub mod prelude {
    pub use backprop_ad::{GradTable, grad, grad_table, hessian, jacobian, jvp, vjp};
    pub use backprop_core::ops::Custom;
    pub use backprop_core::{
        Array, DType, Dim, Error, Graph, Op, Seed, Shape, Tensor, Type, concat, cond, scan, scan_indexed,
        scan_n, scan_reverse, substitute,
    };
    pub use backprop_nn::{
        Activation, Adam, AdamW, Bound, Declare, Dropout, Init, Layer, LayerNorm, Linear, Optimizer, Params,
        Schedule, Sequential, Sgd, Slots, TrainStep, UpdateRule, Updates,
    };
    pub use backprop_run::{Executable, Tape, check, compile, compile_given, run};
    pub use backprop_train::data::Dataset;
    pub use backprop_train::{Engine, Fit, Loss, Plan, evaluate, evaluate_by, fit, predict};
}

//! Training: data sets, batches in a reproducible order, the `fit` loop, metrics.
//!
//! ```text
//! Dataset ──Batches(seed, epoch)──► fit: one transaction per step ──► Epoch reports
//!                                        └ engine: eager tape, or one compiled graph
//! ```
//!
//! ```
//! use backprop_core::Seed;
//! use backprop_nn::{Layer, Sequential};
//! use backprop_train::{Fit, data::Dataset, evaluate, fit};
//!
//! let digits = Dataset::digits(0)?;
//! let net = Sequential::mlp(&[64, 16, 10]);
//! let mut params = net.init(Seed(0))?;
//! let history = fit(&net, &mut params, &digits, &Fit { epochs: 2, ..Fit::default() }, |epoch| {
//!     println!("{epoch}");
//!     std::ops::ControlFlow::Continue(())
//! })?;
//! assert_eq!(history.epochs.len(), 2);
//! assert!(evaluate(&net, &params, &digits.test_x, &digits.test_y)?.accuracy > 0.5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batches;
pub mod data;
mod fit;
mod loss;
mod metrics;
mod steps;

pub use batches::Batches;
pub use fit::{Engine, Epoch, Fit, History, Plan, TrainError, Watch, fit};
pub use loss::Loss;
pub use metrics::{Evaluation, accuracy, confusion, evaluate, evaluate_by, predict};

//! Networks: what they are made of, where their parameters live, how these are improved.
//!
//! ```text
//! Layer (configuration) ──init(seed)──► Params (arrays, by path) ──bind(graph or tape)──► Bound (handles)
//!                                          ▲                                                │
//!                                          │ one transaction         net.forward(&p, x) ──► loss
//!                                          └───────── Updates ◄── Optimizer::updates(&p, loss)
//! ```
//!
//! A layer holds no number and no handle: it describes. The same layer, loss and optimizer work in
//! a graph and on a tape.
//!
//! ```
//! use backprop_core::{Array, Seed};
//! use backprop_nn::{AdamW, Layer, Optimizer, Sequential};
//! use backprop_run::Tape;
//!
//! let net = Sequential::new().linear(2, 8).tanh().linear(8, 2);
//! let mut params = net.init(Seed(7))?;
//! let optimizer = Optimizer::from(AdamW::new(0.05));
//! let (x, y) = (Array::from([[0.0f32, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), Array::from([0i64, 1, 1, 0]));
//! let tape = Tape::new();
//! for _ in 0..100 {
//!     let updates = tape.scope(|t| {
//!         let p = params.bind(t);
//!         let loss = net.forward(&p, t.value(x.clone())).cross_entropy(t.value(y.clone()));
//!         optimizer.updates(&p, loss)
//!     })?;
//!     params.apply(updates)?;
//! }
//! # Ok::<(), backprop_core::Error>(())
//! ```

mod bound;
mod init;
mod layer;
mod layers;
mod linear;
mod named;
mod optim;
mod params;
mod sequential;
mod step;
mod tree;

pub use bound::Bound;
pub use init::Init;
pub use layer::{Declare, Layer, Row, summary};
pub use layers::{Activation, Dropout, LayerNorm};
pub use linear::Linear;
pub use optim::{Adam, AdamW, Optimizer, Schedule, Sgd, Slots, UpdateRule, Updates};
pub use params::{Parameter, Params};
pub use sequential::Sequential;
pub use step::TrainStep;

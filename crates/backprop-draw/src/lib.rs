//! Pictures: computational graphs and training curves, as plain data in and SVG or DOT text out.
//!
//! ```text
//!   Picture ─ rank ─ layers ─ order ─ place ─ route ─▶ Layout ─▶ svg        Picture ─▶ dot        Chart ─▶ chart_svg
//! ```
//!
//! A graph is drawn in layers (Sugiyama, Tagawa and Toda 1981), data flowing from top to bottom. Where a graph carries its own derivative, the
//! forward part stands in the left block and its gradient in the right one, running back up beside the nodes it differentiates
//! (symbol-to-symbol, as in Goodfellow et al. 2016, figure 6.10).
//!
//! This crate knows nothing of tensors, does no IO, and its output depends only on its input.
//!
//! ```
//! use backprop_draw::{Kind, Node, Part, Picture, svg};
//! let mut picture = Picture::new("logistic regression");
//! let x = picture.node(Node::new(Kind::Input, Part::Forward, &["f32[32, 4]"]).named("x"));
//! let w = picture.node(Node::new(Kind::Parameter, Part::Forward, &["f32[4, 1]"]).named("w"));
//! let u = picture.node(Node::new(Kind::Operation, Part::Forward, &["matmul", "f32[32, 1]"]));
//! picture.edge(x, u);
//! picture.edge(w, u);
//! assert!(svg(&picture)?.starts_with("<svg"));
//! # Ok::<(), backprop_draw::Error>(())
//! ```

mod chart;
mod dot;
mod label;
mod layers;
mod layout;
mod measure;
mod order;
mod picture;
mod place;
mod rank;
mod route;
mod svg;
mod text;
mod ticks;

pub use chart::{Chart, Panel, Series, chart_svg};
pub use dot::dot;
pub use layout::{Item, Layout, Placed, Point, Rect, layout, overlaps};
pub use picture::{Edge, Error, Kind, Node, Part, Picture};
pub use svg::svg;

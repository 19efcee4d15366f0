//! Arrays in files: NumPy, safetensors, IDX and CSV.
//!
//! ```text
//!   file ──load──▶ Array      npy  npz  safetensors  idx  csv
//!   file ◀──save── Array      npy  npz  safetensors          each through `atomic`
//! ```
//!
//! Every reader holds to these rules:
//!
//! - **No code runs and no other file is read.** A pickled NumPy object is an error.
//! - **Nothing is allocated on the file's word.** Sizes that a header claims are compared with the bytes
//!   that are there; where that is not known beforehand (compressed data), memory grows with the bytes
//!   that arrive and stops at the claim.
//! - **A file is right to its last byte**: truncated data, trailing bytes, repeated names and overlapping
//!   ranges are errors.
//!
//! Every writer that takes a path leaves [a whole file or none](atomic).

pub mod atomic;
pub mod csv;
mod elements;
mod error;
pub mod idx;
pub mod npy;
pub mod npz;
pub mod safetensors;
mod source;

pub use error::{IoError, Place, Problem};

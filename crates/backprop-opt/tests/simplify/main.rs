//! The passes of `simplify`: each row by its text, and graphs by their values.

mod common;
mod graphs;
mod rows;
mod samples;

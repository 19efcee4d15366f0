//! Lowering: a graph with known sizes becomes a program.
//!
//! ```text
//! Records ──► read: ops as items, seen through views ──► group: which share loops ──► storage: what is kept in memory
//!         ──► turn: which loops are inside ──► emit, nest: steps
//!         ──► join: small nests made one ──► plan: the arena
//! ```

mod axes;
mod contract;
mod emit;
mod group;
mod item;
mod join;
mod nest;
mod pick;
mod plan;
mod read;
mod scalar;
mod storage;
mod time;
mod turn;
mod view;

use backprop_core::{Body, Records, ValueId};

use crate::loops::Program;

/// What decides how a graph is lowered, beside the graph.
#[derive(Clone, Debug)]
pub struct Options {
    /// The bytes of a vector of the machine that sums are ordered for: 64 for AVX-512, 32 for AVX2.
    pub vector_bytes: usize,
    /// For each output, whether its values are watched; see [`Store::watched`](crate::loops::Store::watched).
    pub watched: Vec<bool>,
}

impl Default for Options {
    fn default() -> Options {
        Options { vector_bytes: 64, watched: Vec::new() }
    }
}

/// The program that computes `outputs` from `inputs`.
///
/// All sizes in `records` are numbers, what the outputs need is well typed, and its inputs are given.
///
/// # Panics
/// One of these does not hold.
pub fn lower(records: &Records, inputs: &[ValueId], outputs: &[ValueId], options: &Options) -> Program {
    if let Some(program) = scalar::lower(records, inputs, outputs, options) {
        debug_assert_eq!(program.verify(), Ok(()));
        return program;
    }
    let mut items = item::Items::new(records, inputs, outputs);
    let outputs = items.outputs(records, outputs, &options.watched);
    let groups = group::Groups::new(&mut items, &outputs);
    let stored = storage::stored(&mut items, &groups, &outputs);
    let turns = turn::Turns::new(&items, &groups, &stored, |datum| outputs.contains(&datum));
    let mut program =
        emit::Emitter::new(records, &mut items, &groups, &stored, &turns, &outputs, options).run();
    program.steps = join::joined(program.steps);
    plan::plan(&mut program);
    debug_assert_eq!(program.verify(), Ok(()));
    program
}

fn lower_body(body: &Body, options: &Options) -> Program {
    let options = Options { watched: Vec::new(), ..options.clone() };
    lower(body.records(), body.parameters(), body.outputs(), &options)
}

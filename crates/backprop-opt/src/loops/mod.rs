//! Loops: a graph for one set of sizes, as a backend sees it.
//!
//! ```text
//! Program
//!   buffers    numbers in memory: given, wanted, constant, or a part of the arena
//!   steps      in order:
//!     Nest         for each row { for each stage { for each column { scalar code } } }
//!     Contraction  y[b, i, j] = Σₖ a[b, i, k]·b[b, k, j], with scalar code on each element
//!     Call         an op by its own definition
//!     Cond, Scan   programs within the program
//! ```
//!
//! A backend names no op. What decides bits is data here: the order of every sum ([`Reduce::lanes`],
//! [`Contraction::k_block`]) and which products are fused ([`Instr::Fma`]); so two backends that follow it
//! agree bit for bit. [`Program::verify`] says what must hold: above all that no access leaves its buffer, on
//! which the unsafe code of backends rests.

mod begins;
mod code;
mod elements;
mod flow;
mod independent;
mod print;
mod verify;
mod work;

use std::sync::Arc;

use backprop_core::array::Sizes;
use backprop_core::{Array, DType, NodeId, Op, Type};

pub use begins::{Begins, Why};
pub use code::{Access, Code, Instr, Place, Reg, Strides};
pub use work::Work;

/// A buffer's number in its program.
pub type BufferId = u32;

/// A computation for one set of sizes.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Numbers in memory.
    pub buffers: Vec<Buffer>,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// The buffers that the caller gives, in the caller's order; only read.
    pub inputs: Vec<BufferId>,
    /// The buffers that the caller wants, in the caller's order. Their memory is the caller's, and no
    /// other buffer's.
    pub outputs: Vec<BufferId>,
    /// The bytes of the arena, programs of bodies included.
    pub arena_bytes: usize,
}

/// Row-major numbers in memory.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// The element type; `bool` takes a byte, 0 or 1.
    pub dtype: DType,
    /// The number of elements.
    pub len: usize,
    /// Where it lies.
    pub home: Home,
    /// What to call it: the name of the value in the graph, or its number.
    pub label: String,
}

/// Where a buffer lies.
#[derive(Clone, Debug)]
pub enum Home {
    /// Input `.0` of the program.
    Input(usize),
    /// Output `.0` of the program.
    Output(usize),
    /// Known when the program is made.
    Constant(Arc<Array>),
    /// In the arena, at this offset in bytes, a multiple of [`ALIGN`]. Other buffers may lie there before
    /// and after.
    Arena(usize),
}

/// What offsets in the arena, and the arena itself, are multiples of, in bytes.
pub const ALIGN: usize = 64;

/// One step, and the nodes of the graph that it computes.
#[derive(Clone, Debug)]
pub struct Step {
    /// What is done.
    pub kind: Kind,
    /// The nodes of the graph, in order.
    pub nodes: Vec<NodeId>,
    /// Why its loops are not those of steps before it.
    pub begins: Vec<Begins>,
}

/// What a step does.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Kind {
    Nest(Nest),
    Contraction(Box<Contraction>),
    Call(Call),
    Cond(Cond),
    Scan(Scan),
}

/// Loops around scalar code: for each row, each stage in turn; for each stage, each column.
///
/// ```text
/// for row in rows:                      softmax of f32[128, 10]: rows [128]
///     locals of sums start anew
///     for stage in stages:              max · Σ exp(x − max) · the quotients
///         for column in columns:        [10], for code on a whole row: []
///             code; stores; reduces
/// ```
///
/// Loops are outermost first; the last column loop is the one to make vectors of. A row or column loop of
/// size 0 does nothing, but accumulators in buffers are still set to their start.
#[derive(Clone, Debug, Default)]
pub struct Nest {
    /// The sizes of the row loops.
    pub rows: Sizes,
    /// What lives as long as one row.
    pub locals: Vec<Local>,
    /// What reductions add to: set to the start of its [`Fold`], a buffer once before the first row, a
    /// local at the start of each row.
    pub accumulators: Vec<(Place, Fold)>,
    /// What is done for each row, in order.
    pub stages: Vec<Stage>,
}

/// Numbers that live as long as one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// The element type.
    pub dtype: DType,
    /// The number of elements.
    pub len: usize,
}

/// Scalar code for each column of a row.
#[derive(Clone, Debug, Default)]
pub struct Stage {
    /// The sizes of the column loops.
    pub columns: Sizes,
    /// The scalar code.
    pub code: Code,
    /// Values that are written, in order.
    pub stores: Vec<Store>,
    /// Values that are folded together, in order.
    pub reduces: Vec<Reduce>,
}

/// A value that is written.
///
/// No two iterations of the nest write the same element. All loads of an iteration come before its stores,
/// so code may overwrite what it has just read; what an iteration stores, no other iteration of the same stage
/// loads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// The value.
    pub value: Reg,
    /// Where to.
    pub to: Access,
    /// Whether a value that is not finite is told to the caller ([`Outcome::is_not_finite`]).
    pub watched: bool,
}

/// A value that is folded over iterations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reduce {
    /// How.
    pub fold: Fold,
    /// The value.
    pub value: Reg,
    /// An accumulator. The column loops after the last one that moves it are folded, in the order that `lanes`
    /// says, once for each iteration of the loops around them ([`Reduce::n_around`]). Where the last column loop
    /// moves it, `acc = fold(acc, value)` in the order of the loops.
    pub into: Access,
    /// Where loops are folded: the number of partial results, a power of two. Each starts as the fold does; column
    /// (.., c) of the last loop, in the order of the loops, goes to partial result c mod lanes; at the end the upper
    /// half is folded onto the lower half, `p[i] = fold(p[i], p[i + n/2])`, until one is left, and that onto the
    /// accumulator: `acc = fold(acc, p[0])`.
    pub lanes: usize,
}

/// An operation that folds many values into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fold {
    /// acc + x, from 0; integers wrap.
    Sum,
    /// x if x > acc or x is NaN, else acc; from −∞, or the least integer. Once NaN, acc stays NaN.
    Max,
    /// acc or x, of truth values, from false.
    Any,
}

/// y[.., i, j] = Σₖ a[.., i, k]·b[.., k, j], and scalar code on each y.
///
/// Each sum is cut into blocks of `k_block`. A block is p = 0, then p = fma(a, b, p) for each k in
/// increasing order (integers: wrapping product and sum); the blocks' results are added in order, y = p₀, then
/// y = y + pᵢ. Without any k, y = 0.
#[derive(Clone, Debug)]
pub struct Contraction {
    /// The element type of a, b and y; not `bool`.
    pub dtype: DType,
    /// The sizes of the batch loops.
    pub batch: Sizes,
    /// The number of rows of a and y.
    pub m: usize,
    /// The number of columns of b and y.
    pub n: usize,
    /// The number of products in each sum.
    pub k: usize,
    /// The number of products in a block, at least 1.
    pub k_block: usize,
    /// The left factor: element (i, k).
    pub a: Factor,
    /// The right factor: element (k, j).
    pub b: Factor,
    /// What is done with each y, which is [`Instr::Product`]. Rows are the batch loops and i; the one column
    /// loop is j. It reduces nothing.
    pub stage: Stage,
}

/// A factor of a contraction: a matrix for each batch, anywhere in a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Factor {
    /// The buffer.
    pub buffer: BufferId,
    /// The element where the first batch starts.
    pub offset: isize,
    /// How many elements apart neighbours are, for each batch loop.
    pub batch_strides: Strides,
    /// How many elements apart neighbours are along the first axis.
    pub row_stride: isize,
    /// How many elements apart neighbours are along the second axis.
    pub column_stride: isize,
}

/// An op that runs by its own definition, on arrays made for it.
#[derive(Clone, Debug)]
pub struct Call {
    /// The op; its dimensions are numbers.
    pub op: Op,
    /// The operands, row-major, and their types.
    pub inputs: Vec<(BufferId, Type)>,
    /// The results; a result that nobody reads has no buffer.
    pub outputs: Vec<(Option<BufferId>, Type)>,
}

/// One of two programs, chosen by a truth value.
#[derive(Clone, Debug)]
pub struct Cond {
    /// The truth value.
    pub condition: BufferId,
    /// What the programs are given: the captures.
    pub inputs: Vec<BufferId>,
    /// What the programs give.
    pub outputs: Vec<BufferId>,
    /// Run where the condition holds.
    pub then: Box<Program>,
    /// Run where it does not.
    pub otherwise: Box<Program>,
    /// Where the arena of the chosen program starts within this program's, in bytes.
    pub arena: usize,
}

/// A program run again and again. Its inputs: k (i64), the carries, a slice of each x, the captures. Its
/// outputs: the next carries, a slice of each y. Slices are of the first axis, in the order of k.
#[derive(Clone, Debug)]
pub struct Scan {
    /// One iteration.
    pub body: Box<Program>,
    /// The number of iterations.
    pub length: usize,
    /// Whether k runs from length − 1 down to 0.
    pub reverse: bool,
    /// The carries at the start.
    pub carries: Vec<BufferId>,
    /// What is sliced.
    pub xs: Vec<BufferId>,
    /// What every iteration sees.
    pub captures: Vec<BufferId>,
    /// The carries at the end.
    pub last: Vec<BufferId>,
    /// What is put together from slices.
    pub ys: Vec<BufferId>,
    /// Room for the carries of odd and of even iterations: two buffers of this program for each, and
    /// nobody else's meanwhile.
    pub room: Vec<[BufferId; 2]>,
    /// Where k lies: an i64 of this program.
    pub counter: BufferId,
    /// Where the arena of the body starts within this program's, in bytes.
    pub arena: usize,
}

/// What a run met on its way. The results are complete all the same; whether they may be used is the
/// caller's matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// A fault in the data: an integer divided by zero, an index out of range. (The result is 0 there.)
    pub is_faulty: bool,
    /// A watched store of a value that is not finite.
    pub is_not_finite: bool,
}

impl Reduce {
    /// The number of column loops, of these sizes, around those that are folded.
    pub fn n_around(&self, columns: &[usize]) -> usize {
        let moves = |&loop_: &usize| self.into.columns[loop_] != 0 && columns[loop_] > 1;
        (0..columns.len()).rev().find(moves).map_or(0, |last| last + 1)
    }

    /// Whether columns are folded through partial results; else each is folded onto its element of the accumulator.
    pub fn folds_columns(&self, columns: &[usize]) -> bool {
        columns.is_empty() || self.n_around(columns) < columns.len()
    }
}

impl Program {
    /// A buffer.
    pub fn buffer(&self, id: BufferId) -> &Buffer {
        &self.buffers[id as usize]
    }

    /// For each buffer, the first and the last step that touches it; `None` for what no step touches.
    pub fn lives(&self) -> Vec<Option<(usize, usize)>> {
        let mut lives: Vec<Option<(usize, usize)>> = vec![None; self.buffers.len()];
        for (at, step) in self.steps.iter().enumerate() {
            step.kind.visit(&mut |id| lives[id as usize].get_or_insert((at, at)).1 = at);
        }
        lives
    }
}

impl Kind {
    /// Calls `visit` with every buffer that the step reads or writes, as often as it names it.
    pub fn visit(&self, visit: &mut dyn FnMut(BufferId)) {
        match self {
            Kind::Nest(nest) => {
                nest.accumulators.iter().for_each(|(place, _)| place.visit(visit));
                nest.stages.iter().for_each(|stage| stage.visit(visit));
            }
            Kind::Contraction(contraction) => {
                visit(contraction.a.buffer);
                visit(contraction.b.buffer);
                contraction.stage.visit(visit);
            }
            Kind::Call(call) => {
                call.inputs.iter().for_each(|(id, _)| visit(*id));
                call.outputs.iter().filter_map(|(id, _)| *id).for_each(visit);
            }
            Kind::Cond(cond) => {
                visit(cond.condition);
                cond.inputs.iter().chain(&cond.outputs).copied().for_each(visit);
            }
            Kind::Scan(scan) => {
                visit(scan.counter);
                let lists = [&scan.carries, &scan.xs, &scan.captures, &scan.last, &scan.ys];
                lists.into_iter().flatten().chain(scan.room.as_flattened()).copied().for_each(visit);
            }
        }
    }
}

impl Kind {
    /// The programs within the step, and what to call them.
    pub fn bodies(&self) -> Vec<(&'static str, &Program)> {
        match self {
            Kind::Nest(_) | Kind::Contraction(_) | Kind::Call(_) => Vec::new(),
            Kind::Cond(cond) => vec![("then", &cond.then), ("otherwise", &cond.otherwise)],
            Kind::Scan(scan) => vec![("body", &scan.body)],
        }
    }
}

impl Stage {
    fn visit(&self, visit: &mut dyn FnMut(BufferId)) {
        for instr in &self.code.instrs {
            if let Instr::Load(access) | Instr::Gather { access, .. } = *instr {
                self.code.accesses[access as usize].place.visit(visit);
            }
        }
        self.stores.iter().for_each(|store| store.to.place.visit(visit));
        self.reduces.iter().for_each(|reduce| reduce.into.place.visit(visit));
    }

    /// Every access.
    pub(crate) fn accesses_mut(&mut self) -> impl Iterator<Item = &mut Access> {
        let stores = self.stores.iter_mut().map(|store| &mut store.to);
        let reduces = self.reduces.iter_mut().map(|reduce| &mut reduce.into);
        self.code.accesses.iter_mut().chain(stores).chain(reduces)
    }
}

impl Place {
    fn visit(self, visit: &mut dyn FnMut(BufferId)) {
        if let Place::Buffer(id) = self {
            visit(id);
        }
    }
}

impl Buffer {
    /// The number of bytes.
    pub fn bytes(&self) -> usize {
        self.len * self.dtype.size()
    }
}

impl Contraction {
    /// The sizes of the loops that are the rows of its stage.
    pub fn rows(&self) -> Sizes {
        self.batch.iter().copied().chain([self.m]).collect()
    }
}

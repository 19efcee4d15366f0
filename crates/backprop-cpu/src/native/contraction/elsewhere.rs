//! Stages that no inline code is written for: functions such as tanh, strides of all kinds. They run as a nest
//! over a chunk of products in scratch memory.

use backprop_opt::loops::{
    Access, Buffer, Code, Contraction, Home, Instr, Local, Nest, Place, Program, Stage, Store, Strides,
};

use super::plan::Plan;
use super::roles::Spot;
use crate::kernel::Kernel;
use crate::native::{self, Isa};

/// The nest over `n_lanes` products in each row of a chunk. Its buffers are the products, then one for each slot of
/// the plan's stage, from the element on that the chunk meets first.
pub(super) fn nest(plan: &Plan, n_lanes: usize, isa: Isa) -> Option<Box<dyn Kernel>> {
    let n_rows = plan.chunk * plan.tiles.largest();
    let stage = plan.stage.elsewhere.as_ref()?;
    let mut program = Program::default();
    let mut buffer = |dtype, len| {
        let home = Home::Output(program.buffers.len());
        program.outputs.push(program.buffers.len() as u32);
        program.buffers.push(Buffer { dtype, len, home, label: String::new() });
    };
    buffer(plan.vectors.dtype, n_rows * plan.pitch() / plan.vectors.dtype.size());
    // Only pointers to the first elements are known to the nest; how far their buffers reach was verified.
    let spots = plan.stage.slots.iter().map(|slot| &slot.spot);
    spots.for_each(|spot| buffer(spot.dtype, spot.reach(n_rows, n_lanes)));
    let nest = Nest {
        rows: [n_rows].into_iter().collect(),
        // What lives as long as a row keeps rows apart: each is a unit, and a chunk may have fewer.
        locals: vec![Local { dtype: plan.vectors.dtype, len: 1 }],
        stages: vec![Stage { columns: [n_lanes].into_iter().collect(), ..stage.clone() }],
        ..Nest::default()
    };
    let kernel = native::nest(&program, &nest, isa)?;
    (kernel.n_units() == n_rows).then_some(kernel)
}

/// The stage with products loaded from buffer 0, and what access number s names in buffer 1 + s; `None` if it asks
/// where it is.
pub(super) fn over_products(contraction: &Contraction, pitch: usize, spots: &[Spot]) -> Option<Stage> {
    let mut code = Code { accesses: Vec::new(), ..contraction.stage.code.clone() };
    let mut access = |buffer: usize, row: isize, lane: isize| {
        code.accesses.push(Access {
            place: Place::Buffer(buffer as u32),
            offset: 0,
            rows: Strides::from_slice(&[row]),
            columns: Strides::from_slice(&[lane]),
        });
    };
    let n_accesses = contraction.stage.code.accesses.len();
    spots.iter().enumerate().for_each(|(slot, spot)| access(1 + slot, spot.row, spot.lane));
    access(0, pitch as isize, 1);
    let product = code.accesses.len() as u32 - 1;
    for instr in &mut code.instrs {
        match instr {
            Instr::Count(_) => return None,
            Instr::Product => *instr = Instr::Load(product),
            _ => {}
        }
    }
    let stores = contraction
        .stage
        .stores
        .iter()
        .enumerate()
        .map(|(number, store)| Store { to: code.accesses[n_accesses + number].clone(), ..store.clone() });
    let stores = stores.collect();
    Some(Stage { columns: contraction.stage.columns.clone(), code, stores, reduces: Vec::new() })
}

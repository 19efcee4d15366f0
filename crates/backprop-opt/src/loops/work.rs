//! How much a step computes and moves.

use std::collections::HashSet;

use backprop_core::ops::{Binary, Unary};

use super::{Access, Instr, Kind, Place, Program, Stage};

/// What a step computes and moves, from its loops alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Floating-point operations: + − × and comparisons 1, ÷ and √ 4, other functions 20.
    pub flops: u64,
    /// Bytes of buffers that are read or written, each once.
    pub bytes: u64,
}

impl Kind {
    /// The work of a step; of control flow and ops by their own definition, what is known before they run:
    /// nothing.
    pub fn work(&self, program: &Program) -> Work {
        let product = |sizes: &[usize]| sizes.iter().map(|&size| size as u64).product::<u64>();
        match self {
            Kind::Nest(nest) => {
                let rows = product(&nest.rows);
                let flops =
                    nest.stages.iter().map(|stage| rows * product(&stage.columns) * stage.flops()).sum();
                let touched = nest.stages.iter().flat_map(|stage| {
                    stage.accesses().into_iter().map(|access| (access, &nest.rows[..], &stage.columns[..]))
                });
                Work { flops, bytes: bytes(program, touched) }
            }
            Kind::Contraction(contraction) => {
                let stage = &contraction.stage;
                let rows = contraction.rows();
                let n = product(&rows) * product(&stage.columns);
                let factors = [(contraction.m, contraction.k), (contraction.k, contraction.n)];
                let factors = factors.map(|(rows, columns)| {
                    product(&contraction.batch) * (rows * columns) as u64 * contraction.dtype.size() as u64
                });
                let touched =
                    stage.accesses().into_iter().map(|access| (access, &rows[..], &stage.columns[..]));
                Work {
                    flops: n * (2 * contraction.k as u64 + stage.flops()),
                    bytes: factors.iter().sum::<u64>() + bytes(program, touched),
                }
            }
            Kind::Call(_) | Kind::Cond(_) | Kind::Scan(_) => Work::default(),
        }
    }
}

impl Stage {
    /// The floating-point operations of one iteration, as [`Work::flops`] counts them.
    pub fn flops(&self) -> u64 {
        let cost = |instr: &Instr| match instr {
            Instr::Unary(Unary::Sqrt | Unary::Reciprocal, _) | Instr::Binary(Binary::Div, ..) => 4,
            Instr::Unary(
                Unary::Neg
                | Unary::Abs
                | Unary::Sign
                | Unary::Square
                | Unary::Floor
                | Unary::Ceil
                | Unary::Round,
                _,
            ) => 1,
            Instr::Unary(..) | Instr::Binary(Binary::Pow, ..) => 20,
            Instr::Binary(..) | Instr::Compare(..) => 1,
            Instr::Fma(..) => 2,
            _ => 0,
        };
        self.code.instrs.iter().map(cost).sum::<u64>() + self.reduces.len() as u64
    }

    fn accesses(&self) -> Vec<&Access> {
        let loads = self.code.instrs.iter().filter_map(|instr| match *instr {
            Instr::Load(access) | Instr::Gather { access, .. } => Some(&self.code.accesses[access as usize]),
            _ => None,
        });
        let written = self.stores.iter().map(|store| &store.to);
        loads.chain(written).chain(self.reduces.iter().map(|reduce| &reduce.into)).collect()
    }
}

/// The bytes of the buffers behind accesses: elements that no loop moves count once.
fn bytes<'a>(
    program: &Program,
    touched: impl Iterator<Item = (&'a Access, &'a [usize], &'a [usize])>,
) -> u64 {
    let mut seen = HashSet::new();
    let mut bytes = 0;
    for (access, rows, columns) in touched {
        let Place::Buffer(id) = access.place else { continue };
        if !seen.insert((id, access.offset, &access.rows, &access.columns)) {
            continue;
        }
        let loops = access.rows.iter().zip(rows).chain(access.columns.iter().zip(columns));
        let n: u64 = loops.filter(|(stride, _)| **stride != 0).map(|(_, &size)| size as u64).product();
        bytes += n * program.buffer(id).dtype.size() as u64;
    }
    bytes
}

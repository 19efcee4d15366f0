//! Which row loops of a nest threads may share out.

use super::{Access, Instr, Nest, Place, Program, Stage};

impl Nest {
    /// The number of first row loops whose iterations do not meet: no two store the same element (see
    /// [`Store`](super::Store)), and each has its own part of every accumulator in a buffer, which it alone reads.
    /// Together these parts are the whole accumulator: so whoever starts an iteration's own part has started all of
    /// it, when all have run.
    pub fn n_independent_rows(&self, program: &Program) -> usize {
        let reduces = || self.stages.iter().flat_map(|stage| stage.reduces.iter().map(move |r| (stage, r)));
        let mut n = self.rows.len();
        for &(place, _) in &self.accumulators {
            let Place::Buffer(id) = place else { continue };
            let mut into = reduces().filter(|(_, reduce)| reduce.into.place == place);
            let Some((stage, first)) = into.next() else { return 0 };
            let rows = &first.into.rows;
            n = n.min(rows.iter().take_while(|&&stride| stride != 0).count());
            let is_one =
                into.all(|(other, reduce)| reduce.into == first.into && other.columns == stage.columns);
            let is_read_alike = self.reads(place).all(|access| access.rows[..n] == rows[..n]);
            if !is_one || !is_read_alike || !self.names_all(&first.into, stage, program.buffer(id).len) {
                return 0;
            }
        }
        n
    }

    /// The accesses that read a place.
    pub fn reads(&self, place: Place) -> impl Iterator<Item = &Access> {
        let read = |stage: &'_ Stage| -> Vec<u32> {
            let instrs = stage.code.instrs.iter();
            instrs
                .filter_map(|instr| match *instr {
                    Instr::Load(access) | Instr::Gather { access, .. } => Some(access),
                    _ => None,
                })
                .collect()
        };
        self.stages
            .iter()
            .flat_map(move |stage| {
                read(stage).into_iter().map(|access| &stage.code.accesses[access as usize])
            })
            .filter(move |access| access.place == place)
    }

    /// Whether an access of a stage, over all iterations, names each of `len` elements, and none of them twice but
    /// along loops that do not move it.
    pub fn names_all(&self, access: &Access, stage: &Stage, len: usize) -> bool {
        let rows = access.rows.iter().zip(&self.rows);
        let mut loops: Vec<(usize, usize)> = rows
            .chain(access.columns.iter().zip(&stage.columns))
            .filter(|&(&stride, &size)| stride != 0 && size != 1)
            .map(|(&stride, &size)| (stride.unsigned_abs(), size))
            .collect();
        loops.sort_unstable();
        let mut covered = 1;
        for (stride, size) in loops {
            if stride != covered {
                return false;
            }
            covered *= size;
        }
        covered == len
    }
}

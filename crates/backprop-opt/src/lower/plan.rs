//! The memory plan: a place in the arena for every buffer, from its first to its last step.

use std::collections::BTreeMap;

use crate::loops::{ALIGN, BufferId, Home, Instr, Kind, Place, Program, Stage};

/// Finds a place for every buffer of the arena and for the arenas of bodies.
pub fn plan(program: &mut Program) {
    let lives = program.lives();
    let mut arena = Arena::default();
    let mut place: Vec<usize> = vec![usize::MAX; program.buffers.len()];
    let mut begins: Vec<Vec<BufferId>> = vec![Vec::new(); program.steps.len()];
    let mut ends: Vec<Vec<BufferId>> = vec![Vec::new(); program.steps.len()];
    for (id, life) in lives.iter().enumerate() {
        if let Some((first, last)) = *life
            && matches!(program.buffers[id].home, Home::Arena(_))
        {
            begins[first].push(id as BufferId);
            ends[last].push(id as BufferId);
        }
    }
    for at in 0..program.steps.len() {
        let mut taken: Vec<BufferId> = Vec::new();
        for &new in &begins[at] {
            let (size, bytes) = (program.buffer(new).dtype.size(), rounded(program.buffer(new).bytes()));
            let over = ends[at].iter().copied().find(|&old| {
                !taken.contains(&old)
                    && !begins[at].contains(&old)
                    && program.buffer(old).dtype.size() == size
                    && rounded(program.buffer(old).bytes()) == bytes
                    && may_overwrite(&program.steps[at].kind, old, new)
            });
            place[new as usize] = match over {
                Some(old) => {
                    taken.push(old);
                    place[old as usize]
                }
                None => arena.take(bytes),
            };
        }
        // A body's arena is needed for this step only.
        let block = match &mut program.steps[at].kind {
            Kind::Cond(cond) => {
                let bytes = rounded(cond.then.arena_bytes.max(cond.otherwise.arena_bytes));
                cond.arena = arena.take(bytes);
                Some((cond.arena, bytes))
            }
            Kind::Scan(scan) => {
                let bytes = rounded(scan.body.arena_bytes);
                scan.arena = arena.take(bytes);
                Some((scan.arena, bytes))
            }
            _ => None,
        };
        if let Some((offset, bytes)) = block {
            arena.give(offset, bytes);
        }
        for &old in ends[at].iter().filter(|&old| !taken.contains(old)) {
            arena.give(place[old as usize], rounded(program.buffer(old).bytes()));
        }
    }
    for (id, buffer) in program.buffers.iter_mut().enumerate() {
        if matches!(buffer.home, Home::Arena(_)) {
            // A buffer that no step touches lies anywhere; it holds nothing.
            match place[id] {
                usize::MAX => {
                    buffer.home = Home::Arena(0);
                    buffer.len = 0;
                }
                offset => buffer.home = Home::Arena(offset),
            }
        }
    }
    program.arena_bytes = arena.end;
}

fn rounded(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGN)
}

/// Whether a step may write one buffer over another that it reads for the last time: each iteration overwrites
/// what only itself has read, and read before. (`loops::flow` judges it again, by a rule of its own.)
fn may_overwrite(kind: &Kind, old: BufferId, new: BufferId) -> bool {
    let stages: &[Stage] = match kind {
        Kind::Nest(nest) => {
            if nest.accumulators.iter().any(|(place, _)| *place == Place::Buffer(new)) {
                return false;
            }
            &nest.stages
        }
        Kind::Contraction(contraction) => {
            if [&contraction.a, &contraction.b].iter().any(|factor| factor.buffer == old) {
                return false;
            }
            std::slice::from_ref(&contraction.stage)
        }
        _ => return false,
    };
    let mut writes = Vec::new();
    for (at, stage) in stages.iter().enumerate() {
        let own = stage.stores.iter().filter(|store| store.to.place == Place::Buffer(new));
        writes.extend(own.map(|store| (at, &store.to)));
    }
    let [(written_at, to)] = writes[..] else { return false };
    stages.iter().enumerate().all(|(at, stage)| {
        stage.code.instrs.iter().all(|instr| match *instr {
            Instr::Load(access) => {
                let access = &stage.code.accesses[access as usize];
                match access.place {
                    Place::Buffer(id) if id == old => {
                        at <= written_at
                            && (access.offset, &access.rows, &access.columns)
                                == (to.offset, &to.rows, &to.columns)
                            && stage.columns == stages[written_at].columns
                    }
                    // What is written may be read again, by the same iteration only.
                    _ => true,
                }
            }
            Instr::Gather { access, .. } => stage.code.accesses[access as usize].place != Place::Buffer(old),
            _ => true,
        })
    })
}

/// An arena that grows where nothing free is large enough.
#[derive(Default)]
struct Arena {
    /// Free blocks: where, how many bytes.
    free: BTreeMap<usize, usize>,
    end: usize,
}

impl Arena {
    fn take(&mut self, bytes: usize) -> usize {
        let fitting = self.free.iter().filter(|(_, size)| **size >= bytes).min_by_key(|(_, size)| **size);
        if let Some((&offset, &size)) = fitting {
            self.free.remove(&offset);
            if size > bytes {
                self.free.insert(offset + bytes, size - bytes);
            }
            return offset;
        }
        // The last free block grows, where it is at the end.
        let last = self.free.last_key_value().map(|(&offset, &size)| (offset, size));
        let offset = match last {
            Some((offset, size)) if offset + size == self.end => {
                self.free.remove(&offset);
                offset
            }
            _ => self.end,
        };
        self.end = offset + bytes;
        offset
    }

    fn give(&mut self, offset: usize, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let (mut offset, mut bytes) = (offset, bytes);
        if let Some(size) = self.free.remove(&(offset + bytes)) {
            bytes += size;
        }
        let before = self.free.range(..offset).next_back().map(|(&start, &size)| (start, size));
        if let Some((start, size)) = before.filter(|(start, size)| start + size == offset) {
            self.free.remove(&start);
            (offset, bytes) = (start, bytes + size);
        }
        self.free.insert(offset, bytes);
    }
}

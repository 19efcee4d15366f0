//! The memory of one caller's runs.

use std::alloc::{Layout, alloc, dealloc};
use std::ptr::NonNull;

use backprop_core::array::buffer::{LARGE, PAGE, on_large_pages};
use backprop_opt::loops::ALIGN;

use super::pool::Pool;

/// Memory and threads for runs of one [`Compiled`](super::Compiled) at a time, reused from run to run.
pub struct Arena {
    /// The compiled program that it is laid out for; `None` at first.
    pub(super) owner: Option<u64>,
    pub(super) memory: Memory,
    /// Where each buffer lies, of the program and of the bodies in it.
    pub(super) pointers: Vec<*mut u8>,
    /// Where the scratch of the first thread starts, and how far on the next one's is.
    pub(super) scratch: usize,
    pub(super) scratch_step: usize,
    pub(super) pool: Option<Pool>,
    /// Room for the pointers of a run.
    pub(super) from: Vec<*const u8>,
    pub(super) to: Vec<*mut u8>,
}

// SAFETY: the pointers go to the arena's own memory, to constants that its `Compiled` holds, or to what the
// caller lends for a run; none is used but by a run, which borrows the arena mutably.
unsafe impl Send for Arena {}

impl Arena {
    /// Memory that is not laid out, and threads; `None` where there is no memory for it.
    pub(super) fn new(bytes: usize, pool: Option<Pool>) -> Option<Arena> {
        Some(Arena {
            owner: None,
            memory: Memory::new(bytes)?,
            pointers: Vec::new(),
            scratch: 0,
            scratch_step: 0,
            pool,
            from: Vec::new(),
            to: Vec::new(),
        })
    }

    /// The bytes of its memory.
    pub fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    /// The threads that runs on it have: fewer than were asked for where the system refuses some.
    pub fn n_threads(&self) -> usize {
        self.pool.as_ref().map_or(1, Pool::n_threads)
    }
}

/// Bytes on the heap, zeros at first.
pub(super) struct Memory {
    start: NonNull<u8>,
    layout: Layout,
}

impl Memory {
    /// `None` where there is no memory for it.
    pub fn new(bytes: usize) -> Option<Memory> {
        let align = if bytes >= LARGE { PAGE } else { ALIGN };
        let layout = Layout::from_size_align(bytes.max(ALIGN), align).ok()?;
        // SAFETY: the layout is not empty.
        let start = NonNull::new(unsafe { alloc(layout) })?;
        on_large_pages(start, layout.size());
        // SAFETY: the memory is there, and nobody else's.
        unsafe { start.write_bytes(0, layout.size()) };
        Some(Memory { start, layout })
    }

    pub fn bytes(&self) -> usize {
        self.layout.size()
    }

    pub fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and given back once.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

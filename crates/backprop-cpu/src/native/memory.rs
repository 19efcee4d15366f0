//! Pages of machine code: written, then made executable; never both.

/// Machine code that can run.
#[derive(Debug)]
pub struct CodePages {
    start: *mut u8,
    len: usize,
}

// SAFETY: the pages are only read once they are made.
unsafe impl Send for CodePages {}
// SAFETY: as above.
unsafe impl Sync for CodePages {}

impl CodePages {
    /// Copies code into fresh pages; `None` where the system refuses them.
    pub fn new(code: &[u8]) -> Option<CodePages> {
        let len = code.len().max(1);
        // SAFETY: fresh private pages, at a place that the system chooses.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return None;
        }
        let pages = CodePages { start: start.cast(), len };
        // SAFETY: the pages are ours, writable, and at least as long as the code.
        let refused = unsafe {
            std::ptr::copy_nonoverlapping(code.as_ptr(), pages.start, code.len());
            libc::mprotect(start, len, libc::PROT_READ | libc::PROT_EXEC)
        };
        (refused == 0).then_some(pages)
    }

    /// The address of the code.
    pub fn start(&self) -> *const u8 {
        self.start
    }
}

impl Drop for CodePages {
    fn drop(&mut self) {
        // SAFETY: the pages are ours, and nobody runs them any more.
        unsafe { libc::munmap(self.start.cast(), self.len) };
    }
}

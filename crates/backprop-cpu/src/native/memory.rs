//! Pages that hold machine code: written first, then made executable, never both at once.

use super::assembler::Finished;

/// Machine code in pages of its own; they go back to the system on drop.
#[derive(Debug)]
pub struct CodePages {
    start: *mut u8,
    bytes: usize,
    code_bytes: usize,
}

// SAFETY: the pages are read and run, and written by nobody from `CodePages::new` on.
unsafe impl Send for CodePages {}
// SAFETY: as for `Send`.
unsafe impl Sync for CodePages {}

impl CodePages {
    /// The address of the code: the start of a page.
    pub fn start(&self) -> *const u8 {
        self.start
    }

    /// Instructions, and behind them the numbers that they read.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the pages are readable, initialised this far, and unchanged while `self` lives.
        unsafe { std::slice::from_raw_parts(self.start, self.bytes) }
    }

    /// The instructions.
    pub fn code(&self) -> &[u8] {
        &self.bytes()[..self.code_bytes]
    }
}

#[cfg(unix)]
impl CodePages {
    /// Maps `code`; `None` where the system refuses, or there is none.
    pub fn new(code: &Finished) -> Option<CodePages> {
        let len = code.bytes.len();
        if len == 0 {
            return None;
        }
        // SAFETY: a new private mapping touches nothing that exists.
        let start = unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(std::ptr::null_mut(), len, access, libc::MAP_PRIVATE | libc::MAP_ANON, -1, 0)
        };
        if start == libc::MAP_FAILED {
            return None;
        }
        // Dropped on refusal below.
        let pages = CodePages { start: start.cast(), bytes: len, code_bytes: code.code_bytes };
        // SAFETY: the mapping has `len` writable bytes, and is nobody else's.
        unsafe { std::ptr::copy_nonoverlapping(code.bytes.as_ptr(), pages.start, len) };
        // SAFETY: the mapping is ours; from here on nobody writes it.
        let refused = unsafe { libc::mprotect(start, len, libc::PROT_READ | libc::PROT_EXEC) };
        (refused == 0).then_some(pages)
    }
}

#[cfg(unix)]
impl Drop for CodePages {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length; nothing borrowed from it outlives `self`.
        unsafe { libc::munmap(self.start.cast(), self.bytes) };
    }
}

#[cfg(not(unix))]
impl CodePages {
    /// `None`: here no code pages are asked for, and the portable engine runs.
    pub fn new(_code: &Finished) -> Option<CodePages> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(code: &[u8]) -> Finished {
        Finished { bytes: code.to_vec(), code_bytes: code.len() }
    }

    #[test]
    fn no_code_has_no_pages() {
        assert!(CodePages::new(&finished(&[])).is_none());
    }

    // Miri runs no machine code.
    #[cfg(all(unix, target_arch = "x86_64", not(miri)))]
    #[test]
    fn code_runs_where_it_was_put() {
        // mov eax, 12345; ret
        let pages = CodePages::new(&finished(&[0xb8, 0x39, 0x30, 0, 0, 0xc3])).expect("code pages");
        assert_eq!(pages.code().len(), 6);
        // SAFETY: the code is a whole function of this type.
        let run: extern "sysv64" fn() -> i32 = unsafe { std::mem::transmute(pages.start()) };
        assert_eq!(run(), 12345);
    }
}

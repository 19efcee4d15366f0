//! Memory right before, or right after, a page that nobody may touch: whoever leaves it ends the process.

/// Where the page is that nobody may touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The buffer starts where it ends.
    Before,
    /// The buffer ends where it starts.
    After,
}

/// Bytes between two pages that nobody may touch, against one of them.
pub(crate) struct Guarded {
    map: *mut u8,
    map_bytes: usize,
    base: *mut u8,
    len: usize,
}

const PAGE: usize = 4096;

impl Guarded {
    /// A copy of bytes, aligned to `align`.
    ///
    /// # Panics
    /// The system gives no pages.
    pub fn new(bytes: &[u8], align: usize, side: Side) -> Guarded {
        let inner = bytes.len().next_multiple_of(PAGE);
        let map_bytes = inner + 2 * PAGE;
        // SAFETY: a new mapping; what is written lies inside, between the two pages.
        unsafe {
            let access = libc::MAP_PRIVATE | libc::MAP_ANON;
            let map = libc::mmap(std::ptr::null_mut(), map_bytes, libc::PROT_NONE, access, -1, 0);
            assert_ne!(map, libc::MAP_FAILED, "the system gives no pages");
            let map = map.cast::<u8>();
            if inner > 0 {
                let told = libc::mprotect(map.add(PAGE).cast(), inner, libc::PROT_READ | libc::PROT_WRITE);
                assert_eq!(told, 0, "the system lets nobody write its pages");
            }
            let base = match side {
                Side::Before => map.add(PAGE),
                Side::After => map.add(PAGE + (inner - bytes.len()) / align * align),
            };
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), base, bytes.len());
            Guarded { map, map_bytes, base, len: bytes.len() }
        }
    }

    /// Where the bytes start.
    pub fn base(&self) -> *mut u8 {
        self.base
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes were written there.
        unsafe { std::slice::from_raw_parts(self.base, self.len) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`.
        unsafe { libc::munmap(self.map.cast(), self.map_bytes) };
    }
}

//! Buffers right before, or right after, a page that nobody may touch.

/// Where the page is that nobody may touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The buffer starts where it ends.
    Before,
    /// The buffer ends where it starts.
    After,
}

/// Bytes between two pages that nobody may touch, against one of them.
pub struct Guarded {
    map: *mut u8,
    map_bytes: usize,
    base: *mut u8,
    len: usize,
}

const PAGE: usize = 4096;

impl Guarded {
    /// A copy of bytes, aligned to `align`.
    pub fn new(bytes: &[u8], align: usize, side: Side) -> Guarded {
        let inner = bytes.len().next_multiple_of(PAGE);
        let map_bytes = inner + 2 * PAGE;
        // SAFETY: a new mapping; what is written lies inside, between the two pages.
        unsafe {
            let access = libc::MAP_PRIVATE | libc::MAP_ANON;
            let map = libc::mmap(std::ptr::null_mut(), map_bytes, libc::PROT_NONE, access, -1, 0);
            assert_ne!(map, libc::MAP_FAILED);
            let map = map.cast::<u8>();
            if inner > 0 {
                assert_eq!(
                    libc::mprotect(map.add(PAGE).cast(), inner, libc::PROT_READ | libc::PROT_WRITE),
                    0
                );
            }
            let base = match side {
                Side::Before => map.add(PAGE),
                Side::After => map.add(PAGE + (inner - bytes.len()) / align * align),
            };
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), base, bytes.len());
            Guarded { map, map_bytes, base, len: bytes.len() }
        }
    }

    pub fn base(&self) -> *mut u8 {
        self.base
    }

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

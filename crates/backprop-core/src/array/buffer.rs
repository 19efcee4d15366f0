//! Where the elements of an array lie.
//!
//! Vector code is slower where vectors cross cache lines: by some 5 % a contraction that reads a weight where it
//! lies, by 2 % one that updates it (Zen 4). A `Vec` starts wherever the allocator likes; what [`Buffer::zeros`]
//! makes starts at a cache line, and a large buffer lies on large pages where the system has them: products of
//! 2048 × 2048 are 5 to 7 % faster there, and the first touch of their memory costs a fraction.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use super::Element;

/// A cache line.
const LINE: usize = 64;

/// Buffers from this many bytes on start at a line: about as much as a small page.
const ALIGNED: usize = 4 << 10;

/// A small page: advice is given of whole ones.
#[cfg(all(target_os = "linux", not(miri)))]
const SMALL_PAGE: usize = 4 << 10;

/// A large page. (Under Miri a small one: it takes minutes to look at 4 MiB.)
pub const PAGE: usize = if cfg!(miri) { 8 << 10 } else { 2 << 20 };

/// From this many bytes on, memory should lie on large pages: two at least, so that little is left over.
pub const LARGE: usize = 2 * PAGE;

/// A fixed number of elements: a `Vec`'s, or in memory that starts where vector code likes it.
#[derive(Debug)]
pub struct Buffer<T>(Kept<T>);

enum Kept<T> {
    Vec(Vec<T>),
    Aligned(Aligned<T>),
}

impl<T: Element> Buffer<T> {
    /// So many zeros; many of them start at a cache line.
    pub fn zeros(len: usize) -> Buffer<T> {
        match len.saturating_mul(size_of::<T>()) {
            ..ALIGNED => Buffer(Kept::Vec(vec![T::default(); len])),
            _ => Buffer(Kept::Aligned(Aligned::zeros(len))),
        }
    }

    /// The same elements where [`Buffer::zeros`] would have them; `None` if they are there.
    pub fn aligned(&self) -> Option<Buffer<T>> {
        if matches!(self.0, Kept::Aligned(_)) || size_of_val(&**self) < ALIGNED {
            return None;
        }
        let mut aligned = Buffer::zeros(self.len());
        aligned.copy_from_slice(self);
        Some(aligned)
    }
}

impl<T> Buffer<T> {
    /// The vector that it is, if it is one.
    pub(super) fn as_vec(&mut self) -> Option<&mut Vec<T>> {
        match &mut self.0 {
            Kept::Vec(values) => Some(values),
            Kept::Aligned(_) => None,
        }
    }
}

impl<T> From<Vec<T>> for Buffer<T> {
    fn from(values: Vec<T>) -> Buffer<T> {
        Buffer(Kept::Vec(values))
    }
}

impl<T> FromIterator<T> for Buffer<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Buffer<T> {
        let values = values.into_iter();
        let mut all = Vec::with_capacity(values.size_hint().0);
        if let Some(start) = NonNull::new(all.as_mut_ptr()) {
            on_large_pages(start.cast(), all.capacity().saturating_mul(size_of::<T>()));
        }
        all.extend(values);
        Buffer(Kept::Vec(all))
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            Kept::Vec(values) => values,
            Kept::Aligned(values) => values,
        }
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.0 {
            Kept::Vec(values) => values,
            Kept::Aligned(values) => values,
        }
    }
}

impl<T: PartialEq> PartialEq for Buffer<T> {
    fn eq(&self, other: &Buffer<T>) -> bool {
        **self == **other
    }
}

impl<T: Element> Clone for Buffer<T> {
    fn clone(&self) -> Buffer<T> {
        Buffer(match &self.0 {
            Kept::Vec(values) => Kept::Vec(values.clone()),
            Kept::Aligned(values) => Kept::Aligned(values.clone()),
        })
    }
}

impl<T: fmt::Debug> fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kept::Vec(values) => values.fmt(f),
            Kept::Aligned(values) => values.fmt(f),
        }
    }
}

/// Elements that start at a cache line, or at a large page, inside an allocation that is that much longer: memory
/// that is asked for with a large alignment is not known to be zero, and would be touched at once.
struct Aligned<T> {
    start: NonNull<T>,
    len: usize,
    allocation: NonNull<u8>,
    layout: Layout,
}

// SAFETY: it owns its elements, as a `Vec` does.
unsafe impl<T: Send> Send for Aligned<T> {}
// SAFETY: likewise.
unsafe impl<T: Sync> Sync for Aligned<T> {}

impl<T: Element> Aligned<T> {
    fn zeros(len: usize) -> Aligned<T> {
        let bytes = len.saturating_mul(size_of::<T>());
        let start_at = if bytes >= LARGE { PAGE } else { LINE };
        let layout = Layout::from_size_align(bytes.saturating_add(start_at), align_of::<T>())
            .expect("there is memory for an array that is made: its size was checked");
        // SAFETY: the layout is not empty.
        let Some(allocation) = NonNull::new(unsafe { alloc_zeroed(layout) }) else {
            handle_alloc_error(layout)
        };
        let skipped = allocation.align_offset(start_at);
        // SAFETY: at most `start_at` bytes are skipped, so `bytes` are left.
        let start = unsafe { allocation.add(skipped) };
        on_large_pages(start, bytes);
        // Zeros are an element of every type: `Element` is sealed.
        Aligned { start: start.cast(), len, allocation, layout }
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: so many elements are there, initialised, and aligned to more than their size.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: likewise, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T: Element> Clone for Aligned<T> {
    fn clone(&self) -> Aligned<T> {
        let mut copy = Aligned::zeros(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl<T> Drop for Aligned<T> {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and given back once. Elements are `Copy`: none has a `drop`.
        unsafe { dealloc(self.allocation.as_ptr(), self.layout) }
    }
}

/// Asks for the cache line of an element that will soon be read. It is only advice.
#[inline(always)]
pub fn prefetch<T>(element: &T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: it reads nothing that a program sees, and never fails.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(element).cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = element;
}

/// Asks for large pages for memory that has not been touched, if it is [`LARGE`]. It is only advice: contents stay
/// as they are.
pub fn on_large_pages(start: NonNull<u8>, bytes: usize) {
    if bytes < LARGE {
        return;
    }
    #[cfg(all(target_os = "linux", not(miri)))]
    // SAFETY: the call changes no contents, whoever's they are; it fails where nothing is.
    unsafe {
        let skipped = start.as_ptr().align_offset(SMALL_PAGE);
        let bytes = (bytes - skipped) / SMALL_PAGE * SMALL_PAGE;
        libc::madvise(start.as_ptr().wrapping_add(skipped).cast(), bytes, libc::MADV_HUGEPAGE)
    };
    #[cfg(any(not(target_os = "linux"), miri))]
    let _ = start;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_zeros_start_at_a_line_and_very_many_at_a_page() {
        // f32: four bytes each.
        let large = LARGE / 4;
        for (len, start_at) in
            [(0, 4), (1, 4), (1023, 4), (1024, LINE), (large - 1, LINE), (large, PAGE), (large + 3, PAGE)]
        {
            let mut buffer = Buffer::<f32>::zeros(len);
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_ptr() as usize % start_at, 0, "{len} elements");
            assert!(buffer.iter().all(|&x| x == 0.0), "{len} elements");
            buffer.iter_mut().for_each(|x| *x = 2.0);
            assert_eq!(buffer.clone(), buffer, "{len} elements");
        }
    }

    #[test]
    fn what_is_aligned_holds_the_same_elements() {
        for len in [0, 3, 4093, 4096, 5003] {
            let buffer: Buffer<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            match buffer.aligned() {
                None => assert!(len < ALIGNED),
                Some(aligned) => {
                    assert_eq!(aligned, buffer);
                    assert_eq!(aligned.as_ptr() as usize % LINE, 0);
                    assert_eq!(aligned.aligned(), None);
                }
            }
        }
    }
}

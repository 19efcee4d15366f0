//! Buffers that were given back, kept for the next result of their size.
//!
//! An eager step makes and frees the same arrays again and again. Asking the system each time costs
//! more than a small operation itself, and a large buffer's fresh pages cost more than filling them.
//! Each thread keeps at most [`MAX_BYTES`] per element type, and of each size class no more buffers
//! than it once had to make: arrays that were made elsewhere come back too (a batch, a constant), and
//! if all were kept, a long run would collect one more in every step. What comes back beyond that is
//! freed. So a loop whose steps are alike reaches a number of buffers and stays there.

use std::sync::Arc;

use super::{Array, Buffer, Data, Element};
use crate::with_data;

/// The most that a thread keeps of one element type: enough for the values of one step of a network
/// of some ten million activations.
pub const MAX_BYTES: usize = 256 << 20;

/// Kept buffers of one element type, by the power of two that their capacity holds.
#[doc(hidden)]
pub struct Shelf<T> {
    by_class: [Vec<Arc<Buffer<T>>>; usize::BITS as usize],
    /// How many buffers of each class were asked for when none was kept.
    made: [usize; usize::BITS as usize],
    bytes: usize,
}

impl<T> Shelf<T> {
    pub(crate) const fn new() -> Shelf<T> {
        let by_class = [const { Vec::new() }; usize::BITS as usize];
        Shelf { by_class, made: [0; usize::BITS as usize], bytes: 0 }
    }
}

/// The elements that `fill` writes into an empty vector with room for `len`.
pub fn filled<T: Element>(len: usize, fill: impl FnOnce(&mut Vec<T>)) -> Data {
    with_room(len, |values| {
        values.clear();
        fill(values);
    })
}

/// `len` elements that `write` writes all of. They hold anything before: nothing is cleared away.
pub fn overwritten<T: Element>(len: usize, write: impl FnOnce(&mut [T])) -> Data {
    with_room(len, |values: &mut Vec<T>| {
        values.resize(len, T::default());
        write(values);
    })
}

/// A vector with room for `len` elements, a kept one if there is one, as `fill` leaves it.
fn with_room<T: Element>(len: usize, fill: impl FnOnce(&mut Vec<T>)) -> Data {
    let class = len.max(1).next_power_of_two().trailing_zeros() as usize;
    let kept = T::with_shelf(|shelf| {
        let kept = shelf.by_class[class].pop();
        match kept {
            Some(_) => shelf.bytes -= size_of::<T>() << class,
            None => shelf.made[class] += 1,
        }
        kept
    });
    let mut buffer = kept.unwrap_or_else(|| Arc::new(Vec::with_capacity(1 << class).into()));
    let values = Arc::get_mut(&mut buffer).expect("a kept buffer has one owner");
    fill(values.as_vec().expect("only vectors are kept"));
    T::wrap(buffer)
}

/// Gives an array's buffer back, if nobody else holds it.
pub fn give(array: Array) {
    fn keep<T: Element>(mut buffer: Arc<Buffer<T>>) {
        // Nobody else can come to share it: if it is the only handle, there are no weak ones.
        let own = Arc::get_mut(&mut buffer).and_then(Buffer::as_vec);
        let Some(capacity) = own.map(|values| values.capacity()).filter(|n| n.is_power_of_two()) else {
            return;
        };
        T::with_shelf(|shelf| {
            let (class, bytes) = (capacity.trailing_zeros() as usize, capacity * size_of::<T>());
            if shelf.bytes + bytes <= MAX_BYTES && shelf.by_class[class].len() < shelf.made[class] {
                shelf.bytes += bytes;
                shelf.by_class[class].push(buffer);
            }
        });
    }
    with_data!(array.into_data(), |values| keep(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_buffers_are_kept_than_were_made() {
        // 2¹⁷ elements: a size that no other test of this thread asks for.
        let made = [0; 3].map(|_| filled::<f64>(1 << 17, |values| values.push(1.0)));
        let sizes = super::super::Sizes::from_slice(&[1]);
        made.into_iter().for_each(|data| give(Array::from_parts(sizes.clone(), data)));
        for _ in 0..5 {
            let mut elsewhere = Vec::with_capacity(1 << 17);
            elsewhere.push(2.0);
            give(Array::vector(elsewhere));
        }
        assert_eq!(f64::with_shelf(|shelf| shelf.by_class[17].len()), 3);
    }

    #[test]
    fn a_buffer_to_overwrite_has_its_length_whatever_it_held() {
        let sizes = |n| super::super::Sizes::from_slice(&[n]);
        give(Array::from_parts(sizes(11), filled::<i64>(11, |values| values.extend([7; 11]))));
        for len in [11, 13, 9, 16] {
            let Data::I64(values) = overwritten::<i64>(len, |_| ()) else { panic!("i64") };
            assert_eq!(values.len(), len);
            give(Array::from_parts(sizes(len), Data::I64(values)));
        }
        let Data::Bool(none) = overwritten::<bool>(0, |_| ()) else { panic!("bool") };
        assert!(none.is_empty());
    }

    #[test]
    fn a_buffer_comes_back_when_nobody_shares_it() {
        let make = || filled::<f32>(5, |values| values.extend([1.0; 5]));
        let Data::F32(first) = make() else { panic!("f32") };
        let address = first.as_ptr();
        let array = Array::from_parts(super::super::Sizes::from_slice(&[5]), Data::F32(first));
        give(array.clone());
        let Data::F32(other) = make() else { panic!("f32") };
        assert_ne!(other.as_ptr(), address, "the clone still holds it");
        give(array);
        let Data::F32(again) = make() else { panic!("f32") };
        assert_eq!((again.as_ptr(), again.len()), (address, 5));
    }
}

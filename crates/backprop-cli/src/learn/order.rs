//! The order of the examples in an epoch: a pure function of the seed and the epoch.

use backprop_core::random::block;

/// The stream of the shuffles; parameters have the small numbers.
const STREAM: u32 = 0x6f72_6465;

/// The numbers 0 to n − 1, shuffled (Fisher and Yates, from the last to the second).
pub fn order(n: usize, seed: u64, epoch: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    let key = [seed as u32, (seed >> 32) as u32, STREAM, epoch as u32];
    for last in (1..n).rev() {
        let words = block(key, last as u64);
        let word = u64::from(words[0]) | u64::from(words[1]) << 32;
        // The high half of a product: its bias, below n/2⁶⁴, is beside the point.
        let other = ((u128::from(word) * (last as u128 + 1)) >> 64) as usize;
        order.swap(last, other);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_comes_once_and_epochs_differ() {
        let (first, second) = (order(101, 7, 1), order(101, 7, 2));
        assert_ne!(first, second);
        assert_eq!(first, order(101, 7, 1));
        for mut order in [first, second] {
            order.sort_unstable();
            assert_eq!(order, (0..101).collect::<Vec<_>>());
        }
    }
}

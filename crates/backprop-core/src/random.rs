//! Random numbers as a pure function of (seed, stream, step, element).
//!
//! The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as
//! 1, 2, 3", SC 2011): ten rounds of a keyed bijection of a 128-bit counter. The seed is its key;
//! element, stream and step are its counter. Nothing is stored and nothing is drawn in an order, so
//! a mask is the same however often, wherever and on however many threads it is computed.

use std::collections::HashMap;
use std::sync::Arc;

/// The seed of a run. The same seed gives the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seed(pub u64);

/// A key operand: seed (low, high), stream, step.
pub type Key = [u32; 4];

/// The multipliers and the Weyl constants of Philox4x32 (Salmon et al. 2011, §3.3).
const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Philox4x32-10: four random words for a counter under a key.
pub fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let wide = |i: usize, c: u32| u64::from(MULTIPLIERS[i]) * u64::from(c);
        let (p0, p1) = (wide(0, counter[0]), wide(1, counter[2]));
        counter = [
            (p1 >> 32) as u32 ^ counter[1] ^ key[0],
            p1 as u32,
            (p0 >> 32) as u32 ^ counter[3] ^ key[1],
            p0 as u32,
        ];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// Four random words for `block` of the elements that `key` numbers.
pub fn block(key: Key, block: u64) -> [u32; 4] {
    philox([block as u32, (block >> 32) as u32, key[2], key[3]], [key[0], key[1]])
}

/// The `element`-th uniform number in [0, 1), a multiple of 2⁻²⁴; four elements share a block.
pub fn uniform_f32(key: Key, element: u64) -> f32 {
    (block(key, element / 4)[(element % 4) as usize] >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// The `element`-th uniform number in [0, 1), a multiple of 2⁻⁵³; two elements share a block.
pub fn uniform_f64(key: Key, element: u64) -> f64 {
    let words = block(key, element / 2);
    let at = 2 * (element % 2) as usize;
    let word = u64::from(words[at]) | u64::from(words[at + 1]) << 32;
    (word >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
}

/// The `element`-th standard normal number (Box, Muller 1958), from the block of its own.
pub fn normal(key: Key, element: u64) -> f64 {
    let words = block(key, element);
    let unit = |at: usize| {
        let word = u64::from(words[at]) | u64::from(words[at + 1]) << 32;
        // In (0, 1]: the logarithm stays finite.
        ((word >> 11) + 1) as f64 * (1.0 / 9_007_199_254_740_992.0)
    };
    let angle = std::f64::consts::TAU * unit(2);
    (-2.0 * unit(0).ln()).sqrt() * angle.cos()
}

/// What FNV-1a starts from.
const FNV_BASIS: u32 = 0x811c_9dc5;

/// FNV-1a, going on from `hash`.
fn fnv(hash: u32, bytes: impl Iterator<Item = u8>) -> u32 {
    bytes.fold(hash, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The stream of the `occurrence`-th random op of a module: FNV-1a over its path and the counter.
pub fn stream(path: &str, occurrence: u32) -> u32 {
    fnv(FNV_BASIS, path.bytes().chain(occurrence.to_le_bytes()))
}

/// Counts the random ops of each module, from 0 in each graph, body and tape scope.
#[derive(Clone, Debug)]
pub struct Streams {
    counts: HashMap<Arc<str>, u32>,
    n_bodies: u32,
    /// What the hash of a stream starts from: in a body, the hash of where that stands.
    start: u32,
}

impl Default for Streams {
    fn default() -> Streams {
        Streams { counts: HashMap::new(), n_bodies: 0, start: FNV_BASIS }
    }
}

impl Streams {
    /// The streams of the next body in here: other ones than these, and than those of other bodies.
    pub fn of_body(&mut self) -> Streams {
        // No path holds the byte 0xff: it is not UTF-8.
        let start = fnv(self.start, std::iter::once(0xff).chain(self.n_bodies.to_le_bytes()));
        self.n_bodies += 1;
        Streams { start, ..Streams::default() }
    }

    /// The next stream of the module at `path`.
    pub fn next(&mut self, path: &str) -> u32 {
        let count = match self.counts.get_mut(path) {
            Some(count) => count,
            None => self.counts.entry(path.into()).or_default(),
        };
        *count += 1;
        fnv(self.start, path.bytes().chain((*count - 1).to_le_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the file `kat_vectors` of Random123 (Salmon et al.).
    #[test]
    fn known_answers() {
        let check = |counter, key, answer| assert_eq!(philox(counter, key), answer);
        check([0; 4], [0; 2], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        check([u32::MAX; 4], [u32::MAX; 2], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
        check(
            [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
            [0xa4093822, 0x299f31d0],
            [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
        );
    }

    /// Three levels of bodies, of which each has three, and a module that is called "body" in each.
    #[test]
    fn streams_of_bodies_differ_from_all_around_them() {
        fn visit(streams: &mut Streams, depth: usize, all: &mut Vec<u32>) {
            for path in ["", "body", "0", "0.1"] {
                all.extend([streams.next(path), streams.next(path)]);
            }
            for _ in 0..if depth < 3 { 3 } else { 0 } {
                visit(&mut streams.of_body(), depth + 1, all);
            }
        }
        let mut all = Vec::new();
        visit(&mut Streams::default(), 0, &mut all);
        assert_eq!((all[0], all[3]), (stream("", 0), stream("body", 1)));
        let n = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!((all.len(), n), (8 * (1 + 3 + 9 + 27), 320));
    }

    #[test]
    fn moments_within_five_sigma() {
        let n = 100_000u64;
        let check = |values: Vec<f64>, mean: f64, variance: f64, fourth: f64| {
            let m = values.iter().sum::<f64>() / n as f64;
            let v = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
            assert!((m - mean).abs() < 5.0 * (variance / n as f64).sqrt(), "mean {m}");
            let spread = ((fourth - variance * variance) / n as f64).sqrt();
            assert!((v - variance).abs() < 5.0 * spread, "variance {v}");
        };
        let key = [1, 2, 3, 4];
        check((0..n).map(|i| uniform_f32(key, i) as f64).collect(), 0.5, 1.0 / 12.0, 1.0 / 80.0);
        check((0..n).map(|i| uniform_f64(key, i)).collect(), 0.5, 1.0 / 12.0, 1.0 / 80.0);
        check((0..n).map(|i| normal(key, i)).collect(), 0.0, 1.0, 3.0);
    }
}

//! What the machine can do at best, measured: what results are fractions of.
//!
//! The clock moves and neighbours share the memory, so a limit holds for the moment it was measured in:
//! take turns with what is compared to it.

use std::sync::RwLock;
use std::thread::Builder;
use std::time::Instant;

#[cfg(target_arch = "x86_64")]
use crate::isa::Isa;

/// Independent chains of multiply-adds: more than the 8 that hide a latency of 4 at two a cycle, and few
/// enough for the 16 registers of AVX2.
const CHAINS: usize = 12;

/// Multiply-adds of each chain in a burst: half a millisecond or less, many times a timer's error.
const LENGTH: usize = 1 << 16;

/// A burst of multiply-adds on registers alone, and the lanes of its vectors.
#[derive(Clone, Copy)]
struct Burst {
    run: fn(f32) -> f32,
    lanes: usize,
}

/// The f32 multiply-adds that `n_threads` threads reach together on registers alone, in GFLOP/s, in one
/// burst of half a millisecond: call it often and take the best. `None` on a CPU without vectors that
/// are known here, or where the system gives no such number of threads.
pub fn fma_gflops(n_threads: usize) -> Option<f64> {
    let burst = burst()?;
    let rate = || {
        let begun = Instant::now();
        std::hint::black_box((burst.run)(std::hint::black_box(0.5)));
        (2 * burst.lanes * CHAINS * LENGTH) as f64 / begun.elapsed().as_secs_f64() / 1e9
    };
    // Held until all threads are there; then all go at once, or none.
    let gate = RwLock::new(false);
    let passed = || gate.read().is_ok_and(|goes| *goes).then(rate);
    std::thread::scope(|scope| {
        let mut goes = gate.write().ok()?;
        let others = (1..n_threads).map(|_| Builder::new().spawn_scoped(scope, passed).ok());
        let others: Option<Vec<_>> = others.collect();
        *goes = others.is_some();
        drop(goes);
        let others = others?;
        let own = rate();
        let rates = others.into_iter().map(|other| other.join().expect("a burst cannot panic"));
        Some(own + rates.sum::<Option<f64>>()?)
    })
}

#[cfg(target_arch = "x86_64")]
fn burst() -> Option<Burst> {
    match Isa::detect() {
        // SAFETY: the processor has the instructions; so below.
        Isa::Avx512 => Some(Burst { run: |factor| unsafe { x86::avx512(factor) }, lanes: 16 }),
        // SAFETY: see above.
        Isa::Avx2 => Some(Burst { run: |factor| unsafe { x86::avx2(factor) }, lanes: 8 }),
        Isa::Baseline => None,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn burst() -> Option<Burst> {
    None
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{CHAINS, LENGTH};

    // y ← y·a + b with a = b = ½ tends to 1: no overflow, no subnormal number.
    macro_rules! burst {
        ($name:ident, $features:literal, $set:ident, $fma:ident, $add:ident, $first:ident) => {
            #[target_feature(enable = $features)]
            pub fn $name(factor: f32) -> f32 {
                let factor = $set(factor);
                let mut chains = [factor; CHAINS];
                for _ in 0..LENGTH {
                    for y in &mut chains {
                        *y = $fma(*y, factor, factor);
                    }
                }
                $first(chains.into_iter().fold(factor, |sum, y| $add(sum, y)))
            }
        };
    }

    burst!(avx512, "avx512f", _mm512_set1_ps, _mm512_fmadd_ps, _mm512_add_ps, _mm512_cvtss_f32);
    burst!(avx2, "avx2,fma", _mm256_set1_ps, _mm256_fmadd_ps, _mm256_add_ps, _mm256_cvtss_f32);
}

/// Reads and writes memory and computes nothing: each array takes the numbers of the next one, the last
/// array those of `source`. So every array of `arrays` is read (but the first, whose lines are fetched to
/// be written) and written, and `source` is read.
///
/// # Panics
/// The lengths differ.
pub fn shift<const N: usize>(mut arrays: [&mut [f32]; N], source: &[f32]) {
    const LINE: usize = 16;
    assert!(arrays.iter().all(|array| array.len() == source.len()), "arrays of one length");
    let mut at = 0;
    while at < source.len() {
        let line = at..(at + LINE).min(source.len());
        for k in 1..N {
            let [to, from] = arrays.get_disjoint_mut([k - 1, k]).expect("two neighbours");
            to[line.clone()].copy_from_slice(&from[line.clone()]);
        }
        if let Some(last) = arrays.last_mut() {
            last[line.clone()].copy_from_slice(&source[line]);
        }
        at += LINE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_tend_to_one() {
        // Their sum starts at the factor.
        if let Some(burst) = burst() {
            assert!(((burst.run)(0.5) - (0.5 + CHAINS as f32)).abs() < 1e-4);
        }
    }

    #[test]
    fn each_array_takes_the_numbers_of_the_next() {
        for len in [0, 1, 16, 37] {
            let numbers = |start: usize| (start..start + len).map(|x| x as f32).collect::<Vec<f32>>();
            let (mut a, mut b, c) = (numbers(0), numbers(100), numbers(200));
            shift([&mut a, &mut b], &c);
            assert_eq!((a, b), (numbers(100), numbers(200)));
        }
    }
}

//! Slices with offsets that change. Alone in its process, whose memory it measures.

use backprop_ad::grad;
use backprop_core::text::{Registry, parse};
use backprop_core::{Array, DType};
use backprop_run::Tape;

/// The resident memory of this process in bytes, where the system tells.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(text.split_whitespace().nth(1)?.parse::<u64>().ok()? * 4096)
}

#[test]
fn slices_and_paddings_that_differ_leave_nothing_behind() {
    const N: usize = 100_000;
    let tape = Tape::new();
    let x = tape.value(Array::full(DType::F64, &[2 * N], 0.5).unwrap());
    let one = tape.value(Array::full(DType::F64, &[1], 0.5).unwrap());
    let use_offset = |i: usize| {
        tape.scope(|_| {
            let y = x.slice_axis(0, i, i + 1) * 3.0;
            assert!(y.value().unwrap().to_f64s() == [1.5]);
            // The padding of nothing, by numbers that differ: its gradient is a slice.
            let z = one.slice([0], [0], [1]).pad([i % 7], [1]).slice([i % 7], [i % 7 + 1], [i + 1]);
            let [dz] = grad(z.sum(()), [one]);
            assert!(dz.value().unwrap().to_f64s() == [0.0]);
        });
        if i.is_multiple_of(50) {
            let end = i + 1;
            let text = format!(
                "graph {{\n  x = input : f32[300000]\n  y = slice(x) {{start: [{i}], stop: [{end}]}}\n  return y\n}}\n"
            );
            assert!(parse(&text, "slice.graph", &|_| None, &Registry::new()).is_ok());
        }
    };
    (0..N / 10).for_each(use_offset);
    let before = resident();
    (N / 10..N + N / 10).for_each(use_offset);
    // Lists that are kept for ever took some 200 bytes each: 60 MB.
    if let (Some(before), Some(after)) = (before, resident()) {
        assert!(after.saturating_sub(before) < 4 << 20, "{} bytes more", after - before);
    }
}

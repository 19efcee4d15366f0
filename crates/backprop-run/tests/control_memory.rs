//! Loops of many iterations: time and memory. Alone in its process, whose memory it measures.

use backprop_ad::grad;
use backprop_core::{Array, DType, scan_n};
use backprop_run::Tape;

/// The resident memory of this process in bytes, where the system tells.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(text.split_whitespace().nth(1)?.parse::<u64>().ok()? * 4096)
}

#[test]
fn long_loops_are_linear_and_flat() {
    let tape = Tape::new();
    let x = tape.value(Array::full(DType::F64, &[1000], 0.5).unwrap());
    let time = |n: usize| {
        let start = std::time::Instant::now();
        let (y, ()) = scan_n(n, x, |_, c| ((c * 0.999 + x * 0.001).tanh(), ()));
        assert!(y.value().unwrap().to_f64s()[0].is_finite());
        start.elapsed().as_secs_f64()
    };
    time(1000);
    let before = resident();
    let (short, long) = (time(2_000), time(20_000));
    // 20,000 iterations that kept their values would hold 480 MB.
    if let (Some(before), Some(after)) = (before, resident()) {
        assert!(after.saturating_sub(before) < 8 << 20, "{} bytes more", after - before);
    }
    assert!(long < 40.0 * short + 0.5, "{short} s for 2,000 iterations, {long} s for 20,000");
    let (x, step) = (tape.value(1.0), 1e-5);
    let (y, ()) = scan_n(100_000, x, |_, y| (y - y * step, ()));
    let [dy] = grad(y, [x]);
    let expect = (1.0f64 - step).powi(100_000);
    assert!((y.item().unwrap() - expect).abs() < 1e-10 && (dy.item().unwrap() - expect).abs() < 1e-10);
}

//! A long eager run holds no more memory at its end than near its start.

use backprop_core::{Array, Seed};
use backprop_nn::{Adam, Init, Layer, Optimizer, Schedule, Sequential};
use backprop_run::Tape;

/// The resident memory of this process in bytes, where the system tells; without the pages of its program, which
/// come as code is first run (an op of a tape becomes machine code after some thousand calls).
fn resident() -> Option<i64> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("Anonymous:")?.trim().strip_suffix("kB"))?;
    Some(kib.trim().parse::<i64>().ok()? * 1024)
}

#[test]
fn a_hundred_thousand_steps_leave_resident_memory_flat() {
    let net = Sequential::new().linear(3, 7).layer_norm(7).relu().dropout(0.1).linear(7, 2);
    let mut params = net.init(Seed(1)).unwrap();
    let optimizer = Optimizer::from(Adam::new(1e-3).weight_decay(1e-4))
        .schedule(Schedule::warm_up_cosine(100, 100_000))
        .clip_norm(1.0);
    let x = Init::Normal { std: 1.0 }.draw(Seed(2), "x", &[5, 3]).unwrap();
    let y = Array::from([0i64, 1, 1, 0, 1]);
    let tape = Tape::new();
    let mut early = None;
    for step in 1..=100_000 {
        let updates = tape.scope(|t| {
            let p = params.bind(t);
            let loss = net.forward(&p, t.value(x.clone())).cross_entropy(t.value(y.clone()));
            optimizer.updates(&p, loss)
        });
        params.apply(updates.unwrap()).unwrap();
        if step == 100 {
            early = resident();
        }
        if step > 100
            && step % 1000 == 0
            && let (Some(early), Some(now)) = (early, resident())
        {
            let grown = now - early;
            assert!(grown.abs() <= 1 << 20, "step {step}: {grown} bytes more than after step 100");
        }
    }
    if early.is_none() {
        println!("skipped: this system does not tell the resident memory");
    }
    assert_eq!(params.step(), 100_000);
}

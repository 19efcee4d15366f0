//! Leaving nodes out of records.

use backprop_core::verify::verify;
use backprop_core::{Graph, Records, ValueId};

#[test]
fn what_is_kept_keeps_its_order_names_and_faults() {
    let g = Graph::new();
    let x = g.input("x", "f32[B, 3]");
    let gone = x.exp().named("gone");
    g.assume("B", "N");
    let (largest, at) = (x + x).max_with_index(1);
    let ill = x.matmul(x).named("ill");
    let last = largest.sin().named("last");
    let mut records: Records = (*g.records()).clone();
    let mut kept = vec![true; records.n_nodes()];
    kept[records.producer(gone.id()) as usize] = false;
    let moved = records.retain(&kept);
    assert_eq!(verify(&records), Ok(()));
    assert_eq!(moved[gone.id() as usize], ValueId::MAX);
    assert_eq!(records.by_name("gone"), None);
    assert_eq!(records.by_name("last"), Some(moved[last.id() as usize]));
    assert_eq!(moved[at.id() as usize], moved[largest.id() as usize] + 1);
    assert_eq!(
        records.faults().map(|(node, _)| node).collect::<Vec<_>>(),
        [records.producer(moved[ill.id() as usize])]
    );
    let nothing = vec![false; records.n_nodes()];
    assert!(records.retain(&nothing).iter().all(|&value| value == ValueId::MAX));
    assert_eq!((verify(&records), records.n_nodes()), (Ok(()), 0));
}

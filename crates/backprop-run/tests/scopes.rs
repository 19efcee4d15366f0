//! What leaves a scope of a tape.

use backprop_ad::grad_table;
use backprop_core::Array;
use backprop_run::Tape;

#[test]
fn tensors_leave_a_scope_under_no_grad_as_constants() {
    let tape = Tape::new();
    let x = tape.value(Array::from([1.0, 2.0]));
    let before = tape.records().n_nodes();
    let (y, [z, own]) = tape.no_grad(|| {
        tape.scope_keeping(|scope| {
            let h = x * 3.0 + scope.value(1.0);
            (h.exp().log() * 2.0, [h.sum(()), x])
        })
    });
    assert_eq!(tape.records().n_nodes(), before + 2, "two results, and nothing else");
    assert!((y.value().unwrap().to_f64s()[1] - 14.0).abs() < 1e-12);
    assert_eq!(z.item().unwrap(), 11.0);
    assert!(own.is(x));
    let table = grad_table((y * x).sum(()) + z, &[x]);
    assert!((table.gradients()[0].value().unwrap().to_f64s()[1] - 14.0).abs() < 1e-12, "y is a constant");
}

#[test]
fn a_recording_tape_hands_on_no_tensor_and_says_why() {
    let tape = Tape::new();
    let x = tape.value(2.0);
    let y = tape.scope_keeping(|_| x * x);
    let error = y.value().unwrap_err().to_string();
    assert!(error.contains("cannot leave a scope of a tape that records"), "{error}");
    assert!(error.contains("no_grad") && error.contains("scopes.rs"), "{error}");
    assert!(tape.scope_keeping(|_| x).is(x), "a value from outside stays what it is");
    // What was wrong inside is told outside.
    let wrong =
        tape.no_grad(|| tape.scope_keeping(|scope| scope.value([1.0, 2.0]) + scope.value([1.0, 2.0, 3.0])));
    let error = wrong.value().unwrap_err().to_string();
    assert!(error.contains("do not broadcast") || error.contains("[2]"), "{error}");
    assert_eq!((x * x).item().unwrap(), 4.0);
}

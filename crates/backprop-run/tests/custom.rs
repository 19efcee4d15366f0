//! Ops of a user's: their code may panic, call operations and make mistakes.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use backprop_ad::{grad, jvp};
use backprop_core::ops::{
    Arrays, Bprop, Custom, Differentiate, Family, General, Gradient, Linear, Rule, Types, cond,
};
use backprop_core::{Array, DType, Graph, Ill, Tensor, Type};
use backprop_run::{Tape, run};

thread_local! {
    /// What the op calls operations on, in each of its rules.
    static OTHER: Cell<Option<Tensor>> = const { Cell::new(None) };
}

/// Calls an operation, wherever we are.
fn work() {
    if let Some(x) = OTHER.get() {
        let _ = (x * x).ty();
        let _ = x.value();
    }
}

/// y = x, with what its author got wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Same {
    Right,
    /// Panics at a negative element.
    Panics,
    /// Computes f32, whatever the type rule says.
    OtherType,
    /// Computes one element too many.
    OtherSize,
    /// Computes no output.
    Nothing,
    /// The type rule gives two types for one output.
    TwoTypes,
}

impl Rule for Same {
    fn name(&self) -> &str {
        work();
        "same"
    }
    fn equation(&self) -> (&'static str, &'static str) {
        ("y = x", "dx = d")
    }
    fn roles(&self) -> &'static [&'static str] {
        work();
        &["x"]
    }
    fn n_outputs(&self) -> usize {
        work();
        1
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        work();
        let n = if *self == Same::TwoTypes { 2 } else { 1 };
        Ok(std::iter::repeat_n(inputs[0], n).collect())
    }
    fn eval(&self, inputs: &[&Array], _outputs: &[Type]) -> Result<Arrays, Ill> {
        work();
        let mut values = inputs[0].to_f64s();
        assert!(*self != Same::Panics || values.iter().all(|&x| x >= 0.0), "a negative element");
        if *self == Same::OtherSize {
            values.push(0.0);
        }
        Ok(match self {
            Same::Nothing => Arrays::new(),
            Same::OtherType => [inputs[0].cast(DType::F32)].into_iter().collect(),
            _ => [Array::vector(values)].into_iter().collect(),
        })
    }
    fn family(&self) -> Family<'_> {
        work();
        Family::Linear(self)
    }
}

impl Linear for Same {
    fn is_linear_in(&self, _slot: usize) -> bool {
        work();
        true
    }
    fn transpose(&self, _slot: usize, _x: &[Tensor], d: Tensor) -> Tensor {
        work();
        d
    }
}

fn same(rule: Same, x: Tensor) -> Tensor {
    Custom::new(rule).call(&[x])
}

#[test]
fn a_caught_panic_in_an_evaluation_leaves_the_tape_as_it_was() {
    let tape = Tape::new();
    let x = tape.value(Array::from([2.0, -3.0]));
    let taken = tape.value(Array::from(true));
    let n = tape.records().n_values();
    for call in [&|| same(Same::Panics, x) as Tensor, &|| {
        cond(taken, || vec![same(Same::Panics, x)], || vec![x * 1.0])[0] as Tensor
    }] as [&dyn Fn() -> Tensor; 2]
    {
        assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
    }
    assert_eq!(tape.records().n_values(), n);
    let y = same(Same::Panics, x * x);
    assert_eq!(y.value().unwrap().to_f64s(), [4.0, 9.0]);
    let [dx] = grad(y.sum(()), [x]);
    assert_eq!(dx.value().unwrap().to_f64s(), [4.0, -6.0]);
}

#[test]
fn the_rules_of_a_custom_op_may_call_operations_on_the_same_tape_or_graph() {
    let tape = Tape::new();
    let x = tape.value(Array::from([2.0, -3.0]));
    OTHER.set(Some(x));
    let y = same(Same::Right, x * x);
    let [dx] = grad(y.sum(()), [x]);
    assert_eq!(dx.value().unwrap().to_f64s(), [4.0, -6.0]);
    let t = jvp(&[y], &[(x, x)]).tangents()[0];
    assert_eq!(t.value().unwrap().to_f64s(), [8.0, 18.0]);
    let wrong = same(Same::OtherType, x);
    assert!(wrong.value().is_err());
    let inside = cond(x.slice_axis(0, 0, 1).sum(()).gt(0.0), || vec![same(Same::Right, x)], || vec![x])[0];
    assert_eq!(inside.value().unwrap().to_f64s(), [2.0, -3.0]);
    let foreign = same(Same::Right, Tape::new().value(1.0f64)) + x;
    assert!(foreign.value().is_err());

    let g = Graph::new();
    let x = g.input("x", "f64[N]");
    OTHER.set(Some(x));
    g.assume("N", 2);
    let y = same(Same::Right, x * x);
    let [dx] = grad(y.sum(()), [x]);
    let at = [("x", Array::from([2.0, -3.0]))];
    assert_eq!(run(&g, &at, &[dx]).unwrap()[0].to_f64s(), [4.0, -6.0]);
    OTHER.set(None);
}

#[test]
fn what_a_custom_op_computes_is_compared_with_its_type_rule() {
    for (rule, told) in [
        (Same::OtherType, "its evaluation gives f32[2], but its type rule says f64[2]"),
        (Same::OtherSize, "its evaluation gives f64[3], but its type rule says f64[2]"),
        (Same::Nothing, "its evaluation gives nothing, but its type rule says f64[2]"),
        (Same::TwoTypes, "it has 1 outputs, but its type rule gives 2 types"),
    ] {
        let tape = Tape::new();
        let x = tape.value(Array::from([2.0, -3.0]));
        let eager = same(rule, x).value().unwrap_err().to_string();
        assert!(eager.contains(told) && eager.contains("same"), "{eager}");
        let g = Graph::new();
        let x = g.input("x", "f64[N]");
        let at = [("x", Array::from([2.0, -3.0]))];
        let graph = run(&g, &at, &[same(rule, x)]).unwrap_err().to_string();
        assert!(graph.contains(told) && graph.contains("same"), "{graph}");
    }
}

/// y = 2x, whose derivatives are what its author says.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Twice {
    Right,
    /// A scalar for a vector.
    OtherShape,
    /// f32 for f64.
    OtherType,
    /// None at all.
    Nothing,
    /// Two for one.
    TooMany,
}

impl Rule for Twice {
    fn name(&self) -> &str {
        "twice"
    }
    fn equation(&self) -> (&'static str, &'static str) {
        ("y = 2x", "dx = 2d")
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        Ok(inputs.iter().copied().collect())
    }
    fn eval(&self, inputs: &[&Array], _outputs: &[Type]) -> Result<Arrays, Ill> {
        let doubled: Vec<f64> = inputs[0].to_f64s().iter().map(|x| 2.0 * x).collect();
        Ok([Array::vector(doubled)].into_iter().collect())
    }
    fn family(&self) -> Family<'_> {
        Family::General(self)
    }
}

impl Twice {
    fn said(self, d: Tensor) -> Vec<Tensor> {
        let d = d * 2.0;
        match self {
            Twice::Right => vec![d],
            Twice::OtherShape => vec![d.sum(())],
            Twice::OtherType => vec![d.cast(DType::F32)],
            Twice::Nothing => vec![],
            Twice::TooMany => vec![d, d],
        }
    }
}

impl General for Twice {
    fn bprop(&self, at: &Bprop) -> Vec<Gradient> {
        self.said(at.d_or_zeros(0)).into_iter().map(Gradient::Value).collect()
    }
    fn jvp(
        &self,
        _x: &[Tensor],
        _y: &[Tensor],
        tx: &[Option<Tensor>],
        _engine: &dyn Differentiate,
    ) -> Option<Vec<Option<Tensor>>> {
        Some(self.said(tx[0]?).into_iter().map(Some).collect())
    }
}

#[test]
fn derivatives_that_do_not_fit_are_refused_by_name() {
    let check = |twice: Twice, expect: &str| {
        let tape = Tape::new();
        let x = tape.value([1.0, 2.0]);
        let y = Custom::new(twice).call(&[x]);
        let [dx] = grad(y.sum(()), [x]);
        let ty = jvp(&[y], &[(x, x.ones_like())]).tangents()[0];
        for (rule, found) in [("bprop", dx), ("jvp", ty)] {
            match found.value() {
                Ok(value) => assert_eq!((expect, value), ("", Array::from([2.0, 2.0]))),
                Err(error) => {
                    let text = error.to_string();
                    let expect = format!("twice: its {rule} gives {expect}");
                    assert!(text.contains(&expect) && text.contains("custom.rs:"), "{text}");
                }
            }
        }
    };
    check(Twice::Right, "");
    check(Twice::OtherShape, "f64[] for a value of type f64[2]");
    check(Twice::OtherType, "f32[2] for a value of type f64[2]");
    check(Twice::Nothing, "0 results for 1 values");
    check(Twice::TooMany, "2 results for 1 values");
}

#[test]
fn tangents_of_a_value_that_is_given_twice_add_up() {
    let tape = Tape::new();
    let x = tape.value(3.0);
    let (one, five) = (tape.value(1.0), tape.value(5.0));
    assert_eq!(jvp(&[x * x], &[(x, one), (x, five)]).tangents()[0].item().unwrap(), 36.0);
}

//! The gradient checker: right ops pass, wrong ones are caught and named.

use backprop_core::ops::{
    Arrays, Bprop, Custom, Differentiate, Family, General, Gradient, Pointwise, Pull, Rule, Types,
};
use backprop_core::{Array, DType, Ill, Tensor, Type};
use backprop_run::{Against, Check, CheckError, check};

/// What is done wrong to the gradient of y = x³.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Slip {
    None,
    Factor,
    Sign,
    OneElement,
    Jvp,
    SecondOrder,
}

#[derive(Debug)]
struct Cube(Slip);

impl Rule for Cube {
    fn name(&self) -> &str {
        "cube"
    }
    fn equation(&self) -> (&'static str, &'static str) {
        ("y = x³", "dx = d·3x²")
    }
    fn attributes(&self) -> backprop_core::ops::Attributes {
        vec![("slip", backprop_core::ops::Attribute::Int(self.0 as i64))]
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        Ok(inputs.iter().copied().collect())
    }
    fn eval(&self, inputs: &[&Array], _outputs: &[Type]) -> Result<Arrays, Ill> {
        let values = inputs[0].to_f64s().iter().map(|x| x * x * x).collect();
        let y = Array::new(inputs[0].sizes(), values).map_err(|e| Ill::new(e.to_string()))?;
        Ok([y].into_iter().collect())
    }
    fn family(&self) -> Family<'_> {
        Family::General(self)
    }
}

impl Cube {
    fn slope(&self, x: Tensor) -> Tensor {
        let square = if self.0 == Slip::SecondOrder { x.stop_gradient() * x } else { x * x };
        match self.0 {
            Slip::Factor => square * 2.0,
            Slip::Sign => square * -3.0,
            Slip::OneElement => {
                let (row, column) = (x.iota_like(0, DType::I64), x.iota_like(1, DType::I64));
                row.eq(1i64).and(column.eq(2i64)).select(square, square * 3.0)
            }
            _ => square * 3.0,
        }
    }
}

impl General for Cube {
    fn bprop(&self, at: &Bprop) -> Vec<Gradient> {
        vec![Gradient::Value(at.d_or_zeros(0) * self.slope(at.x[0]))]
    }
    fn jvp(
        &self,
        x: &[Tensor],
        _y: &[Tensor],
        tx: &[Option<Tensor>],
        _engine: &dyn Differentiate,
    ) -> Option<Vec<Option<Tensor>>> {
        let slope = if self.0 == Slip::Jvp { x[0] * x[0] } else { self.slope(x[0]) };
        Some(vec![tx[0].map(|tx| tx * slope)])
    }
}

/// y = 2x as a pointwise op whose rule forgets the 2.
#[derive(Debug)]
struct Double;

impl Rule for Double {
    fn name(&self) -> &str {
        "double"
    }
    fn equation(&self) -> (&'static str, &'static str) {
        ("y = 2x", "dx = d")
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        Ok(inputs.iter().copied().collect())
    }
    fn eval(&self, inputs: &[&Array], _outputs: &[Type]) -> Result<Arrays, Ill> {
        let values = inputs[0].to_f64s().iter().map(|x| 2.0 * x).collect();
        let y = Array::new(inputs[0].sizes(), values).map_err(|e| Ill::new(e.to_string()))?;
        Ok([y].into_iter().collect())
    }
    fn family(&self) -> Family<'_> {
        Family::Pointwise(self)
    }
}

impl Pointwise for Double {
    fn pull(&self, _slot: usize, d: Tensor, _x: &[Tensor], _y: Tensor) -> Pull {
        Pull::Handed(d)
    }
}

fn x() -> Array {
    Array::from([[0.3, -0.7, 1.1], [0.5, 0.2, -1.3]])
}

#[track_caller]
fn passes(f: impl Fn(&[Tensor]) -> Vec<Tensor>, inputs: &[Array]) {
    match check(f, inputs) {
        Ok(report) => assert!(report.kinks.is_empty() && report.unclear.is_empty(), "{report}"),
        Err(error) => panic!("{error}"),
    }
}

/// The function fails at this op, operand element and order; the text names op and line.
#[track_caller]
fn fails(f: impl Fn(&[Tensor]) -> Vec<Tensor>, op: &str, element: &[usize], order: usize, forward: bool) {
    let error = check(f, &[x()]).unwrap_err();
    let text = error.to_string();
    let CheckError::Wrong(_, Some(culprit)) = error else { panic!("{text}") };
    assert_eq!(culprit.op, op, "{text}");
    assert_eq!(culprit.wrong.entry.input_element, element, "{text}");
    assert_eq!(culprit.wrong.entry.order, order, "{text}");
    assert_eq!(culprit.wrong.against == Against::Forward, forward, "{text}");
    assert!(text.contains(&format!("{op}: ")) && text.contains("tests/check.rs:"), "{text}");
}

#[test]
fn right_functions_pass() {
    passes(|x| vec![x[0].tanh().matmul(x[0].t()).softmax(-1)], &[x()]);
    passes(|x| vec![x[0].logsumexp(1), x[0].max(0), x[0].sin().sum(())], &[x()]);
    passes(|x| vec![Custom::new(Cube(Slip::None)).call(&[x[0].exp()]).log()], &[x()]);
    passes(|x| vec![x[0].gather(1, x[1])], &[x(), Array::from([2i64, 0, 2])]);
    passes(|x| vec![x[0].gt(0.0).select(x[0].log(), 0.0)], &[Array::from([0.5, -0.5])]);
}

#[test]
fn nothing_to_differentiate_is_no_error() {
    let none = |f: fn(&[Tensor]) -> Vec<Tensor>, input: Array| {
        assert_eq!(check(f, &[input]).unwrap().n_entries, 0);
    };
    none(|x| vec![x[0].gt(0.0)], x());
    none(|x| vec![x[0] + 1i64], Array::from([1i64]));
    none(|x| vec![x[0].exp()], Array::new([0, 3], Vec::<f64>::new()).unwrap());
    passes(|x| vec![x[0].exp()], &[Array::scalar(0.3)]);
}

#[test]
fn what_is_stopped_is_held_fixed() {
    passes(|x| vec![x[0] * x[0].exp().stop_gradient()], &[x()]);
    passes(|x| vec![(x[0] * 2.0).stop_gradient()], &[x()]);
}

#[test]
fn wrong_rules_are_caught_and_named() {
    let cube = |slip: Slip| move |x: &[Tensor]| vec![Custom::new(Cube(slip)).call(&[x[0].sin()]).exp()];
    fails(cube(Slip::Factor), "cube", &[0, 0], 1, false);
    fails(cube(Slip::Sign), "cube", &[0, 0], 1, false);
    fails(cube(Slip::Jvp), "cube", &[0, 0], 1, true);
    fails(cube(Slip::SecondOrder), "cube", &[0, 0], 2, false);
    fails(cube(Slip::OneElement), "cube", &[1, 2], 1, false);
    fails(|x| vec![Custom::new(Double).call(&[x[0].tanh()]) * x[0]], "double", &[0, 0], 1, false);
}

#[test]
fn order_1_alone_does_not_see_a_wrong_second_order() {
    let f = |x: &[Tensor]| vec![Custom::new(Cube(Slip::SecondOrder)).call(x)];
    assert!(Check { order: 1, ..Check::default() }.run(f, &[x()]).is_ok());
    assert!(check(f, &[x()]).is_err());
}

#[test]
fn an_op_of_another_crate_can_be_called_on_nothing() {
    let y = Custom::new(Cube(Slip::None)).call(&[]);
    assert!(y.value().unwrap_err().to_string().contains("belongs to no graph or tape"));
}

#[test]
fn many_entries_of_one_kind_are_summed_up() {
    let f = |x: &[Tensor]| vec![x[0].log().sum(()) + x[1].abs().sum(())];
    let report = check(f, &[Array::from([-1.0, -2.0, 1.0]), Array::from([0.0, 0.0, 3.0])]).unwrap();
    assert_eq!(report.kinks.len(), 8, "{report}");
    let text = report.to_string();
    assert_eq!(text.lines().count(), 9, "{text}");
    assert!(
        text.contains("entries: the function is not finite") && text.contains("\n    and 3 more\n"),
        "{text}"
    );
}

#[test]
fn kinks_are_reported_and_are_no_errors() {
    let kinks = |f: fn(&[Tensor]) -> Vec<Tensor>, input: Array| {
        let report = check(f, &[input]).unwrap();
        assert!(!report.kinks.is_empty() && report.to_string().contains("not differentiable here"));
        assert_eq!(report.kinks[0].entry.input_element, [1]);
    };
    kinks(|x| vec![x[0].abs()], Array::from([1.0, 0.0]));
    kinks(|x| vec![x[0].relu() * 3.0], Array::from([1.0, 0.0]));
    kinks(|x| vec![x[0].sqrt()], Array::from([1.0, 0.0]));
    kinks(|x| vec![x[0].floor()], Array::from([1.5, 2.0]));
}

#[test]
fn unfit_inputs_and_faults_are_clear() {
    let text = |f: fn(&[Tensor]) -> Vec<Tensor>, input: Array| check(f, &[input]).unwrap_err().to_string();
    assert!(text(|x| vec![x[0].exp()], Array::from([1.0f32])).contains("input 0 is f32"));
    assert!(text(|x| vec![x[0].cast(DType::F32)], x()).contains("output 0 is f32"));
    assert!(text(|x| vec![x[0].matmul(x[0])], x()).contains("inner dimensions differ"));
}

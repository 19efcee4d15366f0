//! What the names in the golden files mean here.

use std::rc::Rc;

use backprop_core::graph::place::Line;
use backprop_core::ops::*;
use backprop_core::{ContextId, DType, Op, Shape, Tensor, Type, concat};
use serde_json::Value;

use crate::golden::sizes;

/// A function of tensors in a context.
pub type Function = Rc<dyn Fn(ContextId, &[Tensor]) -> Vec<Tensor>>;

/// The function that is one call of `op`.
pub fn of_op(op: &Op) -> Function {
    let op = op.clone();
    Rc::new(move |context, x| {
        let line = Line::Code(std::panic::Location::caller());
        context.emit(op.clone(), x, line).iter().collect()
    })
}

fn of(f: impl Fn(&[Tensor]) -> Tensor + 'static) -> Function {
    Rc::new(move |_, x| vec![f(x)])
}

/// The function of a name in `ops.json` or `pointwise.json`; `None` for a name that is unknown.
pub fn named(name: &str, params: &Value) -> Option<Function> {
    let axes = Axes::new(&sizes(params, "axes"));
    let axis = params["axis"].as_u64().unwrap_or(0) as usize;
    let shape = |key: &str| Shape::of_sizes(&sizes(params, key));
    let dtype = |key: &str| params[key].as_str().and_then(DType::from_name);
    let list = |key: &str| Axes::new(&sizes(params, key));
    let op: Op = match name {
        "sum" => Sum { axes }.into(),
        "max" => Max { axes }.into(),
        "any" => Any { axes }.into(),
        "logsumexp" => LogSumExp { axes }.into(),
        "argmax" => ArgMax { axis }.into(),
        "max_with_index" => MaxWithIndex { axis }.into(),
        "reshape" => Reshape { shape: shape("shape") }.into(),
        "broadcast" => Broadcast { shape: shape("shape") }.into(),
        "transpose" => Transpose { perm: list("perm") }.into(),
        "slice" => {
            Slice { start: shape("start").into(), stop: shape("stop").into(), step: shape("step").into() }
                .into()
        }
        "gather" => Gather { axis }.into(),
        "scatter_add" => ScatterAdd { axis }.into(),
        "one_hot" => OneHot {
            depth: params["depth"].as_u64()?.try_into().ok().map(backprop_core::Dim::Size)?,
            dtype: DType::F64,
        }
        .into(),
        "iota" => Iota { ty: Type { dtype: dtype("dtype")?, shape: shape("shape") }, axis }.into(),
        "select" => Select.into(),
        "cast" => Cast { dtype: dtype("to")? }.into(),
        "stop_gradient" => StopGradient.into(),
        "contract" => Contract {
            lhs_contract: list("lhs_contract"),
            rhs_contract: list("rhs_contract"),
            lhs_batch: list("lhs_batch"),
            rhs_batch: list("rhs_batch"),
        }
        .into(),
        _ => match table(name) {
            Some(op) => op,
            None => return composite(name, params),
        },
    };
    Some(of_op(&op))
}

/// The pointwise op of this name.
fn table(name: &str) -> Option<Op> {
    let unary = Unary::ALL.iter().map(|&op| Op::from(op));
    let binary = Binary::ALL.iter().map(|&op| Op::from(op));
    let compare = Compare::ALL.iter().map(|&op| Op::from(op));
    let logic = Logic::ALL.iter().map(|&op| Op::from(op));
    unary.chain(binary).chain(compare).chain(logic).find(|op| op.name() == name)
}

fn composite(name: &str, params: &Value) -> Option<Function> {
    let axis = params["axis"].as_i64().unwrap_or(0);
    let eps = params["eps"].as_f64().unwrap_or(0.0);
    let axes = Axes::new(&sizes(params, "axes"));
    let (low, high) = (Shape::of_sizes(&sizes(params, "low")), Shape::of_sizes(&sizes(params, "high")));
    Some(match name {
        "pad" => of(move |x| x[0].pad(low, high)),
        "concat" => of(move |x| concat(x, axis as usize)),
        "mean" => of(move |x| x[0].mean(axes)),
        "relu" => of(|x| x[0].relu()),
        "gelu" => of(|x| x[0].gelu()),
        "gelu_tanh" => of(|x| {
            let inner = (x[0] + x[0] * x[0] * x[0] * 0.044715) * (2.0 / std::f64::consts::PI).sqrt();
            x[0] * 0.5 * (inner.tanh() + 1.0)
        }),
        "silu" => of(|x| x[0].silu()),
        "matmul" => of(|x| x[0].matmul(x[1])),
        "softmax" => of(move |x| x[0].softmax(axis)),
        "log_softmax" => of(move |x| x[0].log_softmax(axis)),
        "layer_norm" => of(move |x| x[0].layer_norm(Some(x[1]), Some(x[2]), eps)),
        "norm" => of(|x| x[0].norm()),
        "cross_entropy" => of(|x| x[0].cross_entropy(x[1])),
        "mse_loss" => of(|x| x[0].mse_loss(x[1])),
        "bce_with_logits" => of(|x| x[0].binary_cross_entropy_with_logits(x[1])),
        "linear" => of(|x| x[0].matmul(x[1].t()) + x[2]),
        _ => return None,
    })
}

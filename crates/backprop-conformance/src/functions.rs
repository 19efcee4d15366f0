//! What the names in the golden files mean here.

use std::rc::Rc;

use backprop_core::graph::place::Line;
use backprop_core::ops::{Axes, Constant};
use backprop_core::text::{Registry, parse};
use backprop_core::{Array, ContextId, Ill, Op, Tensor, Type};
use serde_json::Value;

use crate::bodies::body;
use crate::golden::{array, sizes};

/// A function of tensors in a context.
pub type Function = Rc<dyn Fn(ContextId, &[Tensor]) -> Vec<Tensor>>;

#[track_caller]
fn here() -> Line {
    Line::Code(std::panic::Location::caller())
}

/// The function that is one call of `op`.
pub fn of_op(op: &Op) -> Function {
    let op = op.clone();
    Rc::new(move |context, x| context.emit(op.clone(), x, here()).iter().collect())
}

/// An array that is known when the function is built.
pub(crate) fn constant(context: ContextId, array: Array) -> Tensor {
    context.emit(Constant { array: array.into() }.into(), &[], here()).one()
}

fn of(f: impl Fn(&[Tensor]) -> Tensor + 'static) -> Function {
    Rc::new(move |_, x| vec![f(x)])
}

/// The function of a name in the golden files, which has `n_outputs`; `None` for a name that is unknown.
///
/// The parameters of an op stand there under the names that they have in graph text.
pub fn named(name: &str, params: &Value, n_outputs: usize) -> Option<Function> {
    if let Some(composite) = composite(name, params) {
        return Some(composite);
    }
    Registry::new().names().find(|own| *own == name)?;
    let (name, params) = (name.to_string(), params.clone());
    Some(Rc::new(move |context, x| {
        let types: Option<Vec<Type>> = x.iter().map(|x| x.ty()).collect();
        let op = types
            .ok_or_else(|| "an operand is ill".to_string())
            .and_then(|types| op_of(&name, &params, &types, n_outputs));
        match op {
            Ok(op) => context.emit(op, x, here()).iter().collect(),
            Err(why) => {
                let ill = backprop_core::ops::IllCall::new(&name, Ill::new(why));
                vec![context.emit(ill.into(), x, here()).one(); n_outputs]
            }
        }
    }))
}

/// The op that a text makes of these parameters.
fn op_of(name: &str, params: &Value, inputs: &[Type], n_outputs: usize) -> Result<Op, String> {
    let list = |prefix: &str, n: usize| -> String {
        (0..n).map(|idx| format!("{prefix}{idx}")).collect::<Vec<_>>().join(", ")
    };
    let mut text = "graph {\n".to_string();
    for (idx, ty) in inputs.iter().enumerate() {
        text.push_str(&format!("  x{idx} = input : {ty}\n"));
    }
    let attributes: Vec<String> = (params.as_object().into_iter().flatten())
        .filter(|(key, _)| *key != "type")
        .map(|(key, value)| format!("{key}: {}", value.as_str().map_or(value.to_string(), str::to_string)))
        .collect();
    let outputs = list("y", n_outputs);
    text.push_str(&format!(
        "  {outputs} = {name}({}) {{{}}}",
        list("x", inputs.len()),
        attributes.join(", ")
    ));
    if let Some(ty) = params["type"].as_str() {
        text.push_str(&format!(" : {ty}"));
    }
    text.push_str(&format!("\n  return {outputs}\n}}\n"));
    let document =
        parse(&text, "golden.graph", &|_| None, &Registry::new()).map_err(|error| error.to_string())?;
    let last = document.records.nodes().last().ok_or("an empty graph")?;
    Ok(last.op.clone())
}

fn composite(name: &str, params: &Value) -> Option<Function> {
    let axis = params["axis"].as_i64().unwrap_or(0);
    let eps = params["eps"].as_f64().unwrap_or(0.0);
    let axes = Axes::new(&sizes(params, "axes"));
    if let Some(body) = params["body"].as_str().and_then(|own| body(name, own)) {
        return Some(Rc::new(move |_, x| body(x)));
    }
    Some(match name {
        // Its array is no attribute.
        "constant" => {
            let own = array(&params["array"]);
            Rc::new(move |context, _| vec![constant(context, own.clone())])
        }
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
        "layer_norm" => of(move |x| x[0].layer_norm(Some(x[1]), Some(x[2]), eps)),
        "cross_entropy" => of(|x| x[0].cross_entropy(x[1])),
        "mse_loss" => of(|x| x[0].mse_loss(x[1])),
        "bce_with_logits" => of(|x| x[0].binary_cross_entropy_with_logits(x[1])),
        "linear" => of(|x| x[0].matmul(x[1].t()) + x[2]),
        _ => return None,
    })
}

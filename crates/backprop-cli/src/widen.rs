//! A graph with f64 in place of f32: differences need the digits.

use std::sync::Arc;

use backprop_core::graph::records::Inputs;
use backprop_core::ops::*;
use backprop_core::{Array, Body, DType, Op, Records, Type};

/// The same nodes, values, names and places, every f32 an f64.
pub fn widen(records: &Records) -> Result<Records, String> {
    let mut wide = Records::default();
    for id in (0..).map_while(|id| records.file(id)) {
        wide.add_file(id);
    }
    for (name, dim) in records.assumptions() {
        wide.assume(name, *dim);
    }
    for node in records.nodes() {
        let inputs: Inputs = node.inputs.clone();
        wide.push(widen_op(&node.op)?, inputs, node.place, node.part);
    }
    for (value, name) in records.names() {
        wide.set_name(value, name)?;
    }
    Ok(wide)
}

fn widen_op(op: &Op) -> Result<Op, String> {
    Ok(match op {
        Op::Input(input) => Input { ty: widen_type(input.ty) }.into(),
        Op::Constant(constant) => Constant { array: Arc::new(widen_array(&constant.array)) }.into(),
        Op::Full(full) if full.ty.dtype == DType::F32 => {
            let wide = Full::new(widen_type(full.ty), full.value());
            wide.map_err(|ill| ill.rule)?.into()
        }
        Op::Iota(iota) => Iota { ty: widen_type(iota.ty), ..*iota }.into(),
        Op::Cast(cast) => Cast { dtype: widen_dtype(cast.dtype) }.into(),
        Op::OneHot(one_hot) => OneHot { dtype: widen_dtype(one_hot.dtype), ..*one_hot }.into(),
        Op::Uniform(uniform) => Uniform { ty: widen_type(uniform.ty) }.into(),
        Op::Normal(normal) => Normal { ty: widen_type(normal.ty) }.into(),
        Op::Cond(cond) => {
            Cond { then: widen_body(&cond.then)?, otherwise: widen_body(&cond.otherwise)? }.into()
        }
        Op::Scan(scan) => Scan { body: widen_body(&scan.body)?, ..(**scan).clone() }.into(),
        // These take the type of their operands.
        other => other.clone(),
    })
}

/// Bodies are nested as deeply as the user nested them, not as the graph is deep.
fn widen_body(body: &Body) -> Result<Arc<Body>, String> {
    let records = widen(body.records())?;
    let (parameters, outputs) = (body.parameters().to_vec(), body.outputs().to_vec());
    Body::new(records, parameters, outputs, body.n_captures()).map(Arc::new).map_err(|ill| ill.rule)
}

fn widen_dtype(dtype: DType) -> DType {
    if dtype == DType::F32 { DType::F64 } else { dtype }
}

/// The type with f64 in place of f32.
pub fn widen_type(ty: Type) -> Type {
    Type { dtype: widen_dtype(ty.dtype), ..ty }
}

/// The array with f64 in place of f32.
pub fn widen_array(array: &Array) -> Array {
    array.cast(widen_dtype(array.dtype()))
}

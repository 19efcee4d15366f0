//! `backprop ops`: every operation with its equation, its gradient, and a sample.

use backprop_core::ops::{Attribute, Family};
use backprop_core::{Array, Op, Type};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::samples::{Sample, samples};
use crate::suggest::suggest;
use crate::talk::print;

/// The arguments.
pub fn command() -> Command {
    Command::new("ops")
        .about("List the operations: equation, gradient, parameters, a sample")
        .arg(Arg::new("NAME").num_args(0..).help("Only these operations"))
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("As one JSON array"))
        .after_help("Examples:\n  backprop ops\n  backprop ops tanh contract\n  backprop ops --json")
}

/// Lists.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let all = samples();
    let wanted: Vec<&String> = matches.get_many::<String>("NAME").into_iter().flatten().collect();
    for name in &wanted {
        if !all.iter().any(|sample| sample.op.name() == name.as_str()) {
            let hint = suggest(name, all.iter().map(|sample| sample.op.name()));
            return Err(Failure::usage(format!("there is no operation `{name}`{hint}")));
        }
    }
    let shown: Vec<&Sample> = all
        .iter()
        .filter(|sample| wanted.is_empty() || wanted.iter().any(|name| *name == sample.op.name()))
        .collect();
    if matches.get_flag("json") {
        let list: Vec<Value> = shown.iter().map(|sample| object(sample)).collect::<Result<_, _>>()?;
        let text = serde_json::to_string_pretty(&list).map_err(Failure::failed)?;
        return print(text);
    }
    let blocks: Vec<String> = shown.iter().map(|sample| block(sample)).collect::<Result<_, _>>()?;
    print(blocks.join("\n"))
}

/// `tanh(x)`, then equation, gradient and sample, each on a line of its own.
fn block(sample: &Sample) -> Result<String, Failure> {
    let rule = sample.op.rule();
    let (equation, gradient) = rule.equation();
    let parameters = parameters(&sample.op);
    let names: Vec<&str> = parameters.iter().map(|(name, _)| *name).collect();
    let given: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let more = if sample.variadic { ", ..." } else { "" };
    let mut text =
        format!("{}({}{more}){}\n", sample.op.name(), rule.roles().join(", "), braces(&names.join(", ")));
    text.push_str(&format!("  value     {equation}\n  gradient  {gradient}\n"));
    let operands: Vec<String> = sample.operands.iter().map(flat).collect();
    let results: Vec<String> = sample.results()?.iter().map(flat).collect();
    let (operands, results, given) = (operands.join(", "), results.join(", "), braces(&given.join(", ")));
    text.push_str(&format!("  sample    ({operands}){given} → {results}\n"));
    Ok(text)
}

/// ` {axis: 0}`, or nothing.
fn braces(list: &str) -> String {
    if list.is_empty() { String::new() } else { format!(" {{{list}}}") }
}

/// What an op is told beside its operands, with the sample's own. In graph text a type stands after the
/// call, and a constant's array before it.
fn parameters(op: &Op) -> Vec<(&'static str, String)> {
    let attributes = op.rule().attributes();
    let mut all: Vec<(&str, String)> = attributes.iter().map(|(name, value)| (*name, plain(value))).collect();
    match op {
        Op::Full(full) => all.push(("type", full.ty.to_string())),
        Op::Iota(iota) => all.push(("type", iota.ty.to_string())),
        Op::Uniform(uniform) => all.push(("type", uniform.ty.to_string())),
        Op::Normal(normal) => all.push(("type", normal.ty.to_string())),
        Op::Constant(constant) => all.push(("array", flat(&constant.array))),
        _ => {}
    }
    all
}

fn plain(attribute: &Attribute) -> String {
    match attribute {
        Attribute::Int(x) => x.to_string(),
        Attribute::Float(x) => format!("{x:?}"),
        Attribute::Ints(list) => format!("{list:?}"),
        Attribute::Dim(dim) => dim.to_string(),
        Attribute::Shape(shape) => shape.to_string(),
        Attribute::Dims(dims) => dims.to_string(),
        Attribute::DType(dtype) => dtype.to_string(),
        Attribute::Name(name) => name.clone(),
        Attribute::Body(body) => format!("body of {} operations", body.records().n_nodes()),
    }
}

/// An array on one line.
fn flat(array: &Array) -> String {
    let lines: Vec<String> = array.to_string().lines().map(|line| line.trim().to_string()).collect();
    lines.join(" ")
}

fn object(sample: &Sample) -> Result<Value, Failure> {
    let rule = sample.op.rule();
    let (equation, gradient) = rule.equation();
    let parameters = parameters(&sample.op);
    let names: Vec<&str> = parameters.iter().map(|(name, _)| *name).collect();
    let given: Map<String, Value> =
        parameters.iter().map(|(name, value)| (name.to_string(), Value::from(value.clone()))).collect();
    let typed = |array: &Array| {
        let ty = Type::new(array.dtype(), array.shape());
        json!({ "type": ty.to_string(), "values": values(array) })
    };
    Ok(json!({
        "name": sample.op.name(),
        "arity": sample.operands.len(),
        "variadic": sample.variadic,
        "operands": rule.roles(),
        "outputs": rule.n_outputs(),
        "parameters": names,
        "equation": equation,
        "gradient": gradient,
        "family": match rule.family() {
            Family::None(_) => "none",
            Family::Pointwise(_) => "pointwise",
            Family::Linear(_) => "linear",
            Family::Bilinear(_) => "bilinear",
            Family::General(_) => "general",
        },
        "samples": [{
            "operands": sample.operands.iter().map(typed).collect::<Vec<_>>(),
            "parameters": given,
            "results": sample.results()?.iter().map(typed).collect::<Vec<_>>(),
        }],
    }))
}

/// The elements in order; JSON has no NaN and no infinity, so they are strings.
fn values(array: &Array) -> Vec<Value> {
    match array.dtype() {
        backprop_core::DType::Bool => array.to_i64s().iter().map(|&x| Value::from(x != 0)).collect(),
        dtype if dtype.is_int() => array.to_i64s().into_iter().map(Value::from).collect(),
        _ => array
            .to_f64s()
            .into_iter()
            .map(|x| if x.is_finite() { Value::from(x) } else { Value::from(x.to_string()) })
            .collect(),
    }
}

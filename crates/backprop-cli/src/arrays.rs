//! Arrays that a graph reads, from npz files.

use std::path::Path;
use std::sync::Arc;

use backprop_core::graph::replay::needed;
use backprop_core::random::uniform_f64;
use backprop_core::{Array, Element, Graph, Op, Tensor, Type, ValueId, with_data};
use backprop_io::npz;

use crate::failure::Failure;
use crate::suggest::nearest;
use crate::talk::say;

/// The inputs that `outputs` need, each with its array: a known one, or from the file.
///
/// Arrays that are for no input of the graph are remarked on stderr.
pub fn inputs(
    graph: &Graph,
    outputs: &[Tensor],
    file: Option<&Path>,
    known: &[(Tensor, Array)],
) -> Result<Vec<(Tensor, Array)>, Failure> {
    let wanted = needed_inputs(graph, outputs);
    let (arrays, shown) = match file {
        Some(path) => (npz::load(path)?, path.display().to_string()),
        None => (Vec::new(), String::new()),
    };
    let names: Vec<&str> = arrays.iter().map(|(name, _)| name.as_str()).collect();
    let records = graph.records();
    let mut found = Vec::with_capacity(wanted.len());
    for &(value, ty) in &wanted {
        if let Some(own) = known.iter().find(|(tensor, _)| tensor.id() == value) {
            found.push(own.clone());
            continue;
        }
        let name = records.label(value);
        let Some(at) = names.iter().position(|known| *known == name) else {
            if file.is_none() {
                return Err(Failure::usage(format!(
                    "the graph reads {}: give the arrays with --in FILE.npz",
                    list(&records, &wanted)
                )));
            }
            let hint = match nearest(&name, &names) {
                Some(near) => format!("; it holds `{near}`: did you mean that?"),
                None if names.is_empty() => "; it is empty".to_string(),
                None => format!("; it holds {}", names.join(", ")),
            };
            return Err(Failure::failed(format!(
                "{shown}: no array `{name}` for the input {name} {ty}{hint}"
            )));
        };
        let array = arrays[at].1.clone();
        check_type(&shown, &name, ty, &array)?;
        found.push((graph.tensor(value), array));
    }
    let declared: Vec<String> = graph.inputs().iter().map(|(input, _)| records.label(input.id())).collect();
    for name in names.iter().filter(|name| !declared.iter().any(|own| own == **name)) {
        say(format!("note: {shown}: nothing reads `{name}`"));
    }
    Ok(found)
}

/// One array from a file: the one called `name`, or the only one there is.
pub fn one(path: &Path, name: &str) -> Result<Array, Failure> {
    let mut arrays = npz::load(path)?;
    if let Some(at) = arrays.iter().position(|(own, _)| own == name) {
        return Ok(arrays.swap_remove(at).1);
    }
    match arrays.len() {
        1 => Ok(arrays.swap_remove(0).1),
        n => Err(Failure::failed(format!("{}: no array `{name}` among its {n} arrays", path.display()))),
    }
}

/// The inputs that `outputs` depend on, with their types, in the order of the graph.
pub fn needed_inputs(graph: &Graph, outputs: &[Tensor]) -> Vec<(ValueId, Type)> {
    let records = graph.records();
    let outputs: Vec<ValueId> = outputs.iter().map(|output| output.id()).collect();
    let nodes = needed(&records, &outputs, |_| false);
    let inputs = nodes.into_iter().map(|id| records.node(id)).filter_map(|node| match node.op {
        Op::Input(input) => Some((node.first, input.ty)),
        _ => None,
    });
    inputs.collect()
}

fn list(records: &backprop_core::Records, inputs: &[(ValueId, Type)]) -> String {
    let inputs: Vec<String> =
        inputs.iter().map(|&(value, ty)| format!("{} {ty}", records.label(value))).collect();
    inputs.join(", ")
}

/// Says what NumPy users stumble over first: its floats are f64, its integers i64.
fn check_type(file: &str, name: &str, ty: Type, array: &Array) -> Result<(), Failure> {
    let given = Type::new(array.dtype(), array.shape());
    if ty.dtype != given.dtype {
        let numpy = match ty.dtype.name() {
            "bool" => "bool_".to_string(),
            name if name.starts_with('f') => name.replace('f', "float"),
            name => name.replace('u', "uint").replace('i', "int").replace("uintnt", "uint"),
        };
        return Err(Failure::failed(format!(
            "{file}: input {name} is declared {ty}, but the file holds {given}; \
             in Python: {name}.astype(numpy.{numpy})"
        )));
    }
    if ty.shape.rank() != given.shape.rank() {
        let (want, got) = (ty.shape.rank(), given.shape.rank());
        return Err(Failure::failed(format!(
            "{file}: input {name} is declared {ty} with {want} axes, but the file holds {given} with {got}"
        )));
    }
    Ok(())
}

/// An array without pattern: floats from -2 to 2, integers 0, 1, 0, ..., truth values alternating. Each stream of a
/// seed is another one.
pub fn random(ty: Type, sizes: &[usize], seed: u64, stream: usize) -> Result<Array, String> {
    // Room for it, or an error: a size may be anything.
    let mut array = Array::zeros(ty.dtype, sizes).map_err(|error| error.to_string())?;
    let key = [seed as u32, (seed >> 32) as u32, stream as u32, 0];
    let value = |i: usize| match ty.dtype.is_float() {
        true => 4.0 * uniform_f64(key, i as u64) - 2.0,
        false => (i % 2) as f64,
    };
    with_data!(array.data_mut(), |values| {
        let values = Arc::make_mut(values).iter_mut().enumerate();
        values.for_each(|(i, x)| *x = Element::from_f64(value(i)));
    });
    Ok(array)
}

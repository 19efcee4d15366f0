//! `backprop grad`: derivatives of a graph, as numbers, as a graph, as formulas, on the board.

use std::collections::HashMap;

use backprop_ad::{GradTable, grad_table, vjp};
use backprop_core::text::print as print_graph;
use backprop_core::{Array, Graph, Tensor, Type, ValueId};
use backprop_run::compile;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::{constants_option, eval, file_option, path, path_arg};
use crate::arrays;
use crate::failure::Failure;
use crate::graph_file::{GraphFile, name_if_free};
use crate::talk::{print, say};

/// The arguments.
pub fn command() -> Command {
    Command::new("grad")
        .about("Differentiate a graph: numbers, the differentiated graph, or the grad_table step by step")
        .arg(path_arg("FILE.graph", "The graph, as text"))
        .arg(Arg::new("of").long("of").value_name("NAME").required(true).help("The value to differentiate"))
        .arg(
            Arg::new("wrt")
                .long("wrt")
                .value_name("NAME,NAME")
                .required(true)
                .value_delimiter(',')
                .help("The values to differentiate with respect to"),
        )
        .arg(file_option(
            "cotangent",
            "D.npz",
            "dz/d(of), for a value that is no scalar (a vector-Jacobian product)",
        ))
        .arg(
            Arg::new("order")
                .long("order")
                .value_name("K")
                .default_value("1")
                .value_parser(value_parser!(u32).range(1..=16))
                .help("How often to differentiate, each time the sum of the last result"),
        )
        .arg(file_option("in", "X.npz", "The inputs, by name"))
        .arg(file_option(
            "out",
            "G.npz",
            "Where the gradients go, by name of --wrt; without it they are printed",
        ))
        .arg(flag("print", "Print the differentiated graph, and the formula of each gradient in its comments"))
        .arg(flag("explain", "Print the grad_table as it is filled, in words, and in numbers with --in or where nothing is read"))
        .arg(constants_option())
        .after_help(
            "Of order K > 1, s1 is the sum of all elements of the first gradients, s2 that of their\n\
             gradients, and so on; what is printed is ds1/dw, ds2/dw, ...\n\n\
             Examples:\n  backprop grad model.graph --of loss --wrt w,b --in x.npz --out g.npz\n  \
             backprop grad model.graph --of loss --wrt w --order 2 --in x.npz\n  \
             backprop grad model.graph --of p --wrt w --cotangent d.npz --in x.npz\n  \
             backprop grad model.graph --of loss --wrt w,b --print\n  \
             backprop grad model.graph --of loss --wrt w,b --explain --in x.npz",
        )
}

fn flag(id: &'static str, help: &'static str) -> Arg {
    Arg::new(id).long(id).action(ArgAction::SetTrue).help(help)
}

/// What to differentiate.
struct Question<'a> {
    of: (&'a str, Tensor),
    wrt: Vec<(&'a str, Tensor)>,
    /// dz/d(of), where it is no scalar: an input of its own in the graph, with what is given for it.
    cotangent: Option<(Tensor, Array)>,
    order: u32,
}

/// One sweep: what was differentiated, what it is called, and the table.
struct Sweep {
    z: String,
    table: GradTable,
}

/// Differentiates.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let file = path(matches, "FILE.graph").expect("clap demands it");
    let file = GraphFile::load(file, path(matches, "constants"))?;
    let question = question(matches, &file)?;
    let sweeps = differentiate(&file.graph, &question);
    let last = sweeps.last().expect("the order is 1 or more");
    let gradients = last.table.gradients();
    file.graph.check(gradients)?;

    let (prints, explains) = (matches.get_flag("print"), matches.get_flag("explain"));
    let delivers = path(matches, "out").is_some() || !(prints || explains);
    let known = path(matches, "in").is_some() || file.graph.inputs().is_empty();
    let numbers = match delivers || (explains && known) {
        true => Some(compute(matches, &file, &question, &sweeps, explains)?),
        false => None,
    };
    remark_zeros(&question, &last.table);
    if explains {
        print(boards(&question, &sweeps, numbers.as_ref()))?;
    }
    if prints {
        print_derivative(&file, &question, last)?;
    }
    match numbers {
        Some(numbers) if delivers => {
            let names = question.wrt.iter().map(|(name, _)| *name);
            let named: Vec<(&str, &Array)> = names.zip(gradients.iter().map(|d| &numbers[&d.id()])).collect();
            eval::deliver(matches, &named)
        }
        _ => Ok(()),
    }
}

fn question<'a>(matches: &'a ArgMatches, file: &GraphFile) -> Result<Question<'a>, Failure> {
    let of = matches.get_one::<String>("of").expect("clap demands it").as_str();
    let names = matches.get_many::<String>("wrt").expect("clap demands it").map(|name| name.trim());
    let mut wrt: Vec<(&str, Tensor)> = Vec::new();
    for name in names {
        if wrt.iter().any(|(known, _)| *known == name) {
            return Err(Failure::usage(format!("--wrt: `{name}` is given twice")));
        }
        wrt.push((name, file.value("--wrt", name)?));
    }
    let value = file.value("--of", of)?;
    let ty = value.ty();
    let cotangent = match path(matches, "cotangent") {
        Some(path) => Some((path, arrays::one(path, of)?)),
        None => None,
    };
    match (ty, &cotangent) {
        (Some(ty), _) if !ty.dtype.is_float() => {
            let why = format!("--of: `{of}` is {ty}, and only floats have derivatives");
            return Err(Failure::usage(why));
        }
        (Some(ty), None) if ty.shape.rank() > 0 => {
            let why = format!("--of: `{of}` is {ty}, no scalar: give dz/d{of} with --cotangent D.npz");
            return Err(Failure::usage(why));
        }
        (Some(ty), Some((path, d))) if ty.dtype != d.dtype() || ty.shape.rank() != d.rank() => {
            let (file, given) = (path.display(), Type::new(d.dtype(), d.shape()));
            let why =
                format!("{file}: `{of}` is {ty}, but the cotangent is {given}: it must be of the same type");
            return Err(Failure::failed(why));
        }
        _ => {}
    }
    let cotangent = cotangent.map(|(_, array)| (cotangent_input(file, of, value), array));
    let order = *matches.get_one::<u32>("order").expect("it has a default");
    Ok(Question { of: (of, value), wrt, cotangent, order })
}

/// An input of the type of `value`, under a name that is free.
fn cotangent_input(file: &GraphFile, of: &str, value: Tensor) -> Tensor {
    let ty = value.ty().map_or_else(|| "f32[]".to_string(), |ty| ty.to_string());
    let names = (0..).map(|n| format!("d{of}{}", "_".repeat(n)));
    let free = names.into_iter().find(|name| file.graph.get(name).is_none());
    file.graph.input(&free.expect("some name is free"), ty.as_str())
}

/// `grad`, K times, each time of the sum of the last result.
fn differentiate(graph: &Graph, question: &Question) -> Vec<Sweep> {
    let targets: Vec<Tensor> = question.wrt.iter().map(|&(_, target)| target).collect();
    let (name, z) = question.of;
    let table = match &question.cotangent {
        Some((d, _)) => vjp(&[(z, *d)], &targets),
        None => grad_table(z, &targets),
    };
    let mut sweeps = vec![Sweep { z: name.to_string(), table }];
    for k in 1..question.order {
        let before = &sweeps[k as usize - 1];
        for (name, gradient) in titles(question, before).into_iter().zip(before.table.gradients()) {
            name_if_free(graph, *gradient, &name);
        }
        let (z, name) = (sum_of(before.table.gradients()), format!("s{k}"));
        name_if_free(graph, z, &name);
        sweeps.push(Sweep { z: name, table: grad_table(z, &targets) });
    }
    sweeps
}

/// What the gradients of a sweep are called: `dloss/dw`.
fn titles(question: &Question, sweep: &Sweep) -> Vec<String> {
    question.wrt.iter().map(|(name, _)| format!("d{}/d{name}", sweep.z)).collect()
}

/// The sum of all elements of all gradients.
fn sum_of(gradients: &[Tensor]) -> Tensor {
    let whole = |gradient: &Tensor| match gradient.shape() {
        Some(shape) if shape.rank() == 0 => *gradient,
        _ => gradient.sum(()),
    };
    let mut sums = gradients.iter().map(whole);
    let first = sums.next().expect("there is a target");
    // A value of its own, which can be named.
    let first = if gradients.len() == 1 { first.identity() } else { first };
    sums.fold(first, |sum, next| sum + next)
}

/// The numbers of the gradients; with `all` those of every value that a table speaks of.
fn compute(
    matches: &ArgMatches,
    file: &GraphFile,
    question: &Question,
    sweeps: &[Sweep],
    all: bool,
) -> Result<HashMap<ValueId, Array>, Failure> {
    let mut wanted: Vec<Tensor> = sweeps.last().map_or(Vec::new(), |last| last.table.gradients().to_vec());
    if all {
        let tables = || sweeps.iter().map(|sweep| &sweep.table);
        let records = file.graph.records();
        wanted
            .extend(tables().flat_map(|table| table.entries()).flat_map(|&(v, d)| [file.graph.tensor(v), d]));
        for step in tables().flat_map(|table| table.steps()) {
            wanted.extend(records.node(step.node).outputs().map(|output| file.graph.tensor(output)));
            wanted.extend([step.contribution, step.sum]);
        }
    }
    let own: Vec<(Tensor, Array)> = question.cotangent.iter().cloned().collect();
    let given = arrays::inputs(&file.graph, &wanted, path(matches, "in"), &own)?;
    let (inputs, values): (Vec<Tensor>, Vec<Array>) = given.into_iter().unzip();
    let mut numbers = HashMap::new();
    let executable = compile(&file.graph, &inputs, &wanted)?;
    let results = match all {
        true => executable.run_watched(&values, &mut |value, array| {
            numbers.insert(value, array.clone());
        })?,
        false => executable.run(&values)?,
    };
    numbers.extend(wanted.iter().map(|value| value.id()).zip(results));
    Ok(numbers)
}

fn remark_zeros(question: &Question, table: &GradTable) {
    for (idx, (name, _)) in question.wrt.iter().enumerate() {
        if let Some(reason) = table.reason(idx) {
            say(format!("note: the gradient of {name} is zero: {reason}"));
        }
    }
}

fn print_derivative(file: &GraphFile, question: &Question, last: &Sweep) -> Result<(), Failure> {
    let titles = titles(question, last);
    let named = || titles.iter().zip(last.table.gradients());
    for (title, gradient) in named() {
        name_if_free(&file.graph, *gradient, title);
    }
    let records = file.graph.records();
    let mut outputs: Vec<(String, ValueId)> =
        file.outputs.iter().map(|(name, value)| (name.clone(), value.id())).collect();
    outputs.extend(named().map(|(title, gradient)| (title.clone(), gradient.id())));
    let printed = print_graph(&records, &outputs);
    let mut text = printed.text;
    text.push('\n');
    for (title, gradient) in named() {
        let formula = gradient.formula();
        match formula.strip_prefix(&format!("{title} = ")) {
            Some(_) => text.push_str(&format!("# {formula}\n")),
            None => text.push_str(&format!("# {title} = {formula}\n")),
        }
    }
    print(text)
}

/// Each sweep on the board: with numbers where there are inputs.
fn boards(question: &Question, sweeps: &[Sweep], numbers: Option<&HashMap<ValueId, Array>>) -> String {
    let mut text = String::new();
    for (k, sweep) in sweeps.iter().enumerate() {
        if k > 0 {
            let sums: Vec<String> =
                titles(question, &sweeps[k - 1]).iter().map(|title| format!("Σ({title})")).collect();
            text.push_str(&format!("\norder {}: {} = {}\n\n", k + 1, sweep.z, sums.join(" + ")));
        }
        text.push_str(&match numbers {
            Some(numbers) => sweep.table.explain_with(&|tensor| numbers.get(&tensor.id()).cloned()),
            None => sweep.table.explain(),
        });
    }
    text
}

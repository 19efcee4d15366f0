//! `backprop grad`: derivatives of a graph, as numbers, as a graph, as formulas, on the board.

use std::collections::HashMap;
use std::path::Path;

use backprop_ad::{GradTable, explain, grad_table, vjp};
use backprop_core::text::print as print_graph;
use backprop_core::{Array, Tensor, ValueId, formula, replay};
use backprop_run::{Tape, compile};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::{constants_option, eval, file_option, path, path_arg};
use crate::arrays;
use crate::failure::Failure;
use crate::graph_file::GraphFile;
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
        .arg(flag("print", "Print the differentiated graph and the formula of each gradient"))
        .arg(flag("explain", "Print the grad_table as it is filled, in words, and in numbers with --in"))
        .arg(constants_option())
        .after_help(
            "Examples:\n  backprop grad model.graph --of loss --wrt w,b --in x.npz --out g.npz\n  \
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

/// Differentiates.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let file = path(matches, "FILE.graph").expect("clap demands it");
    let file = GraphFile::load(file, path(matches, "constants"))?;
    let question = question(matches, &file)?;
    let data = path(matches, "in");
    let (prints, explains) = (matches.get_flag("print"), matches.get_flag("explain"));
    if explains {
        explain_on_board(&file, &question, data)?;
    }
    let gradients = differentiate(&question);
    remark_zeros(&question, &gradients);
    let gradients: Vec<Tensor> = gradients.gradients().to_vec();
    file.graph.check(&gradients)?;
    if prints {
        print_derivative(&file, &question, &gradients)?;
    }
    if (prints || explains) && path(matches, "out").is_none() {
        return Ok(());
    }
    let given = question.given(&file, &gradients, data)?;
    let (inputs, values): (Vec<Tensor>, Vec<Array>) = given.into_iter().unzip();
    let results = compile(&file.graph, &inputs, &gradients)?.run(&values)?;
    let named: Vec<(&str, &Array)> = question.wrt.iter().map(|(name, _)| *name).zip(&results).collect();
    eval::deliver(matches, &named)
}

fn question<'a>(matches: &'a ArgMatches, file: &GraphFile) -> Result<Question<'a>, Failure> {
    let of = matches.get_one::<String>("of").expect("clap demands it").as_str();
    let names = matches.get_many::<String>("wrt").expect("clap demands it");
    let mut wrt: Vec<(&str, Tensor)> = Vec::new();
    for name in names {
        if wrt.iter().any(|(known, _)| known == name) {
            return Err(Failure::usage(format!("--wrt: `{name}` is given twice")));
        }
        wrt.push((name, file.value("--wrt", name)?));
    }
    let value = file.value("--of", of)?;
    let cotangent = path(matches, "cotangent").map(|path| arrays::one(path, of)).transpose()?;
    let order = *matches.get_one::<u32>("order").expect("it has a default");
    if let Some(ty) = value.ty()
        && cotangent.is_none()
        && ty.shape.rank() > 0
    {
        let why = format!("--of: `{of}` is {ty}, no scalar: give dz/d{of} with --cotangent D.npz");
        return Err(Failure::usage(why));
    }
    if let (Some(ty), Some(d)) = (value.ty(), &cotangent)
        && (ty.dtype != d.dtype() || ty.shape.rank() != d.rank())
    {
        let given = backprop_core::Type::new(d.dtype(), d.shape());
        return Err(Failure::failed(format!("--cotangent: `{of}` is {ty}, but the cotangent is {given}")));
    }
    let cotangent = cotangent.map(|array| (cotangent_input(file, of, value), array));
    Ok(Question { of: (of, value), wrt, cotangent, order })
}

/// An input of the type of `value`, under a name that is free.
fn cotangent_input(file: &GraphFile, of: &str, value: Tensor) -> Tensor {
    let ty = value.ty().map_or_else(|| "f32[]".to_string(), |ty| ty.to_string());
    let names = (0..).map(|n| format!("d{of}{}", "_".repeat(n)));
    let free = names.into_iter().find(|name| file.graph.get(name).is_none());
    file.graph.input(&free.expect("some name is free"), ty.as_str())
}

impl Question<'_> {
    /// The inputs that `outputs` need, the cotangent among them.
    fn given(
        &self,
        file: &GraphFile,
        outputs: &[Tensor],
        data: Option<&Path>,
    ) -> Result<Vec<(Tensor, Array)>, Failure> {
        let own: Vec<(Tensor, Array)> = self.cotangent.iter().cloned().collect();
        let given = arrays::inputs(&file.graph, outputs, data, &own)?;
        Ok(given)
    }
}

/// `grad`, K times, each time of the sum of the last result.
fn differentiate(question: &Question) -> GradTable {
    let targets: Vec<Tensor> = question.wrt.iter().map(|&(_, target)| target).collect();
    let mut z = question.of.1;
    let mut table = match &question.cotangent {
        Some((d, _)) => vjp(&[(z, *d)], &targets),
        None => grad_table(z, &targets),
    };
    for _ in 1..question.order {
        z = sum_of(table.gradients());
        table = grad_table(z, &targets);
    }
    table
}

/// The sum of all elements of all gradients.
fn sum_of(gradients: &[Tensor]) -> Tensor {
    let mut sums = gradients.iter().map(|gradient| gradient.sum(()));
    let first = sums.next().expect("there is a target");
    sums.fold(first, |sum, next| sum + next)
}

fn remark_zeros(question: &Question, table: &GradTable) {
    for (idx, (name, _)) in question.wrt.iter().enumerate() {
        if let Some(reason) = table.reason(idx) {
            say(format!("note: the gradient of {name} is zero: {reason}"));
        }
    }
}

/// What the gradient with respect to `name` is called: `dloss/dw`, `d²loss/dw²`.
fn title(question: &Question, name: &str) -> String {
    match question.order {
        1 => format!("d{}/d{name}", question.of.0),
        k => format!("grad^{k} {} / {name}", question.of.0),
    }
}

fn print_derivative(file: &GraphFile, question: &Question, gradients: &[Tensor]) -> Result<(), Failure> {
    let records = file.graph.records();
    let mut outputs: Vec<(String, ValueId)> =
        file.outputs.iter().map(|(name, value)| (name.clone(), value.id())).collect();
    let named = || question.wrt.iter().map(|(name, _)| title(question, name)).zip(gradients);
    outputs.extend(named().map(|(title, gradient)| (title, gradient.id())));
    let printed = print_graph(&records, &outputs);
    let mut text = printed.text;
    text.push('\n');
    for (title, gradient) in named() {
        text.push_str(&format!("{title} = {}\n", formula(&records, gradient.id())));
    }
    print(text)
}

/// The sweep of the last order on the board: with numbers where there are inputs.
fn explain_on_board(file: &GraphFile, question: &Question, data: Option<&Path>) -> Result<(), Failure> {
    let Some(data) = data else {
        let table = differentiate(question);
        file.graph.check(table.gradients())?;
        return print(explain(&table, &file.graph.records(), None));
    };
    let z = question.of.1;
    let roots: Vec<Tensor> =
        std::iter::once(z).chain(question.wrt.iter().map(|&(_, target)| target)).collect();
    let roots: Vec<Tensor> = roots.into_iter().chain(question.cotangent.iter().map(|(d, _)| *d)).collect();
    let given = question.given(file, &roots, Some(data))?;
    let tape = Tape::new();
    let on_tape: HashMap<ValueId, Tensor> = given
        .into_iter()
        .map(|(input, array)| {
            let name = file.graph.records().label(input.id());
            (input.id(), tape.value(array).named(&name))
        })
        .collect();
    let ids: Vec<ValueId> = roots.iter().map(|root| root.id()).collect();
    let map = replay(&file.graph.records(), &ids, &on_tape, tape.id());
    let there = Question {
        of: (question.of.0, map[&z.id()]),
        wrt: question.wrt.iter().map(|&(name, target)| (name, map[&target.id()])).collect(),
        cotangent: question.cotangent.as_ref().map(|(d, array)| (map[&d.id()], array.clone())),
        order: question.order,
    };
    let table = differentiate(&there);
    for gradient in table.gradients() {
        gradient.value()?;
    }
    let text = explain(&table, &tape.records(), Some(&|tensor: Tensor| tensor.value().ok()));
    print(text)
}

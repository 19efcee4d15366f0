//! `--size NAME=N`: the sizes of a graph's named dimensions.

use std::collections::BTreeSet;

use backprop_core::{Bindings, Graph, Op};
use clap::{Arg, ArgAction, ArgMatches};

use crate::failure::Failure;
use crate::suggest::suggest;

/// The option.
pub fn option(help: &'static str) -> Arg {
    let option = Arg::new("size").long("size").value_name("NAME=N").help(help);
    option.action(ArgAction::Append).value_delimiter(',')
}

/// What was asked for.
pub struct Sizes {
    /// The named dimensions of the graph's inputs.
    names: BTreeSet<String>,
    /// Those with a size.
    pub asked: Bindings,
}

impl Sizes {
    /// Reads the option.
    pub fn read(matches: &ArgMatches, graph: &Graph) -> Result<Sizes, Failure> {
        let mut names = BTreeSet::new();
        for node in graph.records().nodes() {
            if let Op::Input(input) = &node.op {
                names.extend(input.ty.shape.iter().flat_map(|dim| dim.names()));
            }
        }
        let mut asked = Bindings::new();
        for text in matches.get_many::<String>("size").into_iter().flatten() {
            let wrong = |why: String| Err(Failure::usage(format!("--size {text}: {why}")));
            let Some((name, size)) = text.split_once('=') else {
                return wrong("a name and a size are wanted: --size B=3".to_string());
            };
            let Ok(size) = size.parse::<usize>() else { return wrong(format!("`{size}` is no size")) };
            if !names.contains(name) {
                let hint = suggest(name, names.iter().map(String::as_str));
                return wrong(format!("the graph's inputs have no dimension `{name}`{hint}"));
            }
            if asked.insert(name.to_string(), size).is_some() {
                return wrong(format!("`{name}` is given twice"));
            }
        }
        Ok(Sizes { names, asked })
    }

    /// All: those that were not asked for are 2, 3, 5, 2, ...
    pub fn or_small(self) -> Bindings {
        let small = self.names.into_iter().zip([2, 3, 5].into_iter().cycle());
        small.chain(self.asked).collect()
    }
}

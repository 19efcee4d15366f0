//! `backprop test`: a trained network on the examples that it has not seen.

use backprop_core::Array;
use backprop_train::data::Dataset;
use backprop_train::{Evaluation, confusion, evaluate, predict};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::json;

use super::{path, path_arg};
use crate::config::Data;
use crate::failure::Failure;
use crate::run_dir::{Run, load_data};
use crate::talk::print;

/// The arguments.
pub fn command() -> Command {
    Command::new("test")
        .about("Evaluate a run on its test examples: accuracy, loss, confusion matrix")
        .arg(path_arg("RUN", "The directory of the run"))
        .arg(
            Arg::new("data")
                .long("data")
                .value_name("DIR")
                .value_parser(value_parser!(std::path::PathBuf))
                .help("Where the data is now, if not where it was"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("As one JSON object"))
        .after_help("Examples:\n  backprop test digits\n  backprop test digits --json")
}

/// Evaluates.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let mut run = Run::open(path(matches, "RUN").expect("clap demands it"))?;
    if let Some(folder) = path(matches, "data") {
        match &mut run.config.data {
            Data::Folder(own) => *own = folder.to_path_buf(),
            _ => return Err(Failure::usage("--data: this run was trained on data that is built in")),
        }
    }
    let network = run.network()?;
    let params = run.params(&network)?;
    let data = load_data(&run.config)?;
    if network.ends() != (data.features(), data.classes) {
        return Err(Failure::failed(format!(
            "the run's network takes {} features to {} classes, but {} has {} and {}",
            network.ends().0,
            network.ends().1,
            data.name,
            data.features(),
            data.classes
        )));
    }
    let tested = evaluate(&network.layers, &params, &data.test_x, &data.test_y)?;
    let matrix = confusion(&predict(&network.layers, &params, &data.test_x)?, &data.test_y, data.classes);
    if matches.get_flag("json") {
        let rows: Vec<Vec<i64>> = matrix.to_i64s().chunks(data.classes).map(<[i64]>::to_vec).collect();
        return print(json!({
            "test_accuracy": tested.accuracy, "test_loss": tested.loss, "confusion": rows,
        }));
    }
    print(words(&data, tested, &matrix))
}

/// `test accuracy 0.9777  (351 of 359)`, the loss, the matrix.
fn words(data: &Dataset, tested: Evaluation, matrix: &Array) -> String {
    let (all, counts) = (data.test_y.len(), matrix.to_i64s());
    let right: i64 = counts.iter().step_by(data.classes + 1).sum();
    let width = counts.iter().max().copied().unwrap_or(0).to_string().len().max(2) + 1;
    let mut text = format!(
        "test accuracy {:.4}  ({right} of {all})\ntest loss     {:.4}\n\n\
         confusion: rows are the true class, columns the guess\n",
        tested.accuracy, tested.loss
    );
    let header: String = (0..data.classes).map(|class| format!("{class:>width$}")).collect();
    let rule = "-".repeat(width * (data.classes + 1) + 2);
    text.push_str(&format!("{:>width$} |{header}\n{rule}\n", ""));
    for (class, row) in counts.chunks(data.classes).enumerate() {
        let count = |&count: &i64| if count == 0 { "·".to_string() } else { count.to_string() };
        let cells: String = row.iter().map(|cell| format!("{:>width$}", count(cell))).collect();
        text.push_str(&format!("{class:>width$} |{cells}\n"));
    }
    text
}

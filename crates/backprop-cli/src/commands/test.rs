//! `backprop test`: a trained network on the examples that it has not seen.

use backprop_train::data::Dataset;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::json;

use super::{path, path_arg};
use crate::config::Data;
use crate::failure::Failure;
use crate::learn::Evaluation;
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
    let parameters = run.parameters(&network)?;
    let data = load_data(&run.config)?;
    if [data.features(), data.classes] != [network.sizes[0], network.sizes[network.sizes.len() - 1]] {
        return Err(Failure::failed(format!(
            "the run's layers are {:?}, but {} has {} features and {} classes",
            network.sizes,
            data.name,
            data.features(),
            data.classes
        )));
    }
    let tested = network.evaluate(&parameters, &data.test_x, &data.test_y)?;
    if matches.get_flag("json") {
        return print(json!({
            "test_accuracy": tested.accuracy(), "test_loss": tested.loss, "confusion": tested.confusion,
        }));
    }
    print(words(&data, &tested))
}

/// `test accuracy 0.9777 (351 of 359)`, the loss, the matrix.
fn words(data: &Dataset, tested: &Evaluation) -> String {
    let all = data.test_y.len();
    let right: usize = tested.confusion.iter().enumerate().map(|(class, row)| row[class]).sum();
    let largest = tested.confusion.iter().flatten().max().copied().unwrap_or(0);
    let width = largest.max(data.classes).to_string().len().max(2) + 1;
    let mut text = format!(
        "test accuracy {:.4}  ({right} of {all})\ntest loss     {:.4}\n\nconfusion: rows are the true class, columns the guess\n",
        tested.accuracy(),
        tested.loss
    );
    let header: String = (0..data.classes).map(|class| format!("{class:>width$}")).collect();
    text.push_str(&format!("{:>width$} |{header}\n{}\n", "", "-".repeat((width) * (data.classes + 1) + 2)));
    for (class, row) in tested.confusion.iter().enumerate() {
        let cells: String = row
            .iter()
            .map(|&count| if count == 0 { format!("{:>width$}", "·") } else { format!("{count:>width$}") })
            .collect();
        text.push_str(&format!("{class:>width$} |{cells}\n"));
    }
    text
}

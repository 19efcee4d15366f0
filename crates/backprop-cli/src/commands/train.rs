//! `backprop train`: a network, from a data set to a run directory.

use std::ops::ControlFlow;

use backprop::picture;
use backprop_core::Error;
use backprop_core::graph::place::PlaceText;
use backprop_train::data::Dataset;
use backprop_train::{Engine, Epoch, Fit, TrainError, fit};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::path;
use crate::config::{Config, Data, Rule, SETTINGS, Schedule};
use crate::failure::Failure;
use crate::network::{Network, grouped};
use crate::report::Report;
use crate::run_dir::{Contents, Place, load_data};
use crate::talk::{note_threads, say};

/// The arguments.
pub fn command() -> Command {
    let config = Arg::new("CONFIG.toml")
        .help("Settings, by the names of the options, which override it")
        .value_parser(value_parser!(std::path::PathBuf));
    let settings = SETTINGS.iter().map(|setting| {
        Arg::new(setting.key)
            .long(setting.flag())
            .value_name(setting.value)
            .help(setting.help)
            .allow_hyphen_values(true)
    });
    Command::new("train")
        .about("Train a network of linear layers and ReLU on labelled examples")
        .arg(config)
        .args(settings)
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("One JSON object per epoch, and a last one"),
        )
        .after_help(
            "Examples:\n  backprop train\n  \
             backprop train --data iris --layers 4,16,3 --epochs 20 --out flowers\n  \
             backprop train config.toml --seed 7 --json",
        )
}

/// Trains.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let mut config = settings(matches)?;
    let data = load_data(&config)?;
    let network = network_for(&mut config, &data)?;
    let place = Place::find(&config)?;
    say(opening(&config, &data, &network));

    let mut params = network.init(config.seed)?;
    let mut report = Report::new(format!("{}: {}", data.name, config.summary()), matches.get_flag("json"));
    let plan = Fit { watch: Some(report.watch()), ..config.fit() };
    let each = |epoch: &Epoch| {
        report.epoch(epoch);
        ControlFlow::Continue(())
    };
    let history = fit(&network.layers, &mut params, &data, &plan, each).map_err(refused)?;
    if config.engine == Engine::Graph {
        note_threads(plan.threads, history.threads);
    }
    let tested = report.tested().expect("the last epoch always ends with a test");

    let (graph, outputs) = network.graph()?;
    let outputs: Vec<_> = outputs.iter().map(|&(_, value)| value).collect();
    let contents = Contents {
        config: config.to_toml(),
        metrics: report.csv(),
        curves: report.curves(),
        graph: picture::svg(&graph.records(), &outputs, data.name).map_err(Failure::failed)?,
        parameters: params.iter().map(|own| (own.path().to_string(), own.array())).collect(),
    };
    let (out, hash) = place.fill(&contents)?;
    say(format!("the run stands in {}; look at it again with: backprop test {0}", out.display()));
    report.close(tested, &hash)
}

/// The defaults, the config file and the options, the later ones over the earlier.
fn settings(matches: &ArgMatches) -> Result<Config, Failure> {
    let mut config = Config::default();
    if let Some(file) = path(matches, "CONFIG.toml") {
        config.read_file(file)?;
    }
    for setting in &SETTINGS {
        if let Some(text) = matches.get_one::<String>(setting.key) {
            (setting.read)(&mut config, text)
                .map_err(|why| Failure::usage(format!("--{}: {why}", setting.flag())))?;
        }
    }
    // In a config file they may wait for another optimizer; who asks for one now means it to act.
    let idle = [
        ("momentum", config.optimizer != Rule::Sgd, "only sgd has it: add --optimizer sgd"),
        ("warm_up", config.schedule != Schedule::Cosine, "only cosine warms up: add --schedule cosine"),
        ("threads", config.engine == Engine::Eager, "a tape has one thread: add --engine graph"),
        ("max_bytes", config.engine == Engine::Eager, "a tape has no plan to measure: add --engine graph"),
    ];
    for setting in SETTINGS.iter().filter(|setting| matches.contains_id(setting.key)) {
        if let Some((_, _, why)) = idle.iter().find(|(key, idle, _)| *key == setting.key && *idle) {
            return Err(Failure::usage(format!("--{}: {why}", setting.flag())));
        }
    }
    // The run directory must make sense from anywhere.
    if let Data::Folder(folder) = &mut config.data
        && let Ok(whole) = folder.canonicalize()
    {
        *folder = whole;
    }
    Ok(config)
}

/// The network, whose ends must fit the data; the layers are written back into the settings.
fn network_for(config: &mut Config, data: &Dataset) -> Result<Network, Failure> {
    let sizes = config.layers.clone().unwrap_or_else(|| vec![data.features(), 128, data.classes]);
    let (first, last) = (sizes[0], sizes[sizes.len() - 1]);
    let mut right = sizes.clone();
    right[0] = data.features();
    *right.last_mut().expect("the reader wants two sizes") = data.classes;
    let right: Vec<String> = right.iter().map(usize::to_string).collect();
    let wrong = |what: String| Err(Failure::usage(format!("--layers: {what}: --layers {}", right.join(","))));
    if first != data.features() {
        return wrong(format!(
            "the first size is {first}, but an example of {} has {} features",
            data.name,
            data.features()
        ));
    }
    if last != data.classes {
        return wrong(format!("the last size is {last}, but {} has {} classes", data.name, data.classes));
    }
    let network = Network::new(&sizes).map_err(|why| Failure::usage(format!("--layers: {why}")))?;
    config.layers = Some(sizes);
    Ok(network)
}

/// What will be trained, on what, how.
fn opening(config: &Config, data: &Dataset, network: &Network) -> String {
    let counts = [&data.train_y, &data.test_y].map(|labels| grouped(labels.len()));
    format!(
        "{}: {} examples to train on, {} to test on\n{}\n{}, seed {}, {}",
        data.name,
        counts[0],
        counts[1],
        network.table(),
        config.summary(),
        config.seed,
        config.engine_text()
    )
}

/// A failed training. `fit` leaves the parameters as they were before the step, and nothing is saved.
fn refused(error: TrainError) -> Failure {
    let diverged = match &error {
        TrainError::Step { error, .. } => error.faults().iter().any(|fault| fault.rule.contains("finite")),
        _ => false,
    };
    let error = match error {
        TrainError::Step { epoch, step, error } => TrainError::Step { epoch, step, error: by_layer(&error) },
        other => other,
    };
    match diverged {
        true => Failure::failed(format!("{error}\n  nothing is saved; a smaller --lr may help")),
        false => Failure::failed(error),
    }
}

/// The faults with layers in the place of lines: the network is made in this command's own source.
fn by_layer(error: &Error) -> Error {
    let layer = |place: Option<PlaceText>| {
        let (path, _) = place?.module?;
        // What is no layer has a name: loss, optimizer.
        let is_layer = path.starts_with(|c: char| c.is_ascii_digit());
        Some(PlaceText { line: if is_layer { format!("layer {path}") } else { path }, module: None })
    };
    let mut faults = error.faults().to_vec();
    for fault in &mut faults {
        fault.place = layer(fault.place.take());
        for operand in &mut fault.operands {
            operand.made_at = layer(operand.made_at.take());
        }
    }
    Error::new(faults)
}

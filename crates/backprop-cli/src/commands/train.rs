//! `backprop train`: a network, from a data set to a run directory.

use std::time::{Duration, Instant};

use backprop::picture;
use backprop_draw::{Chart, Panel, Series, chart_svg};
use backprop_train::data::Dataset;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};

use super::path;
use crate::config::{Config, Data, SETTINGS, Schedule, engine_name, optimizer_name};
use crate::failure::Failure;
use crate::learn::{Evaluation, Learner, Network, StepFault, batch, grouped, order};
use crate::run_dir::{Contents, Place, load_data};
use crate::talk::{Live, print, say};

/// The arguments.
pub fn command() -> Command {
    let config = Arg::new("CONFIG.toml")
        .help("Settings, by the names of the options; options go before it")
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

    let mut report = Report::new(&config, &data, matches.get_flag("json"));
    let learner = epochs(&config, &data, &network, &mut report)?;
    let parameters = learner.parameters();
    let tested = network.evaluate(parameters, &data.test_x, &data.test_y)?;

    let names = network.parameters().into_iter().map(|(name, _)| name);
    let (graph, outputs) = network.graph();
    let outputs: Vec<_> = outputs.iter().map(|&(_, value)| value).collect();
    let contents = Contents {
        config: config.to_toml(),
        metrics: report.csv(),
        curves: report.curves(),
        graph: picture::svg(&graph.records(), &outputs, data.name).map_err(Failure::failed)?,
        parameters: names.zip(parameters).collect(),
    };
    let (out, hash) = place.fill(&contents)?;
    report.close(&tested, &hash)?;
    say(format!("the run stands in {}; look at it again with: backprop test {0}", out.display()));
    Ok(())
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
    config.layers = Some(sizes.clone());
    Ok(Network { sizes })
}

/// What will be trained, on what, how.
fn opening(config: &Config, data: &Dataset, network: &Network) -> String {
    let head = ["layer", "output", "parameters"].map(String::from);
    let total = ["total".to_string(), String::new(), grouped(network.n_parameters())];
    let rows: Vec<[String; 3]> =
        std::iter::once(head).chain(network.table()).chain(std::iter::once(total)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (a, b, c) = (width(0), width(1), width(2));
    let table: Vec<String> = rows.iter().map(|[x, y, z]| format!("  {x:<a$}  {y:<b$}  {z:>c$}")).collect();
    let counts = [&data.train_y, &data.test_y].map(|labels| grouped(labels.len()));
    format!(
        "{}: {} examples to train on, {} to test on\n{}\n{}, learning rate {}, batches of {}, seed {}, engine {}",
        data.name,
        counts[0],
        counts[1],
        table.join("\n"),
        optimizer_name(config.optimizer),
        config.lr(),
        config.batch,
        config.seed,
        engine_name(config.engine)
    )
}

/// Every epoch.
fn epochs(
    config: &Config,
    data: &Dataset,
    network: &Network,
    report: &mut Report,
) -> Result<Learner, Failure> {
    let mut learner = Learner::new(network.clone(), config)?;
    let n = data.train_y.len();
    let steps = (n.div_ceil(config.batch) * config.epochs) as f64;
    let mut step = 0;
    for epoch in 1..=config.epochs {
        let order = order(n, config.seed, epoch);
        let (mut seen, mut loss, mut right) = (0, 0.0, 0);
        for rows in order.chunks(config.batch) {
            let lr = match config.schedule {
                Schedule::Constant => config.lr(),
                Schedule::Cosine => {
                    config.lr() * 0.5 * (1.0 + (std::f64::consts::PI * f64::from(step) / steps).cos())
                }
            };
            let (x, y) = batch(&data.train_x, &data.train_y, rows);
            let tally = learner.step(x, y, lr).map_err(|fault| refused(fault, epoch))?;
            step += 1;
            seen += rows.len();
            loss += tally.loss * rows.len() as f64;
            right += tally.right;
            report.progress(epoch, seen, loss, right);
        }
        report.epoch(epoch, loss / n as f64, right as f64 / n as f64)?;
    }
    Ok(learner)
}

fn refused(fault: StepFault, epoch: usize) -> Failure {
    match fault {
        StepFault::Fault(error) => error.into(),
        fault @ StepFault::NotFinite { .. } => Failure::failed(format!(
            "epoch {epoch}: {fault}\n  nothing was updated and nothing is saved; a smaller --lr may help"
        )),
    }
}

/// One epoch's numbers.
struct Row {
    epoch: usize,
    loss: f64,
    accuracy: f64,
    seconds: f64,
    speed: f64,
}

/// What is said and remembered of a run.
struct Report {
    title: String,
    json: bool,
    epochs: usize,
    examples: usize,
    begun: Instant,
    epoch_begun: Instant,
    shown: Instant,
    live: Live,
    rows: Vec<Row>,
}

/// How often the live line changes: often enough to see it move, too seldom to cost anything.
const LIVE_EVERY: Duration = Duration::from_millis(100);

impl Report {
    fn new(config: &Config, data: &Dataset, json: bool) -> Report {
        let now = Instant::now();
        let layers: Vec<String> = config.layers.iter().flatten().map(usize::to_string).collect();
        Report {
            title: format!("{}: {}, {}", data.name, layers.join("-"), optimizer_name(config.optimizer)),
            json,
            epochs: config.epochs,
            examples: data.train_y.len(),
            begun: now,
            epoch_begun: now,
            shown: now,
            live: Live::new(),
            rows: Vec::new(),
        }
    }

    /// After each step: the live line, now and then.
    fn progress(&mut self, epoch: usize, seen: usize, loss: f64, right: usize) {
        if self.shown.elapsed() < LIVE_EVERY {
            return;
        }
        self.shown = Instant::now();
        let (part, n) = (seen as f64 / self.examples as f64, seen as f64);
        let line = self.line(epoch, epoch as f64 - 1.0 + part, loss / n, right as f64 / n, self.speed(seen));
        self.live.show(&format!("{line}  {:3.0} %", 100.0 * part));
    }

    /// After each epoch: a line that stays, and an object on stdout.
    fn epoch(&mut self, epoch: usize, loss: f64, accuracy: f64) -> Result<(), Failure> {
        let speed = self.speed(self.examples);
        let line = self.line(epoch, epoch as f64, loss, accuracy, speed);
        self.live.say(&line);
        let seconds = self.begun.elapsed().as_secs_f64();
        self.rows.push(Row { epoch, loss, accuracy, seconds, speed });
        self.epoch_begun = Instant::now();
        match self.json {
            true => print(json!({
                "epoch": epoch, "loss": loss, "accuracy": accuracy,
                "samples_per_second": speed, "seconds": seconds,
            })),
            false => Ok(()),
        }
    }

    /// At the end: the test.
    fn close(&mut self, tested: &Evaluation, hash: &str) -> Result<(), Failure> {
        let (accuracy, loss) = (tested.accuracy(), tested.loss);
        let seconds = self.rows.last().map_or(0.0, |row| row.seconds);
        if self.json {
            let last: Value = json!({
                "test_accuracy": accuracy, "test_loss": loss, "seconds": seconds, "weights_sha256": hash,
            });
            return print(last);
        }
        print(format!("test accuracy {accuracy:.4}  test loss {loss:.4}  training {seconds:.1} s"))
    }

    fn speed(&self, seen: usize) -> f64 {
        seen as f64 / self.epoch_begun.elapsed().as_secs_f64().max(1e-9)
    }

    /// `epoch  3/30  loss 0.2312  accuracy 0.9341  41,023 samples/s  ETA 0:12`
    fn line(&self, epoch: usize, done: f64, loss: f64, accuracy: f64, speed: f64) -> String {
        let width = self.epochs.to_string().len();
        let left = self.begun.elapsed().as_secs_f64() / done.max(1e-9) * (self.epochs as f64 - done);
        let left = left.round() as u64;
        let eta = match left / 3600 {
            0 => format!("{}:{:02}", left / 60, left % 60),
            hours => format!("{hours}:{:02}:{:02}", left / 60 % 60, left % 60),
        };
        format!(
            "epoch {epoch:>width$}/{}  loss {loss:.4}  accuracy {accuracy:.4}  {:>9} samples/s  ETA {eta}",
            self.epochs,
            grouped(speed as usize)
        )
    }

    /// `metrics.csv`
    fn csv(&self) -> String {
        let mut text = String::from("epoch,loss,accuracy,seconds,samples_per_second\n");
        for Row { epoch, loss, accuracy, seconds, speed } in &self.rows {
            text.push_str(&format!("{epoch},{loss:?},{accuracy:?},{seconds:.3},{speed:.0}\n"));
        }
        text
    }

    /// `curves.svg`
    fn curves(&self) -> String {
        let panel = |y_label: &str, log_y: bool, value: fn(&Row) -> f64| Panel {
            y_label: y_label.to_string(),
            log_y,
            series: vec![Series {
                name: "training".to_string(),
                points: self.rows.iter().map(|row| (row.epoch as f64, value(row))).collect(),
            }],
        };
        chart_svg(&Chart {
            title: self.title.clone(),
            x_label: "epoch".to_string(),
            panels: vec![panel("loss", true, |row| row.loss), panel("accuracy", false, |row| row.accuracy)],
        })
    }
}

//! The settings of a training run: defaults, then the config file, then the command line.
//!
//! Each setting is one entry of [`SETTINGS`]; the config file and the options go through its reader.

mod settings;

use std::path::{Path, PathBuf};

use backprop_core::Seed;
use backprop_nn::{Adam, AdamW, Optimizer, Sgd};
use backprop_train::{Engine, Fit, Plan};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::failure::Failure;
use crate::run_dir::CONFIG;
use crate::suggest::suggest;
use settings::{ENGINES, OPTIMIZERS, name_of};

pub use settings::SETTINGS;

/// What to train on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// The built-in digits.
    Digits,
    /// The built-in flowers.
    Iris,
    /// A folder with MNIST's IDX files.
    Folder(PathBuf),
}

/// How parameters follow their gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Stochastic gradient descent.
    Sgd,
    /// Kingma, Ba 2015.
    Adam,
    /// Loshchilov, Hutter 2019.
    AdamW,
}

/// How the learning rate goes over the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// It stays.
    Constant,
    /// Up linearly, then along half a cosine to zero.
    Cosine,
}

/// Every setting of a run. The defaults are the recipe of `docs/cli.md`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What to train on.
    pub data: Data,
    /// Sizes from features to classes; `None`: one hidden layer of 128.
    pub layers: Option<Vec<usize>>,
    /// Passes over the training set.
    pub epochs: usize,
    /// Examples per step.
    pub batch: usize,
    /// How parameters follow their gradients.
    pub optimizer: Rule,
    /// The learning rate; `None`: the optimizer's own.
    pub lr: Option<f64>,
    /// For SGD.
    pub momentum: f64,
    /// Decoupled for AdamW, part of the gradient for the others; `None`: the optimizer's own.
    pub weight_decay: Option<f64>,
    /// How the learning rate goes over the run.
    pub schedule: Schedule,
    /// The part of all steps that the cosine schedule warms up in.
    pub warm_up: f64,
    /// Seeds the split, the initial weights and the order of the examples.
    pub seed: u64,
    /// Symbol-to-number or symbol-to-symbol.
    pub engine: Engine,
    /// The threads of a compiled step.
    pub threads: usize,
    /// The most bytes of its arena; `None`: as many as there are.
    pub max_bytes: Option<usize>,
    /// The run directory; `None`: `runs/NAME`.
    pub out: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Config {
        let recipe = Fit::default();
        Config {
            data: Data::Digits,
            layers: None,
            epochs: recipe.epochs,
            batch: recipe.batch,
            optimizer: Rule::AdamW,
            lr: None,
            momentum: 0.9,
            weight_decay: None,
            schedule: Schedule::Cosine,
            warm_up: 0.05,
            seed: 0,
            engine: recipe.engine,
            threads: recipe.threads,
            max_bytes: recipe.max_bytes,
            out: None,
        }
    }
}

impl Config {
    /// The learning rate, the optimizer's own where none is given.
    pub fn lr(&self) -> f64 {
        self.lr.unwrap_or(match self.optimizer {
            Rule::Sgd => 0.05,
            Rule::Adam | Rule::AdamW => 0.005,
        })
    }

    /// The weight decay, the optimizer's own where none is given.
    fn weight_decay(&self) -> f64 {
        self.weight_decay.unwrap_or(if self.optimizer == Rule::AdamW { 0.1 } else { 0.0 })
    }

    /// What `fit` is told.
    pub fn fit(&self) -> Fit {
        let (lr, decay) = (self.lr(), self.weight_decay());
        let optimizer = match self.optimizer {
            Rule::Sgd => Optimizer::from(Sgd::new(lr).momentum(self.momentum).weight_decay(decay)),
            Rule::Adam => Optimizer::from(Adam::new(lr).weight_decay(decay)),
            Rule::AdamW => Optimizer::from(AdamW::new(lr).weight_decay(decay)),
        };
        let plan = match self.schedule {
            Schedule::Constant => Plan::Constant,
            Schedule::Cosine => Plan::Cosine { warm_up: self.warm_up },
        };
        let Config { epochs, batch, engine, threads, max_bytes, seed, .. } = *self;
        Fit { epochs, batch, optimizer, plan, engine, threads, max_bytes, seed: Seed(seed), ..Fit::default() }
    }

    /// `64-128-10, adamw, learning rate 0.003, batches of 32`
    pub fn summary(&self) -> String {
        let layers: Vec<String> = self.layers.iter().flatten().map(usize::to_string).collect();
        let optimizer = name_of(self.optimizer, &OPTIMIZERS);
        format!("{}, {optimizer}, learning rate {:?}, batches of {}", layers.join("-"), self.lr(), self.batch)
    }

    /// `engine graph`; where there are several threads, `engine graph, 2 threads`
    pub fn engine_text(&self) -> String {
        let name = name_of(self.engine, &ENGINES);
        match (self.engine, self.threads) {
            (Engine::Eager, _) | (_, 1) => format!("engine {name}"),
            (_, threads) => format!("engine {name}, {threads} threads"),
        }
    }

    /// The settings as a config file, each of them.
    pub fn to_toml(&self) -> String {
        let mut text = String::from("# The settings of this run: `backprop train config.toml` repeats it.\n");
        for setting in &SETTINGS {
            if let Some(value) = (setting.write)(self) {
                text.push_str(&format!("{} = {value}\n", setting.key));
            }
        }
        text
    }

    /// Takes over the settings of a config file.
    pub fn read_file(&mut self, path: &Path) -> Result<(), Failure> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| {
            let hint = match path.join(CONFIG).is_file() {
                true => format!("; the settings of this run are in {}", path.join(CONFIG).display()),
                false => String::new(),
            };
            Failure::failed(format!("{shown}: cannot read: {error}{hint}"))
        })?;
        self.read_toml(&text).map_err(|(at, what)| {
            let (line, column) = place(&text, at);
            let source = text.lines().nth(line - 1).unwrap_or_default();
            let margin = " ".repeat(line.to_string().len());
            let indent = " ".repeat(column - 1);
            Failure::usage(format!(
                "{shown}:{line}:{column}: {what}\n  {line} | {source}\n  {margin} | {indent}^"
            ))
        })
    }

    /// As [`Config::read_file`], from the text; an error says at which byte it is.
    fn read_toml(&mut self, text: &str) -> Result<(), (usize, String)> {
        let table = DeTable::parse(text).map_err(|error| {
            (error.span().map_or(0, |span| span.start), format!("this is no TOML: {}", error.message()))
        })?;
        // In the order of the file, so that the first mistake is the one that is told.
        let mut entries: Vec<_> = table.get_ref().iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let name: &str = key.get_ref();
            let Some(setting) = SETTINGS.iter().find(|setting| setting.key == name) else {
                let hint = suggest(name, SETTINGS.iter().map(|setting| setting.key));
                return Err((key.span().start, format!("unknown key `{name}`{hint}")));
            };
            let at = value.span().start;
            let text = plain(value, setting.kind)
                .ok_or_else(|| (at, format!("{name} must be {}", setting.kind.describe())))?;
            (setting.read)(self, &text).map_err(|why| (at, format!("{name}: {why}")))?;
        }
        Ok(())
    }
}

/// What TOML writes for a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// In quotes.
    Text,
    /// Without a point.
    Integer,
    /// With or without a point.
    Number,
    /// In brackets.
    Integers,
}

impl Kind {
    fn describe(self) -> &'static str {
        match self {
            Kind::Text => "a string, in quotes",
            Kind::Integer => "an integer",
            Kind::Number => "a number",
            Kind::Integers => "a list of integers, such as [64, 128, 10]",
        }
    }
}

/// The value as the command line would write it; `None` where it is of another kind.
fn plain(value: &Spanned<DeValue>, kind: Kind) -> Option<String> {
    match (kind, value.get_ref()) {
        (Kind::Text, DeValue::String(text)) => Some(text.to_string()),
        (Kind::Integer | Kind::Number, DeValue::Integer(x)) if x.radix() == 10 => {
            Some(x.as_str().to_string())
        }
        (Kind::Number, DeValue::Float(x)) => Some(x.as_str().to_string()),
        (Kind::Integers, DeValue::Array(list)) => {
            let list: Option<Vec<String>> = list.iter().map(|x| plain(x, Kind::Integer)).collect();
            Some(list?.join(","))
        }
        _ => None,
    }
}

/// Line and column, from 1, of a byte.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let config = Config {
            data: Data::Folder("a \"folder\"/mnist".into()),
            layers: Some(vec![784, 32, 10]),
            lr: Some(1e-5),
            weight_decay: Some(0.25),
            seed: u64::MAX,
            engine: Engine::Eager,
            threads: 7,
            max_bytes: Some(1 << 20),
            optimizer: Rule::AdamW,
            ..Config::default()
        };
        let mut read = Config::default();
        read.read_toml(&config.to_toml()).expect("it is well-formed");
        assert_eq!(read, config);
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        let check = |text: &str, at: usize, part: &str| {
            let (place, what) = Config::default().read_toml(text).expect_err(text);
            assert!(what.contains(part) && place == at, "{text}: {place}: {what}");
        };
        check("epoch = 3", 0, "unknown key `epoch`; did you mean `epochs`?");
        check("seed = 1\nepochs = \"3\"", 18, "epochs must be an integer");
        check("lr = -1.0", 5, "not a finite number above 0");
        check("lr = nan", 5, "not a finite number above 0");
        check("batch = 0", 8, "0 is too few");
        check("layers = [64, 1.5]", 9, "a list of integers");
        check("layers = [64]", 9, "at least two sizes");
        check("optimizer = \"adma\"", 12, "there is no `adma`; did you mean `adam`?");
        check("seed = ", 7, "this is no TOML");
        check("engine = \"gpu\"", 9, "known: eager, graph");
        check("threads = 0", 10, "0 is too few");
    }
}

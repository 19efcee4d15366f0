//! The settings of a training run: defaults, then the config file, then the command line.
//!
//! Each setting is one entry of [`SETTINGS`]: its flag, its key in the config file, its help and its
//! reader. Both ways in go through the same reader.

use std::path::{Path, PathBuf};

use backprop_core::Seed;
use backprop_nn::{Adam, AdamW, Optimizer, Sgd};
use backprop_train::{Engine, Fit, Plan};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::failure::Failure;
use crate::suggest::suggest;

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
    /// The run directory; `None`: `runs/NAME`.
    pub out: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            data: Data::Digits,
            layers: None,
            epochs: 30,
            batch: 32,
            optimizer: Rule::AdamW,
            lr: None,
            momentum: 0.9,
            weight_decay: None,
            schedule: Schedule::Cosine,
            warm_up: 0.05,
            seed: 0,
            engine: Engine::Graph,
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
        let Config { epochs, batch, engine, seed, .. } = *self;
        Fit { epochs, batch, optimizer, plan, engine, seed: Seed(seed), ..Fit::default() }
    }

    /// `64-128-10, adamw, learning rate 0.003, batches of 32`
    pub fn summary(&self) -> String {
        let layers: Vec<String> = self.layers.iter().flatten().map(usize::to_string).collect();
        let optimizer = name_of(self.optimizer, &OPTIMIZERS);
        format!("{}, {optimizer}, learning rate {:?}, batches of {}", layers.join("-"), self.lr(), self.batch)
    }

    /// `eager` or `graph`
    pub fn engine_name(&self) -> &'static str {
        name_of(self.engine, &ENGINES)
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
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::failed(format!("{shown}: cannot read: {error}")))?;
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
enum Kind {
    Text,
    Integer,
    Number,
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

/// One setting.
pub struct Setting {
    /// Its key, and its flag without the dashes.
    pub key: &'static str,
    /// What stands for its value in the help.
    pub value: &'static str,
    /// What it is.
    pub help: &'static str,
    kind: Kind,
    /// Reads it.
    pub read: fn(&mut Config, &str) -> Result<(), String>,
    write: fn(&Config) -> Option<String>,
}

impl Setting {
    /// Its option, without the dashes: `weight-decay`.
    pub fn flag(&self) -> &'static str {
        match self.key {
            "weight_decay" => "weight-decay",
            "warm_up" => "warm-up",
            key => key,
        }
    }
}

/// Every setting, in the order of the help.
pub const SETTINGS: [Setting; 13] = [
    Setting {
        key: "data",
        value: "digits|iris|DIR",
        help: "What to train on: a built-in set, or a folder with MNIST's IDX files [default: digits]",
        kind: Kind::Text,
        read: |config, text| {
            config.data = match text {
                "digits" => Data::Digits,
                "iris" => Data::Iris,
                "" => return Err("a name or a folder is wanted".to_string()),
                // A word that is no folder is a slip, a path is a folder that may be missing.
                word if !word.contains(['/', '\\', '.']) && !Path::new(word).exists() => {
                    let hint = suggest(word, ["digits", "iris"]);
                    return Err(format!("`{word}` is no built-in data set and no folder{hint}"));
                }
                folder => Data::Folder(folder.into()),
            };
            Ok(())
        },
        write: |config| {
            Some(quoted(&match &config.data {
                Data::Digits => "digits".to_string(),
                Data::Iris => "iris".to_string(),
                Data::Folder(folder) => folder.display().to_string(),
            }))
        },
    },
    Setting {
        key: "layers",
        value: "SIZES",
        help: "Sizes from features to classes, such as 64,128,10 [default: one hidden layer of 128]",
        kind: Kind::Integers,
        read: |config, text| {
            let sizes: Vec<usize> =
                text.split(',').map(|size| count(size.trim())).collect::<Result<_, _>>()?;
            if sizes.len() < 2 {
                return Err("at least two sizes are wanted: features and classes".to_string());
            }
            config.layers = Some(sizes);
            Ok(())
        },
        write: |config| config.layers.as_ref().map(|layers| format!("{layers:?}")),
    },
    Setting {
        key: "epochs",
        value: "N",
        help: "Passes over the training set [default: 30]",
        kind: Kind::Integer,
        read: |config, text| count(text).map(|n| config.epochs = n),
        write: |config| Some(config.epochs.to_string()),
    },
    Setting {
        key: "batch",
        value: "N",
        help: "Examples per step [default: 32]",
        kind: Kind::Integer,
        read: |config, text| count(text).map(|n| config.batch = n),
        write: |config| Some(config.batch.to_string()),
    },
    Setting {
        key: "optimizer",
        value: "sgd|adam|adamw",
        help: "How parameters follow their gradients [default: adamw]",
        kind: Kind::Text,
        read: |config, text| one_of(text, &OPTIMIZERS).map(|optimizer| config.optimizer = optimizer),
        write: |config| Some(quoted(name_of(config.optimizer, &OPTIMIZERS))),
    },
    Setting {
        key: "lr",
        value: "X",
        help: "The learning rate at the start [default: 0.005, for sgd 0.05]",
        kind: Kind::Number,
        read: |config, text| {
            let lr = number(text, f64::MIN_POSITIVE)?;
            if !(lr as f32).is_finite() {
                return Err(format!("{text} is too large for f32"));
            }
            config.lr = Some(lr);
            Ok(())
        },
        write: |config| Some(format!("{:?}", config.lr())),
    },
    Setting {
        key: "momentum",
        value: "X",
        help: "The momentum of sgd [default: 0.9]",
        kind: Kind::Number,
        read: |config, text| number(text, 0.0).map(|x| config.momentum = x),
        write: |config| Some(format!("{:?}", config.momentum)),
    },
    Setting {
        key: "weight_decay",
        value: "X",
        help: "Decay of the weights: decoupled for adamw, else added to the gradient [default: 0.1 for adamw, else 0]",
        kind: Kind::Number,
        read: |config, text| number(text, 0.0).map(|x| config.weight_decay = Some(x)),
        write: |config| Some(format!("{:?}", config.weight_decay())),
    },
    Setting {
        key: "schedule",
        value: "constant|cosine",
        help: "How the learning rate goes: cosine warms up, then falls to 0 [default: cosine]",
        kind: Kind::Text,
        read: |config, text| one_of(text, &SCHEDULES).map(|schedule| config.schedule = schedule),
        write: |config| Some(quoted(name_of(config.schedule, &SCHEDULES))),
    },
    Setting {
        key: "warm_up",
        value: "PART",
        help: "The part of all steps in which the cosine schedule rises [default: 0.05]",
        kind: Kind::Number,
        read: |config, text| {
            let part = number(text, 0.0)?;
            if part > 1.0 {
                return Err(format!("{text} is above 1: a part of all steps is wanted"));
            }
            config.warm_up = part;
            Ok(())
        },
        write: |config| Some(format!("{:?}", config.warm_up)),
    },
    Setting {
        key: "seed",
        value: "N",
        help: "Seeds the split, the initial weights and the order of the examples [default: 0]",
        kind: Kind::Integer,
        read: |config, text| {
            let seed = text.parse().map_err(|_| format!("`{text}` is no integer from 0 to 2⁶⁴ − 1"))?;
            config.seed = seed;
            Ok(())
        },
        write: |config| Some(config.seed.to_string()),
    },
    Setting {
        key: "engine",
        value: "eager|graph",
        help: "Compute step by step on a tape, or run one graph for each batch [default: graph]",
        kind: Kind::Text,
        read: |config, text| one_of(text, &ENGINES).map(|engine| config.engine = engine),
        write: |config| Some(quoted(name_of(config.engine, &ENGINES))),
    },
    Setting {
        key: "out",
        value: "DIR",
        help: "The run directory; it must not exist [default: runs/DATA-N]",
        kind: Kind::Text,
        read: |config, text| {
            if text.is_empty() {
                return Err("a folder is wanted".to_string());
            }
            config.out = Some(text.into());
            Ok(())
        },
        // A run that is repeated goes elsewhere.
        write: |_| None,
    },
];

const OPTIMIZERS: [(&str, Rule); 3] = [("sgd", Rule::Sgd), ("adam", Rule::Adam), ("adamw", Rule::AdamW)];
const SCHEDULES: [(&str, Schedule); 2] = [("constant", Schedule::Constant), ("cosine", Schedule::Cosine)];
const ENGINES: [(&str, Engine); 2] = [("eager", Engine::Eager), ("graph", Engine::Graph)];

fn one_of<T: Copy>(text: &str, known: &[(&'static str, T)]) -> Result<T, String> {
    let found = known.iter().find(|(name, _)| *name == text);
    found
        .map(|&(_, value)| value)
        .ok_or_else(|| format!("there is no `{text}`{}", suggest(text, known.iter().map(|(name, _)| *name))))
}

fn name_of<T: PartialEq>(value: T, known: &[(&'static str, T)]) -> &'static str {
    known.iter().find(|(_, own)| *own == value).expect("the table has every value").0
}

fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("0 is too few: at least 1 is wanted".to_string()),
        Ok(n) => Ok(n),
        Err(_) => Err(format!("`{text}` is no integer from 1 on")),
    }
}

fn number(text: &str, least: f64) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x.is_finite() && x >= least => Ok(x),
        Ok(_) if least > 0.0 => Err(format!("{text} is not a finite number above 0")),
        Ok(_) => Err(format!("{text} is not a finite number from {least} on")),
        Err(_) => Err(format!("`{text}` is no number")),
    }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push(c),
        }
    }
    out + "\""
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
    }
}

//! Every setting of a run: its flag, its key in the config file, its help and its reader.

use std::path::Path;

use backprop_run::MAX_THREADS;
use backprop_train::Engine;

use super::{Config, Data, Kind, Rule, Schedule};
use crate::suggest::suggest;

/// One setting.
pub struct Setting {
    /// Its key, and its flag without the dashes.
    pub key: &'static str,
    /// What stands for its value in the help.
    pub value: &'static str,
    /// What it is.
    pub help: &'static str,
    /// What TOML writes for it.
    pub kind: Kind,
    /// Reads it.
    pub read: fn(&mut Config, &str) -> Result<(), String>,
    /// Its value in TOML; `None` where it is left out.
    pub write: fn(&Config) -> Option<String>,
}

impl Setting {
    /// Its option, without the dashes: `weight-decay`.
    pub fn flag(&self) -> &'static str {
        match self.key {
            "weight_decay" => "weight-decay",
            "warm_up" => "warm-up",
            "max_bytes" => "max-bytes",
            key => key,
        }
    }
}

/// Every setting, in the order of the help.
pub const SETTINGS: [Setting; 15] = [
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
        help: "The learning rate, for cosine its highest [default: 0.005, for sgd 0.05]",
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
        write: |config| (config.optimizer == Rule::Sgd).then(|| format!("{:?}", config.momentum)),
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
        write: |config| (config.schedule == Schedule::Cosine).then(|| format!("{:?}", config.warm_up)),
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
        key: "threads",
        value: "N",
        help: "The threads of a graph's run; the weights do not depend on their number [default: 1]",
        kind: Kind::Integer,
        read: |config, text| match count(text)? {
            n if n > MAX_THREADS => Err(format!("{n} are too many: {MAX_THREADS} are the most")),
            n => {
                config.threads = n;
                Ok(())
            }
        },
        write: |config| Some(config.threads.to_string()),
    },
    Setting {
        key: "max_bytes",
        value: "N",
        help: "The most bytes that a graph's run may take beside parameters and batch [default: no limit]",
        kind: Kind::Integer,
        read: |config, text| {
            config.max_bytes = Some(count(text)?);
            Ok(())
        },
        write: |config| config.max_bytes.map(|most| most.to_string()),
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

/// The optimizers by name.
pub const OPTIMIZERS: [(&str, Rule); 3] = [("sgd", Rule::Sgd), ("adam", Rule::Adam), ("adamw", Rule::AdamW)];
const SCHEDULES: [(&str, Schedule); 2] = [("constant", Schedule::Constant), ("cosine", Schedule::Cosine)];
/// The engines by name.
pub const ENGINES: [(&str, Engine); 2] = [("eager", Engine::Eager), ("graph", Engine::Graph)];

fn one_of<T: Copy>(text: &str, known: &[(&'static str, T)]) -> Result<T, String> {
    let found = known.iter().find(|(name, _)| *name == text);
    found
        .map(|&(_, value)| value)
        .ok_or_else(|| format!("there is no `{text}`{}", suggest(text, known.iter().map(|(name, _)| *name))))
}

/// The name of a value of a table.
pub fn name_of<T: PartialEq>(value: T, known: &[(&'static str, T)]) -> &'static str {
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

//! Run directories: whole or absent, never overwritten.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use backprop_core::{Array, Graph, ValueId};
use backprop_io::safetensors;
use backprop_nn::Params;
use backprop_train::data::Dataset;

use crate::commands::write_text;
use crate::config::{Config, Data};
use crate::failure::Failure;
use crate::network::Network;

/// The files of a run.
pub const CONFIG: &str = "config.toml";
const MODEL: &str = "model.safetensors";

/// A place where a run will stand. The files are gathered beside it and moved in one step, so that it
/// is whole or absent, whenever the program is stopped.
pub struct Place {
    path: PathBuf,
}

/// The files of a run, as text, and its parameters.
pub struct Contents<'a> {
    /// `config.toml`.
    pub config: String,
    /// `metrics.csv`.
    pub metrics: String,
    /// `curves.svg`.
    pub curves: String,
    /// `graph.svg`.
    pub graph: String,
    /// `model.safetensors`.
    pub parameters: Vec<(String, &'a Array)>,
}

impl Place {
    /// Finds the place and makes sure that it can be written: better now than after the training.
    pub fn find(config: &Config) -> Result<Place, Failure> {
        let path = match &config.out {
            Some(path) if is_taken(path) => {
                return Err(Failure::usage(format!(
                    "--out: {} exists already, and a run is never overwritten: choose another folder",
                    path.display()
                )));
            }
            Some(path) => path.clone(),
            None => {
                let name = data_name(&config.data);
                (1..)
                    .map(|n| Path::new("runs").join(format!("{name}-{n}")))
                    .find(|path| !is_taken(path))
                    .expect("some number is free")
            }
        };
        let place = Place { path };
        let staging = place.staging()?;
        fs::remove_dir(&staging).map_err(|error| cannot("write", &staging, error))?;
        Ok(place)
    }

    /// An empty folder beside the place.
    fn staging(&self) -> Result<PathBuf, Failure> {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            fs::create_dir_all(parent).map_err(|error| cannot("make the folder", parent, error))?;
        }
        let Some(name) = self.path.file_name() else {
            return Err(Failure::usage(format!("--out: {} names no folder", self.path.display())));
        };
        let hidden = format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id());
        let staging = parent.unwrap_or(Path::new(".")).join(hidden);
        fs::create_dir(&staging).map_err(|error| cannot("make the folder", &self.path, error))?;
        Ok(staging)
    }

    /// Writes the run; the path where it stands, and the SHA-256 of its model file.
    pub fn fill(self, contents: &Contents) -> Result<(PathBuf, String), Failure> {
        let staging = self.staging()?;
        let written = write_all(&staging, contents).and_then(|hash| {
            // Somebody may have taken the place in the meantime; what was trained is not thrown away.
            let numbered = (2..1000).map(|n| {
                let mut name = self.path.as_os_str().to_owned();
                name.push(format!("-{n}"));
                PathBuf::from(name)
            });
            let mut places = std::iter::once(self.path.clone()).chain(numbered);
            let path = places
                .find(|path| !is_taken(path))
                .ok_or_else(|| Failure::failed(format!("{}: the place is taken", self.path.display())))?;
            // An empty folder gives way.
            let _ = fs::remove_dir(&path);
            fs::rename(&staging, &path).map_err(|error| cannot("put in place", &path, error))?;
            Ok((path, hash))
        });
        if written.is_err() {
            let _ = fs::remove_dir_all(&staging);
        }
        written
    }
}

fn write_all(folder: &Path, contents: &Contents) -> Result<String, Failure> {
    write_text(&folder.join(CONFIG), &contents.config)?;
    write_text(&folder.join("metrics.csv"), &contents.metrics)?;
    write_text(&folder.join("curves.svg"), &contents.curves)?;
    write_text(&folder.join("graph.svg"), &contents.graph)?;
    let model = folder.join(MODEL);
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    safetensors::save(&model, &contents.parameters, &metadata)?;
    sha256_of(&model)
}

/// What `sha256sum` prints.
fn sha256_of(path: &Path) -> Result<String, Failure> {
    use sha2::{Digest, Sha256};
    let bytes = fs::read(path).map_err(|error| cannot("read", path, error))?;
    Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// An empty folder is free.
fn is_taken(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => fs::symlink_metadata(path).is_ok(),
    }
}

fn cannot(doing: &str, path: &Path, error: std::io::Error) -> Failure {
    Failure::failed(format!("{}: cannot {doing}: {error}", path.display()))
}

fn data_name(data: &Data) -> String {
    match data {
        Data::Digits => "digits".to_string(),
        Data::Iris => "iris".to_string(),
        Data::Folder(folder) => {
            folder.file_name().map_or_else(|| "run".to_string(), |name| name.to_string_lossy().into_owned())
        }
    }
}

/// The data that a config names.
pub fn load_data(config: &Config) -> Result<Dataset, Failure> {
    Ok(match &config.data {
        Data::Digits => Dataset::digits(config.seed)?,
        Data::Iris => Dataset::iris(config.seed)?,
        Data::Folder(folder) => Dataset::mnist(folder)?,
    })
}

/// A run that is there.
pub struct Run {
    path: PathBuf,
    /// Its settings.
    pub config: Config,
}

impl Run {
    /// Reads the settings of a run.
    pub fn open(path: &Path) -> Result<Run, Failure> {
        let shown = path.display();
        if !path.is_dir() {
            let why = if path.exists() {
                "this is a file, no run directory"
            } else {
                "there is no such run directory"
            };
            return Err(Failure::failed(format!("{shown}: {why}")));
        }
        for file in [CONFIG, MODEL] {
            if !path.join(file).is_file() {
                return Err(Failure::failed(format!("{shown}: this is no run directory: it has no {file}")));
            }
        }
        let mut config = Config::default();
        config.read_file(&path.join(CONFIG)).map_err(Failure::of_a_file)?;
        Ok(Run { path: path.to_path_buf(), config })
    }

    /// Its network.
    pub fn network(&self) -> Result<Network, Failure> {
        let wrong =
            |why: String| Failure::failed(format!("{}: layers: {why}", self.path.join(CONFIG).display()));
        let sizes = self.config.layers.as_ref().ok_or_else(|| wrong("the key is missing".to_string()))?;
        Network::new(sizes).map_err(wrong)
    }

    /// The graph of loss and gradients of its network.
    pub fn graph(&self) -> Result<(Graph, Vec<(String, ValueId)>), Failure> {
        Ok(self.network()?.graph()?)
    }

    /// Its parameters.
    pub fn params(&self, network: &Network) -> Result<Params, Failure> {
        network.load(&self.path.join(MODEL))
    }
}

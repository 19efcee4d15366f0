//! Runs the built command in folders of its own.

#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use backprop_core::Array;
use backprop_io::npz;
use serde_json::Value;

/// A folder that is removed at the end, with the files that the examples of the help speak of.
pub struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a command did.
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Done {
    #[track_caller]
    pub fn good(self) -> Done {
        assert_eq!(self.code, 0, "{}\n{}", self.out, self.err);
        self
    }

    /// Each line of stdout as JSON.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.out.lines().map(parse).collect()
    }
}

/// mean((x·w + b)²), with p = x·w + b.
pub const MODEL: &str = "graph {
  x = input : f64[B, 2]
  w = input : f64[2]
  b = input : f64
  xw = matmul(x, w)
  p = add(xw, b)
  e = square(p)
  loss = mean(e)
  return loss, p
}
";

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("backprop-cli-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = Folder(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).expect("the temporary folder can be written");
        folder.write("model.graph", MODEL);
        let x = Array::from([[1.0, 2.0], [3.0, 4.0]]);
        let (w, b) = (Array::from([1.0, -1.0]), Array::scalar(0.0));
        folder.npz("x.npz", &[("x", &x), ("w", &w), ("b", &b)]);
        folder.npz("d.npz", &[("p", &Array::from([1.0, 10.0]))]);
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).expect("the folder can be written");
    }

    pub fn npz(&self, name: &str, arrays: &[(&str, &Array)]) {
        npz::save(self.path(name), arrays).expect("the folder can be written");
    }

    #[track_caller]
    pub fn read_npz(&self, name: &str) -> Vec<(String, Vec<f64>)> {
        let arrays = npz::load(self.path(name)).expect("it was written");
        arrays.into_iter().map(|(name, array)| (name, array.to_f64s())).collect()
    }

    pub fn run(&self, arguments: &[&str]) -> Done {
        let output = Command::new(env!("CARGO_BIN_EXE_backprop"))
            .args(arguments)
            .current_dir(&self.0)
            .output()
            .expect("the command was built");
        let text = |bytes| String::from_utf8(bytes).expect("it speaks UTF-8");
        Done { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// As [`Folder::run`], split at spaces.
    pub fn line(&self, line: &str) -> Done {
        self.run(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// The names in a folder, sorted.
    pub fn names(&self, inside: impl AsRef<Path>) -> Vec<String> {
        let entries = fs::read_dir(self.0.join(inside)).expect("the folder is there");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("a readable entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

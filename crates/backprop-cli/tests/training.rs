//! train and test: the run directory, JSON, engines, seeds.

mod common;

use backprop_core::Array;
use backprop_io::safetensors;
use common::Folder;
use serde_json::Value;

const FILES: [&str; 5] = ["config.toml", "curves.svg", "graph.svg", "metrics.csv", "model.safetensors"];

#[test]
fn the_run_directory_is_complete_and_repeats() {
    let folder = Folder::new();
    let done = folder.line("train --epochs 2 --seed 3 --out run").good();
    assert!(done.out.starts_with("test accuracy 0."), "{}", done.out);
    assert!(done.err.contains("total") && done.err.contains("9,610"), "{}", done.err);
    assert!(done.err.contains("epoch 2/2") && done.err.contains("ETA 0:00"), "{}", done.err);
    assert_eq!(folder.names("run"), FILES);
    let metrics = std::fs::read_to_string(folder.path("run/metrics.csv")).expect("it is there");
    assert_eq!(metrics.lines().count(), 3, "{metrics}");
    // The resolved config gives the same run again.
    folder.line("train run/config.toml --out again").good();
    let model = |run: &str| std::fs::read(folder.path(run).join("model.safetensors")).expect("it is there");
    assert_eq!(model("run"), model("again"));
    // What `test` finds is what `train` said.
    let tested = folder.line("test run").good();
    let accuracy = |text: &str| text.split_whitespace().nth(2).map(str::to_string);
    assert_eq!(accuracy(&tested.out), accuracy(&done.out));
    assert!(tested.out.contains("confusion"), "{}", tested.out);
    for form in ["--svg", "--dot", "--text"] {
        let shown = folder.line(&format!("show run {form}")).good();
        assert!(shown.out.contains("loss"), "{}", shown.out);
    }
}

#[test]
fn without_out_runs_are_numbered() {
    let folder = Folder::new();
    for _ in 0..2 {
        folder.line("train --data iris --epochs 1").good();
    }
    assert_eq!(folder.names("runs"), ["iris-1", "iris-2"]);
}

#[test]
fn json_has_one_object_per_epoch_and_a_last_one() {
    let folder = Folder::new();
    let lines = folder.line("train --data iris --epochs 3 --out run --json").good().json_lines();
    assert_eq!(lines.len(), 4);
    for (epoch, line) in lines[..3].iter().enumerate() {
        assert_eq!(line["epoch"], epoch + 1);
        for key in ["loss", "accuracy", "samples_per_second"] {
            assert!(line[key].as_f64().is_some_and(|x| x >= 0.0), "{key} in {line}");
        }
    }
    for key in ["test_accuracy", "test_loss", "seconds"] {
        assert!(lines[3][key].is_f64(), "{key} in {}", lines[3]);
    }
    let hash = lines[3]["weights_sha256"].as_str().unwrap_or_default();
    assert!(hash.len() == 64 && hash.chars().all(|c| c.is_ascii_hexdigit()), "{hash}");
    // `test --json` repeats the numbers, and the matrix has every example.
    let tested: Value = serde_json::from_str(&folder.line("test run --json").good().out).expect("it is JSON");
    assert_eq!(tested["test_accuracy"], lines[3]["test_accuracy"]);
    let rows = tested["confusion"].as_array().expect("a matrix");
    let counts = rows.iter().flat_map(|row| row.as_array().into_iter().flatten()).filter_map(Value::as_u64);
    assert_eq!(counts.sum::<u64>(), 30);
}

/// Who closes the pipe after the first line still gets the run; the code says that it was done.
#[test]
fn a_reader_that_goes_away_loses_no_run() {
    use std::io::{BufRead, BufReader};
    let folder = Folder::new();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_backprop"))
        .args(["train", "--data", "iris", "--epochs", "300", "--out", "run", "--json"])
        .current_dir(folder.path("."))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the command was built");
    let mut first = String::new();
    // The reader is dropped with this line, and the pipe with it.
    BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut first).expect("a line comes");
    assert!(first.contains("\"epoch\":1,"), "{first}");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert_eq!(folder.names("run"), FILES);
}

#[test]
fn a_batch_may_be_larger_than_the_data() {
    let folder = Folder::new();
    for batch in ["1000", "18446744073709551615"] {
        folder.line(&format!("train --data iris --epochs 2 --batch {batch} --out {batch}")).good();
    }
}

fn weights(folder: &Folder, run: &str) -> Vec<(String, Array)> {
    safetensors::load(folder.path(run).join("model.safetensors")).expect("it is there").0
}

#[test]
fn both_engines_repeat_their_bits_and_agree_with_each_other() {
    let folder = Folder::new();
    let hash = |engine: &str, out: &str| {
        let done = folder.line(&format!("train --epochs 4 --engine {engine} --out {out} --json")).good();
        done.json_lines().pop().map(|last| last["weights_sha256"].clone())
    };
    assert_eq!(hash("graph", "g1"), hash("graph", "g2"));
    assert_eq!(hash("eager", "e1"), hash("eager", "e2"));
    // 180 steps; the bound is that of `backprop_train::Engine`.
    for ((name, g), (_, e)) in weights(&folder, "g1").iter().zip(&weights(&folder, "e1")) {
        let (g, e) = (g.to_f64s(), e.to_f64s());
        let far = g.iter().zip(&e).map(|(g, e)| (g - e).abs()).fold(0.0, f64::max);
        assert!(far <= 1e-5, "{name}: {far}");
    }
}

#[test]
fn options_override_the_config_file() {
    let folder = Folder::new();
    folder.write("c.toml", "data = \"iris\"\nlayers = [4, 7, 3]\nepochs = 5\noptimizer = \"sgd\"\n");
    folder.line("train c.toml --epochs 1 --lr 0.01 --batch 16 --out run").good();
    let config = std::fs::read_to_string(folder.path("run/config.toml")).expect("it is there");
    for line in ["layers = [4, 7, 3]", "epochs = 1", "optimizer = \"sgd\"", "lr = 0.01", "batch = 16"] {
        assert!(config.lines().any(|own| own == line), "{line} in\n{config}");
    }
}

#[test]
fn the_documented_recipe_learns_the_digits() {
    let folder = Folder::new();
    let last = folder.line("train --out run --json").good().json_lines().pop().expect("a last line");
    assert!(last["test_accuracy"].as_f64().is_some_and(|accuracy| accuracy >= 0.97), "{last}");
}

#[test]
fn mnist_trains_where_it_is() {
    let root = std::env::var("BACKPROP_DATA").unwrap_or_else(|_| "BACKPROP_DATA".to_string());
    let data = std::path::Path::new(&root).join("mnist");
    if !data.is_dir() {
        println!("skipped: no MNIST at {}", data.display());
        return;
    }
    let folder = Folder::new();
    let data = data.display().to_string();
    let arguments = [
        "train",
        "--data",
        &data,
        "--layers",
        "784,16,10",
        "--epochs",
        "1",
        "--batch",
        "128",
        "--out",
        "m",
        "--json",
    ];
    let last = folder.run(&arguments).good().json_lines().pop().expect("a last line");
    assert!(last["test_accuracy"].as_f64().is_some_and(|accuracy| accuracy > 0.85), "{last}");
}

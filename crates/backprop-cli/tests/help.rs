//! The help is complete, and its examples run.

mod common;

use common::Folder;

const COMMANDS: [&str; 8] = ["train", "test", "eval", "grad", "show", "check", "ops", "bench"];

const BENCHES: [&str; 9] =
    ["mlp", "train", "gemm", "pointwise", "cross-entropy", "adam", "function", "compile", "chain"];

/// A run that the examples speak of, and a config.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.line("train --data iris --epochs 1 --out digits").good();
    folder.write("config.toml", "data = \"iris\"\nepochs = 1\n");
    folder
}

#[test]
fn every_example_of_the_help_runs() {
    let commands = COMMANDS.map(str::to_string);
    let benches = BENCHES.map(|work| format!("bench {work}"));
    for command in commands.iter().chain(&benches) {
        let folder = folder();
        let help = folder.line(&format!("{command} --help")).good();
        assert_eq!(help.err, "");
        let examples: Vec<&str> =
            help.out.lines().filter_map(|line| line.strip_prefix("  backprop ")).collect();
        assert!(!examples.is_empty(), "{command} has no example:\n{}", help.out);
        for example in examples {
            folder.line(example).good();
        }
    }
}

#[test]
fn the_first_help_names_every_command() {
    let folder = Folder::new();
    let help = folder.run(&["--help"]).good();
    for command in COMMANDS {
        assert!(help.out.contains(&format!("\n  {command} ")), "{}", help.out);
    }
    let help = folder.line("bench --help").good();
    for work in BENCHES {
        assert!(help.out.contains(&format!("\n  {work} ")), "{}", help.out);
    }
    // Without a command, the help is the error.
    assert_eq!(folder.run(&[]).code, 2);
    assert!(folder.run(&["--version"]).good().out.starts_with("backprop "));
}

#[test]
fn ops_lists_name_arity_parameters_equation_gradient_samples() {
    let folder = Folder::new();
    let done = folder.run(&["ops", "--json"]).good();
    let list: serde_json::Value = serde_json::from_str(&done.out).expect("it is JSON");
    let list = list.as_array().expect("it is a list");
    assert!(list.len() > 60, "{} ops", list.len());
    let tanh = list.iter().find(|op| op["name"] == "tanh").expect("tanh is there");
    assert_eq!((&tanh["arity"], &tanh["gradient"]), (&1.into(), &"dx = d·(1 − y²)".into()));
    let result = tanh["samples"][0]["results"][0]["values"][2].as_f64();
    assert!(result.is_some_and(|y| (y - 2f64.tanh()).abs() < 1e-15), "{result:?}");
    let gather = list.iter().find(|op| op["name"] == "gather").expect("gather is there");
    assert_eq!(gather["parameters"], serde_json::json!(["axis"]));
    // Every op says everything, and only these take any number of operands.
    for op in list {
        for key in ["name", "equation", "gradient"] {
            assert!(op[key].as_str().is_some_and(|text| !text.is_empty()), "{key} of {op}");
        }
        let sample = &op["samples"][0];
        let given = sample["parameters"].as_object().map_or(0, |given| given.len());
        assert_eq!(op["parameters"].as_array().map(Vec::len), Some(given), "{op}");
        assert_eq!(op["arity"].as_u64(), sample["operands"].as_array().map(|own| own.len() as u64), "{op}");
        assert!(sample["results"].as_array().is_some_and(|results| !results.is_empty()), "{op}");
        let is_variadic = ["concat", "cond", "scan"].iter().any(|name| op["name"] == *name);
        assert_eq!(op["variadic"], is_variadic, "{op}");
    }
    let uniform = list.iter().find(|op| op["name"] == "uniform").expect("uniform is there");
    assert_eq!(uniform["samples"][0]["parameters"]["type"], "f64[3]");
    let words = folder.run(&["ops", "concat"]).good().out;
    assert!(words.starts_with("concat(x, ...) {axis}\n"), "{words}");
    let words = folder.run(&["ops", "tanh"]).good().out;
    assert!(words.starts_with("tanh(x)\n") && words.contains("y = tanh x"), "{words}");
}

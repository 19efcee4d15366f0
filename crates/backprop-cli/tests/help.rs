//! The help is complete, and its examples run.

mod common;

use common::Folder;

const COMMANDS: [&str; 7] = ["train", "test", "eval", "grad", "show", "check", "ops"];

/// A run that the examples speak of, and a config.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.line("train --data iris --epochs 1 --out digits").good();
    folder.write("config.toml", "data = \"iris\"\nepochs = 1\n");
    folder
}

#[test]
fn every_example_of_the_help_runs() {
    for command in COMMANDS {
        let folder = folder();
        let help = folder.run(&[command, "--help"]).good();
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
    let words = folder.run(&["ops", "tanh"]).good().out;
    assert!(words.starts_with("tanh(x)\n") && words.contains("y = tanh x"), "{words}");
}

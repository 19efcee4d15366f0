//! docs/cli.md: every command on the page does what the page says.

mod common;

use common::Folder;

const PAGE: &str = include_str!("../../../docs/cli.md");

/// The commands of the page, each with the lines that follow it.
fn examples() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut examples: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut is_code = false;
    for line in PAGE.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
            examples.push(("", Vec::new()));
        } else if let Some(command) = line.strip_prefix("$ backprop ") {
            examples.push((command, Vec::new()));
        } else if is_code && let Some((_, lines)) = examples.last_mut() {
            lines.push(line);
        }
    }
    examples.retain(|(command, _)| !command.is_empty());
    examples
}

/// What training gives depends on the machine's instructions: of its lines only the words are compared.
fn comparable(command: &str, line: &str) -> String {
    let is_training = command.starts_with("train") || command.starts_with("test");
    match is_training {
        true => line.chars().filter(|c| c.is_alphabetic() || "\"{}[]:|".contains(*c)).collect(),
        false => line.to_string(),
    }
}

#[test]
fn every_example_of_the_page_runs_as_shown() {
    let folder = Folder::new();
    let examples = examples();
    assert!(examples.len() >= 15, "{} examples", examples.len());
    for (command, expect) in examples {
        let done = folder.line(command);
        // With --json the page shows standard output alone.
        let is_json = command.contains("--json");
        let said = if is_json { done.out.clone() } else { format!("{}{}", done.err, done.out) };
        let said: Vec<String> = said.lines().map(|line| comparable(command, line)).collect();
        let expect: Vec<String> = expect.into_iter().map(|line| comparable(command, line)).collect();
        if is_json {
            assert_eq!(said.len(), expect.len(), "backprop {command}");
            continue;
        }
        assert_eq!(said, expect, "backprop {command}");
        let failed = expect.iter().any(|line| line.starts_with("error:"));
        assert_eq!(done.code != 0, failed, "backprop {command}");
    }
}

#[test]
fn the_table_of_settings_is_that_of_the_help() {
    let help = Folder::new().run(&["train", "--help"]).good().out;
    for line in help.lines().filter_map(|line| line.trim_start().strip_prefix("--")) {
        let flag = line.split_whitespace().next().unwrap_or_default();
        let key = format!("`{}`", flag.replace('-', "_"));
        let is_named = PAGE.contains(&key) || PAGE.contains(&format!("`--{flag}`"));
        assert!(is_named, "--{flag} is not on the page");
    }
}

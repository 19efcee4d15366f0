//! `docs/graph-format.md`: every example does what the page says, and no op is left out.

use backprop_core::text::{Registry, parse};
use backprop_core::verify::verify;

const PAGE: &str = include_str!("../../../docs/graph-format.md");

/// The blocks of the page with their marks.
fn blocks() -> Vec<(&'static str, &'static str)> {
    let fenced = PAGE.split("```").skip(1).step_by(2);
    fenced.filter_map(|block| block.split_once('\n')).collect()
}

#[test]
fn examples_parse_and_print_stably() {
    let registry = Registry::new();
    let examples: Vec<&str> =
        blocks().into_iter().filter(|(mark, _)| *mark == "graph").map(|(_, text)| text).collect();
    assert!(examples.len() >= 4);
    for text in examples {
        let document = parse(text, "example.graph", &|_| None, &registry).expect("an example parses");
        assert_eq!(verify(&document.records), Ok(()));
        let printed = document.print().text;
        let back = parse(&printed, "example.graph", &|_| None, &registry).expect("what is printed parses");
        assert_eq!(back.print().text, printed);
    }
    // The first example is written as it is printed.
    let first = blocks()[0].1;
    let document = parse(first, "example.graph", &|_| None, &registry).expect("it parses");
    assert_eq!(document.print().text, first);
}

#[test]
fn errors_read_as_shown() {
    let blocks = blocks();
    let at = blocks.iter().position(|(mark, _)| *mark == "wrong").expect("there is a wrong example");
    let error = parse(blocks[at].1, "example.graph", &|_| None, &Registry::new()).expect_err("it is wrong");
    assert_eq!(format!("{error}\n"), blocks[at + 1].1);
}

#[test]
fn every_op_is_listed() {
    let listed: Vec<&str> =
        PAGE.lines().filter(|line| line.starts_with("| `")).flat_map(|line| line.split(['`', ' '])).collect();
    for name in Registry::new().names() {
        assert!(listed.contains(&name), "{name} is not in the tables of docs/graph-format.md");
    }
}

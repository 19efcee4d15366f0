//! What is written, and how much room it takes.

use crate::measure::{Weight, shorten, width};
use crate::picture::{Kind, Node, Part};

/// A line of text longer than this ends in an ellipsis; the tooltip has it whole.
const MAX_LINE: f64 = 230.0;
/// A title longer than this ends in an ellipsis.
const MAX_TITLE: f64 = 900.0;
pub(crate) const TITLE_SIZE: f64 = 18.0;
pub(crate) const SMALL_SIZE: f64 = 11.5;

/// One line of a node's text.
pub(crate) struct Line {
    pub text: String,
    pub size: f64,
    pub weight: Weight,
    /// Its share of the node's height.
    pub height: f64,
}

/// What is written in a node, from top to bottom.
pub(crate) fn lines(node: &Node) -> Vec<Line> {
    let line = |text: &str, size, weight, height| Line {
        text: shorten(text, size, weight, MAX_LINE),
        size,
        weight,
        height,
    };
    let name = node.name.iter().map(|name| line(name, 15.0, Weight::Bold, 19.0));
    let rest = node.label.iter().enumerate().map(|(index, text)| match index {
        0 if node.name.is_none() => line(text, 13.0, Weight::Regular, 17.0),
        _ => line(text, SMALL_SIZE - 0.5, Weight::Regular, 15.0),
    });
    name.chain(rest).collect()
}

/// How far the outline of a kind eats into its box at either side.
pub(crate) fn inset(kind: Kind) -> f64 {
    match kind {
        Kind::Input => 16.0,
        Kind::Parameter => 14.0,
        Kind::Constant => 4.0,
        Kind::Operation => 8.0,
        Kind::Output => 11.0,
    }
}

/// Width and height of a node's box.
pub(crate) fn node_size(node: &Node) -> (f64, f64) {
    let lines = lines(node);
    let text = lines.iter().map(|l| width(&l.text, l.size, l.weight)).fold(0.0, f64::max);
    let height: f64 = lines.iter().map(|l| l.height).sum();
    let border = if node.kind == Kind::Output { 6.0 } else { 0.0 };
    ((text + 2.0 * inset(node.kind) + 8.0).max(46.0).ceil(), (height + 12.0 + border).max(30.0).ceil())
}

/// The title as it is drawn.
pub(crate) fn title_text(title: &str) -> String {
    shorten(title, TITLE_SIZE, Weight::Bold, MAX_TITLE)
}

/// The text of an edge's label as it is drawn.
pub(crate) fn label_text(label: &str) -> String {
    shorten(label, SMALL_SIZE, Weight::Regular, MAX_LINE)
}

/// Width and height of the label of an edge; nothing where it has none.
pub(crate) fn label_size(label: Option<&str>) -> (f64, f64) {
    let text = |label| width(&label_text(label), SMALL_SIZE, Weight::Regular).ceil() + 8.0;
    label.map_or((0.0, 0.0), |label| (text(label), 18.0))
}

/// The word under which the legend shows a kind.
pub(crate) fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Input => "input",
        Kind::Parameter => "parameter",
        Kind::Constant => "constant",
        Kind::Operation => "operation",
        Kind::Output => "output",
    }
}

/// The word for a part.
pub(crate) fn part_word(part: Part) -> &'static str {
    match part {
        Part::Forward => "forward",
        Part::Gradient => "gradient",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_holds_its_lines() {
        let check = |kind, name: Option<&str>, label: &[&str]| {
            let mut node = Node::new(kind, Part::Forward, label);
            node.name = name.map(str::to_owned);
            let (wide, high) = node_size(&node);
            let lines = lines(&node);
            for l in &lines {
                assert!(width(&l.text, l.size, l.weight) <= wide - 2.0 * inset(kind), "{}", l.text);
            }
            assert!(lines.iter().map(|l| l.height).sum::<f64>() <= high - 12.0);
        };
        check(Kind::Constant, None, &[]);
        check(Kind::Input, Some("x"), &["f32[32, 784]"]);
        check(Kind::Output, Some("∂loss/∂encoder.weight"), &["matmul", "f64[B*T, 4096]"]);
        check(Kind::Parameter, Some(&"W".repeat(500)), &[&"m".repeat(500)]);
    }

    #[test]
    fn a_name_comes_first_and_the_operation_takes_its_place() {
        let check = |name: Option<&str>, label: &[&str], expect: &[(&str, Weight)]| {
            let mut node = Node::new(Kind::Operation, Part::Forward, label);
            node.name = name.map(str::to_owned);
            let lines = lines(&node);
            let found: Vec<_> = lines.iter().map(|l| (l.text.as_str(), l.weight)).collect();
            assert_eq!(found, expect);
        };
        check(Some("h"), &["tanh"], &[("h", Weight::Bold), ("tanh", Weight::Regular)]);
        check(None, &["tanh", "f32[]"], &[("tanh", Weight::Regular), ("f32[]", Weight::Regular)]);
        check(None, &[], &[]);
    }
}

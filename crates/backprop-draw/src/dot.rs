//! A picture as DOT text, for Graphviz and its kin.

use crate::picture::{Kind, Part, Picture};
use crate::svg::line;
use std::collections::BTreeMap;

/// The picture in the DOT language. Layers become clusters. Any picture has one, also a faulty one: an edge without its node is left out.
pub fn dot(picture: &Picture) -> String {
    let mut out = String::from("digraph {\n");
    if !picture.title.is_empty() {
        line(&mut out, format_args!("  label={}; labelloc=t;", quoted(&picture.title)));
    }
    out.push_str("  graph [fontname=\"Helvetica,sans-serif\"];\n");
    out.push_str("  node [fontname=\"Helvetica,sans-serif\", fontsize=11, margin=\"0.12,0.06\"];\n");
    out.push_str("  edge [color=\"#5b7594\", arrowsize=0.7];\n");
    let mut clusters: BTreeMap<(Part, &str), Vec<usize>> = BTreeMap::new();
    for (v, node) in picture.nodes.iter().enumerate() {
        let cluster = node.cluster.as_deref().unwrap_or("");
        clusters.entry((node.part, cluster)).or_default().push(v);
    }
    for (index, ((_, cluster), members)) in clusters.iter().enumerate() {
        if !cluster.is_empty() {
            line(
                &mut out,
                format_args!("  subgraph cluster_{index} {{ label={}; color=\"#b8c2cf\";", quoted(cluster)),
            );
        }
        for &v in members {
            line(&mut out, format_args!("  n{v} [{}];", attributes(picture, v)));
        }
        if !cluster.is_empty() {
            out.push_str("  }\n");
        }
    }
    for e in picture.edges.iter().filter(|e| e.from.max(e.to) < picture.nodes.len()) {
        let mut attributes = Vec::new();
        if let Some(label) = &e.label {
            attributes.push(format!("label={}", quoted(label)));
        }
        if picture.nodes[e.from].part.max(picture.nodes[e.to].part) == Part::Gradient {
            attributes.push("style=dashed, color=\"#b8702f\"".to_owned());
        }
        let attributes =
            if attributes.is_empty() { String::new() } else { format!(" [{}]", attributes.join(", ")) };
        line(&mut out, format_args!("  n{} -> n{}{attributes};", e.from, e.to));
    }
    out.push_str("}\n");
    out
}

fn attributes(picture: &Picture, v: usize) -> String {
    let node = &picture.nodes[v];
    let shape = match node.kind {
        Kind::Input => "ellipse",
        Kind::Parameter => "hexagon",
        Kind::Constant | Kind::Operation | Kind::Output => "box",
    };
    let (color, fill, dashed) = match node.part {
        Part::Forward => ("#2a5d9f", "#e9f1fc", ""),
        Part::Gradient => ("#b3590f", "#ffeed8", ",dashed"),
    };
    let rounded = if matches!(node.kind, Kind::Operation | Kind::Output) { ",rounded" } else { "" };
    let lines: Vec<&str> = node.name.iter().chain(&node.label).map(String::as_str).collect();
    let mut out = format!(
        "label={}, shape={shape}, style=\"filled{rounded}{dashed}\", color=\"{color}\", fillcolor=\"{fill}\"",
        quoted(&lines.join("\n"))
    );
    if node.kind == Kind::Output {
        out += ", peripheries=2";
    }
    if let Some(tooltip) = &node.tooltip {
        out += &format!(", tooltip={}", quoted(tooltip));
    }
    out
}

/// A double-quoted DOT string. Graphviz reads entities in labels, so `&` is one too.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '&' => out.push_str("&amp;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        let check = |text: &str, expect: &str| assert_eq!(quoted(text), expect);
        check("u1", r#""u1""#);
        check("say \"hi\"\\N", r#""say \"hi\"\\N""#);
        check("a\nb\t&lt;", r#""a\nb &amp;lt;""#);
    }
}

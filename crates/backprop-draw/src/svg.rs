//! A layout as SVG: one file, no script, no external font or style.
//!
//! Forward and gradient differ in colour and in line (solid or dashed), so they also differ in print without colours.

use crate::label::{SMALL_SIZE, TITLE_SIZE, inset, kind_word, label_text, lines, part_word, title_text};
use crate::layout::{Item, Layout, Point, Rect, layout};
use crate::measure::{FONT, Weight};
use crate::picture::{Error, Kind, Node, Part, Picture};
use crate::text::{coordinate as n, xml};
use std::fmt::Write;

/// The picture as an SVG document.
///
/// # Errors
///
/// As [`layout`]: an edge without a node, a circle, or a picture too large to be looked at, for which [`dot`](crate::dot) remains.
pub fn svg(picture: &Picture) -> Result<String, Error> {
    let layout = layout(picture)?;
    let mut out = String::new();
    head(&mut out, &layout, picture);
    for (part, rect) in &layout.grounds {
        let class = part_class(*part);
        element(&mut out, "rect", *rect, &format!(r#" rx="12" class="bp-ground {class}""#));
    }
    for (edge, route) in picture.edges.iter().zip(&layout.routes) {
        let part = picture.nodes[edge.from].part.max(picture.nodes[edge.to].part);
        let class = part_class(part);
        line(
            &mut out,
            format_args!(
                r#"<path class="bp-edge {class}" marker-end="url(#bp-arrow-{class})" d="{}"/>"#,
                path(route)
            ),
        );
    }
    for placed in &layout.boxes {
        let rect = placed.rect;
        match placed.item {
            Item::Node(v) => node(&mut out, &picture.nodes[v], rect),
            Item::EdgeLabel(e) => {
                let text = label_text(picture.edges[e].label.as_deref().unwrap_or(""));
                element(&mut out, "rect", rect, r##" rx="4" fill="#ffffff""##);
                words(&mut out, &text, middle(rect, 4.0), "middle", SMALL_SIZE, Weight::Regular, "bp-muted");
            }
            Item::Title => words(
                &mut out,
                &title_text(&picture.title),
                middle(rect, 6.0),
                "middle",
                TITLE_SIZE,
                Weight::Bold,
                "bp-text",
            ),
            Item::Caption(part) => {
                let at = Point { x: rect.x, y: rect.y + 14.0 };
                words(
                    &mut out,
                    part_word(part),
                    at,
                    "start",
                    13.0,
                    Weight::Bold,
                    &format!("bp-caption {}", part_class(part)),
                );
            }
            Item::LegendKind(kind) => legend(&mut out, rect, kind_word(kind), Some(kind), "bp-neutral"),
            Item::LegendPart(part) => legend(&mut out, rect, part_word(part), None, part_class(part)),
        }
    }
    out.push_str("</svg>\n");
    Ok(out)
}

fn head(out: &mut String, layout: &Layout, picture: &Picture) {
    let (width, height) = (n(layout.width), n(layout.height));
    line(
        out,
        format_args!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="{FONT}" role="img">"#
        ),
    );
    if !picture.title.is_empty() {
        line(out, format_args!("<title>{}</title>", xml(&picture.title)));
    }
    out.push_str(STYLE);
    for class in ["bp-forward", "bp-gradient"] {
        line(
            out,
            format_args!(
                r#"<marker id="bp-arrow-{class}" class="bp-head {class}" viewBox="0 0 8 8" refX="0.5" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0.7L7.5 4L0 7.3Z"/></marker>"#
            ),
        );
    }
    out.push_str("</defs>\n");
    line(out, format_args!(r##"<rect width="{width}" height="{height}" fill="#ffffff"/>"##));
}

/// A pill rounder than this would cut into its first and last line.
const MAX_RADIUS: f64 = 30.0;

const STYLE: &str = "<defs><style>
.bp-text{fill:#1b2430}.bp-muted{fill:#55606e}
.bp-ground{stroke-width:1}.bp-ground.bp-forward{fill:#f5f8fc;stroke:#dde5ef}.bp-ground.bp-gradient{fill:#fdf7ef;stroke:#e6d3bb;stroke-dasharray:6 4}
.bp-caption.bp-forward{fill:#2a5d9f}.bp-caption.bp-gradient{fill:#a4500c}
.bp-edge{fill:none;stroke-width:1.3}.bp-edge.bp-forward{stroke:#5b7594}.bp-edge.bp-gradient{stroke:#b8702f;stroke-dasharray:5 3}
.bp-head.bp-forward{fill:#5b7594}.bp-head.bp-gradient{fill:#b8702f}
.bp-node{stroke-width:1.5}.bp-node.bp-forward{stroke:#2a5d9f}.bp-node.bp-gradient{stroke:#b3590f;stroke-dasharray:5 3}.bp-node.bp-neutral{stroke:#55606e}
.bp-forward.bp-input,.bp-forward.bp-output{fill:#ffffff}.bp-forward.bp-parameter{fill:#cfe1f8}.bp-forward.bp-constant{fill:#f0f1f3}.bp-forward.bp-operation{fill:#e9f1fc}
.bp-gradient.bp-input,.bp-gradient.bp-output{fill:#ffffff}.bp-gradient.bp-parameter{fill:#ffdcb3}.bp-gradient.bp-constant{fill:#f5f0ea}.bp-gradient.bp-operation{fill:#ffeed8}
.bp-neutral{fill:#ffffff}
</style>
";

fn part_class(part: Part) -> &'static str {
    match part {
        Part::Forward => "bp-forward",
        Part::Gradient => "bp-gradient",
    }
}

fn node(out: &mut String, node: &Node, rect: Rect) {
    out.push_str("<g>");
    let mut notes: Vec<&str> = node.name.iter().chain(&node.label).map(String::as_str).collect();
    notes.extend(node.cluster.as_deref());
    notes.extend(node.tooltip.as_deref());
    line(out, format_args!("<title>{}</title>", xml(&notes.join("\n"))));
    shape(out, node.kind, rect, part_class(node.part));
    let lines = lines(node);
    let height: f64 = lines.iter().map(|l| l.height).sum();
    let mut y = rect.y + (rect.height - height) / 2.0;
    for (index, l) in lines.iter().enumerate() {
        let at = Point { x: rect.x + rect.width / 2.0, y: y + l.height / 2.0 + l.size * 0.36 };
        words(out, &l.text, at, "middle", l.size, l.weight, if index == 0 { "bp-text" } else { "bp-muted" });
        y += l.height;
    }
    out.push_str("</g>\n");
}

/// The outline of a kind: pill, hexagon, sharp box, rounded box, double box.
fn shape(out: &mut String, kind: Kind, rect: Rect, part: &str) {
    let class = format!(r#" class="bp-node {part} bp-{}""#, kind_word(kind));
    let rounded = |radius: f64| format!(r#" rx="{}"{class}"#, n(radius));
    match kind {
        Kind::Input => element(out, "rect", rect, &rounded((rect.height / 2.0).min(MAX_RADIUS))),
        Kind::Constant => element(out, "rect", rect, &rounded(0.0)),
        Kind::Operation => element(out, "rect", rect, &rounded(rect.height.min(28.0) / 4.0)),
        Kind::Parameter => {
            let cut = inset(kind).min(rect.width / 4.0).min(rect.height / 2.0);
            let (right, bottom, middle) =
                (rect.x + rect.width, rect.y + rect.height, rect.y + rect.height / 2.0);
            let corners = [
                (rect.x, middle),
                (rect.x + cut, rect.y),
                (right - cut, rect.y),
                (right, middle),
                (right - cut, bottom),
                (rect.x + cut, bottom),
            ];
            let points: Vec<String> = corners.iter().map(|&(x, y)| format!("{},{}", n(x), n(y))).collect();
            line(out, format_args!(r#"<polygon points="{}"{class}/>"#, points.join(" ")));
        }
        Kind::Output => {
            let radius = rect.height.min(28.0) / 4.0;
            element(out, "rect", rect, &rounded(radius));
            let inner =
                Rect { x: rect.x + 3.5, y: rect.y + 3.5, width: rect.width - 7.0, height: rect.height - 7.0 };
            element(out, "rect", inner, &rounded((radius - 2.5).max(0.0)));
        }
    }
}

fn legend(out: &mut String, rect: Rect, word: &str, kind: Option<Kind>, class: &str) {
    let swatch = Rect { x: rect.x, y: rect.y + 2.0, width: 26.0, height: 16.0 };
    match kind {
        Some(kind) => shape(out, kind, swatch, class),
        None => shape(out, Kind::Operation, swatch, class),
    }
    let at = Point { x: rect.x + 32.0, y: rect.y + 14.0 };
    words(out, word, at, "start", SMALL_SIZE, Weight::Regular, "bp-muted");
}

fn middle(rect: Rect, below: f64) -> Point {
    Point { x: rect.x + rect.width / 2.0, y: rect.y + rect.height / 2.0 + below }
}

/// A run of text, `at` the foot of its letters.
pub(crate) fn words(
    out: &mut String,
    text: &str,
    at: Point,
    anchor: &str,
    size: f64,
    weight: Weight,
    class: &str,
) {
    let weight = if weight == Weight::Bold { r#" font-weight="700""# } else { "" };
    let (x, y) = (n(at.x), n(at.y));
    let text = xml(text);
    line(
        out,
        format_args!(
            r#"<text x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}"{weight} class="{class}">{text}</text>"#
        ),
    );
}

/// An element with a rectangle's four attributes.
pub(crate) fn element(out: &mut String, name: &str, rect: Rect, attributes: &str) {
    let (x, y, width, height) = (n(rect.x), n(rect.y), n(rect.width), n(rect.height));
    line(out, format_args!(r#"<{name} x="{x}" y="{y}" width="{width}" height="{height}"{attributes}/>"#));
}

/// A line of output; writing to a string cannot fail.
pub(crate) fn line(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("a String takes all text");
    out.push('\n');
}

/// Upright pieces as `V`, curves as `C`.
fn path(route: &[Point]) -> String {
    let mut out = format!("M{} {}", n(route[0].x), n(route[0].y));
    let mut x = route[0].x;
    for curve in route[1..].chunks_exact(3) {
        let [a, b, c] = [curve[0], curve[1], curve[2]];
        if a.x == x && b.x == x && c.x == x {
            out += &format!("V{}", n(c.y));
        } else {
            out += &format!("C{} {} {} {} {} {}", n(a.x), n(a.y), n(b.x), n(b.y), n(c.x), n(c.y));
        }
        x = c.x;
    }
    out
}

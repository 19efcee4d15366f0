//! Line charts, such as training curves: panels above one another over one x axis.
//!
//! Each series has its own colour, dashes and marker, so that it is also found in print without colours. Names stand above the panel,
//! never on the lines.

use crate::layout::{Point, Rect};
use crate::measure::{FONT, Weight, shorten, width};
use crate::svg::{element, line, words};
use crate::text::{coordinate as n, xml};
use crate::ticks::{Axis, Scale};

/// Curves over one x axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chart {
    /// Drawn above the panels; empty: none.
    pub title: String,
    /// What the x axis counts, such as `epoch`.
    pub x_label: String,
    /// From top to bottom.
    pub panels: Vec<Panel>,
}

/// A frame with its own y axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Panel {
    /// What the y axis measures, such as `loss`.
    pub y_label: String,
    /// Whether the y axis is logarithmic; values that are not positive are then left out.
    pub log_y: bool,
    /// The curves.
    pub series: Vec<Series>,
}

/// A curve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// What the legend calls it.
    pub name: String,
    /// (x, y). A point that is NaN or infinite is left out, and the line is broken there.
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 720.0;
const PLOT_HEIGHT: f64 = 210.0;
const RIGHT: f64 = 24.0;
const LEGEND_LINE: f64 = 20.0;
const TICK_SIZE: f64 = 11.5;
/// With fewer points than this, each gets a marker.
const FEW: usize = 32;
/// Okabe and Ito's palette for all kinds of colour vision, darkest first, with dashes beside it.
const STYLES: [(&str, &str); 7] = [
    ("#0072b2", ""),
    ("#d55e00", "7 4"),
    ("#009e73", "2 3"),
    ("#a3527f", "9 3 2 3"),
    ("#1b2430", "4 2"),
    ("#b07d00", "12 4"),
    ("#3a8fbf", "1 3"),
];

/// The chart as an SVG document. Any chart has one; where there is nothing to show, it says so.
///
/// ```
/// use backprop_draw::{Chart, Panel, Series, chart_svg};
/// let train = Series { name: "train".into(), points: vec![(1.0, 0.9), (2.0, 0.4), (3.0, 0.2)] };
/// let loss = Panel { y_label: "loss".into(), log_y: true, series: vec![train] };
/// let chart = Chart { title: "digits".into(), x_label: "epoch".into(), panels: vec![loss] };
/// assert!(chart_svg(&chart).starts_with("<svg"));
/// ```
pub fn chart_svg(chart: &Chart) -> String {
    let points = chart.panels.iter().flat_map(|p| p.series.iter().flat_map(|s| shown(s, p)));
    let xs: Vec<f64> = points.flatten().map(|p| p.0).collect();
    let (low, high) = range(xs.iter().copied()).unwrap_or((0.0, 1.0));
    let x_axis = Axis::new(low, high, Scale::Linear, 8, false);
    let x_axis = if xs.iter().all(|x| x.fract() == 0.0) { x_axis.whole() } else { x_axis };
    let y_axes: Vec<Option<Axis>> = chart.panels.iter().map(y_axis).collect();
    let labels = y_axes.iter().flatten().flat_map(|a| &a.ticks);
    let left = labels.map(|t| width(&t.1, TICK_SIZE, Weight::Regular)).fold(24.0, f64::max).ceil() + 28.0;

    let mut body = String::new();
    let mut y = 20.0;
    if !chart.title.is_empty() {
        let title = shorten(&chart.title, 17.0, Weight::Bold, WIDTH - 40.0);
        words(
            &mut body,
            &title,
            Point { x: WIDTH / 2.0, y: y + 16.0 },
            "middle",
            17.0,
            Weight::Bold,
            "bp-text",
        );
        y += 34.0;
    }
    let last = chart.panels.len().saturating_sub(1);
    for (index, (panel, axis)) in chart.panels.iter().zip(&y_axes).enumerate() {
        y = header(&mut body, panel, left, y);
        let plot = Rect { x: left, y, width: WIDTH - left - RIGHT, height: PLOT_HEIGHT };
        frame(&mut body, plot, &x_axis, axis.as_ref(), index == last);
        if let Some(axis) = axis {
            for (index, series) in panel.series.iter().enumerate() {
                curve(&mut body, series, index, plot, &x_axis, axis);
            }
        } else {
            let centre = Point { x: plot.x + plot.width / 2.0, y: plot.y + plot.height / 2.0 };
            words(&mut body, "no data", centre, "middle", 13.0, Weight::Regular, "bp-muted");
        }
        y += PLOT_HEIGHT + if index == last { 24.0 } else { 22.0 };
    }
    if !chart.x_label.is_empty() {
        let label = shorten(&chart.x_label, 12.5, Weight::Regular, WIDTH - left - RIGHT);
        let x = left + (WIDTH - left - RIGHT) / 2.0;
        words(&mut body, &label, Point { x, y: y + 14.0 }, "middle", 12.5, Weight::Regular, "bp-muted");
        y += 22.0;
    }
    let (width, height) = (n(WIDTH), n(y + 14.0));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" font-family=\"{FONT}\" role=\"img\">\n\
         <title>{}</title>\n<defs><style>.bp-text{{fill:#1b2430}}.bp-muted{{fill:#55606e}}</style></defs>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n{body}</svg>\n",
        xml(&chart.title)
    )
}

/// Points as they are to be joined; `None` breaks the line.
fn shown<'a>(series: &'a Series, panel: &Panel) -> impl Iterator<Item = Option<(f64, f64)>> + 'a {
    let scale = scale(panel);
    let visible = move |p: &(f64, f64)| Axis::shows(Scale::Linear, p.0) && Axis::shows(scale, p.1);
    series.points.iter().map(move |p| visible(p).then_some(*p))
}

fn scale(panel: &Panel) -> Scale {
    if panel.log_y { Scale::Log } else { Scale::Linear }
}

fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, v| {
        range.map_or(Some((v, v)), |(low, high): (f64, f64)| Some((low.min(v), high.max(v))))
    })
}

fn y_axis(panel: &Panel) -> Option<Axis> {
    let values = panel.series.iter().flat_map(|s| shown(s, panel)).flatten().map(|p| p.1);
    range(values).map(|(low, high)| Axis::new(low, high, scale(panel), 5, true))
}

/// The panel's y label on the left, the names of its series on the right; returns where the plot begins.
fn header(out: &mut String, panel: &Panel, left: f64, top: f64) -> f64 {
    let label = shorten(&panel.y_label, 13.0, Weight::Bold, 220.0);
    words(out, &label, Point { x: left, y: top + 13.0 }, "start", 13.0, Weight::Bold, "bp-text");
    let start = left + width(&label, 13.0, Weight::Bold) + 30.0;
    let entries: Vec<(String, f64)> = panel.series.iter().map(entry).collect();
    // Rows are filled from the left, each then pushed to the right margin.
    let mut rows: Vec<(Vec<usize>, f64)> = vec![(Vec::new(), 0.0)];
    for (index, (_, wide)) in entries.iter().enumerate() {
        let full =
            rows.last().is_some_and(|(row, used)| !row.is_empty() && start + used + wide > WIDTH - RIGHT);
        if full {
            rows.push((Vec::new(), 0.0));
        }
        if let Some((row, used)) = rows.last_mut() {
            row.push(index);
            *used += wide;
        }
    }
    for (line_index, (row, used)) in rows.iter().enumerate() {
        let mut x = WIDTH - RIGHT - used + 18.0;
        let y = top + 9.0 + line_index as f64 * LEGEND_LINE;
        for &index in row {
            let (color, dash) = STYLES[index % STYLES.len()];
            line(
                out,
                format_args!(
                    r#"<path d="M{} {y}h26" stroke="{color}" stroke-width="2" stroke-dasharray="{dash}"/>"#,
                    n(x)
                ),
            );
            marker(out, index, Point { x: x + 13.0, y });
            words(
                out,
                &entries[index].0,
                Point { x: x + 32.0, y: y + 4.0 },
                "start",
                12.0,
                Weight::Regular,
                "bp-muted",
            );
            x += entries[index].1;
        }
    }
    top + rows.len() as f64 * LEGEND_LINE + 6.0
}

/// A series' words in the legend, and the width of its entry.
fn entry(series: &Series) -> (String, f64) {
    let name =
        if series.points.is_empty() { format!("{} (no data)", series.name) } else { series.name.clone() };
    let name = shorten(&name, 12.0, Weight::Regular, 260.0);
    let wide = 32.0 + width(&name, 12.0, Weight::Regular) + 18.0;
    (name, wide)
}

fn frame(out: &mut String, plot: Rect, x_axis: &Axis, y_axis: Option<&Axis>, with_x_labels: bool) {
    element(out, "rect", plot, r##" fill="#fbfcfd""##);
    let (right, bottom) = (plot.x + plot.width, plot.y + plot.height);
    for (value, label) in &x_axis.ticks {
        let x = plot.x + plot.width * x_axis.place(*value);
        line(out, format_args!(r##"<path d="M{} {}V{}" stroke="#eef1f4"/>"##, n(x), n(plot.y), n(bottom)));
        if with_x_labels {
            words(
                out,
                label,
                Point { x, y: bottom + 16.0 },
                "middle",
                TICK_SIZE,
                Weight::Regular,
                "bp-muted",
            );
        }
    }
    for (value, label) in y_axis.into_iter().flat_map(|a| a.ticks.iter().map(move |t| (a.place(t.0), &t.1))) {
        let y = bottom - plot.height * value;
        line(out, format_args!(r##"<path d="M{} {}H{}" stroke="#e3e8ed"/>"##, n(plot.x), n(y), n(right)));
        words(
            out,
            label,
            Point { x: plot.x - 7.0, y: y + 4.0 },
            "end",
            TICK_SIZE,
            Weight::Regular,
            "bp-muted",
        );
    }
    let corner = (n(plot.x), n(plot.y), n(bottom), n(right));
    line(
        out,
        format_args!(
            r##"<path d="M{} {}V{}H{}" fill="none" stroke="#7b8794"/>"##,
            corner.0, corner.1, corner.2, corner.3
        ),
    );
}

fn curve(out: &mut String, series: &Series, index: usize, plot: Rect, x_axis: &Axis, y_axis: &Axis) {
    let place = |(x, y)| Point {
        x: plot.x + plot.width * x_axis.place(x),
        y: plot.y + plot.height * (1.0 - y_axis.place(y)),
    };
    let visible = |p: &(f64, f64)| Axis::shows(Scale::Linear, p.0) && Axis::shows(y_axis.scale, p.1);
    let (color, dash) = STYLES[index % STYLES.len()];
    let few = series.points.iter().filter(|p| visible(p)).count() < FEW;
    for run in series.points.split(|p| !visible(p)).filter(|run| !run.is_empty()) {
        let points = thin(run.iter().map(|&p| place(p)));
        let mut d = String::new();
        for (i, p) in points.iter().enumerate() {
            d += if i == 0 { "M" } else { "L" };
            d += &format!("{} {}", n(p.x), n(p.y));
        }
        if points.len() > 1 {
            line(
                out,
                format_args!(
                    r#"<path d="{d}" fill="none" stroke="{color}" stroke-width="2" stroke-linejoin="round" stroke-dasharray="{dash}"/>"#
                ),
            );
        }
        if few || points.len() == 1 {
            points.iter().for_each(|&p| marker(out, index, p));
        }
    }
}

/// Of many points in one column of pixels, the first, the lowest, the highest and the last.
fn thin(points: impl Iterator<Item = Point>) -> Vec<Point> {
    let mut out: Vec<Point> = Vec::new();
    let mut column: Vec<Point> = Vec::new();
    let mut flush = |column: &mut Vec<Point>| {
        if column.len() > 4 {
            let by_height = |&a: &usize, &b: &usize| column[a].y.total_cmp(&column[b].y);
            let low = (0..column.len()).min_by(by_height).unwrap_or(0);
            let high = (0..column.len()).max_by(by_height).unwrap_or(0);
            let mut keep = vec![0, low, high, column.len() - 1];
            keep.sort_unstable();
            keep.dedup();
            out.extend(keep.into_iter().map(|i| column[i]));
        } else {
            out.extend_from_slice(column);
        }
        column.clear();
    };
    for p in points {
        if column.first().is_some_and(|first| (first.x * 2.0).floor() != (p.x * 2.0).floor()) {
            flush(&mut column);
        }
        column.push(p);
    }
    flush(&mut column);
    out
}

/// Disc, square, diamond, triangle in turn.
fn marker(out: &mut String, index: usize, p: Point) {
    let color = STYLES[index % STYLES.len()].0;
    let (x, y) = (n(p.x), n(p.y));
    let shape = match index % 4 {
        0 => "m-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0 -6.4 0z",
        1 => "m-2.9 -2.9h5.8v5.8h-5.8z",
        2 => "m0 -4l4 4l-4 4l-4 -4z",
        _ => "m0 -3.8l3.7 6.4h-7.4z",
    };
    line(
        out,
        format_args!(r##"<path d="M{x} {y}{shape}" fill="{color}" stroke="#ffffff" stroke-width="0.8"/>"##),
    );
}

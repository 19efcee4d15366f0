//! Charts of curves that are short, broken, huge or not there.

use backprop_draw::{Chart, Panel, Series, chart_svg};

fn chart(log_y: bool, points: &[(f64, f64)]) -> String {
    let series = Series { name: "train <1>".to_owned(), points: points.to_vec() };
    let panel = Panel { y_label: "loss".to_owned(), log_y, series: vec![series] };
    chart_svg(&Chart { title: "a & b".to_owned(), x_label: "epoch".to_owned(), panels: vec![panel] })
}

/// (lines, markers) of the curve, without the legend's own.
fn drawn(svg: &str) -> (usize, usize) {
    let lines = svg.matches("stroke-linejoin").count();
    let markers = svg.matches("stroke-width=\"0.8\"").count() - 1;
    (lines, markers)
}

#[test]
fn points_that_are_no_numbers_break_the_line() {
    const NAN: f64 = f64::NAN;
    const INF: f64 = f64::INFINITY;
    let check = |log_y, points: &[(f64, f64)], expect: (usize, usize)| {
        let svg = chart(log_y, points);
        assert_eq!(drawn(&svg), expect, "{svg}");
        let numbers = svg.split(['"', ' ', 'M', 'L', 'V', 'H']);
        assert!(!numbers.into_iter().any(|n| n == "NaN" || n == "inf" || n == "-inf"), "{svg}");
    };
    check(false, &[(1.0, 2.0), (2.0, 3.0), (3.0, 1.0)], (1, 3));
    check(false, &[(1.0, 2.0), (2.0, 3.0), (3.0, NAN), (4.0, 1.0), (5.0, 1.0)], (2, 4));
    check(false, &[(1.0, 2.0), (2.0, INF), (NAN, 1.0), (4.0, 1.0)], (0, 2));
    check(false, &[(1.0, NAN)], (0, 0));
    check(false, &[], (0, 0));
    check(false, &[(3.0, 0.0)], (0, 1));
    check(false, &[(0.0, -1.7e308), (1.0, 1.7e308), (2.0, 5e-324)], (0, 1));
    check(true, &[(1.0, 0.0), (2.0, -1.0), (3.0, 1e-3), (4.0, 1e3)], (1, 2));
    check(true, &[(1.0, 5e-324), (2.0, 1e299), (3.0, INF)], (0, 0));
    check(true, &[(1.0, 1.1e-270), (2.0, 9e269)], (1, 2));
    check(true, &[(1.0, 1.1e-270), (2.0, 1.2e-270)], (1, 2));
    check(true, &[(1.0, 1.0), (2.0, 1.0)], (1, 2));
    check(false, &[(5e-324, 5e-324), (1e-323, 1e-323)], (1, 2));
    check(false, &[(1e9, 1.0), (1e9 + 1e-6, 1.0 + 1e-16)], (1, 2));
}

#[test]
fn what_is_missing_is_said() {
    assert!(chart(false, &[]).contains("no data"));
    assert!(chart(false, &[]).contains("train &lt;1&gt; (no data)"));
    assert!(chart_svg(&Chart::default()).ends_with("</svg>\n"));
}

#[test]
fn long_curves_are_thinned_to_what_can_be_seen() {
    let points: Vec<(f64, f64)> =
        (0..1_000_000).map(|i| (f64::from(i), (f64::from(i) * 0.7).sin())).collect();
    let svg = chart(false, &points);
    assert!(svg.len() < 120_000, "{} bytes", svg.len());
    assert_eq!(drawn(&svg), (1, 0));
}

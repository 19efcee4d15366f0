//! Arrays printed as NumPy 2 prints them.
//!
//! The rules are those of `numpy.array2string` with its default options (NumPy 2.4,
//! `numpy/_core/arrayprint.py`): all elements of an array share one width and one notation, floats
//! take the fewest digits that identify them and at most eight after the point, arrays of more than
//! 1000 elements are summarised. `{:.3}` sets another number of digits.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use super::{Array, Data, strides};
use crate::with_data;

/// `numpy.get_printoptions()`: precision, threshold, edgeitems, linewidth.
const PRECISION: usize = 8;
const THRESHOLD: usize = 1000;
const EDGE_ITEMS: usize = 3;
const LINE_WIDTH: usize = 75;

impl fmt::Display for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("[]");
        }
        match (self.rank(), f.precision(), &self.data) {
            // `print` of a rank-0 array prints the scalar with all of its digits.
            (0, None, Data::F32(x)) => return f.write_str(&scalar(x[0])),
            (0, None, Data::F64(x)) => return f.write_str(&scalar(x[0])),
            (0, _, Data::Bool(x)) => return f.write_str(if x[0] { "True" } else { "False" }),
            _ => {}
        }
        let summarise = self.len() > THRESHOLD;
        let shown = shown_elements(self.sizes(), summarise);
        let words = self.words(&shown, f.precision().unwrap_or(PRECISION));
        let mut layout = Layout { sizes: self.sizes(), words: words.into_iter(), summarise };
        f.write_str(&layout.block(0, " ", LINE_WIDTH))
    }
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Array({}{:?}) ", self.dtype(), self.sizes())?;
        fmt::Display::fmt(self, f)
    }
}

impl Array {
    /// The elements at `shown` as text of one width.
    fn words(&self, shown: &[usize], precision: usize) -> Vec<String> {
        match &self.data {
            Data::F32(x) => float_words(&shown.iter().map(|&i| x[i]).collect::<Vec<_>>(), precision),
            Data::F64(x) => float_words(&shown.iter().map(|&i| x[i]).collect::<Vec<_>>(), precision),
            Data::Bool(x) => {
                shown.iter().map(|&i| if x[i] { " True" } else { "False" }.to_string()).collect()
            }
            ints => {
                let words: Vec<String> =
                    with_data!(ints, |x| shown.iter().map(|&i| format!("{:?}", x[i])).collect());
                let width = words.iter().map(String::len).max().unwrap_or(0);
                words.into_iter().map(|word| format!("{word:>width$}")).collect()
            }
        }
    }
}

/// The indices along an axis of this size that are printed, in order.
fn shown_along(size: usize, summarise: bool) -> impl Iterator<Item = usize> + Clone {
    let cut = summarise && size > 2 * EDGE_ITEMS;
    let (head, tail) = if cut { (EDGE_ITEMS, size - EDGE_ITEMS) } else { (0, 0) };
    (0..head).chain(tail..size)
}

/// The row-major positions of the elements that are printed, in order.
fn shown_elements(sizes: &[usize], summarise: bool) -> Vec<usize> {
    let strides = strides(sizes);
    let mut positions = vec![0];
    for (&size, &stride) in sizes.iter().zip(&strides) {
        positions = positions
            .iter()
            .flat_map(|&start| shown_along(size, summarise).map(move |i| start + i * stride))
            .collect();
    }
    positions
}

/// Brackets, line breaks and dots around words that come in row-major order.
struct Layout<'a> {
    sizes: &'a [usize],
    words: std::vec::IntoIter<String>,
    summarise: bool,
}

impl Layout<'_> {
    /// The text of one block along `axis`; its lines but the first start with `indent`. Recurses
    /// once per axis, so at most eight deep.
    fn block(&mut self, axis: usize, indent: &str, width: usize) -> String {
        let Some(&size) = self.sizes.get(axis) else {
            return self.words.next().unwrap_or_default();
        };
        let cut = self.summarise && size > 2 * EDGE_ITEMS;
        let inner_indent = format!("{indent} ");
        // `None` stands for the dots.
        let items: Vec<Option<String>> = shown_along(size, self.summarise)
            .enumerate()
            .flat_map(|(n, _)| {
                let item = Some(self.block(axis + 1, &inner_indent, width - 1));
                let dots = (cut && n == EDGE_ITEMS).then_some(None);
                dots.into_iter().chain([item])
            })
            .collect();
        let items = items.iter().map(|item| item.as_deref().unwrap_or("..."));
        let text = if axis + 1 == self.sizes.len() {
            wrapped(items, indent, width - 1)
        } else {
            let blank_lines = "\n".repeat(self.sizes.len() - axis - 1);
            items.map(|item| format!("{indent}{item}")).collect::<Vec<_>>().join(&blank_lines)
        };
        format!("[{}]", &text[indent.len()..])
    }
}

/// Words joined by spaces into lines of at most `width` characters that start with `indent`.
fn wrapped<'a>(words: impl Iterator<Item = &'a str>, indent: &str, width: usize) -> String {
    let (mut text, mut line) = (String::new(), indent.to_string());
    for (n, word) in words.enumerate() {
        if n > 0 {
            line.push(' ');
        }
        // A line that holds nothing yet is not broken: it would not help.
        if line.len() + word.len() > width && line.len() > indent.len() {
            text.push_str(line.trim_end());
            text.push('\n');
            line = indent.to_string();
        }
        line.push_str(word);
    }
    text + &line
}

/// What the two float types differ in.
trait Float: Copy + PartialOrd + fmt::LowerExp + std::ops::Div<Output = Self> + FromStr + Into<f64> {
    /// From this magnitude on an array is printed in scientific notation: `10.**min(8, precision)`.
    const LARGE: f64;
    /// The same for a rank-0 array.
    const LARGE_SCALAR: f64;
    const SMALL: Self;
    const RATIO: Self;
}

impl Float for f32 {
    const LARGE: f64 = 1e6;
    const LARGE_SCALAR: f64 = 1e6;
    const SMALL: f32 = 1e-4;
    const RATIO: f32 = 1e3;
}

impl Float for f64 {
    const LARGE: f64 = 1e8;
    const LARGE_SCALAR: f64 = 1e16;
    const SMALL: f64 = 1e-4;
    const RATIO: f64 = 1e3;
}

/// The shortest decimal that identifies a finite float: its digits, and the exponent of the first.
struct Digits {
    digits: String,
    exponent: i32,
}

fn digits<T: Float>(x: T) -> Digits {
    let mut text = format!("{x:e}");
    // Of two shortest decimals that are equally near (f32 282358.625) NumPy takes the even one.
    let fraction = text.split('e').next().map_or(0, fraction_len);
    let even = format!("{:.fraction$e}", x.into());
    if even.parse().is_ok_and(|same: T| same == x) {
        text = even;
    }
    // Infinities and NaN have no digits; their callers do not look.
    let (mantissa, exponent) = text.split_once('e').unwrap_or(("0", "0"));
    Digits {
        digits: mantissa.chars().filter(char::is_ascii_digit).collect(),
        exponent: exponent.parse().unwrap_or(0),
    }
}

/// A scalar with all of its digits: `1.0`, `0.1`, `1e+16`, `nan`.
fn scalar<T: Float>(value: T) -> String {
    let (x, shortest): (f64, Digits) = (value.into(), digits(value));
    let magnitude = x.abs();
    if !x.is_finite() {
        return non_finite(x).to_string();
    }
    let fraction = (shortest.digits.len() as i32 - 1 - shortest.exponent).max(0) as usize;
    if magnitude == 0.0 || (1e-4..T::LARGE_SCALAR).contains(&magnitude) {
        return format!("{x:.*}", fraction.max(1));
    }
    scientific(x, shortest.digits.len() - 1, 2).replace(".e", "e")
}

/// The elements in one notation and one width.
fn float_words<T: Float>(values: &[T], precision: usize) -> Vec<String> {
    let finite: Vec<T> = values.iter().copied().filter(|&x| x.into().is_finite()).collect();
    let format = FloatFormat::new(&finite, precision);
    let words: Vec<String> = values.iter().map(|&x| format.word(x)).collect();
    let width = words.iter().map(String::len).max().unwrap_or(0);
    words.into_iter().map(|word| format!("{word:>width$}")).collect()
}

enum FloatFormat {
    /// At most `precision` digits after the point, padded with spaces to `fraction`.
    Positional { precision: usize, fraction: usize },
    /// Exactly `fraction` digits after the point, at least `exponent` in the exponent.
    Scientific { fraction: usize, exponent: usize },
}

impl FloatFormat {
    fn new<T: Float>(finite: &[T], precision: usize) -> FloatFormat {
        if is_scientific(finite) {
            let texts: Vec<String> = finite.iter().map(|&x| scientific_shortest(x, precision)).collect();
            let parts = || texts.iter().filter_map(|text| text.split_once('e'));
            let fraction = parts().map(|(mantissa, _)| fraction_len(mantissa)).max().unwrap_or(0);
            let exponent = parts().map(|(_, exponent)| exponent.len() - 1).max().unwrap_or(2);
            FloatFormat::Scientific { fraction, exponent }
        } else {
            let texts = finite.iter().map(|&x| positional(x, precision));
            let fraction = texts.map(|text| fraction_len(&text)).max().unwrap_or(0);
            FloatFormat::Positional { precision, fraction }
        }
    }

    fn word<T: Float>(&self, x: T) -> String {
        let value: f64 = x.into();
        if !value.is_finite() {
            return non_finite(value).to_string();
        }
        match *self {
            FloatFormat::Scientific { fraction, exponent } => scientific(value, fraction, exponent),
            FloatFormat::Positional { precision, fraction } => {
                let mut text = positional(x, precision);
                let missing = fraction - fraction_len(&text);
                text.extend(std::iter::repeat_n(' ', missing));
                text
            }
        }
    }
}

fn is_scientific<T: Float>(finite: &[T]) -> bool {
    let zero = T::SMALL.into() * 0.0;
    let magnitude = |x: &T| (*x).into().abs();
    let larger = |a: T, b: T| if magnitude(&b) > magnitude(&a) { b } else { a };
    let smaller = |a: T, b: T| if magnitude(&b) < magnitude(&a) { b } else { a };
    let non_zero = || finite.iter().copied().filter(|&x| x.into() != zero);
    let (Some(max), Some(min)) = (non_zero().reduce(larger), non_zero().reduce(smaller)) else {
        return false;
    };
    // The quotient is rounded to the type of the elements, as NumPy does.
    magnitude(&max) >= T::LARGE
        || magnitude(&min) < T::SMALL.into()
        || magnitude(&(max / min)) > T::RATIO.into()
}

/// Digits after the point: the shortest that identify `x`, or the nearest `precision` of them.
fn positional<T: Float>(x: T, precision: usize) -> String {
    let shortest = digits(x);
    let fraction = (shortest.digits.len() as i32 - 1 - shortest.exponent).max(0) as usize;
    let value: f64 = x.into();
    let mut text = if fraction <= precision {
        shortest_positional(value.is_sign_negative(), &shortest)
    } else {
        format!("{value:.precision$}")
    };
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').len());
    } else {
        text.push('.');
    }
    text
}

fn shortest_positional(negative: bool, shortest: &Digits) -> String {
    let sign = if negative { "-" } else { "" };
    let Digits { digits, exponent } = shortest;
    match usize::try_from(*exponent) {
        Err(_) => format!("{sign}0.{}{digits}", "0".repeat(exponent.unsigned_abs() as usize - 1)),
        Ok(exponent) => {
            let whole = format!("{digits:0<width$}", width = exponent + 1);
            let (whole, fraction) = whole.split_at(exponent + 1);
            format!("{sign}{whole}.{fraction}")
        }
    }
}

/// Like [`positional`], in scientific notation.
fn scientific_shortest<T: Float>(x: T, precision: usize) -> String {
    let shortest = digits(x);
    let text = scientific(x.into(), precision.min(shortest.digits.len() - 1), 2);
    match text.split_once('e') {
        Some((mantissa, exponent)) => format!("{}e{exponent}", mantissa.trim_end_matches('0')),
        None => text,
    }
}

/// `1.25e+03`: exactly `fraction` digits after the point, at least `width` in the exponent.
fn scientific(x: f64, fraction: usize, width: usize) -> String {
    let text = format!("{x:.fraction$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(magnitude) => ('-', magnitude),
        None => ('+', exponent),
    };
    let mut out = mantissa.to_string();
    if fraction == 0 {
        out.push('.');
    }
    // Writing to a String does not fail.
    let _ = write!(out, "e{sign}{exponent:0>width$}");
    out
}

fn fraction_len(text: &str) -> usize {
    text.split_once('.').map_or(0, |(_, fraction)| fraction.len())
}

fn non_finite(x: f64) -> &'static str {
    match (x.is_nan(), x > 0.0) {
        (true, _) => "nan",
        (_, true) => "inf",
        (_, false) => "-inf",
    }
}

//! What is wrong with a text: every error, each with its place and the line it stands on.

use std::fmt;

use super::lex::Span;

/// One thing that is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The name of the file that was given to the parser.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, in characters, from 1.
    pub column: u32,
    /// What was found and what was expected.
    pub message: String,
    /// The operands concerned, a line each.
    pub details: Vec<String>,
    /// What to do, when that is sure.
    pub hint: Option<String>,
    /// The line, or the part of a long line around the place.
    pub source: String,
    /// Where in `source` the place is: the first character and how many there are.
    pub marked: (usize, usize),
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diagnostic { file, line, column, message, source, marked, .. } = self;
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        write!(f, "{file}:{line}:{column}: {message}\n  {number} | {source}\n  {margin} | ")?;
        // Tabs keep their width, so that the caret stands below its place.
        for c in source.chars().take(marked.0) {
            f.write_str(if c == '\t' { "\t" } else { " " })?;
        }
        f.write_str(&"^".repeat(marked.1.max(1)))?;
        if let Some(hint) = &self.hint {
            write!(f, " {hint}")?;
        }
        self.details.iter().try_for_each(|detail| write!(f, "\n  {margin}   {detail}"))
    }
}

/// Every error of a text, in the order of the lines.
#[derive(Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The errors; at least one.
    pub errors: Vec<Diagnostic>,
    /// Whether the parser gave up after [`ParseError::MOST`] errors.
    pub gave_up: bool,
}

impl ParseError {
    /// How many errors are reported at most.
    pub const MOST: usize = 1000;
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, error) in self.errors.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        if self.gave_up {
            write!(f, "\nthe rest of the text was not read, for there are too many errors")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ParseError {
    /// The same text as `Display`: it is what `main() -> Result<(), ParseError>` and `unwrap` print.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{self}")
    }
}

impl std::error::Error for ParseError {}

/// An error before its place is put into words.
pub(super) struct Found {
    pub span: Span,
    pub message: String,
    pub details: Vec<String>,
    pub hint: Option<String>,
}

/// The errors with their lines and columns. Walks the text once.
pub(super) fn place_all(text: &str, file: &str, mut found: Vec<Found>) -> Vec<Diagnostic> {
    found.sort_by_key(|found| found.span.start);
    let (mut line, mut line_start) = (1, 0);
    // The column of a byte of the line, so that a long line with many errors is counted once.
    let (mut counted, mut column) = (0, 1);
    let mut line_end = 0;
    let mut errors = Vec::with_capacity(found.len());
    for Found { span, message, details, hint } in found {
        while let Some(length) = text[counted..span.start].find('\n') {
            counted += length + 1;
            line += 1;
            (line_start, column) = (counted, 1);
        }
        column += text[counted..span.start].chars().count() as u32;
        counted = span.start;
        if line_end < span.start {
            line_end = span.start + super::lex::line_length(&text[span.start..]);
        }
        let end = span.end.clamp(span.start, line_end);
        let (source, before) = excerpt(text, line_start, line_end, span.start);
        let marked = text[span.start..end].chars().take(WIDTH / 2).count().max(1);
        let file = file.to_string();
        let (marked, message) = ((before, marked), shortened(message));
        errors.push(Diagnostic { file, line, column, message, details, hint, source, marked });
    }
    errors
}

/// The message, without the middle of what it quotes at length: a name may be as long as the file.
fn shortened(message: String) -> String {
    let count = message.chars().count();
    if count <= 4 * WIDTH {
        return message;
    }
    let head: String = message.chars().take(WIDTH).collect();
    let tail: String = message.chars().skip(count - WIDTH).collect();
    format!("{head} … {tail}")
}

/// How much of a long line an error shows.
const WIDTH: usize = 110;

/// The part of a line around `at`, and how many characters of it stand before `at`.
fn excerpt(text: &str, start: usize, end: usize, at: usize) -> (String, usize) {
    let head: Vec<char> = text[start..at].chars().rev().take(WIDTH / 2 + 1).collect();
    let cut = head.len() > WIDTH / 2;
    let mut shown: String = if cut { "…".to_string() } else { String::new() };
    shown.extend(head.iter().take(WIDTH / 2).rev());
    let before = shown.chars().count();
    let mut tail = text[at..end].chars();
    shown.extend(tail.by_ref().take(WIDTH - before));
    let shown = shown.trim_end_matches('\r').to_string();
    (if tail.next().is_some() { shown + "…" } else { shown }, before)
}

/// The known name that `name` was probably meant to be.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name: Vec<char> = name.chars().take(64).collect();
    let allowed = (name.len() / 3).max(1);
    known
        .into_iter()
        .filter(|known| known.len() <= 4 * (name.len() + allowed))
        .map(|known| (distance(&name, known), known))
        .filter(|&(distance, known)| distance <= allowed && distance < known.chars().count().max(name.len()))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, known)| known)
}

/// How many characters must be inserted, deleted, replaced or swapped with their neighbour
/// (Damerau 1964, in the restricted form: no part is edited twice).
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let mut best = (above[j] + usize::from(x != y)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_close() {
        let known = ["tanh", "transpose", "sum", "axes", "lhs_contract"];
        let check = |name: &str, expect: Option<&str>| assert_eq!(nearest(name, known), expect, "{name}");
        check("tahn", Some("tanh"));
        check("trnspose", Some("transpose"));
        check("axis", Some("axes"));
        check("lhs_contracts", Some("lhs_contract"));
        check("quux", None);
        check("", None);
    }
}

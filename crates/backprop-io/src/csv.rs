//! Tables of numbers as text: fields split by commas, one row per line; plain or gzip.

use std::io::{BufRead, Read};
use std::path::Path;

use backprop_core::Array;

use crate::error::printable;
use crate::source::{open_gz, read_failed};
use crate::{IoError, Place};

/// The longest line; a file without line ends is no table.
const MAX_LINE: u64 = 1 << 24;

/// The most text that is unpacked from a gzip file: unlike other formats, this one has no header that
/// says how much there should be.
const MAX_UNPACKED: u64 = 1 << 31;

/// Whether the first line names the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// It does.
    Present,
    /// It holds numbers like the others.
    Absent,
    /// It does if one of its fields is no number.
    Detect,
}

/// A table of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The names of the columns, or whatever the first line holds.
    pub header: Option<Vec<String>>,
    /// The numbers, `f64` \[rows, columns\].
    pub values: Array,
}

impl Table {
    /// The numbers of one column, counted from 0.
    pub fn column(&self, column: usize) -> Option<Vec<f64>> {
        let columns = *self.values.sizes().get(1)?;
        let values = self.values.slice::<f64>().ok()?;
        (column < columns).then(|| values.iter().skip(column).step_by(columns).copied().collect())
    }
}

/// Reads a file. Gzip is known by its first bytes, whatever the name. Empty lines are skipped, a field
/// may stand in double quotes, `nan` and `inf` are numbers.
///
/// # Errors
/// The file cannot be read or is empty; a field is no number or a row has another number of fields than
/// the first line: with line and column.
pub fn load(path: impl AsRef<Path>, header: Header) -> Result<Table, IoError> {
    let path = path.as_ref();
    let load = || {
        let (reader, len) = open_gz(path)?;
        read(reader.take(len.unwrap_or(MAX_UNPACKED)), header)
    };
    load().map_err(|error: IoError| error.in_file(path))
}

/// Reads text that is in memory, plain or gzip; otherwise like [`load`].
///
/// # Errors
/// As [`load`].
pub fn parse(text: &[u8], header: Header) -> Result<Table, IoError> {
    if text.starts_with(&[0x1f, 0x8b]) {
        let unpacked = std::io::BufReader::new(flate2::bufread::MultiGzDecoder::new(text));
        return read(unpacked.take(MAX_UNPACKED), header);
    }
    read(text.take(text.len() as u64), header)
}

fn read(mut reader: std::io::Take<impl BufRead>, header: Header) -> Result<Table, IoError> {
    let mut table = Rows { header: None, columns: None, values: Vec::new() };
    let (mut line, mut line_number) = (Vec::new(), 0);
    loop {
        line.clear();
        line_number += 1;
        let place = Place::Line(line_number, 0);
        (&mut reader)
            .take(MAX_LINE + 1)
            .read_until(b'\n', &mut line)
            .map_err(|error| at_line(line_number, read_failed(0, error)))?;
        if line.is_empty() {
            break;
        }
        if line.len() as u64 > MAX_LINE {
            return Err(IoError::malformed(place, format!("the line is longer than {MAX_LINE} bytes")));
        }
        let text = std::str::from_utf8(&line)
            .map_err(|_| IoError::malformed(place.clone(), "the text is not UTF-8"))?;
        let text = text.trim_end_matches(['\n', '\r']);
        if text.contains(|c: char| c.is_control() && c != '\t') {
            return Err(IoError::malformed(place, "a control character: this is no text file"));
        }
        let text = if line_number == 1 { text.trim_start_matches('\u{feff}') } else { text };
        if !text.trim().is_empty() {
            table.add(text, line_number, header)?;
        }
    }
    if reader.limit() == 0 && reader.get_mut().fill_buf().is_ok_and(|more| !more.is_empty()) {
        let what = format!("more than {MAX_UNPACKED} bytes of text");
        return Err(IoError::unsupported(Place::File, what, "unpack the file, or use .npy"));
    }
    table.finish()
}

fn at_line(line: u64, error: IoError) -> IoError {
    match error {
        IoError::Malformed(problem) => {
            IoError::Malformed(crate::Problem { place: Place::Line(line, 0), ..problem })
        }
        other => other,
    }
}

struct Rows {
    header: Option<Vec<String>>,
    columns: Option<usize>,
    values: Vec<f64>,
}

impl Rows {
    fn add(&mut self, text: &str, line: u64, header: Header) -> Result<(), IoError> {
        let fields = fields(text, line)?;
        let columns = *self.columns.get_or_insert(fields.len());
        if columns != fields.len() {
            let what = format!("{} fields, but the first line has {columns}", fields.len());
            return Err(IoError::malformed(Place::Line(line, 0), what));
        }
        let first = self.header.is_none() && self.values.is_empty();
        let is_header = match header {
            Header::Present => first,
            Header::Absent => false,
            Header::Detect => first && fields.iter().any(|field| field.parse::<f64>().is_err()),
        };
        if is_header {
            self.header = Some(fields.into_iter().map(str::to_string).collect());
            return Ok(());
        }
        for (column, field) in fields.into_iter().enumerate() {
            let Ok(value) = field.parse() else {
                let what = match field {
                    "" => "the field is empty".to_string(),
                    _ => format!("\"{}\" is no number", printable(field)),
                };
                return Err(IoError::malformed(Place::Line(line, column as u64 + 1), what));
            };
            self.values.push(value);
        }
        Ok(())
    }

    fn finish(self) -> Result<Table, IoError> {
        let Some(columns) = self.columns else {
            return Err(IoError::malformed(Place::File, "the file has no rows"));
        };
        let sizes = [self.values.len() / columns, columns];
        let values =
            Array::new(sizes, self.values).expect("every row has as many values as there are columns");
        Ok(Table { header: self.header, values })
    }
}

/// The fields of a line, without spaces and quotes around them. There is at least one.
fn fields(text: &str, line: u64) -> Result<Vec<&str>, IoError> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let wrong = |what: &str| Err(IoError::malformed(Place::Line(line, fields.len() as u64 + 1), what));
        let (field, after) = match rest.trim_start().strip_prefix('"') {
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].trim(), &rest[end..])
            }
            Some(quoted) => {
                let Some((field, after)) = quoted.split_once('"') else {
                    return wrong("a quote is not closed");
                };
                (field, after.trim_start())
            }
        };
        if !after.is_empty() && !after.starts_with(',') {
            return wrong("text follows a closing quote");
        }
        fields.push(field);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => return Ok(fields),
        }
    }
}

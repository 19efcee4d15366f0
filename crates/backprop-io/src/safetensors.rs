//! Hugging Face's `.safetensors`: named arrays and a table of strings.
//!
//! Layout: the header's length (u64, little-endian), the header (JSON), the arrays' bytes without gaps.

mod header;

use std::collections::{BTreeMap, HashSet};
use std::io::{BufReader, Read};
use std::path::Path;

use backprop_core::Array;

use crate::atomic::write_atomically;
use crate::elements::{self, Endian};
use crate::error::printable;
use crate::source::{self, Source};
use crate::{IoError, Place};
use header::Entry;

/// Named arrays, and strings about them.
pub type Contents = (Vec<(String, Array)>, BTreeMap<String, String>);

/// Reads all arrays, in the order of their bytes in the file, and the metadata.
///
/// # Errors
/// The header is longer than the file, is no JSON, names something twice, or claims bytes that are not
/// there, that other arrays claim, or that do not fit its sizes; an element type that
/// [`backprop_core::DType`] lacks; bytes that belong to no array.
pub fn load(path: impl AsRef<Path>) -> Result<Contents, IoError> {
    let path = path.as_ref();
    let load = || {
        let (file, len) = source::open(path)?;
        read_from(&mut Source::new(BufReader::with_capacity(1 << 16, file), Some(len)))
    };
    load().map_err(|error: IoError| error.in_file(path))
}

/// Writes named arrays and metadata, whole or not at all.
///
/// Larger element types come first (so that every array is aligned), equal ones by name: the bytes
/// depend on what is saved and not on its order here. Python's `safetensors` writes the same layout.
///
/// # Errors
/// A name occurs twice or is `__metadata__`; the file cannot be written.
pub fn save<N: AsRef<str>>(
    path: impl AsRef<Path>,
    arrays: &[(N, &Array)],
    metadata: &BTreeMap<String, String>,
) -> Result<(), IoError> {
    let mut sorted: Vec<(&str, &Array)> =
        arrays.iter().map(|(name, array)| (name.as_ref(), *array)).collect();
    sorted.sort_by_key(|(name, array)| (std::cmp::Reverse(array.dtype().size()), *name));
    let mut seen = HashSet::new();
    for (name, _) in &sorted {
        if !seen.insert(*name) || *name == header::METADATA {
            let what =
                if *name == header::METADATA { "the name is reserved" } else { "the name is given twice" };
            let error =
                IoError::refused(Place::Array(printable(name)), what, "give each array a name of its own");
            return Err(error.in_file(path.as_ref()));
        }
    }
    write_atomically(path, |mut writer| {
        writer
            .write_all(&header::bytes(&sorted, metadata))
            .and_then(|()| sorted.iter().try_for_each(|(_, array)| elements::write(&mut writer, array)))
            .map_err(|error| IoError::system("write", error))
    })
}

/// Reads from a source whose end is known.
fn read_from(source: &mut Source<impl Read>) -> Result<Contents, IoError> {
    let header = header::read(source)?;
    let (mut entries, metadata) = (header.entries, header.metadata);
    let left = source.left().unwrap_or(0);
    check(&mut entries, left)?;
    let mut arrays = Vec::with_capacity(entries.len());
    for Entry { name, dtype, sizes, .. } in entries {
        let array = elements::read(source, dtype, &sizes, Endian::Little)
            .map_err(|error| error.in_array(&name, "the file"))?;
        arrays.push((name, array));
    }
    Ok((arrays, metadata))
}

/// Puts the entries into the order of their bytes; they must cover all `len` bytes, each once.
fn check(entries: &mut [Entry], len: u64) -> Result<(), IoError> {
    entries.sort_by_key(|entry| entry.range);
    let mut end = 0;
    for Entry { name, dtype, sizes, range: (start, stop) } in entries.iter() {
        let wrong = |what: String| Err(IoError::malformed(Place::Array(printable(name)), what));
        let bytes = elements::byte_len(*dtype, sizes).map_err(|error| error.in_array(name, "the file"))?;
        if stop.checked_sub(*start) != Some(bytes) {
            return wrong(format!(
                "{dtype}{sizes:?} takes {bytes} bytes, but data_offsets are [{start}, {stop}]"
            ));
        }
        if *stop > len {
            let what = format!("data_offsets [{start}, {stop}] lie beyond the {len} bytes of data");
            return wrong(format!("{what}: the file is truncated"));
        }
        if *start < end {
            return wrong(format!("data_offsets [{start}, {stop}] overlap those of the array before"));
        }
        if *start > end {
            return wrong(format!("{} bytes before it belong to no array", start - end));
        }
        end = *stop;
    }
    if end < len {
        return Err(IoError::malformed(
            Place::File,
            format!("{} bytes follow the end of the last array", len - end),
        ));
    }
    Ok(())
}

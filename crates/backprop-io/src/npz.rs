//! NumPy's `.npz`: named arrays, each a `.npy` file in a zip archive, stored or deflated.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use backprop_core::Array;
use flate2::read::DeflateDecoder;
use rawzip::path::{EntryPath, ZipFilePath};
use rawzip::{CompressionMethod, ReaderAt, ZipArchive, ZipArchiveEntryWayfinder, ZipArchiveWriter};

use crate::atomic::write_atomically;
use crate::error::printable;
use crate::source::{self, Source};
use crate::{IoError, Place, npy};

/// Deflate's best ratio is 1032:1; what claims more is no deflated data.
const MAX_RATIO: u64 = 1033;

/// Reads all arrays with their names, in the order of the archive.
///
/// # Errors
/// The file is no whole zip archive, has a member that is no `.npy` array (see [`npy::read`]), a name
/// twice, or members that share bytes. Nothing is ever unpacked to the disk.
pub fn load(path: impl AsRef<Path>) -> Result<Vec<(String, Array)>, IoError> {
    let path = path.as_ref();
    let load = || {
        let (file, len) = source::open(path)?;
        load_from(file, len)
    };
    load().map_err(|error: IoError| error.in_file(path))
}

/// Writes named arrays as `numpy.savez` does, in the given order, whole or not at all. Equal arrays
/// give equal bytes.
///
/// # Errors
/// A name occurs twice or cannot stand in an archive; the file cannot be written.
pub fn save<N: AsRef<str>>(path: impl AsRef<Path>, arrays: &[(N, &Array)]) -> Result<(), IoError> {
    check_names(arrays).map_err(|error| error.in_file(path.as_ref()))?;
    write_atomically(path, |writer| {
        let mut archive = ZipArchiveWriter::new(writer);
        for (name, array) in arrays {
            add(&mut archive, name.as_ref(), array)
                .map_err(|error| error.in_array(name.as_ref(), "the member"))?;
        }
        archive.finish().map(|_| ()).map_err(write_failed)
    })
}

fn check_names<N: AsRef<str>>(arrays: &[(N, &Array)]) -> Result<(), IoError> {
    let mut seen = HashSet::new();
    for (name, _) in arrays {
        let name = name.as_ref();
        let refused = |what, hint| Err(IoError::refused(Place::Array(printable(name)), what, hint));
        if !seen.insert(name) {
            return refused("the name is given twice", "give each array a name of its own");
        }
        if name.len() > 60_000 {
            return refused("the name is longer than 60,000 bytes", "shorten it");
        }
        if entry_path(name).is_none() {
            return refused("the name has both characters beyond ASCII and parts like // or ..", "change it");
        }
    }
    Ok(())
}

/// The member's path, exactly as named. The zip library marks only a path that it would not change as
/// UTF-8, so others must be ASCII.
fn entry_path(name: &str) -> Option<EntryPath<'static>> {
    let member = format!("{name}.npy");
    if ZipFilePath::from_str(&member).as_str() == member {
        return Some(EntryPath::conformant(member));
    }
    member.is_ascii().then(|| EntryPath::verbatim(member.into_bytes()))
}

fn add<W: Write>(archive: &mut ZipArchiveWriter<W>, name: &str, array: &Array) -> Result<(), IoError> {
    let path = entry_path(name).expect("check_names has seen every name");
    let (mut entry, config) = archive.new_file(path).start().map_err(write_failed)?;
    let mut writer = config.wrap(&mut entry);
    npy::write_to(&mut writer, array)?;
    let (_, descriptor) = writer.finish().map_err(write_failed)?;
    entry.finish(descriptor).map_err(write_failed)?;
    Ok(())
}

fn write_failed(error: rawzip::Error) -> IoError {
    match error.into_kind() {
        rawzip::ErrorKind::IO(error) => IoError::system("write", error),
        other => IoError::refused(Place::File, other.to_string(), ""),
    }
}

/// What the archive's directory says of a member.
struct Member {
    name: String,
    deflated: bool,
    at: ZipArchiveEntryWayfinder,
}

fn load_from(file: File, len: u64) -> Result<Vec<(String, Array)>, IoError> {
    let mut buffer = vec![0; rawzip::RECOMMENDED_BUFFER_SIZE];
    let archive = ZipArchive::from_file(file, &mut buffer).map_err(|error| damaged(Place::File, error))?;
    read_archive(&archive, len)
}

fn read_archive<R: ReaderAt>(archive: &ZipArchive<R>, len: u64) -> Result<Vec<(String, Array)>, IoError> {
    if archive.end_offset() != len {
        let what = "bytes follow the end of the zip archive";
        return Err(IoError::malformed(Place::Byte(archive.end_offset()), what));
    }
    let members = directory(archive)?;
    check_overlap(archive, &members)?;
    let arrays = members.into_iter().map(|member| {
        let array =
            read_member(archive, &member).map_err(|error| error.in_array(&member.name, "the member"))?;
        Ok((member.name, array))
    });
    arrays.collect()
}

fn directory<R: ReaderAt>(archive: &ZipArchive<R>) -> Result<Vec<Member>, IoError> {
    // The largest record there can be, so that none is "too large for the buffer".
    let mut buffer = vec![0; rawzip::MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
    let mut entries = archive.entries(&mut buffer);
    let mut members = Vec::new();
    let mut seen = HashSet::new();
    while let Some(entry) = entries.next_entry().map_err(|error| damaged(Place::File, error))? {
        let path = entry.file_path();
        let shown = printable(&String::from_utf8_lossy(path.as_ref()));
        let unsupported = |what: &str, hint: &str| {
            Err(IoError::unsupported(Place::File, format!("member \"{shown}\" {what}"), hint))
        };
        let Some(name) = std::str::from_utf8(path.as_ref()).ok().and_then(|path| path.strip_suffix(".npy"))
        else {
            return unsupported("is no array", "the name of a member is UTF-8 and ends in .npy");
        };
        if entry.flags().is_encrypted() {
            return unsupported("is encrypted", "save it without a password");
        }
        let deflated = match entry.compression_method() {
            CompressionMethod::STORE => false,
            CompressionMethod::DEFLATE => true,
            method => {
                let what = format!("is compressed by {method:?}");
                return unsupported(&what, "use numpy.savez or numpy.savez_compressed");
            }
        };
        if !seen.insert(name.to_string()) {
            return Err(IoError::malformed(Place::Array(printable(name)), "the name occurs twice"));
        }
        members.push(Member { name: name.to_string(), deflated, at: entry.wayfinder() });
    }
    if members.len() as u64 != archive.entries_hint() {
        let what =
            format!("the zip archive claims {} members but has {}", archive.entries_hint(), members.len());
        return Err(IoError::malformed(Place::File, what));
    }
    Ok(members)
}

/// Members that share bytes are how a small archive becomes many large arrays.
fn check_overlap<R: ReaderAt>(archive: &ZipArchive<R>, members: &[Member]) -> Result<(), IoError> {
    let mut ranges = Vec::with_capacity(members.len());
    for member in members {
        let entry = archive.get_entry(member.at).map_err(|error| damaged(place(&member.name), error))?;
        ranges.push((entry.compressed_data_range(), &member.name));
    }
    ranges.sort();
    for pair in ranges.windows(2) {
        let ((_, end), first) = pair[0];
        let ((start, _), second) = pair[1];
        if start < end {
            let what = format!("its bytes overlap those of \"{}\"", printable(first));
            return Err(IoError::malformed(place(second), what));
        }
    }
    Ok(())
}

fn read_member<R: ReaderAt>(archive: &ZipArchive<R>, member: &Member) -> Result<Array, IoError> {
    let entry = archive.get_entry(member.at).map_err(|error| damaged(Place::File, error))?;
    let (claimed, packed) = (member.at.uncompressed_size_hint(), member.at.compressed_size_hint());
    if member.deflated {
        if claimed / MAX_RATIO > packed {
            let what =
                format!("{packed} deflated bytes cannot hold the {claimed} bytes that the archive claims");
            return Err(IoError::malformed(Place::File, what));
        }
        let reader = entry.verifying_reader(DeflateDecoder::new(entry.reader()));
        return read_whole(Source::at_most(reader, claimed));
    }
    if claimed != packed {
        let what = format!("the archive claims {claimed} bytes, stored in {packed}");
        return Err(IoError::malformed(Place::File, what));
    }
    read_whole(Source::new(entry.verifying_reader(entry.reader()), Some(claimed)))
}

/// One array, and the archive's checksum, which is looked at when the data ends.
fn read_whole(mut source: Source<impl Read>) -> Result<Array, IoError> {
    let array = npy::read_from(&mut source)?;
    source.finish()?;
    Ok(array)
}

fn place(name: &str) -> Place {
    Place::Array(printable(name))
}

fn damaged(place: Place, error: rawzip::Error) -> IoError {
    match error.into_kind() {
        rawzip::ErrorKind::IO(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            IoError::system("read", error)
        }
        rawzip::ErrorKind::MissingEndOfCentralDirectory => {
            let what = "this is no whole zip archive: it has no directory at its end";
            IoError::malformed(place, what)
        }
        rawzip::ErrorKind::Eof | rawzip::ErrorKind::IO(_) => {
            IoError::malformed(place, "the zip archive is damaged: it points beyond its end")
        }
        other => IoError::malformed(place, format!("the zip archive is damaged: {other}")),
    }
}

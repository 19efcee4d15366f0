//! Bytes with a known place, and with a known end where there is one.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::{IoError, Place};

/// A reader that counts, and knows how many bytes can still come where that is certain.
pub(crate) struct Source<R> {
    reader: R,
    at: u64,
    end: Option<u64>,
    certain: bool,
}

impl<R: Read> Source<R> {
    /// Bytes of which there are `end` in all, if that is known.
    pub(crate) fn new(reader: R, end: Option<u64>) -> Source<R> {
        Source { reader, at: 0, end, certain: end.is_some() }
    }

    /// Bytes of which there are at most `end`; maybe far fewer.
    pub(crate) fn at_most(reader: R, end: u64) -> Source<R> {
        Source { reader, at: 0, end: Some(end), certain: false }
    }

    /// Whether the bytes that are [left](Source::left) are there for certain, so that memory may be
    /// reserved for them.
    pub(crate) fn is_certain(&self) -> bool {
        self.certain
    }

    /// Bytes read so far.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// How many bytes can still come at most, if that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        self.end.map(|end| end.saturating_sub(self.at))
    }

    /// Fills `buffer`; `what` names what it is for.
    pub(crate) fn fill(&mut self, buffer: &mut [u8], what: &str) -> Result<(), IoError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.reader.read(&mut buffer[filled..]) {
                Ok(0) => return Err(IoError::truncated(self.at, what)),
                Ok(n) => {
                    filled += n;
                    self.at += n as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(())
    }

    /// The next `N` bytes.
    pub(crate) fn take<const N: usize>(&mut self, what: &str) -> Result<[u8; N], IoError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, what)?;
        Ok(bytes)
    }

    /// The next `len` bytes, a number that the format bounds to something small.
    pub(crate) fn take_vec(&mut self, len: usize, what: &str) -> Result<Vec<u8>, IoError> {
        if self.left().is_some_and(|left| left < len as u64) {
            return Err(IoError::truncated(self.at, what));
        }
        let mut bytes = vec![0; len];
        self.fill(&mut bytes, what)?;
        Ok(bytes)
    }

    /// Nothing may follow.
    pub(crate) fn finish(mut self) -> Result<(), IoError> {
        loop {
            match self.reader.read(&mut [0]) {
                Ok(0) => return Ok(()),
                Ok(_) => {
                    let what = "bytes follow the end of the data";
                    return Err(IoError::malformed(Place::Byte(self.at), what));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    fn failed(&self, error: io::Error) -> IoError {
        read_failed(self.at, error)
    }
}

/// A failed read as the error that it is: decoders report bad bytes as `io::Error` too.
pub(crate) fn read_failed(at: u64, error: io::Error) -> IoError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => IoError::truncated(at, "the compressed stream is complete"),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
            IoError::malformed(Place::Byte(at), format!("the data is damaged: {error}"))
        }
        _ => IoError::system("read", error),
    }
}

/// An open file and its length.
pub(crate) fn open(path: &Path) -> Result<(File, u64), IoError> {
    let open = || {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        Ok((file, metadata))
    };
    let (file, metadata) = open().map_err(|error| IoError::system("open", error))?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() { "a directory" } else { "not a regular file" };
        return Err(IoError::refused(Place::File, format!("this is {what}"), "give the path of a file"));
    }
    Ok((file, metadata.len()))
}

/// The bytes of a file, unpacked if it is gzip (by its first bytes, whatever its name), and how many
/// there are if that is certain.
pub(crate) fn open_gz(path: &Path) -> Result<(Box<dyn BufRead>, Option<u64>), IoError> {
    let (file, len) = open(path)?;
    unpacked(BufReader::with_capacity(1 << 16, file), len)
}

fn unpacked(
    mut reader: impl BufRead + 'static,
    len: u64,
) -> Result<(Box<dyn BufRead>, Option<u64>), IoError> {
    let first = reader.fill_buf().map_err(|error| IoError::system("read", error))?;
    if first.starts_with(&[0x1f, 0x8b]) {
        let unpacked = BufReader::with_capacity(1 << 16, MultiGzDecoder::new(reader));
        return Ok((Box::new(unpacked), None));
    }
    Ok((Box::new(reader), Some(len)))
}

//! IDX files of unsigned bytes, the format of MNIST; plain or gzip.
//!
//! Layout: two zero bytes, the element type (8), the number of axes, each size (u32, big-endian), the
//! elements. Format: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database".

use std::io::Read;
use std::path::Path;

use backprop_core::array::MAX_RANK;
use backprop_core::{Array, DType, Sizes};

use crate::elements::{self, Endian};
use crate::source::{self, Source};
use crate::{IoError, Place};

/// Reads a file as an array of type `u8`: images \[n, rows, columns\], labels \[n\]. Gzip is known by its
/// first bytes, whatever the name.
///
/// # Errors
/// The file is missing, no IDX file, of another element type, truncated, or too long.
pub fn load(path: impl AsRef<Path>) -> Result<Array, IoError> {
    let path = path.as_ref();
    let load = || {
        let (reader, len) = source::open_gz(path)?;
        read_from(Source::new(reader, len))
    };
    load().map_err(|error: IoError| error.in_file(path))
}

fn read_from(mut source: Source<impl Read>) -> Result<Array, IoError> {
    let [zero, also_zero, dtype, rank] = source.take("the magic number")?;
    if [zero, also_zero] != [0, 0] {
        return Err(IoError::malformed(
            Place::Byte(0),
            "this is no IDX file: it does not start with two zero bytes",
        ));
    }
    match dtype {
        0x08 => {}
        0x09 | 0x0b..=0x0e => {
            let what = format!("element type {dtype:#04x} is not supported");
            return Err(IoError::unsupported(Place::Byte(2), what, "unsigned bytes (0x08) are read"));
        }
        _ => {
            let what = format!("this is no IDX file: {dtype:#04x} is no element type");
            return Err(IoError::malformed(Place::Byte(2), what));
        }
    }
    if usize::from(rank) > MAX_RANK {
        let what = format!("an array of {rank} axes; at most {MAX_RANK} are read");
        return Err(IoError::unsupported(Place::Byte(3), what, ""));
    }
    let mut sizes = Sizes::new();
    for axis in 0..rank {
        let size = u32::from_be_bytes(source.take(&format!("the size of axis {axis}"))?);
        sizes.push(size as usize);
    }
    let array = elements::read(&mut source, DType::U8, &sizes, Endian::Big)?;
    source.finish()?;
    Ok(array)
}

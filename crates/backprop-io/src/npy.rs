//! NumPy's `.npy`: one array. Versions 1.0 to 3.0, both byte orders, both memory orders.
//!
//! Format: NumPy, `numpy.lib.format` (NEP 1).

mod header;

use std::io::{BufReader, Read, Write};
use std::path::Path;

use backprop_core::array::strides;
use backprop_core::{Array, Sizes};

use crate::atomic::write_atomically;
use crate::source::{self, Source};
use crate::{IoError, elements};
use header::Header;

/// Reads one array and leaves the reader behind its last byte.
///
/// # Errors
/// The bytes are no `.npy` array, end too early, or hold an element type that [`backprop_core::DType`] lacks.
///
/// ```
/// use backprop_core::Array;
/// use backprop_io::npy;
/// let mut file = Vec::new();
/// npy::write(&mut file, &Array::from([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]]))?;
/// assert_eq!(npy::read(&mut file.as_slice())?.sizes(), [2, 3]);
/// # Ok::<(), backprop_io::IoError>(())
/// ```
pub fn read(reader: &mut impl Read) -> Result<Array, IoError> {
    read_from(&mut Source::new(reader, None))
}

/// Reads a file that holds one array and nothing else.
///
/// # Errors
/// As [`read`]; the file cannot be read; bytes follow the array.
pub fn load(path: impl AsRef<Path>) -> Result<Array, IoError> {
    let path = path.as_ref();
    let load = || {
        let (file, len) = source::open(path)?;
        let mut source = Source::new(BufReader::with_capacity(1 << 16, file), Some(len));
        let array = read_from(&mut source)?;
        source.finish()?;
        Ok(array)
    };
    load().map_err(|error: IoError| error.in_file(path))
}

/// Writes one array: version 1.0, little-endian, row-major.
///
/// # Errors
/// The writer fails.
pub fn write(writer: &mut impl Write, array: &Array) -> Result<(), IoError> {
    write_to(writer, array)
}

/// Writes one array to a file, whole or not at all.
///
/// # Errors
/// The file cannot be written.
pub fn save(path: impl AsRef<Path>, array: &Array) -> Result<(), IoError> {
    write_atomically(path, |writer| write_to(writer, array))
}

pub(crate) fn write_to(mut writer: &mut dyn Write, array: &Array) -> Result<(), IoError> {
    writer
        .write_all(&header::bytes(array.dtype(), array.sizes()))
        .and_then(|()| elements::write(&mut writer, array))
        .map_err(|error| IoError::system("write", error))
}

/// Reads one array; the source need not end there.
pub(crate) fn read_from(source: &mut Source<impl Read>) -> Result<Array, IoError> {
    let Header { dtype, endian, fortran_order, sizes } = header::read(source)?;
    if !fortran_order || sizes.len() < 2 {
        return elements::read(source, dtype, &sizes, endian);
    }
    // The first index runs fastest: the same bytes are the transposed array in row-major order.
    let reversed: Sizes = sizes.iter().rev().copied().collect();
    let transposed = elements::read(source, dtype, &reversed, endian)?;
    let (steps, strides) = (strides(&sizes), strides(&reversed));
    Ok(transposed.pick(&sizes, |i| {
        let axes = 0..sizes.len();
        axes.map(|axis| i / steps[axis] % sizes[axis] * strides[sizes.len() - 1 - axis]).sum()
    }))
}

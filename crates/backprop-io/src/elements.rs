//! Elements as bytes.

use std::io::{self, Read, Write};

use backprop_core::array::element_count;
use backprop_core::{Array, DType, Data, Element, Sizes, with_data, with_dtype};

use crate::source::Source;
use crate::{IoError, Place};

/// Bytes moved at a time: large enough to make calls cheap, small beside any array that matters.
/// A multiple of every element's size.
const CHUNK: usize = 1 << 16;

/// The order of the bytes of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endian {
    Little,
    Big,
}

/// An element with its bytes. `None`: the bytes stand for no element.
trait Bytes: Element {
    fn from_le(bytes: &[u8]) -> Option<Self>;
    fn from_be(bytes: &[u8]) -> Option<Self>;
    fn put_le(self, out: &mut Vec<u8>);
}

macro_rules! bytes {
    ($($type:ty)*) => {$(
        impl Bytes for $type {
            fn from_le(bytes: &[u8]) -> Option<Self> {
                Some(<$type>::from_le_bytes(bytes.try_into().ok()?))
            }
            fn from_be(bytes: &[u8]) -> Option<Self> {
                Some(<$type>::from_be_bytes(bytes.try_into().ok()?))
            }
            fn put_le(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

bytes!(f32 f64 i32 i64 u32 u8);

impl Bytes for bool {
    fn from_le(bytes: &[u8]) -> Option<bool> {
        match bytes {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }
    fn from_be(bytes: &[u8]) -> Option<bool> {
        bool::from_le(bytes)
    }
    fn put_le(self, out: &mut Vec<u8>) {
        out.push(u8::from(self));
    }
}

/// The number of bytes of an array, if it can exist.
pub(crate) fn byte_len(dtype: DType, sizes: &[usize]) -> Result<u64, IoError> {
    // An empty array with sizes whose product overflows is more than other code should meet.
    let lengths: Sizes = sizes.iter().map(|&size| size.max(1)).collect();
    element_count(&lengths)
        .and_then(|_| element_count(sizes))
        .map(|count| count as u64 * dtype.size() as u64)
        .map_err(|_| IoError::unsupported(Place::File, too_large(dtype, sizes), ""))
}

fn too_large(dtype: DType, sizes: &[usize]) -> String {
    format!("an array {dtype}{sizes:?} does not fit into memory")
}

/// Reads the elements of an array in row-major order.
///
/// Where the end of the source is known a claim beyond it is an error at once; elsewhere memory grows
/// with the bytes that arrive.
pub(crate) fn read(
    source: &mut Source<impl Read>,
    dtype: DType,
    sizes: &[usize],
    endian: Endian,
) -> Result<Array, IoError> {
    let bytes = byte_len(dtype, sizes)?;
    if let Some(left) = source.left().filter(|&left| left < bytes) {
        let what = format!("the header claims {dtype}{sizes:?}, {bytes} bytes, but only {left} follow");
        return Err(IoError::malformed(Place::Byte(source.at()), what));
    }
    let count = bytes as usize / dtype.size();
    let data = with_dtype!(dtype, |T| read_as::<T>(source, count, endian)?);
    Ok(Array::from_parts(sizes.into(), data))
}

fn read_as<T: Bytes>(source: &mut Source<impl Read>, count: usize, endian: Endian) -> Result<Data, IoError> {
    let size = T::DTYPE.size();
    let certain = source.is_certain();
    let mut values: Vec<T> = Vec::new();
    let reserve = if certain { count } else { count.min(CHUNK / size) };
    values.try_reserve_exact(reserve).map_err(|_| out_of_memory(count, T::DTYPE))?;
    let mut chunk = vec![0; CHUNK.min(count * size)];
    while values.len() < count {
        let chunk = &mut chunk[..CHUNK.min((count - values.len()) * size)];
        let at = source.at();
        source.fill(chunk, &format!("all {count} elements are read"))?;
        if values.capacity() - values.len() < chunk.len() / size {
            // Doubles, but never beyond the claim.
            let more = values.len().max(chunk.len() / size).min(count - values.len());
            values.try_reserve_exact(more).map_err(|_| out_of_memory(count, T::DTYPE))?;
        }
        let pieces = chunk.chunks_exact(size);
        let before = values.len();
        match endian {
            Endian::Little => values.extend(pieces.map_while(T::from_le)),
            Endian::Big => values.extend(pieces.map_while(T::from_be)),
        }
        let decoded = values.len() - before;
        if decoded < chunk.len() / size {
            let what = format!("the byte {} is neither 0 (false) nor 1 (true)", chunk[decoded * size]);
            return Err(IoError::malformed(Place::Byte(at + (decoded * size) as u64), what));
        }
    }
    Ok(T::wrap(std::sync::Arc::new(values.into())))
}

fn out_of_memory(count: usize, dtype: DType) -> IoError {
    IoError::unsupported(Place::File, format!("{count} elements of type {dtype} do not fit into memory"), "")
}

/// Writes the elements of an array, little-endian, in row-major order.
pub(crate) fn write(out: &mut dyn Write, array: &Array) -> io::Result<()> {
    with_data!(array.data(), |values| write_as(out, values))
}

fn write_as<T: Bytes>(out: &mut dyn Write, values: &[T]) -> io::Result<()> {
    let mut chunk = Vec::with_capacity(CHUNK.min(values.len() * T::DTYPE.size()));
    for values in values.chunks(CHUNK / T::DTYPE.size()) {
        chunk.clear();
        for &value in values {
            value.put_le(&mut chunk);
        }
        out.write_all(&chunk)?;
    }
    Ok(())
}

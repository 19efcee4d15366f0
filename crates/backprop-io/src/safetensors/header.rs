//! The JSON header of a safetensors file, read by visitors that keep only what they know.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io::Read;

use backprop_core::array::MAX_RANK;
use backprop_core::{Array, DType, Sizes};
use serde_core::de::{
    self, Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use crate::error::printable;
use crate::source::Source;
use crate::{IoError, Place};

pub(crate) const METADATA: &str = "__metadata__";

/// The format's own limit.
const MAX_LEN: u64 = 100_000_000;

pub(crate) struct Entry {
    pub name: String,
    pub dtype: DType,
    pub sizes: Sizes,
    /// First byte and the one behind the last, from the end of the header.
    pub range: (u64, u64),
}

#[derive(Default)]
pub(crate) struct Header {
    pub entries: Vec<Entry>,
    pub metadata: BTreeMap<String, String>,
}

/// The header with its length, padded so that the data starts at a multiple of 8 bytes.
pub(crate) fn bytes(arrays: &[(&str, &Array)], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let mut parts = Vec::new();
    if !metadata.is_empty() {
        let pairs = metadata.iter().map(|(key, value)| format!("{}:{}", quoted(key), quoted(value)));
        parts.push(format!("\"{METADATA}\":{{{}}}", pairs.collect::<Vec<_>>().join(",")));
    }
    let mut at = 0;
    for (name, array) in arrays {
        let end = at + array.len() as u64 * array.dtype().size() as u64;
        let sizes = array.sizes().iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        let (name, dtype) = (quoted(name), dtype_name(array.dtype()));
        parts.push(format!(
            "{name}:{{\"dtype\":\"{dtype}\",\"shape\":[{sizes}],\"data_offsets\":[{at},{end}]}}"
        ));
        at = end;
    }
    let mut text = format!("{{{}}}", parts.join(","));
    text.push_str(&" ".repeat(text.len().next_multiple_of(8) - text.len()));
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is always valid JSON")
}

fn dtype_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "F32",
        DType::F64 => "F64",
        DType::I32 => "I32",
        DType::I64 => "I64",
        DType::U32 => "U32",
        DType::U8 => "U8",
        DType::Bool => "BOOL",
    }
}

/// Reads the header from a source whose end is known.
pub(crate) fn read(source: &mut Source<impl Read>) -> Result<Header, IoError> {
    let len = u64::from_le_bytes(source.take("the header's length")?);
    let left = source.left().unwrap_or(0);
    if len > left.min(MAX_LEN) {
        let what =
            format!("the header claims {len} bytes, but {left} follow (and {MAX_LEN} are the most allowed)");
        return Err(IoError::Malformed(crate::Problem {
            file: crate::error::STREAM.to_string(),
            place: Place::Byte(0),
            what,
            hint: "this is no safetensors file, or a truncated one".to_string(),
        }));
    }
    let start = source.at();
    // At most MAX_LEN, and no more than the file holds.
    let text = source.take_vec(len as usize, "the header ends")?;
    serde_json::from_slice(&text).map_err(|error| {
        let before = text.split_inclusive(|&byte| byte == b'\n').take(error.line().saturating_sub(1));
        let at = before.map(<[u8]>::len).sum::<usize>() + error.column().saturating_sub(1);
        let what = error.to_string();
        let what = what.rsplit_once(" at line ").map_or(what.as_str(), |(what, _)| what);
        IoError::malformed(Place::Byte(start + at as u64), format!("malformed header: {what}"))
    })
}

/// A map visitor that refuses a key it has met.
fn unseen<E: de::Error>(seen: &mut HashSet<String>, key: &str) -> Result<(), E> {
    match seen.insert(key.to_string()) {
        true => Ok(()),
        false => Err(E::custom(format_args!("\"{}\" occurs twice", printable(key)))),
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Header, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of arrays by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let (mut header, mut seen) = (Header::default(), HashSet::new());
        while let Some(name) = map.next_key::<String>()? {
            unseen(&mut seen, &name)?;
            if name == METADATA {
                header.metadata = map.next_value::<Metadata>()?.0;
                continue;
            }
            let Fields { dtype, sizes, range } = map.next_value()?;
            let dtype =
                DType::ALL.into_iter().find(|&known| dtype_name(known) == dtype).ok_or_else(|| {
                    A::Error::custom(format_args!(
                        "array \"{}\" has element type {}, which is not supported; convert it to F32",
                        printable(&name),
                        printable(&dtype)
                    ))
                })?;
            header.entries.push(Entry { name, dtype, sizes, range });
        }
        Ok(header)
    }
}

struct Metadata(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Metadata, D::Error> {
        struct Strings;
        impl<'de> Visitor<'de> for Strings {
            type Value = Metadata;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
                let mut strings = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, String>()? {
                    let shown = printable(&key);
                    if strings.insert(key, value).is_some() {
                        return Err(A::Error::custom(format_args!("metadata \"{shown}\" occurs twice")));
                    }
                }
                Ok(Metadata(strings))
            }
        }
        deserializer.deserialize_map(Strings)
    }
}

/// One entry as it stands in the file.
struct Fields {
    dtype: String,
    sizes: Sizes,
    range: (u64, u64),
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields, D::Error> {
        struct Known;
        impl<'de> Visitor<'de> for Known {
            type Value = Fields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("dtype, shape and data_offsets of an array")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let (mut dtype, mut sizes, mut range) = (None, None, None);
                while let Some(key) = map.next_key::<String>()? {
                    let repeated = match key.as_str() {
                        "dtype" => dtype.replace(map.next_value()?).is_some(),
                        "shape" => sizes.replace(map.next_value::<Shape>()?.0).is_some(),
                        "data_offsets" => range.replace(map.next_value()?).is_some(),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            let shown = printable(&key);
                            return Err(A::Error::custom(format_args!("unknown field \"{shown}\"")));
                        }
                    };
                    if repeated {
                        return Err(A::Error::custom(format_args!("\"{key}\" occurs twice")));
                    }
                }
                Ok(Fields {
                    dtype: dtype.ok_or_else(|| A::Error::missing_field("dtype"))?,
                    sizes: sizes.ok_or_else(|| A::Error::missing_field("shape"))?,
                    range: range.ok_or_else(|| A::Error::missing_field("data_offsets"))?,
                })
            }
        }
        deserializer.deserialize_map(Known)
    }
}

struct Shape(Sizes);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Shape, D::Error> {
        struct Numbers;
        impl<'de> Visitor<'de> for Numbers {
            type Value = Shape;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of sizes")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
                let mut sizes = Sizes::new();
                while let Some(size) = list.next_element()? {
                    if sizes.len() == MAX_RANK {
                        return Err(A::Error::custom(format_args!("an array of more than {MAX_RANK} axes")));
                    }
                    sizes.push(size);
                }
                Ok(Shape(sizes))
            }
        }
        deserializer.deserialize_seq(Numbers)
    }
}

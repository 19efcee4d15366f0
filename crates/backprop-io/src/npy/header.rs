//! The head of a `.npy` file: magic, version, and a Python dictionary literal.

use std::io::Read;

use backprop_core::array::MAX_RANK;
use backprop_core::{DType, Sizes};

use crate::elements::Endian;
use crate::error::printable;
use crate::source::Source;
use crate::{IoError, Place};

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Real headers take some 100 bytes, of arrays with named fields a few thousand.
const MAX_LEN: usize = 1 << 16;

pub(crate) struct Header {
    pub dtype: DType,
    pub endian: Endian,
    pub fortran_order: bool,
    pub sizes: Sizes,
}

/// The head of a version 1.0 file, padded so that the data starts at a multiple of 64 bytes.
pub(crate) fn bytes(dtype: DType, sizes: &[usize]) -> Vec<u8> {
    let descr = match dtype {
        DType::F32 => "<f4",
        DType::F64 => "<f8",
        DType::I32 => "<i4",
        DType::I64 => "<i8",
        DType::U32 => "<u4",
        DType::U8 => "|u1",
        DType::Bool => "|b1",
    };
    let mut shape = sizes.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    if sizes.len() == 1 {
        shape.push(',');
    }
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    let start = MAGIC.len() + 4;
    let padding = (start + text.len() + 1).next_multiple_of(64) - (start + text.len() + 1);
    text.push_str(&" ".repeat(padding));
    text.push('\n');
    // At most 8 sizes of at most 20 digits: far below 65,536.
    let len = (text.len() as u16).to_le_bytes();
    [MAGIC.as_slice(), &[1, 0], &len, text.as_bytes()].concat()
}

pub(crate) fn read(source: &mut Source<impl Read>) -> Result<Header, IoError> {
    let magic: [u8; 6] = source.take("the magic bytes")?;
    if &magic != MAGIC {
        let hint = if magic.starts_with(b"PK") { "this is a zip archive: read it as .npz" } else { "" };
        return Err(IoError::Malformed(crate::Problem {
            hint: hint.to_string(),
            ..problem(0, "this is no .npy file: it does not start with \\x93NUMPY".to_string())
        }));
    }
    let [major, minor] = source.take("the version")?;
    let len = match (major, minor) {
        (1, 0) => usize::from(u16::from_le_bytes(source.take("the header's length")?)),
        (2 | 3, 0) => u32::from_le_bytes(source.take("the header's length")?) as usize,
        _ => {
            let what = format!("version {major}.{minor} of the .npy format");
            return Err(IoError::unsupported(Place::Byte(6), what, "versions 1.0, 2.0 and 3.0 are read"));
        }
    };
    if len > MAX_LEN {
        let what = format!("the header claims {len} bytes; at most {MAX_LEN} are read");
        return Err(IoError::malformed(Place::Byte(8), what));
    }
    let start = source.at();
    let text = source.take_vec(len, "the header ends")?;
    Parser { text: &text, at: 0, start }.header()
}

fn problem(at: u64, what: String) -> crate::Problem {
    crate::Problem {
        file: crate::error::STREAM.to_string(),
        place: Place::Byte(at),
        what,
        hint: String::new(),
    }
}

/// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }` with the keys in any order.
struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    start: u64,
}

impl Parser<'_> {
    fn header(mut self) -> Result<Header, IoError> {
        let (mut descr, mut fortran_order, mut sizes) = (None, None, None);
        self.expect(b'{')?;
        while !self.eat(b'}') {
            let at = self.at;
            let key = self.string("a key")?;
            self.expect(b':')?;
            let repeated = match key.as_str() {
                "descr" => descr.replace(self.dtype()?).is_some(),
                "fortran_order" => fortran_order.replace(self.truth()?).is_some(),
                "shape" => sizes.replace(self.shape()?).is_some(),
                _ => return Err(self.wrong_at(at, format!("unknown key '{}'", printable(&key)))),
            };
            if repeated {
                return Err(self.wrong_at(at, format!("the key '{key}' occurs twice")));
            }
            if !self.eat(b',') {
                self.expect(b'}')?;
                break;
            }
        }
        self.skip_space();
        if self.at < self.text.len() {
            return Err(self.wrong("text follows the dictionary"));
        }
        let missing = |key: &str| self.wrong(format!("the key '{key}' is missing"));
        let (dtype, endian) = descr.ok_or_else(|| missing("descr"))?;
        let fortran_order = fortran_order.ok_or_else(|| missing("fortran_order"))?;
        let sizes = sizes.ok_or_else(|| missing("shape"))?;
        Ok(Header { dtype, endian, fortran_order, sizes })
    }

    fn dtype(&mut self) -> Result<(DType, Endian), IoError> {
        self.skip_space();
        let at = self.at;
        if self.text.get(at) == Some(&b'[') {
            return Err(self.unsupported(at, "an array with named fields", "save each field as an array"));
        }
        let descr = self.string("an element type in quotes")?;
        let endian = match descr.as_bytes().first() {
            Some(b'<' | b'|') => Endian::Little,
            Some(b'>') => Endian::Big,
            _ => {
                let what = format!("element type '{}' has no byte order (<, > or |)", printable(&descr));
                return Err(self.wrong_at(at, what));
            }
        };
        let dtype = match &descr[1..] {
            "f4" => DType::F32,
            "f8" => DType::F64,
            "i4" => DType::I32,
            "i8" => DType::I64,
            "u4" => DType::U32,
            "u1" => DType::U8,
            "b1" => DType::Bool,
            other => {
                let known = "f4, f8, i4, i8, u4, u1 and b1 are read";
                let hint = match other {
                    "f2" => "convert it with a.astype('f4')",
                    "i1" | "i2" | "u2" => "convert it with a.astype('i4')",
                    "u8" => "convert it with a.astype('i8')",
                    "O" => "Python objects are never loaded: save plain numbers",
                    _ => known,
                };
                let what = format!("element type '{}' is not supported", printable(&descr));
                return Err(self.unsupported(at, what, hint));
            }
        };
        Ok((dtype, endian))
    }

    fn truth(&mut self) -> Result<bool, IoError> {
        self.skip_space();
        for (word, value) in [(b"True".as_slice(), true), (b"False", false)] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.wrong("expected True or False"))
    }

    fn shape(&mut self) -> Result<Sizes, IoError> {
        let mut sizes = Sizes::new();
        self.expect(b'(')?;
        while !self.eat(b')') {
            if sizes.len() == MAX_RANK {
                let what = format!("an array of more than {MAX_RANK} axes");
                return Err(self.unsupported(self.at, what, "reshape it before saving"));
            }
            sizes.push(self.size()?);
            if !self.eat(b',') {
                // `(3)` is no tuple in Python, but can only mean one size.
                self.expect(b')')?;
                break;
            }
        }
        Ok(sizes)
    }

    fn size(&mut self) -> Result<usize, IoError> {
        self.skip_space();
        let digits = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let text = String::from_utf8_lossy(&self.text[self.at..self.at + digits]);
        let size =
            text.parse().map_err(|_| self.wrong("expected a size: a whole number that fits into memory"))?;
        self.at += digits;
        Ok(size)
    }

    fn string(&mut self, what: &str) -> Result<String, IoError> {
        self.skip_space();
        let quote = match self.text.get(self.at) {
            Some(&quote @ (b'\'' | b'"')) => quote,
            _ => return Err(self.wrong(format!("expected {what}"))),
        };
        let rest = &self.text[self.at + 1..];
        let Some(len) = rest.iter().position(|&byte| byte == quote) else {
            return Err(self.wrong("a quote is not closed"));
        };
        let text = String::from_utf8_lossy(&rest[..len]).into_owned();
        if !text.is_ascii() {
            return Err(self.wrong("expected ASCII characters"));
        }
        self.at += len + 2;
        Ok(text)
    }

    fn skip_space(&mut self) {
        self.at += self.text[self.at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.skip_space();
        let here = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(here);
        here
    }

    fn expect(&mut self, byte: u8) -> Result<(), IoError> {
        match self.eat(byte) {
            true => Ok(()),
            false => Err(self.wrong(format!("expected '{}'", char::from(byte)))),
        }
    }

    fn wrong(&self, what: impl Into<String>) -> IoError {
        self.wrong_at(self.at, what)
    }

    fn wrong_at(&self, at: usize, what: impl Into<String>) -> IoError {
        IoError::malformed(Place::Byte(self.start + at as u64), format!("malformed header: {}", what.into()))
    }

    fn unsupported(&self, at: usize, what: impl Into<String>, hint: &str) -> IoError {
        IoError::unsupported(Place::Byte(self.start + at as u64), what, hint)
    }
}

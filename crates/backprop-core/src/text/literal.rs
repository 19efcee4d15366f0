//! Numbers as text, exact to their last bit.

use std::fmt::Write as _;

use super::lex::{Lexer, Span, clip};
use crate::array::{Array, DType, Element, MAX_RANK};
use crate::{with_data, with_dtype};

/// A constant with more elements is printed by its name, and its array stands beside the text.
pub(super) const MAX_INLINE: usize = 64;

/// Writes a float so that it reads as the same bits: the shortest decimal, or the bits of a NaN
/// that is not the usual one.
pub(super) fn write_float(to: &mut String, x: f64) {
    match x.to_bits() {
        0x7ff8_0000_0000_0000 => to.push_str("nan"),
        bits if x.is_nan() => write!(to, "nan({bits:#x})").expect(TO_A_STRING),
        _ => write!(to, "{x:?}").expect(TO_A_STRING),
    }
}

const TO_A_STRING: &str = "writing to a string cannot fail";

/// The float written as `text`.
pub(super) fn read_float(text: &str) -> Option<f64> {
    match text {
        "nan" => Some(f64::from_bits(0x7ff8_0000_0000_0000)),
        _ => match nan_bits(text) {
            Some(bits) => Some(f64::from_bits(bits)).filter(|x| x.is_nan()),
            None => decimal(text)?.parse().ok(),
        },
    }
}

fn nan_bits(text: &str) -> Option<u64> {
    let hex = text.strip_prefix("nan(0x")?.strip_suffix(')')?;
    u64::from_str_radix(hex, 16).ok()
}

/// `text`, if it is what the grammar calls a number: Rust reads `infinity` and `NaN` as well.
fn decimal(text: &str) -> Option<&str> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    (digits == "inf" || digits.starts_with(|c: char| c.is_ascii_digit())).then_some(text)
}

/// An element type as numbers are written.
trait Written: Element {
    fn write(self, to: &mut String);
    fn read(text: &str) -> Option<Self>;
}

macro_rules! written {
    ($($int:ty)*) => {$(
        impl Written for $int {
            fn write(self, to: &mut String) {
                write!(to, "{self}").expect(TO_A_STRING);
            }
            fn read(text: &str) -> Option<$int> {
                text.parse().ok()
            }
        }
    )*};
}

written! { i32 i64 u32 u8 bool }

impl Written for f64 {
    fn write(self, to: &mut String) {
        write_float(to, self);
    }
    fn read(text: &str) -> Option<f64> {
        read_float(text)
    }
}

impl Written for f32 {
    fn write(self, to: &mut String) {
        match self.to_bits() {
            0x7fc0_0000 => to.push_str("nan"),
            bits if self.is_nan() => write!(to, "nan({bits:#x})").expect(TO_A_STRING),
            _ => write!(to, "{self:?}").expect(TO_A_STRING),
        }
    }
    fn read(text: &str) -> Option<f32> {
        match text {
            "nan" => Some(f32::from_bits(0x7fc0_0000)),
            _ => match nan_bits(text) {
                Some(bits) => u32::try_from(bits).ok().map(f32::from_bits).filter(|x| x.is_nan()),
                None => decimal(text)?.parse().ok(),
            },
        }
    }
}

/// Writes the elements in nested brackets; `[]` where there are none.
pub(super) fn write_array(to: &mut String, array: &Array) {
    if array.is_empty() {
        return to.push_str("[]");
    }
    let sizes = array.sizes();
    with_data!(array.data(), |values| {
        for (i, &value) in values.iter().enumerate() {
            // Axis k opens and closes a bracket every `block` elements.
            let mut block = 1;
            let opened = sizes.iter().rev().filter(|&&size| {
                block *= size;
                i % block == 0
            });
            let n_opened = opened.count();
            if i > 0 {
                to.push_str(&"]".repeat(n_opened));
                to.push_str(", ");
            }
            to.push_str(&"[".repeat(n_opened));
            value.write(to);
        }
    });
    to.push_str(&"]".repeat(sizes.len()));
}

/// A constant as it is written: its nesting and the texts of its elements.
pub(super) struct Literals<'a> {
    /// The sizes that the brackets say.
    pub sizes: Vec<usize>,
    values: Vec<(&'a str, usize)>,
}

/// Reads a constant, over several lines if need be. Allocates what the text holds, not what a type
/// claims.
pub(super) fn read_literals<'a>(lexer: &mut Lexer<'a>) -> Result<Literals<'a>, (Span, String)> {
    // For each open bracket, how many entries it has so far.
    let mut open: Vec<usize> = Vec::new();
    let mut sizes: Vec<Option<usize>> = Vec::new();
    let mut values = Vec::new();
    let mut rank = None;
    loop {
        if open.is_empty() {
            lexer.skip_space()
        } else {
            lexer.skip_lines()
        }
        let start = lexer.at;
        let here = |length: usize| Span { start, end: start + length };
        if let Some(&n) = open.last()
            && lexer.rest().starts_with(']')
        {
            open.pop();
            let depth = open.len();
            lexer.advance(1);
            let size = sizes[depth].get_or_insert(n);
            if *size != n {
                let (size, was) = (*size, n);
                return Err((
                    here(1),
                    format!("a row of {was} after rows of {size}: rows must be equally long"),
                ));
            }
        } else {
            if let Some(n) = open.last_mut() {
                *n += 1;
            }
            if lexer.rest().starts_with('[') {
                if open.len() == MAX_RANK {
                    return Err((here(1), format!("at most {MAX_RANK} axes are possible")));
                }
                if rank.is_some_and(|rank| open.len() >= rank) {
                    return Err((here(1), "expected a number, found `[`".to_string()));
                }
                lexer.advance(1);
                open.push(0);
                if sizes.len() < open.len() {
                    sizes.push(None);
                }
                continue;
            }
            let length = number_length(lexer.rest());
            let number = &lexer.rest()[..length];
            if length == 0 {
                let found = lexer.peek().0.show();
                return Err((here(1), format!("expected a number or `[`, found {found}")));
            }
            if *rank.get_or_insert(open.len()) != open.len() {
                let why = format!("`{}` stands {} brackets deep, others do not", clip(number), open.len());
                return Err((here(length), why));
            }
            values.push((number, start));
            lexer.advance(length);
        }
        if open.is_empty() {
            let sizes = sizes.into_iter().map(Option::unwrap_or_default).collect();
            return Ok(Literals { sizes, values });
        }
        lexer.skip_lines();
        if lexer.rest().starts_with(',') {
            lexer.advance(1);
        } else if !lexer.rest().starts_with(']') {
            let (token, span) = lexer.peek();
            return Err((span, format!("expected `,` or `]`, found {}", token.show())));
        }
    }
}

fn number_length(text: &str) -> usize {
    let end = |c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '#' | ')' | '(' | ':' | '{' | '}');
    let length = text.find(end).unwrap_or(text.len());
    // The bits of a NaN stand in parentheses.
    match &text[..length] {
        "nan" if text[length..].starts_with("(0x") => {
            text[length..].find(')').filter(|&n| n < 24).map_or(length, |n| length + n + 1)
        }
        _ => length,
    }
}

impl Literals<'_> {
    /// The element type of a constant that says none.
    pub fn default_dtype(&self) -> DType {
        let is = |read: fn(&str) -> bool| self.values.iter().all(|(text, _)| read(text));
        match () {
            () if self.values.is_empty() => DType::F64,
            () if is(|text| bool::read(text).is_some()) => DType::Bool,
            () if is(|text| i64::read(text).is_some()) => DType::I64,
            () => DType::F64,
        }
    }

    /// The array of these elements.
    ///
    /// An empty constant is written `[]` whatever its sizes.
    pub fn array(&self, dtype: DType, sizes: Option<&[usize]>) -> Result<Array, (Option<Span>, String)> {
        let sizes = match sizes {
            Some(sizes) if self.values.is_empty() && sizes.contains(&0) => sizes,
            Some(sizes) if sizes != self.sizes => {
                return Err((
                    None,
                    format!("the numbers have sizes {:?}, the type says {sizes:?}", self.sizes),
                ));
            }
            _ => &self.sizes,
        };
        with_dtype!(dtype, |T| {
            let mut values = Vec::with_capacity(self.values.len());
            for &(text, start) in &self.values {
                let Some(value) = <T as Written>::read(text) else {
                    let span = Span { start, end: start + text.len() };
                    return Err((Some(span), format!("`{}` is no {dtype}", clip(text))));
                };
                values.push(value);
            }
            Array::new(sizes, values).map_err(|error| (None, error.to_string()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, dtype: DType) -> Result<Array, String> {
        let literals = read_literals(&mut Lexer::new(text)).map_err(|(_, why)| why)?;
        literals.array(dtype, None).map_err(|(_, why)| why)
    }

    #[test]
    fn arrays_read_as_they_are_written() {
        let check = |array: Array, text: &str| {
            let mut written = String::new();
            write_array(&mut written, &array);
            assert_eq!(written, text);
            let back = read(text, array.dtype()).expect("what was written reads");
            assert!(back.same_bits(&array), "{text}");
        };
        check(Array::scalar(-0.0), "-0.0");
        check(Array::scalar(true), "true");
        check(Array::scalar(i64::MIN), "-9223372036854775808");
        check(Array::vector(vec![0.1f32, f32::MIN_POSITIVE, 1e20]), "[0.1, 1.1754944e-38, 1e20]");
        check(
            Array::vector(vec![f32::from_bits(0x7fc0_0000), f32::from_bits(0xff80_0001)]),
            "[nan, nan(0xff800001)]",
        );
        check(Array::vector(vec![f64::NAN.abs(), -f64::INFINITY, 5e-324]), "[nan, -inf, 5e-324]");
        check(Array::from([[1u8, 2], [3, 4], [5, 255]]), "[[1, 2], [3, 4], [5, 255]]");
        check(Array::new([2, 1, 2], vec![1i32, -2, 3, 4]).expect("four"), "[[[1, -2]], [[3, 4]]]");
        check(Array::vector(Vec::<f32>::new()), "[]");
    }

    #[test]
    fn what_is_no_constant_says_why() {
        let check = |text: &str, dtype: DType, part: &str| {
            let why = read(text, dtype).expect_err("not a constant");
            assert!(why.contains(part), "{text}: {why}");
        };
        check("[1, 2", DType::F32, "expected `,` or `]`, found the end of the text");
        check("[[1, 2], [3]]", DType::F32, "a row of 1 after rows of 2");
        check("[[1], 2]", DType::F32, "`2` stands 1 brackets deep");
        check("[1, [2]]", DType::F32, "expected a number, found `[`");
        check("[[[[[[[[[1]]]]]]]]]", DType::F32, "at most 8 axes");
        check("[256]", DType::U8, "`256` is no u8");
        check("[infinity]", DType::F32, "`infinity` is no f32");
        check("nan(0x0)", DType::F32, "`nan(0x0)` is no f32");
        check("", DType::F32, "expected a number or `[`, found the end of the text");
    }
}

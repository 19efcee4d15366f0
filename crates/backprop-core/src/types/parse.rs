//! Types from text: `f32[B, 2*T + 1, (N // 2)]`.

use super::{Dim, Shape, Type};
use crate::array::{DType, MAX_RANK};

/// How deep parentheses in a dimension may nest.
const MAX_DEPTH: usize = 32;

/// What is wrong with a text, and at which byte.
pub(crate) struct Wrong {
    /// The byte that it begins at.
    pub at: usize,
    /// What was expected and what stands there.
    pub why: String,
}

/// The type written as `text`: an element type, then the dimensions in brackets.
///
/// # Errors
/// Says what was expected and what stands there.
pub fn parse_type(text: &str) -> Result<Type, String> {
    let mut reader = Reader::new(text);
    let ty = reader.ty().and_then(|ty| reader.end().map(|()| ty));
    ty.map_err(|wrong| format!("type `{text}`: {}", wrong.why))
}

/// Reads types and dimensions from the front of a text.
pub(crate) struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// A reader of `text`.
    pub fn new(text: &'a str) -> Reader<'a> {
        Reader { text, rest: text, depth: 0 }
    }

    /// How many bytes have been read.
    pub fn position(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    /// A type.
    pub fn ty(&mut self) -> Result<Type, Wrong> {
        self.skip_space();
        let at = self.position();
        let name = self.word();
        let dtype = match DType::from_name(name) {
            Some(dtype) => dtype,
            None if name.is_empty() => return Err(self.wrong("an element type")),
            None => {
                let why = format!("`{name}` is no element type; there are f32 f64 i32 i64 u32 u8 bool");
                return Err(Wrong { at, why });
            }
        };
        let shape = if self.rest.trim_start().starts_with('[') { self.shape()? } else { Shape::SCALAR };
        Ok(Type::new(dtype, shape))
    }

    /// Dimensions in brackets.
    pub fn shape(&mut self) -> Result<Shape, Wrong> {
        let dims = self.dims()?;
        if dims.len() > MAX_RANK {
            let why = format!("{} axes; at most {MAX_RANK} are possible", dims.len());
            return Err(Wrong { at: self.position(), why });
        }
        Ok(Shape::new(&dims))
    }

    /// Any number of dimensions in brackets.
    pub fn dims(&mut self) -> Result<Vec<Dim>, Wrong> {
        if !self.eat("[") {
            return Err(self.wrong("`[`"));
        }
        let mut dims = Vec::new();
        while !self.eat("]") {
            if !dims.is_empty() && !self.eat(",") {
                return Err(self.wrong("`,` or `]`"));
            }
            dims.push(self.dim()?);
        }
        Ok(dims)
    }

    /// One dimension.
    pub fn dim(&mut self) -> Result<Dim, Wrong> {
        let at = self.position();
        match self.sum()? {
            dim if dim.is_overlong() => Err(Wrong { at, why: "the size has too many terms".to_string() }),
            dim => Ok(dim),
        }
    }

    /// Nothing more.
    pub fn end(&mut self) -> Result<(), Wrong> {
        self.skip_space();
        if self.rest.is_empty() { Ok(()) } else { Err(self.wrong("the end")) }
    }

    fn sum(&mut self) -> Result<Dim, Wrong> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let why = format!("parentheses nest deeper than {MAX_DEPTH}");
            return Err(Wrong { at: self.position(), why });
        }
        let mut dim = if self.eat("-") { Dim::Size(0) - self.product()? } else { self.product()? };
        loop {
            if self.eat("+") {
                dim = dim + self.product()?;
            } else if self.eat("-") {
                dim = dim - self.product()?;
            } else {
                self.depth -= 1;
                return Ok(dim);
            }
        }
    }

    fn product(&mut self) -> Result<Dim, Wrong> {
        let mut dim = self.atom()?;
        loop {
            if self.eat("*") {
                dim = dim * self.atom()?;
            } else if self.eat("//") {
                let at = self.position();
                let divisor = self.atom()?;
                let why = || Wrong { at, why: "a dimension divides by zero".to_string() };
                dim = dim.div_floor(divisor).ok_or_else(why)?;
            } else {
                return Ok(dim);
            }
        }
    }

    fn atom(&mut self) -> Result<Dim, Wrong> {
        if self.eat("(") {
            let dim = self.sum()?;
            return if self.eat(")") { Ok(dim) } else { Err(self.wrong("`)`")) };
        }
        self.skip_space();
        let at = self.position();
        let word = self.word();
        match word.chars().next() {
            Some(c) if c.is_ascii_digit() => word
                .parse()
                .ok()
                .filter(|&n: &usize| i64::try_from(n).is_ok())
                .map(Dim::Size)
                .ok_or_else(|| Wrong { at, why: format!("`{word}` is no size") }),
            Some(_) => Ok(Dim::named(word)),
            None => Err(self.wrong("a size or a name")),
        }
    }

    fn word(&mut self) -> &'a str {
        self.skip_space();
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn eat(&mut self, token: &str) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn wrong(&self, expected: &str) -> Wrong {
        let rest = self.rest.trim_start();
        let found = match rest.chars().next() {
            Some(c) => format!("`{c}`"),
            None => "the end".to_string(),
        };
        Wrong { at: self.text.len() - rest.len(), why: format!("expected {expected}, found {found}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_print_as_they_parse() {
        for text in ["f32[]", "f64[2, 3]", "i64[B, 2*T + 1]", "bool[(B // 2)]", "u8[B*B*T - 4]"] {
            assert_eq!(parse_type(text).map(|ty| ty.to_string()), Ok(text.to_string()));
        }
        assert_eq!(parse_type("f32"), parse_type("f32[]"));
        assert_eq!(parse_type("f32[T*B]"), parse_type(" f32 [ B * T ] "));
    }

    #[test]
    fn what_is_no_type_says_why() {
        let check = |text: &str, part: &str| {
            let error = parse_type(text).expect_err("not a type");
            assert!(error.contains(part), "{text}: {error}");
        };
        check("f16[2]", "`f16`");
        check("f32[2", "expected `,` or `]`, found the end");
        check("f32[2 3]", "expected `,` or `]`, found `3`");
        check("f32[B // 0]", "divides by zero");
        check("f32[99999999999999999999]", "is no size");
        check("f32[1,1,1,1,1,1,1,1,1]", "9 axes");
        check(&format!("f32[{}1]", "(".repeat(100)), "nest deeper");
        check("f32[2]]", "expected the end, found `]`");
    }
}

//! Types from text: `f32[B, 2*T + 1, (N // 2)]`.

use super::{Dim, Shape, Type};
use crate::array::{DType, MAX_RANK};

/// How deep parentheses in a dimension may nest.
const MAX_DEPTH: usize = 32;

/// The type written as `text`: an element type, then the dimensions in brackets.
///
/// # Errors
/// Says what was expected and what stands there.
pub fn parse_type(text: &str) -> Result<Type, String> {
    let mut reader = Reader { text, rest: text, depth: 0 };
    let ty = reader.ty()?;
    reader.skip_space();
    if !reader.rest.is_empty() {
        return Err(reader.wrong("the end"));
    }
    Ok(ty)
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn ty(&mut self) -> Result<Type, String> {
        let name = self.word();
        let dtype = DType::from_name(name).ok_or_else(|| {
            format!(
                "`{name}` in type `{}` is no element type; there are f32 f64 i32 i64 u32 u8 bool",
                self.text
            )
        })?;
        let mut dims = Vec::new();
        if self.eat("[") {
            while !self.eat("]") {
                if !dims.is_empty() && !self.eat(",") {
                    return Err(self.wrong("`,` or `]`"));
                }
                dims.push(self.sum()?);
            }
        }
        if dims.len() > MAX_RANK {
            return Err(format!(
                "type `{}` has {} axes; at most {MAX_RANK} are possible",
                self.text,
                dims.len()
            ));
        }
        Ok(Type::new(dtype, Shape::new(&dims)))
    }

    fn sum(&mut self) -> Result<Dim, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("parentheses in type `{}` nest deeper than {MAX_DEPTH}", self.text));
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

    fn product(&mut self) -> Result<Dim, String> {
        let mut dim = self.atom()?;
        loop {
            if self.eat("*") {
                dim = dim * self.atom()?;
            } else if self.eat("//") {
                let divisor = self.atom()?;
                dim = dim
                    .div_floor(divisor)
                    .ok_or_else(|| format!("a dimension of type `{}` divides by zero", self.text))?;
            } else {
                return Ok(dim);
            }
        }
    }

    fn atom(&mut self) -> Result<Dim, String> {
        if self.eat("(") {
            let dim = self.sum()?;
            return if self.eat(")") { Ok(dim) } else { Err(self.wrong("`)`")) };
        }
        let word = self.word();
        match word.chars().next() {
            Some(c) if c.is_ascii_digit() => word
                .parse()
                .ok()
                .filter(|&n: &usize| i64::try_from(n).is_ok())
                .map(Dim::Size)
                .ok_or_else(|| format!("`{word}` in type `{}` is no size", self.text)),
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

    fn wrong(&self, expected: &str) -> String {
        let found = match self.rest.chars().next() {
            Some(c) => format!("`{c}`"),
            None => "the end".to_string(),
        };
        format!("type `{}`: expected {expected}, found {found}", self.text)
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

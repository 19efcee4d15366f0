//! The words of the text form, read on demand: what a position holds depends on the grammar.

use std::borrow::Cow;

/// A word of the text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// A name, a keyword, an op.
    Word(&'a str),
    /// A name in quotes.
    Quoted(Cow<'a, str>),
    /// `%7`
    Temporary(u64),
    /// Punctuation.
    Mark(char),
    /// `==`
    Equals,
    /// The end of a line.
    Newline,
    /// The end of the text.
    End,
    /// Nothing of the above: what it looks like, and what is wrong with it.
    Wrong(String),
}

impl Token<'_> {
    /// The word as an error shows it.
    pub fn show(&self) -> String {
        match self {
            Token::Word(word) => format!("`{}`", clip(word)),
            Token::Quoted(name) => quote(&clip(name)),
            Token::Temporary(number) => format!("`%{number}`"),
            Token::Mark(mark) => format!("`{mark}`"),
            Token::Equals => "`==`".to_string(),
            Token::Newline => "the end of the line".to_string(),
            Token::End => "the end of the text".to_string(),
            Token::Wrong(what) => what.clone(),
        }
    }
}

/// Bytes of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub start: usize,
    pub end: usize,
}

/// Reads words from a position of the text on.
#[derive(Clone)]
pub(super) struct Lexer<'a> {
    pub text: &'a str,
    /// The byte that is read next.
    pub at: usize,
    /// Its line, from 1.
    pub line: u32,
}

/// Whether `c` may stand in a name without quotes.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.')
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Lexer<'a> {
        Lexer { text, at: 0, line: 1 }
    }

    /// What is left to read.
    pub fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Moves on by `n` bytes, none of which ends a line.
    pub fn advance(&mut self, n: usize) {
        self.at += n;
    }

    /// Passes over spaces and a comment, up to the end of the line.
    pub fn skip_space(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\r' => self.at += 1,
                b'#' => self.at += line_length(self.rest()),
                _ => break,
            }
        }
    }

    /// Passes over spaces, comments and ends of lines.
    pub fn skip_lines(&mut self) {
        loop {
            self.skip_space();
            if !self.rest().starts_with('\n') {
                return;
            }
            self.at += 1;
            self.line += 1;
        }
    }

    /// The next word and where it stands, without reading on.
    pub fn peek(&self) -> (Token<'a>, Span) {
        self.clone().next()
    }

    /// The next word and where it stands.
    pub fn next(&mut self) -> (Token<'a>, Span) {
        self.skip_space();
        let start = self.at;
        let rest = self.rest();
        let (token, length) = match rest.chars().next() {
            None => (Token::End, 0),
            Some('\n') => {
                self.line += 1;
                (Token::Newline, 1)
            }
            Some('"') => unquote(rest),
            Some('%') => {
                let digits = 1 + rest[1..].bytes().take_while(u8::is_ascii_digit).count();
                match rest[1..digits].parse() {
                    Ok(number) => (Token::Temporary(number), digits),
                    Err(_) => (Token::Wrong(format!("`{}`", clip(&rest[..digits]))), digits),
                }
            }
            Some('=') if rest.starts_with("==") => (Token::Equals, 2),
            Some(mark @ ('{' | '}' | '(' | ')' | '[' | ']' | ',' | ':' | ';' | '=' | '@')) => {
                (Token::Mark(mark), 1)
            }
            Some(c) if is_word(c) => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                (Token::Word(&rest[..length]), length)
            }
            Some(c) => (Token::Wrong(format!("`{}`", c.escape_debug())), c.len_utf8()),
        };
        self.at += length;
        (token, Span { start, end: self.at })
    }

    /// Reads up to one of `ends`, outside brackets and quotes, or to the end of the line.
    pub fn until(&mut self, ends: &[u8]) -> (&'a str, Span) {
        self.skip_space();
        let bytes = self.rest().as_bytes();
        let (mut depth, mut length, mut quoted) = (0usize, 0, false);
        while let Some(&byte) = bytes.get(length) {
            match byte {
                b'\n' => break,
                b'\\' if quoted && bytes.get(length + 1).is_some_and(|&next| next != b'\n') => length += 1,
                b'"' => quoted = !quoted,
                _ if quoted => {}
                b'#' => break,
                _ if depth == 0 && ends.contains(&byte) => break,
                b'[' | b'(' => depth += 1,
                b']' | b')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            length += 1;
        }
        // An escaped character may be longer than a byte.
        while !self.rest().is_char_boundary(length) {
            length += 1;
        }
        let found = self.rest()[..length].trim_end();
        let span = Span { start: self.at, end: self.at + found.len() };
        self.at += length;
        (found, span)
    }
}

/// The number of bytes up to the end of the line.
pub(super) fn line_length(text: &str) -> usize {
    text.bytes().position(|byte| byte == b'\n').unwrap_or(text.len())
}

/// A long text cut short, for errors.
pub(super) fn clip(text: &str) -> String {
    const LONGEST: usize = 40;
    match text.char_indices().nth(LONGEST) {
        None => text.to_string(),
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}

/// `text` in quotes, on one line.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() => quoted.extend(c.escape_unicode()),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The name in quotes at the front of `text`, and how many bytes it takes.
pub(super) fn unquote(text: &str) -> (Token<'_>, usize) {
    let wrong = |what: &str, length: usize| (Token::Wrong(what.to_string()), length);
    // Not cut to the line: finding its end would make many names in one line cost its length each.
    let mut name = String::new();
    let mut chars = text.char_indices().skip(1).take_while(|&(_, c)| c != '\n');
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (Token::Quoted(Cow::Owned(name)), at + 1),
            '\\' => match chars.next() {
                Some((_, c @ ('"' | '\\'))) => name.push(c),
                Some((_, 'n')) => name.push('\n'),
                Some((_, 't')) => name.push('\t'),
                Some((_, 'r')) => name.push('\r'),
                Some((at, 'u')) => {
                    let hex = text[at + 1..].strip_prefix('{').and_then(|rest| rest.split_once('}'));
                    let code = hex.and_then(|(hex, _)| {
                        let digits = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
                        Some((u32::from_str_radix(hex, 16).ok().filter(|_| digits)?, hex.len()))
                    });
                    match code.and_then(|(code, n)| Some((char::from_u32(code)?, n))) {
                        Some((c, n_digits)) => {
                            name.push(c);
                            chars.nth(n_digits + 1);
                        }
                        None => return wrong("a broken escape `\\u`", line_length(text)),
                    }
                }
                _ => return wrong("an unknown escape `\\`", line_length(text)),
            },
            c => name.push(c),
        }
    }
    wrong("a quote that is never closed", line_length(text))
}

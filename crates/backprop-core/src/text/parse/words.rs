//! Single words, and errors about them.

use std::borrow::Cow;

use super::{Label, Parser, Skip};
use crate::text::error::Found;
use crate::text::lex::{Span, Token, clip};
use crate::text::{KEYWORDS, is_bare};
use crate::types::{Reader, Wrong};

/// What a type or a dimension at the front of `text` can take of it, and one mark that it cannot: up to
/// a comma outside of brackets, a comment, the end of the line. Not the whole line: many types in one
/// line would cost its length each.
fn extent(text: &str) -> &str {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '\n' | '#' => return &text[..at],
            '[' | '(' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            ',' if depth > 0 => {}
            '+' | '-' | '*' | '/' | '_' => {}
            c if c.is_alphanumeric() || c.is_whitespace() => {}
            c => return &text[..at + c.len_utf8()],
        }
    }
    text
}

impl<'a> Parser<'a> {
    pub(super) fn label(&mut self) -> Result<(Label<'a>, Span), Skip> {
        let (token, span) = self.lexer.peek();
        let label = match token {
            Token::Word(name) if KEYWORDS.contains(&name) => {
                return self
                    .fail(span, format!("`{name}` is a keyword; a value of that name stands in quotes"));
            }
            Token::Word(name) if is_bare(name) => Label::Name(Cow::Borrowed(name)),
            Token::Quoted(name) => Label::Name(name),
            Token::Temporary(number) => Label::Temporary(number),
            Token::Word(number) => {
                return self.fail(
                    span,
                    format!(
                        "expected a value, found the number `{}`: name it with `constant` or `full`",
                        clip(number)
                    ),
                );
            }
            other => return self.fail(span, format!("expected a value, found {}", other.show())),
        };
        self.lexer.next();
        Ok((label, span))
    }

    /// Reads a type or a dimension from the rest of the line.
    pub(super) fn read<T>(&mut self, read: impl FnOnce(&mut Reader) -> Result<T, Wrong>) -> Result<T, Skip> {
        self.lexer.skip_space();
        let mut reader = Reader::new(extent(self.lexer.rest()));
        match read(&mut reader) {
            Ok(value) => {
                self.lexer.advance(reader.position());
                Ok(value)
            }
            Err(Wrong { at, why }) => {
                let start = self.lexer.at + at;
                let length = self.lexer.text[start..].chars().next().map_or(0, char::len_utf8);
                self.fail(Span { start, end: start + length }, why)
            }
        }
    }

    pub(super) fn expect(&mut self, mark: char) -> Result<(), Skip> {
        let (token, span) = self.lexer.peek();
        if token == Token::Mark(mark) {
            self.lexer.next();
            return Ok(());
        }
        self.fail(span, format!("expected `{mark}`, found {}", token.show()))
    }

    pub(super) fn eat(&mut self, mark: char) -> bool {
        let is_next = self.lexer.peek().0 == Token::Mark(mark);
        if is_next {
            self.lexer.next();
        }
        is_next
    }

    pub(super) fn end_of_line(&mut self) -> Result<(), Skip> {
        match self.lexer.peek() {
            (Token::Newline | Token::End | Token::Mark('}'), _) => Ok(()),
            (token, span) => self.fail(span, format!("expected the end of the line, found {}", token.show())),
        }
    }

    pub(super) fn error(&mut self, span: Span, message: String) {
        self.found.push(Found { span, message, details: Vec::new(), hint: None });
    }

    pub(super) fn fail<T>(&mut self, span: Span, message: String) -> Result<T, Skip> {
        self.error(span, message);
        Err(Skip)
    }
}

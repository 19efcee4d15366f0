//! Single words, and errors about them.

use std::borrow::Cow;

use super::{Label, Parser, Skip};
use crate::text::error::Found;
use crate::text::lex::{Span, Token, clip, line_length};
use crate::text::{KEYWORDS, is_bare};
use crate::types::{Reader, Wrong};
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
        let rest = self.lexer.rest();
        let line = &rest[..line_length(rest)];
        let mut reader = Reader::new(line.split('#').next().unwrap_or(line));
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
